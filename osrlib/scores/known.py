"""Scores that must first see known images: how far is the code, or the picture, from those?

Each is made from the output on training images, and then called like any other: ``KNN(known)(output)``.
"""

import numpy as np
import scipy
import torch
from jaxtyping import Float

from osrlib import checks
from osrlib.checks import Count, Labels, Numbers, Share, whole_number
from osrlib.output import Output
from osrlib.scores.logits import energy

FURTHEST = np.finfo(np.float32).max
"""What is unknown beyond all measure, and still a number: beyond any line."""


class Mahalanobis:
    """The squared Mahalanobis distance of the code to the nearest class mean (Lee et al., NeurIPS 2018, section 2.1).

    One covariance is shared by all classes: the mean over known images, plus 1e-6 on its diagonal in units of the mean
    variance. known: output on training images; labels: theirs. Departures from the paper: the image is not perturbed
    first, and the code stands alone, where the paper weighs and adds the distances of several layers.
    """

    def __init__(self, known: Output, labels: Labels["N"]):
        code = known.code.astype(np.float64)
        classes, member = np.unique(labels, return_inverse=True)
        means = np.stack([code[member == k].mean(0) for k in range(len(classes))])
        centred = code - means[member]
        covariance = centred.T @ centred / len(code)
        _expect_spread(np.sqrt(np.trace(covariance)), known.code)
        covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        self.whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
        self.centres = means @ self.whiten

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        distance = scipy.spatial.distance.cdist(output.code @ self.whiten, self.centres, "sqeuclidean").min(1)
        return np.minimum(distance, FURTHEST).astype(np.float32)


class KNN:
    """The distance of the code to the k-th nearest of the known codes (Sun et al., ICML 2022, section 3).

    known: output on training images. k: 1 is a departure; the paper takes 50 for CIFAR-10 and 200 for CIFAR-100.
    normalise: a code z is divided by ‖z‖ to this power first. 1, as in the paper, keeps its direction alone; 0 leaves
    it as it is; in between, length counts for something. labels: of the known images; with them, only images of the
    class that the classifier names are searched (another departure, and K times as fast), and an image of a class
    without known images is unknown.
    """

    def __init__(self, known: Output, k: Count = 1, normalise: Share = 1.0, labels: Labels["N"] | None = None):
        self.k, self.normalise, self.in_class = int(k), normalise, labels is not None
        group = labels if self.in_class else np.zeros(len(known), int)
        self.banks = {label: self.place(known.code[group == label]) for label in np.unique(group).tolist()}
        if min(map(len, self.banks.values())) < k:
            raise ValueError(f"k: expected at most the known images of a class, got {k}")

    def place(self, code):
        """Where a code lies among the known ones."""
        length = np.maximum(np.linalg.norm(code, axis=1, keepdims=True), 1e-12)
        return torch.from_numpy(code / length**self.normalise).float()

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        group = output.guess if self.in_class else np.zeros_like(output.guess)
        code, distance = self.place(output.code), np.full(len(group), FURTHEST)
        for label in set(group.tolist()) & set(self.banks):
            distance[group == label] = nearest_distance(code[group == label], self.banks[label], self.k).numpy()
        return distance


def nearest_distance(code, bank, k):
    """The distance of each code to the k-th nearest of a bank: float tensors [N, D] and [M, D] → [N].

    ‖a − b‖² = ‖a‖² − 2 (a·b − ‖b‖²/2), so the nearest have the largest a·b − ‖b‖²/2: a matrix product finds them. Their
    distances are then taken as ‖a − b‖: by the formula, small ones would be differences of large squares, all rounding.
    """
    centre = bank.mean(0)  # products of small numbers are rounded less
    centred = bank - centre
    half_squares = centred.square().sum(1) / 2
    rows = max(1, 6_000_000 // max(len(bank), k * bank.shape[1]))  # 24 MB at a time
    distances = []
    for block in code.split(rows):
        closeness = torch.addmm(-half_squares, block - centre, centred.T)
        nearest = bank[closeness.topk(k).indices]
        distances.append((block.unsqueeze(1) - nearest).norm(dim=2).amax(1))
    return torch.cat(distances)


class PCAResidual:
    """How much of an image lies outside the principal components of known ones: ‖(x − m) − P Pᵀ(x − m)‖₂.

    x: the 784 pixels in [0, 1]; m: their mean over known images; P: the first ``components`` principal directions.
    No network takes part: it is the error of a linear autoencoder (Jackson & Mudholkar, Technometrics 1979).
    """

    def __init__(self, known: Output, components: whole_number(1, 783) = 150):
        pixels = known.pixels.astype(np.float64)
        mean = pixels.mean(0)
        centred = pixels - mean
        # the last ones have the largest variance; the covariance of 784 pixels is small enough to be taken apart whole
        variances, directions = np.linalg.eigh(centred.T @ centred)
        if (rank := int((variances > 1e-12 * variances[-1]).sum())) < components:
            raise ValueError(f"known: expected images that differ in {components} directions or more, got {rank}")
        # as many bits as the pixels have: it takes half of the time, and changes the seventh digit
        self.mean, self.directions = mean.astype(np.float32), directions[:, -components:].astype(np.float32)

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        centred = output.pixels - self.mean
        return np.linalg.norm(centred - centred @ self.directions @ self.directions.T, axis=1)


class ViM:
    """A virtual logit for what the classifier does not look at (Wang et al., CVPR 2022, section 4).

    The code is centred where the logits vanish, o = −W⁺ b. R spans all but the first ``dimension`` principal directions
    of known codes. Score: a · ‖Rᵀ(z − o)‖₂ + energy, with a the mean largest logit of known images over their mean
    residual. known: output on training images, its logits as they are: log-probabilities are refused; weight, bias: of
    the linear layer that turns a code into logits; dimension: less than D.
    """

    def __init__(self, known: Output, weight: Numbers["K D"], bias: Numbers["K"], dimension: Count = 64):
        self.origin = -np.linalg.pinv(weight) @ bias
        centred = known.code - self.origin
        self.rest = np.linalg.eigh(centred.T @ centred)[1][:, : weight.shape[1] - dimension]  # eigh sorts upwards
        residual = np.linalg.norm(centred @ self.rest, axis=1).mean()
        _expect_spread(residual, known.code)
        self.scale = known.logits.max(1).mean(dtype=np.float64) / residual
        if not self.scale > 0:  # a larger residual would count as less unknown
            raise ValueError("known: expected largest logits above 0 in the mean; log-probabilities are no logits")

    def __call__(self, output: Output) -> Float[np.ndarray, "N"]:
        residual = np.linalg.norm((output.code - self.origin) @ self.rest, axis=1)
        return np.clip(self.scale * residual + energy(output), -FURTHEST, FURTHEST).astype(np.float32)


def _expect_spread(spread, code):
    """Codes that differ by no more than rounding cannot be told apart."""
    if not spread > 100 * np.finfo(code.dtype).eps * np.linalg.norm(code, axis=1).mean(dtype=np.float64):
        raise ValueError("known: expected codes that differ within a class and beyond the first directions, got none")


checks.guard(__name__)
