"""What a model costs on the machine at hand."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from osrlib import checks, data, models, zoo
from osrlib.checks import whole_number
from osrlib.output import infer
from osrlib.speed import remember


class Cost(NamedTuple):
    """What a model costs on the machine at hand.

    ``parameters``; ``train_seconds`` for its whole recipe on its share of MNIST, all stages, extrapolated from part of
    one epoch; ``images_per_second`` at inference; ``peak_bytes`` of memory that a training batch adds to the process.
    """

    parameters: int
    train_seconds: float
    images_per_second: float
    peak_bytes: int


def measure(name: zoo.ModelName, images: whole_number(1000, 10_000) = 8192) -> Cost:
    """What a model costs here.

    It runs in a process of its own, so that the peak of memory is that model's and nobody else's. Numbers of one run on
    one machine can be compared with each other, and with nothing else. images: how many to train and infer on.
    """
    # a fresh interpreter: a fork would start with this process's memory
    code = f"import json; from osrlib.speed import cost; print(json.dumps(cost.here({name!r}, {images})))"
    fresh = {name: value for name, value in os.environ.items() if name != remember.FOLDER}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=fresh)
    if run.returncode:
        why = (run.stderr.strip() or f"exit code {run.returncode}").splitlines()[-1]
        raise RuntimeError(f"the cost of {name} could not be measured: {why}")
    return Cost(*json.loads(run.stdout.splitlines()[-1]))


def here(name, images):
    """As :func:`measure`, in this process: a plain tuple."""
    model, spec = zoo.build(name), zoo.MODELS[name]
    digits = data.load("mnist").sample(images)  # for their number alone: nothing that is learnt here is kept
    stages = [stage for stage in (spec.first, spec.recipe) if stage]
    short = [replace(stage, epochs=1) for stage in stages]
    recipes = {"recipe": short[-1], "first": short[0] if spec.first else None}
    before = _peak_memory()
    spec.fit(model, digits[:2048], **recipes, progress=False)  # the first batches pay for memory that others use again
    history = spec.fit(model, digits, **recipes, progress=False)
    added = _peak_memory() - before
    seconds = sum(
        len(spec.digits()) / images * s.epochs * row["seconds"] for s, row in zip(stages, history, strict=True)
    )
    infer(model, digits.images[:500])
    start = time.perf_counter()
    infer(model, digits.images)
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


checks.guard(__name__)
