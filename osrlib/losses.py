"""What training makes small. Every loss takes (output, images, labels) and returns its parts, the total first."""

import torch.nn.functional as F


def classification_loss(output, images, labels):
    """Cross-entropy alone, for a network that only classifies.

    output: :class:`osrlib.models.Output` with logits [N, 10]; images: float [N, 1, 28, 28] (unused, so that every loss
    is called alike); labels: int64 [N]. Log-probabilities may stand in for logits: log-softmax leaves them as they are.
    """
    cross_entropy = F.cross_entropy(output.logits, labels)
    return {"loss": cross_entropy, "cross_entropy": cross_entropy}


def multitask_loss(output, images, labels, weight=1.0):
    """The report's loss: cross-entropy (nats) + weight · MSE (squared pixel values), the means over batch and pixels.

    output: logits [N, 10] and reconstruction [N, 28, 28]; images: float [N, 1, 28, 28] in [0, 1]; labels: int64 [N];
    weight ≥ 0: how much the reconstruction counts (1 in the report).
    """
    if not weight >= 0:  # NaN too
        raise ValueError(f"weight: expected a number ≥ 0, got {weight}")
    if output.reconstruction is None:
        raise ValueError("output: expected a reconstruction [N, 28, 28], got None (this model only classifies)")
    if output.reconstruction.shape != images.squeeze(1).shape:
        got = list(output.reconstruction.shape)
        raise ValueError(f"output: expected a reconstruction of shape {list(images.squeeze(1).shape)}, got {got}")
    cross_entropy = F.cross_entropy(output.logits, labels)
    mse = F.mse_loss(output.reconstruction, images.squeeze(1))
    return {"loss": cross_entropy + weight * mse, "cross_entropy": cross_entropy, "mse": mse}
