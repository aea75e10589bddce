"""The reference run: train every model from scratch, measure, and write the weights and ``reference.json``.

    python -m experiments.reference              about an hour on two cores; goes on where it was interrupted
    python -m experiments.reference PART …       only these, such as "models.mtae" or "ladder"; the others stay

Each training (``trainings.py``) is kept in ``_build/trainings`` until the run is complete. At the end the run says how
far its figures are from those of the run before.
"""

import argparse
import functools
import json
import shutil
import sys
import time
from dataclasses import asdict
from functools import partial

import numpy as np
import scipy

from experiments import choose_rule, ladder, run_protocol, study, teaser, trainings
from experiments.study import judged
from experiments.trainings import REPORT_SEEDS, SEEDS, trained
from osrlib import UNKNOWN, data, metrics, models, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.gram import GramDeviation, GramFeatures
from osrlib.output import infer
from osrlib.speed import cost
from osrlib.thresholds import MeanStd

UNKNOWN_WORLDS = ("fashion", "cifar10")
DEVELOPMENT_WORLDS = tuple(name for name, world in data.WORLDS.items() if world.role == "development")
OTHER_PENS = ("pens", "pixel-digits")
ACCURACIES = ("mnist", "ood", "total")
NUMBERS = ("norm_threshold", "diff_threshold", *ACCURACIES)


@functools.cache
def report_sets():
    """The digits that the report's lines are fitted on, and the worlds that it is tested on."""
    return {"train": data.report_digits(), "mnist": data.load("mnist"), **data.load_all(UNKNOWN_WORLDS)[0]}


def spread(rows, keys):
    """Number, mean and standard deviation over seeds of some entries of a list of dicts."""
    return {
        "n": len(rows),
        "mean": {key: float(np.mean([row[key] for row in rows])) for key in keys},
        "std": {key: float(np.std([row[key] for row in rows], ddof=1)) for key in keys},
    }


def record(name):
    """How a model was trained and how good it became, per seed."""
    one = trainings.TRAININGS[name]
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
    }


def costs():
    """What each model costs on this machine, one after the other: figures of one run can be compared."""
    return {name: cost.measure(name)._asdict() for name in zoo.MODELS}


def by_report_rule(name, seed=0):
    """The report's rule on a model: its lines and accuracies."""
    model, _ = trained(name, seed)
    said = {world: infer(model, images.images) for world, images in report_sets().items()}
    rule = OpenSetClassifier.report(model).fit_output(said["train"])
    digits, *unknown = (rule.decide_output(said[world]) for world in ("mnist", *UNKNOWN_WORLDS))
    report = judged(report_sets()["mnist"].labels, digits.labels, np.concatenate([one.labels for one in unknown]))
    return (
        {f"{key}_threshold": value for key, value in rule.lines.items()}
        | {key: getattr(report, key) for key in ACCURACIES}
        | {name: refusals(one) for name, one in zip(UNKNOWN_WORLDS, unknown, strict=True)}
    )


def third_attempt():
    """The report's rule on its third attempt; and what its own models refuse at a price of 3 % of digits, by seed."""
    worlds = {name: data.load(name).images for name in ("mnist", "letters", "patches")}
    some, runs = data.report_digits().sample(10_000).images, []
    for seed in REPORT_SEEDS:
        model, _ = trained("mtae", seed)
        rule = OpenSetClassifier.report(model)
        known = rule.fit_output(infer(model, some)).decide(some).scores
        # the larger of the two distances, in standard deviations from its mean
        far = {
            name: ((rule.decide(images).scores - known.mean(0)) / known.std(0)).max(1)
            for name, images in worlds.items()
        }
        line = np.quantile(far.pop("mnist"), 0.97)
        runs.append({name: float((values > line).mean()) for name, values in far.items()})
    return by_report_rule("mtae-cnn") | {"at_price": {name: [run[name] for run in runs] for name in runs[0]}}


def refusals(decision):
    """The share of images that are refused."""
    return float((decision.labels == UNKNOWN).mean())


def report_rows():
    """The report's rule, every image standardised as a digit is, over seeds."""
    rows = [{"seed": seed} | by_report_rule("mtae", seed) for seed in REPORT_SEEDS]
    return rows[0] | {"seeds": rows} | spread(rows, [key for key in rows[0] if key != "seed"])


def ladder_rows():
    """From the report's own evaluation to a fair one, a rung at a time, over seeds: see ``ladder.py``."""
    runs = [{"seed": seed} | ladder.measure(trained("mtae", seed)[0], seed) for seed in REPORT_SEEDS]
    lines = [run["lines"] for run in runs]
    rungs = {}
    for rung in runs[0]["rungs"]:
        rows = [{"seed": run["seed"]} | flat(run["rungs"][rung]) for run in runs]
        keys = [key for key in rows[0] if key != "seed"]
        confusions = [run["rungs"][rung]["confusion"] for run in runs]
        rungs[rung] = {"seeds": rows} | spread(rows, keys) | {"confusions": confusions}
    prices = [run["price"] for run in runs]
    return {"lines": {"seeds": lines} | spread(lines, lines[0]), "prices": prices, "rungs": rungs}


def flat(rung):
    """The numbers of a rung of ``ladder.measure``, side by side."""
    return (
        {key: rung[key] for key in (*ACCURACIES, "named_1")}
        | rung["worlds"]
        | {f"{which}_{name}": value for which in ("all", "unknown")
           for name, value in zip(("norm", "diff"), rung[f"{which}_lines"], strict=True)}
    )  # fmt: skip


def loss_weight_rows():
    """What each task does to the other: a row a weight of the reconstruction, with mean and spread over seeds."""
    worlds = {name: data.load(name).images for name in ("mnist", *UNKNOWN_WORLDS, "letters", "patches")}
    rows = []
    for weight in trainings.LOSS_WEIGHTS:
        seeds, runs = trainings.TRAININGS[f"weight-{weight}"].seeds, []
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


def nst_rows():
    """The report's attempt with style and content, on 10,000 unknown images: both kinds, or one of them."""
    sets = report_sets()
    half = [sets[name].sample(5_000).images for name in UNKNOWN_WORLDS]
    unknown = {"mixed": np.concatenate(half)} | {name: sets[name].images for name in UNKNOWN_WORLDS}
    runs = {name: [] for name in unknown}
    for seed in REPORT_SEEDS:
        model, _ = trained("mtae", seed)
        keys = {"content": (partial(scores.content, model=model), MeanStd(2)), "style": (scores.style, MeanStd(2))}
        rule = OpenSetClassifier(model, keys).fit(sets["train"].images)
        known = rule.predict(sets["mnist"].images)
        for name, images in unknown.items():
            report = judged(sets["mnist"].labels, known, rule.predict(images))
            runs[name].append({"seed": seed} | {key: getattr(report, key) for key in ACCURACIES})
    return {name: rows[0] | {"seeds": rows} | spread(rows, ACCURACIES) for name, rows in runs.items()}


def gram_rows():
    """The Gram deviation on the CNN: AUROC in the worlds that chapter 4 looks at."""
    train = data.load("mnist", "train").sample(20_000)
    model = GramFeatures(trained("cnn")[0])
    score = GramDeviation(infer(model, train.images), model.layer)
    digits = score(infer(model, data.load("mnist").images))
    return {
        "orders": list(model.orders),
        "auroc": {
            name: metrics.auroc(digits, score(infer(model, data.load(name).images)))
            for name in (*UNKNOWN_WORLDS, "letters", "patches", "noise", "mnist-noise")
        },
    }


def recommended_rows():
    """The recommended rule, calibrated on the digits left from training: per world, per seed, and what it costs.

    ``fresh``: the same of trainings that took no part in the choice of the rule, as those of ``seeds`` did.
    """
    names = "mtae-rule", "mtae-rule-fresh"
    runs, fresh = ([rule_run(name, seed) for seed in trainings.TRAININGS[name].seeds] for name in names)
    alpha = OpenSetClassifier.recommended(trained("mtae-rule")[0]).keys["code"].threshold.alpha
    return {"alpha": alpha, **runs[0], **over_runs(runs), "fresh": over_runs(fresh)}


def over_runs(runs):
    """The runs of some seeds, with mean and spread of the accuracies, and the means for each world."""
    means = {
        f"{part}_mean": {name: float(np.mean([run[part][name] for run in runs])) for name in runs[0][part]}
        for part in ("refused", "wrong")
    }
    return {"seeds": runs, **spread(runs, ACCURACIES), **means}


def rule_run(name, seed):
    """The recommended rule on one training. ``false_refusals``: over 20 random halves of the 5,000 calibration images,
    what is refused of MNIST's test digits and of the other half. ``wrong``: digits of other pens that are let in under
    a wrong name."""
    worlds = {name: data.load(name) for name in ("mnist", *UNKNOWN_WORLDS, *DEVELOPMENT_WORLDS, *OTHER_PENS)}
    letters, digits, held_out = worlds["letters"], worlds["mnist"], data.rule_digits("calibrate")
    worlds["letters without look-alikes"] = letters[data.unlike_digits(letters)]
    thirty = np.concatenate([worlds[name].images for name in ("mnist", *UNKNOWN_WORLDS)])
    rule = OpenSetClassifier.recommended(trained(name, seed)[0]).fit(held_out.images)
    start = time.perf_counter()
    labels = rule.predict(thirty)
    seconds = time.perf_counter() - start
    report = judged(digits.labels, *np.split(labels, [len(digits)]))
    decided = {name: rule.predict(world.images) for name, world in worlds.items()}
    wrong = {name: (decided[name] != UNKNOWN) & (decided[name] != worlds[name].labels) for name in OTHER_PENS}
    return (
        {"seed": seed}
        | {key: getattr(report, key) for key in ACCURACIES}
        | {"seconds": seconds}
        | {"refused": {name: float((labels == UNKNOWN).mean()) for name, labels in decided.items()}}
        | {"wrong": {name: float(each.mean()) for name, each in wrong.items()}}
        | {"splits": false_refusals(rule, held_out, digits)}
    )


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


def authors():
    """What ``python -m experiments.authors`` measured with the report's own weights."""
    return json.loads((study.RESULTS / "authors.json").read_text(encoding="utf-8"))


def parts():
    """What ``reference.json`` holds: dict name → function that measures it."""
    return {f"models.{name}": partial(record, name) for name in zoo.MODELS} | {
        "costs": costs,
        "report_rule": report_rows,
        "ladder": ladder_rows,
        "authors": authors,
        "third_attempt": third_attempt,
        "loss_weights": loss_weight_rows,
        "c2ae": c2ae_rows,
        "nst": nst_rows,
        "gram_deviation": gram_rows,
        "rule": recommended_rows,
        "selection": choose_rule.summary,
        "protocol": run_protocol.summary,
    }


def measure(names):
    """``reference.json`` with these parts measured anew, each with its provenance."""
    told = zoo.reference()
    for name in names:
        print(f"measuring {name}", flush=True)
        group, _, key = name.rpartition(".")
        (told[group] if group else told)[key] = parts()[name]()
        told["provenance"][name] = study.provenance("reference")
    return told


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(parts())}")
    names = parser.parse_args().parts or list(parts())
    if unknown := set(names) - set(parts()):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    _, missing = data.load_all(UNKNOWN_WORLDS)
    if missing:
        sys.exit("The reference run needs every world of the report; see above for what is missing.")
    before, measured = zoo.reference(), study.rounded(measure(names))
    print(*moved(before, measured), sep="\n")  # first: what follows replaces the run before
    # nothing is published before everything is measured: weights and figures belong together
    study.write(zoo.WEIGHTS / "reference.json", measured)
    trainings.publish({name: trained(name)[0] for name in zoo.MODELS if f"models.{name}" in names})
    if "models.mtae" in names:
        teaser.draw_teaser()
        teaser.draw_card()
    if set(names) == set(parts()):
        shutil.rmtree(trainings.FOLDER)


if __name__ == "__main__":
    study.start(main)
