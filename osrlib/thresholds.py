"""Where to draw the line: fit on the scores of known images, refuse what lies beyond.

Each threshold has ``fit(scores)``, which returns itself; then ``value``, in the unit of the score; and
``reject(scores)``, True where the score is larger than that. ValueError for ``value`` before ``fit``.
"""

import numpy as np
import scipy

from osrlib import checks
from osrlib.checks import Count, Finite, Labels, Mask, Numbers, PartShare, PositiveShare, PValues, Share

TailShare = checks.number("a number in (0, 0.5]", lambda value: 0 < value <= 0.5)


class Threshold:
    """What the thresholds of one line share. Each knows how to draw its own: ``line(scores)``."""

    needs = 1  # known images, to be fitted

    def __getattr__(self, name):
        if name in ("value", "calibration", "match"):
            raise ValueError(f"{self!r}: expected fit before, got none")
        raise AttributeError(f"a {type(self).__name__} has no {name!r}")

    def fit(self, scores: Numbers["N"]):
        """Set the value from the scores of known images."""
        if len(scores) < self.needs:
            raise ValueError(f"scores: expected at least {self.needs} for {self!r}, got {len(scores)}")
        return self._set(self.line(scores.astype(np.float64)))

    def _set(self, value):
        if not np.isfinite(value):
            raise ValueError(f"scores: expected such as {self!r} can fit, got a line at {value}")
        self.value = float(value)
        return self

    def reject(self, scores: Numbers["N"]):
        """True where the score is larger than the value: bool [N]."""
        return scores.astype(np.float64) > self.value

    def __repr__(self):
        own = {k: v for k, v in vars(self).items() if k in ("k", "q", "alpha", "unknown", "share")}
        return f"{type(self).__name__}({', '.join(f'{name}={value:g}' for name, value in own.items())})"


class MeanStd(Threshold):
    """The report's threshold: mean + k · standard deviation (of the population, numpy's default) of the known scores.

    It promises little: of the images that it was fitted on, at most 1 / (1 + k²) are refused, a fifth for k = 2.
    """

    def __init__(self, k: Finite = 2.0):
        self.k = k

    def line(self, scores):
        return scores.mean() + self.k * scores.std()


class Quantile(Threshold):
    """The smallest known score that at least a share q of the known scores does not exceed.

    At most 1 − q of the images that it was fitted on are refused.
    """

    def __init__(self, q: Share = 0.95):
        self.q = q

    def line(self, scores):
        return np.quantile(scores, self.q, method="inverted_cdf")


class TailModel:
    """The distribution of scores, with a smooth upper tail: empirical below u, generalised Pareto above it.

    Above a high quantile u, excesses follow a generalised Pareto distribution approximately (Pickands 1975; Coles 2001,
    chapter 4). share: how much lies above u. ``start`` is u, ``mass`` the share of scores above it (ties at u can make
    it smaller), ``shape`` and ``scale`` the fit's (maximum likelihood).
    """

    def __init__(self, scores: Numbers["N"], share: TailShare = 0.1):
        self.known = np.sort(scores.astype(np.float64))
        self.start = np.quantile(self.known, 1 - share)
        excess = _excesses(self.known, self.start)
        self.mass = len(excess) / len(self.known)
        # the search for the fit starts at a scale of 1: their median is a unit that suits it, whatever the score's own
        unit = np.median(excess)
        self.shape, _, scale = scipy.stats.genpareto.fit(excess / unit, floc=0)
        self.scale = scale * unit

    def beyond(self, line: Numbers["M"]):
        """The probability of a score larger than each line: float [M]."""
        below = 1 - np.searchsorted(self.known, line, side="right") / len(self.known)
        above = self.mass * scipy.stats.genpareto.sf(line - self.start, self.shape, scale=self.scale)
        return np.where(line < self.start, below, above)

    def line(self, alpha: PositiveShare):
        """The line beyond which a share alpha of scores is expected, and u at the least."""
        if alpha >= self.mass:
            return self.start
        return self.start + scipy.stats.genpareto.isf(alpha / self.mass, self.shape, scale=self.scale)


def _excesses(scores, start):
    excess = scores[scores > start] - start
    if len(np.unique(excess)) < 20:
        raise ValueError("scores: expected at least 20 different ones in the tail to fit, got fewer")
    return excess


class Tail(Threshold):
    """Extreme-value threshold: refuse where a share ``alpha`` of known images is expected beyond, by a fitted tail.

    It promises as much as the :class:`TailModel` holds, which is left behind as ``tail``. alpha: at most share.
    """

    def __init__(self, alpha: TailShare = 0.05, share: TailShare = 0.1):
        if alpha > share:
            raise ValueError(f"alpha: expected at most the share of the tail, {share:g}, got {alpha:g}")
        self.alpha, self.share = alpha, share

    def line(self, scores):
        tail = TailModel(scores, self.share)
        line = tail.line(self.alpha)
        if np.isfinite(line):  # else the fit is refused, and what was fitted before stays
            self.tail = tail
        return line


class TwoTail(Threshold):
    """C2AE's threshold τ* (Oza & Patel, CVPR 2019, section 3.2.2), between match and non-match errors.

    Match errors have an upper tail, non-match errors a lower one. τ* makes
    (1 − p_u) · P(match error > τ) + p_u · P(non-match error < τ) smallest, with both tails fitted by :class:`TailModel`
    and p_u the expected share of unknown images (0.5 in the paper). Non-match errors of *known* images stand in for the
    errors of unknown ones, so nothing is promised about those. unknown: p_u; share: of each tail.
    """

    def __init__(self, unknown: PartShare = 0.5, share: TailShare = 0.1):
        self.unknown, self.share = unknown, share

    def fit(self, match: Numbers["N"], nonmatch: Numbers["M"]):
        """Set τ* from the errors of known images under their own class and under others."""
        match, nonmatch = match.astype(np.float64), nonmatch.astype(np.float64)
        low, high = np.median(match), np.median(nonmatch)
        if low >= high:
            raise ValueError("match: expected errors smaller than those of nonmatch, got a larger median")
        self.match, self.nonmatch = TailModel(match, self.share), TailModel(-nonmatch, self.share)
        lines = np.linspace(low, high, 2001)
        cost = self.cost(lines)
        # where the tails leave a gap, every line in it is as good: take its middle
        return self._set(np.median(lines[cost <= cost.min() + 1e-12]))

    def cost(self, lines: Numbers["M"]):
        """The two weighted tail probabilities, added, at each line: what τ* makes smallest."""
        return (1 - self.unknown) * self.match.beyond(lines) + self.unknown * self.nonmatch.beyond(-lines)


class Conformal(Threshold):
    """Split-conformal threshold: a new known image is refused with probability at most alpha (Vovk et al. 2005).

    The line is the ⌈(n + 1)(1 − alpha)⌉-th smallest of n scores, the first at the least; n ≥ 1 / alpha − 1. The promise
    holds on average over draws of the calibration images, if those and the new image are exchangeable:
    calibrate on images that the model was not trained on.
    """

    def __init__(self, alpha: PartShare = 0.05):
        self.alpha = alpha
        self.needs = max(1, int(np.ceil(1 / alpha - 1 - 1e-9)))

    def rank(self, n: Count) -> int:
        """Which of n scores is the line, counted from the smallest."""
        return max(1, int(np.ceil((n + 1) * (1 - self.alpha) - 1e-9)))

    def line(self, scores):
        self.calibration = np.sort(scores)
        return self.calibration[self.rank(len(scores)) - 1]

    def p_values(self, scores: Numbers["N"]):
        """The share of calibration scores, the new one counted among them, that are at least as large: [N] in (0, 1].

        A known image's p-value is at most alpha with probability at most alpha.
        """
        n = len(self.calibration)
        return (n - np.searchsorted(self.calibration, scores, side="left") + 1) / (n + 1)


class ClassConformal:
    """Split-conformal thresholds, one for each class: the promise of :class:`Conformal` holds inside every class.

    classes may be anything that is computed from the image alone: here, the class that the classifier names (Mondrian
    conformal prediction, Vovk et al. 2005, section 4.5). Every class needs its own 1 / alpha − 1 calibration images; an
    image of a class that has none is refused. It is no threshold for :class:`osrlib.detector.OpenSetClassifier`.
    """

    def __init__(self, alpha: PartShare = 0.05):
        self.alpha, self.lines = alpha, {}

    def fit(self, scores: Numbers["N"], classes: Labels["N"]):
        """Set a line for every class that occurs, and return itself."""
        self.lines = {k: Conformal(self.alpha).fit(scores[classes == k]) for k in np.unique(classes).tolist()}
        return self

    @property
    def value(self):
        """A dict from class to its line in the unit of the score."""
        if not self.lines:
            raise ValueError(f"{self!r}: expected fit(scores, classes) before, got none")
        return {k: line.value for k, line in self.lines.items()}

    def reject(self, scores: Numbers["N"], classes: Labels["N"]):
        """True where the score is larger than the line of its class: bool [N]."""
        lines = self.value
        return scores > np.array([lines.get(k, -np.inf) for k in classes.tolist()])

    def p_values(self, scores: Numbers["N"], classes: Labels["N"]):
        """As :meth:`Conformal.p_values`, among the calibration images of the same class; without any, 0: [N]."""
        p = np.zeros(len(scores))
        for k in set(classes.tolist()) & set(self.value):
            p[classes == k] = self.lines[k].p_values(scores[classes == k])
        return p

    def __repr__(self):
        return f"ClassConformal(alpha={self.alpha:g})"


def any_of(first: Mask["N"], *others: Mask["N"]):
    """The OR rule: refuse what at least one threshold refuses. Returns bool [N]."""
    return np.logical_or.reduce([first, *others])


def union_bound(p_values: PValues["S N"], alphas: Numbers["S"]):
    """One p-value out of S, however they depend on each other: the smallest pᵢ · Σα / αᵢ, at most 1. Returns [N].

    The weighted Bonferroni correction. But for rounding, it agrees with :func:`any_of` over conformal thresholds.
    """
    if not (alphas > 0).all():
        raise ValueError("alphas: expected numbers > 0, got others")
    return np.minimum((p_values * (alphas.sum() / alphas)[:, None]).min(0), 1.0)


def fisher(p_values: PValues["S N"]):
    """S p-values joined into one unknownness: −Σ log pᵢ, larger = more unknown (Fisher 1932, section 21.1).

    Fisher's own test would need independent p-values: set a line on held-back images in its place. Returns float [N].
    """
    return -np.log(p_values).sum(0)


checks.guard(__name__)
