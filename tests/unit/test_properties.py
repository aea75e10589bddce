"""What must hold for any input: invariants of the public functions over drawn examples.

The examples are the same in each run. ``pytest tests/unit/test_properties.py --hypothesis-profile=wild`` draws new
ones, and many more.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from osrlib import UNKNOWN, losses, metrics, scores, thresholds, training
from osrlib.detector import OpenSetClassifier
from osrlib.gram import GramDeviation
from osrlib.output import Output, infer
from osrlib.scores import KNN, Mahalanobis, PCAResidual, ViM

numbers = st.floats(-1e6, 1e6, width=32)
few = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def vectors(size, elements=numbers):
    """Arrays [N] of one length, or of any in 1..40."""
    return arrays(np.float64, size if isinstance(size, int) else st.tuples(size), elements=elements)


@st.composite
def outputs(draw, known=False):
    """What a network could say of 2 to 12 images (known: 60), with every part."""
    n, random = 60 if known else draw(st.integers(2, 12)), np.random.default_rng(draw(seeds))
    spread = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = random.normal(0, spread, (n, 3))
    if known:  # each class is named often enough to have bounds
        logits[np.arange(n), np.arange(n) % 3] += 10 * spread
    images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8) * (random.random((n, 1, 1)) < 0.9).astype(np.uint8)
    return Output(
        logits, random.gamma(1, spread, (n, 6)), random.random((n, 28, 28)), images, random.gamma(1, 1, (n, 3))
    )


WEIGHT, BIAS = np.random.default_rng(1).normal(size=(3, 6)), np.arange(3.0)
SCORES = {
    "norm": lambda known: scores.norm,
    "relative norm": lambda known: partial(scores.norm, relative=True),
    "diff": lambda known: scores.diff,
    "msp": lambda known: scores.msp,
    "max_logit": lambda known: scores.max_logit,
    "energy": lambda known: scores.energy,
    "class_error": lambda known: scores.class_error,
    "relative class_error": lambda known: partial(scores.class_error, relative=True),
    "style": lambda known: scores.style,
    "gram deviation": lambda known: GramDeviation(known, np.array([0, 0, 1, 1, 1, 2])),
    "Mahalanobis": lambda known: Mahalanobis(known, known.guess),
    "KNN": KNN,
    "KNN in class": lambda known: KNN(known, 2, 0.5, known.guess),
    "Gaussian": lambda known: scores.Gaussian(known, known.guess),
    "RelativeMahalanobis": lambda known: scores.RelativeMahalanobis(known, known.guess),
    "WeightedSum": lambda known: scores.WeightedSum({"kNN": (KNN(known, 2), 1), "energy": (scores.energy, 0.5)}, known),
    "PCAResidual": lambda known: PCAResidual(known, 9),
    "ViM": lambda known: ViM(known, WEIGHT, BIAS, 3),
    "OpenMax": lambda known: scores.OpenMax(known, known.guess),
    "gen": lambda known: scores.gen,
    "SHE": lambda known: scores.SHE(known, known.guess),
    "NNGuide": scores.NNGuide,
    "FDBD": lambda known: scores.FDBD(known, WEIGHT),
    "ReAct": lambda known: scores.ReAct(known, WEIGHT, BIAS),
    "ASH": lambda known: scores.ASH(WEIGHT, BIAS, 0.5),
    "ASH, pruned only": lambda known: scores.ASH(WEIGHT, BIAS, 0.5, "P"),
    "DICE": lambda known: scores.DICE(known, WEIGHT, BIAS),
}


@pytest.mark.parametrize("name", SCORES)
@given(known=outputs(known=True), output=outputs(), seed=seeds)
def test_an_image_is_scored_by_itself(name, known, output, seed):
    random, score = np.random.default_rng(seed), SCORES[name](known)
    values = score(output)
    assert values.shape == (len(output),) and values.dtype == np.float32 and np.isfinite(values).all()
    order, cut = random.permutation(len(values)), random.integers(1, len(values))
    np.testing.assert_allclose(score(output[order]), values[order], rtol=2e-4, atol=1e-4)
    pieces = np.concatenate([score(output[:cut]), score(output[cut:])])
    np.testing.assert_allclose(pieces, values, rtol=2e-4, atol=1e-4)


LINES = {
    "MeanStd": lambda loose: thresholds.MeanStd(5 * loose),
    "Quantile": thresholds.Quantile,
    "Conformal": lambda loose: thresholds.Conformal(1 - loose * 0.94),
    "Tail": lambda loose: thresholds.Tail(0.5 - 0.49 * loose, 0.5),
}
"""Each from strict to loose as its argument goes from 0 to 1."""


@pytest.mark.parametrize("name", LINES)
@given(seeds, st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 100), st.floats(-100, 100))
def test_a_looser_line_refuses_less_and_each_moves_with_the_unit(name, seed, first, second, unit, shift):
    assume(name != "Tail" or abs(first - second) > 1e-3)
    known = np.random.default_rng(seed).gamma(2, 1, 100)
    strict, loose = (LINES[name](setting).fit(known) for setting in sorted((first, second)))
    assert strict.value <= loose.value + 1e-12 and (loose.reject(known) <= strict.reject(known)).all()
    moved = LINES[name](max(first, second)).fit(known * unit + shift)
    assert moved.value == pytest.approx(loose.value * unit + shift, rel=1e-6, abs=1e-6)


@given(vectors(few), st.floats(0, 1), st.floats(0.05, 0.95))
def test_what_quantile_and_conformal_promise(known, q, alpha):
    assert thresholds.Quantile(q).fit(known).reject(known).mean() <= 1 - q + 1e-12
    assume(len(known) >= 1 / alpha - 1)
    line = thresholds.Conformal(alpha).fit(known)
    refused, p_values = line.reject(known), line.p_values(known)
    # of n + 1 exchangeable scores, at most a share alpha lies beyond the line of the other n
    assert refused.sum() <= alpha * (len(known) + 1) + 1e-9
    np.testing.assert_allclose(p_values, [((known >= one).sum() + 1) / (len(known) + 1) for one in known])
    assert (p_values[refused] <= alpha + 1e-9).all() and (p_values[~refused] > alpha - 1e-9).all()


answers = st.integers(0, UNKNOWN)


@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=60))
def test_confusion_counts_every_image_once(pairs):
    true, predicted = np.array(pairs).T
    report = metrics.osr_report(true, predicted)
    np.testing.assert_array_equal(report.confusion.sum(1), np.bincount(true, minlength=11))
    np.testing.assert_array_equal(report.confusion.sum(0), np.bincount(predicted, minlength=11))
    assert report.total == pytest.approx((true == predicted).mean())
    known, parts = (true != UNKNOWN).mean(), np.nan_to_num([report.mnist, report.ood])
    assert report.total == pytest.approx(known * parts[0] + (1 - known) * parts[1])
    assert 0 <= metrics.macro_f1(true, predicted) <= 1 == metrics.macro_f1(true, true)


@given(vectors(few), vectors(few), seeds)
def test_ranks_alone_decide(known, unknown, seed):
    assert metrics.auroc(unknown, known) == pytest.approx(1 - metrics.auroc(known, unknown))
    ranks = np.unique(np.r_[known, unknown], return_inverse=True)[1]
    curved = np.expm1(ranks / 50)
    for metric in (metrics.auroc, metrics.aupr, metrics.fpr_at_95):
        assert 0 <= metric(known, unknown) <= 1
        assert metric(known, unknown) == pytest.approx(metric(curved[: len(known)], curved[len(known) :]))
    for metric in (metrics.aupr, metrics.fpr_at_95):  # to look for the known is to look the other way
        other = {"known": "unknown", "unknown": "known"}
        for positive in other:
            assert metric(known, unknown, positive) == pytest.approx(metric(-unknown, -known, other[positive]))
    correct = np.random.default_rng(seed).random(len(known)) < 0.8
    curve = metrics.oscr(known, correct, unknown)
    assert 0 <= curve.area <= min(correct.mean(), metrics.auroc(known, unknown)) + 1e-9
    assert curve.correct_classification_rate[-1] == pytest.approx(correct.mean()) and curve.false_positive_rate[-1] == 1


@given(batch_size=st.integers(1, 40), n=st.integers(1, 25))
def test_the_size_of_batches_does_not_matter(mtae, digits, batch_size, n):
    whole, pieces = infer(mtae, digits.images[:n]), infer(mtae, digits.images[:n], batch_size)
    for name in ("logits", "code", "reconstruction"):
        np.testing.assert_allclose(pieces.parts[name], whole.parts[name], rtol=1e-4, atol=1e-5)
    measured = training.evaluate(mtae, losses.multitask_loss, digits[:n], batch_size)
    assert measured == pytest.approx(training.evaluate(mtae, losses.multitask_loss, digits[:n], n), rel=1e-3)
    assert measured["test_accuracy"] == pytest.approx((whole.guess == digits.labels[:n]).mean())


@given(known=outputs(known=True), output=outputs(), k=st.floats(0, 3), looser=st.floats(0, 3), seed=seeds)
def test_a_classifier_decides_each_image_by_itself(mtae, known, output, k, looser, seed):
    def rule(k):
        keys = {score.__name__: (score, thresholds.MeanStd(k)) for score in (scores.norm, scores.diff, scores.msp)}
        return OpenSetClassifier(mtae, keys).fit_output(known)

    strict = rule(k)
    decision, lines = strict.decide_output(output), list(strict.lines.values())
    np.testing.assert_array_equal(decision.refused, decision.scores > lines)
    np.testing.assert_array_equal(decision.guess, output.guess)
    np.testing.assert_array_equal(decision.labels, np.where(decision.refused.any(1), 3, decision.guess))
    order = np.random.default_rng(seed).permutation(len(output))
    clear = ~np.isclose(decision.scores, lines, rtol=1e-3, atol=1e-3).any(1)[order]  # of a line, but for rounding
    np.testing.assert_array_equal(strict.decide_output(output[order]).labels[clear], decision.labels[order][clear])
    assert (rule(k + looser).decide_output(output).refused <= decision.refused).all()


@given(known=outputs(known=True), output=outputs(), alphas=st.lists(st.floats(0.02, 0.4), min_size=2, max_size=2))
def test_a_classifiers_p_values_say_what_it_refuses(mtae, known, output, alphas):
    pair = zip((scores.norm, scores.diff), alphas, strict=True)
    keys = {score.__name__: (score, thresholds.Conformal(alpha)) for score, alpha in pair}
    decision = OpenSetClassifier(mtae, keys).fit_output(known).decide_output(output)
    each, whole = ~np.isclose(decision.p_values, alphas), ~np.isclose(decision.p_value, sum(alphas))
    np.testing.assert_array_equal((decision.p_values <= alphas)[each], decision.refused[each])
    np.testing.assert_array_equal((decision.p_value <= sum(alphas))[whole], (decision.labels == 3)[whole])
