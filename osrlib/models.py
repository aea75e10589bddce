"""The report's two networks, layer for layer, and one way to run them over many images."""

import ctypes
import sys
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from osrlib import _validate


class Output(NamedTuple):
    """What a network says of a batch. As tensors inside training, as numpy arrays out of :func:`infer`.

    ``logits`` [N, 10] class scores before (or after) log-softmax; ``code`` [N, D] the features under the last
    linear layer; ``reconstruction`` [N, 28, 28] in [0, 1], or None where the network does not reconstruct;
    ``images`` uint8 [N, 28, 28], what went in (set by :func:`infer` alone).
    """

    logits: torch.Tensor | np.ndarray
    code: torch.Tensor | np.ndarray
    reconstruction: torch.Tensor | np.ndarray | None = None
    images: np.ndarray | None = None


POOLINGS = {"avg": (nn.AvgPool2d, nn.AdaptiveAvgPool2d), "max": (nn.MaxPool2d, nn.AdaptiveMaxPool2d)}
OUTPUTS = {"sigmoid": nn.Sigmoid, "linear": nn.Identity}


class BaselineCNN(nn.Module):
    """The report's baseline: 31,146 parameters.

    Its table prints no pooling layers, though 28×28 maps become 14×14, and 32 maps become 32 numbers. ``pool="avg"``
    averages in both places (the reading that fits the report's 80.99 %), ``pool="max"`` takes the largest value.

    Input: float [N, 1, 28, 28] in [0, 1]. Output: log-probabilities [N, 10] and the 256 features before them.
    """

    def __init__(self, pool="avg"):
        super().__init__()
        halve, squeeze = POOLINGS[_validate.choice(pool, "pool", POOLINGS)]
        self.features = nn.Sequential(
            nn.Conv2d(1, 64, 5, padding=2), nn.ReLU(), halve(2),
            nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), squeeze(1), nn.Flatten(),
            nn.Linear(32, 256), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Linear(256, 10), nn.LogSoftmax(dim=1))

    def forward(self, x):
        code = self.features(x)
        return Output(self.classifier(code), code)


class Encoder(nn.Sequential):
    """Image to code: float [N, 1, 28, 28] → [N, 128].

    ReLU stands behind max pooling, not before it: both keep the larger of two numbers, so the order changes no value,
    and the ReLU has a quarter of the pixels to visit.
    """

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.MaxPool2d(2), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128),
        )  # fmt: skip


class Decoder(nn.Sequential):
    """Code to image: [N, 128] → [N, 1, 28, 28] in [0, 1].

    The last layer of the report's table doubles a 14×14 picture to 28×28. Every reconstruction is therefore made of
    2×2 blocks: fine strokes are out of its reach by construction.
    """

    def __init__(self, output="sigmoid"):
        super().__init__(
            nn.Linear(128, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(16, 1, 3, padding=1), OUTPUTS[_validate.choice(output, "output", OUTPUTS)](),
            nn.Upsample(scale_factor=2),
        )  # fmt: skip


class MultiTaskAE(nn.Module):
    """The report's model: an autoencoder of 412,801 parameters that also classifies its own code.

    The report calls the head "a simple classifier" and prints no layers; one linear layer (+1,290 parameters) is the
    simplest there is. ``output="linear"`` leaves out the last sigmoid, for the reading with standardised pixels
    (chapter 7).
    """

    def __init__(self, output="sigmoid"):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder(output)
        self.classifier = nn.Linear(128, 10)

    def forward(self, x):
        code = self.encoder(x)
        return Output(self.classifier(code), code, self.decoder(code).squeeze(1))


def keep_freed_memory():
    """Have glibc keep the memory of freed tensors instead of giving it back to the kernel after each batch.

    A batch of this size frees and asks for hundreds of megabytes; without this, page faults take half of the time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_trim_threshold, m_mmap_max = -1, -4  # names and numbers from glibc's malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def to_input(images, device="cpu"):
    """uint8 [N, 28, 28] (array or tensor) → float [N, 1, 28, 28] in [0, 1], on the device."""
    return torch.as_tensor(images, device=device).unsqueeze(1).float() / 255


@torch.inference_mode()
def infer(model, images, batch_size=250):
    """Run a model over many images, in evaluation mode, on the device that its weights are on.

    images: uint8 [N, 28, 28]. Returns an :class:`Output` of numpy arrays (float32), with ``images`` in it.
    Every score is a function of this one object, so that each image passes through the network once.
    ValueError for anything but uint8 [N ≥ 1, 28, 28].
    """
    _validate.images(images)
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size: expected a whole number ≥ 1, got {batch_size!r}")
    keep_freed_memory()
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        batches = [model(to_input(images[i : i + batch_size], device)) for i in range(0, len(images), batch_size)]
    finally:
        model.train(training)
    fields = [None if part[0] is None else torch.cat(part).cpu().numpy() for part in zip(*batches, strict=True)]
    return Output(*fields[:3], images=images)


def count_parameters(model):
    """The number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def layer_table(model):
    """The layers as the report prints them: a list of (layer, output shape, parameters), in the order they run."""
    rows, hooks = [], []

    def note(layer, _, output):
        own = sum(p.numel() for p in layer.parameters())
        rows.append((f"{type(layer).__name__}-{len(rows) + 1}", [-1, *output.shape[1:]], own))

    for layer in model.modules():
        if not list(layer.children()):
            hooks.append(layer.register_forward_hook(note))
    training = model.training
    model.eval()
    with torch.inference_mode():
        model(torch.zeros(1, 1, 28, 28, device=next(model.parameters()).device))
    model.train(training)
    for hook in hooks:
        hook.remove()
    return rows
