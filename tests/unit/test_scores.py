"""Scores: the formula by hand, the sign, and what known images must be like."""

import copy

import numpy as np
import pytest

from osrlib import data, scores, zoo
from osrlib.gram import GramDeviation
from osrlib.output import infer
from osrlib.scores import FURTHEST, KNN, SCORES, KNNSum, Mahalanobis, PCAResidual, Seen, ViM
from tests.conftest import told

BLACK = np.zeros((2, 28, 28), np.uint8)


def drawn(*rows, images=BLACK):
    """Two images, black by default, whose copies have these values in their first pixels."""
    copies = np.zeros((2, 28, 28), np.float32)
    for one, values in zip(copies, rows, strict=True):
        one[0, : len(values)] = values
    return told(reconstruction=copies, images=images)


# ---------------------------------------------------------------------------------------------------------------------
# Copies


def test_norm_by_hand():
    np.testing.assert_allclose(scores.norm(drawn([0.3, 0.4], [1.0])), [0.5, 1.0], rtol=1e-6)
    image = BLACK.copy()
    image[0, 0, 0] = 255
    # ‖1 − 0.5‖ / ‖1‖, and an empty image counts as one grey level long
    np.testing.assert_allclose(
        scores.norm(drawn([0.5], [0.1], images=image), relative=True), [0.5, 0.1 * 255], rtol=1e-5
    )


def test_diff_by_hand():
    output = drawn([0.6, 0.4, 0.9], [0.1])
    assert scores.diff(output).tolist() == [2, 0]
    assert scores.diff(output, level=0.2).tolist() == [3, 0]
    image, copied = scores.binarised(output, 0.2)
    assert image.dtype == copied.dtype == bool and not image.any() and copied[0, 0, :4].tolist() == [1, 1, 1, 0]


def test_diff_binarises_image_and_copy_alike():
    images = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    output = told(reconstruction=images / np.float32(255), images=images)
    assert all(scores.diff(output, level).sum() == 0 for level in (0.2, 0.5, 0.7))


def test_class_error_by_hand():
    output = told(errors=[[0.3, 0.1, 0.5], [0.2, 0.2, 0.2]])
    np.testing.assert_allclose(scores.class_error(output), [0.1, 0.2])
    np.testing.assert_allclose(scores.class_error(output, relative=True), [0.25, 1.0], rtol=1e-6)
    two = told(errors=[[0.1, 0.4], [0.5, 0.2], [0.0, 0.0]])
    assert scores.class_error(two, relative=True).tolist() == pytest.approx([0.25, 0.4, 0])


def test_style_does_not_see_the_order_of_columns(output):
    turned = told(reconstruction=(output.images / np.float32(255))[:, :, ::-1], images=output.images)
    assert scores.style(turned).max() < 1e-9 < scores.style(output).min()


def test_content_encodes_the_copy(mtae, output):
    perfect = told(output.logits, code=output.code, reconstruction=output.pixels.reshape(-1, 28, 28))
    assert scores.content(perfect, mtae).max() < 1e-6
    values = scores.content(output, mtae)
    assert values.dtype == np.float32 and values.min() > 0
    in_training = zoo.load("mtae").train()
    for model, batch_size in ((mtae, 7), (in_training, 250)):
        np.testing.assert_allclose(values, scores.content(output, model, batch_size), rtol=1e-3, atol=1e-6)
    assert in_training.training


# ---------------------------------------------------------------------------------------------------------------------
# Logits


def test_logit_scores_by_hand():
    output = told(np.log([[1.0, 2.0, 1.0], [8.0, 4.0, 4.0]]))
    np.testing.assert_allclose(scores.msp(output), [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(scores.max_logit(output), -np.log([2, 8]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output), -np.log([4, 16]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output, 0.5), -0.5 * np.log([6, 96]), rtol=1e-6)
    np.testing.assert_allclose(scores.msp(told(np.log([[0.7, 0.2, 0.1]]) + 3)), [0.3], rtol=1e-5)
    far = told([[1e4, -1e4, 0.0]])
    assert scores.msp(far).tolist() == [0] and scores.energy(far).tolist() == [-1e4]


# ---------------------------------------------------------------------------------------------------------------------
# What must first see known images


def coded(codes, classes=None):
    """An Output with these codes, of images that are named as these of two classes."""
    return told(9 * np.eye(2)[np.zeros(len(codes), int) if classes is None else classes], code=codes)


def test_mahalanobis_by_hand():
    codes = [[0, 1], [0, -1], [4, 1], [4, -1], [2, 0], [-2, 0], [6, 0], [2, 0]]
    # both classes have the covariance diag(2, 1/2)
    score = Mahalanobis(coded(codes), np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    np.testing.assert_allclose(score(coded([[0, 0], [0, 2], [7, 0]])), [0, 8, 4.5], rtol=1e-4, atol=1e-4)


def test_mahalanobis_where_codes_fill_no_volume():
    # the second number never varies: its variance counts as a millionth of the mean one
    score = Mahalanobis(coded([[-1, 0], [1, 0]]), np.array([0, 0]))
    assert score(coded([[2, 0]]))[0] == pytest.approx(4, rel=1e-3)
    assert score(coded([[0, 1]]))[0] == pytest.approx(1 / (0.5 * 1e-6), rel=1e-3)


def test_knn_by_hand():
    known, new = coded([[3, 0], [0, 4], [0, 8]]), coded([[0, 2]])
    assert KNN(known, normalise=0)(new).tolist() == [2]
    assert KNN(known, 2, 0)(new)[0] == pytest.approx(13**0.5)
    assert KNN(known)(new)[0] == pytest.approx(0, abs=1e-6)  # the direction is known, the length is not
    # z / ‖z‖^½: [0, √2] against [0, 2]
    assert KNN(known, normalise=0.5)(new)[0] == pytest.approx(2 - 2**0.5)
    with pytest.raises(ValueError, match="k: expected"):
        KNN(known, 4)


def test_knn_in_the_class_that_is_named():
    labels = np.array([0, 1])
    near = KNN(coded([[1, 0], [0, 1]]), normalise=0, labels=labels)
    assert near(coded([[1, 0], [1, 0]], [0, 1])).tolist() == pytest.approx([0, 2**0.5])
    with pytest.raises(ValueError, match="k: expected"):  # each class has one image
        KNN(coded([[1, 0], [0, 1]]), 2, labels=labels)


def test_knn_sum_by_hand():
    random, member = np.random.default_rng(0), np.arange(300) % 2
    codes = random.normal(size=(300, 8)) + 3 * np.eye(2, 8)[member]
    known, new = coded(codes, member), coded(random.normal(size=(20, 8)), np.arange(20) % 2)
    some = known[np.random.default_rng(5).permutation(300)[:100]]
    for labels in (None, member):
        for powers in ((1.0, 0.0), (0.5,)):
            parts = [KNN(known, 1, p, labels)(new) / KNN(known, 2, p, labels)(some).std() for p in powers]
            got = KNNSum(known, labels, powers, sample=100, seed=5)(new)
            np.testing.assert_allclose(got, sum(parts), rtol=1e-5)
            assert got.dtype == np.float32
    np.testing.assert_array_equal(KNNSum(known)(new), KNNSum(known, None, (1.0, 0.0), 2000, 0)(new))
    assert np.isfinite(KNNSum(known, sample=2)(new)).all()


@pytest.mark.parametrize("make", [KNN, KNNSum], ids=["KNN", "KNNSum"])
def test_an_image_of_a_class_without_known_images_is_as_unknown_as_can_be(make):
    random = np.random.default_rng(0)
    score = make(coded(random.normal(size=(30, 3))), labels=np.zeros(30, int))
    near, nowhere = score(coded(random.normal(size=(2, 3)), [0, 1]))
    assert near < 100 and nowhere == FURTHEST


def test_known_images_that_are_taken_for_a_class_without_any_spoil_no_distance():
    codes = np.random.default_rng(0).normal(size=(30, 3))
    plain, mistaken = (KNNSum(coded(codes, np.arange(30) // (30 - few)), labels=np.zeros(30, int)) for few in (0, 2))
    np.testing.assert_allclose(mistaken(coded(codes + 0.1)), plain(coded(codes + 0.1)), rtol=0.2)


def test_pca_residual_by_hand():
    images = np.zeros((4, 28, 28), np.uint8)
    images[:, 0, 0] = [0, 51, 102, 153]  # one direction explains them all
    odd = images[:1].copy()
    odd[0, 5, 5] = 255
    score = PCAResidual(told(images=images), 1)
    assert score(told(images=images)).max() < 1e-5
    assert score(told(images=odd))[0] == pytest.approx(1, abs=1e-4)


def test_vim_by_hand():
    # logits are z₀ and −z₀; the second number of a code is what the classifier ignores
    weight, bias = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.zeros(2)
    codes = np.array([[4.0, 1.0], [-4.0, 1.0], [4.0, -1.0], [-4.0, -1.0]])
    score = ViM(told(codes @ weight.T, code=codes), weight, bias, 1)
    new = np.array([[4.0, 0.0], [4.0, 3.0]])
    near, far = score(told(new @ weight.T, code=new))
    assert near == pytest.approx(-np.logaddexp(4, -4), rel=1e-5)
    assert far - near == pytest.approx(4 / 1 * 3)  # mean largest logit 4 over mean residual 1, times 3
    # centred where the logits vanish: with a bias of (2, −2) that is at z₀ = −2
    moved = codes - [2, 0]
    shifted = ViM(told(codes @ weight.T, code=moved), weight, np.array([2.0, -2.0]), 1)
    np.testing.assert_allclose(shifted(told(new @ weight.T, code=new - [2, 0])), [near, far], rtol=1e-5)


def test_vim_refuses_log_probabilities(digits):
    model = zoo.load("cnn")
    weight, bias = (part.detach().numpy() for part in model.classifier[0].parameters())
    known = infer(model, digits.images)
    with pytest.raises(ValueError, match="log-probabilities"):
        ViM(known, weight, bias)
    # the factor before the residual may be of any size above 0
    small = told((known.code @ weight.T + bias) / 1000, code=known.code)
    assert np.isfinite(ViM(small, weight, bias)(small)).all()


def test_a_score_beyond_float32_is_its_largest_number():
    member = np.arange(12) % 2
    # codes that lie together closely: what is far from them is very far
    known = told(1e15 * np.eye(2)[member], code=1e-12 * (1 + np.random.default_rng(0).random((12, 2))))
    far = told(np.eye(2), code=[[1e15, -1e15], [-1e15, 1e15]])
    assert Mahalanobis(known, member)(far).tolist() == [FURTHEST, FURTHEST]
    assert ViM(known, np.eye(2), np.ones(2), 1)(far).tolist() == [FURTHEST, FURTHEST]


# ---------------------------------------------------------------------------------------------------------------------
# Gram deviation


def test_gram_deviation_by_hand():
    # features in two layers of two: classes 0 and 1 lie in [1, 2] and [3, 4]
    random, guess, layer = np.random.default_rng(0), np.arange(400) % 2, np.array([0, 0, 1, 1])
    known = coded(random.uniform(1, 2, (400, 4)) + 2 * guess[:, None], guess)
    score = GramDeviation(known, layer, held_out=0.5)
    held, rest = np.split(np.random.default_rng(0).permutation(400), [200])

    def deviation(values, k):
        low, high = known.code[rest][guess[rest] == k].min(0), known.code[rest][guess[rest] == k].max(0)
        outside = np.maximum(low - values, 0) / low + np.maximum(values - high, 0) / high
        return outside[:, :2].sum(1), outside[:, 2:].sum(1)

    parts = [deviation(known.code[held][guess[held] == k], k) for k in (0, 1)]
    expected = [np.concatenate([part[i] for part in parts]).mean() for i in (0, 1)]
    new = np.array([[1.5, 1.5, 1.5, 1.5], [0.5, 1.5, 1.5, 4.0]])
    by_hand = sum(part / mean for part, mean in zip(deviation(new, 0), expected, strict=True))
    np.testing.assert_allclose(score(coded(new)), by_hand, rtol=1e-4)
    assert by_hand[0] == 0 < by_hand[1]
    assert score(coded(new[:1], [1]))[0] > 0  # the same features are out of bounds for the other class


def test_gram_deviation_of_six_images():
    order = np.random.default_rng(0).permutation(6)  # the first is held out; two of class 0 are left, and three of 1
    codes, member = np.empty((6, 1)), np.ones(6, int)
    codes[order, 0], member[order[1:3]] = [1, 0, 2, 0, 2, 1], 0
    layer = np.array([0])
    score = GramDeviation(coded(codes, member), layer)
    values = score(coded([[3.0], [-1.0], [1.0], [4.0]], [0, 0, 0, 1]))
    np.testing.assert_allclose(values, [0.5, 1e6, 0, 1], rtol=1e-5)
    np.testing.assert_array_equal(values, GramDeviation(coded(codes, member), layer, 0.1, 0)(
        coded([[3.0], [-1.0], [1.0], [4.0]], [0, 0, 0, 1])))  # fmt: skip
    GramDeviation(coded(codes, member), layer, 0.5)
    for wrong in (0, 0.51):
        with pytest.raises(ValueError, match="held_out"):
            GramDeviation(coded(codes, member), layer, wrong)
    for wrong in ([0, 0], [1, 0]):
        with pytest.raises(ValueError, match="layer"):
            GramDeviation(coded(np.ones((6, 2)), member), np.array(wrong)[: 1 if wrong[0] == 0 else 2])


def test_gram_deviation_of_a_class_without_known_images():
    known = coded(np.random.default_rng(0).uniform(1, 2, (40, 2)))
    score = GramDeviation(known, np.array([0, 1]))
    inside, nowhere = score(coded([[1.5, 1.5], [1.5, 1.5]], [0, 1]))
    assert inside < 1 and nowhere == FURTHEST


# ---------------------------------------------------------------------------------------------------------------------
# Known images that are of no use


def test_known_images_with_too_few_directions_are_refused(digits):
    twenty = told(images=np.tile(digits.images[:20], (10, 1, 1)))
    assert PCAResidual(twenty, 19)(twenty).max() < 1e-3
    for images, components in ((twenty.images, 20), (np.zeros((200, 28, 28)), 1)):
        with pytest.raises(ValueError, match="known: expected"):
            PCAResidual(told(images=images), components)


@pytest.mark.parametrize("unit", [1e-6, 1, 1e6])
def test_codes_that_differ_by_rounding_alone_are_refused(unit):
    random, member = np.random.default_rng(0), np.arange(60) % 3
    flat, same = unit * random.normal(size=(60, 2)) @ random.normal(size=(2, 6)), np.full((60, 6), unit)
    weight = random.normal(size=(3, 6))
    ways = [(flat, lambda known: ViM(known, weight, np.zeros(3), 3)), (same, lambda known: Mahalanobis(known, member))]
    for code, make in ways:
        for step, enough in ((0, False), (0.3, False), (3, True)):
            step = step * 100 * np.finfo(np.float32).eps * np.linalg.norm(code, axis=1).mean()
            known = told(9 * np.eye(3)[member], code=code + step * random.normal(size=(60, 6)) / 6**0.5)
            if enough:
                assert np.isfinite(make(known)(known)).all()
            else:
                with pytest.raises(ValueError, match="known: expected codes that differ"):
                    make(known)


def test_the_same_code_for_all_has_no_distances():
    with pytest.raises(ValueError, match="known: expected codes at different"):
        KNNSum(coded(np.ones((3, 2))))


# ---------------------------------------------------------------------------------------------------------------------
# The registry


@pytest.fixture(scope="module")
def seen(mtae, known, training_digits, output):
    return Seen(mtae, known, training_digits.labels, output)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_made_from_what_it_has_seen(name, seen, mtae, output, digits):
    if name.startswith("C2AE"):
        seen = Seen(zoo.load("c2ae"))
        output = infer(seen.model, digits.images[:50])
    score = SCORES[name](seen)
    known, unknown = score(output), score(infer(seen.model, data.load("letters").sample(200).images))
    assert known.dtype == unknown.dtype == np.float32 and known.shape == (len(output),)
    assert np.isfinite(known).all() and np.isfinite(unknown).all() and np.median(unknown) > np.median(known)
    np.testing.assert_array_equal(copy.deepcopy(score)(output), known)
