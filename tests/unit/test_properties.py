"""What must hold for any input: invariants of the public functions over drawn examples.

The examples are the same in each run. ``pytest tests/test_properties.py --hypothesis-profile=wild`` draws new ones,
and many more.
"""

import copy
import json
import os
from functools import partial
from unittest import mock

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from osrlib import (
    UNKNOWN,
    claims,
    exercises,
    folder,
    fused,
    losses,
    metrics,
    models,
    plots,
    protocol,
    remember,
    scores,
    sweep,
    thresholds,
    training,
    zoo,
)
from osrlib.detector import OpenSetClassifier
from osrlib.models import Output

matplotlib.use("Agg")

numbers = st.floats(-1e6, 1e6, width=32)
"""Scores and logits as float32 has them."""
few = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def vectors(size, elements=numbers):
    """Arrays [N] of one length, or of any in 1..40."""
    return arrays(np.float64, size if isinstance(size, int) else st.tuples(size), elements=elements)


@st.composite
def outputs(draw, known=False):
    """What a network could say of 2 to 12 images (known: 60), with every field filled."""
    n, random = 60 if known else draw(st.integers(2, 12)), np.random.default_rng(draw(seeds))
    spread = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = random.normal(0, spread, (n, 3)).astype(np.float32)
    if known:  # each class is named often enough to have bounds
        logits[np.arange(n), np.arange(n) % 3] += 10 * spread
    images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8) * (random.random((n, 1, 1)) < 0.9).astype(np.uint8)
    return Output(
        logits,
        random.gamma(1, spread, (n, 6)).astype(np.float32),
        random.random((n, 28, 28), dtype=np.float32),
        images,
        random.gamma(1, 1, (n, 3)).astype(np.float32),
    )


def part(output, chosen):
    """Some images of an output."""
    return Output(*(field[chosen] for field in output))


WEIGHT, BIAS = np.random.default_rng(1).normal(size=(3, 6)), np.arange(3.0)
PLAIN = {
    "norm": scores.norm,
    "relative norm": lambda output: scores.norm(output, relative=True),
    "diff": scores.diff,
    "msp": scores.msp,
    "max_logit": scores.max_logit,
    "energy": scores.energy,
    "class_error": scores.class_error,
    "relative class_error": lambda output: scores.class_error(output, relative=True),
    "style": scores.style,
}
FITTED = {
    "gram_deviation": lambda known: scores.gram_deviation(known, [0, 0, 1, 1, 1, 2]),
    "mahalanobis": lambda known: scores.mahalanobis(known, known.logits.argmax(1)),
    "knn": scores.knn,
    "knn in class": lambda known: scores.knn(known, 2, 0.5, known.logits.argmax(1)),
    "knn_sum": lambda known: scores.knn_sum(known, known.logits.argmax(1)),
    "pca_residual": lambda known: scores.pca_residual(known, 9),
    "vim": lambda known: scores.vim(known, WEIGHT, BIAS, 3),
}


def an_image_is_scored_by_itself(score, output, random):
    values = score(output)
    assert values.shape == (len(output.images),) and values.dtype == np.float32 and np.isfinite(values).all()
    order = random.permutation(len(values))
    np.testing.assert_allclose(score(part(output, order)), values[order], rtol=2e-4, atol=1e-4)
    cut = random.integers(1, len(values))
    pieces = [score(part(output, slice(None, cut))), score(part(output, slice(cut, None)))]
    np.testing.assert_allclose(np.concatenate(pieces), values, rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
@given(output=outputs(), seed=seeds)
def test_a_score_depends_on_neither_order_nor_batches(name, output, seed):
    an_image_is_scored_by_itself(PLAIN[name], output, np.random.default_rng(seed))


@pytest.mark.parametrize("name", FITTED)
@given(known=outputs(known=True), output=outputs(), seed=seeds)
def test_a_fitted_score_depends_on_neither_order_nor_batches(name, known, output, seed):
    an_image_is_scored_by_itself(FITTED[name](known), output, np.random.default_rng(seed))


@pytest.mark.parametrize("dtype", [np.float16, np.int16])
@given(known=outputs(known=True), output=outputs())
def test_narrow_numbers_are_scored_as_wide_ones(dtype, known, output):
    def narrowed(one):  # the images stay; half precision has no room for their sums
        fields = {name: getattr(one, name) * scale for name, scale in (("logits", 100), ("code", 100), ("errors", 100))}
        narrow = one._replace(**{name: field.clip(-30_000, 30_000).astype(dtype) for name, field in fields.items()})
        return narrow, narrow._replace(**{name: getattr(narrow, name).astype(np.float32) for name in fields})

    (known, wide_known), (output, wide) = narrowed(known), narrowed(output)
    for name, score in PLAIN.items():
        np.testing.assert_array_equal(score(output), score(wide), err_msg=name)
    for name in ("mahalanobis", "knn", "knn in class", "vim", "gram_deviation"):
        np.testing.assert_array_equal(FITTED[name](known)(output), FITTED[name](wide_known)(wide), err_msg=name)


@given(outputs(), st.floats(-50, 50))
def test_logits_that_are_shifted(output, shift):
    moved = output._replace(logits=output.logits.astype(np.float64) + shift)
    np.testing.assert_allclose(scores.msp(moved), scores.msp(output), atol=1e-5)
    for score in (scores.max_logit, scores.energy):
        np.testing.assert_allclose(score(moved), score(output) - shift, rtol=1e-4, atol=1e-4)


@given(outputs())
def test_the_order_of_logit_scores(output):
    # log-sum-exp lies between the largest logit and that plus log K
    gap = scores.max_logit(output) - scores.energy(output)
    assert (gap > -1e-4).all() and (gap < np.log(3) + 1e-4).all()
    assert (scores.msp(output) >= 0).all() and (scores.msp(output) <= 2 / 3 + 1e-6).all()


@given(outputs(), st.floats(0.01, 0.99))
def test_a_perfect_reconstruction_is_nothing_new(output, level):
    perfect = output._replace(reconstruction=output.images / np.float32(255))
    for score in (scores.norm, scores.style, lambda o: scores.diff(o, level), lambda o: scores.norm(o, relative=True)):
        assert (score(perfect) == 0).all()
    assert ((scores.diff(output, level) % 1 == 0) & (scores.diff(output, level) <= 784)).all()
    assert (scores.norm(output) <= 28 + 1e-4).all()


@given(outputs(known=True), outputs(), st.floats(0.1, 10), seeds)
def test_distances_do_not_depend_on_the_units_of_the_code(known, output, unit, seed):
    random = np.random.default_rng(seed)
    turn, shift = np.linalg.qr(random.normal(size=(6, 6)))[0], random.normal(size=6)

    def moved(one, shifted):
        code = one.code.astype(np.float64) @ turn * unit + shift * shifted
        return one._replace(code=code)

    labels = known.logits.argmax(1)
    plain = scores.mahalanobis(known, labels)(output)
    np.testing.assert_allclose(scores.mahalanobis(moved(known, 1), labels)(moved(output, 1)), plain, rtol=0.01)
    nearest = scores.knn(known)(output)
    np.testing.assert_allclose(scores.knn(moved(known, 0))(moved(output, 0)), nearest, rtol=1e-3, atol=1e-3)
    assert (nearest >= 0).all() and (nearest <= 2).all()


@given(outputs(known=True), outputs(), st.integers(1, 58))
def test_more_neighbours_lie_further_and_more_components_leave_less(known, output, k):
    assert (scores.knn(known, k)(output) <= scores.knn(known, k + 1)(output) + 1e-6).all()
    assert scores.knn(known)(known).max() < 2e-3  # each finds itself; sklearn's distances are that exact
    if k < len(np.unique(known.images, axis=0)) - 1:  # some are all black
        less, more = (scores.pca_residual(known, components)(output) for components in (k, k + 1))
        assert (more <= less + 1e-4).all()


LINES = {
    "MeanStd": lambda loose: thresholds.MeanStd(5 * loose),
    "Quantile": thresholds.Quantile,
    "Conformal": lambda loose: thresholds.Conformal(1 - loose * 0.94),
    "Tail": lambda loose: thresholds.Tail(0.5 - 0.49 * loose, 0.5),
}
"""Each from strict to loose as its argument goes from 0 to 1."""


@pytest.mark.parametrize("name", LINES)
@given(seeds, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_looser_line_refuses_less(name, seed, first, second):
    assume(name != "Tail" or abs(first - second) > 1e-3)
    known = np.random.default_rng(seed).gamma(2, 1, 100)
    strict, loose = (LINES[name](setting).fit(known) for setting in sorted((first, second)))
    assert strict.value <= loose.value + 1e-12
    assert (loose.reject(known) <= strict.reject(known)).all()


@pytest.mark.parametrize("name", LINES)
@given(seeds, st.floats(0.01, 0.99), st.floats(0.01, 100), st.floats(-100, 100))
def test_a_line_moves_with_the_unit_of_the_score(name, seed, loose, unit, shift):
    known = np.random.default_rng(seed).gamma(2, 1, 100)
    plain, moved = LINES[name](loose).fit(known), LINES[name](loose).fit(known * unit + shift)
    assert moved.value == pytest.approx(plain.value * unit + shift, rel=1e-6, abs=1e-6)


@given(vectors(few), st.floats(0, 1), st.floats(0.05, 0.95))
def test_what_quantile_and_conformal_promise(known, q, alpha):
    assert thresholds.Quantile(q).fit(known).reject(known).mean() <= 1 - q + 1e-12
    assume(len(known) >= 1 / alpha - 1)
    line = thresholds.Conformal(alpha).fit(known)
    # of n + 1 exchangeable scores, at most a share alpha lies beyond the line of the other n
    assert line.reject(known).sum() <= alpha * (len(known) + 1) + 1e-9
    p_values = line.p_values(known)
    assert (p_values > 0).all() and (p_values <= 1).all()
    np.testing.assert_array_equal(p_values <= alpha + 1e-12, line.reject(known) | (p_values <= alpha + 1e-12))
    assert (p_values[line.reject(known)] <= alpha + 1e-9).all() and (p_values[~line.reject(known)] > alpha - 1e-9).all()


@given(vectors(60), st.permutations([0] * 5 + [1] * 25 + [2] * 30), st.floats(0.2, 0.9))
def test_a_line_for_each_class_is_the_line_of_that_class(known, classes, alpha):
    classes = np.array(classes)
    rule = thresholds.ClassConformal(alpha).fit(known, classes)
    for k in range(3):
        alone = thresholds.Conformal(alpha).fit(known[classes == k])
        assert rule.value[k] == alone.value
        np.testing.assert_array_equal(rule.reject(known, np.full(60, k)), alone.reject(known))
        np.testing.assert_array_equal(rule.p_values(known, np.full(60, k)), alone.p_values(known))


@given(seeds, st.floats(0.05, 0.5), st.floats(0.05, 0.95))
def test_tails_are_probabilities(seed, share, unknown):
    random = np.random.default_rng(seed)
    match, nonmatch = random.gamma(2, 1, 500), random.gamma(9, 1, 500)
    tail, lines = thresholds.TailModel(match, share), np.linspace(-5, 50, 200)
    chance = tail.beyond(lines)
    assert ((chance >= 0) & (chance <= 1)).all() and (np.diff(chance) <= 1e-9).all()
    assert tail.line(share / 2) >= tail.start and tail.beyond(tail.line(share / 2)) == pytest.approx(
        share / 2, abs=1e-6
    )
    two = thresholds.TwoTail(unknown, share).fit(match, nonmatch)
    assert np.median(match) <= two.value <= np.median(nonmatch)
    assert (two.cost(np.linspace(np.median(match), np.median(nonmatch), 50)) >= two.cost([two.value]) - 1 / 500).all()


@given(st.lists(arrays(bool, 7), min_size=1, max_size=4))
def test_any_of_is_a_union(refusals):
    union = thresholds.any_of(*refusals)
    assert all((refusal <= union).all() for refusal in refusals) and union.sum() <= sum(map(np.sum, refusals))
    np.testing.assert_array_equal(union, thresholds.any_of(*refusals[::-1]))


@given(st.lists(vectors(7, st.floats(1e-6, 1)), min_size=1, max_size=4), st.floats(0.01, 0.2))
def test_joined_p_values(each, alpha):
    joined = thresholds.union_bound(each, [alpha] * len(each))
    np.testing.assert_allclose(joined, np.minimum(len(each) * np.min(each, 0), 1))
    total = thresholds.fisher(each)
    assert (total >= 0).all() and np.isfinite(total).all()
    np.testing.assert_allclose(total, sum(thresholds.fisher([p]) for p in each))


answers = st.integers(0, UNKNOWN)


@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=60))
def test_confusion_counts_every_image_once(pairs):
    true, predicted = np.array(pairs).T
    report = metrics.osr_report(true, predicted)
    np.testing.assert_array_equal(report.confusion.sum(1), np.bincount(true, minlength=11))
    np.testing.assert_array_equal(report.confusion.sum(0), np.bincount(predicted, minlength=11))
    assert report.total == pytest.approx((true == predicted).mean())
    known = (true != UNKNOWN).mean()
    parts = np.nan_to_num([report.mnist, report.ood])
    assert report.total == pytest.approx(known * parts[0] + (1 - known) * parts[1])
    assert 0 <= metrics.macro_f1(true, predicted) <= 1 == metrics.macro_f1(true, true)


@given(vectors(few), vectors(few), seeds)
def test_ranks_alone_decide(known, unknown, seed):
    area = metrics.auroc(known, unknown)
    assert 0 <= area <= 1 and metrics.auroc(unknown, known) == pytest.approx(1 - area)
    ranks = np.unique(np.r_[known, unknown], return_inverse=True)[1]
    curved = np.expm1(ranks / 50)
    ours = (known, unknown), (curved[: len(known)], curved[len(known) :])
    for metric in (metrics.auroc, metrics.aupr, metrics.fpr_at_95):
        assert metric(*ours[0]) == pytest.approx(metric(*ours[1]))
        assert 0 <= metric(*ours[0]) <= 1
    for positive in ("known", "unknown"):
        assert 0 <= metrics.fpr_at_95(known, unknown, positive) <= 1
        assert 0 < metrics.aupr(known, unknown, positive) <= 1
    assert metrics.aupr(known, unknown, "known") == pytest.approx(metrics.aupr(-unknown, -known))
    assert metrics.fpr_at_95(known, unknown, "unknown") == pytest.approx(metrics.fpr_at_95(-unknown, -known))


@given(vectors(few), vectors(few), seeds)
def test_oscr_stays_below_accuracy_and_auroc(known, unknown, seed):
    correct = np.random.default_rng(seed).random(len(known)) < 0.8
    curve = metrics.oscr(known, correct, unknown)
    assert 0 <= curve.area <= min(correct.mean(), metrics.auroc(known, unknown)) + 1e-9
    assert (np.diff(curve.false_positive_rate) >= 0).all() and (np.diff(curve.correct_classification_rate) >= 0).all()
    assert curve.correct_classification_rate[-1] == pytest.approx(correct.mean()) and curve.false_positive_rate[-1] == 1


@given(vectors(few), seeds)
def test_risk_ends_at_the_error_rate(values, seed):
    wrong = np.random.default_rng(seed).random(len(values)) < 0.5
    curve = metrics.risk_coverage(values, wrong)
    assert curve.coverage[-1] == 1 and (np.diff(curve.coverage) > 0).all()
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    assert ((curve.risk >= 0) & (curve.risk <= 1)).all() and 0 <= curve.area <= 1
    best, worst = (metrics.risk_coverage(order, wrong).area for order in (wrong * 1.0, wrong * -1.0))
    assert best <= worst


@given(vectors(few), vectors(few), st.floats(0, 1), st.floats(0, 100))
def test_the_price_of_refusing_all_or_nothing(known, unknown, share, ratio):
    everything = np.r_[known, unknown]
    lines = [everything.min() - 1, everything.max()]
    np.testing.assert_allclose(
        metrics.expected_cost(known, unknown, lines, share, ratio), [1 - share, share * ratio], atol=1e-9
    )


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_openness_grows_with_what_is_new(known, new):
    assert metrics.openness(known, known) == 0
    assert 0 <= metrics.openness(known, known + new) < metrics.openness(known, known + new + 1) < 1


@given(seeds, st.floats(0.1, 10))
def test_gram_matrices(seed, unit):
    features = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 4, 5, 2)))
    gram = losses.gram_matrix(features)
    torch.testing.assert_close(gram, gram.transpose(1, 2))
    assert (torch.linalg.eigvalsh(gram) > -1e-12).all()
    torch.testing.assert_close(losses.gram_matrix(features * unit), gram * unit**2)
    torch.testing.assert_close(losses.gram_matrix(features.flip(2)), gram)  # where something is does not matter
    other = features.flip(0)
    for loss in (losses.style_loss, losses.content_loss):
        assert (loss(features, features) == 0).all() and (loss(features, other) >= 0).all()
        torch.testing.assert_close(loss(features, other), loss(other, features))
    rows = models.gram_rows(features.abs(), (1, 2, 5))
    torch.testing.assert_close(models.gram_rows(features.abs() * unit, (1, 2, 5)), rows * unit**2)


@given(seeds, st.floats(0, 10), st.floats(0, 1))
def test_losses_are_the_sum_of_their_parts(seed, weight, alpha):
    torch.manual_seed(seed)
    images, labels = torch.rand(6, 1, 28, 28), torch.randint(0, 10, (6,))
    output = Output(torch.randn(6, 10), torch.rand(6, 128), torch.rand(6, 28, 28))
    parts = losses.multitask_loss(output, images, labels, weight)
    torch.testing.assert_close(parts["loss"], parts["cross_entropy"] + weight * parts["mse"])
    torch.testing.assert_close(parts["cross_entropy"], losses.classification_loss(output, images, labels)["loss"])
    parts = losses.c2ae_loss(output, images, labels, lambda code, labels: code[:, :1, None].expand(-1, 28, 28), alpha)
    torch.testing.assert_close(parts["loss"], alpha * parts["match"] + (1 - alpha) * parts["nonmatch"])


@given(batch_size=st.integers(1, 40), n=st.integers(1, 25))
def test_the_size_of_batches_does_not_matter(mtae, digits, batch_size, n):
    whole, pieces = models.infer(mtae, digits.images[:n]), models.infer(mtae, digits.images[:n], batch_size)
    for a, b in zip(whole[:3], pieces[:3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@given(seed=seeds, size=st.integers(1, 500), labels=st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_parts_of_a_world(digits, seed, size, labels):
    drawn = digits.sample(size, seed)
    assert (
        len(np.unique(drawn.images, axis=0)) == len(drawn) == size
    )  # no two digits are alike, and none is drawn twice
    kept = digits.only(labels, renumber=True)
    np.testing.assert_array_equal(np.array(labels)[kept.labels], digits.only(labels).labels)
    assert len(kept) == np.isin(digits.labels, labels).sum() and kept.classes == tuple(map(str, labels))


@given(arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))))
@example(np.zeros((1, 1), np.uint8))
def test_any_picture_becomes_a_digits_size(picture):
    image = folder.to_mnist(picture)
    assert image.shape == (28, 28) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, folder.to_mnist(picture))


MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"BM", b"II*\0", b"RIFF\x20\0\0\0WEBPVP8 "]


@given(content=st.binary(max_size=300), head=st.sampled_from(MAGIC))
def test_any_bytes_are_an_image_or_are_refused(tmp_path_factory, content, head):
    file = tmp_path_factory.mktemp("bytes") / "file.png"
    file.write_bytes(head + content)
    try:
        assert folder.read_file(file).shape == (28, 28)
    except ValueError as error:
        assert str(error)


@given(known=outputs(known=True), output=outputs(), k=st.floats(0, 3), looser=st.floats(0, 3), seed=seeds)
def test_a_classifier_decides_each_image_by_itself(mtae, known, output, k, looser, seed):
    def rule(k):
        lines = [thresholds.MeanStd(k) for _ in range(3)]
        return OpenSetClassifier(mtae, [scores.norm, scores.diff, scores.msp], lines).fit_output(known)

    strict = rule(k)
    decision, lines = strict.decide_output(output), [line.value for line in strict.thresholds]
    np.testing.assert_array_equal(decision.refused, decision.scores > lines)
    np.testing.assert_array_equal(decision.guess, output.logits.argmax(1))
    np.testing.assert_array_equal(decision.labels, np.where(decision.refused.any(1), UNKNOWN, decision.guess))
    assert list(map(bool, decision.reasons())) == (decision.labels == UNKNOWN).tolist()
    order = np.random.default_rng(seed).permutation(len(output.images))
    clear = ~np.isclose(decision.scores, lines, rtol=1e-3, atol=1e-3).any(1)[order]  # of a line, but for rounding
    moved = strict.decide_output(part(output, order)).labels
    np.testing.assert_array_equal(moved[clear], decision.labels[order][clear])
    assert (rule(k + looser).decide_output(output).refused <= decision.refused).all()


@given(known=outputs(known=True), output=outputs(), alphas=st.lists(st.floats(0.02, 0.4), min_size=2, max_size=2))
def test_a_classifiers_p_values_say_what_it_refuses(mtae, known, output, alphas):
    lines = [thresholds.Conformal(alpha) for alpha in alphas]
    decision = OpenSetClassifier(mtae, [scores.norm, scores.diff], lines).fit_output(known).decide_output(output)
    assert (decision.p_value > 0).all() and (decision.p_value <= 1).all()
    each, whole = ~np.isclose(decision.p_values, alphas), ~np.isclose(decision.p_value, sum(alphas))
    np.testing.assert_array_equal((decision.p_values <= alphas)[each], decision.refused[each])
    np.testing.assert_array_equal((decision.p_value <= sum(alphas))[whole], (decision.labels == UNKNOWN)[whole])


@given(seed=seeds, n=st.integers(1, 9), channels=st.integers(1, 6))
def test_the_fused_convolution_equals_its_layers(seed, n, channels):
    torch.manual_seed(seed)
    convolution, norm = nn.Conv2d(1, channels, 3, padding=1).double(), nn.BatchNorm2d(channels).double()
    nn.init.normal_(norm.weight)
    x, plain = torch.rand(n, 1, 28, 28, dtype=torch.float64), copy.deepcopy(norm)
    wanted = nn.functional.max_pool2d(plain(convolution(x)), 2)
    torch.testing.assert_close(fused.convolve_normalise_pool(x, convolution, norm), wanted)
    torch.testing.assert_close(dict(norm.named_buffers()), dict(plain.named_buffers()))


@given(seeds, array_shapes(min_dims=4, max_dims=4, max_side=6), st.integers(1, 5))
def test_the_fused_enlargement_equals_its_layers(seed, shape, factor):
    torch.manual_seed(seed)
    layer, x = nn.ConvTranspose2d(shape[1], 1, 3, padding=1).double(), torch.randn(shape, dtype=torch.float64)
    wanted = layer(nn.functional.interpolate(x, scale_factor=factor))
    torch.testing.assert_close(fused.enlarge_convolve(x, layer, factor), wanted)


@given(classes=st.integers(1, 12), n=st.integers(1, 4), orders=st.sets(st.integers(1, 9), min_size=1))
@settings(max_examples=10)
def test_networks_of_any_number_of_classes(digits, classes, n, orders):
    images = digits.images[:n]
    for network in (models.MultiTaskAE(classes=classes), models.C2AE(classes), models.C2AE(classes, fine=False)):
        said = models.infer(network, images)
        assert said.logits.shape == (n, classes) and said.code.shape == (n, 128)
        assert said.reconstruction.shape == images.shape and said.reconstruction.min() >= 0
        assert said.reconstruction.max() <= 1
        if said.errors is not None:
            assert said.errors.shape == (n, classes)
            nearest = np.abs(said.reconstruction - images / 255).mean((1, 2))
            np.testing.assert_allclose(nearest, said.errors.min(1), rtol=1e-4)
        assert models.part(said, "code", 128) is said.code
        assert models.named(said).tolist() == said.logits.argmax(1).tolist()
    plain = models.MultiTaskAE(classes=classes)
    assert sum(own for _, _, own in models.layer_table(plain)) == models.count_parameters(plain)
    features = models.GramFeatures(plain, tuple(sorted(orders)))
    assert models.infer(features, images).code.shape == (n, len(features.layer)) == (n, 48 * len(orders))


@given(seed=seeds, n=st.integers(2, 24), batch_size=st.integers(1, 24), one_cycle=st.booleans(), bfloat16=st.booleans())
@settings(max_examples=10)
def test_training_depends_on_the_seed_alone(digits, seed, n, batch_size, one_cycle, bfloat16):
    assume(n % batch_size != 1)
    recipe, trained = training.Recipe(1, batch_size, 1e-3, one_cycle, 0.01, bfloat16), []
    for _ in range(2):
        model = zoo.build("mtae", seed)
        training.fit(model, losses.multitask_loss, digits[:n], recipe, seed=seed, progress=False)
        trained.append(model.state_dict())
    for name, value in trained[0].items():
        assert torch.equal(value, trained[1][name]) and torch.isfinite(value).all()


@given(n=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_evaluation_counts_each_image_once(mtae, digits, n, batch_size):
    told = training.evaluate(mtae, losses.multitask_loss, digits[:n], batch_size)
    whole = training.evaluate(mtae, losses.multitask_loss, digits[:n], n)
    assert told == pytest.approx(whole, rel=1e-3)
    right = models.infer(mtae, digits.images[:n]).logits.argmax(1) == digits.labels[:n]
    assert told["test_accuracy"] == pytest.approx(right.mean())


@given(st.slices(500) | arrays(np.bool_, 500) | arrays(np.int64, st.integers(1, 9), elements=st.integers(-500, 499)))
def test_a_part_of_an_image_set_is_numpys(digits, index):
    assume(len(digits.labels[index]))
    chosen = digits[index]
    np.testing.assert_array_equal(chosen.images, digits.images[index])
    np.testing.assert_array_equal(chosen.labels, digits.labels[index])
    assert chosen.classes == digits.classes and chosen.name == digits.name


@given(value=numbers, band=st.tuples(numbers, numbers))
def test_a_claim_holds_within_its_band_and_nowhere_else(value, band):
    low, high = sorted(band)
    try:
        claims.check("a figure", value, low, high)
        held = True
    except claims.ClaimFailed:
        held = False
    assert held == (low <= value <= high)


@given(result=st.sampled_from(["report_rule", "rule", "nst"]), name=st.sampled_from(["mnist", "ood", "total"]),
       away=st.floats(-1, 1), share=st.floats(0, 1))  # fmt: skip
def test_what_is_nearer_to_the_reference_agrees_sooner(result, name, away, share):
    reference = zoo.reference()
    mean = {**reference, "nst": reference["nst"]["mixed"]}[result]["mean"][name]
    assert claims.agree(result, **{name: mean})[name]
    far, near = (claims.agree(result, **{name: mean + distance})[name] for distance in (away, share * away))
    assert near >= far


@given(fields=st.lists(st.none() | arrays(st.sampled_from([np.float32, np.int64, bool]), array_shapes()), max_size=4))
def test_what_is_remembered_is_what_was_said(tmp_path_factory, mtae, digits, fields):
    calls, folder = [], {remember.FOLDER: str(tmp_path_factory.mktemp("remember"))}
    compute = partial(lambda model, images: calls.append(1) or fields)
    with mock.patch.dict(os.environ, folder), mock.patch.object(remember, "MANY", 100):
        answers = [remember.output(compute, mtae, digits.images[:100]) for _ in range(2)]
    assert len(calls) == 1
    for answer in answers:
        for field, wanted in zip(answer, fields, strict=True):
            assert field is wanted is None or field.dtype == wanted.dtype
            np.testing.assert_array_equal(field, wanted)


def twice(configuration):
    return {"twice": 2 * configuration["x"]}


@given(xs=st.lists(st.integers(), min_size=1, max_size=6, unique=True), share=st.floats(0, 1))
def test_a_sweep_cut_off_anywhere_goes_on(tmp_path_factory, xs, share):
    file = tmp_path_factory.mktemp("sweep") / "rows"
    configurations = [{"x": x} for x in xs]
    rows = sweep.run(twice, configurations, file, jobs=1, progress=False)
    assert rows == [{"x": x, "twice": 2 * x} for x in xs]
    whole = file.read_bytes()
    file.write_bytes(whole[: round(share * len(whole))])
    assert sweep.run(twice, configurations, file, jobs=1, progress=False) == rows
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


@given(runs=st.lists(st.integers(0, 2**32), min_size=1, max_size=5, unique=True), classes=st.integers(1, 10))
@settings(max_examples=10)
def test_each_run_of_the_protocol_is_its_own(runs, classes):
    told = protocol.configurations(runs)
    assert len({json.dumps(one, sort_keys=True) for one in told}) == len(told) == 30 * len(runs)
    for network in protocol.NETWORKS:
        weight, bias = protocol.last_layer(protocol.spec(network, classes).build())
        assert weight.shape == (classes, 128) and bias.shape == (classes,)


@given(number=st.sampled_from(list(exercises.CHECKS)), answer=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=5), some, max_size=4), max_leaves=8,
))  # fmt: skip
@settings(max_examples=60)
def test_a_grader_has_a_word_for_any_answer(number, answer):
    for handed_in in (answer, lambda *_: answer):
        verdict = exercises.grade(number, handed_in)
        assert verdict.text.startswith(f"{number}: ") and verdict.right == ("right." in verdict.text[:12])


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=9)), st.integers(1, 12), vectors(30), numbers)
@settings(max_examples=10)
def test_figures_show_all_that_they_are_given(images, columns, each, threshold):
    (canvas,) = plots.gallery(images, columns=columns).images
    assert np.nansum(canvas.get_array().filled(np.nan)) == images.sum()
    assert canvas.get_array().count() == images.size
    shown = plots.scatter({"mnist": (each, each[::-1])}, (threshold, threshold))
    np.testing.assert_array_equal(np.sort(shown.collections[0].get_offsets()[:, 0]), np.sort(each))
    history = [{"epoch": i + 1, "loss": value} for i, value in enumerate(each)]
    (line,) = plots.curves({"one": history}, "loss", "loss").lines
    np.testing.assert_array_equal(line.get_ydata(), each)
    plt.close("all")


@given(st.dictionaries(st.sampled_from(["mnist", "letters", "noise"]), vectors(few), min_size=1), st.integers(1, 50))
@settings(max_examples=10)
def test_curves_of_a_histogram_have_one_area(worlds, bins):
    ax = plots.histograms(worlds, "score", bins=bins)
    assert len(ax.patches) == 2 * len(worlds)
    for outline in ax.patches[::2]:
        x, y = outline.get_path().vertices.T
        assert abs(scipy.integrate.trapezoid(y, x)) == pytest.approx(1, rel=1e-3)
    plt.close("all")
