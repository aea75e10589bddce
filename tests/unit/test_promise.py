"""Promises about promises: each is simulated, and held against its formula."""

import numpy as np
import pytest
import scipy

from osrlib import data, promise, scores
from osrlib.detector import OpenSetClassifier
from osrlib.thresholds import Conformal


@pytest.mark.parametrize("n, alpha", [(99, 0.01), (500, 0.05), (5000, 0.01)])
def test_the_price_of_one_calibration_lies_where_it_is_said(n, alpha):
    random = np.random.default_rng(0)
    lines = np.array([Conformal(alpha).fit(random.random(n)).value for _ in range(2000)])
    low, high = promise.price_interval(n, alpha, 0.9)
    prices = 1 - lines  # scores are even in (0, 1)
    assert np.quantile(prices, [0.05, 0.95]) == pytest.approx([low, high], rel=0.12, abs=1e-4)
    assert prices.mean() <= alpha + 3 * prices.std() / np.sqrt(2000)
    with pytest.raises(ValueError, match="n: expected at least"):
        promise.price_interval(5, 0.1)


@pytest.mark.parametrize("count, n", [(0, 30), (3, 30), (30, 30), (117, 10_000)])
def test_clopper_and_pearson_as_scipy_has_it(count, n):
    wanted = scipy.stats.binomtest(count, n).proportion_ci(0.95, "exact")
    assert promise.share_interval(count, n) == pytest.approx(tuple(wanted), abs=1e-12)
    with pytest.raises(ValueError, match="count: expected at most"):
        promise.share_interval(n + 1, n)


def test_a_window_raises_a_false_alarm_as_seldom_as_said_and_a_true_one():
    random, n, alpha, window = np.random.default_rng(1), 500, 0.02, 200
    most = promise.most_refused(n, alpha, window, 0.05)
    refused = [Conformal(alpha).fit(random.random(n)).reject(random.random(window)).sum() for _ in range(4000)]
    assert (np.array(refused) > most).mean() <= 0.05 + 0.01
    assert (np.array(refused) > most - 1).mean() > 0.03  # no line is drawn farther out than needed
    drifted = [Conformal(alpha).fit(random.random(n)).reject(random.random(window) ** 0.2).sum() for _ in range(50)]
    assert (np.array(drifted) > most).mean() > 0.9


def test_the_martingale_is_seldom_wrong_and_soon_right():
    random = np.random.default_rng(2)
    alarms, delays = 0, []
    for seed in range(200):
        scores = np.round(random.normal(size=1300), 1)  # with many ties
        alarms += promise.Martingale(scores[:300], seed).watch(scores[300:]).max() >= 20
    assert alarms <= 200 / 20 + 3
    for seed in range(20):
        wealth = promise.Martingale(random.normal(size=300), seed).watch(random.normal(0.7, 1, 1000))
        delays.append(np.flatnonzero(wealth >= 20)[0])
    assert np.median(delays) < 150


def test_false_discoveries_are_as_few_as_said():
    random, shares, found = np.random.default_rng(3), [], []
    for _ in range(400):
        line = Conformal(0.05).fit(random.normal(size=500))
        known, unknown = line.p_values(random.normal(size=90)), line.p_values(random.normal(4, 1, 10))
        called = promise.discoveries(np.r_[known, unknown], 0.2)
        shares.append(called[:90].sum() / max(1, called.sum()))
        found.append(called[90:].mean())
    assert np.mean(shares) <= 0.2 and np.mean(found) > 0.8
    values = random.random(50)
    wanted = scipy.stats.false_discovery_control(values) <= 0.5
    np.testing.assert_array_equal(promise.discoveries(values, 0.5), wanted)
    assert not promise.discoveries(np.ones(5), 0.1).any()


def test_the_card_says_what_is_promised_and_what_was_seen(mtae, digits):
    noise = data.load("noise").images[:50]
    detector = OpenSetClassifier(mtae, {"norm": (scores.norm, Conformal(0.05))}).fit(digits.images)
    card = promise.card(detector, {"digits": digits.images, "noise": noise})
    low, high = promise.price_interval(500, 0.05)
    assert f"| norm | 5.00% | 500 | {low:.2%} to {high:.2%} |" in card
    assert "| noise | 50 | 100.0% | 92.89% to 100.00% |" in card and "at most 5.00% are refused" in card
    with pytest.raises(ValueError, match="detector: expected conformal thresholds"):
        promise.card(OpenSetClassifier.report(mtae).fit(digits.images), {"noise": noise})
