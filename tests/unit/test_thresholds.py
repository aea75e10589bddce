"""Thresholds: where the line lies, what it promises, and how refusals are joined."""

import numpy as np
import pytest
from scipy.stats import chi2, combine_pvalues, genpareto

from osrlib import thresholds
from tests.conftest import WRONG_SCORES

EVERY = [thresholds.MeanStd(2), thresholds.Quantile(0.9), thresholds.Tail(0.05), thresholds.Conformal(0.1)]


def test_mean_std_by_hand():
    line = thresholds.MeanStd(2).fit([1, 3])
    assert line.value == 4 and line.reject([3.9, 4.0, 4.1]).tolist() == [False, False, True]


def test_quantile_refuses_at_most_its_share():
    for n in (1, 7, 100, 101):
        values = np.random.default_rng(n).normal(size=n)
        for q in (0, 0.1, 0.5, 0.95, 1):
            line = thresholds.Quantile(q).fit(values)
            assert line.value in values and line.reject(values).mean() <= 1 - q + 1e-12


def test_conformal_takes_the_right_rank():
    assert thresholds.Conformal(0.1).fit(np.arange(1, 100)).value == 90
    assert thresholds.Conformal(0.5).fit([5.0]).value == 5
    assert thresholds.Conformal(0.95).fit(np.arange(1, 11)).value == 1  # never below the first: rank 0 is no place
    with pytest.raises(ValueError, match="at least 9"):
        thresholds.Conformal(0.1).fit(np.arange(8))
    thresholds.Conformal(0.1).fit(np.arange(9))


def test_conformal_keeps_its_promise_for_any_distribution():
    random = np.random.default_rng(0)
    for draw in (random.normal, random.standard_cauchy, random.exponential):
        refused = [thresholds.Conformal(0.1).fit(draw(size=40)).reject(draw(size=200)).mean() for _ in range(400)]
        assert 0.085 < np.mean(refused) <= 0.107


def test_p_values_agree_with_the_line():
    values = np.random.default_rng(0).normal(size=199)
    new = np.random.default_rng(1).normal(size=500)
    line = thresholds.Conformal(0.05).fit(values)
    p = line.p_values(new)
    assert p.min() > 0 and p.max() <= 1
    assert ((p <= 0.05) == line.reject(new)).all()
    by_hand = [((values >= one).sum() + 1) / 200 for one in new]
    np.testing.assert_allclose(p, by_hand)


def test_tail_finds_a_known_tail():
    sample = genpareto.rvs(0.2, scale=2.0, size=50_000, random_state=0)
    line = thresholds.Tail(0.001, share=0.1).fit(sample)
    truth = genpareto.isf(0.001, 0.2, scale=2.0)
    assert line.value == pytest.approx(truth, rel=0.05)
    assert line.tail.shape == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("line", EVERY, ids=repr)
def test_every_threshold(line):
    values = np.random.default_rng(0).exponential(size=2000)
    fresh = type(line)()
    with pytest.raises(ValueError, match="expected fit"):
        fresh.reject(values)
    assert line.fit(values) is line
    assert (line.reject(values) == (values > line.value)).all()
    assert type(line).__name__ in repr(line)
    # a line follows its scores: shift and scale them, and the same images are refused
    again = type(line)(*[getattr(line, name) for name in ("k", "q", "alpha") if hasattr(line, name)])
    assert (again.fit(3 * values + 7).reject(3 * values + 7) == line.reject(values)).mean() > 0.999


@pytest.mark.parametrize("wrong", WRONG_SCORES.values(), ids=WRONG_SCORES.keys())
@pytest.mark.parametrize("line", EVERY, ids=repr)
def test_wrong_scores(line, wrong):
    with pytest.raises(ValueError, match=r"scores: expected (an array|a non-empty array|finite numbers)"):
        line.fit(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda: thresholds.MeanStd(np.nan), lambda: thresholds.MeanStd("2"), lambda: thresholds.Quantile(1.1),
        lambda: thresholds.Quantile(-0.1), lambda: thresholds.Conformal(0), lambda: thresholds.Conformal(1),
        lambda: thresholds.Conformal(1.5), lambda: thresholds.MeanStd(np.float64),
        lambda: thresholds.Tail(0.2, 0.1), lambda: thresholds.Tail(0.05, 0.9), lambda: thresholds.Tail(0),
    ],
)  # fmt: skip
def test_wrong_settings(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_a_tail_needs_something_to_fit():
    for wrong in (np.arange(50), np.r_[np.zeros(900), np.ones(100)]):
        with pytest.raises(ValueError, match="at least 20"):
            thresholds.Tail(0.05).fit(wrong)


def test_a_tail_with_ties_has_a_line():
    tied = np.r_[np.zeros(800), np.ones(160), np.linspace(2, 3, 40)]
    assert thresholds.Tail(0.05).fit(tied).value == 1
    assert np.isfinite(thresholds.Tail(0.1).fit(np.random.default_rng(0).normal(size=205)).value)


def test_any_of():
    a, b = np.array([True, False, False]), np.array([False, False, True])
    assert thresholds.any_of(a, b).tolist() == [True, False, True]
    assert thresholds.any_of(a).tolist() == a.tolist()
    for wrong in ((), (a, b[:2]), ([0, 1],), (np.zeros((2, 2), bool),)):
        with pytest.raises(ValueError, match="expected"):
            thresholds.any_of(*wrong)


def test_the_tail_model_joins_counts_and_curve():
    values = np.random.default_rng(0).exponential(size=20_000)
    tail = thresholds.TailModel(values, 0.1)
    for line in (0.1, 1.0, 2.0):
        assert tail.beyond(line) == pytest.approx((values > line).mean())
    np.testing.assert_allclose(tail.beyond([4.0, 6.0]), np.exp([-4.0, -6.0]), rtol=0.25)
    assert tail.beyond(tail.line(0.01)) == pytest.approx(0.01)
    assert tail.line(0.5) == tail.start


def test_two_tails_meet_where_both_cost_the_same():
    random = np.random.default_rng(0)
    match, nonmatch = random.normal(0, 1, 20_000), random.normal(4, 1, 20_000)
    line = thresholds.TwoTail().fit(match, nonmatch)
    assert line.value == pytest.approx(2, abs=0.1)
    assert line.reject([1.5, 2.5]).tolist() == [False, True]
    # who expects few unknown images draws the line further out
    assert thresholds.TwoTail(unknown=0.05).fit(match, nonmatch).value > line.value + 0.3
    lines = np.linspace(1, 3, 101)
    assert line.cost(lines).min() >= line.cost(line.value) - 1e-9


def test_two_tails_with_a_gap():
    random = np.random.default_rng(0)
    line = thresholds.TwoTail().fit(random.uniform(0, 1, 5000), random.uniform(9, 10, 5000))
    assert line.value == pytest.approx(5, abs=0.3)


@pytest.mark.parametrize("wrong", WRONG_SCORES.values(), ids=WRONG_SCORES.keys())
def test_two_tails_refuse(wrong):
    good = np.random.default_rng(0).normal(size=500)
    for pair in ((wrong, good), (good, wrong)):
        with pytest.raises(ValueError, match=r"expected (an array|a non-empty array|finite numbers)"):
            thresholds.TwoTail().fit(*pair)
    with pytest.raises(ValueError, match="expected"):
        thresholds.TwoTail().fit(good + 5, good)
    with pytest.raises(ValueError, match="expected fit"):
        thresholds.TwoTail().reject(good)
    with pytest.raises(ValueError, match="expected fit"):
        thresholds.TwoTail().cost(1.0)


def test_a_line_for_each_class():
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 6000)
    values = random.normal(size=6000) * (1 + 5 * classes)  # one class is spread far wider than another
    half = random.permutation(6000) < 3000
    lines = thresholds.ClassConformal(0.05).fit(values[half], classes[half])
    refused = lines.reject(values[~half], classes[~half])
    together = thresholds.Conformal(0.05).fit(values[half]).reject(values[~half])
    by_class = [[mask[classes[~half] == k].mean() for k in range(3)] for mask in (refused, together)]
    assert min(by_class[0]) > 0.03 and max(by_class[0]) < 0.07
    assert min(by_class[1]) < 0.01 and max(by_class[1]) > 0.1
    assert list(lines.value) == [0, 1, 2] and lines.value[0] < lines.value[2]
    # where there is one class, it is the other threshold
    alone = thresholds.ClassConformal(0.05).fit(values, np.zeros(6000, int))
    plain = thresholds.Conformal(0.05).fit(values)
    assert alone.value == {0: plain.value}
    refused, p_values = (answer(values, np.zeros(6000, int)) for answer in (alone.reject, alone.p_values))
    assert refused.dtype == bool and p_values.dtype == np.float64
    np.testing.assert_array_equal(alone.p_values(values, np.zeros(6000, int)), plain.p_values(values))


def test_defaults():
    told = [thresholds.MeanStd(), thresholds.Quantile(), thresholds.Conformal(), thresholds.ClassConformal()]
    told += [thresholds.Tail(), thresholds.TwoTail()]
    assert list(map(repr, told)) == [
        "MeanStd(k=2)", "Quantile(q=0.95)", "Conformal(alpha=0.05)", "ClassConformal(alpha=0.05)",
        "Tail(alpha=0.05, share=0.1)", "TwoTail(unknown=0.5, share=0.1)",
    ]  # fmt: skip
    values = np.random.default_rng(0).normal(size=1000)
    assert thresholds.TailModel(values).start == np.quantile(values, 0.9)


def test_a_tail_by_hand():
    # 30 scores tie at u = 5: they are not above it, and exactly twenty different ones are
    values = np.r_[np.zeros(50), np.full(30, 5.0), 5 + np.arange(1.0, 21)]
    tail = thresholds.TailModel(values, 0.4)
    assert (tail.start, tail.mass) == (5, 0.2)
    assert tail.beyond([-1, 0, 2, 5]).tolist() == pytest.approx([1, 0.5, 0.5, 0.2])
    assert tail.line(0.2) == tail.line(1) == 5 and tail.beyond(tail.line(0.05)) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="at least 20"):
        thresholds.TailModel(values[:-1], 0.4)


def test_both_tails_have_their_share():
    random = np.random.default_rng(0)
    match, nonmatch = random.gamma(2, 1, 500), random.gamma(9, 1, 400)
    line = thresholds.TwoTail(share=0.2).fit(match, nonmatch)
    starts = line.match.start, -line.nonmatch.start
    assert starts == pytest.approx((np.quantile(match, 0.8), np.quantile(nonmatch, 0.2)))
    with pytest.raises(ValueError, match="match: expected errors smaller"):
        line.fit(match, match)


VALUES = np.random.default_rng(0).normal(size=1000)


@pytest.mark.parametrize(
    "make, inside, outside",
    [
        (lambda x: thresholds.TailModel(VALUES, x), (0.05, 0.5), (0, 0.51, 1.2)),
        (lambda x: thresholds.TailModel(VALUES).line(x), (0.01, 1), (0, 1.5)),
        (lambda x: thresholds.Tail(1e-3, x), (0.05, 0.5), (0, 0.51, 1.2)),
        (lambda x: thresholds.Tail(x, 0.2), (0.01, 0.2), (0, 0.21)),
        (lambda x: thresholds.TwoTail(x), (0.01, 0.99), (0, 1, 1.5)),
        (lambda x: thresholds.TwoTail(0.5, x), (0.05, 0.5), (0, 0.51, 1.2)),
        (lambda x: thresholds.Quantile(x), (0, 1), (-0.1, 1.1)),
        (lambda x: thresholds.Conformal(x), (0.01, 0.99), (0, 1)),
    ],
    ids=["TailModel", "line", "Tail", "alpha of Tail", "TwoTail", "share of TwoTail", "Quantile", "Conformal"],
)
def test_ranges_of_arguments(make, inside, outside):
    for good in inside:
        make(good)
    for bad in outside:
        with pytest.raises(ValueError, match=r"(alpha|share|unknown|q): expected a number"):
            make(bad)


def test_p_values_need_a_fit():
    with pytest.raises(ValueError, match="expected fit"):
        thresholds.Conformal().p_values([1.0])


def test_lines_for_classes_refuse():
    line = thresholds.ClassConformal(0.1)
    with pytest.raises(ValueError, match="expected fit"):
        line.reject([1.0], [0])
    with pytest.raises(ValueError, match="expected 12 entries"):
        line.fit(np.arange(12.0), [0, 1])
    with pytest.raises(ValueError, match="at least 9"):
        line.fit(np.arange(12.0), [0] * 10 + [1] * 2)
    line.fit(np.arange(12.0), [0] * 12)
    with pytest.raises(ValueError, match=r"got \[3\] besides"):
        line.reject([1.0], [3])
    with pytest.raises(ValueError, match="alpha: expected"):
        thresholds.ClassConformal(1)


def test_the_union_bound_agrees_with_either():
    random = np.random.default_rng(0)
    known, new = random.normal(size=(2, 999)), random.normal(1, 1, size=(2, 500))
    alphas = 0.08, 0.02
    lines = [thresholds.Conformal(alpha).fit(values) for alpha, values in zip(alphas, known, strict=True)]
    each = [line.p_values(values) for line, values in zip(lines, new, strict=True)]
    either = thresholds.any_of(*(line.reject(values) for line, values in zip(lines, new, strict=True)))
    p = thresholds.union_bound(each, alphas)
    np.testing.assert_array_equal(p <= 0.1 + 1e-12, either)
    assert p.max() <= 1 and p.min() > 0
    for wrong in (([], []), ([[0.5]], [0.1, 0.1]), ([[0.5]], [0]), ([[0.5]], [1.5]), ([[np.nan]], [0.1])):
        with pytest.raises(ValueError, match="expected"):
            thresholds.union_bound(*wrong)


def test_fisher_adds_logarithms():
    p = np.random.default_rng(0).uniform(size=(2, 50))
    joined = thresholds.fisher(p)
    oracle = [combine_pvalues(pair, method="fisher") for pair in p.T]
    np.testing.assert_allclose(2 * joined, [one.statistic for one in oracle])
    np.testing.assert_allclose(chi2.sf(2 * joined, 4), [one.pvalue for one in oracle])
    for wrong in ([], [[0.5], [0.5, 0.5]], [[0.0]], [[1.5]], [[np.nan]]):
        with pytest.raises(ValueError, match="expected"):
            thresholds.fisher(wrong)


def test_a_refused_refit_leaves_the_fit_before():
    line = thresholds.Tail(1e-300).fit(np.random.default_rng(0).uniform(size=2000))  # a tail that ends
    value, tail = line.value, line.tail
    with pytest.raises(ValueError, match="a line at inf"):
        line.fit(1 / np.random.default_rng(0).uniform(size=2000) ** 9)  # a tail so heavy that its line is nowhere
    assert line.value == value and line.tail is tail
