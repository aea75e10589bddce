"""What a GPU gives: the same numbers as the CPU, and sooner.

    python -m experiments.gpu                          made to take a few minutes on a data-centre GPU
    python -m experiments.gpu --device cpu --quick     the same steps on the processor, tiny: a test of this script

It needs MNIST and no other world. For a machine without network, fill a folder elsewhere (``OSRLIB_DATA=FOLDER python
-m osrlib.data fetch mnist``), take it along, and set ``OSRLIB_DATA=FOLDER OSRLIB_OFFLINE=1`` there.

First, whether CPU and GPU say the same of the same images (``parity.py``); then training, by three recipes in float32
(never rounded to TF32) and bfloat16, and deciding, by two rules. What fails is written down with its error, and the
rest goes on. Writes ``experiments/results/gpu.json``, or ``_build/gpu.json`` where it is quick, or without a GPU.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch

from experiments import parity, study
from osrlib import data, training, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import as_device, infer
from osrlib.scores import SCORES
from osrlib.speed import remember

RECIPES = {"report": ("mtae", training.RECIPES["report"]), "fast": ("mtae", training.RECIPES["fast"]),
           "rule": ("mtae-rule", zoo.MODELS["mtae-rule"].recipe)}  # fmt: skip


class Size(NamedTuple):
    """How many images are compared, seen by the scores, known to the rule, trained on, decided; epochs at the most."""

    compared: int = 1000
    seen: int = 5000
    known: int = 50_000
    trained: int = 60_000
    decided: int = 30_000
    epochs: int = 99


QUICK = Size(compared=60, seen=600, known=600, trained=600, decided=500, epochs=1)


def timed(device, task):
    """Seconds until all that a task gave to the device is done, and the peak of GPU memory: None without a GPU."""
    cuda = torch.cuda if device.type == "cuda" else None
    if cuda:
        cuda.synchronize(device)
        cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    task()
    if cuda:
        cuda.synchronize(device)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": cuda.max_memory_allocated(device) if cuda else None}


def train(name, device, size):
    """A whole training: speed, memory, and how good the network is."""
    (model, recipe), precision = RECIPES[name.split()[0]], name.split()[1]
    recipe = replace(recipe, bfloat16=precision == "bfloat16", epochs=min(recipe.epochs, size.epochs))
    if recipe.bfloat16 and not training.has_bfloat16(device):
        return {"left out": "this device has no instructions for bfloat16"}
    spec, network, options = zoo.MODELS[model], zoo.build(model), {"device": device, "progress": False}
    digits, test = spec.digits()[: size.trained], data.load("mnist")[: size.decided]
    # the first batches load libraries, and pay for memory
    spec.fit(zoo.build(model), digits[: 4 * recipe.batch_size], recipe=replace(recipe, epochs=1), **options)
    told = timed(device, lambda: spec.fit(network, digits, recipe=recipe, **options))
    closed = float((infer(network, test.images).guess == test.labels).mean())
    return {"images_per_second": recipe.epochs * len(digits) / told["seconds"], "closed_accuracy": closed} | told


def decide(name, device, size):
    """Decisions with the network on the device: how many a second, and how many differ from those on the CPU."""
    known, others = (data.rule_digits(part)[: size.known] for part in ("train", "choose"))
    rule = OpenSetClassifier.report() if name == "report" else OpenSetClassifier.recommended(known=known, others=others)
    rule.fit(data.rule_digits("calibrate").images)
    few, images = parity.pictures(size), data.load("mnist", "train").images[: size.decided]
    expected = rule.predict(few)
    rule.model.to(device)
    differ = int((rule.predict(few) != expected).sum())  # warms it up, too
    network, told = timed(device, lambda: infer(rule.model, images)), timed(device, lambda: rule.predict(images))
    rates = {"per_second": len(images) / told["seconds"], "network_per_second": len(images) / network["seconds"]}
    same = {"differ": differ, "of": len(few), "ok": differ <= parity.EDGE * len(few)}
    return {"images": len(images)} | rates | same | told


PARTS = {
    "models": (partial(parity.compare, parity.of_model), zoo.MODELS),
    "losses in training": (partial(parity.compare, parity.of_training), zoo.MODELS),
    "losses per image": (partial(parity.compare, parity.of_loss), parity.PER_IMAGE),
    "scores": (partial(parity.compare, parity.of_score), SCORES),
    "training": (train, [f"{recipe} {precision}" for recipe in RECIPES for precision in ("float32", "bfloat16")]),
    "deciding": (decide, ("report", "recommended")),
}
"""What measures each part, and of what."""


def attempt(task, *arguments):
    """What a task measures, or how it failed."""
    try:
        return task(*arguments)
    except Exception as error:  # one that fails must not cost the others their figures
        return {"failed": f"{type(error).__name__}: {error}"}


def about(device):
    """The card, and what drives it."""
    told = {"name": device.type, "bfloat16": training.has_bfloat16(device)}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        told |= {"name": card.name, "capability": f"{card.major}.{card.minor}", "memory_bytes": card.total_memory}
        told |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return told


def main():
    """Measure, write, and say what failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help='such as "cuda:1" or "cpu" (default: cuda)')
    parser.add_argument("--quick", action="store_true", help="few images, one epoch: a test of the script")
    wanted = parser.parse_args()
    if remember.FOLDER in os.environ:
        sys.exit(f"{remember.FOLDER} is set: answers would be read from a file, and not measured. Unset it.")
    try:
        device, size = as_device(wanted.device), QUICK if wanted.quick else Size()
    except ValueError:
        sys.exit(f"This machine has no device {wanted.device!r}; --device cpu --quick tests the script without a GPU.")
    told, wrong = {"provenance": study.provenance("gpu"), "tolerance": parity.TOLERANCE, "device": about(device)}, []
    with parity.without_tf32():
        for part, (task, names) in PARTS.items():
            told[part] = {}
            for name in names:
                print(f"{part}: {name}", flush=True)
                told[part][name] = row = attempt(task, name, device, size)
                if "failed" in row or not row.get("ok", True):
                    wrong.append(f"{part}: {name}: {row}")
    folder = study.BUILD if wanted.quick or device.type != "cuda" else study.RESULTS
    study.write(folder / "gpu.json", told)
    if wrong:
        sys.exit("\n".join(["Failed, or further apart than is allowed:", *wrong]))


if __name__ == "__main__":
    study.start(main)
