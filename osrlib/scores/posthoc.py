"""The field's other post-hoc scores: they read what a trained classifier says, and train nothing.

Some need the last linear layer: its weight [K, D] and bias [K] make the logits, weight · code + bias. In the papers a
code has passed a ReLU and is ≥ 0. That of :class:`osrlib.models.SigmoidAE` has not: about half of its numbers lie below
0. The formulas are kept as they are; each class says what this means for it. Larger is more unknown in all of them.
"""

from typing import Literal

import numpy as np
import scipy
import torch
from jaxtyping import Float

from osrlib import checks
from osrlib.checks import Count, Labels, Numbers, PartShare, Share, whole_number
from osrlib.output import Output
from osrlib.scores.known import FURTHEST
from osrlib.scores.logits import energy


def gen(output: Output, gamma: PartShare = 0.1, top: Count = 100) -> Float[np.ndarray, "N"]:
    """The generalised entropy Σ_k p_k^γ (1 − p_k)^γ of the softmax (Liu et al., CVPR 2023, section 3).

    gamma: γ; the smaller it is, the more do probabilities near 0 count. top: how many classes are added up, the most
    probable ones; all where there are fewer. No departures. It lies between 0 and K / 4^γ.
    """
    p = scipy.special.softmax(-np.sort(-output.logits.astype(np.float64), axis=1), axis=1)  # the largest first
    rest = 1 - p
    rest[:, 0] = p[:, 1:].sum(1)  # 1 − p would round to 0 where the classifier is sure
    return ((p * rest)[:, :top] ** gamma).sum(1).astype(np.float32)


class OpenMax:
    """The probability of an unknown class beside the K known ones (Bendale & Boult, CVPR 2016, algorithms 1 and 2).

    For each class k, a Weibull distribution is fitted to the largest distances of logits from the class's mean logits.
    Let w_k in [0, 1] be its distribution function at the distance of an image. Of the i-th largest logit, the share
    w_k (α + 1 − i) / α is taken away. All that was taken is the logit of the unknown, and a softmax over K + 1 logits
    gives its probability.

    known: output on training images, of which those count that are named rightly; labels: theirs; tail: how many
    distances a class; alpha: α, how many logits are revised, all where there are fewer. A class without known images
    has w = 1. As in the authors' code, and not as algorithm 2 is printed: w grows with the distance, and the shares are
    (α + 1 − i) / α; a distance counts from the smallest of the tail, plus 10,000. Departures: the distance is Euclidean
    (their code adds a cosine), and there is one view of each image (they have ten). A logit below 0 that is taken away
    makes the unknown less likely, in their code too.
    """

    OFFSET = 10_000

    def __init__(self, known: Output, labels: Labels["N"], tail: whole_number(2) = 20, alpha: Count = 10):
        from scipy.stats import gumbel_l  # slow to import

        self.alpha, self.classes = min(alpha, known.logits.shape[1]), {}
        for k, logits in _rightly_named(known.logits, known, labels):
            mean = logits.mean(0)
            far = np.sort(np.linalg.norm(logits - mean, axis=1))[::-1][:tail]
            # the logarithm of a Weibull variable is a Gumbel variable, and for those SciPy's fit is exact
            excess = np.log1p((far - far[-1]) / self.OFFSET)
            if not excess[0] > 0:
                raise ValueError("known: expected logits at different distances from their class mean, got the same")
            place, width = gumbel_l.fit(excess / excess[0])
            self.classes[k] = mean, far[-1], place * excess[0], width * excess[0]

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        logits = output.logits.astype(np.float64)
        outside = np.ones_like(logits)
        for k, (mean, nearest, place, width) in self.classes.items():
            distance = np.linalg.norm(logits - mean, axis=1)
            excess = np.log(np.maximum(1 + (distance - nearest) / self.OFFSET, 1e-300))
            outside[:, k] = -np.expm1(-np.exp(np.minimum((excess - place) / width, 99)))
        rank = (-logits).argsort(1).argsort(1)  # 0 for the largest
        moved = logits * outside * np.maximum(1 - rank / self.alpha, 0)
        revised = np.column_stack([moved.sum(1), logits - moved])
        return scipy.special.softmax(revised, axis=1)[:, 0].astype(np.float32)


class SHE:
    """Minus the inner product of the code with the mean code of its class (Zhang et al., ICLR 2023, section 3).

    The class is the one that the classifier names; the mean is taken over known images that it names rightly. known:
    output on training images; labels: theirs. An image of a class without known images is unknown. No departures. The
    longer a code, the larger the product. Where codes may be negative, two negative numbers add to it as two positive
    ones do.
    """

    def __init__(self, known: Output, labels: Labels["N"]):
        self.patterns = {k: code.mean(0) for k, code in _rightly_named(known.code, known, labels)}

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        score = np.full(len(output), FURTHEST)
        for k, pattern in self.patterns.items():
            score[output.guess == k] = -(output.code[output.guess == k] @ pattern)
        return score


class NNGuide:
    """Energy, times the likeness to confident known images (Park et al., ICCV 2023, section 3).

    −E(x) · mean over the k largest of E(z_i) cos(z, z_i), where E = log Σ exp(logits), z is the code, and z_i are the
    known codes. known: output on training images, its logits as they are: of log-probabilities E is 0, and so is the
    score. Departure: all known images are searched; the paper draws a share of them.
    """

    def __init__(self, known: Output, k: Count = 10):
        if len(known) < k:
            raise ValueError(f"k: expected at most the number of known images, got {k}")
        self.k, self.bank = k, torch.from_numpy(-energy(known)[:, None] * _directions(known.code))

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        parts = torch.from_numpy(_directions(output.code)).split(250)
        guidance = torch.cat([(codes @ self.bank.T).topk(self.k).values.mean(1) for codes in parts])
        return guidance.numpy() * energy(output)


class FDBD:
    """Minus the mean distance to the decision boundaries, over the distance from the mean code (Liu & Qin, ICML 2024).

    Their section 3, where it is fDBD. With a the class that the classifier names, f the logits and w_k the rows of
    weight, the boundary to class k is (f_a − f_k) / ‖w_a − w_k‖₂ away, and the mean is over the K − 1 others. known:
    output on training images, for the mean code; weight: of the last linear layer. No departures.
    """

    def __init__(self, known: Output, weight: Numbers["K D"]):
        self.mean = known.code.mean(0, dtype=np.float64)
        self.apart = scipy.spatial.distance.cdist(weight, weight) + np.eye(len(weight))
        if len(weight) < 2 or not (self.apart > 0).all():
            raise ValueError("weight: expected two rows or more that all differ, one for each class")

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        logits = output.logits.astype(np.float64)
        away = (logits.max(1, keepdims=True) - logits) / self.apart[output.guess]
        length = np.maximum(np.linalg.norm(output.code - self.mean, axis=1), 1e-12)
        return -np.minimum(away.sum(1) / (len(self.apart) - 1) / length, FURTHEST).astype(np.float32)


class ReAct:
    """The energy of a code whose large numbers are cut down to a common limit (Sun et al., NeurIPS 2021, section 3).

    known: output on training images; share: how many of all numbers in known codes lie below the limit; weight, bias:
    of the last linear layer. No departures. It cuts from above alone: what lies far below 0, and what a ReLU would have
    removed, stays.
    """

    def __init__(self, known: Output, weight: Numbers["K D"], bias: Numbers["K"], share: Share = 0.9):
        self.weight, self.bias, self.cut = weight, bias, np.quantile(known.code, share)

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        return _energy(np.minimum(output.code, self.cut), self.weight, self.bias)


class ASH:
    """The energy of a code of which only the largest numbers are left (Djurisic et al., ICLR 2023, section 3).

    weight, bias: of the last linear layer; share: how many numbers of each code are set to 0. variant: "P" stops there;
    "S" multiplies the others by exp(s₁ / s₂), with s₁ the sum of the code before and s₂ after. Where codes may be
    negative, negative numbers go first, however far they are from 0, and s₁ / s₂ may be below 1, or below 0. Departure:
    where s₂ is not above 0, s₁ / s₂ counts as 1 / (1 − share), the largest that it can be elsewhere.
    """

    def __init__(
        self, weight: Numbers["K D"], bias: Numbers["K"], share: PartShare = 0.9, variant: Literal["S", "P"] = "S"
    ):
        self.weight, self.bias, self.share, self.variant = weight, bias, share, variant

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        code = output.code.astype(np.float64)
        kept = max(1, code.shape[1] - round(code.shape[1] * self.share))
        left = np.where(code >= np.sort(code, axis=1)[:, [-kept]], code, 0)
        if self.variant == "S":
            before, after = code.sum(1), left.sum(1)
            ratio = np.divide(before, after, out=np.full(len(code), code.shape[1] / kept), where=after > 0)
            left *= np.exp(ratio)[:, None]
        return _energy(left, self.weight, self.bias)


class DICE:
    """The energy by those weights alone that contribute most to known logits (Sun & Li, ECCV 2022, section 3).

    A weight contributes itself times the mean of its number in known codes. known: output on training images; weight,
    bias: of the last linear layer; share: how many weights are set to 0. No departures. Where codes may be negative, a
    negative weight on a negative mean contributes as a positive one does, and numbers that vary around 0 contribute
    little, however much they say.
    """

    def __init__(self, known: Output, weight: Numbers["K D"], bias: Numbers["K"], share: PartShare = 0.9):
        contribution = weight * known.code.mean(0, dtype=np.float64)
        self.weight = np.where(contribution > np.quantile(contribution, share), weight, 0)
        self.bias = bias

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        return _energy(output.code, self.weight, self.bias)


def _energy(code, weight, bias):
    """The energy of codes, as the linear layer sees them."""
    return energy(Output(code @ weight.T + bias))


def _directions(code):
    """Codes of length 1."""
    return code / np.maximum(np.linalg.norm(code, axis=1, keepdims=True), 1e-12)


def _rightly_named(values, known, labels):
    """Class by class, the values of those known images that the classifier names as their labels do, as float64."""
    right = known.guess == labels
    if not right.any():
        raise ValueError("known: expected images that the classifier names as the labels do, got none")
    return [(k, values[right & (labels == k)].astype(np.float64)) for k in np.unique(labels[right]).tolist()]


checks.guard(__name__)
