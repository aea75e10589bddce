"""Model + scores + thresholds = a classifier with an eleventh answer."""

import copy
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import nn

from osrlib import UNKNOWN, _validate, data, thresholds, zoo
from osrlib import scores as score_functions
from osrlib.models import Output, infer, named
from osrlib.thresholds import Conformal


class Decision(NamedTuple):
    """What was decided, and why: N images, S scores.

    ``labels`` int64 [N], 0–9 or ``UNKNOWN``; ``guess`` int64 [N], the digit that the classifier would have said;
    ``scores`` float32 [N, S]; ``refused`` bool [N, S], which score lies beyond its threshold; ``names``, of the S
    scores. ``p_values`` float64 [N, S], one a score, and ``p_value`` [N], all of them in one, in (0, 1]: None where a
    threshold is not conformal, or where the rule is not ``any_of``.
    """

    labels: np.ndarray
    guess: np.ndarray
    scores: np.ndarray
    refused: np.ndarray
    names: tuple
    p_values: np.ndarray | None
    p_value: np.ndarray | None

    def reasons(self):
        """Which scores refused each image: a list of N strings, empty where none did."""
        return [", ".join(np.array(self.names)[row]) for row in self.refused]


class OpenSetClassifier:
    """A digit where every score stays below its threshold, else ``UNKNOWN``.

    model: a network that :func:`osrlib.models.infer` can run; scores: functions of its output (:mod:`osrlib.scores`);
    thresholds: as many, from :mod:`osrlib.thresholds`; rule: how the refusals are combined (``any_of``); names: of the
    scores, for ``decide`` (default: the functions').
    """

    def __init__(self, model, scores, thresholds_, rule=thresholds.any_of, names=None):
        self.model = _validate.instance(model, "model", nn.Module)
        self.scores = tuple(_validate.function(score, "scores") for score in _validate.several(scores, "scores"))
        self.thresholds = tuple(_validate.several(thresholds_, "thresholds_"))
        if len(self.scores) != len(self.thresholds):
            raise ValueError(f"expected one threshold a score, got {len(scores)} scores, {len(thresholds_)} thresholds")
        for line in self.thresholds:
            for method in ("fit", "reject"):
                _validate.function(getattr(line, method, None), f"thresholds_: {type(line).__name__}.{method}")
            if isinstance(line, type | thresholds.TwoTail | thresholds.ClassConformal):
                got = _validate.describe(line)
                raise ValueError(f"thresholds_: expected such as are fitted on one array of scores, got {got}")
        if len({id(line) for line in self.thresholds}) < len(self.thresholds):
            raise ValueError("thresholds_: expected an object of its own for each score, got one of them twice")
        self.rule = _validate.function(rule, "rule")
        names = list(map(_name, scores)) if names is None else names
        self.names = tuple(_validate.several(names, "names", str))
        if len(self.names) != len(self.scores):
            raise ValueError(f"names: expected {len(self.scores)}, one a score, got {len(self.names)}")

    @classmethod
    def recommended(cls, model=None, known=None, alpha=0.01):
        """The rule of chapter 8: two keys that share alpha, the share of known images that may be refused.

        ``code``, with 80 % of it: the distance from the nearest known codes of the class that the classifier names
        (:func:`osrlib.scores.knn_sum`). ``pixels``, with 20 %: what 150 principal components leave of the image
        (:func:`osrlib.scores.pca_residual`), which no fault of the network can hide. Both thresholds are conformal: fit
        them on known images that neither the model nor this function has seen, 5 / alpha − 1 at the least.

        model: classifies by a code, as ``MultiTaskAE`` (default: ``mtae-rule`` of the zoo); known: the
        :class:`osrlib.data.ImageSet` that it was trained on (default: the first 50,000 digits of MNIST).
        """
        alpha = Conformal(alpha).alpha
        model = zoo.load("mtae-rule") if model is None else model
        known = data.load("mnist", "train")[: zoo.MODELS["mtae-rule"].images] if known is None else known
        _validate.instance(known, "known", data.ImageSet)
        output = infer(model, known.images)
        keys = {
            "code": score_functions.knn_sum(output, known.labels),
            "pixels": score_functions.pca_residual(output, 150),
        }
        return cls(model, list(keys.values()), [Conformal(0.8 * alpha), Conformal(0.2 * alpha)], names=keys.keys())

    def fit(self, known_images):
        """Fit each threshold on its score of known images, uint8 [N, 28, 28], and return itself."""
        return self.fit_output(infer(self.model, known_images))

    def predict(self, images):
        """uint8 [N, 28, 28] → int64 [N]: 0–9, or ``UNKNOWN`` = 10."""
        return self.decide(images).labels

    def decide(self, images):
        """uint8 [N, 28, 28] → :class:`Decision`: the labels with the scores and refusals behind them."""
        return self.decide_output(infer(self.model, images))

    def fit_output(self, output: Output):
        """As ``fit``, from what :func:`osrlib.models.infer` has said already."""
        values = [score(output) for score in self.scores]
        for trial in (copy.deepcopy(self.thresholds), self.thresholds):  # if one refuses, all keep what they were
            for threshold, value in zip(trial, values, strict=True):
                threshold.fit(value)
        return self

    def decide_output(self, output: Output):
        """As ``decide``, from what :func:`osrlib.models.infer` has said already."""
        values = [score(output) for score in self.scores]
        refused = [threshold.reject(value) for threshold, value in zip(self.thresholds, values, strict=True)]
        guess = named(output)
        if guess.max() >= UNKNOWN:
            raise ValueError(f"output: expected logits of at most {UNKNOWN} classes, got class {guess.max()} named")
        unknown = _validate.mask(self.rule(*refused), "rule(…)")
        if len(unknown) != len(guess):
            raise ValueError(f"rule(…): expected {len(guess)} answers, one an image, got {len(unknown)}")
        labels = np.where(unknown, UNKNOWN, guess)
        return Decision(labels, guess, np.stack(values, 1), np.stack(refused, 1), self.names, *self._p_values(values))

    def _p_values(self, values):
        # one p-value for all is the OR rule's
        if self.rule is not thresholds.any_of or not all(isinstance(line, Conformal) for line in self.thresholds):
            return None, None
        each = [threshold.p_values(value) for threshold, value in zip(self.thresholds, values, strict=True)]
        alphas = [threshold.alpha for threshold in self.thresholds]
        return np.stack(each, 1), thresholds.union_bound(each, alphas)


def _name(score):
    return _name(score.func) if isinstance(score, partial) else getattr(score, "__name__", type(score).__name__)
