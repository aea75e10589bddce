"""The report's layers, exactly; and one way to run them."""

import numpy as np
import pytest
import torch

from osrlib import losses, models
from tests.conftest import WRONG_IMAGES


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_baseline_has_the_reports_parameters(pool):
    model = models.BaselineCNN(pool)
    assert models.count_parameters(model) == 31_146
    own = [(shape, parameters) for _, shape, parameters in models.layer_table(model) if parameters]
    assert own == [([-1, 64, 28, 28], 1664), ([-1, 32, 14, 14], 18464), ([-1, 256], 8448), ([-1, 10], 2570)]


def test_autoencoder_has_the_reports_layers():
    model = models.MultiTaskAE()
    assert models.count_parameters(model.encoder) + models.count_parameters(model.decoder) == 412_801
    assert models.count_parameters(model.classifier) == 1_290
    silent = ("ReLU", "Flatten", "Unflatten", "Sigmoid")
    rows = [
        (layer.split("-")[0], shape, parameters)
        for layer, shape, parameters in models.layer_table(model)
        if not layer.startswith(silent) and shape != [-1, 10]
    ]
    assert rows == [
        ("Conv2d", [-1, 16, 28, 28], 160), ("BatchNorm2d", [-1, 16, 28, 28], 32), ("MaxPool2d", [-1, 16, 14, 14], 0),
        ("Conv2d", [-1, 32, 14, 14], 4640), ("BatchNorm2d", [-1, 32, 14, 14], 64), ("MaxPool2d", [-1, 32, 7, 7], 0),
        ("Linear", [-1, 128], 200832), ("Linear", [-1, 1568], 202272), ("ConvTranspose2d", [-1, 16, 7, 7], 4624),
        ("BatchNorm2d", [-1, 16, 7, 7], 32), ("Upsample", [-1, 16, 14, 14], 0),
        ("ConvTranspose2d", [-1, 1, 14, 14], 145), ("Upsample", [-1, 1, 28, 28], 0),
    ]  # fmt: skip


def test_baseline_gives_log_probabilities():
    said = models.BaselineCNN()(torch.rand(4, 1, 28, 28))
    assert torch.allclose(said.logits.exp().sum(1), torch.ones(4)) and said.code.shape == (4, 256)


def test_infer_does_not_depend_on_the_batches(mtae, digits):
    one = models.infer(mtae, digits.images[:50], batch_size=50)
    many = models.infer(mtae, digits.images[:50], batch_size=7)
    for a, b in zip(one[:3], many[:3], strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert one.reconstruction.shape == (50, 28, 28) and 0 <= one.reconstruction.min() <= one.reconstruction.max() <= 1


def test_infer_leaves_the_model_as_it_was(digits):
    model = models.MultiTaskAE().train()
    before = model.encoder[1].running_mean.clone()
    models.infer(model, digits.images[:10])
    assert model.training and torch.equal(before, model.encoder[1].running_mean)


@pytest.mark.parametrize("images", WRONG_IMAGES.values(), ids=WRONG_IMAGES.keys())
def test_infer_refuses_wrong_images(mtae, images):
    with pytest.raises(ValueError, match="images: expected"):
        models.infer(mtae, images)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, None])
def test_infer_refuses_wrong_batch_sizes(mtae, digits, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        models.infer(mtae, digits.images[:2], batch_size)


def test_unknown_variants():
    with pytest.raises(ValueError, match="avg, max"):
        models.BaselineCNN("mean")
    with pytest.raises(ValueError, match="linear, sigmoid"):
        models.MultiTaskAE("tanh")


def test_multitask_loss_by_hand():
    logits = torch.log(torch.tensor([[0.7, 0.3], [0.5, 0.5]]))
    images = torch.zeros(2, 1, 28, 28)
    output = models.Output(logits, None, torch.full((2, 28, 28), 0.5))
    parts = losses.multitask_loss(output, images, torch.tensor([0, 1]), weight=2.0)
    cross_entropy = -(np.log(0.7) + np.log(0.5)) / 2
    assert parts["cross_entropy"].item() == pytest.approx(cross_entropy)
    assert parts["mse"].item() == pytest.approx(0.25)
    assert parts["loss"].item() == pytest.approx(cross_entropy + 0.5)
    alone = losses.classification_loss(output, images, torch.tensor([0, 1]))
    assert alone["loss"].item() == pytest.approx(cross_entropy)


def test_multitask_loss_refuses():
    output = models.Output(torch.zeros(2, 10), None, None)
    with pytest.raises(ValueError, match="reconstruction"):
        losses.multitask_loss(output, torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="weight"):
        losses.multitask_loss(output, torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]), weight=-1)
