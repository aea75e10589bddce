"""Metrics against their definitions, counted out."""

import numpy as np
import pytest

from osrlib import UNKNOWN, metrics


def numbers(*values):
    return np.array(values, dtype=float)


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
    assert (report.mnist, report.ood, report.total) == (0.9624, 0.95415, 28_707 / 30_000)
    assert report.confusion[0, UNKNOWN] == 376 and report.confusion[UNKNOWN, 1] == 917


def test_a_share_of_nothing():
    with np.errstate(all="raise"):  # it is said, not divided out
        report = metrics.osr_report(np.array([1, 2]), np.array([1, 3]))
        only = metrics.osr_report(np.array([10, 10]), np.array([10, 3]))
    assert report.mnist == 0.5 and np.isnan(report.ood) and report.total == 0.5
    assert np.isnan(only.mnist) and only.ood == only.total == 0.5


@pytest.mark.parametrize("unknown", [1, 3, 26])
def test_any_number_of_classes(unknown):
    true, predicted = np.tile(np.arange(unknown + 1), 3), np.tile(np.arange(unknown + 1), 3)
    predicted[0] = unknown
    report = metrics.osr_report(true, predicted, unknown)
    assert report.confusion.shape == (unknown + 1,) * 2 and report.ood == 1
    assert report.mnist == pytest.approx((3 * unknown - 1) / (3 * unknown))
    for pair in ((true + 1, predicted), (true, predicted + 1)):
        with pytest.raises(ValueError, match="true, predicted: expected classes in"):
            metrics.osr_report(*pair, unknown)


def test_auroc_counts_pairs(drawn):
    known, unknown, _ = drawn
    pairs = [(u > k) + 0.5 * (u == k) for u in unknown for k in known]
    assert metrics.auroc(known, unknown) == pytest.approx(np.mean(pairs))


def test_aupr_by_hand():
    known, unknown = numbers(0.1, 0.5), numbers(0.4, 0.9)
    assert metrics.aupr(known, unknown) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.aupr(known, numbers(0.6)) == 1
    assert metrics.aupr(known, numbers(0.4), positive="known") == pytest.approx((1 + 2 / 3) / 2)


def test_fpr_at_95_by_brute_force(drawn):
    known, unknown, _ = drawn
    lines = np.unique(np.r_[known, unknown])
    first = min(line for line in lines if (known <= line).mean() >= 0.95)
    last = max(line for line in lines if (unknown >= line).mean() >= 0.95)
    assert metrics.fpr_at_95(known, unknown) == (unknown <= first).mean()
    assert metrics.fpr_at_95(known, unknown, "unknown") == (known >= last).mean()
    twenty = np.arange(20.0)  # 19 of 20 are 95 %: the line lies at 18
    assert metrics.fpr_at_95(twenty, numbers(18, 18.5)) == 0.5
    assert metrics.fpr_at_95(numbers(1, 0.5), twenty, "unknown") == 0.5


def test_oscr_by_brute_force(drawn):
    known, unknown, correct = drawn
    curve = metrics.oscr(known, correct, unknown)
    lines = np.unique(np.r_[known, unknown])
    assert curve.false_positive_rate.tolist() == [0, *((unknown <= line).mean() for line in lines)]
    assert curve.correct_classification_rate.tolist() == [0, *(((known <= line) & correct).mean() for line in lines)]
    everything_right = np.ones(len(known), bool)
    assert metrics.oscr(known, everything_right, unknown).area == pytest.approx(metrics.auroc(known, unknown))
    assert metrics.oscr(numbers(0, 0), np.array([True, False]), numbers(1)).area == 0.5


def test_risk_coverage_by_hand():
    curve = metrics.risk_coverage(numbers(0.1, 0.3, 0.2, 0.9), np.array([False, True, False, True]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1] and curve.risk.tolist() == [0, 0, 1 / 3, 0.5]
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)
    tied = metrics.risk_coverage(numbers(1, 1, 2), np.array([True, False, False]))
    assert tied.coverage.tolist() == [2 / 3, 1] and tied.risk.tolist() == [0.5, 1 / 3]
    assert tied.area == pytest.approx((2 * 0.5 + 1 / 3) / 3)


def test_expected_cost_by_hand():
    # at 2: half of the known are refused; one of four unknown is accepted, and is worth ten false alarms
    cost = metrics.expected_cost(numbers(1, 3), numbers(2, 3, 4, 5), numbers(2, 9), share_unknown=0.2, ratio=10)
    assert cost.tolist() == pytest.approx([0.8 * 0.5 + 0.2 * 10 * 0.25, 2.0])
    tied = metrics.expected_cost(numbers(1, 2, 3), numbers(2, 4), numbers(2), share_unknown=0.5, ratio=1)
    assert tied.tolist() == pytest.approx([0.5 / 3 + 0.5 / 2])


def test_openness():
    assert metrics.openness(6, 10) == metrics.openness(6, 10, target=6) == pytest.approx(1 - np.sqrt(12 / 16))
    assert metrics.openness(6, 10, target=10) == pytest.approx(1 - np.sqrt(12 / 20))
    assert metrics.openness(5, 5) == 0
    assert metrics.openness(np.uint8(100), np.uint8(200)) == metrics.openness(100, 200)
    for wrong in ((6, 5), (5, 5, 6)):
        with pytest.raises(ValueError, match="testing: expected at least the 6"):
            metrics.openness(*wrong)


def test_macro_f1_by_hand():
    assert metrics.macro_f1(np.array([0, 1, 10]), np.array([0, 1, 10])) == 1
    # class 0: precision 1/2, recall 1; class 10: recall 1/2, precision 1
    assert metrics.macro_f1(np.array([0, 10, 10]), np.array([0, 0, 10])) == pytest.approx(2 / 3)
    # class 2 is answered and does not occur: it has no F1; class 3 occurs and is never answered: an F1 of 0
    assert metrics.macro_f1(np.array([0, 0, 3]), np.array([0, 2, 0])) == pytest.approx((0.5 + 0) / 2)
