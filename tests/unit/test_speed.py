"""What is fast gives what the plain way gives: fused layers, remembered answers; and what a model costs."""

import copy
import os
import time
from functools import partial

import numpy as np
import pytest
import torch

from osrlib import data, losses, models, training, zoo
from osrlib.gram import GramFeatures
from osrlib.output import BatchOutput, infer, to_input
from osrlib.speed import remember
from osrlib.speed.fused import fused_layers


def is_fused(model):
    return any("forward" in vars(part) for part in model.modules())


def gradients(module, x, weights):
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


@pytest.mark.parametrize("kind", [models.Encoder, models.Decoder, models.FineDecoder])
def test_fused_layers_equal_the_plain_ones_in_training(kind, pictures):
    torch.manual_seed(0)
    quick = kind().double().train()
    for layer in quick.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # which may turn a map upside down
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    plain = copy.deepcopy(quick)
    x = pictures if kind is models.Encoder else torch.randn(10, 128, dtype=torch.float64)
    direction = torch.randn_like(quick(x))
    quick.load_state_dict(plain.state_dict())
    wanted = gradients(plain, x, direction)
    with fused_layers(quick):
        assert is_fused(quick)
        got = gradients(quick, x, direction)
    assert not is_fused(quick)
    if kind is models.Encoder:  # batch norm takes away what the bias before it adds: its gradient is rounding, or none
        assert wanted.pop("conv1.bias").abs().max() < 1e-9 and "conv1.bias" not in got
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_where_the_fused_layers_do_not_stand_in(pictures):
    encoder = models.Encoder().double().eval()
    wanted, before = encoder(pictures), copy.deepcopy(encoder.state_dict())
    x = pictures.clone().requires_grad_()
    with fused_layers(encoder):
        torch.testing.assert_close(encoder(pictures), wanted)  # frozen: no batch statistics
        assert torch.equal(encoder.norm1.running_mean, before["norm1.running_mean"])
        encoder.train()
        encoder(x).square().sum().backward()
        assert x.grad.abs().max() > 0  # it goes through the batch statistics too
        for shape in ((2, 1, 32, 32), (2, 3, 28, 28)):
            with pytest.raises(RuntimeError):
                encoder(torch.rand(shape, dtype=torch.float64))


FEW = training.Recipe(2, 100, 1e-3)


@pytest.mark.parametrize("name", ["mtae", "c2ae"])
def test_training_with_and_without_fused_layers_is_equal_but_for_rounding(name, digits, monkeypatch):
    trained = []
    for _ in range(2):
        model, spec = zoo.build(name).double(), zoo.MODELS[name]
        history = spec.fit(model, digits[:300], recipe=FEW, first=spec.first and FEW, progress=False)
        trained.append((model.state_dict(), history))
        monkeypatch.setattr("osrlib.speed.fused.FUSED", {})
    (quick, told), (plain, wanted) = trained
    for row, other in zip(told, wanted, strict=True):
        assert {key: value for key, value in row.items() if key != "seconds"} == pytest.approx(
            {key: value for key, value in other.items() if key != "seconds"}, rel=1e-6
        )
    for key, value in quick.items():
        if key not in ("encoder.conv1.bias", "encoder.norm1.running_mean"):  # batch norm takes the one from the other
            torch.testing.assert_close(value, plain[key], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stop", [None, ArithmeticError, KeyboardInterrupt])
def test_fused_layers_are_there_while_a_batch_is_trained_and_at_no_other_time(stop, digits):
    model, seen = zoo.build("mtae"), []

    def loss(output, images, labels):
        seen.append((model.training, is_fused(model)))
        if stop and len(seen) == 2:
            raise stop
        return losses.multitask_loss(output, images, labels)

    def train():
        options = {"test": digits[:50], "on_epoch": lambda model, row: seen.append(("epoch", is_fused(model)))}
        training.fit(model, loss, digits[:200], FEW, progress=False, **options)

    if stop:
        with pytest.raises(stop):
            train()
    else:
        train()
    assert set(seen) == {(True, True)} | (set() if stop else {(False, False), ("epoch", False)})
    assert not is_fused(model)


# ---------------------------------------------------------------------------------------------------------------------
# Remembered answers


@pytest.fixture
def images():
    return data.load("mnist").images[:100]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(remember.FOLDER, str(tmp_path))
    monkeypatch.setattr(remember, "MANY", 100)
    return tmp_path


def test_asked_again_it_answers_the_same(images, folder):
    model, calls = models.MultiTaskAE().bfloat16(), []
    first, second = (infer(model, images) for _ in range(2))
    assert all(np.array_equal(second.parts[name], part) for name, part in first.parts.items())
    compute = partial(lambda model, images, add: calls.append(1) or {"code": images + add}, add=1)
    answers = [remember.output(compute, model, images)["code"] for _ in range(2)]
    assert len(calls) == 1 and len(list(folder.iterdir())) == 2
    assert answers[1].dtype == np.uint8 and np.array_equal(*answers)


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
    assert len(list(folder.iterdir())) == 8


def test_a_damaged_file_is_not_believed(images, folder):
    model = models.BaselineCNN("max")
    wanted = infer(model, images).code
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:20_000] + bytes(5_000) + whole[25_000:]):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(infer(model, images).code, wanted)
        assert file.read_bytes() == whole


def test_few_images_foreign_code_hooks_and_fused_layers_are_not_remembered(images, folder, monkeypatch):
    class Mine(torch.nn.Module):
        def forward(self, x):
            return BatchOutput(x.flatten(1)[:, :10], x.flatten(1)[:, :20])

    plain, hooked = models.BaselineCNN("max"), models.BaselineCNN("max")
    hooked.conv1.register_forward_hook(lambda *_: None)
    for model, some in ((plain, images[1:]), (Mine(), images), (hooked, images)):
        infer(model, some)
    fused = models.MultiTaskAE()
    with fused_layers(fused):
        infer(fused, images)
    monkeypatch.delenv(remember.FOLDER)
    infer(plain, images)
    assert not list(folder.iterdir())


def test_what_nobody_asks_for_is_forgotten(folder, monkeypatch):
    for name in ("old.npz", "new.npz", "thesis.txt"):
        (folder / name).write_bytes(b"")
    (folder / "folder.npz").mkdir()
    for file in folder.iterdir():
        if file.name != "new.npz":
            os.utime(file, (time.time() - 90_000,) * 2)
    remember.forget()
    assert sorted(file.name for file in folder.iterdir()) == ["folder.npz", "new.npz", "thesis.txt"]
    monkeypatch.delenv(remember.FOLDER)
    remember.forget()
