"""The field's protocol on MNIST: six digits known, four unknown, ten splits in two lists, several seeds.

:func:`row` is one run: it trains one network on one split and measures every method that reads this network. It is a
pure function of its configuration, so that :mod:`osrlib.sweep` can run it anywhere.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import nn

from osrlib import _validate, data, detector, losses, metrics, models, scores, thresholds, training, zoo

CALIBRATION = 10_000
"""How many of MNIST's 60,000 training images, the last ones, are kept from training to calibrate on."""


class Seen(NamedTuple):
    """What a method may look at before the test: the network, its output on training and on calibration images."""

    model: object
    train: models.Output
    labels: np.ndarray
    held_out: models.Output


def last_layer(model):
    """The weight [K, D] and the bias [K] that turn a model's code into logits, as arrays: what ViM asks for."""
    last = _validate.instance(getattr(model, "classifier", None), "model.classifier", nn.Linear)
    parts = last.weight, _validate.instance(last.bias, "model.classifier.bias", nn.Parameter)
    return tuple(part.detach().cpu().numpy() for part in parts)


def _gram(seen):
    network = models.GramFeatures(seen.model)
    score = scores.gram_deviation(models.infer(network, seen.train.images), network.layer)
    return lambda output: score(models.infer(network, output.images))


def _rule(seen):
    known = data.ImageSet(seen.train.images, seen.labels, "known", tuple(map(str, range(seen.labels.max() + 1))))
    rule = detector.OpenSetClassifier.recommended(seen.model, known).fit_output(seen.held_out)
    return lambda output: 1 - rule.decide_output(output).p_value


def _joined(seen):
    parts = (scores.knn(seen.train), scores.msp)
    lines = [thresholds.Conformal().fit(part(seen.held_out)) for part in parts]
    return lambda output: thresholds.fisher(
        [line.p_values(part(output)) for line, part in zip(lines, parts, strict=True)]
    )


METHODS: dict[str, Callable] = {
    "softmax": lambda seen: scores.msp,
    "max logit": lambda seen: scores.max_logit,
    "energy": lambda seen: scores.energy,
    "Mahalanobis": lambda seen: scores.mahalanobis(seen.train, seen.labels),
    "ViM": lambda seen: scores.vim(seen.train, *last_layer(seen.model)),
    "Gram deviation": _gram,
    "kNN": lambda seen: scores.knn(seen.train),
    "kNN sum": lambda seen: scores.knn_sum(seen.train, seen.labels),
    "kNN and softmax": _joined,
    "PCA residual": lambda seen: scores.pca_residual(seen.train),
    "norm": lambda seen: scores.norm,
    "relative norm": lambda seen: partial(scores.norm, relative=True),
    "diff": lambda seen: scores.diff,
    "C2AE": lambda seen: scores.class_error,
    "C2AE, relative": lambda seen: partial(scores.class_error, relative=True),
    "the rule": _rule,
}
"""Each makes a score, a function of an output, from what it has :class:`Seen`."""

_any = ("softmax", "max logit", "energy", "Mahalanobis", "ViM", "Gram deviation", "kNN")
NETWORKS = {
    "plain": (*_any, "PCA residual"),
    "multi-task": (*_any, "norm", "relative norm", "diff", "kNN sum", "kNN and softmax", "the rule"),
    "c2ae": ("softmax", "max logit", "C2AE", "C2AE, relative"),
}
"""Which methods read which network. ``plain`` is trained to classify and nothing else, ``multi-task`` as the rule wants
it (``mtae-rule`` of the zoo), ``c2ae`` as chapter 3 does. All by the recipe ``steady``, as C2AE in its first stage. Its
second stage has 6 epochs here and not the 15 of the zoo, to keep thirty trainings affordable."""


def spec(network, classes):
    """How a network of the protocol is built and trained, for so many classes: a :class:`osrlib.zoo.Spec`."""
    _validate.choice(network, "network", NETWORKS)
    _validate.whole(classes, "classes", 1, 10)
    build, c2ae = partial(models.MultiTaskAE, classes=classes), zoo.MODELS["c2ae"]
    return {
        "plain": zoo.Spec(build, partial(losses.multitask_loss, weight=0.0), training.RECIPES["steady"]),
        "multi-task": replace(zoo.MODELS["mtae-rule"], build=build),
        "c2ae": replace(c2ae, build=partial(models.C2AE, classes), recipe=replace(c2ae.recipe, epochs=6)),
    }[network]


def configurations(seeds=(0, 1, 2)):
    """Every run of the protocol: dicts with network, splits ("neal" or "vaze"), split 0..4 and seed."""
    return [
        {"network": network, "splits": splits, "split": split, "seed": seed}
        for network in NETWORKS
        for seed in _validate.labels(seeds, "seeds").tolist()
        for splits, each in data.SPLITS.items()
        for split in range(len(each))
    ]


def _check(run):
    """A dict as :func:`configurations` has them, with any seed."""
    if not {"network", "splits", "split", "seed"} <= set(_validate.instance(run, "configuration", dict)):
        raise ValueError(f"configuration: expected network, splits, split and seed, got {_validate.describe(run)}")
    _validate.choice(run["network"], "network", NETWORKS)
    splits = data.SPLITS[_validate.choice(run["splits"], "splits", data.SPLITS)]
    _validate.whole(run["split"], "split", 0, len(splits) - 1)
    _validate.whole(run["seed"], "seed")


def row(configuration):
    """Train and measure: a dict with ``closed_accuracy``, ``train_seconds``, and per method its AUROC and OSCR area.

    Training images: those of the known digits among MNIST's first 50,000; the last 10,000 calibrate. Test images: all
    10,000 of MNIST's test set.
    """
    _check(configuration)
    known, seed = data.SPLITS[configuration["splits"]][configuration["split"]], configuration["seed"]
    whole, test = data.load("mnist", "train"), data.load("mnist")
    train, held_out = (part.only(known, renumber=True) for part in (whole[:-CALIBRATION], whole[-CALIBRATION:]))
    digits, others = test.only(known, renumber=True), test.only(sorted(set(range(10)) - set(known)))
    network = spec(configuration["network"], len(known))
    training.seed_everything(seed)
    model = network.build()
    history = network.fit(model, train, seed=seed, progress=False)
    if configuration["network"] == "c2ae":  # nothing of its training images is needed, and they take long to decode
        seen = Seen(model, None, train.labels, None)
    else:
        seen = Seen(model, models.infer(model, train.images), train.labels, models.infer(model, held_out.images))
    said = [models.infer(model, part.images) for part in (digits, others)]
    right = said[0].logits.argmax(1) == digits.labels
    measured = {}
    for method in NETWORKS[configuration["network"]]:
        values = list(map(METHODS[method](seen), said))
        measured[method] = {"auroc": metrics.auroc(*values), "oscr": metrics.oscr(values[0], right, values[1]).area}
    return {
        "closed_accuracy": float(right.mean()),
        "train_seconds": sum(epoch["seconds"] for epoch in history),
        "methods": measured,
    }
