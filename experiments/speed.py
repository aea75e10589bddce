"""How fast the book trains and decides, beside the loop that tutorials teach.    make bench

Three ways to train the multi-task autoencoder, each in a process of its own, in turn: ``plain``, a tutorial's loop
(:func:`plain_epochs`); ``report``, the same recipe by osrlib; ``fast``, osrlib's own. Writes
``book/results/speed.json`` and a figure, ``book/_static/speed.png``. Some forty minutes on two cores; nothing else
should run meanwhile. Interrupted, it goes on where it stopped.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from osrlib import UNKNOWN, _files, data, losses, metrics, models, plots, scores, thresholds, training, zoo
from osrlib.detector import OpenSetClassifier

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
from train import provenance, rounded  # noqa: E402

RESULTS = ROOT / "book" / "results" / "speed.json"
PARTS = ROOT / "_build" / "speed"
FIGURE = ROOT / "book" / "_static" / "speed.png"
REPORT_TOTAL, CLOSED = 0.9569, 0.99
ROUNDS, SEEDS, COUNTS = 3, (0, 1, 2), (10_000, 30_000, 60_000, 120_000, 240_000)
WAYS = ("plain", "report", "fast")


class Plain(nn.Module):
    """The report's model as a tutorial writes it: ReLU behind batch norm, pooling last, everything in PyTorch's way.

    Its weights have the names of :class:`osrlib.models.MultiTaskAE`'s.
    """

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(128, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(16, 1, 3, padding=1), nn.Upsample(scale_factor=2), nn.Sigmoid(),
        )  # fmt: skip
        self.classifier = nn.Linear(128, 10)

    def forward(self, x):
        code = self.encoder(x)
        return self.classifier(code), self.decoder(code)


def plain_epochs(seed, epochs):
    """Train as tutorials do: torchvision's dataset, ToTensor, a DataLoader. Yields (seconds, model) each epoch."""
    from torchvision import datasets, transforms

    whole = data.load("mnist", "train")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in ("train", "t10k"):  # torchvision asks for all four files
            for kind, array in (("images-idx3", whole.images), ("labels-idx1", whole.labels.astype(np.uint8))):
                header = np.array([2048 + array.ndim, *array.shape], ">i4")
                (raw / f"{name}-{kind}-ubyte").write_bytes(header.tobytes() + array.tobytes())
        dataset = datasets.MNIST(folder, train=True, transform=transforms.ToTensor())
        loader = torch.utils.data.DataLoader(dataset, batch_size=1024, shuffle=True)
        torch.manual_seed(seed)
        model = Plain()
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
        for _ in range(epochs):
            start = time.perf_counter()
            for images, labels in loader:
                optimizer.zero_grad()
                logits, copies = model(images)
                loss = nn.functional.cross_entropy(logits, labels) + nn.functional.mse_loss(copies, images)
                loss.backward()
                optimizer.step()
            seconds = time.perf_counter() - start
            twin = models.MultiTaskAE()
            twin.load_state_dict(model.state_dict())
            yield seconds, twin


def quality(model):
    """Closed-set accuracy, and what the report's own rule makes of the model: None where a world is missing."""
    worlds, missing = data.load_all(("mnist", "fashion", "cifar10"))
    rule = OpenSetClassifier(model, [scores.norm, scores.diff], [thresholds.MeanStd(2), thresholds.MeanStd(2)])
    rule.fit(data.load("mnist", "train").images)
    decided = {name: rule.decide(world.images) for name, world in worlds.items()}
    true = {name: world.labels if name == "mnist" else np.full(len(world), UNKNOWN) for name, world in worlds.items()}
    report = metrics.osr_report(
        np.concatenate(list(true.values())), np.concatenate([decided[name].labels for name in true])
    )
    closed = float((decided["mnist"].guess == true["mnist"]).mean())
    return {"closed": closed, "mnist": report.mnist, "total": None if missing else report.total}


def train(way, seed, epochs, judge):
    """One training, for a process of its own: a row an epoch with its seconds and, if judged, its quality."""
    rows = []

    def note(model, row):
        rows.append({"seconds": row["seconds"]} | (quality(model) if judge else {}))

    if way == "plain":
        for seconds, model in plain_epochs(seed, epochs):
            note(model, {"seconds": seconds})
    else:
        recipe, model = replace(training.RECIPES[way], epochs=epochs), zoo.build("mtae", seed)
        whole = data.load("mnist", "train")
        training.fit(model, losses.multitask_loss, whole, recipe, seed=seed, progress=False, on_epoch=note)
    return {"rows": rows, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def decide(rule, count):
    """One decision over so many images, for a process of its own: seconds and peak memory."""
    digits = data.load("mnist", "train")
    images = np.concatenate([digits.images] * -(-count // len(digits)))[:count]
    if rule == "recommended":
        ready = OpenSetClassifier.recommended().fit(digits[50_000:].images)
    else:
        lines = [thresholds.MeanStd(2), thresholds.MeanStd(2)]
        ready = OpenSetClassifier(zoo.load("mtae"), [scores.norm, scores.diff], lines).fit(digits[50_000:].images)
    start = time.perf_counter()
    ready.predict(images)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def apart(task, *arguments):
    """Run :func:`train` or :func:`decide` in a fresh process, so that none inherits another's memory: its result.

    It is kept until the whole run is done: an interrupted one goes on where it stopped.
    """
    kept = PARTS / ("-".join(map(str, (task, *arguments))) + ".json")
    if kept.exists():
        return json.loads(kept.read_text())
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    # in a session of its own: Ctrl-C reaches the run alone, which then ends this part of it
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, start_new_session=True)
    answer = ran.stdout.splitlines()[-1]
    _files.write(kept, answer)
    return json.loads(answer)


def product_rate(size=2048, repeats=9):
    """What this machine reaches in a product of two large float32 matrices: FLOP/s, the median."""
    one, other = torch.randn(2, size, size)
    one @ other
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        one @ other
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds)


def flops_per_image():
    """Floating-point operations of one image in training, forward and backward, by the network's own layers."""
    model, images = Plain(), torch.rand(8, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        logits, copies = model(images)
        (logits.sum() + copies.sum()).backward()
    return counter.get_total_flops() / len(images)


def reached(rows, key, bar):
    """Seconds of training until a figure reaches a bar: None where it never does."""
    seconds = np.cumsum([row["seconds"] for row in rows])
    return next((float(at) for at, row in zip(seconds, rows, strict=True) if (row[key] or 0) >= bar), None)


def timed(target):
    """Seconds that ``make`` takes for a target, with everything warm."""
    start = time.perf_counter()
    subprocess.run(["make", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def epoch_rounds(progress):
    """One epoch, all ways in turn, several times: its seconds and the peak memory, way → list; a product's FLOP/s."""
    seconds, peaks, rates = {way: [] for way in WAYS}, {way: [] for way in WAYS}, []
    for number in range(ROUNDS):
        rates.append(product_rate())
        for way in WAYS:
            progress(f"round {number + 1} of {ROUNDS}: one epoch, {way}")
            # two epochs: the first pays for memory that the second uses again, in every way
            run = apart("train", way, number, 2, 0)
            seconds[way].append(run["rows"][1]["seconds"])
            peaks[way].append(run["peak"])
    return seconds, peaks, statistics.median(rates)


def measure(progress):
    """Everything that ``speed.json`` holds."""
    images = len(data.load("mnist", "train"))
    seconds, peaks, rate = epoch_rounds(progress)
    epoch = {way: statistics.median(values) for way, values in seconds.items()}
    runs = {}
    for way in ("plain", "report"):
        progress(f"{way}: {training.RECIPES['report'].epochs} epochs, judged after each")
        runs[way] = [apart("train", way, 0, training.RECIPES["report"].epochs, 1)]
    progress(f"fast: {len(SEEDS)} trainings")
    runs["fast"] = [apart("train", "fast", seed, training.RECIPES["fast"].epochs, 1) for seed in SEEDS]
    flops, ends = flops_per_image(), [run["rows"][-1] for run in runs["fast"]]
    fast_seconds = float(np.mean([sum(row["seconds"] for row in run["rows"]) for run in runs["fast"]]))
    # of the rounds in turn, so that an hour in which the machine is slow counts for both
    epochs = {way: training.RECIPES["report" if way == "plain" else way].epochs for way in WAYS}
    whole = {way: epochs[way] * epoch[way] for way in WAYS}
    totals = [end["total"] for end in ends]
    deciding = {}
    for rule in ("report", "recommended"):
        for count in COUNTS:
            progress(f"deciding {count:,} images, {rule} rule")
            deciding.setdefault(rule, {})[str(count)] = apart("decide", rule, count)
    progress("make book, make test")
    return {
        "provenance": provenance(),
        "same_recipe_ratio": epoch["plain"] / epoch["report"],
        "time_to_quality_ratio": whole["plain"] / whole["fast"],
        "fast_seconds": fast_seconds,
        "fast_closed_accuracy": float(np.mean([end["closed"] for end in ends])),
        "fast_total": None if None in totals else float(np.mean(totals)),
        "fast_total_points": None if None in totals else 100 * float(np.std(totals, ddof=1)),
        "seeds": list(SEEDS),
        "seeds_count": len(SEEDS),
        "bfloat16": "it does" if training.has_bfloat16(torch.device("cpu")) else "it does not",
        "epochs": epochs,
        "epoch_seconds": epoch | {"rounds": seconds},
        "images_per_second": {way: images / value for way, value in epoch.items()},
        "flops_per_image": flops,
        "product_flops": rate,
        "flops_share": {way: flops * images / epoch[way] / rate for way in WAYS},
        "seconds_to_total": {way: reached(run[0]["rows"], "total", REPORT_TOTAL) for way, run in runs.items()},
        "seconds_to_closed": {way: reached(run[0]["rows"], "closed", CLOSED) for way, run in runs.items()},
        "ends": {
            way: {key: float(np.mean([one["rows"][-1][key] or np.nan for one in run])) for key in ("closed", "total")}
            for way, run in runs.items()
        },
        "peak_gibibytes": {way: max(values) / 2**30 for way, values in peaks.items()},
        "learning": {way: [one["rows"] for one in run] for way, run in runs.items()},
        "deciding": deciding,
        "decisions_per_second": {rule: 30_000 / each["30000"]["seconds"] for rule, each in deciding.items()},
        "book_seconds": timed("book"),
        "test_seconds": timed("test"),
    }


def draw(told):
    """The figure: quality over seconds of training, and seconds over images decided."""
    plots.style()
    _, axes = plt.subplots(1, 2, figsize=(9, 3.7))
    for way, style in zip(WAYS, (":", "--", "-"), strict=True):
        rows = told["learning"][way][0]
        axes[0].plot(
            np.cumsum([row["seconds"] for row in rows]), [row["closed"] for row in rows], style, marker=".", label=way
        )
    axes[0].axhline(CLOSED, color="black", linewidth=0.8)
    axes[0].set(xscale="log", xlabel="seconds of training", ylabel="closed-set accuracy", ylim=(0.94, 1))
    axes[0].legend()
    for rule, style in (("report", "--"), ("recommended", "-")):
        each = told["deciding"][rule]
        axes[1].plot(
            [int(count) for count in each], [one["seconds"] for one in each.values()], style, marker=".", label=rule
        )
    axes[1].set(xscale="log", yscale="log", xlabel="images decided", ylabel="seconds")
    axes[1].legend()
    with _files.whole(FIGURE) as file:
        plt.gcf().savefig(file, format="png", dpi=160)


def main():
    """Measure and write; or, with ``--task``, be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    task = parser.parse_args().task
    if task:
        kind, name, *rest = task
        print(json.dumps(train(name, *map(int, rest)) if kind == "train" else decide(name, int(rest[0]))))
        return
    for name, split in (("mnist", "train"), ("mnist", "test"), ("fashion", "test"), ("cifar10", "test")):
        if data.available()[name][0]:
            data.load(name, split)
    start = time.perf_counter()
    told = measure(lambda what: print(f"{time.perf_counter() - start:6.0f} s  {what}", flush=True))
    _files.write(RESULTS, json.dumps(rounded(told), indent=1) + "\n")
    draw(told)
    shutil.rmtree(PARTS)
    print(f"Wrote {RESULTS.relative_to(ROOT)} and {FIGURE.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. What is measured is kept; make bench goes on from there.")
