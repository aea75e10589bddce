"""How unknown does an image look? Each score maps what a network said to unknownness [N], larger = more unknown.

A score takes an :class:`osrlib.output.Output` and returns float32 [N]. What needs no known images is a function; what
must first see some is made from their output, and then called like the others: ``KNN(known)(output)``. A ValueError
says which part of an output a score needs and does not find. ``SCORES`` lists them all.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import nn

from osrlib.gram import GramScore
from osrlib.output import Output
from osrlib.scores.copies import binarised, class_error, content, diff, norm, style
from osrlib.scores.gaussian import Gaussian, RelativeMahalanobis, WeightedSum
from osrlib.scores.known import FURTHEST, KNN, Mahalanobis, PCAResidual, ViM
from osrlib.scores.logits import energy, max_logit, msp
from osrlib.scores.posthoc import ASH, DICE, FDBD, SHE, NNGuide, OpenMax, ReAct, gen


class Seen(NamedTuple):
    """What may be looked at before the test: the network; its output on training images, with their labels; and its
    output on known images held out from training, which bring several scores to one scale. (Those that set thresholds
    are others again.)"""

    model: nn.Module
    train: Output | None = None
    labels: np.ndarray | None = None
    held_out: Output | None = None


def _linear(seen):
    """The weight [K, D] and the bias [K] of the layer that turns a code into logits."""
    last, classes = seen.model.classifier, seen.train.logits.shape[1]  # the report's network has an output more
    return tuple(part.detach().cpu().double().numpy()[:classes] for part in (last.weight, last.bias))


def _rule(seen):
    parts = {
        "kNN in class": (KNN(seen.train, labels=seen.labels), 1),
        "Gaussian": (Gaussian(seen.train, seen.labels), 0.25),
        "relative Mahalanobis": (RelativeMahalanobis(seen.train, seen.labels), 0.25),
        "energy": (energy, 0.25),
    }
    return WeightedSum(parts, seen.held_out)


SCORES: dict[str, Callable] = {
    "softmax": lambda seen: msp,
    "max logit": lambda seen: max_logit,
    "energy": lambda seen: energy,
    "Mahalanobis": lambda seen: Mahalanobis(seen.train, seen.labels),
    "relative Mahalanobis": lambda seen: RelativeMahalanobis(seen.train, seen.labels),
    "Gaussian": lambda seen: Gaussian(seen.train, seen.labels),
    "ViM": lambda seen: ViM(seen.train, *_linear(seen)),
    "Gram deviation": lambda seen: GramScore(seen.model, seen.train.images),
    "kNN": lambda seen: KNN(seen.train),
    "the rule": _rule,
    "PCA residual": lambda seen: PCAResidual(seen.train),
    "OpenMax": lambda seen: OpenMax(seen.train, seen.labels),
    "GEN": lambda seen: gen,
    "SHE": lambda seen: SHE(seen.train, seen.labels),
    "NNGuide": lambda seen: NNGuide(seen.train),
    "fDBD": lambda seen: FDBD(seen.train, _linear(seen)[0]),
    "ReAct": lambda seen: ReAct(seen.train, *_linear(seen)),
    "ASH": lambda seen: ASH(*_linear(seen)),
    "DICE": lambda seen: DICE(seen.train, *_linear(seen)),
    "norm": lambda seen: norm,
    "relative norm": lambda seen: partial(norm, relative=True),
    "diff": lambda seen: diff,
    "style": lambda seen: style,
    "content": lambda seen: partial(content, model=seen.model),
    "C2AE": lambda seen: class_error,
    "C2AE, relative": lambda seen: partial(class_error, relative=True),
}
"""Every score by its name, as a function that makes it from what it has :class:`Seen`."""
