"""The choice of the recommended rule: networks and rules compared on development worlds alone (chapter 8).

    python book/select_rule.py        half an hour on two cores; goes on where it was interrupted

There are two rounds. The first compares kinds of networks and kinds of rules. The second takes the best network and
the best rule, a sum of two distances in the code, and asks what a second key costs that guards it, and what a search
among one class alone does. One guard was fixed before any race: the PCA residual with 150 components and a fifth of
alpha, since it does not pass through the network.

Every network is trained on the first 50,000 of MNIST's training images. Of 6,000 of the others, one half calibrates the
rule at alpha = 1 % and the other half measures its price, in five random halvings. No test image of MNIST, no garment
and no photograph of CIFAR-10 takes part.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from osrlib import _files, data, losses, models, protocol, scores, sweep, thresholds, training

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "_build" / "selection.jsonl"
TABLE = ROOT / "book" / "results" / "selection.csv"
LOG = ROOT / "book" / "results" / "selection.log"
ALPHA, HALVINGS, KNOWN, UNKNOWN = 0.01, 5, 6000, 1500
SIX = data.SPLITS["neal"][4]
FAR_BAR, GUARD = 0.97, "(0.8) or PCA 150 (0.20)"
FAR, NEAR = ("patches", "noise", "mnist-noise"), ("letters", "held-out digits")


def keys(seen, last):
    """Every score that may be a key, by name."""
    if last:
        return {
            "kNN sum": scores.knn_sum(seen.train),
            "kNN sum in class": scores.knn_sum(seen.train, seen.labels),
            "PCA 50": scores.pca_residual(seen.train, 50),
            "PCA 150": scores.pca_residual(seen.train, 150),
            "PCA 300": scores.pca_residual(seen.train, 300),
            "Mahalanobis": scores.mahalanobis(seen.train, seen.labels),
            "norm": scores.norm,
            "relative norm": partial(scores.norm, relative=True),
        }
    made = {f"kNN {power:g}": scores.knn(seen.train, normalise=power) for power in (1.0, 0.5, 0.0)}
    made |= {"kNN 1, k = 5": scores.knn(seen.train, 5)}
    made |= {f"PCA {count}": scores.pca_residual(seen.train, count) for count in (50, 150, 300)}
    return made | {
        "Mahalanobis": scores.mahalanobis(seen.train, seen.labels),
        "ViM": scores.vim(seen.train, *protocol.last_layer(seen.model)),
        "softmax": scores.msp,
        "energy": scores.energy,
        "norm": scores.norm,
        "relative norm": partial(scores.norm, relative=True),
    }


def any_key(*named, shares=(1.0,)):
    """Refuse if any key does; alpha is split among them by their shares."""

    def decide(values, guess, half):
        refused = {}
        for name, share in zip(named, shares, strict=True):
            line = thresholds.Conformal(ALPHA * share).fit(values["known"][name][half])
            for world in values:
                refused[world] = refused.get(world, False) | line.reject(values[world][name])
        return refused

    return decide


def key_by_class(name):
    """One key, with a line for each class that the classifier names."""

    def decide(values, guess, half):
        line = thresholds.ClassConformal(ALPHA).fit(values["known"][name][half], guess["known"][half])
        return {world: line.reject(values[world][name], guess[world]) for world in values}

    return decide


def sum_of(*named):
    """One line for the sum of z-scores."""

    def decide(values, guess, half):
        known = {name: values["known"][name][half] for name in named}
        total = {
            world: sum((values[world][name] - known[name].mean()) / known[name].std() for name in named)
            for world in values
        }
        line = thresholds.Conformal(ALPHA).fit(total["known"][half])
        return {world: line.reject(total[world]) for world in values}

    return decide


def rules(names, last):
    """Every rule in the race, by name."""
    if last:
        race = {}
        for key in ("kNN sum", "kNN sum in class"):
            race |= {key: any_key(key), f"{key}, by class": key_by_class(key)}
            for guard in (name for name in names if "sum" not in name):
                for share in (0.95, 0.9, 0.8):
                    race[f"{key} ({share:g}) or {guard} ({1 - share:.2f})"] = any_key(
                        key, guard, shares=(share, 1 - share)
                    )
        return race
    race = {name: any_key(name) for name in names}
    race |= {f"{name}, by class": key_by_class(name) for name in ("kNN 1", "kNN 0.5", "kNN 0")}
    pairs = [(f"kNN {power}", other) for power in ("1", "0.5", "0") for other in ("PCA 50", "PCA 150", "PCA 300",
             "Mahalanobis", "ViM", "softmax", "norm", "relative norm")] + [("kNN 1", "kNN 0")]  # fmt: skip
    for pair in pairs:
        for share in (0.9, 0.8, 0.5):
            race[f"{pair[0]} ({share:g}) or {pair[1]} ({1 - share:.1f})"] = any_key(*pair, shares=(share, 1 - share))
    for parts in (("kNN 1", "PCA 150", "energy"), ("kNN 0.5", "PCA 150", "energy"), ("kNN 1", "kNN 0"),
                  ("kNN 1", "Mahalanobis"), ("kNN 0.5", "Mahalanobis"), ("kNN 0.5", "PCA 150")):  # fmt: skip
        race["sum of " + ", ".join(parts)] = sum_of(*parts)
    return race


def row(configuration):
    """Train one network, and try every rule on it: per rule the share of each world that is refused."""
    digits = range(10) if configuration["digits"] == "ten" else SIX
    whole = data.load("mnist", "train")
    fit, held_out = whole[: -protocol.CALIBRATION], whole[-protocol.CALIBRATION :]
    known = held_out.only(digits, renumber=True)
    known = known.sample(min(KNOWN, len(known)))
    train = fit.only(digits, renumber=True)
    letters = data.load("letters")
    worlds = {"letters": letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]}
    worlds |= {name: data.load(name) for name in ("patches", "noise")}
    # the world of this name is made of test digits; here, of those that are left of the training images
    noisy = np.random.default_rng(0).integers(0, 256, known.images.shape, dtype=np.uint8)
    worlds["mnist-noise"] = data.ImageSet(np.maximum(known.images, noisy), known.labels, "mnist-noise", known.classes)
    if configuration["digits"] == "six":
        worlds["held-out digits"] = held_out.only(sorted(set(range(10)) - set(SIX)))
    training.seed_everything(configuration["seed"])
    model = models.MultiTaskAE(classes=len(digits))
    loss = partial(losses.multitask_loss, weight=configuration["weight"], smoothing=configuration["smoothing"])
    training.fit(model, loss, train, "steady", seed=configuration["seed"], progress=False)
    seen = protocol.Seen(model, models.infer(model, train.images), train.labels, None)
    said = {"known": models.infer(model, known.images)}
    said |= {name: models.infer(model, world.sample(UNKNOWN).images) for name, world in worlds.items()}
    last = configuration["round"] == 2
    made = keys(seen, last)
    values = {world: {name: score(output) for name, score in made.items()} for world, output in said.items()}
    guess = {world: output.logits.argmax(1) for world, output in said.items()}
    right = guess["known"] == known.labels
    random, results = np.random.default_rng(0), {}
    halves = [random.permutation(len(known)) < len(known) // 2 for _ in range(HALVINGS)]
    for name, decide in rules(made, last).items():
        runs = []
        for half in halves:
            refused = decide(values, guess, half)
            price = refused.pop("known")[~half]
            accepted = right[~half] & ~price
            runs.append([accepted.mean(), price.mean(), *(refused[world].mean() for world in refused)])
        columns = ("accuracy", "false refusals", *worlds)
        results[name] = dict(zip(columns, np.mean(runs, 0).round(5).tolist(), strict=True))
    return {"closed_accuracy": float(right.mean()), "rules": results}


def table(rows):
    """One line a network and rule: the mean of every column over seeds, and the worst far world of any seed."""
    lines = [
        {key: row[key] for key in ("weight", "smoothing", "digits", "seed")} | {"rule": rule} | measured
        for row in rows
        for rule, measured in row["rules"].items()
    ]
    each = pd.DataFrame(lines)
    group = ["weight", "smoothing", "rule"]
    ten = each[each.digits == "ten"].groupby(group, sort=False)
    answer = ten[["accuracy", "false refusals", "letters", *FAR]].mean()
    answer["held-out digits"] = each[each.digits == "six"].groupby(group, sort=False)["held-out digits"].mean()
    answer["worst far"] = each.groupby(group, sort=False)[list(FAR)].min().min(axis=1)
    answer["near"] = answer[list(NEAR)].mean(axis=1, skipna=False)
    return answer.reset_index()


def choose(lines):
    """The lines that meet the conditions, the best first: the criterion, in code."""
    fit = lines[(lines["worst far"] >= FAR_BAR) & (lines.accuracy >= 0.98)]
    return fit.sort_values("near", ascending=False)


def configurations(kinds, seeds, number):
    """The trainings of a round: each kind of network (weight, smoothing), on ten digits and on six."""
    return [
        {"round": number, "weight": weight, "smoothing": smoothing, "digits": digits, "seed": seed}
        for weight, smoothing in kinds
        for seed in seeds
        for digits in ("ten", "six")
    ]


SHOWN = {
    "the sum of two distances": (2, "kNN sum in class"),
    "the same, guarded: the rule": (2, f"kNN sum in class {GUARD}"),
    "kNN alone": (1, "kNN 1"),
    "kNN (0.8) or PCA 150 (0.2)": (1, "kNN 1 (0.8) or PCA 150 (0.2)"),
    "sum of kNN, PCA 150 and energy": (1, "sum of kNN 1, PCA 150, energy"),
    "kNN, a line for each class": (1, "kNN 1, by class"),
    "Mahalanobis alone": (1, "Mahalanobis"),
    "PCA 150 alone": (1, "PCA 150"),
    "relative norm alone": (1, "relative norm"),
    "softmax alone": (1, "softmax"),
}
"""The lines of the table that chapter 8 shows, all of the chosen kind of network: round and rule."""


def summary():
    """What ``reference.json`` says of the selection: a dict name → line of the table."""
    lines = pd.read_csv(TABLE)
    lines = lines[(lines.weight == 4) & (lines.smoothing == 0.1)].set_index(["round", "rule"])
    columns = ["accuracy", "false refusals", *NEAR, *FAR, "near", "worst far"]
    return {name: lines.loc[place, columns].to_dict() for name, place in SHOWN.items()}


def main():
    """Run what is missing, choose, and write the table and the log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sweep.add_options(parser)
    options = parser.parse_args()
    for world in ("mnist", "letters", "patches", "noise"):
        data.load(world)
    kinds = [(weight, smoothing) for weight in (4.0, 1.0, 16.0) for smoothing in (0.1, 0.0)]
    text, tables = "", []
    for number, wanted in enumerate((configurations(kinds, (0, 1), 1), configurations(kinds[:1], (0, 1, 2), 2)), 1):
        rows = sweep.run(row, wanted, RUNS, backend=options.backend, scheduler=options.scheduler, jobs=options.jobs)
        if len(rows) < len(wanted):
            sys.exit("Some trainings failed, see above: nothing was chosen")
        lines = table(rows)
        tables.append(lines.round(5).assign(round=number))
        ranked = choose(lines)
        text += (
            f"Round {number}: {len(rows)} trainings, {lines.rule.nunique()} rules, {len(lines)} candidates; alpha = "
            f"{ALPHA:.0%}.\nCriterion: at least 98 % of held-back digits answered rightly; of patches, noise and noisy "
            f"digits at least {FAR_BAR:.0%} refused\nby every network of the kind; then the largest mean "
            f"of letters (no look-alikes) and held-out digits refused.\n"
            f"{len(ranked)} candidates meet both conditions. "
            f"The best fifteen, means over seeds:\n\n{_text(ranked.head(15))}\n\n"
        )
    guarded = ranked[ranked.rule.str.endswith(GUARD)]
    text += f"Those with the guard that was fixed beforehand:\n\n{_text(guarded)}\n\n"
    text += "The best of each kind of network in round 1, conditions or not:\n\n"
    first = tables[0].drop(columns="round").sort_values("near", ascending=False)
    text += _text(first.groupby(["weight", "smoothing"]).head(1)) + "\n"
    _files.write(TABLE, pd.concat(tables).to_csv(index=False))
    _files.write(LOG, text)
    print(text)


def _text(lines):
    return lines.to_string(index=False, float_format="{:.4f}".format)


if __name__ == "__main__":
    main()
