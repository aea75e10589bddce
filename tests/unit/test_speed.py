"""What is fast gives what the plain way gives: fused layers, and answers that are remembered."""

import copy
import os
import time

import numpy as np
import pytest
import torch

from osrlib import data, losses, models, training, zoo
from osrlib.gram import GramFeatures
from osrlib.output import BatchOutput, infer, to_input
from osrlib.speed import fused, remember

FEW = training.Recipe(2, 100, 1e-3)


def is_fused(model):
    return any("forward" in vars(part) for part in model.modules())


def trace(module, x, weights):
    """Value, gradients and running statistics of a module, under a fixed direction."""
    value = module(x)
    (value * weights).sum().backward()
    learnt = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {"value": value.detach()} | learnt | dict(module.named_buffers())


@pytest.fixture
def pictures(digits):
    """Digits, whose black and white areas are full of equal maxima, and one of noise up to the border."""
    images = digits.images[:40].copy()
    images[0] = np.random.default_rng(0).integers(0, 256, (28, 28))
    return to_input(images).double()


@pytest.mark.parametrize("channels", [16, 32])
@pytest.mark.parametrize("kind", [models.Encoder, models.Decoder, models.FineDecoder])
def test_fused_layers_equal_the_plain_ones_in_training(kind, channels, pictures):
    torch.manual_seed(0)
    quick = kind(channels=channels).double().train()
    for layer in quick.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # which may turn a map upside down
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    plain = copy.deepcopy(quick)
    x = pictures if kind is models.Encoder else torch.randn(10, 128, dtype=torch.float64)
    direction = torch.randn_like(copy.deepcopy(quick)(x))
    wanted = trace(plain, x, direction)
    with fused.fused_layers(quick):
        got = trace(quick, x, direction)
    if kind is models.Encoder:  # batch norm takes away what the bias before it adds: its gradient is rounding, or none
        assert wanted.pop("conv1.bias").abs().max() < 1e-9 and "conv1.bias" not in got
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_where_the_fused_layers_do_not_stand_in(pictures):
    encoder = models.Encoder().double().eval()
    wanted, before, x = encoder(pictures), copy.deepcopy(encoder.state_dict()), pictures.clone().requires_grad_()
    with fused.fused_layers(encoder):
        torch.testing.assert_close(encoder(pictures), wanted)  # frozen: no batch statistics
        assert torch.equal(encoder.norm1.running_mean, before["norm1.running_mean"])
        encoder.train()(x).square().sum().backward()
        assert x.grad.abs().max() > 0  # it goes through the batch statistics too
        for shape in ((2, 1, 32, 32), (2, 3, 28, 28)):
            with pytest.raises(RuntimeError):
                encoder(torch.rand(shape, dtype=torch.float64))


@pytest.mark.parametrize("name", ["mtae", "c2ae"])
def test_training_with_and_without_fused_layers_is_equal_but_for_rounding(name, digits, monkeypatch):
    trained = []
    for _ in range(2):
        model, spec = zoo.build(name).double(), zoo.MODELS[name]
        history = spec.fit(model, digits[:300], recipe=FEW, first=spec.first and FEW, progress=False)
        trained.append((model.state_dict(), [row | {"seconds": 0} for row in history]))
        monkeypatch.setattr(fused, "FUSED", {})
    (quick, told), (plain, wanted) = trained
    assert told == [pytest.approx(row, rel=1e-6) for row in wanted]
    for key in set(quick) - {"encoder.conv1.bias", "encoder.norm1.running_mean"}:  # batch norm takes one from the other
        torch.testing.assert_close(quick[key], plain[key], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stop", [None, ArithmeticError, KeyboardInterrupt])
def test_fused_layers_are_there_while_a_batch_is_trained_and_at_no_other_time(stop, digits):
    model, seen = zoo.build("mtae"), []

    def loss(output, images, labels):
        seen.append((model.training, is_fused(model)))
        if stop and len(seen) == 2:
            raise stop
        return losses.multitask_loss(output, images, labels)

    watch = {"test": digits[:50], "on_epoch": lambda model, row: seen.append(("epoch", is_fused(model)))}
    try:
        training.fit(model, loss, digits[:200], FEW, progress=False, **watch)
    except BaseException as stopped:
        assert type(stopped) is stop
    assert set(seen) == {(True, True)} | (set() if stop else {(False, False), ("epoch", False)})
    assert not is_fused(model)


@pytest.fixture
def images():
    return data.load("mnist").images[:100]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(remember.FOLDER, str(tmp_path))
    monkeypatch.setattr(remember, "MANY", 100)
    return tmp_path


@pytest.mark.parametrize(
    "model", [models.MultiTaskAE().bfloat16(), models.Reader(models.Ensemble([models.SigmoidAE(), models.C2AE()]))]
)
def test_what_is_remembered_is_what_was_said(model, images, folder):
    first = infer(model, images)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for content in (whole, b"", whole[: len(whole) // 2], whole[:20_000] + bytes(5_000) + whole[25_000:]):
        file.write_bytes(content)  # damaged, it is not believed
        again = infer(model, images)
        assert all(np.array_equal(again.parts[name], part) for name, part in first.parts.items())
        assert file.read_bytes() == whole and list(folder.iterdir()) == [file]


def test_whatever_changes_the_answer_is_asked_anew(images, folder):
    model, changed = models.BaselineCNN("max"), images.copy()
    changed[0, 0, 0] += 1
    infer(model, images)
    infer(model, changed)
    infer(model, images, batch_size=50)
    for order in (1, 2):
        infer(GramFeatures(model, (order,)), images)
    with torch.no_grad():
        model.classifier[0].bias[0] += 1e-3
    infer(model, images)
    for middle in (0, 1):  # the text of so long an array leaves its middle out
        model.note = np.zeros(5000)
        model.note[2500] = middle
        infer(model, images)
    infer(models.Reader(model), images)
    assert len(list(folder.iterdir())) == 9


def test_few_images_foreign_code_hooks_and_fused_layers_are_not_remembered(images, folder, monkeypatch):
    class Mine(torch.nn.Module):
        def forward(self, x):
            return BatchOutput(x.flatten(1)[:, :10], x.flatten(1)[:, :20])

    plain, hooked, quick = models.BaselineCNN("max"), models.BaselineCNN("max"), models.MultiTaskAE()
    hooked.conv1.register_forward_hook(lambda *_: None)
    with fused.fused_layers(quick):
        for model, some in ((plain, images[1:]), (Mine(), images), (hooked, images), (quick, images)):
            infer(model, some)
    monkeypatch.delenv(remember.FOLDER)
    infer(plain, images)
    assert not list(folder.iterdir())


def test_what_nobody_asks_for_is_forgotten(folder, monkeypatch):
    for name in ("old.npz", "new.npz", "thesis.txt"):
        (folder / name).write_bytes(b"")
        if name != "new.npz":
            os.utime(folder / name, (time.time() - 90_000,) * 2)
    remember.forget()
    assert sorted(file.name for file in folder.iterdir()) == ["new.npz", "thesis.txt"]
    monkeypatch.delenv(remember.FOLDER)
    remember.forget()
