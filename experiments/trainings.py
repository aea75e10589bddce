"""The trainings of the reference run: which there are, how they are run and kept, and what became of them."""

import hashlib
import inspect
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from osrlib import _files, data, fused, losses, models, training, zoo

FOLDER = Path(__file__).parents[1] / "_build" / "train"
SEEDS = (0, 1, 2)
SWEEP_SEEDS = (0, 1)
SEEDS_OF = {name: (0,) for name in (*zoo.MODELS, "max-pool")} | {
    "mtae": SEEDS,
    "mtae-rule": SEEDS,
}  # the others are slow to train
MEAN, STD = 0.1307, 0.3081  # of MNIST's training pixels, as tutorials standardise them


def reconstruction_only(output, images, labels):
    """The loss without its classification part: the autoencoder alone."""
    parts = losses.multitask_loss(output, images, labels)
    return parts | {"loss": parts["mse"]}


LOSS_WEIGHTS = {
    "0": partial(losses.multitask_loss, weight=0.0),
    "0.5": partial(losses.multitask_loss, weight=0.5),
    "1": losses.multitask_loss,
    "4": partial(losses.multitask_loss, weight=4.0),
    "only": reconstruction_only,
}


SPLIT = data.SPLITS["neal"][0]
_c2ae = zoo.MODELS["c2ae"]
_six = partial(models.C2AE, len(SPLIT))
C2AE_VARIANTS = {
    "paper": replace(_c2ae, build=partial(_six, fine=False), loss=losses.c2ae_loss, smoothing=0.0),
    "fine": replace(_c2ae, build=_six, loss=losses.c2ae_loss, smoothing=0.0),
    "alpha": replace(_c2ae, build=_six, smoothing=0.0),
    "smooth": replace(_c2ae, build=_six),
}
"""From the paper's setting on the book's decoder to the published one, a step at a time (chapter 3)."""


def standardised_loss(output, images, labels):
    """The report's loss on standardised pixels."""
    return losses.multitask_loss(output, (images - MEAN) / STD, labels)


class Standardised(models.MultiTaskAE):
    """The other usual reading of the report: standardised pixels in, linear output (chapter 7)."""

    def __init__(self):
        super().__init__(output="linear")

    def forward(self, x):
        return super().forward((x - MEAN) / STD)


@dataclass(frozen=True)
class Unit:
    """One training of the run. ``known``: the digits that it is shown, renumbered (default: all ten)."""

    name: str
    seed: int
    spec: zoo.Spec
    known: tuple | None = None

    def digits(self, split):
        """MNIST's digits as this unit sees them."""
        whole = data.load("mnist", split)
        if split == "train":
            whole = whole[: self.spec.images]
        return whole if self.known is None else whole.only(self.known, renumber=True)


def every():
    """Every training of the run, the most needed first."""
    report, short = training.RECIPES["report"], replace(training.RECIPES["steady"], epochs=3)

    def published(name):
        for seed in SEEDS_OF[name]:
            spec = zoo.MODELS[name]
            if name == "mtae-cnn":  # this run's CNN, not the one published before
                spec = replace(spec, build=lambda: models.MultiTaskAE(classifier=trained("cnn")[0]))
            yield Unit(name, seed, spec)

    for name in zoo.MODELS:
        yield from published(name)
    yield Unit("max-pool", 0, zoo.Spec(partial(models.BaselineCNN, "max"), losses.classification_loss, report))
    yield Unit("standardised", 0, zoo.Spec(Standardised, standardised_loss, report))
    for seed in SWEEP_SEEDS:
        for weight, loss in LOSS_WEIGHTS.items():
            yield Unit(f"weight-{weight}", seed, zoo.Spec(models.MultiTaskAE, loss, short))
    for variant, spec in C2AE_VARIANTS.items():
        for seed in SEEDS:
            yield Unit(f"c2ae-{variant}", seed, spec, SPLIT)


def fingerprint():
    """What a training depends on besides its name: the code, torch's version and the digits. Hexadecimal."""
    modules = (data, fused, losses, models, training, zoo)
    sources = [Path(__file__), *(Path(inspect.getfile(module)) for module in modules)]
    said = [torch.__version__, data.digest("mnist", "train"), data.digest("mnist")]
    return hashlib.sha256(b"\0".join([*map(str.encode, said), *(file.read_bytes() for file in sources)])).hexdigest()


def run():
    """Train what is not there yet, or was trained by other code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    code = fingerprint()
    for unit in every():
        name = f"{unit.name}-{unit.seed}"
        weights, record = FOLDER / f"{name}.safetensors", FOLDER / f"{name}.json"
        told = json.loads(record.read_text()) if record.exists() else {}
        if told.get("code") == code and told.get("weights") == _sha256(weights):
            print(f"{name}: reused from an interrupted run", flush=True)
            continue
        print(f"{name}: training", flush=True)
        training.seed_everything(unit.seed)
        model = unit.spec.build()
        history = unit.spec.fit(model, unit.digits("train"), seed=unit.seed, test=unit.digits("test"), progress=False)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        with _files.whole(weights) as file:
            file.write(safetensors.torch.save(state))
        # last: it marks the unit as done
        _files.write(record, json.dumps({"code": code, "weights": _sha256(weights), "history": history}))
        row = history[-1]
        print(f"{name}: accuracy {row['test_accuracy']:.2%}, {sum(h['seconds'] for h in history):.0f} s", flush=True)


def _sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None


def trained(name, seed=0):
    """The model of a unit, with its weights, and its history."""
    with torch.random.fork_rng(
        devices=[]
    ):  # as zoo.load: a model that is built on another starts from the same weights
        model = next(unit for unit in every() if (unit.name, unit.seed) == (name, seed)).spec.build()
    model.load_state_dict(safetensors.torch.load_file(FOLDER / f"{name}-{seed}.safetensors"))
    record = json.loads((FOLDER / f"{name}-{seed}.json").read_text())
    return model.to(memory_format=torch.channels_last).eval(), record["history"]
