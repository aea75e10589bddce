"""The reference models: load one in a moment, or train it again from its recipe.

The weights lie in ``osrlib/weights`` as safetensors files, each with its SHA-256 in ``manifest.json``. The book's
reference run (``make train``) wrote them, together with ``reference.json``: what it measured.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from osrlib import checks, data, losses, models, output, training
from osrlib.checks import Function, Seed, Share, whole_number
from osrlib.data import ImageSet
from osrlib.training import History, Recipe, RecipeName

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Spec:
    """How a reference model is built and trained.

    C2AE's first stage has a recipe and label smoothing of its own. ``digits``: gives the images that it is
    trained on; ``augment``: changes each batch (:mod:`osrlib.augment`); ``ways``: of turning a digit that the model
    learns to name besides (:func:`osrlib.training.fit_turned`), 1 for none.
    """

    build: Function
    loss: Function
    recipe: Recipe
    first: Recipe | None = None
    smoothing: Share = 0.0
    digits: Function = lambda: data.load("mnist", "train")
    augment: Function | None = None
    ways: whole_number(1, 8) = 1

    def fit(
        self,
        model: nn.Module,
        images: ImageSet,
        *,
        recipe: Recipe | RecipeName | None = None,
        first: Recipe | RecipeName | None = None,
        **options,
    ) -> History:
        """Train a model on images, by this recipe or another."""
        recipe, first, fit = recipe or self.recipe, first or self.first, training.fit
        if first is not None:
            fit = partial(training.fit_c2ae, first=first, smoothing=self.smoothing)
        elif self.ways > 1:
            fit = partial(training.fit_turned, ways=self.ways)
        return fit(model, self.loss, images, recipe, **{"augment": self.augment} | options)


REPORT_LOSS = partial(losses.multitask_loss, weight=1 / models.STD**2)
"""The report adds the squared error of standardised pixels, and the library's loss counts brightness."""

MODELS = {
    "baseline": Spec(
        models.BaselineCNN,
        losses.classification_loss,
        Recipe(epochs=5, batch_size=1024, lr=0.01),
        digits=data.report_digits,
    ),
    "cnn": Spec(
        lambda: models.BaselineCNN("max", standardise=False),
        losses.classification_loss,
        Recipe(epochs=12, batch_size=256, lr=4e-3, one_cycle=True, weight_decay=0.01),
    ),
    "mtae": Spec(models.MultiTaskAE, REPORT_LOSS, training.RECIPES["report"], digits=data.report_digits),
    "mtae-cnn": Spec(
        lambda: models.ReadAE(load("cnn")), REPORT_LOSS, training.RECIPES["report"], digits=data.report_digits
    ),
    "c2ae": Spec(
        models.C2AE,
        partial(losses.c2ae_loss, alpha=0.5),
        Recipe(epochs=15, batch_size=256, lr=1e-2, one_cycle=True, weight_decay=0.01),
        first=training.RECIPES["steady"],
        smoothing=0.1,
    ),
    "mtae-rule": Spec(
        models.SigmoidAE,
        partial(losses.multitask_loss, weight=4.0, smoothing=0.1),
        Recipe(epochs=8, batch_size=256, lr=4e-3, one_cycle=True, weight_decay=0.01),
        digits=data.rule_digits,
        ways=8,
    ),
}
"""``baseline``, ``mtae``: the report's, with its recipes; ``cnn``: the largest value of each map in place of the mean,
trained until it is good; ``mtae-cnn``: the report's autoencoder, with ``cnn`` reading what it draws; ``c2ae``:
class-conditioned, in two stages; ``mtae-rule``: the network under the recommended rule (chapter 8), which leaves
10,000 training images to choose and to calibrate with."""


ModelName = checks.name_of(MODELS)


def build(name: ModelName, seed: Seed = 0) -> nn.Module:
    """A model with fresh weights, drawn with the seed."""
    training.seed_everything(seed)
    return MODELS[name].build()


def train(name: ModelName, seed: Seed = 0, **options) -> tuple:
    """Train a model from scratch on its share of MNIST's training images: (model in evaluation mode, History).

    options: recipe, a :class:`osrlib.training.Recipe` or the name of one (default: the model's own; for ``c2ae``, that
    of its second stage); the rest as in :func:`osrlib.training.fit`.
    """
    model, spec = build(name, seed), MODELS[name]
    history = spec.fit(model, spec.digits(), seed=seed, **options)
    return model, history


def load(name: ModelName, device: str | torch.device = "cpu") -> nn.Module:
    """A reference model with its published weights, in evaluation mode.

    ValueError for weights whose SHA-256 is not the published one.
    """
    device = output.as_device(device)
    file = WEIGHTS / f"{name}.safetensors"
    expected = _manifest().get(file.name)
    if expected is None or not file.exists():
        raise ValueError(f"{name}: expected {file} and its line in manifest.json, and one of them is missing")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{file.name}: expected SHA-256 {expected}, got {found}; these are not the published weights")
    model = _fresh(name)
    model.load_state_dict(safetensors.torch.load(content))
    # the layout that the CPU's convolution kernels want; the numbers stay the same
    return model.to(device, memory_format=torch.channels_last).eval()


def _fresh(name):
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not to depend on it
        return MODELS[name].build()


def _manifest():
    file = WEIGHTS / "manifest.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def reference() -> dict:
    """What the reference run measured, with its provenance: the content of ``reference.json``."""
    return json.loads((WEIGHTS / "reference.json").read_text(encoding="utf-8"))


checks.guard(__name__)
