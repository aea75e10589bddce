"""The reference run: train every model from scratch, measure, and write the weights and ``reference.json``.

    python -m experiments.reference          about two hours on two cores; goes on where it was interrupted

Each training (``trainings.py``) is kept in ``_build/trainings`` until the run is complete. At the end the run says how
far its figures are from those of the run before.
"""

import shutil
import sys
import time
from dataclasses import asdict
from functools import partial

import numpy as np
import scipy

from experiments import choose_rule, run_protocol, study, teaser, trainings
from experiments.study import judged, report_rule
from experiments.trainings import MEAN, SEEDS, STD, TRAININGS, trained
from osrlib import UNKNOWN, data, metrics, models, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.gram import GramDeviation, GramFeatures
from osrlib.output import Output, infer
from osrlib.speed import cost
from osrlib.thresholds import MeanStd

UNKNOWN_WORLDS = ("fashion", "cifar10")
DEVELOPMENT_WORLDS = ("letters", "patches", "noise", "mnist-noise")
ACCURACIES = ("mnist", "ood", "total")
NUMBERS = ("norm_threshold", "diff_threshold", "ood_norm_threshold", "ood_diff_threshold", *ACCURACIES)


def spread(rows, keys):
    """Mean and standard deviation over seeds of some entries of a list of dicts."""
    return {
        "mean": {key: float(np.mean([row[key] for row in rows])) for key in keys},
        "std": {key: float(np.std([row[key] for row in rows], ddof=1)) for key in keys},
    }


def record(name):
    """How a model was trained and how good it became, per seed; and what it costs on this machine."""
    one = TRAININGS[name]
    runs = [trained(name, seed) for seed in one.seeds]
    accuracies = [history[-1]["test_accuracy"] for _, history in runs]
    return {
        "parameters": models.count_parameters(runs[0][0]),
        "recipe": asdict(one.spec.recipe),
        "epochs": [stage.epochs for stage in (one.spec.first, one.spec.recipe) if stage],
        "seeds": list(one.seeds),
        "published_seed": 0,
        "train_seconds": [sum(row["seconds"] for row in history) for _, history in runs],
        "closed_accuracy": accuracies,
        "closed_accuracy_mean": float(np.mean(accuracies)),
        "closed_accuracy_std": float(np.std(accuracies, ddof=1)) if len(runs) > 1 else None,
        "history": runs[0][1],
        **({"cost": cost.measure(name)._asdict()} if name in zoo.MODELS else {}),
    }


def by_report_rule(sets, name, seed=0, read=None, **distances):
    """The report's rule on a model, fitted on the training digits: its thresholds and accuracies.

    read: what is made of an output before; distances: as in :func:`experiments.study.report_rule`.
    """
    model, _ = trained(name, seed)
    said = {world: infer(model, images.images) for world, images in sets.items()}
    if read:
        said = {world: read(output) for world, output in said.items()}
    rule = report_rule(model, **distances).fit_output(said["train"])
    digits, *unknown = (rule.decide_output(said[world]) for world in ("mnist", *UNKNOWN_WORLDS))
    report = judged(sets["mnist"].labels, digits.labels, np.concatenate([one.labels for one in unknown]))
    distances = dict(zip(rule.keys, np.concatenate([one.scores for one in unknown]).T, strict=True))
    return (
        {f"{key}_threshold": value for key, value in rule.lines.items()}
        | {f"ood_{key}_threshold": MeanStd(2).fit(values).value for key, values in distances.items()}
        | {key: getattr(report, key) for key in ACCURACIES}
        | {"worlds": {name: refusals(one) for name, one in zip(UNKNOWN_WORLDS, unknown, strict=True)}}
        | {"confusion": report.confusion.tolist()}
    )


def short(row):
    """The numbers of a row of :func:`by_report_rule`, side by side."""
    return {key: row[key] for key in NUMBERS} | row["worlds"]


def refusals(decision):
    """The share of images that are refused."""
    return float((decision.labels == UNKNOWN).mean())


def nuclear(output):
    """The nuclear norm of the residual, a 28×28 matrix: the sum of its singular values."""
    residual = output.images / np.float32(255) - output.reconstruction
    return np.linalg.svd(residual, compute_uv=False).sum(1)


def standardised_norm(output):
    """The L2 norm of the residual in standardised pixels."""
    return scores.norm(output) / np.float32(STD)


def in_pixels(output):
    """What a network says whose reconstruction is standardised, with that back in [0, 1]."""
    return Output(**output.parts | {"reconstruction": output.reconstruction * STD + MEAN})


def report_rows(sets):
    """The report's rule: what it reaches over seeds, read in other ways, and on the report's third attempt."""
    rules = [{"seed": seed} | by_report_rule(sets, "mtae", seed) for seed in SEEDS]
    diff = partial(scores.diff, level=MEAN + STD)  # a standardised pixel of 1.0
    readings = {
        "L2": rules[0],
        "nuclear": by_report_rule(sets, "mtae", norm=nuclear),
        "standardised": by_report_rule(sets, "standardised", read=in_pixels, norm=standardised_norm, diff=diff),
    }
    seeds = [{"seed": row["seed"]} | short(row) for row in rules]
    return {
        "report_rule": rules[0] | {"seeds": seeds} | spread(seeds, short(rules[0])),
        "readings": {name: short(row) for name, row in readings.items()},
        "mtae-cnn": short(by_report_rule(sets, "mtae-cnn")),
    }


def loss_weight_rows():
    """What each task does to the other: a row a weight of the reconstruction, with mean and spread over seeds."""
    worlds = {name: data.load(name).images for name in ("mnist", *UNKNOWN_WORLDS, "letters", "patches")}
    rows = []
    for weight in trainings.LOSS_WEIGHTS:
        seeds, runs = TRAININGS[f"weight-{weight}"].seeds, []
        for seed in seeds:
            model, history = trained(f"weight-{weight}", seed)
            values = {name: scores.norm(infer(model, images)) for name, images in worlds.items()}
            digits = values.pop("mnist")
            runs.append(
                {"closed_accuracy": history[-1]["test_accuracy"], "mse": history[-1]["test_mse"]}
                | {f"auroc_{name}": metrics.auroc(digits, value) for name, value in values.items()}
            )
        rows.append({"weight": weight, "seeds": list(seeds)} | spread(runs, runs[0]))
    return rows


def c2ae_rows():
    """C2AE in the field's protocol, on the first of Neal's splits: each variant over the seeds."""
    test = data.load("mnist")
    known, unknown = (test.images[np.isin(test.labels, trainings.SPLIT) == side] for side in (True, False))
    rules = {
        "auroc": scores.class_error,
        "auroc_relative": partial(scores.class_error, relative=True),
        "auroc_softmax": scores.msp,
    }
    rows = {}
    for variant in trainings.C2AE_VARIANTS:
        runs = []
        for seed in SEEDS:
            model, history = trained(f"c2ae-{variant}", seed)
            said = [infer(model, images) for images in (known, unknown)]
            runs.append(
                {"seed": seed, "closed_accuracy": history[-1]["test_accuracy"]}
                | {"train_seconds": sum(row["seconds"] for row in history)}
                | {key: metrics.auroc(*map(score, said)) for key, score in rules.items()}
            )
        rows[variant] = {"seeds": runs} | spread(runs, [key for key in runs[0] if key != "seed"])
    return {"split": list(trainings.SPLIT), "variants": rows}


def nst_rows(sets):
    """The report's attempt with style and content, on 10,000 unknown images: both kinds, or one of them."""
    half = [sets[name].sample(5_000).images for name in UNKNOWN_WORLDS]
    unknown = {"mixed": np.concatenate(half)} | {name: sets[name].images for name in UNKNOWN_WORLDS}
    runs = {name: [] for name in unknown}
    for seed in SEEDS:
        model, _ = trained("mtae", seed)
        keys = {"content": (partial(scores.content, model=model), MeanStd(2)), "style": (scores.style, MeanStd(2))}
        rule = OpenSetClassifier(model, keys).fit(sets["train"].images)
        known = rule.predict(sets["mnist"].images)
        for name, images in unknown.items():
            report = judged(sets["mnist"].labels, known, rule.predict(images))
            runs[name].append({"seed": seed} | {key: getattr(report, key) for key in ACCURACIES})
    return {name: rows[0] | {"seeds": rows} | spread(rows, ACCURACIES) for name, rows in runs.items()}


def gram_rows(sets):
    """The Gram deviation on the CNN: AUROC in every world."""
    model = GramFeatures(trained("cnn")[0])
    score = GramDeviation(infer(model, sets["train"].sample(20_000).images), model.layer)
    digits = score(infer(model, sets["mnist"].images))
    return {
        "orders": list(model.orders),
        "auroc": {
            name: metrics.auroc(digits, score(infer(model, data.load(name).images)))
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
    worlds["letters without look-alikes"] = letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]
    held_out = sets["train"][zoo.MODELS["mtae-rule"].images :]
    thirty = np.concatenate([worlds[name].images for name in ("mnist", *UNKNOWN_WORLDS)])
    digits = worlds["mnist"]
    runs = []
    for seed in SEEDS:
        rule = OpenSetClassifier.recommended(trained("mtae-rule", seed)[0]).fit(held_out.images)
        start = time.perf_counter()
        labels = rule.predict(thirty)
        seconds = time.perf_counter() - start
        report = judged(digits.labels, *np.split(labels, [len(digits)]))
        runs.append(
            {"seed": seed}
            | {key: getattr(report, key) for key in ACCURACIES}
            | {"seconds": seconds}
            | {"refused": {name: refusals(rule.decide(world.images)) for name, world in worlds.items()}}
            | {"splits": false_refusals(rule, held_out, digits)}
        )
    return {
        "alpha": sum(key.threshold.alpha for key in rule.keys.values()),
        **runs[0],
        "seeds": runs,
        **spread(runs, ACCURACIES),
        "refused_mean": {name: float(np.mean([run["refused"][name] for run in runs])) for name in worlds},
    }


def false_refusals(rule, held_out, digits, splits=20):
    """Promise and price: the shares refused of test digits, and of held-out ones, over random calibration halves."""
    said = {"held_out": infer(rule.model, held_out.images), "test": infer(rule.model, digits.images)}
    values = {name: {key: score(output) for key, (score, _) in rule.keys.items()} for name, output in said.items()}
    random, refused = np.random.default_rng(0), {name: [] for name in said}
    for _ in range(splits):
        half = random.permutation(len(held_out)) < len(held_out) // 2
        lines = {
            key: thresholds.Conformal(threshold.alpha).fit(values["held_out"][key][half])
            for key, (_, threshold) in rule.keys.items()
        }
        for name, part in (("held_out", ~half), ("test", slice(None))):
            either = thresholds.any_of(*(line.reject(values[name][key][part]) for key, line in lines.items()))
            refused[name].append(float(either.mean()))
    return {name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))} for name, v in refused.items()}


def measure():
    """Everything that ``reference.json`` holds."""
    sets = {"train": data.load("mnist", "train"), "mnist": data.load("mnist"), **data.load_all(UNKNOWN_WORLDS)[0]}
    return {
        "provenance": study.provenance("reference"),
        "models": {name: record(name) for name in (*zoo.MODELS, "max-pool")},
        "seeds_count": len(SEEDS),
        **report_rows(sets),
        "loss_weights": loss_weight_rows(),
        "c2ae": c2ae_rows(),
        "nst": nst_rows(sets),
        "gram_deviation": gram_rows(sets),
        "rule": recommended_rows(sets),
        "selection": choose_rule.summary(),
        "protocol": run_protocol.summary(),
    }


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
    """Train, measure, compare with what was written before, and write."""
    study.options(__doc__)
    _, missing = data.load_all(UNKNOWN_WORLDS)
    if missing:
        sys.exit("The reference run needs every world of the report; see above for what is missing.")
    trainings.run()
    measured = study.rounded(measure())
    teaser.draw_teaser()
    teaser.draw_card()
    print(*moved(zoo.reference(), measured), sep="\n")  # first: what follows replaces the run before
    # nothing is published before everything is measured: weights and figures belong together
    study.write(zoo.WEIGHTS / "reference.json", measured)
    trainings.publish({name: trained(name)[0] for name in zoo.MODELS})
    shutil.rmtree(trainings.FOLDER)


if __name__ == "__main__":
    study.start(main)
