"""The reference run: train every model from scratch, measure, and write the weights and ``results/reference.json``.

    python book/train.py             everything, about an hour on two cores
    python book/train.py --resume    go on where an interrupted run stopped

Each training is a unit of its own, kept in ``_build/train`` until the run is complete.
"""

import argparse
import json
import shutil
from functools import partial
from pathlib import Path

import safetensors.torch

from osrlib import data, losses, models, training, zoo

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "_build" / "train"
SEEDS = (0, 1, 2)
SWEEP_SEEDS = (0, 1)


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


def standardised_loss(output, images, labels):
    """The report's loss on pixels standardised with MNIST's mean and standard deviation."""
    return losses.multitask_loss(output, (images - 0.1307) / 0.3081, labels)


class Standardised(models.MultiTaskAE):
    """The other usual reading of the report: standardised pixels in, linear output (chapter 7)."""

    def __init__(self):
        super().__init__(output="linear")

    def forward(self, x):
        return super().forward((x - 0.1307) / 0.3081)


def units():
    """Every training of the run, the most needed first: (name of the unit, model, loss, recipe, seed)."""
    report, fast = training.RECIPES["report"], training.RECIPES["fast"]

    def published(name, seed):
        spec = zoo.MODELS[name]
        return f"{name}-{seed}", spec.build, spec.loss, spec.recipe, seed

    yield published("mtae", 0)
    yield published("cnn", 0)
    yield published("baseline", 0)
    yield from (published("mtae", seed) for seed in SEEDS[1:])
    yield "max-pool-0", partial(models.BaselineCNN, "max"), losses.classification_loss, report, 0
    yield "standardised-0", Standardised, standardised_loss, report, 0
    for seed in SWEEP_SEEDS:
        for weight, loss in LOSS_WEIGHTS.items():
            yield f"weight-{weight}-{seed}", models.MultiTaskAE, loss, fast, seed
    yield from (published("baseline", seed) for seed in SEEDS[1:])
    yield from (published("cnn", seed) for seed in SEEDS[1:])


def train_units():
    """Train what is not there yet."""
    UNITS.mkdir(parents=True, exist_ok=True)
    train, test = data.load("mnist", "train"), data.load("mnist")
    for name, build, loss, recipe, seed in units():
        weights, record = UNITS / f"{name}.safetensors", UNITS / f"{name}.json"
        if record.exists():
            print(f"{name}: reused from an interrupted run", flush=True)
            continue
        training.seed_everything(seed)
        model = build()
        history = training.fit(model, loss, train, recipe, seed=seed, test=test, progress=False)
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        safetensors.torch.save_file(state, weights)
        record.write_text(json.dumps(history))  # last: it marks the unit as done
        row = history[-1]
        print(f"{name}: accuracy {row['test_accuracy']:.2%}, {sum(h['seconds'] for h in history):.0f} s", flush=True)


def main():
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    if not parser.parse_args().resume:
        shutil.rmtree(UNITS, ignore_errors=True)
    train_units()


if __name__ == "__main__":
    main()
