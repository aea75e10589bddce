"""What training makes small, and what style transfer measures.

The losses that train take (output, images, labels) and return their parts, the total first.
"""

import torch
import torch.nn.functional as F

from osrlib import _validate
from osrlib.models import Output


def classification_loss(output, images, labels, smoothing=0.0):
    """Cross-entropy alone, for a network that only classifies.

    output: :class:`osrlib.models.Output` with logits [N, K]; images: float [N, 1, 28, 28] (unused, so that every loss
    is called alike); labels: int64 [N]. Log-probabilities may stand in for logits: log-softmax leaves them as they are.
    smoothing: of the labels (Szegedy et al., CVPR 2016, section 7), in [0, 1].
    """
    _batch(output, labels, "logits")
    smoothing = _validate.number(smoothing, "smoothing", 0, 1)
    cross_entropy = F.cross_entropy(output.logits, labels, label_smoothing=smoothing)
    return {"loss": cross_entropy, "cross_entropy": cross_entropy}


def multitask_loss(output, images, labels, weight=1.0, smoothing=0.0):
    """The report's loss: cross-entropy (nats) + weight · MSE (squared pixel values), the means over batch and pixels.

    output: logits [N, K] and reconstruction [N, 28, 28]; images: float [N, 1, 28, 28] in [0, 1]; labels: int64 [N];
    weight in [0, 1e6]: how much the reconstruction counts (1 in the report); smoothing: of the labels, as in
    :func:`classification_loss` (0 in the report).
    """
    _batch(output, labels, "logits", "reconstruction", images=images)
    weight, smoothing = _validate.number(weight, "weight", 0, 1e6), _validate.number(smoothing, "smoothing", 0, 1)
    cross_entropy = F.cross_entropy(output.logits, labels, label_smoothing=smoothing)
    mse = F.mse_loss(output.reconstruction, images.squeeze(1))
    return {"loss": cross_entropy + weight * mse, "cross_entropy": cross_entropy, "mse": mse}


def c2ae_loss(output, images, labels, decode, alpha=0.9):
    """The second stage of C2AE (Oza & Patel, CVPR 2019, section 3.2): draw the image under its own class; under
    another class, draw an image of that class.

    α · ‖x − x̂_match‖₁ + (1 − α) · ‖x_nm − x̂_nonmatch‖₁, mean absolute differences per pixel. The non-match partner of
    an image is its neighbour in the (shuffled) batch: its class is the condition, its picture the target. Neighbours of
    one class are left out. output: code [N, 128]; images: float [N, 1, 28, 28] in [0, 1]; labels: int64 [N]; decode:
    (code, condition) → [M, 28, 28], as :meth:`osrlib.models.C2AE.decode`; alpha: in [0, 1], 0.9 in the paper.
    """
    _batch(output, labels, "code", images=images)
    alpha, decode = _validate.number(alpha, "alpha", 0, 1), _validate.function(decode, "decode")
    images, other = images.squeeze(1), labels.roll(1)
    differ = other != labels
    code = torch.cat([output.code, output.code[differ]])
    drawn = _validate.tensor(decode(code, torch.cat([labels, other[differ]])), "decode's answer", [len(code), 28, 28])
    match = F.l1_loss(drawn[: len(labels)], images)
    # a batch of one class has no non-match: its share is an exact zero, not the mean of nothing
    nonmatch = F.l1_loss(drawn[len(labels) :], images.roll(1, 0)[differ], reduction="sum")
    nonmatch = nonmatch / max(int(differ.sum()) * images[0].numel(), 1)
    return {"loss": alpha * match + (1 - alpha) * nonmatch, "match": match, "nonmatch": nonmatch}


def gram_matrix(features):
    """How features occur together, wherever they occur (Gatys et al., CVPR 2016, equation 3).

    features: float [N, C, …], C maps of P positions each. Returns [N, C, C], one matrix an image: F Fᵀ / (C · P).
    """
    _validate.tensor(features, "features", [None, None, ...])
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / (rows.shape[1] * rows.shape[2])


def style_loss(features, target):
    """The mean squared difference of two Gram matrices, per image: [N, C, …] twice → [N].

    Gatys et al. (equation 4) sum over the C² entries of F Fᵀ and divide by (2 C P)². This is 4 / C² of theirs.
    """
    _same_shape(features, target)
    return (gram_matrix(features) - gram_matrix(target)).square().mean((1, 2))


def content_loss(features, target):
    """The mean squared difference of two sets of features, per image: [N, D, …] twice → [N].

    Gatys et al. (equation 1) take half of the sum over the D features. This is 2 / D of theirs.
    """
    _same_shape(features, target)
    return (features - target).square().flatten(1).mean(1)


def _same_shape(features, target):
    for name, one in (("features", features), ("target", target)):
        _validate.tensor(one, name, [None, ...])
    if features.shape != target.shape:
        raise ValueError(
            f"features and target: expected one shape [N, …], got {list(features.shape)} and {list(target.shape)}"
        )


def _batch(output, labels, *parts, **images):
    """Sure that labels, these parts of an output and the images, where given, are of one batch, and finite."""
    _validate.instance(output, "output", Output)
    n = len(_validate.classes(labels, "labels"))
    shapes = {"reconstruction": [n, 28, 28], "logits": [n, None], "code": [n, None]}
    for part in parts:
        _validate.tensor(getattr(output, part), f"output.{part}", shapes[part])
    if "logits" in parts:
        _validate.classes(labels, "labels", output.logits.shape[1])
    for name, value in images.items():
        _validate.tensor(value, name, [n, 1, 28, 28])
