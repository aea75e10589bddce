"""What must hold for any input: invariants of the public functions over drawn examples.

The examples are the same in each run. ``pytest tests/unit/test_properties.py --hypothesis-profile=wild`` draws new
ones, and many more.
"""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from osrlib import UNKNOWN, losses, metrics, pictures, scores, thresholds, training
from osrlib.detector import OpenSetClassifier
from osrlib.gram import GramDeviation, gram_rows
from osrlib.output import BatchOutput, Output, infer
from osrlib.scores import KNN, KNNSum, Mahalanobis, PCAResidual, ViM
from osrlib.teaching import answers as _answers  # noqa: F401 they fill the list of exercises
from osrlib.teaching import exercises

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


def changed(output, **parts):
    return Output(**output.parts | parts)


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
    "KNNSum": lambda known: KNNSum(known, known.guess),
    "PCAResidual": lambda known: PCAResidual(known, 9),
    "ViM": lambda known: ViM(known, WEIGHT, BIAS, 3),
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


@given(outputs(), st.floats(-50, 50))
def test_logit_scores(output, shift):
    moved = changed(output, logits=output.logits + np.float32(shift))
    np.testing.assert_allclose(scores.msp(moved), scores.msp(output), atol=1e-5)
    for score in (scores.max_logit, scores.energy):
        np.testing.assert_allclose(score(moved), score(output) - shift, rtol=1e-4, atol=1e-4)
    # log-sum-exp lies between the largest logit and that plus log K
    gap = scores.max_logit(output) - scores.energy(output)
    assert (gap > -1e-4).all() and (gap < np.log(3) + 1e-4).all()
    assert (scores.msp(output) >= 0).all() and (scores.msp(output) <= 2 / 3 + 1e-6).all()


@given(outputs(), st.floats(0.01, 0.99))
def test_a_perfect_copy_is_nothing_new(output, level):
    perfect = changed(output, reconstruction=output.images / np.float32(255))
    for score in (scores.norm, scores.style, partial(scores.diff, level=level), partial(scores.norm, relative=True)):
        assert (score(perfect) == 0).all()
    assert ((scores.diff(output, level) % 1 == 0) & (scores.diff(output, level) <= 784)).all()


@given(outputs(known=True), outputs(), st.floats(0.1, 10), seeds)
def test_distances_do_not_depend_on_the_units_of_the_code(known, output, unit, seed):
    random = np.random.default_rng(seed)
    turn, shift = np.linalg.qr(random.normal(size=(6, 6)))[0], random.normal(size=6)

    def moved(one, shifted):
        return changed(one, code=one.code.astype(np.float64) @ turn * unit + shift * shifted)

    plain = Mahalanobis(known, known.guess)(output)
    np.testing.assert_allclose(Mahalanobis(moved(known, 1), known.guess)(moved(output, 1)), plain, rtol=0.01)
    nearest = KNN(known)(output)
    np.testing.assert_allclose(KNN(moved(known, 0))(moved(output, 0)), nearest, rtol=1e-3, atol=1e-3)
    assert (nearest >= 0).all() and (nearest <= 2).all()


@given(outputs(known=True), outputs(), st.integers(1, 58))
def test_more_neighbours_lie_further_and_more_components_leave_less(known, output, k):
    assert (KNN(known, k)(output) <= KNN(known, k + 1)(output) + 1e-6).all()
    assert KNN(known)(known).max() < 2e-3  # each finds itself; sklearn's distances are that exact
    if k < len(np.unique(known.images, axis=0)) - 1:  # some are all black
        less, more = (PCAResidual(known, components)(output) for components in (k, k + 1))
        assert (more <= less + 1e-4).all()


# ---------------------------------------------------------------------------------------------------------------------
# Thresholds

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
    tail = thresholds.TailModel(match, share)
    chance, line = tail.beyond(np.linspace(-5, 50, 200)), tail.line(share / 2)
    assert ((chance >= 0) & (chance <= 1)).all() and (np.diff(chance) <= 1e-9).all()
    assert line >= tail.start and tail.beyond(np.array([line]))[0] == pytest.approx(share / 2, abs=1e-6)
    two = thresholds.TwoTail(unknown, share).fit(match, nonmatch)
    low, high = np.median(match), np.median(nonmatch)
    assert low <= two.value <= high
    assert (two.cost(np.linspace(low, high, 50)) >= two.cost(np.array([two.value])) - 1 / 500).all()


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.just(7)), elements=st.floats(1e-6, 1)), st.floats(0.01, 0.2))
def test_refusals_and_p_values_joined(each, alpha):
    union = thresholds.any_of(*(each <= alpha))
    np.testing.assert_array_equal(union, (each <= alpha).any(0))
    joined = thresholds.union_bound(each, np.full(len(each), alpha))
    np.testing.assert_allclose(joined, np.minimum(len(each) * each.min(0), 1))
    total = thresholds.fisher(each)
    assert (total >= 0).all()
    np.testing.assert_allclose(total, sum(thresholds.fisher(p[None]) for p in each))


# ---------------------------------------------------------------------------------------------------------------------
# Metrics

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


@given(vectors(few), seeds, st.floats(0, 1), st.floats(0, 100))
def test_risk_ends_at_the_error_rate_and_a_line_has_its_price(values, seed, share, ratio):
    wrong = np.random.default_rng(seed).random(len(values)) < 0.5
    curve = metrics.risk_coverage(values, wrong)
    assert curve.coverage[-1] == 1 and (np.diff(curve.coverage) > 0).all()
    assert curve.risk[-1] == pytest.approx(wrong.mean())
    best, worst = (metrics.risk_coverage(order, wrong).area for order in (wrong * 1.0, wrong * -1.0))
    assert 0 <= best <= worst <= 1 and 0 <= curve.area <= 1
    ends = np.array([values.min() - 1, values.max()])  # all is refused, or nothing
    np.testing.assert_allclose(
        metrics.expected_cost(values, values, ends, share, ratio), [1 - share, share * ratio], atol=1e-9
    )


# ---------------------------------------------------------------------------------------------------------------------
# Losses and networks


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
    maps = features.flatten(2).abs()
    torch.testing.assert_close(gram_rows(maps * unit, (1, 2, 5)), gram_rows(maps, (1, 2, 5)) * unit**2)


@given(seeds, st.floats(0, 10), st.floats(0, 1))
def test_losses_are_the_sum_of_their_parts(seed, weight, alpha):
    torch.manual_seed(seed)
    images, labels = torch.rand(6, 1, 28, 28), torch.randint(0, 10, (6,))
    output = BatchOutput(torch.randn(6, 10), torch.rand(6, 128), torch.rand(6, 28, 28))
    parts = losses.multitask_loss(output, images, labels, weight)
    torch.testing.assert_close(parts["loss"], parts["cross_entropy"] + weight * parts["mse"])
    torch.testing.assert_close(parts["cross_entropy"], losses.classification_loss(output, images, labels)["loss"])
    parts = losses.c2ae_loss(output, images, labels, lambda code, labels: code[:, :1, None].expand(-1, 28, 28), alpha)
    torch.testing.assert_close(parts["loss"], alpha * parts["match"] + (1 - alpha) * parts["nonmatch"])


@given(batch_size=st.integers(1, 40), n=st.integers(1, 25))
def test_the_size_of_batches_does_not_matter(mtae, digits, batch_size, n):
    whole, pieces = infer(mtae, digits.images[:n]), infer(mtae, digits.images[:n], batch_size)
    for name in ("logits", "code", "reconstruction"):
        np.testing.assert_allclose(pieces.parts[name], whole.parts[name], rtol=1e-4, atol=1e-5)
    measured = training.evaluate(mtae, losses.multitask_loss, digits[:n], batch_size)
    assert measured == pytest.approx(training.evaluate(mtae, losses.multitask_loss, digits[:n], n), rel=1e-3)
    assert measured["test_accuracy"] == pytest.approx((whole.guess == digits.labels[:n]).mean())


# ---------------------------------------------------------------------------------------------------------------------
# Detector


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


# ---------------------------------------------------------------------------------------------------------------------
# Images and answers


@given(st.slices(500) | arrays(np.bool_, 500) | arrays(np.int64, st.integers(1, 9), elements=st.integers(-500, 499)))
def test_a_part_of_an_image_set_is_numpys(digits, index):
    assume(len(digits.labels[index]))
    chosen = digits[index]
    np.testing.assert_array_equal(chosen.images, digits.images[index])
    np.testing.assert_array_equal(chosen.labels, digits.labels[index])
    assert (chosen.classes, chosen.name) == (digits.classes, digits.name)
    assert chosen == digits[index] and hash(chosen) == hash(digits[index])


@given(seed=seeds, size=st.integers(1, 500), labels=st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_parts_of_a_world(digits, seed, size, labels):
    drawn = digits.sample(size, seed)  # no two digits are alike, and none is drawn twice
    assert len(np.unique(drawn.images, axis=0)) == len(drawn) == size and drawn == digits.sample(size, seed)
    kept = digits.only(labels, renumber=True)
    np.testing.assert_array_equal(np.array(labels)[kept.labels], digits.only(labels).labels)
    assert len(kept) == np.isin(digits.labels, labels).sum() and kept.classes == tuple(map(str, labels))


@given(arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60))))
def test_any_picture_becomes_a_digits_size(picture):
    image = pictures.to_mnist(picture)
    assert image.shape == (28, 28) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, pictures.to_mnist(picture))


MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"BM", b"II*\0", b"RIFF\x20\0\0\0WEBPVP8 "]


@given(content=st.binary(max_size=300), head=st.sampled_from(MAGIC))
def test_any_bytes_are_an_image_or_are_refused(tmp_path_factory, content, head):
    file = tmp_path_factory.mktemp("bytes") / "file.png"
    file.write_bytes(head + content)
    try:
        assert pictures.read_file(file).shape == (28, 28)
    except ValueError as error:
        assert str(error)


@given(number=st.sampled_from(list(exercises.CHECKS)), answer=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda some: st.lists(some, max_size=4) | st.dictionaries(st.text(max_size=5), some, max_size=4), max_leaves=8,
))  # fmt: skip
@settings(max_examples=60)
def test_a_grader_has_a_word_for_any_answer(number, answer):
    for handed_in in (answer, lambda *_: answer):
        verdict = exercises.grade(number, handed_in)
        assert verdict.text.startswith(f"{number}: ") and verdict.right == ("right." in verdict.text[:12])
