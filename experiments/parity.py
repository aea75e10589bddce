"""Whether a device gives the CPU's numbers: each function asks one of the two for arrays, a row an image."""

import functools
from contextlib import contextmanager

import numpy as np
import torch

from osrlib import data, losses, training, zoo
from osrlib.output import infer
from osrlib.scores import SCORES, Seen

TOLERANCE, EDGE = 1e-3, 0.01
"""How far numbers may differ (relative above 1, absolute below), and for which share of images by more: some scores
have steps (Otsu's level, the class that is named), and an image on the edge may come down on either side."""
PER_IMAGE = {
    "gram_matrix": lambda maps, _: losses.gram_matrix(maps),
    "style_loss": losses.style_loss,
    "content_loss": losses.content_loss,
}
"""The losses that no model is trained with."""


def compare(task, name, device, size):
    """How far the numbers of a task differ between the CPU and a device."""
    by_row = 0
    for pair in zip(task(name, "cpu", size), task(name, device, size), strict=True):
        one, other = (np.asarray(side, np.float64).reshape(len(side), -1) for side in pair)
        by_row = np.maximum(by_row, (np.abs(one - other) / np.maximum(np.abs(one), 1)).max(1))
    if not np.isfinite(by_row).all():
        raise ValueError("expected finite numbers on both devices, got others")
    beyond = float((by_row > TOLERANCE).mean())
    return {"largest": float(by_row.max()), "beyond": beyond, "ok": beyond <= EDGE}


def pictures(size):
    """Digits and noise, half and half."""
    digits = data.load("mnist").images[: size.compared // 2]
    return np.concatenate([digits, np.random.default_rng(0).integers(0, 256, digits.shape, dtype=np.uint8)])


def of_model(name, where, size):
    """All that a published model says."""
    return infer(zoo.load(name, where), pictures(size)).parts.values()


def of_training(name, where, size):
    """The parts of a loss in three steps of training: the second and the third depend on the gradients too.

    The steps are small: Adam's first one is as long for a gradient that is rounding alone as for any other.
    """
    spec, step = zoo.MODELS[name], training.Recipe(epochs=3, batch_size=size.compared, lr=1e-5)
    training.seed_everything(0)
    digits, options = spec.digits()[: size.compared], {"first": spec.first and step, "device": where}
    history = spec.fit(spec.build(), digits, recipe=step, progress=False, **options)
    # an accuracy is a count: it has steps
    return [[v for row in history for k, v in row.items() if k.startswith("train_") and "accuracy" not in k]]


def of_loss(name, where, size):
    """A loss that has a value for each image, on maps as large as those in a network."""
    maps = torch.rand(2, size.compared, 16, 14, 14, generator=torch.Generator().manual_seed(0))
    return [PER_IMAGE[name](*maps.to(where)).cpu()]


@functools.cache
def said(model, where, size):
    """What a score may have seen of a network, and what the network says of the pictures."""
    network = zoo.load(model, where)
    train, held_out = (data.rule_digits(part)[: size.seen] for part in ("train", "choose"))
    seen = Seen(network, infer(network, train.images), train.labels, infer(network, held_out.images))
    return seen, infer(network, pictures(size))


def of_score(name, where, size):
    """A score, made and asked on what a network said."""
    seen, output = said("c2ae" if name.startswith("C2AE") else "mtae-rule", where, size)
    return [SCORES[name](seen)(output)]


@contextmanager
def without_tf32():
    """float32 as it is on the GPU too, while the block lasts: products and convolutions not rounded to TF32's 10 bits.

    PyTorch rounds in convolutions by default, where the card can.
    """
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [one.allow_tf32 for one in backends]
    try:
        for one in backends:
            one.allow_tf32 = False
        yield
    finally:
        for one, was in zip(backends, before, strict=True):
            one.allow_tf32 = was
