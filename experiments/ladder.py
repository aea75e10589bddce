"""The report's rule on one network, rung by rung (chapter 7): as its authors evaluated it, then one change at a time.

The figures behind this account are in the authors' notebook (github.com/yyyuv/OSR-Classifier, commit 32ffa09).
"""

import numpy as np
from skimage.filters import threshold_otsu

from experiments.study import judged
from osrlib import UNKNOWN, data, models
from osrlib.output import infer
from osrlib.thresholds import Conformal, MeanStd

GREY = np.array([0.2989, 0.587, 0.114])  # what red, green and blue count for in grey
_MEANS, _STDS = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
_STD = 1 / (GREY / _STDS).sum()
STATISTICS = {
    "mnist": (models.MEAN, models.STD),
    "fashion": (0.286, 0.353),
    # standardised channel by channel and grey then: of a picture without colour, that is this mean and this deviation
    "cifar10": (float((GREY * _MEANS / _STDS).sum() * _STD), float(_STD)),
}
"""Mean and standard deviation by which the notebook standardises each world."""
BATCH = 1024
ACCURACIES = ("mnist", "ood", "total")


def seen(model, images, statistics):
    """(pixels, copies, guess): images and copies as standardised float32 [N, 28, 28], and the classes named."""
    mean, std = statistics
    own = models.MultiTaskAE(mean, std)
    own.load_state_dict(model.state_dict())
    output = infer(own, images)
    return (output.images / np.float32(255) - mean) / std, (output.reconstruction - mean) / std, output.guess


def norms(pixels, copies):
    """The length of each difference: float64 [N]."""
    return np.linalg.norm((pixels - copies).reshape(len(pixels), -1), axis=1).astype(np.float64)


def diffs(pixels, copies, batches):
    """Differing pixels, with one level for all images of a batch and one for all of its copies: float64 [N].

    batches: index arrays that cover all images.
    """
    counts = np.empty(len(pixels))
    for batch in batches:
        image, copy = (side[batch] > threshold_otsu(side[batch]) for side in (pixels, copies))
        counts[batch] = (image != copy).sum((1, 2))
    return counts


def one_by_one(pixels):
    """Each image a batch of its own."""
    return np.arange(len(pixels))[:, None]


def measure(model, seed):
    """Every rung for one network: the lines, and a dict a rung. seed: of the shuffling."""
    worlds = {name: data.load(name) for name in STATISTICS}
    ends = np.cumsum([len(world) for world in worlds.values()])
    order = np.random.default_rng(seed).permutation(ends[-1])
    train, validation = (
        seen(model, data.report_digits(part).images, STATISTICS["mnist"])[:2] for part in ("train", "validation")
    )
    fitted, held_out = ((norms(*side), diffs(*side, one_by_one(side[0]))) for side in (train, validation))
    lines = [MeanStd(2).fit(values) for values in fitted]
    own = [seen(model, world.images, STATISTICS[name]) for name, world in worlds.items()]
    as_digits = [seen(model, world.images, STATISTICS["mnist"]) for world in worlds.values()]

    def mixed(_):
        return np.split(order, range(BATCH, len(order), BATCH))

    def alone(pixels):
        """Batches of one world each."""
        starts = [range(start, end, BATCH) for start, end in zip([0, *ends], ends, strict=False)]
        return np.split(np.arange(len(pixels)), np.concatenate(starts)[1:])

    def beyond(*values):
        """What the report's rule refuses."""
        return np.logical_or.reduce([line.reject(one) for line, one in zip(lines, values, strict=True)])

    price = float(beyond(*held_out).mean())

    def furthest(*values):
        """The larger of both ranks among the training digits: one score, whose line is a line for each."""
        ranks = [np.searchsorted(np.sort(one), new) / len(one) for one, new in zip(fitted, values, strict=True)]
        return np.max(ranks, axis=0)

    conformal = Conformal(price).fit(furthest(*held_out))

    def rung(parts, batches, refuse):
        pixels, copies, guess = (np.concatenate(side) for side in zip(*parts, strict=True))
        values = norms(pixels, copies), diffs(pixels, copies, batches(pixels))
        known, *unknown = np.split(np.where(refuse(*values), UNKNOWN, guess), ends[:-1])
        report = judged(worlds["mnist"].labels, known, np.concatenate(unknown))
        told = {key: getattr(report, key) for key in ACCURACIES} | {"named_1": int(report.confusion[UNKNOWN, 1])}
        shares = {name: float((one == UNKNOWN).mean()) for name, one in zip([*worlds][1:], unknown, strict=True)}
        above = {
            f"{name}_lines": [MeanStd(2).fit(one[start:]).value for one in values]
            for name, start in (("all", 0), ("unknown", ends[0]))
        }
        return told | {"worlds": shares} | above | {"confusion": report.confusion.tolist()}

    return {
        "lines": {name: line.value for name, line in zip(("norm", "diff"), lines, strict=True)},
        "price": price,
        "rungs": {
            "batch": rung(own, mixed, beyond),
            "alone": rung(own, alone, beyond),
            "image": rung(own, one_by_one, beyond),
            "digits": rung(as_digits, one_by_one, beyond),
            "conformal": rung(as_digits, one_by_one, lambda *values: conformal.reject(furthest(*values))),
        },
    }
