"""The field's protocol on MNIST: six digits known, four unknown, ten splits in two lists, several seeds.

:func:`row` is one run: it trains one network on one split and measures every method that reads this network. It is a
pure function of its arguments, so that :mod:`osrlib.sweep` can run it anywhere.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from osrlib import checks, data, detector, losses, metrics, models, scores, thresholds, training, zoo
from osrlib.checks import several, whole_number
from osrlib.output import infer
from osrlib.scores import SCORES, Seen

ALPHA = 0.01
"""The price of the line at which ``refused`` is measured."""


def _rule(seen):
    known = data.ImageSet(seen.train.images, seen.labels, "known", [str(k) for k in range(seen.labels.max() + 1)])
    rule = detector.OpenSetClassifier.recommended(seen.model, known).fit_output(seen.held_out)
    return lambda output: 1 - rule.decide_output(output).p_value


def _joined(seen):
    parts = (scores.KNN(seen.train), scores.msp)
    lines = [thresholds.Conformal().fit(part(seen.held_out)) for part in parts]
    return lambda output: thresholds.fisher(
        np.stack([line.p_values(part(output)) for line, part in zip(lines, parts, strict=True)])
    )


METHODS = SCORES | {"kNN and softmax": _joined, "the rule": _rule}
"""Each makes a score from what it has :class:`osrlib.scores.Seen`: every one of the library, and two that join some."""

_any = (
    "softmax", "max logit", "energy", "GEN", "OpenMax", "ReAct", "ASH", "DICE", "SHE", "fDBD", "NNGuide", "Mahalanobis",
    "ViM", "Gram deviation", "kNN", "kNN and softmax",
)  # fmt: skip
NETWORKS = {
    "plain": (*_any, "PCA residual"),
    "multi-task": (*_any, "norm", "relative norm", "diff", "kNN sum", "the rule"),
    "c2ae": ("softmax", "max logit", "C2AE", "C2AE, relative"),
}
"""Which methods read which network. ``plain`` is trained to classify and nothing else, ``multi-task`` as the rule wants
it (``mtae-rule`` of the zoo), ``c2ae`` as chapter 3 does. All by the recipe ``steady``, as C2AE in its first stage. Its
second stage has 6 epochs here and not the 15 of the zoo, to keep thirty trainings affordable."""


Network = checks.name_of(NETWORKS)


def spec(network: Network, classes: whole_number(1, 10)) -> zoo.Spec:
    """How a network of the protocol is built and trained, for so many classes."""
    build, c2ae = partial(models.SigmoidAE, classes=classes), zoo.MODELS["c2ae"]
    return {
        "plain": zoo.Spec(build, partial(losses.multitask_loss, weight=0.0), training.RECIPES["steady"]),
        "multi-task": replace(zoo.MODELS["mtae-rule"], build=build),
        "c2ae": replace(c2ae, build=partial(models.C2AE, classes), recipe=replace(c2ae.recipe, epochs=6)),
    }[network]


def configurations(seeds: several(checks.Seed) = (0, 1, 2)) -> list:
    """Every run of the protocol: dicts with network, splits ("neal" or "vaze"), split 0..4 and seed."""
    return [
        {"network": network, "splits": splits, "split": split, "seed": seed}
        for network in NETWORKS
        for seed in map(int, seeds)
        for splits, each in data.SPLITS.items()
        for split in range(len(each))
    ]


def row(network: Network, splits: Literal["neal", "vaze"], split: whole_number(0, 4), seed: checks.Seed) -> dict:
    """Train and measure: a dict with ``closed_accuracy``, ``train_seconds``, and per method its AUROC, its OSCR area
    and the share of unknown images that are ``refused`` at a price of 1 %.

    The six digits are trained on and calibrated on as :func:`osrlib.data.rule_digits` parts MNIST's training images.
    Test images: all 10,000 of MNIST's test set.
    """
    known, test = data.SPLITS[splits][split], data.load("mnist")
    train, held_out = (data.rule_digits(part).only(known, renumber=True) for part in ("train", "calibrate"))
    digits_known, others = test.only(known, renumber=True), test.only(sorted(set(range(10)) - set(known)))
    how = spec(network, len(known))
    training.seed_everything(seed)
    model = how.build()
    history = how.fit(model, train, seed=seed, progress=False)
    # of C2AE, nothing that is said of its training images is needed, and they take long to decode
    shown = None if network == "c2ae" else infer(model, train.images)
    seen = Seen(model, shown, train.labels, infer(model, held_out.images))
    of_known, of_unknown = (infer(model, part.images) for part in (digits_known, others))
    correct = of_known.guess == digits_known.labels
    measured = {}
    for method in NETWORKS[network]:
        score = METHODS[method](seen)
        on_known, on_unknown = score(of_known), score(of_unknown)
        line = thresholds.Conformal(ALPHA).fit(score(seen.held_out))
        measured[method] = {
            "auroc": metrics.auroc(on_known, on_unknown),
            "oscr": metrics.oscr(on_known, correct, on_unknown).area,
            "refused": float(line.reject(on_unknown).mean()),
        }
    return {
        "closed_accuracy": float(correct.mean()),
        "train_seconds": sum(epoch["seconds"] for epoch in history),
        "methods": measured,
    }


checks.guard(__name__)
