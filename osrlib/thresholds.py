"""Where to draw the line: fit on the scores of known images, refuse what lies beyond.

Each threshold has ``fit(scores)``, which returns itself; then ``value``; and ``reject(scores)``, True where the score
is larger than the value. Scores are finite numbers [N]; ValueError for anything else, and for ``reject`` before
``fit``.
"""

import numpy as np
import scipy

from osrlib import _validate


class _Threshold:
    _value = None

    def fit(self, scores):
        """Set the value from the scores of known images [N]."""
        value = float(self._line(_validate.scores(scores)))
        if not np.isfinite(value):
            raise ValueError(f"scores: expected such as {self!r} can fit, got a line at {value}")
        self._value = value
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


class TailModel:
    """The distribution of scores, with a smooth upper tail: empirical below u, generalised Pareto above it.

    Above a high quantile u, excesses follow a generalised Pareto distribution approximately (Pickands 1975; Coles 2001,
    chapter 4). scores [N]: to fit; share: how much lies above u, in (0, 0.5]. ``start`` is u, ``mass`` the share of
    scores above it (ties at u can make it smaller), ``shape`` and ``scale`` the fit's (maximum likelihood).
    """

    def __init__(self, scores, share=0.1):
        self._sorted = np.sort(_validate.scores(scores))
        self.start = np.quantile(self._sorted, 1 - _validate.number(share, "share", 0, 0.5, open_low=True))
        excess = self._sorted[self._sorted > self.start] - self.start
        different = len(np.unique(excess))
        if different < 20:
            raise ValueError(f"scores: expected at least 20 different ones in the tail to fit, got {different}")
        self.mass = len(excess) / len(self._sorted)
        # the search for the fit starts at a scale of 1: their median is a unit that suits it, whatever the score's own
        unit = np.median(excess)
        self.shape, _, scale = scipy.stats.genpareto.fit(excess / unit, floc=0)
        self.scale = scale * unit

    def beyond(self, line):
        """The probability of a score larger than the line; lines [M] or a number."""
        line = _validate.numbers(line, "line")
        below = 1 - np.searchsorted(self._sorted, line, side="right") / len(self._sorted)
        above = self.mass * scipy.stats.genpareto.sf(line - self.start, self.shape, scale=self.scale)
        return np.where(line < self.start, below, above)

    def line(self, alpha):
        """The line beyond which a share alpha of scores is expected, and u at the least. alpha: in (0, 1]."""
        alpha = _validate.number(alpha, "alpha", 0, 1, open_low=True)
        if alpha >= self.mass:
            return self.start
        return self.start + scipy.stats.genpareto.isf(alpha / self.mass, self.shape, scale=self.scale)


class Tail(_Threshold):
    """Extreme-value threshold: refuse where a share ``alpha`` of known images is expected beyond, by a fitted tail.

    What it promises, it promises under the :class:`TailModel`, left behind as ``tail``.
    alpha: in (0, share]; share: in (0, 0.5].
    """

    def __init__(self, alpha=0.05, share=0.1):
        self.share = _validate.number(share, "share", 0, 0.5, open_low=True)
        self.alpha = _validate.number(alpha, "alpha", 0, self.share, open_low=True)

    def _line(self, scores):
        tail = TailModel(scores, self.share)
        line = tail.line(self.alpha)
        if np.isfinite(line):  # else the fit is refused, and what was fitted before stays
            self.tail = tail
        return line

    def __repr__(self):
        return f"Tail(alpha={self.alpha:g}, share={self.share:g})"


class TwoTail(_Threshold):
    """C2AE's threshold τ* (Oza & Patel, CVPR 2019, section 3.2.2), between match and non-match errors.

    Match errors have an upper tail, non-match errors a lower one. τ* makes
    (1 − p_u) · P(match error > τ) + p_u · P(non-match error < τ) smallest, with both tails fitted by :class:`TailModel`
    and p_u the expected share of unknown images (0.5 in the paper). Non-match errors of *known* images stand in for the
    errors of unknown ones, so nothing is promised about those. unknown: p_u, in (0, 1); share: of each tail, in
    (0, 0.5].
    """

    def __init__(self, unknown=0.5, share=0.1):
        self.unknown = _validate.number(unknown, "unknown", 0, 1, open_low=True, open_high=True)
        self.share = _validate.number(share, "share", 0, 0.5, open_low=True)

    def fit(self, match, nonmatch):
        """Set τ* from the errors of known images under their own class [N] and under others [M]."""
        match, nonmatch = _validate.scores(match, "match"), _validate.scores(nonmatch, "nonmatch")
        if np.median(match) >= np.median(nonmatch):
            raise ValueError("match: expected errors smaller than those of nonmatch, got a larger median")
        self.match, self.nonmatch = TailModel(match, self.share), TailModel(-nonmatch, self.share)
        lines = np.linspace(np.median(match), np.median(nonmatch), 2001)
        cost = self._cost(lines)
        if not np.isfinite(cost).all():
            raise ValueError(f"match and nonmatch: expected such as {self!r} can fit, got tails that are not finite")
        # where the tails leave a gap, every line in it is as good: take its middle
        self._value = float(np.median(lines[cost <= cost.min() + 1e-12]))
        return self

    def cost(self, lines):
        """The two weighted tail probabilities, added, at lines [M]: what τ* makes smallest."""
        _ = self.value
        return self._cost(_validate.numbers(lines, "lines"))

    def _cost(self, lines):
        return (1 - self.unknown) * self.match.beyond(lines) + self.unknown * self.nonmatch.beyond(-lines)

    def __repr__(self):
        return f"TwoTail(unknown={self.unknown:g}, share={self.share:g})"


class Conformal(_Threshold):
    """Split-conformal threshold: a new known image is refused with probability at most alpha (Vovk et al. 2005).

    The line is the ⌈(n + 1)(1 − alpha)⌉-th smallest of the n scores, the first at the least. The promise holds on
    average over draws of the calibration images, if those and the new image are exchangeable: calibrate on images that
    the model was not trained on. alpha: in (0, 1), and at least 1 / (n + 1): fewer images cannot carry the promise.
    """

    def __init__(self, alpha=0.05):
        self.alpha = _validate.number(alpha, "alpha", 0, 1, open_low=True, open_high=True)

    def _line(self, scores):
        rank = max(1, int(np.ceil((len(scores) + 1) * (1 - self.alpha) - 1e-9)))
        if rank > len(scores):
            raise ValueError(
                f"scores: expected at least {np.ceil(1 / self.alpha) - 1:.0f} for this alpha, got {len(scores)}"
            )
        self._calibration = np.sort(scores)
        return self._calibration[rank - 1]

    def p_values(self, scores):
        """The share of calibration scores, the new one counted among them, that are at least as large: [N] in (0, 1].

        A known image's p-value is at most alpha with probability at most alpha.
        """
        _ = self.value
        below = np.searchsorted(self._calibration, _validate.scores(scores), side="left")
        n = len(self._calibration)
        return (n - below + 1) / (n + 1)

    def __repr__(self):
        return f"Conformal(alpha={self.alpha:g})"


class ClassConformal:
    """Split-conformal thresholds, one for each class: the promise of :class:`Conformal` holds inside every class.

    classes int [N] put each image into one group, and may be anything that is computed from the image alone: here, the
    class that the classifier names (Mondrian conformal prediction, Vovk et al. 2005, section 4.5). alpha: as there;
    every class needs its own 1 / alpha − 1 calibration images. It asks for the classes in each call: it is no
    threshold for :class:`osrlib.detector.OpenSetClassifier`.
    """

    def __init__(self, alpha=0.05):
        self.alpha = Conformal(alpha).alpha
        self._lines = {}

    def fit(self, scores, classes):
        """Set a line for every class that occurs, and return itself. scores [N], classes int [N]."""
        scores, classes = self._pair(scores, classes)
        self._lines = {k: Conformal(self.alpha).fit(scores[classes == k]) for k in np.unique(classes).tolist()}
        return self

    @property
    def value(self):
        """A dict from class to its line in the unit of the score."""
        if not self._lines:
            raise ValueError(f"{self!r}: expected fit(scores, classes) before, got none")
        return {k: line.value for k, line in self._lines.items()}

    def reject(self, scores, classes):
        """True where the score is larger than the line of its class: bool [N]."""
        return self._each(Conformal.reject, scores, classes, bool)

    def p_values(self, scores, classes):
        """As :meth:`Conformal.p_values`, among the calibration images of the same class: [N] in (0, 1]."""
        return self._each(Conformal.p_values, scores, classes, float)

    def _each(self, method, scores, classes, dtype):
        known = self.value
        scores, classes = self._pair(scores, classes)
        if new := set(classes.tolist()) - set(known):
            raise ValueError(f"classes: expected such as were calibrated, got {sorted(new)} besides")
        result = np.empty(len(scores), dtype)
        for k in np.unique(classes).tolist():
            result[classes == k] = method(self._lines[k], scores[classes == k])
        return result

    @staticmethod
    def _pair(scores, classes):
        scores = _validate.scores(scores)
        return scores, _validate.labels(classes, "classes", size=len(scores))

    def __repr__(self):
        return f"ClassConformal(alpha={self.alpha:g})"


def any_of(*refusals):
    """The OR rule: refuse what at least one threshold refuses. refusals: bool [N] each; returns bool [N]."""
    if not refusals:
        raise ValueError("refusals: expected at least one boolean array [N], got none")
    masks = [_validate.mask(refusal, f"refusal {i}") for i, refusal in enumerate(refusals)]
    if len({len(mask) for mask in masks}) > 1:
        raise ValueError(f"refusals: expected arrays of one length, got {[len(mask) for mask in masks]}")
    return np.logical_or.reduce(masks)


def union_bound(p_values, alphas):
    """One p-value out of several, however they depend on each other: the smallest pᵢ · Σα / αᵢ, at most 1.

    The weighted Bonferroni correction. But for rounding, it is at most Σα where some pᵢ is at most its αᵢ: it agrees
    with :func:`any_of` over conformal thresholds. p_values: [N] each, in (0, 1]; alphas: as many numbers in (0, 1].
    Returns [N].
    """
    each, alphas = _p_values(p_values), _validate.several(alphas, "alphas")
    if len(each) != len(alphas):
        raise ValueError(f"alphas: expected {len(each)}, one a p-value, got {len(alphas)}")
    alphas = [_validate.number(alpha, "alphas", 0, 1, open_low=True) for alpha in alphas]
    each = [p * (sum(alphas) / alpha) for p, alpha in zip(each, alphas, strict=True)]
    return np.minimum(np.minimum.reduce(each), 1.0)


def fisher(p_values):
    """Several p-values joined into one unknownness: −Σ log pᵢ, larger = more unknown (Fisher 1932, section 21.1).

    Images that are fairly strange to each score come before those that are strange to one. Fisher's own test would need
    independent p-values: set a line on held-back images in its place. p_values: [N] each, in (0, 1]; returns float [N].
    """
    return -np.log(_p_values(p_values)).sum(0)


def _p_values(p_values):
    each = [_validate.scores(p, "p_values") for p in _validate.several(p_values, "p_values")]
    if len({len(p) for p in each}) > 1:
        raise ValueError(f"p_values: expected arrays of one length, got {[len(p) for p in each]}")
    if not all((p > 0).all() and (p <= 1).all() for p in each):
        raise ValueError("p_values: expected numbers in (0, 1], got others")
    return each
