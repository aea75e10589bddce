"""How to keep score when the right answer may be "none of these".

Scores follow the library's convention: larger = more unknown. ValueError for empty, non-finite or ill-shaped input.
"""

from typing import NamedTuple

import numpy as np

from osrlib import UNKNOWN, _validate


class OSRReport(NamedTuple):
    """The report's three accuracies, as fractions, and its confusion matrix (rows true, columns predicted)."""

    mnist: float
    ood: float
    total: float
    confusion: np.ndarray


def osr_report(true, predicted):
    """Score an eleven-class prediction as the report does.

    true, predicted: int [N] with digits 0–9 and ``UNKNOWN`` = 10. ``mnist``: the share of digits given their right
    digit (a refused digit counts as an error); ``ood``: the share of unknown images refused; ``total``: the share of
    all images answered rightly, so that a larger world weighs more. A share of nothing is NaN.
    """
    true = _validate.labels(true, "true", high=UNKNOWN)
    predicted = _validate.labels(predicted, "predicted", high=UNKNOWN, size=len(true))
    confusion = _sklearn().confusion_matrix(true, predicted, labels=range(UNKNOWN + 1))
    right, size = confusion.diagonal(), confusion.sum(1)
    return OSRReport(
        mnist=_share(right[:UNKNOWN].sum(), size[:UNKNOWN].sum()),
        ood=_share(right[UNKNOWN], size[UNKNOWN]),
        total=_share(right.sum(), size.sum()),
        confusion=confusion,
    )


def auroc(known, unknown):
    """The chance that a random unknown image scores higher than a random known one; 0.5 is a coin.

    known [N], unknown [M]: scores. Ties count half.
    """
    return float(_sklearn().roc_auc_score(*_positives(known, unknown)))


def aupr(known, unknown, positive="unknown"):
    """Area under the precision–recall curve (average precision), with "unknown" or "known" as the positive class.

    It depends on how many images of each there are: compare it only between equal mixtures.
    """
    truth, scores = _positives(known, unknown)
    if _validate.choice(positive, "positive", ("unknown", "known")) == "known":
        truth, scores = ~truth, -scores
    return float(_sklearn().average_precision_score(truth, scores))


def fpr_at_95(known, unknown, positive="known"):
    """FPR@95: errors on one kind when 95 % of the other, the positive, are treated rightly. Papers differ in which.

    positive="known" (usual in the literature on out-of-distribution detection): 95 % of known images are accepted; the
    share of unknown images that are accepted too. positive="unknown": 95 % of unknown images are refused; the share of
    known images that are refused too.
    """
    known, unknown = _validate.scores(known, "known"), _validate.scores(unknown, "unknown")
    if _validate.choice(positive, "positive", ("unknown", "known")) == "known":
        line = np.quantile(known, 0.95, method="inverted_cdf")
        return float((unknown <= line).mean())
    line = np.quantile(-unknown, 0.95, method="inverted_cdf")
    return float((-known <= line).mean())


class OSCR(NamedTuple):
    """The open-set classification rate: correct [T] against false-positive rate [T], and the area under it."""

    false_positive_rate: np.ndarray
    correct_classification_rate: np.ndarray
    area: float


def oscr(known, correct, unknown):
    """Open-set classification rate (Dhamija et al., NeurIPS 2018, section 3).

    At each line: the share of known images that are accepted *and* classified rightly, against the share of unknown
    images that are accepted. known [N]: scores; correct bool [N]: was the digit right; unknown [M]: scores. The area
    (trapezoidal rule) is at most the closed-set accuracy.
    """
    known, unknown = _validate.scores(known, "known"), _validate.scores(unknown, "unknown")
    correct = _validate.mask(correct, "correct")
    if len(correct) != len(known):
        raise ValueError(f"correct: expected {len(known)} entries, one a known image, got {len(correct)}")
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


def risk_coverage(scores, wrong):
    """Risk against coverage (El-Yaniv & Wiener, JMLR 2010): accept images in the order of their scores.

    Coverage is the share accepted so far, risk the share of wrong answers among these. scores [N]: of known and unknown
    images; wrong bool [N]: True for every unknown image and every known one with a wrong digit. Images of one score are
    accepted together. The area is the mean of the risk over the N steps.
    """
    scores = _validate.scores(scores)
    wrong = _validate.mask(wrong, "wrong")
    if len(wrong) != len(scores):
        raise ValueError(f"wrong: expected {len(scores)} entries, one a score, got {len(wrong)}")
    order = np.argsort(scores, kind="stable")
    last = np.append(np.diff(scores[order]) > 0, True)
    accepted = np.arange(1, len(scores) + 1)[last]
    risk = wrong[order].cumsum()[last] / accepted
    steps = np.diff(accepted, prepend=0)
    return RiskCoverage(accepted / len(scores), risk, float((risk * steps).sum() / len(scores)))


def expected_cost(known, unknown, lines, share_unknown, ratio):
    """What a line costs an image, in false alarms, at each line [M].

    (1 − π) · P(score > line | known) + π · ratio · P(score ≤ line | unknown). known [N], unknown [M]: scores;
    share_unknown: π, in [0, 1]; ratio ≥ 0: how many false alarms a missed unknown is worth.
    """
    known, unknown = _validate.scores(known, "known"), _validate.scores(unknown, "unknown")
    lines = _validate.scores(lines, "lines")
    share = _validate.number(share_unknown, "share_unknown", 0, 1)
    ratio = _validate.number(ratio, "ratio", 0)
    false_alarm = 1 - np.searchsorted(np.sort(known), lines, side="right") / len(known)
    missed = np.searchsorted(np.sort(unknown), lines, side="right") / len(unknown)
    return (1 - share) * false_alarm + share * ratio * missed


def openness(training, testing, target=None):
    """How open a problem is, from its numbers of classes; 0 for a closed one.

    training: classes seen in training; testing: classes met in testing; target: classes to be told apart (default: the
    training classes). 1 − √(2·training / (testing + target)) (Scheirer et al., TPAMI 2013, section 2); with the default
    it is the form without target, 1 − √(2·training / (testing + training)) (Geng et al., TPAMI 2021, section 2).
    """
    target = training if target is None else target
    counts = {"training": training, "testing": testing, "target": target}
    training, testing, target = (_validate.whole(value, name, 1) for name, value in counts.items())
    if testing < max(training, target):
        raise ValueError(f"testing: expected at least the {max(training, target)} known classes, got {testing}")
    return float(1 - np.sqrt(2 * training / (target + testing)))


def macro_f1(true, predicted):
    """The unweighted mean of the F1 of the classes that occur in ``true``, the unknown class among them (K + 1).

    true, predicted: int [N] with digits 0–9 and ``UNKNOWN`` = 10. In [0, 1].
    """
    true = _validate.labels(true, "true", high=UNKNOWN)
    predicted = _validate.labels(predicted, "predicted", high=UNKNOWN, size=len(true))
    return float(_sklearn().f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0))


def _sklearn():
    from sklearn import metrics  # half a second: only for those who need it

    return metrics


def _share(part, whole):
    return float(part / whole) if whole else float("nan")


def _positives(known, unknown):
    known, unknown = _validate.scores(known, "known"), _validate.scores(unknown, "unknown")
    truth = np.r_[np.zeros(len(known), bool), np.ones(len(unknown), bool)]
    return truth, np.r_[known, unknown]
