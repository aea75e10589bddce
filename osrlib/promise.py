"""What a threshold promises, what was paid, and how to notice that the promise no longer holds.

The promise itself needs calibration images and new known images to be exchangeable. What is said of one calibration,
and of shares that were counted, needs them to be independent draws as well.
"""

import numpy as np
import scipy
from jaxtyping import Bool

from osrlib import checks
from osrlib.checks import Count, Numbers, PartShare, Pixels, PValues, Seed, whole_number
from osrlib.detector import OpenSetClassifier
from osrlib.thresholds import Conformal


def price_interval(n: Count, alpha: PartShare, level: PartShare = 0.95) -> tuple:
    """Between which shares the price of one calibration lies, with probability ``level``: (low, high).

    The promise of :class:`osrlib.thresholds.Conformal` is kept on average over calibrations. Of one line, drawn from n
    images, the true price follows a Beta distribution (Vovk, Machine Learning 2013, section 3, for scores without
    ties).
    """
    price = _price(n, alpha)
    return float(price.ppf((1 - level) / 2)), float(price.ppf((1 + level) / 2))


def share_interval(count: whole_number(0), n: Count, level: PartShare = 0.95) -> tuple:
    """The interval of Clopper & Pearson (Biometrika 1934) for a share seen in ``count`` of n cases: (low, high)."""
    if count > n:
        raise ValueError(f"count: expected at most n = {n}, got {count}")
    tail = (1 - level) / 2
    low = scipy.stats.beta.ppf(tail, count, n - count + 1) if count else 0.0
    high = scipy.stats.beta.ppf(1 - tail, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def most_refused(n: Count, alpha: PartShare, window: Count, chance: PartShare = 0.01) -> int:
    """How many of the next ``window`` known images are refused at most, but for a probability of ``chance``.

    The line was drawn from n images. More refusals are an alarm: either that chance has come, or the images are no
    longer like those. The number follows a beta-binomial distribution, whose Beta part is the price of one calibration.
    This holds for one window. Windows under one line depend on each other: if its price is high, it is high in all.
    """
    return int(scipy.stats.betabinom(window, *_price(n, alpha).args).isf(chance))


def _price(n, alpha):
    """The distribution of the true price of a line that was drawn from n images."""
    line = Conformal(alpha)
    if n < line.needs:
        raise ValueError(f"n: expected at least {line.needs} for alpha = {alpha:g}, got {n}")
    return scipy.stats.beta(n + 1 - line.rank(n), line.rank(n))


class Martingale:
    """An alarm over a stream of scores, which is false with a probability of at most 1 / 20 however long it runs.

    Each new score gets a p-value among all scores so far, calibration and stream (ties broken at random). If all are
    exchangeable, these p-values are independent and uniform (Vovk, Gammerman & Shafer 2005, chapter 2). Nine gamblers,
    each with a b of his own, bet that they are small: each multiplies his wealth by b p^(b − 1). The wealth is their
    mean. A gambler without an edge multiplies his stake by c with a probability of at most 1 / c (Ville's
    inequality), so a wealth of 20 is the alarm.

    It sees scores that become larger, not smaller. While all is well the gamblers lose, so a change that comes late is
    seen late: start anew from time to time; each start may be wrong once in 20. calibration: scores that the stream is
    to be like; seed: of the ties.
    """

    BOLDNESS = np.linspace(0.1, 0.9, 9)

    def __init__(self, calibration: Numbers["N"], seed: Seed = 0):
        self.seen, self.random = np.sort(calibration.astype(np.float64)), np.random.default_rng(int(seed))
        self.logs = np.zeros(len(self.BOLDNESS))

    def watch(self, scores: Numbers["N"]) -> np.ndarray:
        """The wealth after each of these scores, in the order in which they came: float [N]."""
        wealth = []
        for score in scores.astype(np.float64):
            first, last = np.searchsorted(self.seen, score, "left"), np.searchsorted(self.seen, score, "right")
            p = (len(self.seen) - last + self.random.random() * (last - first + 1)) / (len(self.seen) + 1)
            self.logs += np.log(self.BOLDNESS) + (self.BOLDNESS - 1) * np.log(p)
            self.seen = np.insert(self.seen, last, score)
            wealth.append(np.exp(np.minimum(self.logs, 700)).mean())
        return np.array(wealth)


def discoveries(p_values: PValues["N"], share: PartShare = 0.1) -> Bool[np.ndarray, "N"]:
    """Which images to call unknown, so that of those at most this share is known, on average: bool [N].

    The procedure of Benjamini & Hochberg (1995): the k smallest p-values, for the largest k whose k-th is at most
    share · k / N. Conformal p-values of one key that share a calibration depend on each other, but in a way that keeps
    the promise (Bates et al., Annals of Statistics 2023, theorem 2). None of n calibration images makes a p-value
    smaller than 1 / (n + 1): a few unknown images among many need a large n.
    """
    order = np.argsort(p_values, kind="stable")
    allowed = share * np.arange(1, len(order) + 1) / len(order)
    passed = p_values[order] <= allowed * (1 + 1e-9)  # p-values on a grid often reach it exactly
    called = np.zeros(len(order), bool)
    called[order[: np.flatnonzero(passed)[-1] + 1 if passed.any() else 0]] = True
    return called


def card(detector: OpenSetClassifier, worlds: checks.named(Pixels["_ 28 28"])) -> str:
    """What a fitted detector promises, what it was seen to do, and what it does not promise: Markdown, to go with it.

    worlds: name → images that it is tried on, uint8 [N, 28, 28]; shares come with their interval of 95 %.
    """
    lines = [key.threshold for key in detector.keys.values()]
    if not all(isinstance(line, Conformal) for line in lines):
        raise ValueError("detector: expected conformal thresholds, which promise something, got others")
    promised = [
        (name, f"{line.alpha:.2%}", f"{n:,}", _range(price_interval(n, line.alpha)))
        for name, line in zip(detector.keys, lines, strict=True)
        if (n := len(line.calibration))
    ]
    seen = []
    for name, images in worlds.items():
        decision = detector.decide(images)
        n, refused = len(images), int((decision.labels != decision.guess).sum())
        seen.append((name, f"{n:,}", f"{refused / n:.1%}", _range(share_interval(refused, n))))
    return CARD.format(
        alpha=sum(line.alpha for line in lines),
        promised=_table(("key", "at most", "calibration images", "price of this calibration"), promised),
        seen=_table(("images", "number", "refused", "95 % interval"), seen),
    )


CARD = """# A detector that can say unknown

## Promised

Of images like those that calibrated it, at most {alpha:.2%} are refused, on average over calibrations.
Of 100 such calibrations, some 95 have a price in the last column.

{promised}

## Seen

{seen}

## Not promised

- That any share of unknown images is refused: what was seen above holds for those images.
- Anything for known images of another kind than the calibration images: other pens, cameras, people.
- That the promise still holds tomorrow: watch the scores.
"""


def _table(head, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _range(interval):
    low, high = interval
    return f"{low:.2%} to {high:.2%}"


checks.guard(__name__)
