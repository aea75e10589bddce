"""The library against independent implementations; where the two differ, the test says by what and why."""

import numpy as np
import pytest
import torch
from pytorch_ood.detector import EnergyBased, Gram, Mahalanobis, MaxLogit, MaxSoftmax
from torch import nn

from osrlib import data, losses, models, scores, thresholds, zoo
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
    detector = Mahalanobis(None).fit_features(
        torch.from_numpy(known.code).double(), torch.from_numpy(training_digits.labels)
    )
    theirs = detector.predict_features(torch.from_numpy(output.code).double()).numpy()
    # theirs is half the distance, and its "covariance" is a sum over the images, not a mean
    np.testing.assert_allclose(
        scores.mahalanobis(known, training_digits.labels)(output), 2 * len(training_digits) * theirs, rtol=1e-3
    )


@pytest.fixture(scope="module")
def gram():
    return models.GramFeatures(zoo.load("cnn"))


def their_gram(model, orders):
    """pytorch-ood's detector on the same three layers of a CNN: each of its steps ends at one of our ReLUs."""
    layers = list(model.features)
    blocks = [nn.Sequential(*layers[:2]), nn.Sequential(*layers[2:5]), nn.Sequential(*layers[5:])]
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
    theirs = their_gram(gram.model, gram.orders)
    # theirs groups images by their label, ours by the predicted class, as the paper does: give it the same groups; and
    # theirs draws the held-out images within each class by torch's generator, so the bounds differ a little
    groups = list(zip(models.to_input(training_digits.images).split(500), torch.tensor(known.logits.argmax(1)).split(500), strict=True))
    theirs.to("cpu").fit(groups)
    ours = scores.gram_deviation(known, gram.layer)
    for world in ("patches", "letters"):
        images = np.concatenate([digits.images[:250], data.load(world).images[:250]])
        a, b = ours(infer(gram, images)), theirs.predict(models.to_input(images)).numpy()
        assert np.corrcoef(np.log1p(a), np.log1p(b))[0, 1] > 0.99


def test_gram_deviation_with_the_same_bounds(gram, training_digits, digits):
    known = infer(gram, training_digits.images)
    seed, held_out = 3, 0.1
    order = np.random.default_rng(seed).permutation(len(training_digits))
    held, rest = np.split(order, [int(held_out * len(order))])
    theirs, guess = their_gram(gram.model, gram.orders).to("cpu"), known.logits.argmax(1)
    sizes, edges = (64, 32, 256), np.cumsum([0, *(size for size in (64, 32, 256) for _ in gram.orders)])
    theirs.feature_min, theirs.feature_max = (
        [
            [
                torch.tensor(np.stack([side(known.code[rest][guess[rest] == k][:, edges[i] : edges[i + 1]], 0) for k in range(10)]))
                for i in range(layer * len(gram.orders), (layer + 1) * len(gram.orders))
            ]
            for layer in range(len(sizes))
        ]
        for side in (np.min, np.max)
    )
    ours = scores.gram_deviation(known, gram.layer, held_out, seed)
    images = np.concatenate([digits.images[:100], data.load("patches").images[:100]])
    # the expected deviations, by their own function
    theirs.layer_norm = torch.ones(3)
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
    safe = models.gram_rows(maps, 10)
    truth = ((maps.double() ** 10).flatten(2) @ (maps.double() ** 10).flatten(2).transpose(1, 2)).sum(2) ** 0.1
    np.testing.assert_allclose(safe.numpy(), truth.numpy(), rtol=1e-4)
    tiny = models.gram_rows(maps * 1e-16, 10)
    np.testing.assert_allclose(tiny.numpy(), truth.numpy() * 1e-32, rtol=1e-4)
    assert (models.gram_rows(torch.zeros(2, 8, 4, 4), 10) == 0).all()


def probability_weighted_moments(excess):
    """A generalised Pareto fit without any likelihood (Hosking & Wallis, Technometrics 1987, section 4)."""
    excess = np.sort(excess)
    n = len(excess)
    a0, a1 = excess.mean(), ((n - np.arange(1, n + 1)) / (n - 1) * excess).mean()
    return -(a0 / (a0 - 2 * a1) - 2), 2 * a0 * a1 / (a0 - 2 * a1)  # scipy's sign of the shape


def test_the_tail_fit(output):
    values = scores.norm(output).astype(float)
    values = np.r_[values, scores.norm(infer(zoo.load("mtae"), data.load("mnist").images)).astype(float)]
    tail = thresholds.TailModel(values, 0.1)
    shape, scale = probability_weighted_moments(values[values > tail.start] - tail.start)
    assert tail.shape == pytest.approx(shape, abs=0.05) and tail.scale == pytest.approx(scale, rel=0.05)
    other = tail.start + scale / shape * ((tail.mass / 0.01) ** shape - 1)
    assert tail.line(0.01) == pytest.approx(other, rel=0.01)


def test_gram_matrix_and_style_loss_by_hand():
    # two maps of two positions: F = [[1, 2], [0, 1]], F Fᵀ = [[5, 2], [2, 1]], over C·P = 4
    features = torch.tensor([[[1.0, 2.0], [0.0, 1.0]]])
    assert losses.gram_matrix(features).tolist() == [[[1.25, 0.5], [0.5, 0.25]]]
    # against black: the squares are 1.5625, 0.25, 0.25, 0.0625; their mean is 0.53125
    assert losses.style_loss(features, torch.zeros(1, 2, 2)).tolist() == [0.53125]
    assert losses.content_loss(features, torch.zeros(1, 2, 2)).tolist() == [1.5]
