"""The library against independent implementations; where the two differ, the test says by what and why."""

import numpy as np
import osr_metrics
import pytest
import torch
from crepes.base import ConformalClassifier
from pytorch_ood.detector import (
    ASH,
    DICE,
    GEN,
    KNN,
    SHE,
    EnergyBased,
    Gram,
    Mahalanobis,
    MaxLogit,
    MaxSoftmax,
    NNGuide,
    OpenMax,
    ReAct,
    ViM,
    fDBD,
)
from sklearn.decomposition import PCA
from torch import nn

from osrlib import data, metrics, scores, thresholds, zoo
from osrlib.gram import GramDeviation, GramFeatures, gram_rows
from osrlib.output import infer, to_input
from tests.conftest import told


def fitted(detector, known, labels):
    """One of pytorch-ood's detectors, on our codes; and what it says of an output, as an array."""
    detector.fit_features(torch.from_numpy(known.code), torch.from_numpy(labels))
    return lambda output: detector.predict_features(torch.from_numpy(output.code)).numpy()


@pytest.mark.parametrize(
    "ours, theirs",
    [(scores.max_logit, MaxLogit.score), (scores.energy, EnergyBased.score), (scores.msp, MaxSoftmax.score)],
)
def test_scores_of_the_logits(output, ours, theirs):
    expected = theirs(torch.from_numpy(output.logits)).numpy()
    if ours is scores.msp:
        expected = expected + 1  # theirs is minus the largest probability, ours one minus it
    np.testing.assert_allclose(ours(output), expected, atol=1e-5)


def test_mahalanobis(known, training_digits, output):
    theirs = fitted(Mahalanobis(None), known, training_digits.labels)(output)
    # theirs is half the distance, its "covariance" is a sum over the images and not a mean, and it inverts in float32
    ours = scores.Mahalanobis(known, training_digits.labels)(output)
    np.testing.assert_allclose(ours, 2 * len(training_digits) * theirs, rtol=0.01)


def test_knn(known, training_digits, output):
    for k, power in ((1, 1), (1, 0), (50, 1)):
        expected = fitted(KNN(None, k=k, normalize=bool(power)), known, training_digits.labels)(output)
        np.testing.assert_allclose(scores.KNN(known, k, power)(output), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def network():
    """Chapter 8's network: its codes may be negative."""
    return zoo.load("mtae-rule")


@pytest.fixture(scope="module")
def linear(network):
    """The weight and the bias of its last layer."""
    return network.classifier.weight.detach(), network.classifier.bias.detach()


@pytest.fixture(scope="module")
def seen(network, training_digits):
    return infer(network, training_digits.images)


@pytest.fixture(scope="module")
def new(network, digits):
    """What it says of 250 digits, 100 letters, and 100 patches."""
    worlds = digits[:250], data.load("letters").sample(100), data.load("patches").sample(100)
    return infer(network, np.concatenate([world.images for world in worlds]))


def test_vim(seen, training_digits, new, linear):
    weight, bias = linear
    expected = fitted(ViM(None, d=64, w=weight, b=bias), seen, training_digits.labels)(new)
    ours = scores.ViM(seen, weight.numpy(), bias.numpy(), 64)(new)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-2)


def test_openmax(seen, training_digits, new):
    # theirs takes all images that it is given: give it those that are named rightly
    right = seen.guess == training_digits.labels
    for tail, alpha in ((20, 10), (50, 3)):
        theirs = OpenMax(None, tailsize=tail, alpha=alpha)
        theirs.fit_logits(torch.from_numpy(seen.logits[right]), torch.from_numpy(training_digits.labels[right]))
        expected = theirs.predict_logits(torch.from_numpy(new.logits)).numpy()
        # theirs searches for Weibull's most likely parameters and stops near them; ours solves for them
        ours = scores.OpenMax(seen, training_digits.labels, tail, alpha)(new)
        np.testing.assert_allclose(ours, expected, rtol=3e-3, atol=1e-5)


def test_gen(new):
    # theirs is a mean over classes and ours a sum; and it lifts every probability to 1e-7, which none of these needs
    logits = new.logits / 2
    assert torch.from_numpy(logits).softmax(1).min() > 1e-6
    for top in (10, 3):
        expected = top * GEN.score(torch.from_numpy(logits), gamma=0.1, M=top).numpy()
        np.testing.assert_allclose(scores.gen(told(logits), 0.1, top), expected, rtol=1e-4)


def test_scores_of_the_code(seen, training_digits, new, network, linear):
    head, (weight, bias), labels = network.classifier, linear, training_digits.labels
    arrays = weight.numpy(), bias.numpy()
    for ours, theirs in (
        (scores.SHE(seen, labels), SHE(None, head)),
        (scores.NNGuide(seen, 10), NNGuide(None, head, k=10)),
        (scores.NNGuide(seen, 1), NNGuide(None, head, k=1)),
        (scores.FDBD(seen, arrays[0]), fDBD(None, head)),
        (scores.DICE(seen, *arrays, 0.9), DICE(None, weight, bias, 0.9)),
        (scores.DICE(seen, *arrays, 0.3), DICE(None, weight, bias, 0.3)),
    ):
        np.testing.assert_allclose(ours(new), fitted(theirs, seen, labels)(new), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("share", [0.65, 0.9])
def test_energy_of_changed_codes(seen, training_digits, new, network, linear, share):
    arrays, maps = [part.numpy() for part in linear], torch.from_numpy(new.code)[:, :, None, None]

    def head(maps):
        return network.classifier(maps.flatten(1))

    clipped = ReAct(None, head, percentile=share)
    clipped.fit_feature_maps(torch.from_numpy(seen.code), torch.from_numpy(training_digits.labels))
    for ours, theirs in (
        (scores.ReAct(seen, *arrays, share), clipped),
        (scores.ASH(*arrays, share), ASH(None, head, "ash-s", share)),
        (scores.ASH(*arrays, share, "P"), ASH(None, head, "ash-p", share)),
    ):
        np.testing.assert_allclose(ours(new), theirs.predict_feature_maps(maps).numpy(), rtol=1e-4, atol=1e-4)


def test_pca_residual(known, output):
    pca = PCA(40, svd_solver="full").fit(known.pixels)
    expected = np.linalg.norm(output.pixels - pca.inverse_transform(pca.transform(output.pixels)), axis=1)
    np.testing.assert_allclose(scores.PCAResidual(known, 40)(output), expected, rtol=1e-3, atol=1e-4)


def test_p_values_by_class(output):
    values, guess = scores.norm(output).astype(float), output.guess
    theirs = ConformalClassifier().fit(values[:300], bins=guess[:300])
    expected = theirs.predict_p(values[300:, None], bins=guess[300:], smoothing=False)[:, 0]
    line = thresholds.ClassConformal(0.1).fit(values[:300], guess[:300])
    np.testing.assert_allclose(line.p_values(values[300:], guess[300:]), expected)
    # refused is what has a p-value of at most alpha
    np.testing.assert_array_equal(line.reject(values[300:], guess[300:]), expected <= 0.1)


def test_metrics(mtae, digits, output):
    letters = infer(mtae, data.load("letters").sample(400).images)
    known, unknown, right = scores.msp(output), scores.msp(letters), output.guess == digits.labels
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
    return GramFeatures(zoo.load("cnn"))


@pytest.fixture(scope="module")
def known_gram(gram, training_digits):
    return infer(gram, training_digits.images)


def their_gram(model, orders):
    """pytorch-ood's detector on the same three layers of a CNN."""
    blocks = [
        nn.Sequential(model.conv1, model.relu, model.halve),
        nn.Sequential(model.conv2, model.relu),
        nn.Sequential(model.squeeze, model.flatten, model.linear, model.relu),
    ]
    return Gram(model.classifier, blocks, 10, list(orders)).to("cpu")


def test_gram_features(gram, digits):
    said, start, x = infer(gram, digits.images[:20]), 0, to_input(digits.images[:20])
    for block in their_gram(gram.model, gram.orders).feature_layers:
        x = block(x)
        for order in gram.orders:
            theirs = Gram._gram_vector(x, order).numpy()
            np.testing.assert_allclose(said.code[:, start : start + theirs.shape[1]], theirs, rtol=2e-4, atol=1e-5)
            start += theirs.shape[1]
    assert start == said.code.shape[1] == len(gram.layer)


def test_gram_deviation(gram, known_gram, training_digits, digits):
    # theirs groups images by their label, ours by the predicted class, as the paper does; and it draws the held-out
    # images by another generator: give it our bounds
    order = np.random.default_rng(3).permutation(len(training_digits))
    held, rest = np.split(order, [len(order) // 10])
    theirs, sizes = their_gram(gram.model, gram.orders), [64] * 5 + [32] * 5 + [256] * 5

    def bounds(side):
        code, guess = known_gram.code[rest], known_gram.guess[rest]
        parts = torch.tensor(np.stack([side(code[guess == k], 0) for k in range(10)])).split(sizes, dim=1)
        return [parts[:5], parts[5:10], parts[10:]]

    theirs.feature_min, theirs.feature_max = bounds(np.min), bounds(np.max)
    per_layer = []  # the expected deviations, by their own function
    for layer in range(3):
        theirs.layer_norm = torch.full((3,), torch.inf)
        theirs.layer_norm[layer] = 1
        per_layer.append(theirs.predict(to_input(training_digits.images[held])).mean())
    theirs.layer_norm = torch.stack(per_layer)
    images = np.concatenate([digits.images[:100], data.load("patches").images[:100]])
    ours = GramDeviation(known_gram, gram.layer, 0.1, 3)(infer(gram, images))
    np.testing.assert_allclose(ours, theirs.predict(to_input(images)).numpy(), rtol=1e-3, atol=1e-4)


def test_gram_features_do_not_overflow():
    maps = torch.rand(2, 8, 196, generator=torch.Generator().manual_seed(0)) * 1e6
    # the direct formula leaves the range of float32
    assert not torch.isfinite(Gram._gram_vector(maps.unflatten(2, (14, 14)), 10)).all()
    powers = maps.double() ** 10
    truth = (powers @ powers.transpose(1, 2)).sum(2) ** 0.1
    np.testing.assert_allclose(gram_rows(maps, (10,)).numpy(), truth.numpy(), rtol=1e-4)
    np.testing.assert_allclose(gram_rows(maps * 1e-16, (10,)).numpy(), truth.numpy() * 1e-32, rtol=1e-4)
    assert (gram_rows(torch.zeros(2, 8, 16), (10,)) == 0).all()
