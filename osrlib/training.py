"""One training loop, and the recipes that the book trains with."""

import inspect
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from osrlib import checks
from osrlib.augment import TurnedHead, Ways, with_turned
from osrlib.checks import Count, Function, NotNegative, Positive, Seed, Share, name_of
from osrlib.data import ImageSet
from osrlib.losses import classification_loss, turned_loss
from osrlib.models import C2AE
from osrlib.output import as_device, device_and_dtype, evaluating, to_input
from osrlib.speed.fused import fused_layers


@dataclass(frozen=True)
class Recipe:
    """How to train. ``lr`` is the learning rate, or its peak with ``one_cycle`` (Smith & Topin 2019).

    ``bfloat16``: products and convolutions in half the bits, where the device computes in them (:func:`has_bfloat16`).
    """

    epochs: Count
    batch_size: Count
    lr: Positive
    one_cycle: bool = False
    weight_decay: NotNegative = 0.0
    bfloat16: bool = False

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # torch's schedules take Python's own numbers alone
                object.__setattr__(self, name, value.item())


RECIPES = {
    "report": Recipe(epochs=20, batch_size=1024, lr=5e-4),
    "steady": Recipe(epochs=5, batch_size=256, lr=4e-3, one_cycle=True, weight_decay=0.01),
    "fast": Recipe(epochs=4, batch_size=128, lr=8e-3, one_cycle=True, weight_decay=0.01, bfloat16=True),
}
"""``report``: Adam with the report's hyper-parameters. ``steady``: a one-cycle schedule, for the networks of chapters 3
and 8. ``fast``: the same idea with larger steps, for training while the reader waits. Its figures were chosen by the
loss on held-back digits."""

RecipeName = name_of(RECIPES)


class History(list):
    """One dict an epoch: epoch, seconds, and per loss part and accuracy a ``train_…`` and a ``test_…`` entry.

    The training figures are the running means over the epoch, as the weights change; the test figures are measured
    after it.
    """

    def column(self, key: str) -> np.ndarray:
        """The values of one entry, over the epochs: float array [epochs]."""
        if self and key not in self[0]:
            raise ValueError(f"key: expected one of {', '.join(self[0])}, got {key!r}")
        return np.array([row[key] for row in self], dtype=float)


def seed_everything(seed: Seed):
    """Seed torch's global generator: weights drawn after this call are the same in each run."""
    torch.manual_seed(int(seed))


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16: without them it is emulated, and slower than float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):  # torch tells of the current device alone
            return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch before 2.11 cannot say
    told = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


def fit(
    model: nn.Module,
    loss: Function,
    data: ImageSet,
    recipe: Recipe | RecipeName,
    *,
    seed: Seed = 0,
    test: ImageSet | None = None,
    progress: bool = True,
    device: str | torch.device | None = None,
    on_epoch: Function | None = None,
    augment: Function | None = None,
) -> History:
    """Train a model in place, leave it in evaluation mode, and return its :class:`History`.

    loss: a function of output, images and labels as in :mod:`osrlib.losses` (``c2ae_loss`` wants a decoder besides,
    which :func:`fit_c2ae` hands it); seed: of the shuffling (the weights are the caller's: see ``zoo.build``); test: to
    measure on after each epoch, never to choose by; device: where to train (default: the model's own); on_epoch: called
    with the model and its row of the history after each epoch; augment: called with images, labels and a generator for
    each batch, returns the images and labels to train on (:mod:`osrlib.augment`).
    """
    _expect_loss_of(loss, "output", "images", "labels")
    recipe = RECIPES[recipe] if isinstance(recipe, str) else recipe
    own, dtype = device_and_dtype(model)
    device = own if device is None else as_device(device)
    # channels_last is the layout that the CPU's convolution kernels want; the numbers stay the same
    model.to(device, memory_format=torch.channels_last)
    images = torch.as_tensor(np.require(data.images, requirements="CW"), device=device)
    labels = torch.as_tensor(data.labels, device=device)
    generator = torch.Generator().manual_seed(int(seed))
    changes = torch.Generator().manual_seed(-1 - int(seed))  # its own: without augment, the order is the same
    steps = recipe.epochs * -(-len(images) // recipe.batch_size)
    fused = device.type in ("cpu", "cuda")  # one call updates all weights; AdamW without weight decay is Adam
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    schedule = None
    if recipe.one_cycle:
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps)
    short = torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16 and has_bfloat16(device))

    history = History()
    with tqdm(total=steps, disable=not progress, unit="batch") as bar:
        for epoch in range(1, recipe.epochs + 1):
            start, sums = time.perf_counter(), {}
            model.train()
            with fused_layers(model) if device.type == "cpu" else nullcontext():
                for chosen in torch.randperm(len(images), generator=generator).split(recipe.batch_size):
                    x, y = to_input(images[chosen], device).to(dtype), labels[chosen]
                    if augment is not None:
                        x, y = augment(x, y, changes)
                    with short:
                        output = model(x)
                        parts = loss(output, x, y)
                    if not parts["loss"].requires_grad:
                        raise ValueError("loss: expected one that depends on parameters that may change, got none")
                    optimizer.zero_grad()
                    parts["loss"].backward()
                    optimizer.step()
                    if schedule:
                        schedule.step()
                    _add(sums, parts, output, y)
                    bar.update()
            row = {"epoch": epoch} | _means(sums, "train")
            if not np.isfinite(row["train_loss"]):
                raise ValueError(f"expected a finite loss, got {row['train_loss']} in epoch {epoch}: try a smaller lr")
            row["seconds"] = time.perf_counter() - start
            if test is not None:
                row |= evaluate(model, loss, test)
            history.append(row)
            if on_epoch is not None:
                on_epoch(model, row)
            bar.set_postfix(epoch=epoch, loss=f"{row['train_loss']:.4f}", accuracy=f"{row['train_accuracy']:.2%}")
    model.eval()
    return history


def fit_c2ae(
    model: C2AE,
    loss: Function,
    data: ImageSet,
    recipe: Recipe | RecipeName,
    *,
    first: Recipe | RecipeName,
    smoothing: Share = 0.0,
    **options,
) -> History:
    """Train a :class:`osrlib.models.C2AE` in its two stages, and return one :class:`History` of both.

    Stage 1 trains encoder and classifier with cross-entropy (recipe ``first``, labels smoothed by ``smoothing``) and
    freezes them; stage 2 trains what is left with ``loss``, :func:`osrlib.losses.c2ae_loss` (recipe ``recipe``). Rows
    carry their ``stage``, and the epochs of the second count on. options: as in :func:`fit`.
    """
    _expect_loss_of(loss, "output", "images", "labels", "decode")  # not only when the first stage is done
    classify = partial(classification_loss, smoothing=smoothing)
    model.requires_grad_(True)  # it may have been frozen by an earlier training
    history = History({"stage": 1} | row for row in fit(model, classify, data, first, **options))
    model.freeze()
    for row in fit(model, partial(loss, decode=model.decode), data, recipe, **options):
        history.append({"stage": 2} | row | {"epoch": len(history) + 1})
    return history


def fit_turned(
    model: nn.Module,
    loss: Function,
    data: ImageSet,
    recipe: Recipe | RecipeName,
    *,
    ways: Ways = 8,
    augment: Function | None = None,
    **options,
) -> History:
    """Train a model to name a digit and how it is turned, and return its :class:`History`.

    Transformation labels (Lee, Hwang & Shin, ICML 2020), with one turn an image, drawn at random and counted half, and
    not all of them: see :mod:`osrlib.augment`, :func:`osrlib.losses.turned_loss`. Afterwards, the head has K outputs.
    model: with a linear ``classifier``; loss: with a part cross_entropy; options: as in :func:`fit`.
    """
    head = getattr(model, "classifier", None)
    if not isinstance(head, nn.Linear):
        raise ValueError(f"model: expected one with a linear classifier, got {type(head).__name__}")
    _expect_loss_of(loss, "output", "images", "labels")
    joint = partial(turned_loss, loss=loss, classes=head.out_features)
    turned = partial(with_turned, classes=head.out_features, ways=ways, first=augment)
    model.classifier = TurnedHead(head, ways)
    try:
        return fit(model, joint, data, recipe, augment=turned, **options)
    finally:
        model.classifier = head


@torch.inference_mode()
def evaluate(model: nn.Module, loss: Function, data: ImageSet, batch_size: Count = 250) -> dict:
    """The loss parts and the closed-set accuracy on an ImageSet, in evaluation mode: a dict with keys ``test_…``."""
    (device, dtype), sums = device_and_dtype(model), {}
    with evaluating(model):
        for start in range(0, len(data), batch_size):
            x = to_input(data.images[start : start + batch_size], device).to(dtype)
            y = torch.as_tensor(data.labels[start : start + batch_size], device=device)
            output = model(x)
            _add(sums, loss(output, x, y), output, y)
    return _means(sums, "test")


def _expect_loss_of(loss, *names):
    try:
        inspect.signature(loss).bind(**dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(f"loss: expected a function of {', '.join(names)}; {error}") from error


def _add(sums, parts, output, y):
    # sums stay on the device: reading them in each batch would make a GPU wait
    parts = {name: value.detach() for name, value in parts.items()}
    parts.setdefault("accuracy", (output.logits.argmax(1) == y).float().mean())  # unless the loss has its own
    for name, value in parts.items():
        sums[name] = sums.get(name, 0) + value * len(y)
    sums["count"] = sums.get("count", 0) + len(y)


def _means(sums, prefix):
    return {f"{prefix}_{name}": float(sums[name]) / sums["count"] for name in sums if name != "count"}


checks.guard(__name__)
