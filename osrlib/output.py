"""What a network says of images: of one batch in training, and of as many as you like afterwards."""

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from osrlib import checks
from osrlib.checks import AnyTensor, Count, FloatArray, Images, PixelTensor, describe
from osrlib.speed import remember


@dataclass(frozen=True)
class BatchOutput:
    """What a network says of a batch, as tensors: what ``forward`` returns, and what losses are made of.

    logits: before or after log-softmax; code: the features under the last linear layer; reconstruction: the copy,
    as bright as the images, which lie in [0, 1];
    errors: the reconstruction error under each class condition (:class:`osrlib.models.C2AE` alone has them).
    None for what a network does not have.
    """

    logits: AnyTensor["N K"]
    code: AnyTensor["N D"]
    reconstruction: AnyTensor["N 28 28"] | None = None
    errors: AnyTensor["N C"] | None = None


LARGEST = 1e15
"""The largest number that an output may hold. Squares of larger ones leave no room in float32 for their sum."""
PARTS = ("logits", "code", "reconstruction", "images", "errors")


class Output:
    """What a network says of N images, as float32 arrays. Checked here, once, so that scores can trust it.

    The parts are those of a :class:`BatchOutput`; images: uint8 [N, 28, 28], what went in; guess: int64 [N], the class
    that the classifier names. To ask for a part that the network does not have is a ValueError. ``output[index]`` is
    the output of some of the images.
    """

    def __init__(
        self,
        logits: FloatArray["N K"],
        code: FloatArray["N D"] | None = None,
        reconstruction: FloatArray["N 28 28"] | None = None,
        images: Images | None = None,
        errors: FloatArray["N C"] | None = None,
    ):
        for name, part in zip(PARTS, (logits, code, reconstruction, images, errors), strict=True):
            if part is not None:
                if not (np.abs(part) <= np.float64(LARGEST)).all():
                    raise ValueError(f"{name}: expected finite numbers up to {LARGEST:g}, got {describe(part)}")
                # contiguous: torch takes no array that is mirrored
                setattr(self, name, np.ascontiguousarray(part, dtype=np.uint8 if name == "images" else np.float32))
        self.guess = self.logits.argmax(1)

    def __getattr__(self, name):
        if name in PARTS:
            raise ValueError(f"output: expected one with {name}, got one with {', '.join(self.parts)}")
        raise AttributeError(f"an Output has no {name!r}")

    @property
    def parts(self):
        """Dict name → array, of the parts that there are."""
        return {name: part for name, part in vars(self).items() if name in PARTS}

    def __len__(self):
        return len(self.logits)

    def __getitem__(self, index):
        return Output(**{name: part[index] for name, part in self.parts.items()})

    @property
    def pixels(self):
        """The images as float32 [N, 784] in [0, 1]."""
        return self.images.reshape(len(self.images), -1) / np.float32(255)

    @property
    def copies(self):
        """The reconstructions as float32 [N, 784]."""
        return self.reconstruction.reshape(len(self.reconstruction), -1)


def infer(model: nn.Module, images: Images, batch_size: Count = 250) -> Output:
    """Run a model over many images, in evaluation mode, on the device that its weights are on.

    Every score is a function of the :class:`Output`, so that each image passes through the network once. Where the
    book is built, results over many images are shared between chapters (:mod:`osrlib.speed.remember`).
    """
    ask = partial(_infer, batch_size=batch_size)
    parts = remember.output(ask, model, images) if remember.FOLDER in os.environ else ask(model, images)
    return Output(**parts, images=images)


@torch.inference_mode()
def _infer(model, images, batch_size):
    """Dict name → array: what the model says of the images."""
    device, dtype = device_and_dtype(model)
    parts = {}
    with evaluating(model):
        for i in range(0, len(images), batch_size):
            batch = model(to_input(images[i : i + batch_size], device).to(dtype))
            if not isinstance(batch, BatchOutput):
                raise ValueError(f"model: expected one that returns a BatchOutput, got {describe(batch)}")
            for name, part in vars(batch).items():
                if part is not None:
                    # room for all at once: scattered between the batches, the results would break up the memory
                    if name not in parts:
                        parts[name] = np.empty((len(images), *part.shape[1:]), np.float32)
                    parts[name][i : i + batch_size] = part.float().cpu().numpy()
    return parts


def to_input(images: Images | PixelTensor["N 28 28"], device: str | torch.device = "cpu") -> torch.Tensor:
    """Images, as an array or a tensor → float [N, 1, 28, 28] in [0, 1], on the device."""
    if isinstance(images, np.ndarray):
        # torch takes no array that is mirrored, and warns of one that is read-only
        images = torch.from_numpy(np.require(images, requirements="CW"))
    return images.to(device).unsqueeze(1).float() / 255


def as_device(name: str | torch.device) -> torch.device:
    """A torch.device by its name, such as "cpu" or "cuda:0". ValueError for a device that this machine has not."""
    try:
        return torch.empty(0, device=torch.device(name)).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected the name of a device that this machine has, got {name!r}") from error


def device_and_dtype(model: nn.Module) -> tuple:
    """The device and the type of a model's weights; of a model without any, the CPU and float32."""
    weight = next(model.parameters(), torch.empty(0))
    return weight.device, weight.dtype


_one_at_a_time = threading.RLock()


@contextmanager
def evaluating(model: nn.Module):
    """A model in evaluation mode for as long as the block lasts; then each of its modules in the mode that it had.

    One thread at a time: another that shares the model would set it back to training in the middle.
    """
    with _one_at_a_time:
        modes = {}
        for module in model.modules():
            modes[module] = module.training
        model.eval()
        try:
            yield model
        finally:
            # one by one: train() of the whole would set modules that differ from it
            for module, training in modes.items():
                module.training = training


checks.guard(__name__)
