"""The race: every kind of training with every rule, measured on development worlds (chapter 8).

A candidate is a kind of training with a rule. Networks are trained on the first 50,000 of MNIST's training images;
5,000 others judge the rules: in five random halvings, one half calibrates at alpha = 1 %, the other half measures the
price. The last 5,000 take no part, so that the chosen rule can be calibrated on them (``data.rule_digits``). No test
image of MNIST, no garment and no photograph of CIFAR-10 takes part. ``choose_rule.py`` says who wins.
"""

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch

from osrlib import augment, data, losses, models, thresholds, training, zoo
from osrlib.output import Output, infer, to_input
from osrlib.scores import KNN, SCORES, Seen
from osrlib.worlds import changed

ALPHA, HALVINGS, UNKNOWN = 0.01, 5, 2000
PENS, SEEDS, IMAGES = ("pens", "pixel-digits"), (0, 1, 2), ("first", "second")
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


def exposed(output, images, labels, classes):
    """The loss of digits; of made-up images, the cross-entropy with an even target: they are to be no class."""
    if labels.max() < classes:
        return LOSS(output, images, labels)
    return {"cross_entropy": -output.logits.log_softmax(1).mean()}


LONGER = replace(training.RECIPES["steady"], epochs=8)
LOSS = partial(losses.multitask_loss, weight=4.0, smoothing=0.1)
PLAIN = zoo.Spec(models.SigmoidAE, LOSS, training.RECIPES["steady"])
TURNED = replace(PLAIN, recipe=LONGER, augment=augment.warped, ways=8)
MADE_UP, EXPOSED = "halves as one class more", "halves as no class"
KINDS = {
    "plain": PLAIN,
    "turned and warped": TURNED,
    "warped": replace(TURNED, ways=1),
    "turned": replace(TURNED, augment=None),
    "longer": replace(PLAIN, recipe=LONGER),
    "sixteen epochs": replace(PLAIN, recipe=replace(LONGER, epochs=16)),
    "turned and warped, no copy": replace(TURNED, loss=partial(losses.multitask_loss, weight=0.0, smoothing=0.1)),
    "four turns and warped": replace(TURNED, ways=4),
    MADE_UP: replace(TURNED, ways=1),
    EXPOSED: replace(TURNED, ways=1),
    "three turned": replace(TURNED, augment=None),
}
"""How a network is trained: chapter 8's way so far, and what may be added to it. In sixteen epochs a network sees as
many images as in the eight of *turned*, where each batch has a second one. *No class* is outlier exposure (Hendrycks,
Mazeika & Dietterich, ICLR 2019), with made-up images in place of others."""
MEMBERS = {"three turned": 3}
"""How many networks an ensemble has."""
LATER = ("sixteen epochs", EXPOSED, "three turned")
"""Controls, trained when the rule had been chosen. They took no part in the choice."""


def trained(kind, known, seed):
    """A network of this kind for these digits, numbered from 0: (model, what it was trained on)."""
    train, classes = data.rule_digits("train").only(known, renumber=True), len(known)
    how = replace(KINDS[kind], build=partial(models.SigmoidAE, classes))
    if kind in (MADE_UP, EXPOSED):
        loss, more = (LOSS, 1) if kind == MADE_UP else (partial(exposed, classes=classes), 0)
        how = replace(
            how,
            build=partial(models.SigmoidAE, classes + more),
            loss=partial(losses.turned_loss, loss=loss, classes=classes),
            augment=partial(with_halves, classes=classes),
        )
    networks = []
    for own_seed in range(seed, seed + 10 * MEMBERS.get(kind, 1), 10):
        training.seed_everything(own_seed)
        networks.append(how.build())
        how.fit(networks[-1], train, seed=own_seed, progress=False)
    return models.Ensemble(networks) if kind in MEMBERS else networks[0], train


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
OF_ONE = ("ViM", "norm", "relative norm")
"""What an ensemble cannot be asked: it has no last layer of its own, and draws nothing."""
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
        for guard, share in product([guard for guard in GUARDS if guard in values], (0.9, 0.8, 0.5)):
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
    if kind == MADE_UP and digits == "ten":
        worlds |= seams(known, worlds["letters"])
    shown = infer(model, train.images)
    said = {"known": infer(model, known.images)} | {name: infer(model, world.images) for name, world in worlds.items()}
    more = []
    if kind == MADE_UP:
        more = [(MADE_UP, {world: output.guess == len(classes) for world, output in said.items()})]
        shown, said = without_last(shown), {world: without_last(output) for world, output in said.items()}
    seen = Seen(model, shown, train.labels)
    values = {}
    for name in [name for name in SINGLE if kind not in MEMBERS or name not in OF_ONE]:
        key = SINGLE[name](seen)
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
        worlds = {"letters": letters[data.unlike_digits(letters)]}
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


def seams(known, letters):
    """What tells whether made-up halves are known by their seam: halves of two digits of one class, most of which make
    a digit, and halves of two letters."""
    in_order = known[np.argsort(known.labels, kind="stable")]
    made = {"halves of one class": in_order, "halves of letters": letters}
    return {
        name: replace(one, images=np.concatenate([one.images[..., :14], np.roll(one.images, 1, 0)[..., 14:]], 2))
        for name, one in made.items()
    }


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
