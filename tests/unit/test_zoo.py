"""The reference models: the published weights or a refusal, and the way to publish others."""

import shutil
from dataclasses import replace

import pytest
import torch

from osrlib import losses, training, zoo
from osrlib.output import infer


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A copy of the published weights, in the place where the zoo looks."""
    shutil.copytree(zoo.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "weights")
    return tmp_path / "weights"


@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_published_weights_load_and_know_digits(name, digits):
    torch.manual_seed(7)
    model = zoo.load(name)
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3)) and not model.training  # the random numbers are left alone
    accuracy = (infer(model, digits.images[:200]).guess == digits.labels[:200]).mean()
    assert accuracy > (0.7 if name == "baseline" else 0.95)


def test_other_weights_are_refused(weights):
    content = bytearray((weights / "mtae.safetensors").read_bytes())
    content[-1] ^= 1
    (weights / "mtae.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"mtae\.safetensors: expected SHA-256"):
        zoo.load("mtae")
    zoo.load("cnn")
    (weights / "cnn.safetensors").unlink()
    with pytest.raises(ValueError, match="cnn: expected"):
        zoo.load("cnn")


def test_weights_are_drawn_with_the_seed():
    one, same, other = (zoo.build("mtae", seed).classifier.weight for seed in (4, 4, 5))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_spec_trains_by_its_own_recipe_or_another(digits):
    spec = zoo.Spec(zoo.MODELS["mtae"].build, losses.multitask_loss, training.Recipe(2, 100, 1e-3))
    assert len(spec.fit(spec.build(), digits[:100], progress=False)) == 2
    assert len(spec.fit(spec.build(), digits[:100], recipe=training.Recipe(1, 50, 1e-3), progress=False)) == 1


def test_a_spec_changes_and_turns_what_it_trains_on(digits):
    def note(images, labels, generator):
        asked.append(len(images))
        return images, labels

    asked, few = [], digits[:100]
    spec = zoo.Spec(lambda: zoo.build("mtae"), losses.multitask_loss, training.Recipe(1, 50, 1e-3), augment=note)
    assert "train_turned" not in spec.fit(spec.build(), few, progress=False)[0]
    turned = replace(spec, ways=4).fit(spec.build(), few, progress=False)
    spec.fit(spec.build(), few, augment=None, progress=False)
    assert asked == [50] * 4
    wanted = training.fit_turned(spec.build(), spec.loss, few, spec.recipe, ways=4, progress=False)
    assert turned[0]["train_turned"] == wanted[0]["train_turned"]
