"""The reference models: load one in a moment, or train it again from its recipe.

The weights lie in ``osrlib/weights`` as safetensors files, each with its SHA-256 in ``manifest.json``. The book's
reference run (``make train``) wrote them, together with ``reference.json``: what it measured.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch

from osrlib import _files, _validate, data, losses, models, remember, training

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Spec:
    """How a reference model is built and trained.

    C2AE's first stage has a recipe and label smoothing of its own. ``images``: how many of MNIST's training images it
    is shown, the first ones.
    """

    build: Callable
    loss: Callable
    recipe: training.Recipe
    first: training.Recipe | None = None
    smoothing: float = 0.0
    images: int = 60_000

    def __post_init__(self):
        _validate.function(self.build, "build")
        _validate.function(self.loss, "loss")
        _validate.instance(self.recipe, "recipe", training.Recipe)
        if self.first is not None:
            _validate.instance(self.first, "first", training.Recipe)
        _validate.number(self.smoothing, "smoothing", 0, 1)
        _validate.whole(self.images, "images", 1)

    def fit(self, model, images, *, recipe=None, first=None, **options):
        """Train a model on an ImageSet, by this recipe or another: its History."""
        # both at the door: a second stage would refuse its recipe when the first has been trained
        recipe, first = _recipe(recipe, "recipe", self.recipe), _recipe(first, "first", self.first)
        if first is None:
            return training.fit(model, self.loss, images, recipe, **options)
        return training.fit_c2ae(model, self.loss, images, recipe, first=first, smoothing=self.smoothing, **options)


def _recipe(value, name, own):
    if isinstance(value, str):
        value = training.RECIPES[_validate.choice(value, name, training.RECIPES)]
    return own if value is None else _validate.instance(value, name, training.Recipe)


MODELS = {
    "baseline": Spec(models.BaselineCNN, losses.classification_loss, training.RECIPES["report"]),
    "cnn": Spec(
        lambda: models.BaselineCNN("max"),
        losses.classification_loss,
        training.Recipe(epochs=12, batch_size=256, lr=4e-3, one_cycle=True, weight_decay=0.01),
    ),
    "mtae": Spec(models.MultiTaskAE, losses.multitask_loss, training.RECIPES["report"]),
    "mtae-cnn": Spec(
        lambda: models.MultiTaskAE(classifier=load("cnn")), losses.multitask_loss, training.RECIPES["report"]
    ),
    "c2ae": Spec(
        models.C2AE,
        partial(losses.c2ae_loss, alpha=0.5),
        training.Recipe(epochs=15, batch_size=256, lr=1e-2, one_cycle=True, weight_decay=0.01),
        first=training.RECIPES["steady"],
        smoothing=0.1,
    ),
    "mtae-rule": Spec(
        models.MultiTaskAE,
        partial(losses.multitask_loss, weight=4.0, smoothing=0.1),
        training.RECIPES["steady"],
        images=50_000,
    ),
}
"""``baseline``: average pooling, as reported; ``cnn``: max pooling, trained until it is good; ``mtae``: as reported;
``mtae-cnn``: the same, with ``cnn`` reading what it draws; ``c2ae``: class-conditioned, in two stages; ``mtae-rule``:
the network under the recommended rule (chapter 8), which leaves 10,000 training images to calibrate on."""


def build(name, seed=0):
    """A model with fresh weights, drawn with the seed."""
    spec = MODELS[_validate.choice(name, "name", MODELS)]
    training.seed_everything(seed)
    return spec.build()


def train(name, seed=0, *, recipe=None, test=None, progress=True, device=None):
    """Train a model from scratch on its share of MNIST's training images: (model in evaluation mode, History).

    recipe: a :class:`osrlib.training.Recipe` or the name of one (default: the model's own; for ``c2ae``, that of its
    second stage); the rest as in :func:`osrlib.training.fit`.
    """
    model, spec = build(name, seed), MODELS[name]
    shown = data.load("mnist", "train")[: spec.images]
    history = spec.fit(model, shown, recipe=recipe, seed=seed, test=test, progress=progress, device=device)
    return model.eval(), history


def load(name, device="cpu"):
    """A reference model with its published weights, in evaluation mode.

    ValueError for a name that there is not, and for weights whose SHA-256 is not the published one.
    """
    _validate.choice(name, "name", MODELS)
    device = models.as_device(device)
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


class Cost(NamedTuple):
    """What a model costs on the machine at hand.

    ``parameters``; ``train_seconds`` for its whole recipe on its share of MNIST, all stages, extrapolated from part of
    one epoch; ``images_per_second`` at inference; ``peak_bytes`` of memory that a training batch adds to the process.
    """

    parameters: int
    train_seconds: float
    images_per_second: float
    peak_bytes: int


def cost(name, images=8192):
    """Measure what a model costs here: a :class:`Cost`.

    It runs in a process of its own, so that the peak of memory is that model's and nobody else's. Numbers of one run on
    one machine can be compared with each other, and with nothing else. images: how many to train and infer on.
    """
    _validate.choice(name, "name", MODELS)
    images = _validate.whole(images, "images", 1000, 10_000)
    # a fresh interpreter: a fork would start with this process's memory
    code = f"import json; from osrlib import zoo; print(json.dumps(zoo._measure({name!r}, {images})))"
    fresh = {name: value for name, value in os.environ.items() if name != remember.FOLDER}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=fresh)
    if run.returncode:
        why = (run.stderr.strip() or f"exit code {run.returncode}").splitlines()[-1]
        raise RuntimeError(f"the cost of {name} could not be measured: {why}")
    return Cost(*json.loads(run.stdout.splitlines()[-1]))


def _measure(name, images):
    model, spec = build(name), MODELS[name]
    digits = data.load("mnist").sample(images)  # for their number alone: nothing that is learnt here is kept
    stages = [stage for stage in (spec.first, spec.recipe) if stage]
    short = [replace(stage, epochs=1) for stage in stages]
    recipes = {"recipe": short[-1], "first": short[0] if spec.first else None}
    before = _peak_memory()
    spec.fit(model, digits[:2048], **recipes, progress=False)  # the first batches pay for memory that others use again
    history = spec.fit(model, digits, **recipes, progress=False)
    added = _peak_memory() - before
    seconds = sum(spec.images / images * s.epochs * row["seconds"] for s, row in zip(stages, history, strict=True))
    models.infer(model, digits.images[:500])
    start = time.perf_counter()
    models.infer(model, digits.images)
    return models.count_parameters(model), seconds, images / (time.perf_counter() - start), added


def _peak_memory():
    """The largest resident size that this process has had, in bytes."""
    if sys.platform == "linux":  # getrusage would tell the parent's where that was larger
        (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def save(weights):
    """Publish weights: a dict name → model. Writes the safetensors files and their lines in the manifest."""
    for name, model in _validate.instance(weights, "weights", dict).items():
        _validate.instance(model, _validate.choice(name, "weights", MODELS), torch.nn.Module)
        with torch.random.fork_rng(devices=[]):
            wanted = {key: value.shape for key, value in MODELS[name].build().state_dict().items()}
        if {key: value.shape for key, value in model.state_dict().items()} != wanted:
            raise ValueError(f"weights: expected the weights of {name!r}, got those of another {type(model).__name__}")
    for name, model in weights.items():
        content = safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()})
        manifest = _manifest() | {f"{name}.safetensors": hashlib.sha256(content).hexdigest()}
        text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        # both are written before either takes its name: a run that is killed between the two names leaves weights that
        # load refuses, and nothing worse
        with _files.whole(WEIGHTS / "manifest.json") as lines, _files.whole(WEIGHTS / f"{name}.safetensors") as file:
            file.write(content)
            lines.write(text.encode())


def _manifest():
    file = WEIGHTS / "manifest.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def reference():
    """What the reference run measured, with its provenance: the content of ``reference.json`` as a dict."""
    return json.loads((WEIGHTS / "reference.json").read_text(encoding="utf-8"))
