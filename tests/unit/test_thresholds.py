"""Thresholds: where the line lies, what it promises, and how refusals are joined."""

import numpy as np
import pytest
from scipy.stats import chi2, combine_pvalues, genpareto

from osrlib import thresholds
from osrlib.thresholds import ClassConformal, Conformal, MeanStd, Quantile, Tail, TailModel, TwoTail

NORMAL = np.random.default_rng(0).normal(size=1000)


def numbers(*values):
    return np.array(values, dtype=float)


def test_mean_std_by_hand():
    line = MeanStd(2).fit(numbers(1, 3))
    assert line.value == 4 and line.reject(numbers(3.9, 4.0, 4.1)).tolist() == [False, False, True]


def test_quantile_takes_one_of_the_scores():
    values = [Quantile(q).fit(np.arange(10.0)).value for q in (0, 0.1, 0.11, 0.5, 0.9, 0.95, 1)]
    assert values == [0, 0, 1, 4, 8, 9, 9]


def test_conformal_by_hand():
    ranks = [Conformal(alpha).fit(np.arange(1.0, 100)).value for alpha in (0.01, 0.05, 0.1, 0.109, 0.111, 0.5)]
    assert ranks == [99, 95, 90, 90, 89, 50]
    assert Conformal(0.95).fit(np.arange(1.0, 11)).value == 1  # never below the first: rank 0 is no place
    line = Conformal(0.25).fit(numbers(1, 2, 2, 5))
    assert (line.value, line.reject(numbers(5, 5.1)).tolist()) == (5, [False, True])
    p_values = line.p_values(numbers(0, 1, 1.5, 2, 3, 5, 6)).tolist()
    assert p_values == pytest.approx([1, 1, 0.8, 0.8, 0.4, 0.4, 0.2])


@pytest.mark.parametrize("alpha, needs", [(0.1, 9), (0.05, 19), (0.002, 499), (0.008, 124), (0.9, 1), (0.3, 3)])
def test_conformal_needs_enough_images(alpha, needs):
    assert Conformal(alpha).needs == needs and MeanStd().needs == 1
    assert Conformal(alpha).fit(np.arange(float(needs))).value == needs - 1
    if needs > 1:
        with pytest.raises(ValueError, match=f"scores: expected at least {needs}"):
            Conformal(alpha).fit(np.arange(needs - 1.0))


def test_conformal_keeps_its_promise_for_any_distribution():
    random = np.random.default_rng(0)
    for draw in (random.normal, random.standard_cauchy, random.exponential):
        refused = [Conformal(0.1).fit(draw(size=40)).reject(draw(size=200)).mean() for _ in range(400)]
        assert 0.085 < np.mean(refused) <= 0.107


@pytest.mark.parametrize("line", [MeanStd(), Quantile(), Tail(), Conformal(), TwoTail(), ClassConformal()], ids=repr)
def test_nothing_is_refused_before_a_fit_and_then_what_is_larger(line):
    classes = [np.zeros(1000, int)] if isinstance(line, ClassConformal) else []
    questions = [lambda: line.value, lambda: line.reject(NORMAL, *classes)]
    if hasattr(line, "p_values"):
        questions.append(lambda: line.p_values(NORMAL, *classes))
    for question in questions:
        with pytest.raises(ValueError, match="expected fit"):
            question()
    assert line.fit(NORMAL, *(classes or [NORMAL + 5] * isinstance(line, TwoTail))) is line
    value = line.value[0] if classes else line.value
    assert isinstance(value, float) and (line.reject(NORMAL, *classes) == (value < NORMAL)).all()


def test_defaults():
    told = list(map(repr, [MeanStd(), Quantile(), Conformal(), ClassConformal(), Tail(), TwoTail()]))
    assert told == [
        "MeanStd(k=2)", "Quantile(q=0.95)", "Conformal(alpha=0.05)", "ClassConformal(alpha=0.05)",
        "Tail(alpha=0.05, share=0.1)", "TwoTail(unknown=0.5, share=0.1)",
    ]  # fmt: skip
    assert TailModel(NORMAL).start == np.quantile(NORMAL, 0.9)
    assert Tail().fit(NORMAL).value == TailModel(NORMAL).line(0.05)


def test_a_tail_by_hand():
    # 30 scores tie at u = 5: they are not above it, and exactly twenty different ones are
    values = np.r_[np.zeros(50), np.full(30, 5.0), 5 + np.arange(1.0, 21)]
    tail = TailModel(values, 0.4)
    assert (tail.start, tail.mass) == (5, 0.2)
    assert tail.beyond(numbers(-1, 0, 2, 5)).tolist() == pytest.approx([1, 0.5, 0.5, 0.2])
    assert tail.line(0.2) == tail.line(1) == 5
    assert tail.beyond(numbers(tail.line(0.05)))[0] == pytest.approx(0.05)
    with pytest.raises(ValueError, match="at least 20"):
        TailModel(values[:-1], 0.4)
    assert Tail(0.05).fit(np.r_[np.zeros(800), np.ones(160), np.linspace(2, 3, 40)]).value == 1
    assert Tail(0.2, 0.2).share == 0.2
    with pytest.raises(ValueError, match="alpha: expected at most"):
        Tail(0.21, 0.2)


def test_a_tail_that_is_known():
    line = Tail(0.001, share=0.1).fit(genpareto.rvs(0.2, scale=2.0, size=50_000, random_state=0))
    assert line.value == pytest.approx(genpareto.isf(0.001, 0.2, scale=2.0), rel=0.05)
    assert line.tail.shape == pytest.approx(0.2, abs=0.05)
    drawn = np.random.default_rng(0).exponential(size=20_000)
    np.testing.assert_allclose(TailModel(drawn).beyond(numbers(4, 6)), np.exp([-4, -6]), rtol=0.25)


def test_two_tails_meet_where_both_cost_the_same():
    random = np.random.default_rng(0)
    match, nonmatch = random.normal(0, 1, 20_000), random.normal(4, 1, 20_000)
    line, few = TwoTail().fit(match, nonmatch), TwoTail(unknown=0.05).fit(match, nonmatch)
    assert line.value == pytest.approx(2, abs=0.1)
    assert few.value > line.value + 0.3  # who expects few unknown images draws the line further out
    lines = np.linspace(1, 3, 101)
    assert line.cost(lines).min() >= line.cost(numbers(line.value))[0] - 1e-9
    np.testing.assert_allclose(few.cost(lines), 0.95 * few.match.beyond(lines) + 0.05 * few.nonmatch.beyond(-lines))


def test_two_tails_with_a_gap_and_with_their_shares():
    random = np.random.default_rng(0)
    assert TwoTail().fit(random.uniform(0, 1, 5000), random.uniform(9, 10, 5000)).value == pytest.approx(5, abs=0.3)
    match, nonmatch = random.gamma(2, 1, 500), random.gamma(9, 1, 400)
    line = TwoTail(share=0.2).fit(match, nonmatch)
    starts = line.match.start, -line.nonmatch.start
    assert starts == pytest.approx((np.quantile(match, 0.8), np.quantile(nonmatch, 0.2)))
    for wrong in (match, match - 1):
        with pytest.raises(ValueError, match="match: expected errors smaller"):
            line.fit(match, wrong)


def test_a_refused_refit_leaves_the_fit_before():
    line = Tail(1e-300).fit(np.random.default_rng(0).uniform(size=2000))  # a tail that ends
    value, tail = line.value, line.tail
    with pytest.raises(ValueError, match="line at inf"):
        line.fit(1 / np.random.default_rng(0).uniform(size=2000) ** 9)  # so heavy that its line is nowhere
    assert line.value == value and line.tail is tail
    several = ClassConformal(0.1).fit(np.arange(12.0), np.zeros(12, int))
    before = several.value
    with pytest.raises(ValueError, match="at least 9"):
        several.fit(np.arange(12.0), np.repeat([0, 1], [10, 2]))
    assert several.value == before


def test_a_line_for_each_class_keeps_its_promise_in_each():
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 6000)
    values = random.normal(size=6000) * (1 + 5 * classes)  # one class is spread far wider than another
    half = random.permutation(6000) < 3000
    refused = ClassConformal(0.05).fit(values[half], classes[half]).reject(values[~half], classes[~half])
    together = Conformal(0.05).fit(values[half]).reject(values[~half])
    each, all_in_one = ([mask[classes[~half] == k].mean() for k in range(3)] for mask in (refused, together))
    assert min(each) > 0.03 and max(each) < 0.07 and min(all_in_one) < 0.01 and max(all_in_one) > 0.1


def test_an_image_of_a_class_without_calibration_images_is_refused():
    line = ClassConformal(0.1).fit(np.arange(12.0), np.zeros(12, int))
    assert line.reject(numbers(-1e300, -1e300), np.array([0, 3])).tolist() == [False, True]
    assert line.p_values(numbers(0, 0), np.array([0, 3])).tolist() == [1, 0]


def test_the_union_bound_by_hand():
    p_values = np.array([[0.1, 0.5, 0.9], [0.02, 0.5, 0.9]])
    joined = thresholds.union_bound(p_values, numbers(0.08, 0.02))
    assert joined.tolist() == pytest.approx([0.1, 0.625, 1])
    for wrong in (numbers(0.1, 0), numbers(0.1, -0.1)):
        with pytest.raises(ValueError, match="alphas: expected"):
            thresholds.union_bound(p_values, wrong)


def test_fisher_adds_logarithms():
    p = np.random.default_rng(0).uniform(size=(2, 50))
    joined, oracle = thresholds.fisher(p), [combine_pvalues(pair, method="fisher") for pair in p.T]
    np.testing.assert_allclose(2 * joined, [one.statistic for one in oracle])
    np.testing.assert_allclose(chi2.sf(2 * joined, 4), [one.pvalue for one in oracle])
