"""The reference models: load one in a moment, or train it again from its recipe.

The weights lie in ``osrlib/weights`` as safetensors files, each with its SHA-256 in ``manifest.json``. The book's
reference run (``make train``) wrote them, together with ``reference.json``: what it measured.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from osrlib import _validate, data, losses, models, training

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Spec:
    """How a reference model is built and trained."""

    build: Callable
    loss: Callable
    recipe: training.Recipe


MODELS = {
    "baseline": Spec(models.BaselineCNN, losses.classification_loss, training.RECIPES["report"]),
    "cnn": Spec(
        lambda: models.BaselineCNN("max"),
        losses.classification_loss,
        training.Recipe(epochs=12, batch_size=256, lr=4e-3, one_cycle=True, weight_decay=0.01),
    ),
    "mtae": Spec(models.MultiTaskAE, losses.multitask_loss, training.RECIPES["report"]),
}
"""``baseline``: average pooling, as reported; ``cnn``: max pooling, trained until it is good; ``mtae``: as reported."""


def build(name, seed=0):
    """A model with fresh weights, drawn with the seed."""
    spec = MODELS[_validate.choice(name, "name", MODELS)]
    training.seed_everything(seed)
    return spec.build()


def train(name, seed=0, *, recipe=None, test=None, progress=True, device=None):
    """Train a model from scratch on MNIST's 60,000 training images: (model in evaluation mode, History).

    recipe: a :class:`osrlib.training.Recipe` or the name of one (default: the model's own); the rest as in
    :func:`osrlib.training.fit`.
    """
    model = build(name, seed)
    spec = MODELS[name]
    history = training.fit(
        model, spec.loss, data.load("mnist", "train"), recipe or spec.recipe,
        seed=seed, test=test, progress=progress, device=device,
    )  # fmt: skip
    return model.eval(), history


def load(name, device="cpu"):
    """A reference model with its published weights, in evaluation mode.

    ValueError for a name that there is not, and for weights whose SHA-256 is not the published one.
    """
    _validate.choice(name, "name", MODELS)
    file = WEIGHTS / f"{name}.safetensors"
    expected = _manifest().get(file.name)
    if expected is None or not file.exists():
        raise ValueError(f"{name}: expected {file} and its line in manifest.json, and one of them is missing")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{file.name}: expected SHA-256 {expected}, got {found}; these are not the published weights")
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not to depend on a load
        model = MODELS[name].build()
    model.load_state_dict(safetensors.torch.load(content))
    # the layout that the CPU's convolution kernels want; the numbers stay the same
    return model.to(device, memory_format=torch.channels_last).eval()


def save(weights):
    """Publish weights: a dict name → model. Writes the safetensors files and their lines in the manifest."""
    manifest = _manifest()
    for name, model in weights.items():
        _validate.choice(name, "name", MODELS)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        content = safetensors.torch.save(state)
        (WEIGHTS / f"{name}.safetensors").write_bytes(content)
        manifest[f"{name}.safetensors"] = hashlib.sha256(content).hexdigest()
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (WEIGHTS / "manifest.json").write_text(text, encoding="utf-8")


def _manifest():
    file = WEIGHTS / "manifest.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def reference():
    """What the reference run measured, with its provenance: the content of ``reference.json`` as a dict."""
    installed = WEIGHTS / "reference.json"
    checkout = Path(__file__).parents[1] / "book" / "results" / "reference.json"
    return json.loads((installed if installed.exists() else checkout).read_text(encoding="utf-8"))
