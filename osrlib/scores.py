"""How unknown does an image look? Each score maps what a network said to unknownness [N], larger = more unknown.

Every function takes an :class:`osrlib.models.Output` from :func:`osrlib.models.infer` and returns float32 [N].
ValueError where the output lacks what the score needs, or holds NaN.
"""

import numpy as np

from osrlib.models import Output


def norm(output):
    """Reconstruction error ‖x − x̂‖₂, pixels in [0, 1] (the report's ``norm``).

    The report does not say which norm. L2 fits its results best; chapter 7 tries the others.
    """
    return np.linalg.norm(_residual(output).reshape(len(output.images), -1), axis=1).astype(np.float32)


def diff(output, level=0.5):
    """The number of pixels in which image and reconstruction differ once both are binarised at ``level``, 0..784.

    The report's ``diff``; it does not print the level. level: in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number in (0, 1), got {level!r}")
    image, reconstruction = binarised(output, level)
    return (image != reconstruction).sum((1, 2)).astype(np.float32)


def msp(output):
    """One minus the maximum softmax probability (Hendrycks & Gimpel, ICLR 2017, section 2), in [0, 0.9]."""
    logits = _logits(output)
    logits = logits - logits.max(1, keepdims=True)
    return (1 - 1 / np.exp(logits).sum(1)).astype(np.float32)


def binarised(output, level=0.5):
    """Image and reconstruction as the score ``diff`` compares them: two bool arrays [N, 28, 28]."""
    _residual(output)
    return output.images > level * 255, output.reconstruction > level


def _residual(output):
    if not isinstance(output, Output) or output.images is None or output.reconstruction is None:
        raise ValueError("output: expected an Output with images and a reconstruction; this one has none")
    if output.reconstruction.shape != output.images.shape:
        raise ValueError(
            f"output: expected a reconstruction of shape {list(output.images.shape)}, "
            f"got {list(output.reconstruction.shape)}"
        )
    if not np.isfinite(output.reconstruction).all():
        raise ValueError("output: expected a finite reconstruction, got NaN or infinite pixels")
    return output.images / np.float32(255) - output.reconstruction


def _logits(output):
    if not isinstance(output, Output) or np.ndim(output.logits) != 2 or len(output.logits) == 0:
        raise ValueError("output: expected an Output with logits [N, K], N ≥ 1")
    if not np.isfinite(output.logits).all():
        raise ValueError("output: expected finite logits, got NaN or infinite ones")
    return np.asarray(output.logits, dtype=np.float64)
