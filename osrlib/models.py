"""The report's two networks, layer for layer, the class-conditioned one, and one way to run them over many images."""

import ctypes
import sys
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from osrlib import _validate, fused, remember


class Output(NamedTuple):
    """What a network says of a batch. As tensors inside training, as numpy arrays out of :func:`infer`.

    ``logits`` [N, K] class scores before (or after) log-softmax; ``code`` [N, D] the features under the last
    linear layer; ``reconstruction`` [N, 28, 28] in [0, 1], or None where the network does not reconstruct;
    ``images`` uint8 [N, 28, 28], what went in (set by :func:`infer` alone); ``errors`` [N, K] the reconstruction error
    under each class condition, or None (:class:`C2AE` alone has them).
    """

    logits: torch.Tensor | np.ndarray
    code: torch.Tensor | np.ndarray
    reconstruction: torch.Tensor | np.ndarray | None = None
    images: np.ndarray | None = None
    errors: torch.Tensor | np.ndarray | None = None


LARGEST = 1e15
"""The largest number that an output may hold. Squares of larger ones leave no room in float32 for their sum."""


def part(output, name, width=None):
    """A part of an :class:`Output` of numpy arrays, once it is sure that a score can be made of it.

    name: a field that must be there; width: the D of a part [N, D], where it must be a certain one. ValueError where
    the parts are not of as many images each, or this one is missing, of another shape or type, or not finite.
    """
    _validate.instance(output, "output", Output)
    value = getattr(output, _validate.choice(name, "name", Output._fields))
    if name in ("images", "reconstruction"):
        sizes = (28, 28)
    else:
        sizes = (None if width is None else _validate.whole(width, "width", 1),)
    if (
        not (_validate.plain(value) and value.dtype.kind in "fiu" and value.size)
        or (name == "images" and value.dtype != np.uint8)
        or (name == "reconstruction" and value.dtype.kind != "f")
        or value.ndim != 1 + len(sizes)
        or any(size not in (None, got) for size, got in zip(sizes, value.shape[1:], strict=True))
    ):
        shape = ", ".join("D" if size is None else str(size) for size in sizes)
        raise ValueError(f"output: expected {name} [N, {shape}], N ≥ 1, as an array; got {_validate.describe(value)}")
    if name != "images":  # half precision and integers have no room for sums and squares; torch has no longer floats
        wide = np.result_type(value, np.float32)
        value = value.astype(np.float64 if wide.itemsize > 8 else wide, copy=False)
    if not (np.abs(value) <= LARGEST).all():  # NaN too
        raise ValueError(f"output: expected finite {name} up to {LARGEST:g}, got others")
    for field, other in output._asdict().items():
        if other is not None and not (_validate.plain(other) and other.shape[:1] == value.shape[:1]):
            got = _validate.describe(other)
            raise ValueError(f"output: expected {len(value)} rows in {field} as in {name}, got {got}")
    return np.require(value, requirements="CW")  # a copy of mirrored and read-only arrays: torch wants neither


def named(output):
    """The class that the classifier names for each image: int64 [N]."""
    return part(output, "logits").argmax(1)


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

    def forward(self, x):
        # what the fused layers stand for: batch statistics of images that need no gradient
        fits = self[1].training and x.shape[1:] == (1, 28, 28) and not x.requires_grad
        if not fits or x.device.type != "cpu":
            return super().forward(x)
        x = fused.convolve_normalise_pool(x, self[0], self[1])
        for layer in list(self)[3:]:
            x = layer(x)
        return x


class Decoder(nn.Sequential):
    """Code to image: [N, 128] → [N, 1, 28, 28] in [0, 1].

    The last layer of the report's table doubles a 14×14 picture to 28×28. Every reconstruction is therefore made of
    2×2 blocks: fine strokes are out of its reach by construction. ``fine=True`` doubles first and convolves then, with
    the same parameters: single pixels can be drawn, at four times the work in that layer.
    """

    def __init__(self, output="sigmoid", fine=False):
        layers = [
            nn.Linear(128, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(16, 1, 3, padding=1), OUTPUTS[_validate.choice(output, "output", OUTPUTS)](),
        ]  # fmt: skip
        fine = _validate.flag(fine, "fine")
        layers.insert(7 if fine else 9, nn.Upsample(scale_factor=2))
        super().__init__(*layers)
        self.fine = fine

    def forward(self, x):
        if not (self.training and x.device.type == "cpu"):
            return super().forward(x)
        for layer in list(self)[:6]:
            x = layer(x)
        x = fused.enlarge_convolve(x, self[8 if self.fine else 7], 4 if self.fine else 2)
        for layer in list(self)[9 if self.fine else 8 :]:
            x = layer(x)
        return x


class MultiTaskAE(nn.Module):
    """The report's model: an autoencoder of 412,801 parameters that also classifies its own code.

    The report calls the head "a simple classifier" and prints no layers; one linear layer (+1,290 parameters) is the
    simplest there is. ``output="linear"`` leaves out the last sigmoid, for the reading with standardised pixels
    (chapter 7).

    ``classifier``: a trained network that classifies the *reconstruction* in place of the head (the report's third
    attempt, chapter 5). It is frozen: only encoder and decoder are trained, and what they draw must be readable.
    """

    def __init__(self, output="sigmoid", classifier=None, classes=10):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = Decoder(output)
        self.reads_drawing = classifier is not None
        if self.reads_drawing:
            _validate.instance(classifier, "classifier", nn.Module)
        _validate.whole(classes, "classes", 1)
        self.classifier = classifier.requires_grad_(False) if self.reads_drawing else nn.Linear(128, classes)

    def train(self, mode=True):
        """As any module's, but a classifier that reads the drawing stays in evaluation mode."""
        super().train(mode)
        self.classifier.train(mode and not self.reads_drawing)
        return self

    def forward(self, x):
        code = self.encoder(x)
        drawing = self.decoder(code)
        logits = self.classifier(drawing).logits if self.reads_drawing else self.classifier(code)
        return Output(logits, code, drawing.squeeze(1))


class C2AE(nn.Module):
    """The class-conditioned autoencoder (Oza & Patel, CVPR 2019) on the book's encoder and decoder.

    The decoder is told a class j, as a vector l with +1 at j and −1 elsewhere, which scales and shifts the code z
    feature by feature (FiLM, Perez et al. 2018): z_l = H_γ(l) ⊙ z + H_β(l). Departures from the paper: a far smaller
    network; H_γ and H_β are linear, which loses nothing for K fixed vectors; chapter 3 lists the rest. ``fine``: as in
    :class:`Decoder`.

    In training mode it stops at logits and code, since the loss decodes the conditions that it needs. In evaluation
    mode it decodes under every condition: ``errors`` [N, K], mean absolute difference per pixel, in [0, 1];
    ``reconstruction``: the one with the smallest error.
    """

    def __init__(self, classes=10, fine=True):
        super().__init__()
        _validate.whole(classes, "classes", 1)
        self.encoder = Encoder()
        self.classifier = nn.Linear(128, classes)
        self.scale, self.shift = nn.Linear(classes, 128), nn.Linear(classes, 128)
        self.decoder = Decoder(fine=fine)

    def decode(self, code, condition):
        """Draw codes [N, 128] under conditions, int64 [N]: float [N, 28, 28] in [0, 1]."""
        _validate.classes(condition, "condition", self.scale.in_features)
        _validate.tensor(code, "code", [len(condition), 128])
        dtype = self.scale.weight.dtype
        label = (2 * F.one_hot(condition, self.scale.in_features) - 1).to(dtype)
        return self.decoder((self.scale(label) * code + self.shift(label)).to(dtype)).squeeze(1)

    def freeze(self):
        """Fix encoder and classifier, as the second stage of training wants them."""
        self.encoder.requires_grad_(False)
        self.classifier.requires_grad_(False)

    def train(self, mode=True):
        """As any module's, but a frozen encoder stays in evaluation mode: its batch statistics are fixed too."""
        super().train(mode)
        self.encoder.train(mode and self.classifier.weight.requires_grad)
        return self

    def forward(self, x):
        code = self.encoder(x)
        logits = self.classifier(code)
        if self.training:
            return Output(logits, code)
        n, classes = logits.shape
        conditions = torch.arange(classes, device=x.device).repeat(n)
        drawings = self.decode(code.repeat_interleave(classes, 0), conditions).unflatten(0, (n, classes))
        errors = (drawings - x).abs().mean((2, 3))
        return Output(logits, code, drawings[torch.arange(n), errors.argmin(1)], errors=errors)


class GramFeatures(nn.Module):
    """A classifier whose ``code`` [N, D] is the Gram features of its layers (Sastry & Oore, ICML 2020).

    For a layer with feature maps F [C, P positions] and an order p, the Gram matrix G^p = (F^p F^pᵀ)^(1/p); its rows
    are summed before the root, as in their code: row c is (Σ_x F_cx^p T_x)^(1/p) with T_x = Σ_k F_kx^p. Each
    channel is divided by its largest entry before any power is taken, so that none can overflow.
    ``layer`` int64 [D] names the layer that each feature belongs to. Layers, all ≥ 0: of a :class:`BaselineCNN` the
    first convolution behind its pooling, the second behind its ReLU, and the 256 features; of a :class:`MultiTaskAE`
    both convolutions of the encoder. orders: whole numbers ≥ 1.
    """

    def __init__(self, model, orders=(1, 2, 3, 4, 5)):
        super().__init__()
        _gram_orders(orders)
        if isinstance(model, BaselineCNN):
            self.part, self.steps, channels = "features", (2, 4, 8), (64, 32, 256)
        else:
            if _validate.instance(model, "model", MultiTaskAE).reads_drawing:
                raise ValueError("model: expected one that classifies its code, got one that reads its drawing")
            self.part, self.steps, channels = "encoder", (3, 7), (16, 32)
        self.model, self.orders = model, tuple(orders)
        self.layer = np.repeat(range(len(channels)), np.multiply(channels, len(self.orders)))

    def forward(self, x):
        rows = []
        for i, layer in enumerate(getattr(self.model, self.part)):
            x = layer(x)
            if i in self.steps:
                rows.append(gram_rows(x, self.orders))
        return Output(self.model.classifier(x), torch.cat(rows, 1))


def gram_rows(features, orders):
    """The row sums of Gram matrices of several orders: [N, C, …] ≥ 0 → [N, orders · C]; see :class:`GramFeatures`."""
    _gram_orders(orders)
    _validate.tensor(features, "features", [None, ...])
    if features.min() < 0:
        raise ValueError("features: expected numbers ≥ 0, got others")
    features = features.flatten(2) if features.ndim > 2 else features.unsqueeze(2)
    own = features.amax(2).clamp_min(1e-30)
    largest = own.amax(1, keepdim=True)
    scaled, share = features / own.unsqueeze(2), own / largest
    power, rows = torch.ones_like(scaled), {}
    for p in range(1, max(orders) + 1):
        power = power * scaled
        if p in orders:
            total = (share**p).unsqueeze(1) @ power
            rows[p] = own * largest * (power @ total.transpose(1, 2)).squeeze(2) ** (1 / p)
    return torch.cat([rows[p] for p in orders], 1)


def _gram_orders(orders):
    if not isinstance(orders, list | tuple | range) or not orders or any(type(p) is not int or p < 1 for p in orders):
        raise ValueError(f"orders: expected whole numbers ≥ 1, got {_validate.describe(orders)}")


def keep_freed_memory():
    """Have glibc keep the memory of freed tensors instead of giving it back to the kernel after each batch.

    A batch of this size frees and asks for hundreds of megabytes; without this, page faults take half of the time.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        m_trim_threshold, m_mmap_max = -1, -4  # names and numbers from glibc's malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def as_device(name):
    """A torch.device by its name, such as "cpu" or "cuda:0". ValueError for a device that this machine has not."""
    try:
        return torch.empty(0, device=torch.device(name)).device
    except (RuntimeError, TypeError, ValueError, OverflowError, AssertionError) as error:
        got = _validate.describe(name)
        raise ValueError(f"device: expected the name of a device that this machine has, got {got}") from error


def to_input(images, device="cpu"):
    """uint8 [N, 28, 28] (array or tensor) → float [N, 1, 28, 28] in [0, 1], on the device."""
    if not isinstance(images, torch.Tensor):
        # torch takes no array that is mirrored, and warns of one that is read-only
        images = torch.from_numpy(np.require(_validate.images(images), requirements="CW"))
    elif images.dtype != torch.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(f"images: expected uint8 [N ≥ 1, 28, 28], got {images.dtype} {list(images.shape)}")
    return images.to(as_device(device)).unsqueeze(1).float() / 255


def home(model):
    """The device and the type of a model's weights; of a model without any, the CPU and float32."""
    weight = next(_validate.instance(model, "model", nn.Module).parameters(), torch.empty(0))
    return weight.device, weight.dtype


_MODES = threading.RLock()


@contextmanager
def evaluating(model):
    """A model in evaluation mode for as long as the block lasts; then each of its modules in the mode that it had.

    One thread at a time: another that shares the model would set it back to training in the middle.
    """
    _validate.instance(model, "model", nn.Module)
    with _MODES:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            yield model
        finally:
            # one by one: train() of the whole would set modules that differ from it
            for module, training in modes:
                module.training = training


def infer(model, images, batch_size=250):
    """Run a model over many images, in evaluation mode, on the device that its weights are on.

    images: uint8 [N, 28, 28]. Returns an :class:`Output` of numpy arrays (float32), with ``images`` in it.
    Every score is a function of this one object, so that each image passes through the network once. Where the book is
    built, results over many images are shared between chapters (:mod:`osrlib.remember`).
    ValueError for anything but uint8 [N ≥ 1, 28, 28].
    """
    _validate.instance(model, "model", nn.Module)
    _validate.images(images)
    batch_size = _validate.whole(batch_size, "batch_size", 1)
    fields = remember.output(partial(_infer, batch_size=batch_size), model, images)
    return Output(*fields)._replace(images=images)


@torch.inference_mode()
def _infer(model, images, batch_size):
    keep_freed_memory()
    device, dtype = home(model)
    with evaluating(model):
        for i in range(0, len(images), batch_size):
            x = to_input(images[i : i + batch_size], device).to(dtype)
            batch = _validate.instance(model(x), "model(…)", Output)
            if i == 0:  # room for all results at once: scattered between the batches, they would break up the memory
                fields = [None if part is None else np.empty((len(images), *part.shape[1:]), "f4") for part in batch]
            for whole, part in zip(fields, batch, strict=True):
                if whole is not None:
                    whole[i : i + batch_size] = part.float().cpu().numpy()
    return fields


def count_parameters(model):
    """The number of parameters, frozen ones among them."""
    _validate.instance(model, "model", nn.Module)
    return sum(p.numel() for p in model.parameters())


def layer_table(model):
    """The layers as the report prints them: a list of (layer, output shape, parameters), in the order they run."""
    device, dtype = home(model)
    rows = []

    def note(layer, _, output):
        own = sum(p.numel() for p in layer.parameters())
        rows.append((f"{type(layer).__name__}-{len(rows) + 1}", [-1, *output.shape[1:]], own))

    with evaluating(model), torch.inference_mode(), ExitStack() as hooks:
        for layer in model.modules():
            if not list(layer.children()):
                hooks.enter_context(layer.register_forward_hook(note))
        model(torch.zeros(1, 1, 28, 28, device=device, dtype=dtype))
    return rows
