"""The networks: the report's layers, exactly; what each draws, and what training leaves alone."""

from functools import partial

import numpy as np
import pytest
import torch

from osrlib import losses, models, training, zoo
from osrlib.gram import GramFeatures
from osrlib.output import infer, to_input

FEW = training.Recipe(1, 100, 1e-3, weight_decay=0.01)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("squeeze", ["avg", "max"])
def test_baseline_has_the_reports_layers(squeeze):
    model = models.BaselineCNN(squeeze)
    assert models.count_parameters(model) == 31_146
    layers = [(shape, parameters) for _, shape, parameters in models.layer_table(model) if parameters]
    assert layers == [([-1, 64, 28, 28], 1664), ([-1, 32, 14, 14], 18464), ([-1, 256], 8448), ([-1, 10], 2570)]
    x = torch.rand(4, 1, 28, 28)
    first, second, code = model.stages(x)
    assert torch.allclose(model(x).logits.exp().sum(1), torch.ones(4))
    windows = torch.relu(model.conv1((x - 0.13) / 0.31)).unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
    torch.testing.assert_close(first, windows.amax(-1))
    one = second.mean((2, 3)) if squeeze == "avg" else second.amax((2, 3))
    torch.testing.assert_close(code, torch.relu(model.linear(one)))


def test_autoencoder_has_the_reports_layers():
    model = models.MultiTaskAE().train()
    assert models.count_parameters(model.encoder) + models.count_parameters(model.decoder) == 412_801
    assert models.count_parameters(model.classifier) == 1_419
    silent = ("ReLU", "Flatten", "Unflatten")
    rows = [
        (layer.split("-")[0], shape, parameters)
        for layer, shape, parameters in models.layer_table(model)
        if not layer.startswith(silent) and shape != [-1, 11]
    ]
    assert rows == [
        ("Conv2d", [-1, 16, 28, 28], 160), ("BatchNorm2d", [-1, 16, 28, 28], 32), ("MaxPool2d", [-1, 16, 14, 14], 0),
        ("Conv2d", [-1, 32, 14, 14], 4640), ("BatchNorm2d", [-1, 32, 14, 14], 64), ("MaxPool2d", [-1, 32, 7, 7], 0),
        ("Linear", [-1, 128], 200832), ("Linear", [-1, 1568], 202272), ("ConvTranspose2d", [-1, 16, 7, 7], 4624),
        ("BatchNorm2d", [-1, 16, 7, 7], 32), ("Upsample", [-1, 16, 14, 14], 0),
        ("ConvTranspose2d", [-1, 1, 14, 14], 145), ("Upsample", [-1, 1, 28, 28], 0),
    ]  # fmt: skip


def test_the_reports_model_sees_and_draws_standardised_pixels(digits):
    model, x = models.MultiTaskAE().eval(), to_input(digits.images[:50])
    said = model(x)
    code = model.encoder((x - 0.13) / 0.31)
    torch.testing.assert_close(said.code, code)
    torch.testing.assert_close((said.reconstruction - 0.13) / 0.31, model.decoder(code).squeeze(1))
    assert said.code.min() == 0 and said.reconstruction.min() >= 0.13  # a ReLU at either end
    # another mean and deviation see the same in a picture of another contrast
    other = models.MultiTaskAE(0.3, 0.62).eval()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(0.3 + 2 * (x - 0.13)).code, code, rtol=1e-4, atol=1e-4)
    assert said.logits.shape == (50, 10) and model.train()(x).logits.shape == (50, 11)


def test_decoders():
    code = torch.randn(3, 128)
    coarse, fine, relu = models.Decoder().eval(), models.FineDecoder().eval(), models.Decoder("relu").eval()
    assert models.count_parameters(coarse) == models.count_parameters(fine)
    blocks, pixels = coarse(code), fine(code)
    assert torch.equal(blocks[..., ::2, ::2], blocks[..., 1::2, 1::2])
    assert pixels.shape == (3, 1, 28, 28) and not torch.equal(pixels[..., ::2, ::2], pixels[..., 1::2, 1::2])
    relu.load_state_dict(coarse.state_dict())
    torch.testing.assert_close(relu(code), torch.logit(blocks).clamp_min(0), rtol=1e-3, atol=1e-5)


def test_a_classifier_that_reads_the_drawing_stays_as_it_is(digits):
    reader = models.BaselineCNN("max")
    before, model = weights(reader), models.ReadAE(reader)
    training.fit(model, losses.multitask_loss, digits[:100], FEW, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in reader.state_dict().items())
    said = model(to_input(digits.images[:4]))
    assert torch.equal(said.logits, reader(said.reconstruction.unsqueeze(1)).logits) and said.code.shape == (4, 128)
    model.train()
    assert model.encoder.training and not reader.training


def test_c2ae_compares_every_condition(digits):
    model, x = models.C2AE(classes=6).eval(), to_input(digits.images[:5])
    said = model(x)
    for k in range(6):
        label = torch.full((5, 6), -1.0).index_fill_(1, torch.tensor([k]), 1.0)
        drawn = model.decoder(model.scale(label) * said.code + model.shift(label)).squeeze(1)
        torch.testing.assert_close(model.decode(said.code, torch.full((5,), k)), drawn)
        torch.testing.assert_close((drawn - x.squeeze(1)).abs().mean((1, 2)), said.errors[:, k])
        best = said.errors.argmin(1) == k
        torch.testing.assert_close(said.reconstruction[best], drawn[best])
    assert model.train()(x).errors is None
    with pytest.raises(ValueError, match=r"condition: expected classes in 0\.\.5"):
        model.decode(said.code, torch.full((5,), 6))


def test_the_second_stage_of_c2ae_leaves_the_first_alone(digits):
    model = models.C2AE()
    training.fit(model, losses.classification_loss, digits, FEW, progress=False)
    before = weights(model)
    model.freeze()
    training.fit(model, partial(losses.c2ae_loss, decode=model.decode), digits, FEW, progress=False)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"scale", "shift", "decoder"}


@pytest.mark.parametrize("classes", [1, 3, 26])
def test_networks_of_any_number_of_classes(digits, classes):
    for network in (models.SigmoidAE(classes), models.SigmoidAE(classes, channels=5), models.C2AE(classes)):
        said = infer(network, digits.images[:4])
        assert said.logits.shape == (4, classes) and said.code.shape == (4, 128)
        assert said.copies.shape == (4, 784) and 0 <= said.copies.min() <= said.copies.max() <= 1
    assert said.errors.shape == (4, classes)


def test_a_network_of_twice_the_channels():
    shapes = {name: value.shape for name, value in models.SigmoidAE(channels=32).state_dict().items()}
    for name, value in models.SigmoidAE().state_dict().items():
        # the same names, and every number of channels doubled: both sides of the convolutions in the middle
        middle = name in ("encoder.conv2.weight", "decoder.conv1.weight")
        outside = name.startswith(("classifier", "decoder.conv2.bias", "encoder.linear.bias")) or not value.ndim
        factor = 4 if middle else 1 if outside else 2
        assert shapes.pop(name).numel() == factor * value.numel(), name
    assert not shapes


@pytest.mark.parametrize("name", zoo.MODELS)
def test_a_reader_says_what_the_network_says_and_draws_nothing(name, digits):
    network = zoo.load(name)
    whole, read = (infer(model, digits.images[:20]) for model in (network, models.Reader(network)))
    np.testing.assert_array_equal(read.logits, whole.logits)
    np.testing.assert_array_equal(read.code, whole.code)
    # it classifies what it draws
    assert set(read.parts) - {"logits", "code", "images"} == ({"reconstruction"} if name == "mtae-cnn" else set())
    assert list(models.Reader(network).parameters()) == list(network.parameters())


def test_an_ensemble_is_its_networks_side_by_side(digits):
    members = [zoo.load("mtae"), zoo.load("mtae-rule"), zoo.load("cnn")]
    said = [infer(model, digits.images[:20]) for model in members]
    together = infer(models.Ensemble(members), digits.images[:20])
    np.testing.assert_array_equal(together.code, np.concatenate([one.code for one in said], 1))
    mean = np.mean([one.logits for one in said], 0)
    np.testing.assert_allclose(together.logits, mean, rtol=1e-5, atol=1e-5)
    assert set(together.parts) == {"logits", "code", "images"}
    single = infer(models.Reader(models.Ensemble(members[:1])), digits.images[:20])
    np.testing.assert_array_equal(single.code, said[0].code)
    with pytest.raises(ValueError, match="models: expected one or more"):
        models.Ensemble([])


def test_gram_features_name_the_layer_of_each():
    black = np.zeros((2, 28, 28), np.uint8)
    for model, channels in ((models.BaselineCNN("max"), (64, 32, 256)), (models.SigmoidAE(), (16, 32))):
        features = GramFeatures(model, (1, 4))
        said = infer(features, black)
        assert said.code.shape[1] == len(features.layer)
        assert np.bincount(features.layer).tolist() == [2 * channel for channel in channels]
        np.testing.assert_array_equal(said.logits, infer(model, black).logits)
