"""Where to draw the line: fit on the scores of known images, refuse what lies beyond.

Each threshold has ``fit(scores)``, which returns itself; then ``value``; and ``reject(scores)``, True where the score
is larger than the value. Scores are finite numbers [N]; ValueError for anything else, and for ``reject`` before
``fit``.
"""

import numpy as np

from osrlib import _validate


class _Threshold:
    _value = None

    def fit(self, scores):
        """Set the value from the scores of known images [N]."""
        self._value = float(self._line(_validate.scores(scores)))
        return self

    @property
    def value(self):
        """The line, in the unit of the score."""
        if self._value is None:
            raise ValueError(f"{self!r}: expected fit(scores) before, got none")
        return self._value

    def reject(self, scores):
        """True where the score is larger than the value: bool [N]."""
        return _validate.scores(scores) > self.value


class MeanStd(_Threshold):
    """The report's threshold: mean + k · standard deviation (of the population, numpy's default) of the known scores.

    It promises no false-refusal rate: that depends on the shape of the distribution (chapter 6). k: any finite number.
    """

    def __init__(self, k=2.0):
        self.k = _validate.number(k, "k")

    def _line(self, scores):
        return scores.mean() + self.k * scores.std()

    def __repr__(self):
        return f"MeanStd(k={self.k:g})"


class Quantile(_Threshold):
    """The smallest known score that at least a share q of the known scores does not exceed. q: in [0, 1].

    At most 1 − q of the images that it was fitted on are refused.
    """

    def __init__(self, q=0.95):
        self.q = _validate.number(q, "q", 0, 1)

    def _line(self, scores):
        return np.quantile(scores, self.q, method="inverted_cdf")

    def __repr__(self):
        return f"Quantile(q={self.q:g})"


def any_of(*refusals):
    """The OR rule: refuse what at least one threshold refuses. refusals: bool [N] each; returns bool [N]."""
    if not refusals:
        raise ValueError("any_of: expected at least one boolean array [N], got none")
    masks = [_validate.mask(refusal, f"refusal {i}") for i, refusal in enumerate(refusals)]
    if len({len(mask) for mask in masks}) > 1:
        raise ValueError(f"any_of: expected arrays of one length, got {[len(mask) for mask in masks]}")
    return np.logical_or.reduce(masks)
