"""How fast the rules decide, and where the time goes.    python -m experiments.deciding

Each rule decides 10,000 to 240,000 images, in a process of its own. Then the recommended rule is taken apart, and its
nearest neighbour is measured beside pytorch-ood's and beside the machine's rate in matrix products, all in turn. Writes
``experiments/results/deciding.json`` and a figure, ``book/_static/deciding.png``. Some ten minutes on two cores;
nothing else should run meanwhile.
"""

import resource
import statistics
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from pytorch_ood.detector import KNN

from experiments import study
from osrlib import data, models, plots, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from osrlib.scores import SCORES, Seen

ROWS = study.BUILD / "deciding.jsonl"
TABLE = study.RESULTS / "deciding.json"
COUNTS, ROUNDS = (10_000, 30_000, 60_000, 120_000, 240_000), 7
RULES = {
    "report": OpenSetClassifier.report,
    "recommended": OpenSetClassifier.recommended,
    # one network three times: it costs what three cost
    "three networks": lambda: OpenSetClassifier.recommended(models.Ensemble([zoo.load("mtae-rule")] * 3)),
}


def decide(rule, count):
    """One decision over so many images: seconds and peak memory."""
    digits = data.load("mnist", "train")
    images = np.concatenate([digits.images] * -(-count // len(digits)))[:count]
    ready = RULES[rule]().fit(data.rule_digits("calibrate").images)
    start = time.perf_counter()
    ready.predict(images)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def take_apart():
    """Seconds of each step of a decision over MNIST's test images, the median of some rounds in turn, and how far the
    two nearest neighbours differ."""
    images, network = data.load("mnist").images, zoo.load("mtae-rule")
    rule = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    output, bank = infer(rule.model, images), infer(rule.model, data.rule_digits("train").images)
    ours, theirs = SCORES["kNN"](Seen(rule.model, bank)), KNN(None, k=1, normalize=True)
    theirs.fit_features(torch.from_numpy(bank.code), torch.zeros(len(bank), dtype=torch.long))
    one, other = torch.randn(2, 2048, 2048)
    steps = {
        "decision": lambda: rule.predict(images),
        "network": lambda: infer(rule.model, images),
        "network with decoder": lambda: infer(network, images),
        "kNN, all classes": lambda: ours(output),
        "pytorch-ood": lambda: theirs.predict_features(torch.from_numpy(output.code)),
        "product": lambda: one @ other,
    }
    parts = {getattr(part, "__name__", type(part).__name__): part for part, _, _ in rule.keys["code"].score.parts}
    steps |= {name: partial(part, output) for name, part in parts.items()}
    seconds = {name: [] for name in steps}
    for _ in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    # the first round pays for memory that the others use again
    median = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    rate = 2 * len(one) ** 3 / median.pop("product")
    products = 2 * bank.code.size * len(output)
    return {
        "images": len(images),
        "rounds": ROUNDS,
        "seconds": median,
        "parts": list(parts),
        "largest_difference": float(np.abs(ours(output) - steps["pytorch-ood"]().numpy()).max()),
        "product_flops": rate,
        "products_alone": products / rate,
        "product_share": {name: products / rate / median[name] for name in ("kNN, all classes", "pytorch-ood")},
        "faster_than_pytorch_ood": median["pytorch-ood"] / median["kNN, all classes"],
        "in_class_faster": median["kNN, all classes"] / median["KNN"],
        "without_decoder_faster": median["network with decoder"] / median["network"],
        "network_share": median["network"] / median["decision"],
    }


def configurations():
    """Every rule with every number of images."""
    return [{"rule": rule, "count": count} for rule in RULES for count in COUNTS]


def row(**arguments):
    """One decision in a fresh process, so that none inherits another's memory."""
    return study.in_a_fresh_process("deciding", "decide", **arguments)


def summary(rows):
    """What ``deciding.json`` says of the rows."""
    deciding = {rule: {} for rule in RULES}
    for row in rows:
        deciding[row["rule"]][str(row["count"])] = {key: row[key] for key in ("seconds", "peak")}
    return {
        "deciding": deciding,
        "per_second": {rule: 30_000 / each["30000"]["seconds"] for rule, each in deciding.items()},
        "thirty_thousand": {rule: each["30000"]["seconds"] for rule, each in deciding.items()},
    }


def draw(told):
    """The figure: the steps of a decision, and seconds over images decided."""
    plots.style()
    _, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    apart = told["apart"]
    milliseconds = {name: 1000 * apart["seconds"][name] for name in ("network", *apart["parts"])}
    milliseconds["rest"] = max(0, 1000 * apart["seconds"]["decision"] - sum(milliseconds.values()))
    names = {"KNN": "kNN in class", "RelativeMahalanobis": "relative Mahalanobis"}
    axes[0].barh([names.get(name, name) for name in milliseconds], milliseconds.values(), color=plots.BLUE)
    axes[0].invert_yaxis()
    axes[0].set(xlabel=f"milliseconds for {apart['images']:,} images")
    for (rule, each), style in zip(told["deciding"].items(), ("--", "-", ":"), strict=True):
        axes[1].plot(
            [int(count) for count in each], [one["seconds"] for one in each.values()], style, marker=".", label=rule
        )
    axes[1].set(xscale="log", yscale="log", xlabel="images decided", ylabel="seconds")
    axes[1].legend()
    study.draw(plt.gcf(), "deciding")


def main():
    """Measure, write and draw."""
    rows = study.rows(row, configurations(), ROWS, **study.options(__doc__))
    told = {"provenance": study.provenance("deciding")} | summary(rows) | {"apart": take_apart()}
    study.write(TABLE, told)
    draw(told)
    ROWS.unlink()


if __name__ == "__main__":
    study.start(main)
