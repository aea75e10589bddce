"""What a threshold promises, what was paid, and how to notice that the promise no longer holds.

Everything here follows from one assumption: calibration images and new known images are exchangeable.
"""

import numpy as np
import scipy
from jaxtyping import Bool

from osrlib import checks
from osrlib.checks import Count, Numbers, PartShare, PValues, Seed, whole_number


def price_interval(n: Count, alpha: PartShare, level: PartShare = 0.95) -> tuple:
    """Between which shares the price of one calibration lies, with probability ``level``: (low, high).

    The promise of :class:`osrlib.thresholds.Conformal` is kept on average over calibrations. Of one line, drawn from n
    images, the true price follows a Beta distribution (Vovk, Machine Learning 2013, section 3, for scores without
    ties).
    """
    price = _price(n, alpha)
    return float(price.ppf((1 - level) / 2)), float(price.ppf((1 + level) / 2))


def share_interval(count: whole_number(0), n: Count, level: PartShare = 0.95) -> tuple:
    """The interval of Clopper & Pearson (Biometrika 1934) for a share of which count in n were seen: (low, high)."""
    if count > n:
        raise ValueError(f"count: expected at most n = {n}, got {count}")
    tail = (1 - level) / 2
    low = scipy.stats.beta.ppf(tail, count, n - count + 1) if count else 0.0
    high = scipy.stats.beta.ppf(1 - tail, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def most_refused(n: Count, alpha: PartShare, window: Count, chance: PartShare = 0.01) -> int:
    """How many of the next ``window`` known images a line refuses at most, but for a chance of this size.

    The line was drawn from n images. More than that is an alarm: either the chance has come, or the images are no
    longer like those. The number follows a beta-binomial distribution, whose Beta part is the price of one calibration.
    """
    return int(scipy.stats.betabinom(window, *_price(n, alpha).args).isf(chance))


def _price(n, alpha):
    """The distribution of the true price of a line that leaves the largest of n scores beyond it."""
    beyond = n + 1 - max(1, int(np.ceil((n + 1) * (1 - alpha) - 1e-9)))
    if beyond < 1:
        raise ValueError(f"n: expected at least {int(np.ceil(1 / alpha - 1))} for alpha = {alpha:g}, got {n}")
    return scipy.stats.beta(beyond, n + 1 - beyond)


class Martingale:
    """An alarm over a stream of scores, which is false with a chance of at most 1 / 20 however long it runs.

    Each new score gets a p-value among all scores so far, calibration and stream (ties broken at random). If all are
    exchangeable, these p-values are independent and even (Vovk, Gammerman & Shafer 2005, section 2.8). The wealth bets
    that they are small: it grows by ε p^(ε − 1), in the mean over several ε. A gambler without an edge multiplies his
    stake by c with a chance of at most 1 / c (Ville's inequality): wealth ≥ 20 is the alarm.

    calibration: scores that the stream is to be like; seed: of the ties.
    """

    EPSILON = np.linspace(0.1, 0.9, 9)

    def __init__(self, calibration: Numbers["N"], seed: Seed = 0):
        self.seen, self.random = np.sort(calibration.astype(np.float64)), np.random.default_rng(int(seed))
        self.logs = np.zeros(len(self.EPSILON))

    def watch(self, scores: Numbers["N"]) -> np.ndarray:
        """The wealth after each of these scores, in the order in which they came: float [N]."""
        wealth = []
        for score in scores.astype(np.float64):
            below, upto = np.searchsorted(self.seen, score, "left"), np.searchsorted(self.seen, score, "right")
            p = (len(self.seen) - upto + self.random.random() * (upto - below + 1)) / (len(self.seen) + 1)
            self.logs += np.log(self.EPSILON) + (self.EPSILON - 1) * np.log(p)
            self.seen = np.insert(self.seen, upto, score)
            wealth.append(np.exp(np.minimum(self.logs, 700)).mean())
        return np.array(wealth)


def discoveries(p_values: PValues["N"], share: PartShare = 0.1) -> Bool[np.ndarray, "N"]:
    """Which images to call unknown, so that among those at most this share is known, on average: bool [N].

    The procedure of Benjamini & Hochberg (1995): the k smallest p-values, for the largest k whose k-th is at most
    share · k / N. Conformal p-values that share one calibration depend on each other, but in a way that keeps the
    promise (Bates et al., Annals of Statistics 2023, theorem 2).
    """
    order = np.argsort(p_values, kind="stable")
    passed = p_values[order] <= share * np.arange(1, len(order) + 1) / len(order)
    called = np.zeros(len(order), bool)
    called[order[: np.flatnonzero(passed)[-1] + 1 if passed.any() else 0]] = True
    return called


checks.guard(__name__)
