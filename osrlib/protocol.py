"""The field's protocol on MNIST: six digits known, four unknown, ten splits in two lists, several seeds.

:func:`row` is one run: it trains one network on one split and measures every method that reads this network. It is a
pure function of its arguments, so that :mod:`osrlib.sweep` can run it anywhere.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from osrlib import augment, checks, data, losses, metrics, models, scores, thresholds, training, zoo
from osrlib.checks import several, whole_number
from osrlib.output import infer
from osrlib.scores import SCORES, Seen

ALPHA = 0.01
"""The price of the line at which ``refused`` is measured."""


def _joined(seen):
    parts = (scores.KNN(seen.train), scores.msp)
    lines = [thresholds.Conformal().fit(part(seen.held_out)) for part in parts]
    return lambda output: thresholds.fisher(
        np.stack([line.p_values(part(output)) for line, part in zip(lines, parts, strict=True)])
    )


METHODS = SCORES | {"kNN and softmax": _joined}
"""Each makes a score from what it has :class:`osrlib.scores.Seen`: every one of the library, and one that joins two."""

_any = (
    "softmax", "max logit", "energy", "GEN", "OpenMax", "ReAct", "ASH", "DICE", "SHE", "fDBD", "NNGuide", "Mahalanobis",
    "ViM", "Gram deviation", "kNN", "kNN and softmax",
)  # fmt: skip
_turned = (
    "softmax", "max logit", "energy", "Mahalanobis", "relative Mahalanobis", "Gaussian", "kNN", "kNN and softmax",
    "the rule",
)  # fmt: skip
NETWORKS = {
    "plain": (*_any, "PCA residual"),
    "multi-task": (*_any, "norm", "relative norm", "diff", "the rule"),
    "turned": _turned,
    "turned and warped": _turned,
    "three turned and warped": _turned,
    "wide": _turned,
    "well-trained": ("softmax", "max logit", "energy", "kNN", "kNN and softmax"),
    "c2ae": ("softmax", "max logit", "C2AE", "C2AE, relative"),
}
"""Which methods read which network.

- ``plain`` is trained to classify and nothing else; ``multi-task`` with smoothed labels and a copy besides.
- ``turned`` is trained as the rule wants it (``mtae-rule`` of the zoo): with transformation labels, too. ``turned and
  warped`` sees warped digits besides, ``three turned and warped`` are three of these as an ensemble, and ``wide`` is
  one of twice the channels.
- ``well-trained`` is a classifier of twice the channels, trained on warped digits for 20 epochs and nothing else asked
  of it: the largest logit of such a one is the baseline of Vaze et al. (ICLR 2022).
- ``c2ae`` is trained as chapter 3 does, but for its second stage: 6 epochs and not the 15 of the zoo, to keep thirty
  trainings affordable.
"""
MEMBERS = {"three turned and warped": 3}
"""How many networks a run trains, where it is more than one."""
ONCE = ("wide", "well-trained")
"""These have the first seed alone, since a run takes minutes."""


Network = checks.name_of(NETWORKS)


def spec(network: Network, classes: whole_number(1, 10)) -> zoo.Spec:
    """How a network of the protocol is built and trained, for so many classes."""
    build, steady, c2ae = partial(models.SigmoidAE, classes=classes), training.RECIPES["steady"], zoo.MODELS["c2ae"]
    turned = replace(zoo.MODELS["mtae-rule"], build=build)
    both, wide = replace(turned, augment=augment.warped), partial(build, channels=32)
    well_trained = replace(steady, epochs=20)
    return {
        "plain": zoo.Spec(build, partial(losses.multitask_loss, weight=0.0), steady),
        "multi-task": zoo.Spec(build, partial(losses.multitask_loss, weight=4.0, smoothing=0.1), steady),
        "turned": turned,
        "turned and warped": both,
        "three turned and warped": both,
        "wide": replace(both, build=wide),
        "well-trained": zoo.Spec(
            lambda: models.Reader(wide()),
            losses.classification_loss,
            well_trained,
            augment=augment.warped,
        ),
        "c2ae": replace(c2ae, build=partial(models.C2AE, classes), recipe=replace(c2ae.recipe, epochs=6)),
    }[network]


def configurations(seeds: several(checks.Seed) = (0, 1, 2)) -> list:
    """Every run of the protocol: dicts with network, splits ("neal" or "vaze"), split 0..4 and seed."""
    return [
        {"network": network, "splits": splits, "split": split, "seed": seed}
        for network in NETWORKS
        for seed in map(int, seeds[:1] if network in ONCE else seeds)
        for splits, each in data.SPLITS.items()
        for split in range(len(each))
    ]


def row(network: Network, splits: Literal["neal", "vaze"], split: whole_number(0, 4), seed: checks.Seed) -> dict:
    """Train and measure: a dict with ``closed_accuracy``, ``train_seconds``, and per method its AUROC, its OSCR area
    and the share of unknown images that are ``refused`` at a price of 1 %.

    The six digits are trained on, and scores and lines calibrated on, as :func:`osrlib.data.rule_digits` parts MNIST's
    training images. Test images: all 10,000 of MNIST's test set. Of an ensemble of M networks, member i has the seed
    M · seed + i, so that no two runs share one.
    """
    known, test = data.SPLITS[splits][split], data.load("mnist")
    train, others, held_out = (
        data.rule_digits(part).only(known, renumber=True) for part in ("train", "choose", "calibrate")
    )
    digits_known, unknown = test.only(known, renumber=True), test.only(sorted(set(range(10)) - set(known)))
    how, members, trained, seconds = spec(network, len(known)), MEMBERS.get(network, 1), [], 0
    for member in range(members):
        own_seed = members * seed + member
        training.seed_everything(own_seed)
        trained.append(how.build())
        history = how.fit(trained[-1], train, seed=own_seed, progress=False)
        seconds += sum(epoch["seconds"] for epoch in history)
    model = models.Ensemble(trained) if members > 1 else trained[0]
    # of C2AE, nothing that is said of its training images is needed, and they take long to decode
    shown = None if network == "c2ae" else infer(model, train.images)
    seen = Seen(model, shown, train.labels, infer(model, others.images))
    of_calibration, of_known, of_unknown = (infer(model, part.images) for part in (held_out, digits_known, unknown))
    correct = of_known.guess == digits_known.labels
    measured = {}
    for method in NETWORKS[network]:
        score = METHODS[method](seen)
        on_known, on_unknown = score(of_known), score(of_unknown)
        line = thresholds.Conformal(ALPHA).fit(score(of_calibration))
        measured[method] = {
            "auroc": metrics.auroc(on_known, on_unknown),
            "oscr": metrics.oscr(on_known, correct, on_unknown).area,
            "refused": float(line.reject(on_unknown).mean()),
        }
    return {"closed_accuracy": float(correct.mean()), "train_seconds": seconds, "methods": measured}


checks.guard(__name__)
