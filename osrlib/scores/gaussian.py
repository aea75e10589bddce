"""Scores that take the codes of a class to be normally distributed.

Each is made from the output on training images and their labels, and then called like any other.
"""

import numpy as np
from jaxtyping import Float

from osrlib import checks
from osrlib.checks import Labels
from osrlib.output import Output
from osrlib.scores.known import FURTHEST, Mahalanobis, _expect_spread


class Gaussian:
    """How improbable the code is under the likeliest class, each a normal distribution with a covariance of its own.

    min_k (z − μ_k)ᵀ Σ_k⁻¹ (z − μ_k) + log det Σ_k, which is −2 log density but for a constant (Mukhoti et al., CVPR
    2023, who add the classes' densities up, weighed by their shares). To each Σ_k, 1e-6 of the mean variance is added
    on the diagonal. known: output on training images; labels: theirs, at least two images a class.
    """

    def __init__(self, known: Output, labels: Labels["N"]):
        self.classes = []
        for k in np.unique(labels):
            code = known.code[labels == k].astype(np.float64)
            _expect_spread(code.std(0).max(), code)
            covariance = np.atleast_2d(np.cov(code.T))
            covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
            whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
            self.classes.append((code.mean(0), whiten, np.linalg.slogdet(covariance)[1]))

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        nearest = np.full(len(output), np.inf)
        for mean, whiten, volume in self.classes:
            nearest = np.minimum(nearest, np.square((output.code - mean) @ whiten).sum(1) + volume)
        return np.minimum(nearest, FURTHEST).astype(np.float32)


class RelativeMahalanobis:
    """:class:`osrlib.scores.Mahalanobis`, less the distance from all known codes taken as one class (Ren et al., 2021).

    What is unlike everything, digits among them, counts for nothing: what remains is how far a code lies from its class
    *for a code that lies so far out*.
    """

    def __init__(self, known: Output, labels: Labels["N"]):
        self.of_class, self.of_all = Mahalanobis(known, labels), Mahalanobis(known, np.zeros_like(labels))

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        return self.of_class(output) - self.of_all(output)


class WeightedSum:
    """Several scores joined: weight · (score − mean) / standard deviation, added up.

    Mean and standard deviation are those among known images, so that scores of any unit can be added. scores: dict
    name → (score, weight); known: output on known images that the network was not trained on, and that will not
    calibrate the sum's threshold either.
    """

    def __init__(self, scores: checks.named(tuple[checks.Function, checks.Finite]), known: Output):
        self.parts = []
        for name, (score, weight) in scores.items():
            values = score(known).astype(np.float64)
            if not values.std() > 0:
                raise ValueError(f"known: expected images that differ in {name}, got the same value for all")
            self.parts.append((score, weight / values.std(), values.mean()))

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        total = sum(slope * (score(output).astype(np.float64) - mean) for score, slope, mean in self.parts)
        return np.clip(total, -FURTHEST, FURTHEST).astype(np.float32)


checks.guard(__name__)
