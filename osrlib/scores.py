"""How unknown does an image look? Each score maps what a network said to unknownness [N], larger = more unknown.

Every score takes an :class:`osrlib.models.Output` from :func:`osrlib.models.infer` and returns float32 [N].
ValueError where the output lacks what the score needs, or holds NaN. A score that must first see known images is made
by a function of their output, and then used like the others: ``score = gram_deviation(known, layer); score(output)``.
"""

import numpy as np
import scipy
import torch

from osrlib import _validate, losses
from osrlib.models import Output, evaluating, home, named, part


def norm(output, relative=False):
    """Reconstruction error ‖x − x̂‖₂, pixels in [0, 1] (the report's ``norm``).

    The report does not say which norm. L2 fits its results best; chapter 7 tries the others. relative: divide it by
    ‖x‖₂ (and by one grey level at the least, for an empty image), so that a thin stroke counts as much as a thick one.
    """
    error = np.linalg.norm(_residual(output), axis=1)
    if _validate.flag(relative, "relative"):
        length = np.linalg.norm(_pixels(output), axis=1)
        error = error / np.maximum(length, 1 / 255)
    return error.astype(np.float32)


def diff(output, level=0.5):
    """The number of pixels in which image and reconstruction differ once both are binarised at ``level``, 0..784.

    The report's ``diff``; it does not print the level. level: in (0, 1).
    """
    image, reconstruction = binarised(output, level)
    return (image != reconstruction).sum((1, 2)).astype(np.float32)


def msp(output):
    """One minus the maximum softmax probability (Hendrycks & Gimpel, ICLR 2017, section 2), in [0, 0.9]."""
    logits = part(output, "logits").astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    return (1 - 1 / np.exp(logits).sum(1)).astype(np.float32)


def max_logit(output):
    """Minus the largest logit (Hendrycks et al., ICML 2022, section 3).

    Of log-probabilities (:class:`osrlib.models.BaselineCNN`) it ranks as :func:`msp` does.
    """
    return -part(output, "logits").max(1).astype(np.float32)


def energy(output, temperature=1.0):
    """The free energy −T · log Σ_k exp(logit_k / T) (Liu et al., NeurIPS 2020, equation 4). T in [1e-6, 1e6].

    For logits as they leave the last linear layer: of log-probabilities (:class:`osrlib.models.BaselineCNN`) it is 0.
    """
    temperature = _validate.number(temperature, "temperature", 1e-6, 1e6)
    return (
        -temperature * scipy.special.logsumexp(part(output, "logits").astype(np.float64) / temperature, axis=1)
    ).astype(np.float32)


def class_error(output, relative=False):
    """The smallest reconstruction error over the class conditions (Oza & Patel, CVPR 2019, section 3.3).

    output: of :class:`osrlib.models.C2AE`, with errors [N, K]. relative: divide it by the mean of the other K − 1
    errors, so that an image is compared with itself: an image that is hard to draw is hard under every condition.
    """
    errors = part(output, "errors")
    smallest = errors.min(1)
    if _validate.flag(relative, "relative"):
        if errors.shape[1] < 2:
            raise ValueError("output: expected errors under at least 2 conditions for the relative error, got 1")
        others = (errors.sum(1) - smallest) / (errors.shape[1] - 1)
        smallest = smallest / np.maximum(others, 1e-12)
    return smallest.astype(np.float32)


def style(output):
    """Style loss between image and reconstruction (the report's attempt with style transfer).

    The rows of the picture are the features: one 28×28 Gram matrix an image, the mean squared difference of two.
    """
    image = torch.from_numpy(part(output, "images") / np.float32(255))
    return losses.style_loss(image, torch.from_numpy(part(output, "reconstruction"))).float().numpy()


def content(output, model, batch_size=250):
    """Content loss between the codes of image and reconstruction: the reconstruction is encoded once more.

    model: the one that made the output, with an ``encoder``; batch_size: how many are encoded at once.
    """
    code, drawings = part(output, "code"), part(output, "reconstruction")
    batch_size = _validate.whole(batch_size, "batch_size", 1)
    _validate.instance(getattr(model, "encoder", None), "model.encoder", torch.nn.Module)
    (device, dtype), again = home(model), []
    with evaluating(model), torch.inference_mode():
        for drawn in torch.from_numpy(drawings).split(batch_size):
            again.append(model.encoder(drawn.unsqueeze(1).to(device, dtype)).float().cpu())
    return losses.content_loss(torch.from_numpy(code), torch.cat(again)).float().numpy()


def gram_deviation(known, layer, held_out=0.1, seed=0):
    """How far Gram features lie outside what training images of the predicted class showed (Sastry & Oore, ICML 2020).

    For each class that is predicted, the smallest and largest value of every feature among the known images are its
    bounds. Outside of them, a feature v deviates by (low − v) / low or (v − high) / high. The deviations of each
    layer are summed and divided by their mean over known images held out from the bounds; the layers are added.

    The authors' code also divides by the largest softmax probability; this does not, as the paper's formula does not.

    known: the output of :class:`osrlib.models.GramFeatures` on *training* images; layer: its ``layer``, int [D];
    held_out: the share kept for the means, in (0, 0.5]; seed: draws it. Returns the score, a function of an output.
    ValueError where a class is predicted for fewer than two of the images that set its bounds.
    """
    features, guess = part(known, "code"), named(known)
    layer = _validate.labels(layer, "layer")
    if len(layer) != features.shape[1] or (np.diff(layer) < 0).any():
        raise ValueError(f"layer: expected {features.shape[1]} numbers in ascending order, one a feature")
    share = _validate.number(held_out, "held_out", 0, 0.5, open_low=True)
    order = np.random.default_rng(_validate.whole(seed, "seed")).permutation(len(guess))
    held, rest = np.split(order, [max(1, int(share * len(guess)))])
    counts = np.bincount(guess[rest], minlength=known.logits.shape[1])
    if counts.min() < 2:
        raise ValueError(f"known: expected at least 2 images predicted as each class, got {counts.min()} for class "
                         f"{counts.argmin()}")  # fmt: skip
    members = [features[rest][guess[rest] == k] for k in range(len(counts))]
    low, high = (np.stack([getattr(group, side)(0) for group in members]) for side in ("min", "max"))
    starts = np.flatnonzero(np.r_[True, np.diff(layer) > 0])

    def deviations(values, classes):
        total = np.zeros((len(values), len(starts)))
        for k in np.unique(classes):
            v, a, b = values[classes == k], low[k], high[k]
            # 1e-6 as in the authors' code: a feature that was zero in all known images has a bound of zero
            outside = np.maximum(a - v, 0) / (np.abs(a) + 1e-6) + np.maximum(v - b, 0) / (np.abs(b) + 1e-6)
            total[classes == k] = np.add.reduceat(outside, starts, axis=1)
        return total

    expected = deviations(features[held], guess[held]).mean(0)
    expected[expected == 0] = 1

    def score(output):
        part(output, "logits", len(counts))
        values = deviations(part(output, "code", len(layer)), named(output))
        return _float32((values / expected).sum(1))

    return score


def mahalanobis(known, labels):
    """The squared Mahalanobis distance of the code to the nearest class mean (Lee et al., NeurIPS 2018, section 2.1).

    One covariance is shared by all classes: the mean over known images, plus 1e-6 on its diagonal in units of the mean
    variance. known: output on training images; labels: theirs, int [N]. Returns the score, a function of an output.
    """
    code = part(known, "code").astype(np.float64)
    labels = _validate.labels(labels, "labels", size=len(code))
    classes, member = np.unique(labels, return_inverse=True)
    means = np.stack([code[member == k].mean(0) for k in range(len(classes))])
    centred = code - means[member]
    covariance = centred.T @ centred / len(code)
    if not np.sqrt(np.trace(covariance)) > _rounding(part(known, "code")):
        raise ValueError("known: expected codes that differ within a class, got the same for all")
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    centres = means @ whiten

    def score(output):
        whitened = part(output, "code", len(whiten)) @ whiten
        return _float32(scipy.spatial.distance.cdist(whitened, centres, "sqeuclidean").min(1))

    return score


def knn(known, k=1, normalise=1.0, labels=None):
    """The distance of the code to the k-th nearest of the known codes (Sun et al., ICML 2022, section 3).

    normalise: a code z is divided by ‖z‖ to this power first, in [0, 1]. 1, as in the paper, keeps its direction alone;
    0 leaves it as it is; in between, length counts for something. labels: of the known images, int [N]; with them, only
    images of the class that the classifier names are searched (a departure from the paper, and K times as fast).
    known: output on training images; k: in 1..N. Returns the score, a function of an output.
    """
    from sklearn.neighbors import NearestNeighbors  # half a second: only for those who need it

    code = part(known, "code")
    in_class, width = labels is not None, code.shape[1]
    labels = _validate.labels(labels, size=len(code)) if in_class else np.zeros(len(code), int)
    classes, sizes = np.unique(labels, return_counts=True)
    k = _validate.whole(k, "k (at most the known images, of a class)", 1, sizes.min())
    power = _validate.number(normalise, "normalise", 0, 1)

    def place(code):
        length = np.maximum(np.linalg.norm(code, axis=1, keepdims=True), 1e-12)
        return np.ascontiguousarray(code / length**power, dtype=np.float32)

    banks = {
        label: NearestNeighbors(n_neighbors=k, algorithm="brute").fit(place(code[labels == label]))
        for label in classes.tolist()
    }

    def score(output):
        code = place(part(output, "code", width))
        group = named(output) if in_class else np.zeros(len(code), int)
        if new := set(group.tolist()) - set(banks):
            raise ValueError(f"output: expected known images of every class that is named, got none of {sorted(new)}")
        distance = np.empty(len(code), np.float32)
        for label in np.unique(group).tolist():
            distance[group == label] = banks[label].kneighbors(code[group == label])[0][:, -1]
        return distance

    return score


def knn_sum(known, labels=None, powers=(1.0, 0.0), sample=2000, seed=0):
    """Distances of :func:`knn` under several normalisations, added: in direction, and in direction and length.

    Each is divided by its standard deviation among known images, as their distances from their nearest others show it.
    known, labels: as there; powers: the normalisations; sample: of how many known images, drawn with the seed, the
    deviations are taken. Returns the score, a function of an output.
    """
    random, sample = np.random.default_rng(_validate.whole(seed, "seed")), _validate.whole(sample, "sample", 2)
    chosen = random.permutation(len(part(known, "code")))[:sample]
    some = Output(*(None if field is None else field[chosen] for field in known))
    # among the known images, the nearest neighbour of each is itself: ask for the second
    spreads = [knn(known, 2, power, labels)(some).std() for power in _validate.several(powers, "powers")]
    if min(spreads) == 0:
        raise ValueError("known: expected codes at different distances from each other, got the same for all")
    distances = [knn(known, 1, power, labels) for power in powers]

    def score(output):
        return sum(distance(output) / spread for distance, spread in zip(distances, spreads, strict=True))

    return score


def pca_residual(known, components=150):
    """How much of an image lies outside the principal components of known ones: ‖(x − m) − P Pᵀ(x − m)‖₂.

    x: the 784 pixels in [0, 1]; m: their mean over known images; P: the first ``components`` principal directions,
    1..783. No network takes part: it is the error of a linear autoencoder (Jackson & Mudholkar, Technometrics 1979).
    known: an Output with images. Returns the score, a function of an output.
    """
    components = _validate.whole(components, "components", 1, 783)
    pixels = _pixels(known).astype(np.float64)
    mean = pixels.mean(0)
    centred = pixels - mean
    # the last ones have the largest variance; the covariance of 784 pixels is small enough to be taken apart whole
    variances, directions = np.linalg.eigh(centred.T @ centred)
    rank = int((variances > 1e-12 * variances[-1]).sum())
    if rank < components:
        raise ValueError(f"known: expected images that differ in {components} directions or more, got {rank}")
    directions = directions[:, -components:]

    def score(output):
        centred = _pixels(output) - mean
        return np.linalg.norm(centred - centred @ directions @ directions.T, axis=1).astype(np.float32)

    return score


def vim(known, weight, bias, dimension=64):
    """A virtual logit for what the classifier does not look at (ViM, Wang et al., CVPR 2022, section 4).

    The code is centred where the logits vanish, o = −W⁺ b. R spans all but the first ``dimension`` principal directions
    of known codes. Score: a · ‖Rᵀ(z − o)‖₂ + energy, with a the mean largest logit of known images over their mean
    residual. known: output on training images, its logits as they are: log-probabilities are refused; weight [K, D],
    bias [K]: of the linear layer that turns a code into logits, as arrays; dimension: in 1..D − 1. Returns the score, a
    function of an output.
    """
    code, logits = part(known, "code"), part(known, "logits")
    weight = _validate.numbers(weight, "weight", (logits.shape[1], code.shape[1]))
    bias = _validate.numbers(bias, "bias", logits.shape[1:])
    dimension = _validate.whole(dimension, "dimension", 1, code.shape[1] - 1)
    origin = -np.linalg.pinv(weight) @ bias
    centred = code - origin
    rest = np.linalg.eigh(centred.T @ centred)[1][:, : code.shape[1] - dimension]  # eigh sorts in ascending order
    spread = np.linalg.norm(centred @ rest, axis=1).mean()
    if not spread > _rounding(code):
        raise ValueError("known: expected codes beyond the first principal directions, got none")
    scale = logits.max(1).mean(dtype=np.float64) / spread
    if not scale > 0:  # a larger residual would count as less unknown
        raise ValueError("known: expected largest logits above 0 in the mean; log-probabilities are no logits")

    def score(output):
        part(output, "logits", len(weight))
        residual = np.linalg.norm((part(output, "code", len(origin)) - origin) @ rest, axis=1)
        return _float32(scale * residual + energy(output))

    return score


def binarised(output, level=0.5):
    """Image and reconstruction as the score ``diff`` compares them: two bool arrays [N, 28, 28]. level: in (0, 1)."""
    level = _validate.number(level, "level", 0, 1, open_low=True, open_high=True)
    return part(output, "images") > level * 255, part(output, "reconstruction") > level


def _rounding(code):
    """The length below which a difference between codes [N, D] is one of rounding."""
    return 100 * np.finfo(code.dtype).eps * np.linalg.norm(code, axis=1).mean(dtype=np.float64)


def _float32(values):
    """As float32. What lies beyond its range lies at its end: further off than any line, and still a number."""
    return np.clip(values, np.finfo(np.float32).min, np.finfo(np.float32).max).astype(np.float32)


def _pixels(output):
    """The images as float32 [N, 784] in [0, 1]."""
    images = part(output, "images") / np.float32(255)
    return images.reshape(len(images), -1)


def _residual(output):
    """What the reconstruction leaves of the images: float [N, 784]."""
    return _pixels(output) - part(output, "reconstruction").reshape(len(output.images), -1)
