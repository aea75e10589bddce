"""How to keep score when the right answer may be "none of these".

Scores follow the library's convention: larger = more unknown.
"""

from typing import Literal, NamedTuple

import numpy as np

from osrlib import UNKNOWN, checks
from osrlib.checks import Count, Labels, Mask, NotNegative, Numbers, Share

Positive = Literal["unknown", "known"]


class OSRReport(NamedTuple):
    """The report's three accuracies, as fractions, and its confusion matrix (rows true, columns predicted)."""

    mnist: float
    ood: float
    total: float
    confusion: np.ndarray


def osr_report(true: Labels["N"], predicted: Labels["N"], unknown: Count = UNKNOWN) -> OSRReport:
    """Score a prediction with one answer more as the report does.

    true, predicted: digits 0–9 and ``UNKNOWN`` = 10, or the classes 0..K − 1 of another problem and K = ``unknown``.
    ``mnist``: the share of known images given their right class (a refused one counts as an error); ``ood``: the share
    of unknown images refused; ``total``: the share of all images answered rightly, so that a larger world weighs more.
    A share of nothing is NaN.
    """
    if (largest := max(true.max(), predicted.max())) > unknown:
        raise ValueError(f"true, predicted: expected classes in 0..{unknown}, got {largest}")
    confusion = _sklearn().confusion_matrix(true, predicted, labels=range(unknown + 1))
    right, size = confusion.diagonal(), confusion.sum(1)
    return OSRReport(
        mnist=_share(right[:unknown].sum(), size[:unknown].sum()),
        ood=_share(right[unknown], size[unknown]),
        total=_share(right.sum(), size.sum()),
        confusion=confusion,
    )


def auroc(known: Numbers["N"], unknown: Numbers["M"]) -> float:
    """The chance that a random unknown image scores higher than a random known one; 0.5 is a coin. Ties count half."""
    return float(_sklearn().roc_auc_score(*_positives(known, unknown)))


def aupr(known: Numbers["N"], unknown: Numbers["M"], positive: Positive = "unknown") -> float:
    """Area under the precision–recall curve (average precision), with "unknown" or "known" as the positive class.

    It depends on how many images of each there are: compare it only between equal mixtures.
    """
    truth, scores = _positives(known, unknown)
    if positive == "known":
        truth, scores = ~truth, -scores
    return float(_sklearn().average_precision_score(truth, scores))


def fpr_at_95(known: Numbers["N"], unknown: Numbers["M"], positive: Positive = "known") -> float:
    """FPR@95: errors on one kind when 95 % of the other, the positive, are treated rightly. Papers differ in which.

    positive="known" (usual in the literature on out-of-distribution detection): 95 % of known images are accepted; the
    share of unknown images that are accepted too. positive="unknown": 95 % of unknown images are refused; the share of
    known images that are refused too.
    """
    if positive == "known":
        line = np.quantile(known, 0.95, method="inverted_cdf")
        return float((unknown <= line).mean())
    line = np.quantile(-unknown, 0.95, method="inverted_cdf")
    return float((-known <= line).mean())


class OSCR(NamedTuple):
    """The open-set classification rate: correct [T] against false-positive rate [T], and the area under it."""

    false_positive_rate: np.ndarray
    correct_classification_rate: np.ndarray
    area: float


def oscr(known: Numbers["N"], correct: Mask["N"], unknown: Numbers["M"]) -> OSCR:
    """Open-set classification rate (Dhamija et al., NeurIPS 2018, section 3).

    At each line: the share of known images that are accepted *and* classified rightly, against the share of unknown
    images that are accepted. correct: was the class of a known image right. The area (trapezoidal rule) is at most the
    closed-set accuracy.
    """
    lines = np.unique(np.concatenate([known, unknown]))
    accepted_unknown = np.searchsorted(np.sort(unknown), lines, side="right") / len(unknown)
    accepted_right = np.searchsorted(np.sort(known[correct]), lines, side="right") / len(known)
    fpr, ccr = np.r_[0.0, accepted_unknown], np.r_[0.0, accepted_right]
    return OSCR(fpr, ccr, float(_sklearn().auc(fpr, ccr)))


class RiskCoverage(NamedTuple):
    """The risk [T] at each coverage [T] in ascending order, and the mean risk over all coverages."""

    coverage: np.ndarray
    risk: np.ndarray
    area: float


def risk_coverage(scores: Numbers["N"], wrong: Mask["N"]) -> RiskCoverage:
    """Risk against coverage (El-Yaniv & Wiener, JMLR 2010): accept images in the order of their scores.

    Coverage is the share accepted so far, risk the share of wrong answers among these. scores: of known and unknown
    images; wrong: True for every unknown image and every known one with a wrong digit. Images of one score are
    accepted together. The area is the mean of the risk over the N steps.
    """
    order = np.argsort(scores, kind="stable")
    last = np.append(np.diff(scores[order]) > 0, True)
    accepted = np.arange(1, len(scores) + 1)[last]
    risk = wrong[order].cumsum()[last] / accepted
    steps = np.diff(accepted, prepend=0)
    return RiskCoverage(accepted / len(scores), risk, float((risk * steps).sum() / len(scores)))


def expected_cost(
    known: Numbers["N"], unknown: Numbers["M"], lines: Numbers["L"], share_unknown: Share, ratio: NotNegative
) -> np.ndarray:
    """What a line costs an image, in false alarms: float [L].

    (1 − π) · P(score > line | known) + π · ratio · P(score ≤ line | unknown). share_unknown: π;
    ratio: how many false alarms a missed unknown is worth.
    """
    false_alarm = 1 - np.searchsorted(np.sort(known), lines, side="right") / len(known)
    missed = np.searchsorted(np.sort(unknown), lines, side="right") / len(unknown)
    return (1 - share_unknown) * false_alarm + share_unknown * ratio * missed


def openness(training: Count, testing: Count, target: Count | None = None) -> float:
    """How open a problem is, from its numbers of classes; 0 for a closed one.

    training: classes seen in training; testing: classes met in testing; target: classes to be told apart (default: the
    training classes). 1 − √(2·training / (testing + target)) (Scheirer et al., TPAMI 2013, section 2); with the default
    it is the form without target, 1 − √(2·training / (testing + training)) (Geng et al., TPAMI 2021, section 2).
    """
    target = training if target is None else target
    training, testing, target = int(training), int(testing), int(target)  # numpy's short integers would overflow
    if testing < max(training, target):
        raise ValueError(f"testing: expected at least the {max(training, target)} known classes, got {testing}")
    return float(1 - np.sqrt(2 * training / (target + testing)))


def macro_f1(true: Labels["N"], predicted: Labels["N"]) -> float:
    """The unweighted mean of the F1 of the classes that occur in ``true``, the unknown class among them (K + 1).

    true, predicted: digits 0–9 and ``UNKNOWN`` = 10, or other classes and their number. In [0, 1].
    """
    return float(_sklearn().f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0))


def _sklearn():
    from sklearn import metrics  # half a second: only for those who need it

    return metrics


def _share(part, whole):
    return float(part / whole) if whole else float("nan")


def _positives(known, unknown):
    truth = np.r_[np.zeros(len(known), bool), np.ones(len(unknown), bool)]
    return truth, np.r_[known, unknown]


checks.guard(__name__)
