"""Scores that read the classifier's logits and nothing else."""

import numpy as np
import scipy
from jaxtyping import Float

from osrlib import checks
from osrlib.checks import number_in
from osrlib.output import Output


def msp(output: Output) -> Float[np.ndarray, "N"]:
    """One minus the maximum softmax probability (Hendrycks & Gimpel, ICLR 2017, section 2), in [0, 0.9]."""
    logits = output.logits.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    return (1 - 1 / np.exp(logits).sum(1)).astype(np.float32)


def max_logit(output: Output) -> Float[np.ndarray, "N"]:
    """Minus the largest logit (Hendrycks et al., ICML 2022, section 3).

    Of log-probabilities (:class:`osrlib.models.BaselineCNN`) it ranks as :func:`msp` does.
    """
    return -output.logits.max(1)


def energy(output: Output, temperature: number_in(1e-6, 1e6) = 1.0) -> Float[np.ndarray, "N"]:
    """The free energy −T · log Σ_k exp(logit_k / T) (Liu et al., NeurIPS 2020, equation 4).

    For logits as they leave the last linear layer: of log-probabilities (:class:`osrlib.models.BaselineCNN`) it is 0.
    """
    logits = output.logits.astype(np.float64)
    return (-temperature * scipy.special.logsumexp(logits / temperature, axis=1)).astype(np.float32)


checks.guard(__name__)
