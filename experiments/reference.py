"""The reference run: train every model from scratch, measure, and write the weights and ``results/reference.json``.

    python book/train.py             everything, about two hours on two cores
    python book/train.py --resume    go on where an interrupted run stopped

Each training (``trainings.py``) is kept in ``_build/train`` until the run is complete. At the end the run says how far
its figures are from those of the run before.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import protocol
import scipy
import select_rule
import trainings
from trainings import MEAN, SEEDS, SEEDS_OF, STD, trained

from osrlib import UNKNOWN, _files, data, detector, metrics, models, plots, scores, thresholds, zoo

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "book" / "_static"
TEASER = {"mnist": (0, 61), "letters": (2600,), "patches": (8,), "fashion": (0, 2, 18), "cifar10": (1,)}
RESULTS = ROOT / "book" / "results" / "reference.json"
UNKNOWN_WORLDS = ("fashion", "cifar10")
DEVELOPMENT_WORLDS = ("letters", "patches", "noise", "mnist-noise")


def spread(rows, keys):
    """Mean and standard deviation over seeds of some entries of a list of dicts."""
    return {
        "mean": {key: float(np.mean([row[key] for row in rows])) for key in keys},
        "std": {key: float(np.std([row[key] for row in rows], ddof=1)) for key in keys},
    }


def c2ae_rows():
    """C2AE in the field's protocol, on the first of Neal's splits: each variant over the seeds."""
    test = data.load("mnist")
    known, unknown = (test.images[np.isin(test.labels, trainings.SPLIT) == side] for side in (True, False))
    rows = {}
    for variant in trainings.C2AE_VARIANTS:
        runs = []
        for seed in SEEDS:
            model, history = trained(f"c2ae-{variant}", seed)
            said = [models.infer(model, images) for images in (known, unknown)]
            rules = {
                "auroc": scores.class_error,
                "auroc_relative": partial(scores.class_error, relative=True),
                "auroc_softmax": scores.msp,
            }
            runs.append(
                {"seed": seed, "closed_accuracy": history[-1]["test_accuracy"]}
                | {"train_seconds": sum(row["seconds"] for row in history)}
                | {key: metrics.auroc(*map(score, said)) for key, score in rules.items()}
            )
        rows[variant] = {"seeds": runs} | spread(runs, [key for key in runs[0] if key != "seed"])
    return {"split": list(trainings.SPLIT), "variants": rows}


def nst_rows(sets):
    """The report's attempt with style and content, on 10,000 unknown images: both kinds, or one of them."""
    half = {name: sets[name].sample(5_000).images for name in UNKNOWN_WORLDS}
    unknown = {"mixed": np.concatenate(list(half.values()))} | {name: sets[name].images for name in UNKNOWN_WORLDS}
    runs = {name: [] for name in unknown}
    for seed in SEEDS:
        model, _ = trained("mtae", seed)
        pair = partial(scores.content, model=model), scores.style
        rule = detector.OpenSetClassifier(model, pair, [thresholds.MeanStd(2), thresholds.MeanStd(2)])
        rule.fit(sets["train"].images)
        known = rule.predict(sets["mnist"].images)
        for name, images in unknown.items():
            predicted = np.r_[known, rule.predict(images)]
            report = metrics.osr_report(np.r_[sets["mnist"].labels, np.full(len(images), UNKNOWN)], predicted)
            runs[name].append({"seed": seed, "mnist": report.mnist, "ood": report.ood, "total": report.total})
    return {name: rows[0] | {"seeds": rows} | spread(rows, ("mnist", "ood", "total")) for name, rows in runs.items()}


def gram_rows(sets):
    """The Gram deviation on the CNN: AUROC in every world."""
    model = models.GramFeatures(trained("cnn")[0])
    score = scores.gram_deviation(models.infer(model, sets["train"].sample(20_000).images), model.layer)
    digits = score(models.infer(model, sets["mnist"].images))
    return {
        "orders": list(model.orders),
        "auroc": {
            name: metrics.auroc(digits, score(models.infer(model, data.load(name).images)))
            for name in (*UNKNOWN_WORLDS, *DEVELOPMENT_WORLDS)
        },
    }


def recommended_rows(sets):
    """The recommended rule, calibrated on the digits left from training: per world, per seed, and what it costs.

    ``false_refusals``: over 20 random halves of the 10,000 calibration images, what is refused of MNIST's test digits
    and of the other half.
    """
    worlds = {name: data.load(name) for name in ("mnist", *UNKNOWN_WORLDS, *DEVELOPMENT_WORLDS)}
    letters = worlds["letters"]
    clean = letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]
    held_out = sets["train"][zoo.MODELS["mtae-rule"].images :]
    runs = []
    for seed in SEEDS_OF["mtae-rule"]:
        rule = detector.OpenSetClassifier.recommended(trained("mtae-rule", seed)[0]).fit(held_out.images)
        thirty = np.concatenate([worlds[name].images for name in ("mnist", *UNKNOWN_WORLDS)])
        start = time.perf_counter()
        labels = rule.predict(thirty)
        seconds = time.perf_counter() - start
        truth = np.r_[worlds["mnist"].labels, np.full(len(thirty) - len(worlds["mnist"]), UNKNOWN)]
        report = metrics.osr_report(truth, labels)
        refused = {name: float((rule.predict(worlds[name].images) == UNKNOWN).mean()) for name in worlds}
        refused["letters without look-alikes"] = float((rule.predict(clean.images) == UNKNOWN).mean())
        run = {"seed": seed, "mnist": report.mnist, "ood": report.ood, "total": report.total, "seconds": seconds}
        runs.append(run | {"refused": refused} | {"splits": false_refusals(rule, held_out, worlds["mnist"])})
    return {
        "alpha": sum(line.alpha for line in rule.thresholds),
        **runs[0],
        "seeds": runs,
        **spread(runs, ("mnist", "ood", "total")),
        "refused_mean": {name: float(np.mean([run["refused"][name] for run in runs])) for name in refused},
    }


def false_refusals(rule, held_out, digits, splits=20):
    """Promise and price: the shares refused of test digits, and of held-out ones, over random calibration halves."""
    said = [models.infer(rule.model, part.images) for part in (held_out, digits)]
    values = [[score(output) for score in rule.scores] for output in said]
    random, refused = np.random.default_rng(0), {"held_out": [], "test": []}
    for _ in range(splits):
        half = random.permutation(len(held_out)) < len(held_out) // 2
        lines = [
            thresholds.Conformal(line.alpha).fit(value[half])
            for line, value in zip(rule.thresholds, values[0], strict=True)
        ]
        for name, parts in (("held_out", [value[~half] for value in values[0]]), ("test", values[1])):
            share = thresholds.any_of(*(line.reject(value) for line, value in zip(lines, parts, strict=True))).mean()
            refused[name].append(float(share))
    return {name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))} for name, v in refused.items()}


def training_record(name, spec, seeds):
    """How a model was trained and how good it became, per seed; and what it costs on this machine."""
    runs = [trained(name, seed) for seed in seeds]
    stages = [stage for stage in (spec.first, spec.recipe) if stage]
    accuracies = [history[-1]["test_accuracy"] for _, history in runs]
    return {
        "parameters": models.count_parameters(runs[0][0]),
        "recipe": asdict(spec.recipe),
        "epochs": [stage.epochs for stage in stages],
        "seeds": list(seeds),
        "published_seed": 0,
        "train_seconds": [sum(row["seconds"] for row in history) for _, history in runs],
        "closed_accuracy": accuracies,
        "closed_accuracy_mean": float(np.mean(accuracies)),
        "closed_accuracy_std": float(np.std(accuracies, ddof=1)) if len(runs) > 1 else None,
        "history": runs[0][1],
        **({"cost": zoo.cost(name)._asdict()} if name in zoo.MODELS else {}),
    }


def rule_row(model, outputs, score=scores.norm, level=0.5):
    """The report's rule on one model: thresholds of mean + 2·std from the training digits, then the accuracies.

    outputs: what it says, dict world → Output, with "train" and "mnist" among them; score: the reading of ``norm``.
    """
    pair = score, partial(scores.diff, level=level)
    rule = detector.OpenSetClassifier(model, pair, [thresholds.MeanStd(2), thresholds.MeanStd(2)])
    rule.fit_output(outputs["train"])
    unknown = [name for name in UNKNOWN_WORLDS if name in outputs]
    decisions = {name: rule.decide_output(outputs[name]) for name in ("mnist", *unknown)}
    predicted = np.concatenate([decision.labels for decision in decisions.values()])
    digits = data.load("mnist").labels
    report = metrics.osr_report(np.r_[digits, np.full(len(predicted) - len(digits), UNKNOWN)], predicted)
    beyond = np.concatenate([decisions[name].scores for name in unknown])
    return {
        "norm_threshold": rule.thresholds[0].value,
        "diff_threshold": rule.thresholds[1].value,
        "ood_norm_threshold": thresholds.MeanStd(2).fit(beyond[:, 0]).value,
        "ood_diff_threshold": thresholds.MeanStd(2).fit(beyond[:, 1]).value,
        "mnist": report.mnist,
        "ood": report.ood,
        "total": report.total,
        "worlds": {name: float((decisions[name].labels == UNKNOWN).mean()) for name in unknown},
        "confusion": report.confusion.tolist(),
    }


def nuclear(output):
    """The nuclear norm of the residual, a 28×28 matrix: the sum of its singular values."""
    residual = output.images / np.float32(255) - output.reconstruction
    return np.linalg.svd(residual, compute_uv=False).sum(1)


def standardised_norm(output):
    """The L2 norm of the residual in standardised pixels."""
    return scores.norm(output) / np.float32(STD)


def loss_weight_rows(worlds):
    """What each task does to the other: a row a weight of the reconstruction, with mean and spread over seeds."""
    rows = []
    for weight in trainings.LOSS_WEIGHTS:
        runs = []
        for seed in trainings.SWEEP_SEEDS:
            model, history = trained(f"weight-{weight}", seed)
            values = {name: scores.norm(models.infer(model, images)) for name, images in worlds.items()}
            digits = values.pop("mnist")
            runs.append(
                {"closed_accuracy": history[-1]["test_accuracy"], "mse": history[-1]["test_mse"]}
                | {f"auroc_{name}": metrics.auroc(digits, value) for name, value in values.items()}
            )
        rows.append({"weight": weight, "seeds": list(trainings.SWEEP_SEEDS)} | spread(runs, runs[0]))
    return rows


def provenance():
    """Who measured this: command, date, machine, versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    names = ("torch", "torchvision", "numpy", "scikit-learn", "scikit-image", "safetensors")
    return {
        "command": " ".join(["python", *sys.argv]),
        "data": {name: data.digest(name) for name in ("mnist", *UNKNOWN_WORLDS)},
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {processor or platform.processor()}, "
        f"{os.cpu_count()} cores",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
    }


def measure():
    """Everything that ``reference.json`` holds."""
    sets = {"train": data.load("mnist", "train"), "mnist": data.load("mnist"), **data.load_all(UNKNOWN_WORLDS)[0]}

    def outputs(model):
        return {name: models.infer(model, world.images) for name, world in sets.items()}

    rules = []
    for seed in SEEDS:
        model, _ = trained("mtae", seed)
        said = outputs(model)
        rules.append({"seed": seed} | rule_row(model, said))
        if seed == 0:
            nuclear_row = rule_row(model, said, nuclear)
    # back to pixels in [0, 1]; a standardised pixel of 1.0 is then MEAN + STD
    model, _ = trained("standardised")
    said = {
        name: output._replace(reconstruction=output.reconstruction * STD + MEAN)
        for name, output in outputs(model).items()
    }
    readings = {
        "L2": rules[0],
        "nuclear": nuclear_row,
        "standardised": rule_row(model, said, standardised_norm, level=MEAN + STD),
    }
    reader, _ = trained("mtae-cnn")
    third = rule_row(reader, outputs(reader))
    numbers = ("norm_threshold", "diff_threshold", "ood_norm_threshold", "ood_diff_threshold", "mnist", "ood", "total")
    known_and_unknown = {name: world.images for name, world in sets.items() if name != "train"} | {
        name: data.load(name).images for name in ("letters", "patches")
    }
    return {
        "provenance": provenance(),
        "models": {name: training_record(name, spec, SEEDS_OF[name]) for name, spec in zoo.MODELS.items()}
        | {"max-pool": training_record("max-pool", zoo.MODELS["baseline"], SEEDS_OF["max-pool"])},
        "seeds_count": len(SEEDS),
        "report_rule": rules[0]
        | {"seeds": [{key: row[key] for key in ("seed", *numbers)} | row["worlds"] for row in rules]}
        | spread([row | row["worlds"] for row in rules], (*numbers, *rules[0]["worlds"])),
        "readings": {name: {key: row[key] for key in numbers} | row["worlds"] for name, row in readings.items()},
        "loss_weights": loss_weight_rows(known_and_unknown),
        "mtae-cnn": {key: third[key] for key in numbers} | third["worlds"],
        "c2ae": c2ae_rows(),
        "nst": nst_rows(sets),
        "gram_deviation": gram_rows(sets),
        "rule": recommended_rows(sets),
        "selection": select_rule.summary(),
        "protocol": protocol.summary(),
    }


def draw_teaser():
    """The picture on the first page: what the model makes of a digit and of three unknown images."""
    model, _ = trained("mtae")
    rule = detector.OpenSetClassifier(model, [scores.norm, scores.diff], [thresholds.MeanStd(), thresholds.MeanStd()])
    rule.fit(data.load("mnist", "train").images)
    worlds, _ = data.load_all(["mnist", "letters", "patches", "fashion", "cifar10"])
    chosen = np.stack([world.images[i] for name, world in worlds.items() for i in TEASER[name]])
    decision = rule.decide(chosen)
    titles = [
        f"diff {decision.scores[i, 1]:.0f}\n" + ("unknown" if label == UNKNOWN else f"“{label}”")
        for i, label in enumerate(decision.labels)
    ]
    plots.style()
    ax = plots.reconstructions(models.infer(model, chosen), titles)
    with _files.whole(STATIC / "teaser.png") as file:
        ax.figure.savefig(file, format="png", bbox_inches="tight", dpi=160)


def draw_card():
    """What stands for the book where someone links to it: its title above a part of the teaser, 1200 × 630 pixels."""
    figure, (title, picture) = plt.subplots(2, 1, figsize=(12, 6.3), height_ratios=(1, 3))
    title.text(0.5, 0.55, "Knowing what you don't know", fontsize=46, weight="bold", ha="center", va="center")
    title.text(0.5, -0.05, "Open-set recognition: an executable book", fontsize=24, ha="center", va="center")
    picture.imshow(plt.imread(STATIC / "teaser.png"))
    for ax in (title, picture):
        ax.axis("off")
    with _files.whole(STATIC / "card.png") as file:
        figure.savefig(file, format="png", dpi=100)


def rounded(tree):
    """Floats with six significant digits: more would be noise."""
    if isinstance(tree, dict):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree


def figures(tree, name=""):
    """Every figure over seeds: dict name → (mean, standard deviation, number of seeds). Seconds are the machine's."""
    found = {}
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if isinstance(tree, dict):
        seeds, mean, std = (tree.get(key) for key in ("seeds", "mean", "std"))
        if isinstance(std, dict):
            kept = [key for key in std if "seconds" not in key]
            found = {f"{name}{key}": (mean[key], std[key], len(seeds)) for key in kept}
        if tree.get("closed_accuracy_std"):
            mean, std = tree["closed_accuracy_mean"], tree["closed_accuracy_std"]
            found[f"{name}closed_accuracy"] = mean, std, len(seeds)
        for key, part in tree.items():
            found |= figures(part, f"{name}{key} ")
    return found


def moved(before, now):
    """What has moved since the run before: a line for each figure over seeds, and one on all of them.

    The mean of n new seeds is expected in the 95 % prediction interval of the n before it, mean ± t·std·√(2/n).
    """
    now, lines, within = figures(now), [], 0
    before = {name: figure for name, figure in figures(before).items() if name in now}
    for name, (mean, std, n) in before.items():
        step = now[name][0] - mean
        inside = abs(step) <= scipy.stats.t.ppf(0.975, n - 1) * std * np.sqrt(2 / n) + 1e-12
        within += inside
        lines.append(
            f"{name}: {mean:.4g} ± {std:.2g} before, {now[name][0]:.4g} now: {step / (std or 1):+.1f} standard "
            f"deviations{'' if inside else ', OUTSIDE'}"
        )
    return [*lines, f"{within} of {len(before)} figures within the 95 % prediction interval of the run before"]


def main():
    """Train, measure, write, and compare with what was written before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    if not parser.parse_args().resume:
        shutil.rmtree(trainings.FOLDER, ignore_errors=True)
    _, missing = data.load_all(UNKNOWN_WORLDS)
    if missing:
        sys.exit("The reference run needs every world of the report; see above for what is missing.")
    trainings.run()
    measured = rounded(measure())
    draw_teaser()
    draw_card()
    print(*moved(zoo.reference(), measured), sep="\n")  # first: what follows replaces the run before
    # nothing is published before everything is measured: weights and figures belong together
    zoo.save({name: trained(name)[0] for name in zoo.MODELS})
    _files.write(RESULTS, json.dumps(measured, indent=1) + "\n")
    shutil.rmtree(trainings.FOLDER)
    print(f"Wrote {RESULTS.relative_to(ROOT)} and {zoo.WEIGHTS.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. What is trained is kept; python book/train.py --resume goes on from there.")
