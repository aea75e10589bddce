"""Scores that compare an image with its copy."""

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from osrlib import checks, losses
from osrlib.checks import Count, PartShare
from osrlib.output import Output, device_and_dtype, evaluating


def norm(output: Output, relative: bool = False) -> Float[np.ndarray, "N"]:
    """How far the copy is from the image: ‖x − x̂‖₂, pixels in [0, 1] (the report's ``norm``).

    The report does not say which norm. L2 fits its results best; chapter 7 tries the others.
    relative: divide by ‖x‖₂ (and by one grey level at the least), so that a thin stroke counts as much as a thick one.
    """
    error = np.linalg.norm(output.pixels - output.copies, axis=1)
    if relative:
        error = error / np.maximum(np.linalg.norm(output.pixels, axis=1), 1 / 255)
    return error.astype(np.float32)


def diff(output: Output, level: PartShare = 0.5) -> Float[np.ndarray, "N"]:
    """The number of pixels in which image and copy differ once both are binarised at ``level``, 0..784.

    The report's ``diff``; it does not print the level.
    """
    image, copy = binarised(output, level)
    return (image != copy).sum((1, 2)).astype(np.float32)


def binarised(output: Output, level: PartShare = 0.5) -> tuple:
    """Image and copy as :func:`diff` compares them: two bool arrays [N, 28, 28]."""
    return output.images > level * 255, output.reconstruction > level


def class_error(output: Output, relative: bool = False) -> Float[np.ndarray, "N"]:
    """The smallest reconstruction error over the class conditions of C2AE (Oza & Patel, CVPR 2019, section 3.3).

    relative: divide it by the mean of the other K − 1 errors, so that an image is compared with itself: an image that
    is hard to draw is hard under every condition.
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

    model: the one that made the output, with an ``encoder``; batch_size: how many copies are encoded at once.
    """
    (device, dtype), again = device_and_dtype(model), []
    with evaluating(model), torch.inference_mode():
        for copies in torch.from_numpy(output.reconstruction).split(batch_size):
            again.append(model.encoder(copies.unsqueeze(1).to(device, dtype)).float().cpu())
    return losses.content_loss(torch.from_numpy(output.code), torch.cat(again)).numpy()


checks.guard(__name__)
