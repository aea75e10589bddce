"""The library against independent implementations; where the two differ, the test says by what and why."""

import numpy as np
import osr_metrics
import pytest
import torch
from crepes.base import ConformalClassifier
from pytorch_ood.detector import KNN, EnergyBased, Gram, Mahalanobis, MaxLogit, MaxSoftmax, ViM
from scipy.spatial.distance import cdist
from scipy.stats import genpareto, spearmanr
from sklearn.decomposition import PCA
from torch import nn

from osrlib import data, losses, metrics, models, scores, thresholds, zoo
from osrlib.models import infer


@pytest.fixture(scope="module")
def training_digits():
    return data.load("mnist", "train").sample(3000)


@pytest.mark.parametrize(
    "ours, theirs",
    [(scores.max_logit, MaxLogit.score), (scores.energy, EnergyBased.score), (scores.msp, MaxSoftmax.score)],
)
def test_scores_of_the_logits(output, ours, theirs):
    expected = theirs(torch.from_numpy(output.logits)).numpy()
    if ours is scores.msp:
        expected = expected + 1  # theirs is minus the largest probability, ours one minus it
    np.testing.assert_allclose(ours(output), expected, atol=1e-5)


def test_mahalanobis(mtae, training_digits, output):
    known = infer(mtae, training_digits.images)
    detector = Mahalanobis(None).fit_features(torch.from_numpy(known.code), torch.from_numpy(training_digits.labels))
    theirs = detector.predict_features(torch.from_numpy(output.code)).numpy()
    # theirs is half the distance, its "covariance" is a sum over the images and not a mean, and it inverts in float32
    ours = scores.mahalanobis(known, training_digits.labels)(output)
    np.testing.assert_allclose(ours, 2 * len(training_digits) * theirs, rtol=0.01)


def test_knn(mtae, training_digits, output):
    known = infer(mtae, training_digits.images)
    for k, power in ((1, 1), (1, 0), (50, 1)):
        theirs = KNN(None, k=k, normalize=bool(power))
        theirs.fit_features(torch.from_numpy(known.code), torch.from_numpy(training_digits.labels))
        expected = theirs.predict_features(torch.from_numpy(output.code)).numpy()
        np.testing.assert_allclose(scores.knn(known, k, power)(output), expected, rtol=1e-3, atol=1e-3)
    # half-normalised, and the fifth neighbour, by the definition
    half = [one.code / np.linalg.norm(one.code, axis=1, keepdims=True) ** 0.5 for one in (known, output)]
    fifth = np.sort(cdist(half[1], half[0]), axis=1)[:, 4]
    np.testing.assert_allclose(scores.knn(known, 5, 0.5)(output), fifth, rtol=1e-3)


def test_vim(mtae, training_digits, output):
    known = infer(mtae, training_digits.images)
    weight, bias = mtae.classifier.weight.detach(), mtae.classifier.bias.detach()
    theirs = ViM(None, d=64, w=weight, b=bias).fit_features(
        torch.from_numpy(known.code), torch.from_numpy(training_digits.labels)
    )
    expected = theirs.predict_features(torch.from_numpy(output.code)).numpy()
    ours = scores.vim(known, weight.numpy(), bias.numpy(), 64)(output)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


def test_pca_residual(mtae, training_digits, output):
    known = infer(mtae, training_digits.images)
    pca = PCA(40, svd_solver="full").fit(training_digits.images.reshape(-1, 784) / 255)
    pixels = output.images.reshape(-1, 784) / 255
    expected = np.linalg.norm(pixels - pca.inverse_transform(pca.transform(pixels)), axis=1)
    np.testing.assert_allclose(scores.pca_residual(known, 40)(output), expected, rtol=1e-3, atol=1e-4)


def test_p_values(output):
    values = scores.norm(output).astype(float)
    calibration, new = values[:300], values[300:]
    theirs = ConformalClassifier().fit(calibration).predict_p(new[:, None], smoothing=False)
    np.testing.assert_allclose(thresholds.Conformal(0.05).fit(calibration).p_values(new), theirs[:, 0])


def test_p_values_by_class(output):
    values, guess = scores.norm(output).astype(float), output.logits.argmax(1)
    theirs = ConformalClassifier().fit(values[:300], bins=guess[:300])
    expected = theirs.predict_p(values[300:, None], bins=guess[300:], smoothing=False)[:, 0]
    line = thresholds.ClassConformal(0.1).fit(values[:300], guess[:300])
    np.testing.assert_allclose(line.p_values(values[300:], guess[300:]), expected)
    # refused is what has a p-value of at most alpha
    np.testing.assert_array_equal(line.reject(values[300:], guess[300:]), expected <= 0.1)


def test_metrics(mtae, digits):
    letters = infer(mtae, data.load("letters").sample(400).images)
    said = infer(mtae, digits.images)
    known, unknown = scores.msp(said), scores.msp(letters)
    right = said.logits.argmax(1) == digits.labels
    together, outside = np.r_[known, unknown], np.r_[np.zeros(500, int), np.ones(400, int)]
    assert metrics.auroc(known, unknown) == pytest.approx(osr_metrics.auroc(together, outside))
    assert metrics.aupr(known, unknown) == pytest.approx(osr_metrics.aupr_out(together, outside), abs=1e-3)
    _, _, area = osr_metrics.oscr_curve(together, outside, np.r_[right, np.zeros(400, bool)].astype(int))
    assert metrics.oscr(known, right, unknown).area == pytest.approx(area, abs=2e-3)
    wrong = np.r_[~right, np.ones(400, bool)]
    curve = metrics.risk_coverage(together, wrong)
    coverage, risk, _ = osr_metrics.rc_curve(together, wrong.astype(float))
    np.testing.assert_allclose(curve.coverage, coverage)
    np.testing.assert_allclose(curve.risk, risk)
    assert curve.area == pytest.approx(osr_metrics.aurc(together, wrong.astype(float)), abs=1e-3)


@pytest.fixture(scope="module")
def gram():
    return models.GramFeatures(zoo.load("cnn"))


def their_gram(model, orders):
    """pytorch-ood's detector on the same three layers of a CNN."""
    layers = list(model.features)
    blocks = [nn.Sequential(*layers[:3]), nn.Sequential(*layers[3:5]), nn.Sequential(*layers[5:])]
    return Gram(model.classifier, blocks, 10, list(orders))


def test_gram_features(gram, digits):
    said, start = infer(gram, digits.images[:20]), 0
    x = models.to_input(digits.images[:20])
    for block in their_gram(gram.model, gram.orders).feature_layers:
        x = block(x)
        for order in gram.orders:
            theirs = Gram._gram_vector(x, order).numpy()
            np.testing.assert_allclose(said.code[:, start : start + theirs.shape[1]], theirs, rtol=2e-4, atol=1e-5)
            start += theirs.shape[1]
    assert start == said.code.shape[1] == len(gram.layer)


def test_gram_deviation(gram, training_digits, digits):
    known = infer(gram, training_digits.images)
    # theirs groups images by their label, ours by the predicted class, as the paper does: give it the same groups. It
    # also draws the held-out images by another generator: the two may differ about as much as two seeds of one do
    x, predicted = models.to_input(training_digits.images), torch.from_numpy(known.logits.argmax(1))
    detectors = [scores.gram_deviation(known, gram.layer, seed=seed) for seed in (0, 1)]
    for seed in (0, 1):
        torch.manual_seed(seed)
        theirs = their_gram(gram.model, gram.orders).to("cpu")
        theirs.fit(list(zip(x.split(500), predicted.split(500), strict=True)))
        detectors.append(lambda output, theirs=theirs: theirs.predict(models.to_input(output.images)).numpy())
    for world in ("patches", "letters"):
        images = np.concatenate([digits.images[:250], data.load(world).images[:250]])
        said = infer(gram, images)
        values = [detector(said) for detector in detectors]
        agreement = spearmanr(np.stack(values, 1)).statistic
        assert agreement[:2, 2:].min() > min(agreement[0, 1], agreement[2, 3]) - 0.02
        areas = [metrics.auroc(one[:250], one[250:]) for one in values]
        assert areas[0] == pytest.approx(areas[2], abs=0.01)


def test_gram_deviation_with_the_same_bounds(gram, training_digits, digits):
    known = infer(gram, training_digits.images)
    seed, held_out = 3, 0.1
    order = np.random.default_rng(seed).permutation(len(training_digits))
    held, rest = np.split(order, [int(held_out * len(order))])
    theirs, guess = their_gram(gram.model, gram.orders).to("cpu"), known.logits[rest].argmax(1)
    sizes = [64] * 5 + [32] * 5 + [256] * 5

    def bounds(side):
        extremes = torch.tensor(np.stack([side(known.code[rest][guess == k], 0) for k in range(10)]))
        parts = extremes.split(sizes, dim=1)
        return [parts[:5], parts[5:10], parts[10:]]

    theirs.feature_min, theirs.feature_max = bounds(np.min), bounds(np.max)
    ours = scores.gram_deviation(known, gram.layer, held_out, seed)
    images = np.concatenate([digits.images[:100], data.load("patches").images[:100]])
    # the expected deviations, by their own function
    per_layer = []
    for layer in range(3):
        theirs.layer_norm = torch.full((3,), torch.inf)
        theirs.layer_norm[layer] = 1
        per_layer.append(theirs.predict(models.to_input(training_digits.images[held])).mean())
    theirs.layer_norm = torch.stack(per_layer)
    np.testing.assert_allclose(
        ours(infer(gram, images)), theirs.predict(models.to_input(images)).numpy(), rtol=1e-3, atol=1e-4
    )


def test_gram_features_do_not_overflow():
    maps = torch.rand(2, 8, 14, 14, generator=torch.Generator().manual_seed(0)) * 1e6
    assert not torch.isfinite(Gram._gram_vector(maps, 10)).all()  # the direct formula leaves the range of float32
    safe = models.gram_rows(maps, (10,))
    truth = ((maps.double() ** 10).flatten(2) @ (maps.double() ** 10).flatten(2).transpose(1, 2)).sum(2) ** 0.1
    np.testing.assert_allclose(safe.numpy(), truth.numpy(), rtol=1e-4)
    tiny = models.gram_rows(maps * 1e-16, (10,))
    np.testing.assert_allclose(tiny.numpy(), truth.numpy() * 1e-32, rtol=1e-4)
    assert (models.gram_rows(torch.zeros(2, 8, 4, 4), (10,)) == 0).all()


def probability_weighted_moments(excess):
    """A generalised Pareto fit without any likelihood (Hosking & Wallis, Technometrics 1987, section 4)."""
    excess = np.sort(excess)
    n = len(excess)
    a0, a1 = excess.mean(), ((n - np.arange(1, n + 1)) / (n - 1) * excess).mean()
    return -(a0 / (a0 - 2 * a1) - 2), 2 * a0 * a1 / (a0 - 2 * a1)  # scipy's sign of the shape


def test_the_tail_fit(mtae):
    drawn = genpareto.rvs(-0.2, size=50_000, random_state=0)
    measured = scores.norm(infer(mtae, data.load("mnist").images)).astype(float)
    # on real scores, whose tail is only nearly a generalised Pareto, two estimators may weigh the misfit differently:
    # there, the lines must agree, not the parameters
    for values in (drawn, measured):
        tail = thresholds.TailModel(values, 0.1)
        shape, scale = probability_weighted_moments(values[values > tail.start] - tail.start)
        if values is drawn:
            assert tail.shape == pytest.approx(shape, abs=0.03) and tail.scale == pytest.approx(scale, rel=0.03)
        other = tail.start + scale / shape * ((tail.mass / 0.01) ** shape - 1)
        assert tail.line(0.01) == pytest.approx(other, rel=0.01)


def test_gram_matrix_and_style_loss_by_hand():
    # two maps of two positions: F = [[1, 2], [0, 1]], F Fᵀ = [[5, 2], [2, 1]], over C·P = 4
    features = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    assert losses.gram_matrix(features).tolist() == [[[1.25, 0.5], [0.5, 0.25]]]
    # against black: the squares are 1.5625, 0.25, 0.25, 0.0625; their mean is 0.53125
    assert losses.style_loss(features, torch.zeros(1, 2, 2)).tolist() == [0.53125]
    assert losses.content_loss(features, torch.zeros(1, 2, 2)).tolist() == [1.5]
