"""Scores: the formula by hand, the sign, and a clear word for malformed input."""

from functools import partial

import numpy as np
import pytest

from osrlib import data, scores, zoo
from osrlib.models import Output, infer

IMAGES = np.zeros((2, 28, 28), np.uint8)


def with_reconstruction(*pixels):
    """Two black images whose reconstructions have these pixels in their first places."""
    reconstruction = np.zeros((2, 28, 28), np.float32)
    for row, values in zip(reconstruction, pixels, strict=True):
        row[0, : len(values)] = values
    return Output(np.zeros((2, 10), np.float32), None, reconstruction, IMAGES)


def test_norm_by_hand():
    np.testing.assert_allclose(scores.norm(with_reconstruction([0.3, 0.4], [1.0])), [0.5, 1.0], rtol=1e-6)


def test_diff_by_hand():
    output = with_reconstruction([0.6, 0.4, 0.9], [0.1])
    assert scores.diff(output).tolist() == [2, 0]
    assert scores.diff(output, level=0.2).tolist() == [3, 0]


def test_diff_binarises_image_and_reconstruction_alike():
    images = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    output = Output(None, None, (images / np.float32(255)), images)
    assert scores.diff(output).sum() == 0


def test_msp_by_hand():
    output = Output(np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]) + 3, None)
    np.testing.assert_allclose(scores.msp(output), [0.3, 0.5], rtol=1e-6)
    assert np.isfinite(scores.msp(Output(np.array([[1e4, -1e4, 0.0]]), None))).all()


@pytest.mark.parametrize("score", [scores.norm, scores.diff, scores.msp])
def test_larger_is_more_unknown(score, mtae, output):
    letters = infer(mtae, data.load("patches").images[:500])
    values = score(output)
    assert values.dtype == np.float32 and values.shape == (500,)
    assert np.median(score(letters)) > np.median(values)


@pytest.mark.parametrize("score", [scores.norm, scores.diff, scores.style, "content"])
def test_reconstruction_scores_refuse(score, output, mtae):
    score = partial(scores.content, model=mtae) if score == "content" else score
    broken = output.reconstruction.copy()
    broken[3, 4, 5] = np.nan
    few = output.reconstruction[:5]
    for wrong in (None, output._replace(reconstruction=None), output._replace(reconstruction=broken),
                  output._replace(images=None, code=None), output._replace(reconstruction=few)):  # fmt: skip
        with pytest.raises(ValueError, match="output: expected"):
            score(wrong)


@pytest.mark.parametrize("level", [0, 1, -0.1, np.nan])
def test_diff_refuses_levels(output, level):
    with pytest.raises(ValueError, match="level"):
        scores.diff(output, level)


def test_msp_refuses():
    for wrong in (
        None,
        Output(np.zeros(10), None),
        Output(np.zeros((0, 10)), None),
        Output(np.full((2, 10), np.nan), None),
    ):
        with pytest.raises(ValueError, match="output: expected"):
            scores.msp(wrong)


def test_max_logit_and_energy_by_hand():
    output = Output(np.log([[1.0, 2.0, 1.0], [8.0, 4.0, 4.0]]), None)
    np.testing.assert_allclose(scores.max_logit(output), -np.log([2, 8]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output), -np.log([4, 16]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output, 0.5), -0.5 * np.log([6, 96]), rtol=1e-6)
    assert np.isfinite(scores.energy(Output(np.array([[1e4, -1e4, 0.0]]), None))).all()
    for wrong in (0, -1, np.nan, "1"):
        with pytest.raises(ValueError, match="temperature"):
            scores.energy(output, wrong)


def test_class_error_by_hand():
    output = Output(None, None, errors=np.array([[0.3, 0.1, 0.5], [0.2, 0.2, 0.2]], np.float32))
    np.testing.assert_allclose(scores.class_error(output), [0.1, 0.2])
    np.testing.assert_allclose(scores.class_error(output, relative=True), [0.25, 1.0], rtol=1e-6)
    for wrong in (None, np.full((2, 3), np.nan), np.zeros(3)):
        with pytest.raises(ValueError, match="errors"):
            scores.class_error(output._replace(errors=wrong))
    with pytest.raises(ValueError, match="at least 2"):
        scores.class_error(output._replace(errors=np.zeros((2, 1))), relative=True)


def test_style_does_not_see_the_order_of_columns(output):
    turned = output._replace(reconstruction=(output.images / np.float32(255))[:, :, ::-1].copy())
    assert scores.style(turned).max() < 1e-9 < scores.style(output).min()


def test_content_encodes_the_reconstruction(mtae, output):
    perfect = output._replace(reconstruction=output.images / np.float32(255))
    assert scores.content(perfect, mtae).max() < 1e-6
    values = scores.content(output, mtae)
    assert values.shape == (500,) and values.dtype == np.float32 and values.min() > 0
    for batch_size in (1, 7):
        np.testing.assert_allclose(values, scores.content(output, mtae, batch_size), rtol=1e-3, atol=1e-6)
    torn = zoo.load("mtae").train()
    np.testing.assert_allclose(values, scores.content(output, torn), rtol=1e-3, atol=1e-6)
    assert torn.training
    for wrong in (None, np.full_like(output.code, np.nan)):
        with pytest.raises(ValueError, match="code"):
            scores.content(output._replace(code=wrong), mtae)


@pytest.fixture(scope="module")
def gram_like():
    """Known features in two layers of two: classes 0 and 1 have bounds [1, 2] and [3, 4]."""
    random = np.random.default_rng(0)
    guess = np.arange(400) % 2
    features = (random.uniform(1, 2, (400, 4)) + 2 * guess[:, None]).astype(np.float32)
    return Output(np.eye(2)[guess], features), np.array([0, 0, 1, 1])


def test_gram_deviation_by_hand(gram_like):
    known, layer = gram_like
    score = scores.gram_deviation(known, layer, held_out=0.5)
    held, rest = np.split(np.random.default_rng(0).permutation(400), [200])
    guess = known.logits.argmax(1)

    def deviation(values, k):
        low, high = known.code[rest][guess[rest] == k].min(0), known.code[rest][guess[rest] == k].max(0)
        outside = np.maximum(low - values, 0) / low + np.maximum(values - high, 0) / high
        return outside[:, :2].sum(1), outside[:, 2:].sum(1)

    parts = [deviation(known.code[held][guess[held] == k], k) for k in (0, 1)]
    expected = [np.concatenate([part[i] for part in parts]).mean() for i in (0, 1)]
    new = np.array([[1.5, 1.5, 1.5, 1.5], [0.5, 1.5, 1.5, 4.0]], np.float32)
    by_hand = sum(part / mean for part, mean in zip(deviation(new, 0), expected, strict=True))
    np.testing.assert_allclose(score(Output(np.eye(2)[[0, 0]], new)), by_hand, rtol=1e-4)
    assert by_hand[0] == 0 < by_hand[1]
    # the same features are out of bounds for the other class
    assert score(Output(np.eye(2)[[1]], new[:1]))[0] > 0


def test_gram_deviation_refuses(gram_like):
    known, layer = gram_like
    with pytest.raises(ValueError, match="layer"):
        scores.gram_deviation(known, layer[:2])
    with pytest.raises(ValueError, match="held_out"):
        scores.gram_deviation(known, layer, held_out=0)
    with pytest.raises(ValueError, match="class 2"):
        scores.gram_deviation(known._replace(logits=np.eye(3)[known.logits.argmax(1)]), layer)
    with pytest.raises(ValueError, match="code"):
        scores.gram_deviation(known, layer)(known._replace(code=None))
    with pytest.raises(ValueError, match="code"):
        scores.gram_deviation(known._replace(code=np.full_like(known.code, np.nan)), layer)
    with pytest.raises(ValueError, match="ascending"):
        scores.gram_deviation(known, layer[::-1].copy())


def test_mahalanobis_by_hand():
    code = np.array([[0.0, 1], [0, -1], [4, 1], [4, -1], [2, 0], [-2, 0], [6, 0], [2, 0]])
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    # both classes have the covariance diag(2, 1/2)
    score = scores.mahalanobis(Output(None, code), labels)
    np.testing.assert_allclose(
        score(Output(None, np.array([[0.0, 0], [0, 2], [7, 0]]))), [0, 8, 4.5], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ValueError, match="labels"):
        scores.mahalanobis(Output(None, code), labels[:3])
    with pytest.raises(ValueError, match="code"):
        scores.mahalanobis(Output(None, np.full_like(code, np.nan)), labels)


def test_relative_norm_by_hand():
    image = np.zeros((2, 28, 28), np.uint8)
    image[0, 0, 0] = 255
    output = with_reconstruction([0.5], [0.1])._replace(images=image)
    # ‖1 − 0.5‖ / ‖1‖, and an empty image counts as one grey level long
    np.testing.assert_allclose(scores.norm(output, relative=True), [0.5, 0.1 * 255], rtol=1e-5)


def coded(codes, guesses=None):
    """An Output with these codes, and logits for these classes."""
    codes = np.array(codes, dtype=np.float32)
    return Output(np.eye(2, dtype=np.float32)[np.zeros(len(codes), int) if guesses is None else guesses], codes)


def test_knn_by_hand():
    known, new = coded([[3, 0], [0, 4], [0, 8]]), coded([[0, 2]])
    assert scores.knn(known, normalise=0)(new).tolist() == [2]
    assert scores.knn(known, 2, 0)(new)[0] == pytest.approx(13**0.5)
    assert scores.knn(known)(new)[0] == pytest.approx(0, abs=1e-6)  # the direction is known, the length is not
    # z / ‖z‖^½: [0, √2] against [0, 2]
    assert scores.knn(known, normalise=0.5)(new)[0] == pytest.approx(2 - 2**0.5)


def test_knn_in_the_class_that_is_named():
    known, labels = coded([[1, 0], [0, 1]]), np.array([0, 1])
    near = scores.knn(known, normalise=0, labels=labels)
    assert near(coded([[1, 0], [1, 0]], [0, 1])).tolist() == pytest.approx([0, 2**0.5])


def test_knn_sum_adds_direction_and_length():
    random = np.random.default_rng(0)
    known = coded(random.normal(size=(300, 8)))
    new = coded(random.normal(size=(20, 8)))
    chosen = np.random.default_rng(5).permutation(300)[:100]
    some = coded(known.code[chosen])
    expected = sum(
        scores.knn(known, normalise=power)(new) / scores.knn(known, 2, power)(some).std() for power in (1.0, 0.0)
    )
    np.testing.assert_allclose(scores.knn_sum(known, sample=100, seed=5)(new), expected, rtol=1e-5)


def test_pca_residual_by_hand():
    images = np.zeros((4, 28, 28), np.uint8)
    images[:, 0, 0] = [0, 51, 102, 153]  # one direction explains them all
    odd = images[:1].copy()
    odd[0, 5, 5] = 255
    score = scores.pca_residual(Output(None, None, images=images), 1)
    assert score(Output(None, None, images=images)).max() < 1e-5
    assert score(Output(None, None, images=odd))[0] == pytest.approx(1, abs=1e-4)


def test_vim_by_hand():
    # logits are z₀ and −z₀; the second number of a code is what the classifier ignores
    weight, bias = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2)
    codes = np.array([[4.0, 1.0], [-4.0, 1.0], [4.0, -1.0], [-4.0, -1.0]])
    known = Output(codes @ weight.T, codes)
    score = scores.vim(known, weight, bias, 1)
    new = np.array([[4.0, 0.0], [4.0, 3.0]])
    low, high = score(Output(new @ weight.T, new))
    assert high - low == pytest.approx(4 / 1 * 3)  # mean largest logit 4 over mean residual 1, times 3


def test_mahalanobis_where_codes_fill_no_volume():
    # the second number never varies: its variance counts as a millionth of the mean one
    known = coded([[-1, 0], [1, 0]])
    score = scores.mahalanobis(known, [0, 0])
    assert score(coded([[2, 0]]))[0] == pytest.approx(4, rel=1e-3)
    assert score(coded([[0, 1]]))[0] == pytest.approx(1 / (0.5 * 1e-6), rel=1e-3)
    with pytest.raises(ValueError, match="known: expected codes that differ"):
        scores.mahalanobis(coded([[1, 2], [1, 2]]), [0, 0])


def test_vim_needs_something_that_the_classifier_ignores():
    flat = coded([[1, 0], [2, 0], [-3, 0]])
    with pytest.raises(ValueError, match="known: expected codes beyond"):
        scores.vim(flat, np.array([[0.0, 1.0], [0.0, -1.0]]), np.zeros(2), 1)


def test_relative_class_error_of_two_conditions():
    output = Output(None, None, errors=np.array([[0.1, 0.4], [0.5, 0.2]]))
    assert scores.class_error(output, relative=True).tolist() == pytest.approx([0.25, 0.4])


@pytest.mark.parametrize(
    "make",
    [
        lambda known: scores.gram_deviation(known, [0, 1], 0.4),
        lambda known: scores.mahalanobis(known, np.arange(12) % 2),
        lambda known: scores.knn(known),
        lambda known: scores.knn_sum(known),
        lambda known: scores.vim(known, np.eye(2), np.ones(2), 1),
    ],
    ids=["gram_deviation", "mahalanobis", "knn", "knn_sum", "vim"],
)
def test_a_fitted_score_wants_codes_of_the_same_width(make):
    random = np.random.default_rng(0)
    score = make(Output(10 * np.eye(2)[np.arange(12) % 2], random.random((12, 2)) + 1))
    assert score(Output(np.eye(2), np.ones((2, 2)))).shape == (2,)
    for width in (1, 3):
        with pytest.raises(ValueError, match=r"output: expected code \[N, 2\]"):
            score(Output(np.eye(2), np.ones((2, width))))


def test_knn_sum_searches_the_class_that_is_named():
    random, member = np.random.default_rng(0), np.arange(40) % 2
    known = Output(10 * np.eye(2)[member], random.random((40, 3)) + 3 * np.eye(2, 3)[member])
    other = Output(10 * np.eye(2)[[0, 1]], np.array([[0.5, 3.5, 0.5], [0.5, 3.5, 0.5]]))  # looks like class 1
    parts = [scores.knn(known, 1, p, member)(other) / scores.knn(known, 2, p, member)(known).std() for p in (1, 0)]
    told = scores.knn_sum(known, member)(other)
    np.testing.assert_allclose(told, sum(parts), rtol=1e-5)
    assert told[0] > 5 * told[1]
    assert scores.knn_sum(known)(other)[0] == pytest.approx(scores.knn_sum(known)(other)[1])
    assert np.isfinite(scores.knn_sum(known, sample=2)(other)).all()


def test_gram_deviation_of_six_images():
    order = np.random.default_rng(0).permutation(6)  # the first is held out; two of class 0 are left, and three of 1
    code = np.empty((6, 1))
    code[order, 0] = [1, 0, 2, 0, 2, 1]
    member = np.ones(6, int)
    member[order[1:3]] = 0
    known = Output(10 * np.eye(2)[member], code)
    score = scores.gram_deviation(known, [0])
    values = score(Output(np.eye(2)[[0, 0, 0, 1]], np.array([[3.0], [-1.0], [1.0], [4.0]])))
    np.testing.assert_allclose(values, [0.5, 1e6, 0, 1], rtol=1e-5)
    for share in (0, 0.51):
        with pytest.raises(ValueError, match="held_out: expected a number"):
            scores.gram_deviation(known, [0], share)


def test_the_largest_numbers_of_directions():
    images = np.random.default_rng(0).integers(0, 256, (800, 28, 28), dtype=np.uint8)
    known = Output(10 * np.eye(2)[[0, 1, 0]], np.random.default_rng(0).random((3, 2)))
    with pytest.raises(ValueError, match=r"components: expected a whole number in 1\.\.783"):
        scores.pca_residual(Output(None, None, images=images), 784)
    with pytest.raises(ValueError, match=r"dimension: expected a whole number in 1\.\.1"):
        scores.vim(known, np.eye(2), [1, 1], 2)


def test_a_score_beyond_float32_is_its_largest_number():
    largest, member = np.finfo(np.float32).max, np.arange(12) % 2
    # codes that differ by a billionth: what is far from them is very far
    known = Output(1e14 * np.eye(2)[member], np.random.default_rng(0).random((12, 2)) * 1e-9 + 1)
    far = Output(np.eye(2), np.array([[1e15, -1e15], [-1e15, 1e15]]))
    assert scores.mahalanobis(known, member)(far).tolist() == [largest, largest]
    assert scores.vim(known, np.eye(2), np.ones(2), 1)(far).tolist() == [largest, largest]


def test_vim_wants_the_classes_that_it_was_made_for():
    score = scores.vim(Output(10 * np.eye(2)[[0, 1, 0]], np.random.default_rng(0).random((3, 2))), np.eye(2), [1, 1], 1)
    with pytest.raises(ValueError, match=r"output: expected logits \[N, 2\]"):
        score(Output(np.eye(3), np.ones((3, 2))))


@pytest.mark.parametrize(
    "make",
    [
        lambda known: scores.knn(known, 0),
        lambda known: scores.knn(known, 4),
        lambda known: scores.knn(known, 1.5),
        lambda known: scores.knn(known, normalise=2),
        lambda known: scores.knn(known, labels=np.array([0, 1])),
        lambda known: scores.pca_residual(known),
        lambda known: scores.pca_residual(known._replace(images=np.zeros((3, 28, 28), np.uint8)), 3),
        lambda known: scores.knn(known, labels=np.array([0, 0, 0]))(coded([[1, 0]], [1])),
        lambda known: scores.knn_sum(known._replace(code=np.ones((3, 2), np.float32))),
        lambda known: scores.pca_residual(known._replace(images=np.zeros((3, 28, 28), np.uint8)), 784),
        lambda known: scores.vim(known, np.zeros((2, 3)), np.zeros(2)),
        lambda known: scores.vim(known, np.eye(2), np.zeros(2), 2),
        lambda known: scores.knn(known._replace(code=None)),
        lambda known: scores.knn_sum(known._replace(code=np.full((3, 2), np.nan))),
    ],
)
def test_scores_of_known_images_refuse(make):
    with pytest.raises(ValueError, match="expected"):
        make(coded([[1, 0], [0, 1], [1, 1]]))


def test_vim_refuses_log_probabilities(digits):
    known, last = infer(zoo.load("cnn"), digits.images), zoo.load("cnn").classifier[0]
    parts = last.weight.detach().numpy(), last.bias.detach().numpy()
    with pytest.raises(ValueError, match="log-probabilities are no logits"):
        scores.vim(known, *parts)
    raw = known._replace(logits=known.code @ parts[0].T + parts[1])
    assert scores.vim(raw, *parts)(raw).shape == (500,)
    small = raw._replace(logits=raw.logits / 1000)  # the factor before the residual may be of any size above 0
    assert np.isfinite(scores.vim(small, *parts)(small)).all()


@pytest.mark.parametrize("turn", [lambda field: field[::-1], lambda field: np.frombuffer(field.tobytes(), field.dtype)
                                  .reshape(field.shape)], ids=["mirrored", "read-only"])  # fmt: skip
def test_arrays_that_torch_would_not_take(turn, output, mtae, recwarn):
    turned = Output(*(None if field is None else turn(field) for field in output))
    for score in (scores.style, partial(scores.content, model=mtae), scores.norm, scores.diff):
        plain = score(Output(*(None if field is None else np.array(field) for field in turned)))
        np.testing.assert_array_equal(score(turned), plain)
    assert not recwarn.list


@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_wide_numbers_give_scores_in_float32(dtype, output, mtae):
    wide = output._replace(
        **{name: getattr(output, name).astype(dtype) for name in ("logits", "code", "reconstruction")}
    )
    for score in (
        scores.style,
        partial(scores.content, model=mtae),
        scores.norm,
        scores.diff,
        scores.msp,
        scores.energy,
    ):
        values = score(wide)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, score(output), rtol=1e-4)


def test_known_images_with_too_few_directions_are_refused(digits):
    several = Output(np.eye(10)[np.arange(200) % 10], None, images=np.tile(digits.images[:20], (10, 1, 1)))
    assert scores.pca_residual(several, 19)(several).max() < 1e-3
    with pytest.raises(ValueError, match="20 directions or more, got 19"):
        scores.pca_residual(several, 20)
    with pytest.raises(ValueError, match="1 directions or more, got 0"):
        scores.pca_residual(several._replace(images=np.zeros((200, 28, 28), np.uint8)), 1)


def test_known_codes_that_differ_by_rounding_alone_are_refused():
    random, logits = np.random.default_rng(0), 9 * np.eye(3)[np.arange(60) % 3]
    flat = random.normal(size=(60, 2)) @ random.normal(size=(2, 6))
    for code in (flat, flat.astype(np.float32)):
        with pytest.raises(ValueError, match="beyond the first principal directions"):
            scores.vim(Output(logits, code), random.normal(size=(3, 6)), np.zeros(3), 3)
    for code in (np.full((60, 6), 0.1), np.full((60, 6), 0.1, np.float32)):
        with pytest.raises(ValueError, match="differ within a class"):
            scores.mahalanobis(Output(logits, code), np.arange(60) % 3)


@pytest.mark.parametrize("unit", [1e-6, 1, 1e6])
def test_what_counts_as_rounding_follows_the_size_of_the_codes(unit):
    random, logits = np.random.default_rng(0), 9 * np.eye(3)[np.arange(60) % 3]
    flat, same = unit * random.normal(size=(60, 2)) @ random.normal(size=(2, 6)), np.full((60, 6), unit)
    ways = [
        (flat, lambda known: scores.vim(known, random.normal(size=(3, 6)), np.zeros(3), 3), "beyond the first"),
        (same, lambda known: scores.mahalanobis(known, np.arange(60) % 3), "differ within a class"),
    ]
    for code, make, refusal in ways:
        step = 100 * np.finfo(float).eps * np.linalg.norm(code, axis=1).mean() * random.normal(size=(60, 6)) / 6**0.5
        with pytest.raises(ValueError, match=refusal):
            make(Output(logits, code + 0.3 * step))
        known = Output(logits, code + 3 * step)
        assert np.isfinite(make(known)(known)).all()
