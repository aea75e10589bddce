"""What is remembered is what would be computed, and nothing else."""

import os
import time

import numpy as np
import pytest
import torch

from osrlib import data, models, remember, zoo


@pytest.fixture
def images():
    return data.load("mnist").sample(300).images


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """The number of images of every real pass through a network, with a folder to remember in."""
    made, run = [], models._infer
    monkeypatch.setattr(
        models, "_infer", lambda model, images, batch_size: made.append(len(images)) or run(model, images, batch_size)
    )
    monkeypatch.setenv(remember.FOLDER, str(tmp_path))
    monkeypatch.setattr(remember, "MANY", 300)
    return made


def test_asked_again_it_answers_the_same(images, calls, tmp_path):
    first, second = (models.infer(zoo.load("mtae"), images) for _ in range(2))
    assert calls == [len(images)] and len(list(tmp_path.iterdir())) == 1
    for a, b in zip(first, second, strict=True):
        assert a is b is None or np.array_equal(a, b)
    assert second.images is images and second.code.dtype == np.float32


def test_whatever_changes_the_answer_is_asked_anew(images, calls):
    model = zoo.load("cnn")
    models.infer(model, images)
    changed = images.copy()
    changed[0, 0, 0] += 1
    models.infer(model, changed)
    models.infer(model, images, batch_size=500)
    models.infer(models.GramFeatures(model, (1,)), images)
    models.infer(models.GramFeatures(model, (2,)), images)
    with torch.no_grad():
        model.classifier[0].bias[0] += 1e-3
    models.infer(model, images)
    for middle in (0, 1):  # the text of so long an array leaves its middle out
        model.note = np.zeros(5000)
        model.note[2500] = middle
        models.infer(model, images)
    assert len(calls) == 8


def test_weights_in_half_the_bits_are_remembered_too(images, calls):
    model = zoo.load("mtae").bfloat16()
    first, second = (models.infer(model, images) for _ in range(2))
    assert len(calls) == 1 and np.array_equal(first.code, second.code)


def test_a_damaged_file_is_not_believed(images, calls, tmp_path):
    wanted = models.infer(zoo.load("mtae"), images)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:200_000] + bytes(50_000) + whole[250_000:]):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(models.infer(zoo.load("mtae"), images).code, wanted.code)
    assert len(calls) == 4 and file.read_bytes() == whole


def test_few_images_foreign_code_and_hooks_are_not_remembered(images, calls, tmp_path, monkeypatch):
    class Mine(models.MultiTaskAE):
        pass

    hooked = zoo.load("mtae")
    hooked.encoder.register_forward_hook(lambda *_: None)
    for model, some in ((zoo.load("mtae"), images[1:]), (Mine(), images), (hooked, images)):
        models.infer(model, some)
    monkeypatch.delenv(remember.FOLDER)
    models.infer(zoo.load("mtae"), images)
    assert not list(tmp_path.iterdir()) and len(calls) == 4


def test_what_nobody_asks_for_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setenv(remember.FOLDER, str(tmp_path))
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    for file in (old, new):
        file.write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "thesis.txt").write_text("somebody else's")
    for file in tmp_path.iterdir():
        if file != new:
            os.utime(file, (time.time() - 90_000,) * 2)
    remember.forget()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder.npz", "new.npz", "thesis.txt"]
    monkeypatch.delenv(remember.FOLDER)
    remember.forget()
