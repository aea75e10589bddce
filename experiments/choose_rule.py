"""The choice of the recommended rule: networks and rules compared on development worlds alone (chapter 8).

    python -m experiments.choose_rule        about 40 minutes on two cores; goes on where it was interrupted

A candidate is a kind of network with a rule. Networks are trained on the first 50,000 of MNIST's training images; 5,000
others judge the rules: in five random halvings, one half calibrates at alpha = 1 %, the other half measures the price.
The last 5,000 take no part, so that the chosen rule can be calibrated on them (``data.rule_digits``). No test image of
MNIST, no garment and no photograph of CIFAR-10 takes part.

The best of many is best in part by luck. Nested choice says by how much: choose by two seeds and one half of the images
of each world, and measure on the third seed and the other half.
"""

from functools import partial

import numpy as np
import pandas as pd

from experiments import study
from osrlib import data, losses, models, thresholds, training
from osrlib.output import infer
from osrlib.scores import KNN, SCORES, KNNSum, PCAResidual, Seen

ROWS = study.BUILD / "selection.jsonl"
TABLE, LOG = study.RESULTS / "selection.csv", study.RESULTS / "selection.log"
ALPHA, HALVINGS, UNKNOWN = 0.01, 5, 2000
SIX = data.SPLITS["neal"][4]
ACCURACY_BAR, FAR_BAR = 0.98, 0.97
FAR, NEAR = ("patches", "noise", "mnist-noise"), ("letters", "held-out digits")
SEEDS, IMAGES = (0, 1, 2), ("first", "second")
KINDS = [(weight, smoothing) for weight in (4.0, 1.0, 16.0) for smoothing in (0.1, 0.0)]

KEYS = {f"kNN {power:g}": lambda seen, power=power: KNN(seen.train, normalise=power) for power in (1.0, 0.5, 0.0)}
KEYS |= {"kNN sum": lambda seen: KNNSum(seen.train), "kNN sum in class": SCORES["kNN sum"]}
GUARDS = {f"PCA {count}": lambda seen, count=count: PCAResidual(seen.train, count) for count in (50, 150, 300)}
GUARDS |= {name: SCORES[name] for name in ("Mahalanobis", "ViM", "softmax", "norm", "relative norm")}
OTHERS = {"kNN 1, k = 5": lambda seen: KNN(seen.train, 5), "energy": SCORES["energy"]}
"""What may be a key: name → what makes the score, as in ``scores.SCORES``."""


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


def rules():
    """The rules by name: single keys, a line for each class, pairs, and sums."""
    race = {name: partial(any_key, names=(name,)) for name in (*KEYS, *GUARDS, *OTHERS)}
    race |= {f"{name}, by class": partial(key_by_class, name=name) for name in KEYS}
    for key, guard in [(key, guard) for key in KEYS for guard in GUARDS] + [("kNN 1", "kNN 0")]:
        for share in (0.9, 0.8, 0.5):
            name = f"{key} ({share:g}) or {guard} ({1 - share:.1f})"
            race[name] = partial(any_key, names=(key, guard), shares=(share, 1 - share))
    for parts in (("kNN 1", "PCA 150", "energy"), ("kNN 0.5", "PCA 150", "energy"), ("kNN 1", "kNN 0"),
                  ("kNN 1", "Mahalanobis"), ("kNN 0.5", "Mahalanobis"), ("kNN 0.5", "PCA 150")):  # fmt: skip
        race["sum of " + ", ".join(parts)] = partial(sum_of, names=parts)
    return race


def configurations():
    """The trainings: each kind of network (weight, smoothing), on ten digits and on six, over seeds."""
    return [
        {"weight": weight, "smoothing": smoothing, "digits": digits, "seed": seed}
        for weight, smoothing in KINDS
        for seed in SEEDS
        for digits in ("ten", "six")
    ]


def row(weight, smoothing, digits, seed):
    """Train one network, and try every rule on it: what each refuses of the first and of the second half of a world."""
    classes = range(10) if digits == "ten" else SIX
    train, known, worlds = sets(classes)
    training.seed_everything(seed)
    model = models.SigmoidAE(classes=len(classes))
    loss = partial(losses.multitask_loss, weight=weight, smoothing=smoothing)
    training.fit(model, loss, train, "steady", seed=seed, progress=False)
    seen = Seen(model, infer(model, train.images), train.labels)
    said = {"known": infer(model, known.images)}
    for name, world in worlds.items():
        said[name] = infer(model, world.sample(min(UNKNOWN, len(world) // 2 * 2)).images)
    values = {}
    for name, make in (KEYS | GUARDS | OTHERS).items():
        key = make(seen)
        values[name] = {world: key(output) for world, output in said.items()}
    guess = {world: output.guess for world, output in said.items()}
    right = guess["known"] == known.labels
    random = np.random.default_rng(0)
    halves = [random.permutation(len(known)) < len(known) // 2 for _ in range(HALVINGS)]
    columns = ["accuracy", "false refusals", *(f"{world}, {part}" for world in worlds for part in IMAGES)]
    results = {}
    for name, decide in rules().items():
        runs = []
        for half in halves:
            refused = decide(values, guess, half)
            price = refused.pop("known")[~half]
            accepted = right[~half] & ~price
            shares = (part.mean() for world in refused.values() for part in np.split(world, 2))
            runs.append([accepted.mean(), price.mean(), *shares])
        results[name] = dict(zip(columns, np.mean(runs, 0).round(5).tolist(), strict=True))
    return {"closed_accuracy": float(right.mean()), "rules": results}


def sets(classes):
    """What a network of these digits is trained on, the known digits that judge it, and the unknown worlds by name."""
    letters, others = data.load("letters"), data.rule_digits("choose")
    known = others.only(classes, renumber=True)
    worlds = {"letters": letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]}
    worlds |= {name: data.load(name) for name in ("patches", "noise")}
    # the world of this name is made of test digits; here, of those that judge
    noisy = np.random.default_rng(0).integers(0, 256, known.images.shape, dtype=np.uint8)
    worlds["mnist-noise"] = data.ImageSet(np.maximum(known.images, noisy), known.labels, "mnist-noise", known.classes)
    if len(classes) < 10:
        worlds["held-out digits"] = others.only(sorted(set(range(10)) - set(classes)))
    return data.rule_digits("train").only(classes, renumber=True), known, worlds


def table(rows):
    """One line a kind of network, rule and seed: what the networks of ten digits say, and of those of six the share of
    held-out digits. Worlds have a column for either half of their images."""
    place = ["weight", "smoothing", "rule", "seed"]
    ten, six = (
        pd.DataFrame(
            {key: row[key] for key in ("weight", "smoothing", "seed")} | {"rule": rule} | measured
            for row in rows
            if row["digits"] == digits
            for rule, measured in row["rules"].items()
        ).set_index(place)
        for digits in ("ten", "six")
    )
    return ten.join(six[[f"held-out digits, {part}" for part in IMAGES]]).reset_index()


def candidates(lines, parts=IMAGES):
    """One line a candidate: means over the seeds of the lines, and the worst far world of any of them."""
    lines = lines.copy()
    for world in (*FAR, *NEAR):
        lines[world] = lines[[f"{world}, {part}" for part in parts]].mean(axis=1)
    lines["worst far"], lines["near"] = lines[list(FAR)].min(axis=1), lines[list(NEAR)].mean(axis=1)
    each = lines.groupby(["weight", "smoothing", "rule"], sort=False)
    answer = each[["accuracy", "false refusals", *NEAR, *FAR, "near"]].mean()
    answer["near std"] = each["near"].std()
    return answer.assign(**{"worst far": each["worst far"].min()})


def choose(measured):
    """The candidates that meet the conditions, the best first: the criterion, in code."""
    fit = measured[(measured["worst far"] >= FAR_BAR) & (measured.accuracy >= ACCURACY_BAR)]
    return fit.sort_values("near", ascending=False)


def nested(lines):
    """What the winner's figure owes to luck: a dict for each seed that is left out, and each half of the images.

    promised: of the winner, where it was chosen; kept: of the same, on what was left out. What is left out may be
    easier or harder for all: ``luck`` is promised − kept, less the median of this difference over all candidates, and
    ``luck in kind`` less the median over those with the same kind of network.
    """
    answer = []
    for seed in SEEDS:
        for part, other in (IMAGES, IMAGES[::-1]):
            promised = candidates(lines[lines.seed != seed], [part])
            kept = candidates(lines[lines.seed == seed], [other])
            winner = choose(promised).index[0]
            lost = promised.near - kept.near
            answer.append(
                {"seed": seed, "chosen": " ".join(map(str, winner))}
                | {"promised": promised.near[winner], "kept": kept.near[winner], "luck": lost[winner] - lost.median()}
                | {"luck in kind": lost[winner] - lost.loc[winner[:2]].median()}
            )
    return answer


def log(lines):
    """What the table says, in words: the best, those with the guard of the plan, the best of each network, the luck."""
    measured = candidates(lines)
    ranked, best = choose(measured), measured.sort_values("near", ascending=False)
    guarded = ranked[ranked.index.get_level_values("rule").str.endswith(GUARD)]
    return (
        f"{len(configurations())} trainings, {len(rules())} rules, {len(measured)} candidates; alpha = {ALPHA:.0%}.\n"
        f"Criterion: at least {ACCURACY_BAR:.0%} of known digits answered rightly; of patches, noise and noisy digits\n"
        f"at least {FAR_BAR:.0%} refused by every network of the kind; then the largest mean of letters (no\n"
        f"look-alikes) and held-out digits refused.\n"
        f"{len(ranked)} candidates meet the two conditions. The best twenty, means over {len(SEEDS)} seeds:\n\n"
        f"{_text(ranked.head(20))}\n\n"
        f"Those with the guard of the plan:\n\n{_text(guarded)}\n\n"
        f"The best of each kind of network, conditions or not:\n\n"
        f"{_text(best.groupby(['weight', 'smoothing']).head(1))}\n\n"
        f"Nested choice:\n\n{pd.DataFrame(nested(lines)).to_string(index=False, float_format='{:.4f}'.format)}\n"
    )


def _text(measured):
    return measured.reset_index().to_string(index=False, float_format="{:.4f}".format)


GUARD = "(0.8) or PCA 150 (0.2)"
SHOWN = {
    "sum of two distances": "kNN sum",
    "sum of two distances, in class": "kNN sum in class",
    "the same and PCA 150: the rule": f"kNN sum in class {GUARD}",
    "kNN in direction": "kNN 1",
    "kNN in direction, k = 5": "kNN 1, k = 5",
    "kNN, length left in": "kNN 0",
    "kNN, half of the length left in": "kNN 0.5",
    "sum of kNN, PCA 150 and energy": "sum of kNN 1, PCA 150, energy",
    "kNN, a line for each class": "kNN 1, by class",
    "Mahalanobis alone": "Mahalanobis",
    "PCA 150 alone": "PCA 150",
    "relative norm alone": "relative norm",
    "softmax alone": "softmax",
}
"""The lines of the table that chapter 8 shows, all of the chosen kind of network."""


def summary():
    """What ``reference.json`` says of the race: its size, the lines that are shown, and what luck did."""
    lines = pd.read_csv(TABLE)
    measured, kind = candidates(lines), KINDS[0]
    ranked, folds = list(choose(measured).index), pd.DataFrame(nested(lines))
    winner = dict(zip(("weight", "smoothing", "rule"), ranked[0], strict=True))
    luck = {key: {"mean": folds[key].mean(), "std": folds[key].std()} for key in folds.columns[2:]}
    key, rule = SHOWN["sum of two distances, in class"], SHOWN["the same and PCA 150: the rule"]
    pairs = measured.loc[[(*kind, name) for name in rules() if name.startswith(f"{key} (")]]
    return {
        "trainings": len(configurations()),
        "candidates": len(measured),
        "met": len(ranked),
        "seeds": len(SEEDS),
        "winner": winner | measured.loc[ranked[0]].to_dict(),
        "rank": 1 + ranked.index((*kind, key)),
        "rank_of_rule": 1 + ranked.index((*kind, rule)),
        "best_pair_gain": pairs.near.max() - measured.near[(*kind, key)],
        "shown": {name: measured.loc[(*kind, rule)].to_dict() for name, rule in SHOWN.items()},
        "near_by_seed": {name: _near(lines, kind, rule) for name, rule in SHOWN.items()},
        "nested": luck | {"folds": folds.to_dict("records")},
    }


def _near(lines, kind, rule):
    part = lines[(lines.weight == kind[0]) & (lines.smoothing == kind[1]) & (lines.rule == rule)]
    return [float(candidates(one).near.iloc[0]) for _, one in part.groupby("seed")]


def main():
    """Make the rows, and write the table and what it says."""
    options = study.options(__doc__, anywhere=True)
    for world in ("mnist", "letters", "patches", "noise"):  # once, before many workers ask for it
        data.load(world)
    lines = table(study.rows(row, configurations(), ROWS, **options))
    study.write(TABLE, lines.round(5))
    study.write(LOG, log(lines))
    print(LOG.read_text())


if __name__ == "__main__":
    study.start(main)
