"""Metrics against their definitions, counted out."""

import numpy as np
import pytest

from osrlib import UNKNOWN, metrics
from tests.conftest import WRONG_SCORES


@pytest.fixture
def drawn():
    random = np.random.default_rng(0)
    return np.round(random.normal(0, 1, 60), 1), np.round(random.normal(1, 1, 40), 1), random.random(60) < 0.9


def test_the_reports_own_matrix():
    # the diagonal and two row sums of the report, as it prints them
    true = np.r_[np.repeat(np.arange(10), 1000), np.full(20_000, UNKNOWN)]
    predicted = true.copy()
    predicted[:376] = UNKNOWN
    predicted[10_000:10_917] = 1
    report = metrics.osr_report(true, predicted)
    assert (report.mnist, report.ood) == (0.9624, 0.95415)
    assert report.total == pytest.approx(28_707 / 30_000)
    assert report.confusion.shape == (11, 11) and report.confusion.sum() == 30_000
    assert report.confusion[0, UNKNOWN] == 376 and report.confusion[UNKNOWN, 1] == 917


def test_a_share_of_nothing():
    with np.errstate(all="raise"):  # the share of nothing is said, not divided out
        report = metrics.osr_report([1, 2], [1, 3])
    assert report.mnist == 0.5 and np.isnan(report.ood) and report.total == 0.5


@pytest.mark.parametrize("metric", [metrics.osr_report, metrics.macro_f1])
def test_answers_are_digits_or_unknown_one_an_image(metric):
    for wrong in (([11], [1]), ([1], [11]), ([-1], [1]), ([1], [-1])):
        with pytest.raises(ValueError, match=r"(true|predicted): expected values in 0\.\.10"):
            metric(*wrong)
    for wrong in (([1, 2], [1]), ([1], [1, 2])):
        with pytest.raises(ValueError, match="predicted: expected"):
            metric(*wrong)


def test_macro_f1_by_hand():
    # class 2 is answered and does not occur: it has no F1; class 3 occurs and is never answered: an F1 of 0
    assert metrics.macro_f1([0, 0, 3], [0, 2, 0]) == pytest.approx((0.5 + 0) / 2)


def test_auroc_counts_pairs(drawn):
    known, unknown, _ = drawn
    pairs = [(u > k) + 0.5 * (u == k) for u in unknown for k in known]
    assert metrics.auroc(known, unknown) == pytest.approx(np.mean(pairs))
    assert metrics.auroc(unknown, known) == pytest.approx(1 - np.mean(pairs))


def test_aupr_by_hand():
    assert metrics.aupr([0.1, 0.5], [0.4, 0.9]) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.aupr([0.1, 0.5], [0.4, 0.9], positive="known") == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match="known, unknown"):
        metrics.aupr([0.1], [0.2], positive="in")


def test_fpr_at_95_by_brute_force(drawn):
    known, unknown, _ = drawn
    lines = np.unique(np.r_[known, unknown])
    first = min(line for line in lines if (known <= line).mean() >= 0.95)
    assert metrics.fpr_at_95(known, unknown) == (unknown <= first).mean()
    last = max(line for line in lines if (unknown >= line).mean() >= 0.95)
    assert metrics.fpr_at_95(known, unknown, "unknown") == (known >= last).mean()
    assert metrics.fpr_at_95([0, 1], [2, 3]) == metrics.fpr_at_95([0, 1], [2, 3], "unknown") == 0


def test_oscr_by_brute_force(drawn):
    known, unknown, correct = drawn
    curve = metrics.oscr(known, correct, unknown)
    for fpr, ccr, line in zip(
        curve.false_positive_rate[1:],
        curve.correct_classification_rate[1:],
        np.unique(np.r_[known, unknown]),
        strict=True,
    ):
        assert fpr == (unknown <= line).mean() and ccr == ((known <= line) & correct).mean()
    assert curve.correct_classification_rate[-1] == correct.mean() and 0 < curve.area <= correct.mean()
    perfect = metrics.oscr([0, 0, 0], [True, True, True], [1, 1])
    assert perfect.area == 1


def test_oscr_of_a_perfect_classifier_is_the_auroc(drawn):
    known, unknown, _ = drawn
    everything_right = np.ones(len(known), bool)
    assert metrics.oscr(known, everything_right, unknown).area == pytest.approx(metrics.auroc(known, unknown))


def test_openness_of_numpys_short_integers():
    assert metrics.openness(np.uint8(100), np.uint8(200)) == metrics.openness(100, 200)
    assert metrics.openness(np.int8(62), np.int8(100)) == metrics.openness(62, 100)


def test_openness():
    assert metrics.openness(10, 10) == 0
    assert metrics.openness(6, 10) == pytest.approx(1 - np.sqrt(12 / 16))
    assert metrics.openness(6, 10, target=6) == metrics.openness(6, 10)
    for wrong in ((0, 5), (5, 2.5), (6, 3), ("6", 10), (10, 5, 5)):
        with pytest.raises(ValueError, match="expected"):
            metrics.openness(*wrong)


def test_macro_f1():
    assert metrics.macro_f1([0, 1, 10], [0, 1, 10]) == 1
    # class 0: precision 1/2, recall 1; class 10: recall 1/2, precision 1
    assert metrics.macro_f1([0, 10, 10], [0, 0, 10]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("wrong", WRONG_SCORES.values(), ids=WRONG_SCORES.keys())
@pytest.mark.parametrize(
    "metric",
    [metrics.auroc, metrics.aupr, metrics.fpr_at_95, lambda k, u: metrics.oscr(k, np.ones(len(k), bool), u)],
    ids=["auroc", "aupr", "fpr", "oscr"],
)
def test_wrong_scores(metric, wrong):
    with pytest.raises(ValueError, match="expected"):
        metric([0.1, 0.2], wrong)


@pytest.mark.parametrize("wrong", [[], [11], [-1], [0.5], [[1]], None, ["a"]])
def test_wrong_labels(wrong):
    for metric in (metrics.osr_report, metrics.macro_f1):
        with pytest.raises(ValueError, match="expected"):
            metric(wrong, wrong)
        with pytest.raises(ValueError, match="expected"):
            metric([1, 2], wrong)


def test_oscr_wants_one_answer_a_digit():
    for wrong in ([True], [1, 0], None):
        with pytest.raises(ValueError, match="expected"):
            metrics.oscr([0.1, 0.2], wrong, [0.3])


def test_risk_coverage_by_hand():
    curve = metrics.risk_coverage([0.1, 0.3, 0.2, 0.9], np.array([False, True, False, True]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1] and curve.risk.tolist() == [0, 0, 1 / 3, 0.5]
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)
    tied = metrics.risk_coverage([1, 1, 2], np.array([True, False, False]))
    assert tied.coverage.tolist() == [2 / 3, 1] and tied.risk.tolist() == [0.5, 1 / 3]
    assert tied.area == pytest.approx((2 * 0.5 + 1 / 3) / 3)
    with pytest.raises(ValueError, match="wrong: expected 2"):
        metrics.risk_coverage([1.0, 2.0], np.array([True]))


def test_expected_cost_by_hand():
    # at 2: half of the known are refused; one of four unknown is accepted, and is worth ten false alarms
    cost = metrics.expected_cost([1, 3], [2, 3, 4, 5], [2, 9], share_unknown=0.2, ratio=10)
    assert cost.tolist() == pytest.approx([0.8 * 0.5 + 0.2 * 10 * 0.25, 2.0])
    for wrong in ({"share_unknown": 2, "ratio": 1}, {"share_unknown": 0.1, "ratio": -1}):
        with pytest.raises(ValueError, match="expected"):
            metrics.expected_cost([1.0], [2.0], [1.5], **wrong)
