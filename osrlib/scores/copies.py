"""Scores that compare an image with its copy."""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from osrlib import checks, losses
from osrlib.checks import Count, Positive
from osrlib.output import Output, device_and_dtype, evaluating


def norm(output: Output, relative: bool = False, unit: Positive = 1.0) -> Float[np.ndarray, "N"]:
    """How far the copy is from the image: ‖x − x̂‖₂, the report's first distance.

    relative: divide by ‖x‖₂ (and by one grey level at the least), so that a thin stroke counts as much as a thick one.
    unit: the brightness that counts as 1. The report counts in standard deviations of MNIST's pixels, 0.31.
    """
    error = np.linalg.norm(output.pixels - output.copies, axis=1) / unit
    if relative:
        error = error / np.maximum(np.linalg.norm(output.pixels, axis=1), 1 / 255)
    return error.astype(np.float32)


def diff(output: Output) -> Float[np.ndarray, "N"]:
    """In how many pixels image and copy differ once each is black and white, 0..784: the report's second distance."""
    image, copy = binarised(output)
    return (image != copy).sum((1, 2)).astype(np.float32)


def binarised(output: Output) -> tuple:
    """Image and copy as :func:`diff` compares them: two bool arrays [N, 28, 28], True where white.

    Every picture has a level of its own, Otsu's (IEEE Trans. SMC 1979): of all ways to cut its grey values into a dark
    and a bright group, the one whose means lie furthest apart, weighed by the sizes of the groups. A flat picture is
    all black.
    """
    from skimage.filters import threshold_otsu  # slow to import

    sides = []
    for pictures in (output.images / np.float32(255), output.reconstruction):
        levels = np.array(list(map(threshold_otsu, pictures)))
        sides.append(pictures > levels[:, None, None])
    return tuple(sides)


def class_error(output: Output, relative: bool = False) -> Float[np.ndarray, "N"]:
    """The smallest reconstruction error over the class conditions of C2AE (Oza & Patel, CVPR 2019, section 3.3).

    relative: divide it by the mean of the other K − 1 errors, so that an image is compared with itself under the
    conditions that do not fit it.
    """
    smallest = output.errors.min(1)
    if relative:
        others = (output.errors.sum(1) - smallest) / (output.errors.shape[1] - 1)
        smallest = smallest / np.maximum(others, 1e-12)
    return smallest


def style(output: Output) -> Float[np.ndarray, "N"]:
    """Style loss between image and copy (the report's attempt with style transfer).

    The rows of the picture are the features: one 28×28 Gram matrix an image, the mean squared difference of two.
    """
    image = torch.from_numpy(output.images / np.float32(255))
    return losses.style_loss(image, torch.from_numpy(output.reconstruction)).numpy()


def content(output: Output, model: nn.Module, batch_size: Count = 250) -> Float[np.ndarray, "N"]:
    """Content loss between the codes of image and copy: the copy is encoded once more.

    model: the one that made the output; batch_size: how many copies are encoded at once.
    """
    (device, dtype), again = device_and_dtype(model), []
    with evaluating(model), torch.inference_mode():
        for copies in torch.from_numpy(output.reconstruction).split(batch_size):
            again.append(model(copies.unsqueeze(1).to(device, dtype)).code.float().cpu())
    return losses.content_loss(torch.from_numpy(output.code), torch.cat(again)).numpy()


checks.guard(__name__)
