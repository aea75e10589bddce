"""What training makes small, and what style transfer measures.

The losses that train take (output, images, labels) and return their parts, the total first.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from beartype.vale import Is

from osrlib import checks
from osrlib.checks import ClassTensor, Count, Function, Share, Tensor, number_in
from osrlib.output import BatchOutput

Drawn = checks.alias(
    "a BatchOutput with reconstruction", Annotated[BatchOutput, Is[lambda output: output.reconstruction is not None]]
)


def classification_loss(
    output: BatchOutput, images: Tensor["N 1 28 28"], labels: ClassTensor["N"], smoothing: Share = 0.0
) -> dict:
    """Cross-entropy alone, for a network that only classifies.

    Log-probabilities may stand in for logits: log-softmax leaves them as they are. images: unused, so that every loss
    is called alike. smoothing: of the labels (Szegedy et al., CVPR 2016, section 7).
    """
    cross_entropy = _cross_entropy(output.logits, labels, smoothing)
    return {"loss": cross_entropy, "cross_entropy": cross_entropy}


def multitask_loss(
    output: Drawn,
    images: Tensor["N 1 28 28"],
    labels: ClassTensor["N"],
    weight: number_in(0, 1e6) = 1.0,
    smoothing: Share = 0.0,
) -> dict:
    """The report's loss: cross-entropy (nats) + weight · MSE (squared pixel values), the means over batch and pixels.

    weight: how much the reconstruction counts (1 in the report); smoothing: of the labels, as in
    :func:`classification_loss` (0 in the report).
    """
    cross_entropy = _cross_entropy(output.logits, labels, smoothing)
    mse = F.mse_loss(output.reconstruction, images.squeeze(1))
    return {"loss": cross_entropy + weight * mse, "cross_entropy": cross_entropy, "mse": mse}


def turned_loss(
    output: BatchOutput,
    images: Tensor["N 1 28 28"],
    labels: ClassTensor["N"],
    loss: Function,
    classes: Count,
    weight: number_in(0, 1e6) = 0.5,
) -> dict:
    """A loss of the upright images, plus weight · cross-entropy of the turned ones, which need not be drawn.

    Turned images have labels from ``classes`` on (:func:`osrlib.augment.with_turned`); a batch without any is left to
    the loss alone. loss: one of the others, with its cross-entropy among its parts. The accuracy is that of the upright
    images among their own classes.
    """
    upright = labels < classes
    if upright.all():
        return loss(output, images, labels)
    own, turned = (loss(_some(output, which), images[which], labels[which]) for which in (upright, ~upright))
    return own | {
        "loss": own["loss"] + weight * turned["cross_entropy"],
        "turned": turned["cross_entropy"],
        "accuracy": (output.logits[upright, :classes].argmax(1) == labels[upright]).float().mean(),
    }


def c2ae_loss(
    output: BatchOutput,
    images: Tensor["N 1 28 28"],
    labels: ClassTensor["N"],
    decode: Function,
    alpha: Share = 0.9,
) -> dict:
    """The second stage of C2AE (Oza & Patel, CVPR 2019, section 3.2): draw the image under its own class; under
    another class, draw an image of that class.

    α · ‖x − x̂_match‖₁ + (1 − α) · ‖x_nm − x̂_nonmatch‖₁, mean absolute differences per pixel. The non-match partner of
    an image is its neighbour in the (shuffled) batch: its class is the condition, its picture the target. Neighbours of
    one class are left out. decode: (code, condition) → [M, 28, 28], as :meth:`osrlib.models.C2AE.decode`; alpha: 0.9 in
    the paper.
    """
    images, other = images.squeeze(1), labels.roll(1)
    differ = other != labels
    code = torch.cat([output.code, output.code[differ]])
    drawn = decode(code, torch.cat([labels, other[differ]]))
    if drawn.shape != (len(code), 28, 28):
        raise ValueError(f"decode: expected {len(code)} drawings [28, 28], got {list(drawn.shape)}")
    match = F.l1_loss(drawn[: len(labels)], images)
    # a batch of one class has no non-match: its share is an exact zero, not the mean of nothing
    nonmatch = F.l1_loss(drawn[len(labels) :], images.roll(1, 0)[differ], reduction="sum")
    nonmatch = nonmatch / max(int(differ.sum()) * images[0].numel(), 1)
    return {"loss": alpha * match + (1 - alpha) * nonmatch, "match": match, "nonmatch": nonmatch}


def gram_matrix(features: Tensor["N C ..."]) -> torch.Tensor:
    """How features occur together, wherever they occur (Gatys et al., CVPR 2016, equation 3).

    features: C maps of P positions each. Returns [N, C, C], one matrix an image: F Fᵀ / (C · P).
    """
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / (rows.shape[1] * rows.shape[2])


def style_loss(features: Tensor["N C *maps"], target: Tensor["N C *maps"]) -> torch.Tensor:
    """The mean squared difference of two Gram matrices, per image: [N].

    Gatys et al. (equation 4) sum over the C² entries of F Fᵀ and divide by (2 C P)². This is 4 / C² of theirs.
    """
    return (gram_matrix(features) - gram_matrix(target)).square().mean((1, 2))


def content_loss(features: Tensor["N D *maps"], target: Tensor["N D *maps"]) -> torch.Tensor:
    """The mean squared difference of two sets of features, per image: [N].

    Gatys et al. (equation 1) take half of the sum over the D features. This is 2 / D of theirs.
    """
    return (features - target).square().flatten(1).mean(1)


def _some(output, which):
    return BatchOutput(**{name: part[which] for name, part in vars(output).items() if part is not None})


def _cross_entropy(logits, labels, smoothing):
    if labels.max() >= logits.shape[1]:
        raise ValueError(f"labels: expected classes in 0..{logits.shape[1] - 1}, got {labels.max()}")
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


checks.guard(__name__)
