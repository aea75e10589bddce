"""The choice of the recommended rule: trainings and rules compared on development worlds alone (chapter 8).

    python -m experiments.choose_rule        about an hour and a half on two cores; goes on where it was interrupted

A candidate is a kind of training with a rule. Networks are trained on the first 50,000 of MNIST's training images;
5,000 others judge the rules: in five random halvings, one half calibrates at alpha = 1 %, the other half measures the
price. The last 5,000 take no part, so that the chosen rule can be calibrated on them (``data.rule_digits``). No test
image of MNIST, no garment and no photograph of CIFAR-10 takes part.

The best of many is best in part by luck. Nested choice says by how much: choose by two seeds and one half of the images
of each world, and measure on the third seed and the other half.
"""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from experiments import study
from osrlib import augment, data, losses, models, thresholds, training, zoo
from osrlib.output import Output, infer, to_input
from osrlib.scores import KNN, SCORES, Seen
from osrlib.worlds import changed

ROWS = study.BUILD / "selection.jsonl"
TABLE, LOG = study.RESULTS / "selection.csv", study.RESULTS / "selection.log"
ALPHA, HALVINGS, UNKNOWN = 0.01, 5, 2000
ACCURACY_BAR, FAR_BAR, PENS_BAR = 0.98, 0.97, 0.03
FAR = ("patches", "noise", "mnist-noise", "small", "faint", "pairs", "empty")
NEAR, PENS = ("letters", "held-out digits"), ("pens", "pixel-digits")
SEEDS, IMAGES, HOWS = (0, 1, 2), ("first", "second"), ("refused", "wrong")
SIX = ((1, 2, 4, 6, 7, 8), (0, 1, 3, 5, 6, 9), (0, 2, 4, 5, 7, 9))
"""Six known digits, another choice for each seed. None is among the splits of the field's protocol (chapter 9)."""


def with_halves(images, labels, generator, classes):
    """A batch of warped digits, and behind it made-up ones, labelled as one class more: the left half of a digit beside
    the right half of another."""
    images, labels = augment.warped(images, labels, generator)
    halves = torch.cat([images[..., :14], images.roll(1, 0)[..., 14:]], 3)
    # two halves of one class can make a digit: those keep a whole digit and its label
    same = labels == labels.roll(1)
    halves[same] = images[same]
    return torch.cat([images, halves]), torch.cat([labels, torch.where(same, labels, classes)])


LONGER = replace(training.RECIPES["steady"], epochs=8)
LOSS = partial(losses.multitask_loss, weight=4.0, smoothing=0.1)
PLAIN = zoo.Spec(models.SigmoidAE, LOSS, training.RECIPES["steady"])
TURNED = replace(PLAIN, recipe=LONGER, augment=augment.warped, ways=8)
MADE_UP = "halves as one class more"
KINDS = {
    "plain": PLAIN,
    "turned and warped": TURNED,
    "warped": replace(TURNED, ways=1),
    "turned": replace(TURNED, augment=None),
    "longer": replace(PLAIN, recipe=LONGER),
    "turned and warped, no copy": replace(TURNED, loss=partial(losses.multitask_loss, weight=0.0, smoothing=0.1)),
    "four turns and warped": replace(TURNED, ways=4),
    MADE_UP: replace(TURNED, ways=1),
}
"""How a network is trained: chapter 8's way so far, and what may be added to it."""


def trained(kind, known, seed):
    """A network of this kind for these digits, numbered from 0: (model, what it was trained on)."""
    train, classes = data.rule_digits("train").only(known, renumber=True), len(known)
    how = replace(KINDS[kind], build=partial(models.SigmoidAE, classes))
    if kind == MADE_UP:
        how = replace(
            how,
            build=partial(models.SigmoidAE, classes + 1),
            loss=partial(losses.turned_loss, loss=LOSS, classes=classes),
            augment=partial(with_halves, classes=classes),
        )
    training.seed_everything(seed)
    model = how.build()
    how.fit(model, train, seed=seed, progress=False)
    return model, train


def without_last(output):
    """The output without its last class."""
    return Output(output.logits[:, :-1], output.code, output.reconstruction, output.images)


SINGLE = {"kNN": SCORES["kNN"], "kNN in class": lambda seen: KNN(seen.train, labels=seen.labels)}
SINGLE |= {f"kNN {power:g}": lambda seen, power=power: KNN(seen.train, normalise=power) for power in (0.5, 0.0)}
SINGLE |= {"kNN, k = 5": lambda seen: KNN(seen.train, 5)}
SINGLE |= {
    name: SCORES[name]
    for name in ("Gaussian", "Mahalanobis", "relative Mahalanobis", "ViM", "softmax", "energy", "PCA residual", "norm",
                 "relative norm")
}  # fmt: skip
"""What may be a key by itself: name → what makes the score, as in ``scores.SCORES``."""
WEIGHTS = (0, 0.25, 0.5)
SUMS = {
    " + ".join([base, *(f"{weight:g} {name}" for name, weight in others.items() if weight)]): {base: 1} | others
    for base in ("kNN", "kNN in class", "kNN 0.5")
    for others in (
        dict(zip(("Gaussian", "relative Mahalanobis", "energy"), weights, strict=True))
        for weights in product(WEIGHTS, repeat=3)
        if any(weights)
    )
}
SUMS["kNN + kNN 0"] = {"kNN": 1, "kNN 0": 1}
"""What is added to a distance: name of the sum → name of each score and its weight."""
GUARDED = ("kNN", "kNN + kNN 0", "kNN + 0.25 Gaussian + 0.25 energy", "kNN + 0.25 Gaussian + 0.25 relative Mahalanobis")
GUARDS = ("PCA residual", "Mahalanobis", "ViM", "softmax", "norm", "relative norm", "kNN 0")


def line(values, half, alpha):
    """What a line refuses of each world. values: dict world → scores; half: of the known ones, to draw it by."""
    drawn = thresholds.Conformal(alpha).fit(values["known"][half])
    return {world: drawn.reject(scores) for world, scores in values.items()}


def by_class(values, guess, half):
    """The same, with a line for each class that the classifier names. guess: dict world → these classes."""
    drawn = thresholds.ClassConformal(ALPHA).fit(values["known"][half], guess["known"][half])
    return {world: drawn.reject(scores, guess[world]) for world, scores in values.items()}


def refusals(values, guess, half):
    """Every rule on one network: yields its name, and what it refuses. values: dict key → world → scores."""
    scale = {name: (one["known"][half].mean(), one["known"][half].std()) for name, one in values.items()}
    sums = {
        name: {
            world: sum(weight * (values[key][world] - scale[key][0]) / scale[key][1] for key, weight in parts.items())
            for world in guess
        }
        for name, parts in SUMS.items()
    }
    for name, one in (values | sums).items():
        yield name, line(one, half, ALPHA)
    for name in GUARDED:
        key = (values | sums)[name]
        yield f"{name}, by class", by_class(key, guess, half)
        for guard, share in product(GUARDS, (0.9, 0.8, 0.5)):
            either = line(key, half, ALPHA * share), line(values[guard], half, ALPHA * (1 - share))
            both = {world: thresholds.any_of(either[0][world], either[1][world]) for world in guess}
            yield f"{name} ({share:g}) or {guard} ({1 - share:.1f})", both


def configurations():
    """The trainings: each kind, on ten digits and on six, over seeds."""
    return [
        {"kind": kind, "digits": digits, "seed": seed} for kind in KINDS for seed in SEEDS for digits in ("ten", "six")
    ]


def row(kind, digits, seed):
    """Train one network, and try every rule on it: what each refuses of the first and of the second half of a world."""
    classes = list(range(10)) if digits == "ten" else SIX[seed]
    model, train = trained(kind, classes, seed)
    known, worlds = sets(classes)
    shown = infer(model, train.images)
    said = {"known": infer(model, known.images)} | {name: infer(model, world.images) for name, world in worlds.items()}
    more = []
    if kind == MADE_UP:
        more = [(MADE_UP, {world: output.guess == len(classes) for world, output in said.items()})]
        shown, said = without_last(shown), {world: without_last(output) for world, output in said.items()}
    seen = Seen(model, shown, train.labels)
    values = {}
    for name, make in SINGLE.items():
        key = make(seen)
        values[name] = {world: key(output) for world, output in said.items()}
    guess = {world: output.guess for world, output in said.items()}
    random = np.random.default_rng(0)
    halves = [random.permutation(len(known)) < len(known) // 2 for _ in range(HALVINGS)]
    runs = {}
    for half in halves:
        for name, refused in (*refusals(values, guess, half), *more):
            measured = {"false refusals": refused["known"][~half].mean()}
            measured["accuracy"] = (~refused["known"] & (guess["known"] == known.labels))[~half].mean()
            for world, there in worlds.items():
                if world in PENS:
                    wrong = ~refused[world] & (guess[world] != there.labels)
                    measured |= {f"{world}, refused": refused[world].mean(), f"{world}, wrong": wrong.mean()}
                else:
                    measured |= {
                        f"{world}, {part}": share.mean()
                        for part, share in zip(IMAGES, np.split(refused[world], 2), strict=True)
                    }
            runs.setdefault(name, []).append(measured)
    means = {name: pd.DataFrame(each).mean().round(5).to_dict() for name, each in runs.items()}
    return {"closed_accuracy": float((guess["known"] == known.labels).mean()), "rules": means}


def sets(classes):
    """What judges a network of these digits: known digits that it has not seen, and dict name → up to 2,000 images of
    another world. For six digits: the other four alone."""
    others = data.rule_digits("choose")
    known = others.only(classes, renumber=True)
    if len(classes) < 10:
        worlds = {"held-out digits": others.only(sorted(set(range(10)) - set(classes)))}
    else:
        letters = data.load("letters")
        worlds = {"letters": letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]}
        worlds |= {name: data.load(name) for name in ("patches", "noise", "empty", "pixel-digits")}
        # the worlds of these names are made of test digits; here, of those that judge
        made = {"mnist-noise": changed.under_noise, "small": changed.shrink, "faint": changed.fade,
                "pairs": changed.side_by_side, "pens": changed.redraw}  # fmt: skip
        some = known[:UNKNOWN]
        halves, labels = with_halves(
            to_input(some.images), torch.as_tensor(some.labels), torch.Generator().manual_seed(0), len(classes)
        )
        halves = (255 * halves[labels == len(classes), 0]).round().byte().numpy()
        worlds |= {name: replace(some, images=make(some.images)) for name, make in made.items()}
        worlds["halves"] = data.ImageSet(halves, np.zeros(len(halves), int), "halves", ("halves",))
    return known, {name: world.sample(min(UNKNOWN, len(world) // 2 * 2)) for name, world in worlds.items()}


def table(rows):
    """One line a kind, rule and seed: what the networks of ten digits say, and of those of six the share of held-out
    digits. Unknown worlds have a column for either half of their images."""
    ten, six = (
        pd.DataFrame(
            {"kind": row["kind"], "rule": rule, "seed": row["seed"]} | measured
            for row in rows
            if row["digits"] == digits
            for rule, measured in row["rules"].items()
        ).set_index(["kind", "rule", "seed"])
        for digits in ("ten", "six")
    )
    return ten.join(six[[f"held-out digits, {part}" for part in IMAGES]]).reset_index()


def with_means(lines, parts=IMAGES):
    """The lines with a column for each world, from some parts of its images; the worst far one, and the near ones."""
    lines = lines.copy()
    for world in (*FAR, *NEAR, "halves"):
        lines[world] = lines[[f"{world}, {part}" for part in parts]].mean(axis=1)
    return lines.assign(**{"worst far": lines[list(FAR)].min(axis=1), "near": lines[list(NEAR)].mean(axis=1)})


def candidates(lines, parts=IMAGES):
    """One line a candidate: means over the seeds of the lines, and the worst far world of any of them."""
    lines = lines[lines.rule != MADE_UP]  # no rule for the other kinds
    each = with_means(lines, parts).groupby(["kind", "rule"], sort=False)
    answer = each[["accuracy", "false refusals", *NEAR, *FAR, "near", "pens, refused", "pens, wrong"]].mean()
    answer["near std"] = each["near"].std()
    return answer.assign(**{"worst far": each["worst far"].min()})


def choose(measured):
    """The candidates that meet the conditions, the best first: the criterion, in code."""
    bars = measured["worst far"] >= FAR_BAR, measured.accuracy >= ACCURACY_BAR, measured["pens, refused"] <= PENS_BAR
    return measured[np.logical_and.reduce(bars)].sort_values("near", ascending=False)


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
                {"seed": seed, "chosen": ": ".join(winner)}
                | {"promised": promised.near[winner], "kept": kept.near[winner], "luck": lost[winner] - lost.median()}
                | {"luck in kind": lost[winner] - lost.loc[winner[0]].median()}
            )
    return answer


def log(lines):
    """What the table says, in words: the best, the best of each kind and of each bare score, the luck."""
    measured = candidates(lines)
    ranked, best = choose(measured), measured.sort_values("near", ascending=False)
    kind = ranked.index[0][0]
    return (
        f"{len(configurations())} trainings, {len(measured) // len(KINDS)} rules, {len(measured)} candidates; "
        f"alpha = {ALPHA:.0%}.\n"
        f"Criterion: at least {ACCURACY_BAR:.0%} of known digits answered rightly; of each far world at least\n"
        f"{FAR_BAR:.0%} refused by every network of the kind; of digits drawn with other pens at most {PENS_BAR:.0%};\n"
        f"then the largest mean of letters (no look-alikes) and held-out digits refused.\n"
        f"{len(ranked)} candidates meet the conditions. The best twenty, means over {len(SEEDS)} seeds:\n\n"
        f"{_text(ranked.head(20))}\n\n"
        f"The best of each kind of network, conditions or not:\n\n"
        f"{_text(best.groupby('kind').head(1))}\n\n"
        f"Single scores on the kind of the winner:\n\n"
        f"{_text(measured.loc[[(kind, name) for name in SINGLE]])}\n\n"
        f"Nested choice:\n\n{pd.DataFrame(nested(lines)).to_string(index=False, float_format='{:.4f}'.format)}\n"
    )


def _text(measured):
    return measured.reset_index().to_string(index=False, float_format="{:.4f}".format)


SHOWN = (
    *SINGLE, "kNN + kNN 0", "kNN + 0.25 Gaussian", "kNN + 0.25 energy", "kNN + 0.25 Gaussian + 0.25 energy",
    "kNN + 0.25 Gaussian + 0.25 relative Mahalanobis", "kNN + 0.5 Gaussian + 0.5 energy",
    "kNN in class + 0.25 Gaussian + 0.25 energy", "kNN (0.8) or PCA residual (0.2)",
    "kNN + 0.25 Gaussian + 0.25 energy (0.8) or PCA residual (0.2)",
)  # fmt: skip
"""The rules that chapter 8 shows."""
MEASURES = ("near", *NEAR, *FAR, "accuracy", "false refusals", *(f"{world}, {how}" for world in PENS for how in HOWS))


def summary():
    """What ``reference.json`` says of the race: its size, the winner, and what each kind and each rule shown measure,
    by seed; and what luck did."""
    lines = pd.read_csv(TABLE)
    measured = candidates(lines)
    ranked, folds = choose(measured), pd.DataFrame(nested(lines))
    kind, rule = ranked.index[0]
    close = [name for other, name in ranked.index[:4] if other == kind]
    alone = folds[["promised", "kept", "luck", "luck in kind"]]
    taken = with_means(lines[(lines.kind == MADE_UP) & lines.rule.isin([MADE_UP, "kNN"])].sort_values("seed"))
    by_class, by_distance = (taken[taken.rule == name] for name in (MADE_UP, "kNN"))
    return {
        "trainings": len(configurations()),
        "rules": len(measured) // len(KINDS),
        "candidates": len(measured),
        "met": len(ranked),
        "seeds": list(SEEDS),
        "six": [list(known) for known in SIX],
        "winner": {"kind": kind, "rule": rule},
        "ranked": [" / ".join(name) for name in ranked.index[:10]],
        "by_kind": {name: {one: by_seed(lines, name, one) for one in ("kNN", rule)} for name in KINDS},
        "by_rule": {name: by_seed(lines, kind, name) for name in {*SHOWN, *close}},
        "made_up": {world: by_class[world].tolist() for world in (*NEAR, "halves")}
        | {"halves by kNN": by_distance["halves"].tolist()},
        "nested": {key: {"mean": alone[key].mean(), "std": alone[key].std()} for key in alone}
        | {"folds": folds.to_dict("records")},
    }


def by_seed(lines, kind, rule):
    """What a candidate measures: dict measure → a number a seed."""
    part = with_means(lines[(lines.kind == kind) & (lines.rule == rule)]).sort_values("seed")
    return {measure: part[measure].tolist() for measure in MEASURES}


def main():
    """Make the rows, and write the table and what it says."""
    options = study.options(__doc__, anywhere=True)
    for world in ("mnist", "letters", "patches", "noise", "empty", "pixel-digits"):  # once, before many ask for it
        data.load(world)
    lines = table(study.rows(row, configurations(), ROWS, **options))
    study.write(TABLE, lines.round(5))
    study.write(LOG, log(lines))
    print(LOG.read_text())


if __name__ == "__main__":
    study.start(main)
