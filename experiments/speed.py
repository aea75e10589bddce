"""How fast the book trains, beside the loop that tutorials teach.    python -m experiments.speed

Three ways to train the multi-task autoencoder, each in a process of its own, in turn: ``plain``, a tutorial's loop
(:func:`plain_epochs`); ``report``, the same recipe by osrlib; ``fast``, osrlib's own. Writes
``experiments/results/speed.json`` and a figure, ``book/_static/speed.png``. Some half an hour on two cores; nothing
else should run meanwhile. Interrupted, it goes on where it stopped.
"""

import resource
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from experiments import study
from osrlib import data, models, plots, training, zoo
from osrlib.detector import OpenSetClassifier

ROWS = study.BUILD / "speed.jsonl"
TABLE = study.RESULTS / "speed.json"
CLOSED = 0.985
"""The closed-set accuracy that is waited for; of the total, it is the mean of the report's recipe."""
WAYS, ROUNDS, SEEDS = ("plain", "report", "fast"), 3, (0, 1, 2)
EPOCHS = {way: training.RECIPES[recipe].epochs for way, recipe in zip(WAYS, ("report", "report", "fast"), strict=True)}


class Plain(nn.Module):
    """The report's model as a tutorial writes it: ReLU behind batch norm, pooling last, everything in PyTorch's way.

    Its weights come in the order of :class:`osrlib.models.MultiTaskAE`'s.
    """

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(128, 32 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(16, 1, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        )  # fmt: skip
        self.classifier = nn.Linear(128, 11)

    def forward(self, x):
        code = self.encoder(x)
        return self.classifier(code), self.decoder(code)


def plain_epochs(seed, epochs):
    """Train as tutorials do: torchvision's dataset and transforms, a DataLoader. Yields (seconds, model) each epoch."""
    from torchvision import datasets, transforms

    digits = data.report_digits()
    standardise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(models.MEAN, models.STD)])
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in ("train", "t10k"):  # torchvision asks for all four files
            for kind, array in (("images-idx3", digits.images), ("labels-idx1", digits.labels.astype(np.uint8))):
                header = np.array([2048 + array.ndim, *array.shape], ">i4")
                (raw / f"{name}-{kind}-ubyte").write_bytes(header.tobytes() + array.tobytes())
        dataset = datasets.MNIST(folder, train=True, transform=standardise)
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
            yield seconds, twin(model)


def twin(plain):
    """osrlib's model with the weights of a plain one."""
    model = models.MultiTaskAE()
    model.load_state_dict(dict(zip(model.state_dict(), plain.state_dict().values(), strict=True)))
    return model


def quality(model):
    """Closed-set accuracy, and what the report's own rule makes of the model: None where a world is missing."""
    worlds, missing = data.load_all(("mnist", "fashion", "cifar10"))
    rule = OpenSetClassifier.report(model).fit(data.report_digits().images)
    digits, labels = rule.decide(worlds["mnist"].images), worlds.pop("mnist").labels
    unknown = [rule.predict(world.images) for world in worlds.values()]
    report = study.judged(labels, digits.labels, np.concatenate([np.empty(0, int), *unknown]))
    closed = float((digits.guess == labels).mean())
    return {"closed": closed, "mnist": report.mnist, "total": None if missing else report.total}


def learn(way, seed, epochs, judge):
    """One training: its seconds and, if it is judged, its quality after each epoch, and its peak memory."""
    learning = []

    def note(model, epoch):
        learning.append({"seconds": epoch["seconds"]} | (quality(model) if judge else {}))

    if way == "plain":
        for seconds, model in plain_epochs(seed, epochs):
            note(model, {"seconds": seconds})
    else:
        recipe, model = replace(training.RECIPES[way], epochs=epochs), zoo.build("mtae", seed)
        training.fit(model, zoo.REPORT_LOSS, data.report_digits(), recipe, seed=seed, progress=False, on_epoch=note)
    return {"learning": learning, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def multiply(round, size=2048, repeats=9):
    """What this machine reaches in a product of two large float32 matrices, in some round: FLOP/s, the median."""
    one, other = torch.randn(2, size, size)
    one @ other
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        one @ other
        seconds.append(time.perf_counter() - start)
    return {"rate": 2 * size**3 / statistics.median(seconds)}


def flops_per_image():
    """Floating-point operations of one image in training, forward and backward, by the network's own layers."""
    model, images = Plain(), torch.rand(8, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        logits, copies = model(images)
        (logits.sum() + copies.sum()).backward()
    return counter.get_total_flops() / len(images)


def configurations():
    """Everything that is measured in a process of its own: a task, and what it is called with."""
    once = []
    for number in range(ROUNDS):
        once.append({"task": "multiply", "round": number})
        # two epochs: the first pays for memory that the second uses again, in every way
        once += [{"task": "learn", "way": way, "seed": number, "epochs": 2, "judge": False} for way in WAYS]
    judged = [("plain", 0), ("report", 0), *(("fast", seed) for seed in SEEDS)]
    return [
        *once,
        *({"task": "learn", "way": way, "seed": seed, "epochs": EPOCHS[way], "judge": True} for way, seed in judged),
    ]


def row(task, **arguments):
    """Call a function of this module in a fresh process, so that none inherits another's memory."""
    kept = task != "multiply" and arguments.get("way") != "plain"
    return study.in_a_fresh_process("speed", task, kept, **arguments)


def reached(rows, key, bar):
    """Seconds of training until a figure reaches a bar: None where it never does."""
    seconds = np.cumsum([row["seconds"] for row in rows])
    return next((float(at) for at, row in zip(seconds, rows, strict=True) if (row[key] or 0) >= bar), None)


def mean_end(runs, key):
    """The mean of a figure after the last epoch: None where a world is missing."""
    ends = [row["learning"][-1][key] for row in runs]
    return None if None in ends else float(np.mean(ends))


def timed(target):
    """Seconds that ``make`` takes for a target, with everything warm."""
    start = time.perf_counter()
    subprocess.run(["make", target], cwd=study.ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def summary(rows):
    """What ``speed.json`` says of the rows."""
    images, bar = len(data.report_digits()), zoo.reference()["report_rule"]["mean"]["total"]
    rate = statistics.median(row["rate"] for row in rows if row["task"] == "multiply")
    learnt = [row for row in rows if row["task"] == "learn"]
    short, runs = ({way: [row for row in learnt if row["way"] == way and row["judge"] == judge] for way in WAYS}
                   for judge in (False, True))  # fmt: skip
    # of the rounds in turn, so that an hour in which the machine is slow counts for all
    seconds = {way: [row["learning"][1]["seconds"] for row in each] for way, each in short.items()}
    epoch = {way: statistics.median(values) for way, values in seconds.items()}
    totals = [row["learning"][-1]["total"] for row in runs["fast"]]
    ends = {way: {key: mean_end(each, key) for key in ("closed", "total")} for way, each in runs.items()}
    flops = flops_per_image()
    return {
        "same_recipe_ratio": epoch["plain"] / epoch["report"],
        "time_to_quality_ratio": EPOCHS["plain"] * epoch["plain"] / (EPOCHS["fast"] * epoch["fast"]),
        "fast_seconds": float(np.mean([sum(epoch["seconds"] for epoch in row["learning"]) for row in runs["fast"]])),
        "total_bar": bar,
        "closed_bar": CLOSED,
        "fast_closed_accuracy": ends["fast"]["closed"],
        "fast_total": ends["fast"]["total"],
        "fast_total_points": None if None in totals else 100 * float(np.std(totals, ddof=1)),
        "seeds": list(SEEDS),
        "seeds_count": len(SEEDS),
        "bfloat16": "it does" if training.has_bfloat16(torch.device("cpu")) else "it does not",
        "epochs": EPOCHS,
        "epoch_seconds": epoch | {"rounds": seconds},
        "images_per_second": {way: images / value for way, value in epoch.items()},
        "flops_per_image": flops,
        "product_flops": rate,
        "flops_share": {way: flops * images / value / rate for way, value in epoch.items()},
        "seconds_to_total": {way: reached(each[0]["learning"], "total", bar) for way, each in runs.items()},
        "seconds_to_closed": {way: reached(each[0]["learning"], "closed", CLOSED) for way, each in runs.items()},
        "ends": ends,
        "peak_gibibytes": {way: max(row["peak"] for row in each) / 2**30 for way, each in short.items()},
        "learning": {way: [row["learning"] for row in each] for way, each in runs.items()},
    }


def draw(told):
    """The figure: quality over seconds of training."""
    plots.style()
    _, ax = plt.subplots(figsize=(6, 3.7))
    for way, style in zip(WAYS, (":", "--", "-"), strict=True):
        rows = told["learning"][way][0]
        ax.plot(
            np.cumsum([row["seconds"] for row in rows]), [row["closed"] for row in rows], style, marker=".", label=way
        )
    ax.axhline(CLOSED, color="black", linewidth=0.8)
    ax.set(xscale="log", xlabel="seconds of training", ylabel="closed-set accuracy", ylim=(0.94, 1))
    ax.legend()
    study.draw(plt.gcf(), "speed")


def main():
    """Measure, write and draw."""
    options = study.options(__doc__)
    told = {"provenance": study.provenance("speed")} | summary(study.rows(row, configurations(), ROWS, **options))
    print("make book, make test", flush=True)
    told |= {"book_seconds": timed("book"), "test_seconds": timed("test")}
    study.write(TABLE, told)
    draw(told)
    ROWS.unlink()


if __name__ == "__main__":
    study.start(main)
