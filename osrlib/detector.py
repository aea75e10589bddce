"""Model + scores + thresholds = a classifier with an eleventh answer."""

from typing import NamedTuple

import numpy as np

from osrlib import UNKNOWN, thresholds
from osrlib.models import Output, infer


class Decision(NamedTuple):
    """What was decided, and why: N images, S scores.

    ``labels`` int64 [N], 0–9 or ``UNKNOWN``; ``guess`` int64 [N], the digit that the classifier would have said;
    ``scores`` float32 [N, S]; ``refused`` bool [N, S], which score lies beyond its threshold.
    """

    labels: np.ndarray
    guess: np.ndarray
    scores: np.ndarray
    refused: np.ndarray


class OpenSetClassifier:
    """The report's detector: a digit where every score stays below its threshold, else ``UNKNOWN``.

    model: a network that :func:`osrlib.models.infer` can run; scores: functions of its output (:mod:`osrlib.scores`);
    thresholds: as many, from :mod:`osrlib.thresholds`; rule: how the refusals are combined (``any_of``).
    """

    def __init__(self, model, scores, thresholds_, rule=thresholds.any_of):
        if len(scores) == 0 or len(scores) != len(thresholds_):
            raise ValueError(f"expected one threshold a score, got {len(scores)} scores, {len(thresholds_)} thresholds")
        self.model, self.scores, self.thresholds, self.rule = model, tuple(scores), tuple(thresholds_), rule

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
        for score, threshold in zip(self.scores, self.thresholds, strict=True):
            threshold.fit(score(output))
        return self

    def decide_output(self, output: Output):
        """As ``decide``, from what :func:`osrlib.models.infer` has said already."""
        values = [score(output) for score in self.scores]
        refused = [threshold.reject(value) for threshold, value in zip(self.thresholds, values, strict=True)]
        guess = output.logits.argmax(1)
        labels = np.where(self.rule(*refused), UNKNOWN, guess)
        return Decision(labels, guess, np.stack(values, 1), np.stack(refused, 1))
