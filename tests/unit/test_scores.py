"""Scores: the formula by hand, the sign, and what known images must be like."""

import copy
from functools import partial

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from osrlib import data, scores, zoo
from osrlib.gram import GramDeviation
from osrlib.output import infer
from osrlib.scores import FURTHEST, KNN, SCORES, Mahalanobis, PCAResidual, Seen, ViM
from tests.conftest import told

BLACK = np.zeros((2, 28, 28), np.uint8)


def drawn(*rows, images=BLACK):
    """Two images, black by default, whose copies have these values in their first pixels."""
    copies = np.zeros((2, 28, 28), np.float32)
    for one, values in zip(copies, rows, strict=True):
        one[0, : len(values)] = values
    return told(reconstruction=copies, images=images)


def coded(codes, classes=None):
    """An Output with these codes, of images that are named as these of two classes."""
    return told(9 * np.eye(2)[np.zeros(len(codes), int) if classes is None else classes], code=codes)


def test_norm_by_hand():
    np.testing.assert_allclose(scores.norm(drawn([0.3, 0.4], [1.0])), [0.5, 1.0], rtol=1e-6)
    image = BLACK.copy()
    image[0, 0, 0] = 255
    # ‖1 − 0.5‖ / ‖1‖, and an empty image counts as one grey level long
    relative = scores.norm(drawn([0.5], [0.1], images=image), relative=True)
    np.testing.assert_allclose(relative, [0.5, 0.1 * 255], rtol=1e-5)


def test_norm_in_another_unit():
    np.testing.assert_allclose(scores.norm(drawn([0.3, 0.4], [1.0]), unit=0.31), [0.5 / 0.31, 1 / 0.31], rtol=1e-6)


def test_diff_by_hand():
    image = BLACK.copy()
    image[0, 0, :3] = 255, 255, 100  # between dark and bright there is a gap: Otsu's level lies in it
    output = drawn([0.9, 0.3, 0.8], [], images=image)
    assert scores.binarised(output)[0][0, 0, :4].tolist() == [True, True, False, False]
    assert scores.binarised(output)[1][0, 0, :4].tolist() == [True, False, True, False]
    assert scores.diff(output).tolist() == [2, 0]
    every = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    flat = told(reconstruction=every / np.float32(255), images=every)
    assert not np.any(scores.binarised(flat)) and scores.diff(flat).sum() == 0  # a flat picture is black


def test_each_picture_has_a_level_of_its_own(output):
    image, copy = scores.binarised(output)
    for pictures, white in ((output.pixels.reshape(-1, 28, 28), image), (output.reconstruction, copy)):
        for picture, one in zip(pictures[:50], white, strict=False):
            # but for the width of a bin, no other cut between two grey values tells dark from bright better
            levels = np.unique(picture)[:-1]
            apart = [between(picture, picture > level) for level in levels]
            assert between(picture, one) >= 0.95 * max(apart)
    # contrast and brightness do not matter, nor does the company
    pale = told(images=output.images // 2 + 60, reconstruction=output.reconstruction / 3 + 0.2)
    assert (scores.binarised(pale)[1] == copy).mean() > 0.9999
    np.testing.assert_array_equal(scores.diff(output[:7]), scores.diff(output)[:7])


def between(picture, white):
    """The variance between a dark and a bright group: what Otsu's level makes largest."""
    share = white.mean()
    return share * (1 - share) * (picture[white].mean() - picture[~white].mean()) ** 2


def test_class_error_by_hand():
    errors = told(errors=[[0.3, 0.1, 0.5], [0.2, 0.2, 0.2]])
    np.testing.assert_allclose(scores.class_error(errors), [0.1, 0.2])
    np.testing.assert_allclose(scores.class_error(errors, relative=True), [0.25, 1.0], rtol=1e-6)
    two = told(errors=[[0.1, 0.4], [0.5, 0.2], [0.0, 0.0]])
    assert scores.class_error(two, relative=True).tolist() == pytest.approx([0.25, 0.4, 0])


def test_style_and_content(mtae, output):
    image = output.pixels.reshape(-1, 28, 28)
    mirrored = told(reconstruction=image[:, :, ::-1], images=output.images)
    assert scores.style(mirrored).max() < 1e-9 < scores.style(output).min()  # it does not see the order of columns
    perfect, values = told(code=output.code, reconstruction=image), scores.content(output, mtae)
    assert scores.content(perfect, mtae).max() < 1e-6 < values.min()
    in_training = zoo.load("mtae").train()
    np.testing.assert_allclose(values, scores.content(output, in_training, batch_size=7), rtol=1e-3, atol=1e-6)
    assert in_training.training


def test_logit_scores_by_hand():
    output = told(np.log([[1.0, 2.0, 1.0], [8.0, 4.0, 4.0]]))
    np.testing.assert_allclose(scores.msp(output), [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(scores.max_logit(output), -np.log([2, 8]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output), -np.log([4, 16]), rtol=1e-6)
    np.testing.assert_allclose(scores.energy(output, 0.5), -0.5 * np.log([6, 96]), rtol=1e-6)
    np.testing.assert_allclose(scores.msp(told(np.log([[0.7, 0.2, 0.1]]) + 3)), [0.3], rtol=1e-5)
    far = told([[1e4, -1e4, 0.0]])
    assert scores.msp(far).tolist() == [0] and scores.energy(far).tolist() == [-1e4]


def test_mahalanobis_by_hand():
    codes = [[0, 1], [0, -1], [4, 1], [4, -1], [2, 0], [-2, 0], [6, 0], [2, 0]]
    # both classes have the covariance diag(2, 1/2)
    score = Mahalanobis(coded(codes), np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    np.testing.assert_allclose(score(coded([[0, 0], [0, 2], [7, 0]])), [0, 8, 4.5], rtol=1e-4, atol=1e-4)
    # the second number never varies: its variance counts as a millionth of the mean one
    flat = Mahalanobis(coded([[-1, 0], [1, 0]]), np.array([0, 0]))
    np.testing.assert_allclose(flat(coded([[2, 0], [0, 1]])), [4, 1 / (0.5 * 1e-6)], rtol=1e-3)


def test_knn_by_hand():
    known, new = coded([[3, 0], [0, 4], [0, 8]]), coded([[0, 2]])
    assert KNN(known, normalise=0)(new).tolist() == [2]
    assert KNN(known, 2, 0)(new)[0] == pytest.approx(13**0.5)
    assert KNN(known)(new)[0] == pytest.approx(0, abs=1e-6)  # the direction is known, the length is not
    assert KNN(known, normalise=0.5)(new)[0] == pytest.approx(2 - 2**0.5)  # z / ‖z‖^½: [0, √2] against [0, 2]
    near = KNN(coded([[1, 0], [0, 1]]), normalise=0, labels=np.array([0, 1]))  # in the class that is named
    assert near(coded([[1, 0], [1, 0]], [0, 1])).tolist() == pytest.approx([0, 2**0.5])
    for few in (lambda: KNN(known, 4), lambda: KNN(known, 2, labels=np.array([0, 0, 1]))):
        with pytest.raises(ValueError, match="k: expected at most"):
            few()


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([1e-6, 1.0, 1e11]), st.sampled_from([0.0, 1000.0]),
)  # fmt: skip
def test_knn_is_brute_force(seed, size, dimension, power, unit, offset):
    random = np.random.default_rng(seed)
    # some known codes are there twice, and all of them may lie far from the origin and close together
    bank = unit * (random.normal(size=(size, dimension))[random.integers(0, size, size)] + offset)
    bank[0] *= offset > 0  # or one of them is zero
    new = np.concatenate([unit * random.normal(size=(5, dimension)), 1.001 * bank[:5], bank[:5], 0 * bank[:1]])
    known, output, k = coded(bank), coded(new), random.integers(1, size + 1)

    def placed(code):
        return code / np.maximum(np.linalg.norm(code.astype(float), axis=1, keepdims=True), 1e-12) ** power

    bank, new = placed(known.code), placed(output.code)
    truth = np.sort(scipy.spatial.distance.cdist(new, bank), axis=1)[:, k - 1]
    largest, far = np.linalg.norm(bank, axis=1).max(), np.linalg.norm(bank - bank.mean(0), axis=1).max()
    # of neighbours that are equally far but for rounding, either may be taken
    slack = 1e-6 * far * (far + np.linalg.norm(new - bank.mean(0), axis=1))
    for score in (KNN(known, k, power), KNN(known, k, power, np.zeros(size, int))):
        got = score(output).astype(float)
        assert (got >= truth - 1e-6 * (truth + largest)).all()
        assert (got <= np.sqrt(truth**2 + slack) + 1e-6 * (truth + largest)).all()


def test_knn_takes_many_images_in_parts():
    random = np.random.default_rng(0)
    bank, new = random.normal(size=(2**14, 3)), random.normal(size=(1100, 3))  # 366 of them at a time
    for k in (1, 50, 2**13):
        truth = scipy.spatial.KDTree(bank).query(new, [k])[0][:, 0]
        np.testing.assert_allclose(KNN(coded(bank), k, 0)(coded(new)), truth, rtol=1e-5, atol=1e-5)
    near = KNN(coded(bank), normalise=0)
    assert (near(coded(bank[:600])) == 0).all()  # itself
    np.testing.assert_allclose(np.concatenate([near(coded(one)) for one in new[:9, None]]), near(coded(new[:9])))


def test_a_gaussian_is_minus_twice_the_log_density():
    random, member = np.random.default_rng(0), np.arange(300) % 2
    codes = random.normal(size=(300, 4)) * [[1, 2, 0.5, 1]] + 3 * np.eye(2, 4)[member]
    score, new = scores.Gaussian(coded(codes), member), random.normal(size=(20, 4))
    classes = [
        scipy.stats.multivariate_normal(codes[member == k].mean(0), np.cov(codes[member == k].T)) for k in (0, 1)
    ]
    wanted = np.min([-2 * one.logpdf(new) for one in classes], 0) - 4 * np.log(2 * np.pi)
    np.testing.assert_allclose(score(coded(new)), wanted, rtol=1e-4, atol=1e-4)
    for few in (codes[:3], np.ones((6, 4))):  # a class of one image, and classes of equal ones
        with pytest.raises(ValueError, match="known: expected codes that differ"):
            scores.Gaussian(coded(few), member[: len(few)])


def test_relative_mahalanobis_is_far_from_its_class_and_not_from_all():
    random, member = np.random.default_rng(0), np.arange(400) % 2
    known = coded(random.normal(size=(400, 3)) + [8, 0, 0] * member[:, None])
    between, aside = scores.RelativeMahalanobis(known, member)(coded([[4.0, 0, 0], [8, 0, 4]]))
    plain_between, plain_aside = Mahalanobis(known, member)(coded([[4.0, 0, 0], [8, 0, 4]]))
    # as far from the nearest class; but what lies aside is far from everything
    np.testing.assert_allclose(plain_between, plain_aside, rtol=0.3)
    assert between > 10 and aside < 5


def test_a_weighted_sum_by_hand():
    known, new = (
        coded(np.random.default_rng(0).normal(size=(50, 3))),
        coded(np.random.default_rng(1).normal(size=(5, 3))),
    )
    first, second = (lambda output: output.code[:, 0]), (lambda output: 1000 + 7 * output.code[:, 1])
    joined = scores.WeightedSum({"a": (first, 1), "b": (second, 0.25)}, known)
    standard = [(one(new) - one(known).mean()) / one(known).std() for one in (first, second)]
    np.testing.assert_allclose(joined(new), standard[0] + 0.25 * standard[1], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="known: expected images that differ in flat"):
        scores.WeightedSum({"flat": (lambda output: np.ones(len(output)), 1)}, known)


def test_a_class_without_known_images():
    codes, layer = np.random.default_rng(0).uniform(1, 2, (40, 3)), np.array([0, 0, 1])
    known, new = coded(codes), coded(codes[:2] + 0.1, [0, 1])
    for score in (KNN(known, labels=np.zeros(40, int)), GramDeviation(known, layer)):
        near, nowhere = score(new)
        assert near < 100 and nowhere == FURTHEST


def test_pca_residual_by_hand(digits):
    images = np.zeros((4, 28, 28), np.uint8)
    images[:, 0, 0] = [0, 51, 102, 153]  # one direction explains them all
    odd = images[:1].copy()
    odd[0, 5, 5] = 255
    score = PCAResidual(told(images=images), 1)
    assert score(told(images=images)).max() < 1e-5 and score(told(images=odd))[0] == pytest.approx(1, abs=1e-4)
    twenty = told(images=np.tile(digits.images[:20], (10, 1, 1)))
    assert PCAResidual(twenty, 19)(twenty).max() < 1e-3
    for few, components in ((twenty.images, 20), (images, 2), (np.zeros((200, 28, 28)), 1)):
        with pytest.raises(ValueError, match="known: expected images that differ"):
            PCAResidual(told(images=few), components)


def test_vim_by_hand():
    # logits are z₀ and −z₀; the second number of a code is what the classifier ignores
    weight, codes = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[4.0, 1.0], [-4.0, 1.0], [4.0, -1.0], [-4.0, -1.0]])
    new = np.array([[4.0, 0.0], [4.0, 3.0]])
    near, far = ViM(told(codes @ weight.T, code=codes), weight, np.zeros(2), 1)(told(new @ weight.T, code=new))
    assert near == pytest.approx(-np.logaddexp(4, -4), rel=1e-5)
    assert far - near == pytest.approx(4 / 1 * 3)  # mean largest logit 4 over mean residual 1, times 3
    # centred where the logits vanish: with a bias of (2, −2) that is at z₀ = −2
    shifted = ViM(told(codes @ weight.T, code=codes - [2, 0]), weight, np.array([2.0, -2.0]), 1)
    np.testing.assert_allclose(shifted(told(new @ weight.T, code=new - [2, 0])), [near, far], rtol=1e-5)


def test_openmax_by_hand():
    # four images of a class lie 1, 2, 3 and 6 from its mean, along the other logits
    steps = np.array([1, -1, 2, -2, 3, -3, 6, -6])
    known = told([[20, step, 0] for step in steps] + [[step, 20, 0] for step in steps])
    labels, new = np.arange(16) // 8, told([[20, 0, 0], [20, 0, 19], [0, 0, 20]])
    near, far, nowhere = scores.OpenMax(known, labels, 4, 1)(new)
    assert 1 < near * np.exp(20) < 2  # of 20, less than log 2 is taken
    assert far == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-3)  # all
    assert nowhere == pytest.approx(1 / (1 + 3 * np.exp(-20)))  # all: the class has no known images
    # of the second of two, half is taken: 6 + 4 / 2 for the unknown, and 4 / 2 is left
    two = scores.OpenMax(known[:8], labels[:8], 4, 2)(told([[0, 4, 6]]))
    assert two[0] == pytest.approx(np.exp(8) / (np.exp(8) + np.exp(2) + 2))
    # Weibull's distribution function, with the parameters that make the four distances most likely
    x = 10_000 + np.array([3, 3, 6, 6]) - 3.0
    with np.errstate(over="ignore"):  # it searches far and wide
        shape, _, scale = scipy.stats.weibull_min.fit(x, 20_000, floc=0, scale=10_003)
    w = scipy.stats.weibull_min.cdf(10_000 + 4 - 3, shape, scale=scale)
    ours = scores.OpenMax(known, labels, 4, 1)(told([[20, 0, 4]]))
    taken = np.exp([20 * w, 20 - 20 * w, 0, 4])
    assert ours[0] == pytest.approx(taken[0] / taken.sum(), rel=1e-3)
    for same in (np.eye(3)[labels], np.ones((16, 3))):
        with pytest.raises(ValueError, match="known: expected logits at different distances"):
            scores.OpenMax(told(same), np.argmax(same, 1))


def test_gen_by_hand():
    output = told(np.log([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]))
    np.testing.assert_allclose(scores.gen(output, 0.5), [0.5 + 2 * 0.1875**0.5, 0.4 + 0.6], rtol=1e-5)
    np.testing.assert_allclose(scores.gen(output, 0.5, 1), [0.5, 0.4], rtol=1e-5)
    np.testing.assert_allclose(scores.gen(told([[0.0, 0, 0, 0]])), [4 * 0.1875**0.1], rtol=1e-5)
    # the surer the less, far beyond what 1 − p can hold
    assert (np.diff(scores.gen(told([[step, 0.0, 0.0] for step in (20, 50, 100, 1000)]))) < 0).all()


def test_she_by_hand():
    known = coded([[1, 0], [3, 0], [9, 9], [0, 4]], [0, 0, 0, 1])
    score = scores.SHE(known, np.array([0, 0, 1, 1]))  # the third is named wrongly
    assert score(coded([[1, 5], [1, 5], [-1, 0]], [0, 1, 0])).tolist() == [-2, -20, 2]
    assert scores.SHE(known[:2], np.array([0, 0]))(coded([[1, 5]], [1])).tolist() == [FURTHEST]
    for make in (scores.SHE, scores.OpenMax):
        with pytest.raises(ValueError, match="known: expected images that the classifier names"):
            make(known, np.array([1, 1, 1, 0]))


def test_nnguide_by_hand():
    # E = log 4, log 2 and log 8; along the axes, whatever the length
    known = told(np.log([[3, 1], [1, 1], [4, 4]]), code=[[2, 0], [0, 5], [-1, 0]])
    new = told(np.log([[8, 8], [1, 1]]), code=[[3, 4], [0, -1]])
    cosines = np.array([[0.6, 0.8, -0.6], [0, -1, 0]]) * np.log([4, 2, 8])
    for k in (1, 2, 3):
        expected = -np.log([16, 2]) * np.sort(cosines)[:, -k:].mean(1)
        np.testing.assert_allclose(scores.NNGuide(known, k)(new), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="k: expected at most"):
        scores.NNGuide(known, 4)


def test_fdbd_by_hand():
    weight = np.array([[3.0, 0], [0, 4], [0, 0]])  # 5, 3 and 4 apart
    known = told(np.zeros((2, 3)), code=[[1, 1], [1, 3]])  # their mean is (1, 2)
    new = told([[6, 1, 0.0], [0, 4, 4]], code=[[1, 4], [4, 6]])  # 2 and 5 from it
    expected = [-((6 - 1) / 5 + (6 - 0) / 3) / 2 / 2, -((4 - 0) / 5 + 0) / 2 / 5]
    np.testing.assert_allclose(scores.FDBD(known, weight)(new), expected, rtol=1e-6)
    for wrong in (np.ones((2, 2)), weight[:1]):
        with pytest.raises(ValueError, match="weight: expected two rows"):
            scores.FDBD(known, wrong)


def test_changed_codes_by_hand():
    weight, bias = np.array([[1.0, 1, 0, 0], [0, 0, 2, -1]]), np.array([0.0, 1.0])

    def expected(code, weight=weight):
        return -np.logaddexp(*(weight @ code + bias))

    known = coded([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, -100]])
    code = np.array([7.5, -50, 3, 4])
    new = coded([code])
    # half of the twelve numbers lie below 4.5
    assert scores.ReAct(known, weight, bias, 0.5)(new) == pytest.approx(expected([4.5, -50, 3, 4]))
    assert scores.ReAct(known, weight, bias, 1)(new) == pytest.approx(expected(code))
    assert scores.ASH(weight, bias, 0.5, "P")(new) == pytest.approx(expected([7.5, 0, 0, 4]))
    factor = np.exp((7.5 - 50 + 3 + 4) / 11.5)
    assert scores.ASH(weight, bias, 0.5)(new) == pytest.approx(expected([7.5 * factor, 0, 0, 4 * factor]))
    # where nothing above 0 is left: e², as for a code of which all is left in the half that is kept
    assert scores.ASH(weight, bias, 0.5)(coded([[-1, -1, -9, -9]])) == pytest.approx(
        expected(np.exp(2) * np.array([-1, -1, 0, 0])), rel=1e-5
    )
    # the mean code is (4, 5, 6, −30): contributions 4, 5, 0, 0 and 0, 0, 12, 30
    best = np.array([[0.0, 1, 0, 0], [0, 0, 2, -1]])
    assert scores.DICE(known, weight, bias, 0.55)(new) == pytest.approx(expected(code, best))
    with pytest.raises(ValueError, match="logits: expected finite numbers"):
        scores.ReAct(known, 1e15 * weight, bias)(new)


def test_vim_refuses_log_probabilities(digits):
    model = zoo.load("cnn")
    known, (weight, bias) = infer(model, digits.images), (p.detach().numpy() for p in model.classifier[0].parameters())
    for logits in (known.logits, 0 * known.logits):
        with pytest.raises(ValueError, match="log-probabilities"):
            ViM(told(logits, code=known.code), weight, bias)
    # the factor before the residual may be of any size above 0
    small = told((known.code @ weight.T + bias) / 1000, code=known.code)
    assert np.isfinite(ViM(small, weight, bias)(small)).all()


def test_a_score_beyond_float32_is_its_largest_number():
    member = np.arange(12) % 2
    # codes that lie together closely: what is far from them is very far
    known = told(1e15 * np.eye(2)[member], code=1e-12 * (1 + np.random.default_rng(0).random((12, 2))))
    far = told(np.eye(2), code=[[1e15, -1e15], [-1e15, 1e15]])
    for score in (Mahalanobis(known, member), ViM(known, np.eye(2), np.ones(2), 1)):
        assert score(far).tolist() == [FURTHEST, FURTHEST]


@pytest.mark.parametrize("unit", [1e-6, 1, 1e6])
def test_codes_that_differ_by_rounding_alone_are_refused(unit):
    random, member = np.random.default_rng(0), np.arange(60) % 3
    flat, weight = unit * random.normal(size=(60, 2)) @ random.normal(size=(2, 6)), random.normal(size=(3, 6))
    ways = [
        (flat, lambda known: ViM(known, weight, np.zeros(3), 3)),
        (np.full((60, 6), unit), lambda known: Mahalanobis(known, member)),
    ]
    for code, make in ways:
        step = 100 * np.finfo(np.float32).eps * np.linalg.norm(code, axis=1).mean() * random.normal(size=(60, 6))
        for factor in (0, 0.3):
            with pytest.raises(ValueError, match="known: expected codes that differ"):
                make(told(9 * np.eye(3)[member], code=code + factor * step / 6**0.5))
        known = told(9 * np.eye(3)[member], code=code + 3 * step / 6**0.5)
        assert np.isfinite(make(known)(known)).all()


def test_gram_deviation_by_hand():
    order = np.random.default_rng(0).permutation(6)  # the first is held out; two of class 0 are left, and three of 1
    codes, member, layer = np.empty((6, 1)), np.ones(6, int), np.array([0])
    codes[order, 0], member[order[1:3]] = [1, 0, 2, 0, 2, 1], 0
    known, new = coded(codes, member), coded([[3.0], [-1.0], [1.0], [4.0]], [0, 0, 0, 1])
    np.testing.assert_allclose(GramDeviation(known, layer)(new), [0.5, 1e6, 0, 1], rtol=1e-5)
    np.testing.assert_array_equal(GramDeviation(known, layer)(new), GramDeviation(known, layer, 0.1, 0)(new))
    GramDeviation(known, layer, 0.5)
    wide = coded(np.ones((6, 2)), member)
    for wrong in ((known, layer, 0), (known, layer, 0.51), (wide, layer), (wide, np.array([1, 0]))):
        with pytest.raises(ValueError, match="layer, held_out: expected"):
            GramDeviation(*wrong)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_made_from_what_it_has_seen(name, training_digits, digits):
    network = zoo.load("mtae-rule")
    known, output = (infer(network, images.images) for images in (training_digits, digits))
    seen = Seen(network, known, training_digits.labels, output)
    if name.startswith("C2AE"):
        seen = Seen(zoo.load("c2ae"))
        output = infer(seen.model, digits.images[:50])
    score = SCORES[name](seen)
    # by what ASH and DICE leave of this network, letters look hardly more unknown than digits, or less
    world = data.load("patches" if name in ("ASH", "DICE") else "letters")
    of_known, unknown = score(output), score(infer(seen.model, world.sample(200).images))
    for got, n in ((of_known, len(output)), (unknown, 200)):
        told = f"expected finite float32 [{n}], got {got.dtype} {list(got.shape)}"
        assert got.dtype == np.float32 and got.shape == (n,) and np.isfinite(got).all(), told
    middle = {"digits": np.median(of_known), world.name: np.median(unknown)}
    assert middle[world.name] > middle["digits"], f"larger is more unknown; is the sign turned round? medians: {middle}"
    np.testing.assert_array_equal(copy.deepcopy(score)(output), of_known)


def test_what_is_left_out_is_what_the_chapters_use():
    network = zoo.load("mtae-rule")
    digits = data.load("mnist", "train").sample(2500, seed=2)
    known, output = infer(network, digits.images), infer(network, data.load("mnist").images[:200])
    weight, bias = (part.detach().double().numpy() for part in (network.classifier.weight, network.classifier.bias))
    for short, whole in (
        (KNN(known), KNN(known, 1, 1.0, None)),
        (PCAResidual(known), PCAResidual(known, 150)),
        (ViM(known, weight, bias), ViM(known, weight, bias, 64)),
        (scores.energy, partial(scores.energy, temperature=1.0)),
        (scores.gen, partial(scores.gen, gamma=0.1, top=100)),
        (scores.OpenMax(known, digits.labels), scores.OpenMax(known, digits.labels, 20, 10)),
        (scores.NNGuide(known), scores.NNGuide(known, 10)),
        (scores.ReAct(known, weight, bias), scores.ReAct(known, weight, bias, 0.9)),
        (scores.ASH(weight, bias), scores.ASH(weight, bias, 0.9, "S")),
        (scores.DICE(known, weight, bias), scores.DICE(known, weight, bias, 0.9)),
        (scores.norm, partial(scores.norm, relative=False, unit=1.0)),
    ):
        np.testing.assert_array_equal(short(output), whole(output))
