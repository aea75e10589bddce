"""The trainings of the reference run: which there are, and what became of them.

They are the rows of a sweep. A row holds the history and the SHA-256 of the weights, which lie beside in a file of that
name. Part of a configuration is a fingerprint of the code: what other code has trained is not used again.
"""

import functools
import hashlib
import inspect
import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from experiments import study
from osrlib import augment, autoencoder, data, files, losses, models, output, training, zoo
from osrlib.speed import fused
from osrlib.worlds import catalogue

FOLDER = study.BUILD / "trainings"  # of the rows, and of the weights
SEEDS = (0, 1, 2)
REPORT_SEEDS, BASELINE_SEEDS = tuple(range(5)), tuple(range(20))


@dataclass(frozen=True)
class Training:
    """How a model of the run is trained, with which seeds, and on which digits, renumbered (default: all ten)."""

    spec: zoo.Spec
    seeds: tuple = (0,)
    known: tuple | None = None

    def digits(self, split):
        """MNIST's digits as this training sees them."""
        digits = self.spec.digits() if split == "train" else data.load("mnist", split)
        return digits if self.known is None else digits.only(self.known, renumber=True)


def reconstruction_only(output, images, labels):
    """The loss without its classification part: the autoencoder alone."""
    parts = losses.multitask_loss(output, images, labels)
    return parts | {"loss": parts["mse"]}


LOSS_WEIGHTS = {
    f"{weight:g}": partial(losses.multitask_loss, weight=weight / models.STD**2) for weight in (0.0, 0.5, 1.0, 4.0)
}
LOSS_WEIGHTS |= {"only": reconstruction_only}


SPLIT = data.SPLITS["neal"][0]


def coarse_c2ae():
    """C2AE with the decoder of the report's table, drawn after the other layers as :class:`FineDecoder` is."""
    model = models.C2AE(len(SPLIT), torch.nn.Identity())
    model.decoder = models.Decoder()
    return model


_c2ae = replace(zoo.MODELS["c2ae"], build=partial(models.C2AE, len(SPLIT)))
C2AE_VARIANTS = {
    "paper": replace(_c2ae, build=coarse_c2ae, loss=losses.c2ae_loss, smoothing=0.0),
    "fine": replace(_c2ae, loss=losses.c2ae_loss, smoothing=0.0),
    "alpha": replace(_c2ae, smoothing=0.0),
    "smooth": _c2ae,
}
"""From the paper's setting on the book's decoder to the published one, a step at a time (chapter 3)."""

_short = replace(training.RECIPES["steady"], epochs=3)
TRAININGS = {name: Training(spec) for name, spec in zoo.MODELS.items()} | {
    "baseline": Training(zoo.MODELS["baseline"], BASELINE_SEEDS),
    "mtae": Training(zoo.MODELS["mtae"], REPORT_SEEDS),
    "mtae-rule": Training(zoo.MODELS["mtae-rule"], SEEDS),
    # those above took part in the choice of the rule
    "mtae-rule-fresh": Training(zoo.MODELS["mtae-rule"], (10, 11, 12)),
    # this run's CNN, not the one published before
    "mtae-cnn": Training(replace(zoo.MODELS["mtae-cnn"], build=lambda: models.ReadAE(trained("cnn")[0]))),
}
TRAININGS |= {
    f"weight-{weight}": Training(zoo.Spec(models.MultiTaskAE, loss, _short, digits=data.report_digits), REPORT_SEEDS)
    for weight, loss in LOSS_WEIGHTS.items()
}
TRAININGS |= {f"c2ae-{variant}": Training(spec, SEEDS, SPLIT) for variant, spec in C2AE_VARIANTS.items()}
"""Every training of the run by its name, the most needed first."""


@functools.cache
def fingerprint():
    """What a training depends on besides name and seed: the code, torch's version and the digits. Hexadecimal."""
    modules = (augment, autoencoder, catalogue, data, fused, losses, models, output, training, zoo)
    sources = [__file__, *(inspect.getfile(module) for module in modules)]
    told = [torch.__version__, data.digest("mnist", "train"), data.digest("mnist")]
    told += [Path(source).read_text(encoding="utf-8") for source in sources]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def configurations():
    """Every training with each of its seeds."""
    code = fingerprint()
    return [{"name": name, "seed": seed, "code": code} for name, one in TRAININGS.items() for seed in one.seeds]


def row(name, seed, code):
    """Train, and keep the weights: a dict with the history and the weights' SHA-256. code: the fingerprint."""
    print(f"{name}, seed {seed}: training", flush=True)
    one = TRAININGS[name]
    training.seed_everything(seed)
    model = one.spec.build()
    history = one.spec.fit(model, one.digits("train"), seed=seed, test=one.digits("test"), progress=False)
    content, digest = packed(model)
    with files.whole(FOLDER / f"{digest}.safetensors") as file:
        file.write(content)
    seconds = sum(epoch["seconds"] for epoch in history)
    print(f"{name}, seed {seed}: accuracy {history[-1]['test_accuracy']:.2%}, {seconds:.0f} s", flush=True)
    return {"history": history, "weights": digest}


def run(**wanted):
    """Train what is not there yet: the rows of all trainings, or of those with this name or seed."""
    chosen = [one for one in configurations() if wanted.items() <= one.items()]
    return study.rows(row, chosen, FOLDER / "rows.jsonl", jobs=1, progress=False)


def trained(name, seed=0):
    """The model of a training, with its weights, and its history."""
    (told,) = run(name=name, seed=seed)
    file = FOLDER / f"{told['weights']}.safetensors"
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != told["weights"]:
        raise ValueError(f"{file}: expected the SHA-256 that is its name; delete {FOLDER} to train again")
    with torch.random.fork_rng(devices=[]):  # a model that is built on another starts from the same weights
        model = TRAININGS[name].spec.build()
    model.load_state_dict(safetensors.torch.load(content))
    return model.to(memory_format=torch.channels_last).eval(), told["history"]


def publish(weights):
    """Publish weights: a dict name → model. Writes the zoo's safetensors files and their lines in the manifest."""
    for name, model in weights.items():
        wanted = {key: value.shape for key, value in zoo.build(name).state_dict().items()}
        if {key: value.shape for key, value in model.state_dict().items()} != wanted:
            raise ValueError(f"weights: expected the weights of {name!r}, got those of another {type(model).__name__}")
    manifest = zoo.WEIGHTS / "manifest.json"
    digests = json.loads(manifest.read_text()) if manifest.exists() else {}
    for name, model in weights.items():
        content, digests[f"{name}.safetensors"] = packed(model)
        # both are written before either takes its name: a run that is killed between the two names leaves weights that
        # zoo.load refuses, and nothing worse
        with files.whole(manifest) as lines, files.whole(zoo.WEIGHTS / f"{name}.safetensors") as file:
            file.write(content)
            lines.write(json.dumps(digests, indent=2, sort_keys=True).encode() + b"\n")


def packed(model):
    """The weights of a model, as the bytes of a safetensors file, and their SHA-256."""
    content = safetensors.torch.save({key: value.contiguous() for key, value in model.state_dict().items()})
    return content, hashlib.sha256(content).hexdigest()
