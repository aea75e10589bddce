"""The choice of the recommended rule: networks and rules compared on development worlds alone (chapter 8).

    python -m experiments.choose_rule        half an hour on two cores; goes on where it was interrupted

There are two rounds. The first compares kinds of networks and kinds of rules. The second takes the best network and
the best rule, a sum of two distances in the code, and asks what a second key costs that guards it, and what a search
among one class alone does. One guard was fixed before any race: the PCA residual with 150 components and a fifth of
alpha, since it does not pass through the network.

Every network is trained on the first 50,000 of MNIST's training images. Of 6,000 of the others, one half calibrates the
rule at alpha = 1 % and the other half measures its price, in five random halvings. No test image of MNIST, no garment
and no photograph of CIFAR-10 takes part.
"""

from functools import partial

import numpy as np
import pandas as pd

from experiments import study
from osrlib import data, losses, models, protocol, thresholds, training
from osrlib.output import infer
from osrlib.scores import KNN, SCORES, KNNSum, PCAResidual, Seen

ROWS = study.BUILD / "selection.jsonl"
TABLE, LOG = study.RESULTS / "selection.csv", study.RESULTS / "selection.log"
ALPHA, HALVINGS, KNOWN, UNKNOWN = 0.01, 5, 6000, 1500
SIX = data.SPLITS["neal"][4]
FAR_BAR, GUARD = 0.97, "(0.8) or PCA 150 (0.20)"
FAR, NEAR = ("patches", "noise", "mnist-noise"), ("letters", "held-out digits")

PCA = {f"PCA {count}": lambda seen, count=count: PCAResidual(seen.train, count) for count in (50, 150, 300)}
FIRST = {f"kNN {power:g}": lambda seen, power=power: KNN(seen.train, normalise=power) for power in (1.0, 0.5, 0.0)}
FIRST |= {"kNN 1, k = 5": lambda seen: KNN(seen.train, 5)} | PCA
FIRST |= {name: SCORES[name] for name in ("Mahalanobis", "ViM", "softmax", "energy", "norm", "relative norm")}
SECOND = {"kNN sum": lambda seen: KNNSum(seen.train), "kNN sum in class": SCORES["kNN sum"]} | PCA
SECOND |= {name: SCORES[name] for name in ("Mahalanobis", "norm", "relative norm")}
"""What may be a key, by round: name → what makes the score, as in ``scores.SCORES``."""


def line(values, half, alpha):
    """What a line refuses of each world. values: dict world → scores; half: of the known ones, to draw it by."""
    drawn = thresholds.Conformal(alpha).fit(values["known"][half])
    return {world: drawn.reject(scores) for world, scores in values.items()}


def any_key(values, guess, half, names, shares=(1.0,)):
    """Refuse if any key does; alpha is split among them by their shares. values: dict key → world → scores."""
    each = [line(values[name], half, ALPHA * share) for name, share in zip(names, shares, strict=True)]
    return {world: thresholds.any_of(*(refused[world] for refused in each)) for world in guess}


def key_by_class(values, guess, half, name):
    """One key, with a line for each class that the classifier names. guess: dict world → these classes."""
    drawn = thresholds.ClassConformal(ALPHA).fit(values[name]["known"][half], guess["known"][half])
    return {world: drawn.reject(scores, guess[world]) for world, scores in values[name].items()}


def sum_of(values, guess, half, names):
    """One line for the sum of z-scores."""
    known = {name: values[name]["known"][half] for name in names}
    total = {
        world: sum((values[name][world] - known[name].mean()) / known[name].std() for name in names) for world in guess
    }
    return line(total, half, ALPHA)


def first_rules():
    """The rules of the first round, by name: single keys, pairs and sums."""
    race = {name: partial(any_key, names=(name,)) for name in FIRST}
    race |= {f"{name}, by class": partial(key_by_class, name=name) for name in ("kNN 1", "kNN 0.5", "kNN 0")}
    guards = (*PCA, "Mahalanobis", "ViM", "softmax", "norm", "relative norm")
    pairs = [(key, guard) for key in ("kNN 1", "kNN 0.5", "kNN 0") for guard in guards] + [("kNN 1", "kNN 0")]
    for key, guard in pairs:
        for share in (0.9, 0.8, 0.5):
            name = f"{key} ({share:g}) or {guard} ({1 - share:.1f})"
            race[name] = partial(any_key, names=(key, guard), shares=(share, 1 - share))
    for parts in (("kNN 1", "PCA 150", "energy"), ("kNN 0.5", "PCA 150", "energy"), ("kNN 1", "kNN 0"),
                  ("kNN 1", "Mahalanobis"), ("kNN 0.5", "Mahalanobis"), ("kNN 0.5", "PCA 150")):  # fmt: skip
        race["sum of " + ", ".join(parts)] = partial(sum_of, names=parts)
    return race


def second_rules():
    """The rules of the second round, by name: a sum of distances, alone and with a guard."""
    race = {}
    for key in ("kNN sum", "kNN sum in class"):
        race |= {key: partial(any_key, names=(key,)), f"{key}, by class": partial(key_by_class, name=key)}
        for guard in (name for name in SECOND if "sum" not in name):
            for share in (0.95, 0.9, 0.8):
                name = f"{key} ({share:g}) or {guard} ({1 - share:.2f})"
                race[name] = partial(any_key, names=(key, guard), shares=(share, 1 - share))
    return race


ROUNDS = {1: (FIRST, first_rules()), 2: (SECOND, second_rules())}
KINDS = [(weight, smoothing) for weight in (4.0, 1.0, 16.0) for smoothing in (0.1, 0.0)]


def configurations(round):
    """The trainings of a round: each kind of network (weight, smoothing), on ten digits and on six."""
    kinds, seeds = (KINDS, (0, 1)) if round == 1 else (KINDS[:1], (0, 1, 2))
    return [
        {"round": round, "weight": weight, "smoothing": smoothing, "digits": digits, "seed": seed}
        for weight, smoothing in kinds
        for seed in seeds
        for digits in ("ten", "six")
    ]


def row(round, weight, smoothing, digits, seed):
    """Train one network, and try every rule on it: per rule the share of each world that is refused."""
    classes = range(10) if digits == "ten" else SIX
    train, known, worlds = sets(classes)
    training.seed_everything(seed)
    model = models.SigmoidAE(classes=len(classes))
    loss = partial(losses.multitask_loss, weight=weight, smoothing=smoothing)
    training.fit(model, loss, train, "steady", seed=seed, progress=False)
    made, rules = ROUNDS[round]
    seen = Seen(model, infer(model, train.images), train.labels)
    said = {"known": infer(model, known.images)}
    said |= {name: infer(model, world.sample(UNKNOWN).images) for name, world in worlds.items()}
    values = {}
    for name, make in made.items():
        key = make(seen)
        values[name] = {world: key(output) for world, output in said.items()}
    guess = {world: output.guess for world, output in said.items()}
    right = guess["known"] == known.labels
    random = np.random.default_rng(0)
    halves = [random.permutation(len(known)) < len(known) // 2 for _ in range(HALVINGS)]
    results = {}
    for name, decide in rules.items():
        runs = []
        for half in halves:
            refused = decide(values, guess, half)
            price = refused.pop("known")[~half]
            accepted = right[~half] & ~price
            runs.append([accepted.mean(), price.mean(), *(refused[world].mean() for world in refused)])
        columns = ("accuracy", "false refusals", *worlds)
        results[name] = dict(zip(columns, np.mean(runs, 0).round(5).tolist(), strict=True))
    return {"closed_accuracy": float(right.mean()), "rules": results}


def sets(classes):
    """What a network of these digits is trained on, the known digits for its rule, and the unknown worlds by name."""
    digits, letters = data.load("mnist", "train"), data.load("letters")
    held_out = digits[-protocol.CALIBRATION :]
    known = held_out.only(classes, renumber=True)
    known = known.sample(min(KNOWN, len(known)))
    worlds = {"letters": letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]}
    worlds |= {name: data.load(name) for name in ("patches", "noise")}
    # the world of this name is made of test digits; here, of those that are left of the training images
    noisy = np.random.default_rng(0).integers(0, 256, known.images.shape, dtype=np.uint8)
    worlds["mnist-noise"] = data.ImageSet(np.maximum(known.images, noisy), known.labels, "mnist-noise", known.classes)
    if others := sorted(set(range(10)) - set(classes)):
        worlds["held-out digits"] = held_out.only(others)
    return digits[: -protocol.CALIBRATION].only(classes, renumber=True), known, worlds


def table(rows):
    """One line a network and rule: the mean of every column over seeds, and the worst far world of any seed."""
    each = pd.DataFrame(
        {key: row[key] for key in ("round", "weight", "smoothing", "digits")} | {"rule": rule} | measured
        for row in rows
        for rule, measured in row["rules"].items()
    )
    group = ["weight", "smoothing", "rule", "round"]
    ten = each[each.digits == "ten"].groupby(group, sort=False)
    answer = ten[["accuracy", "false refusals", "letters", *FAR]].mean()
    answer["held-out digits"] = each[each.digits == "six"].groupby(group, sort=False)["held-out digits"].mean()
    answer["worst far"] = each.groupby(group, sort=False)[list(FAR)].min().min(axis=1)
    answer["near"] = answer[list(NEAR)].mean(axis=1, skipna=False)
    answer = answer.reset_index()
    answer["round"] = answer.pop("round")  # as the last column
    return answer


def choose(lines):
    """The lines that meet the conditions, the best first: the criterion, in code."""
    fit = lines[(lines["worst far"] >= FAR_BAR) & (lines.accuracy >= 0.98)]
    return fit.sort_values("near", ascending=False)


def log(lines):
    """What the table says, in words: the best of each round, those with the guard, the best of each network."""
    text = ""
    for number, part in lines.groupby("round"):
        ranked = choose(part)
        text += (
            f"Round {number}: {len(configurations(number))} trainings, {part.rule.nunique()} rules, {len(part)} "
            f"candidates; alpha = {ALPHA:.0%}.\nCriterion: at least 98 % of held-back digits answered rightly; of "
            f"patches, noise and noisy digits at least {FAR_BAR:.0%} refused\nby every network of the kind; then the "
            f"largest mean of letters (no look-alikes) and held-out digits refused.\n{len(ranked)} candidates meet the "
            f"two conditions. The best fifteen, means over seeds:\n\n{_text(ranked.head(15))}\n\n"
        )
    guarded = ranked[ranked.rule.str.endswith(GUARD)]
    first = lines[lines["round"] == 1].sort_values("near", ascending=False)
    return text + (
        f"Those with the guard that was fixed beforehand:\n\n{_text(guarded)}\n\n"
        "The best of each kind of network in round 1, conditions or not:\n\n"
        f"{_text(first.groupby(['weight', 'smoothing']).head(1))}\n"
    )


def _text(lines):
    return lines.drop(columns="round").to_string(index=False, float_format="{:.4f}".format)


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
    """Make the rows of both rounds, and write the table and what it says."""
    options = study.options(__doc__, anywhere=True)
    for world in ("mnist", "letters", "patches", "noise"):  # once, before many workers ask for it
        data.load(world)
    lines = table(study.rows(row, [*configurations(1), *configurations(2)], ROWS, **options))
    study.write(TABLE, lines.round(5))
    study.write(LOG, log(lines))
    print(LOG.read_text())


if __name__ == "__main__":
    study.start(main)
