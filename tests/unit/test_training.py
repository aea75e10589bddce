"""Training: what is learnt, what is told of it, and what is refused at the door."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from osrlib import data, losses, models, training, zoo
from osrlib.augment import warped as warp
from osrlib.output import infer, to_input
from osrlib.speed import fused
from osrlib.training import Recipe

RECIPE = Recipe(epochs=2, batch_size=100, lr=2e-3, one_cycle=True)


def run(digits, shuffle=0, recipe=RECIPE, **options):
    """A short training from the same weights, shuffled by its own seed."""
    training.seed_everything(0)
    model = models.MultiTaskAE()
    return model, training.fit(model, losses.multitask_loss, digits, recipe, seed=shuffle, progress=False, **options)


def test_training_learns_and_tells_of_each_epoch(digits):
    seen = []
    model, history = run(
        digits, test=digits, on_epoch=lambda model, row: seen.append((row, model.classifier.weight.detach().clone()))
    )
    assert [row["epoch"] for row in history] == [1, 2] and [row for row, _ in seen] == history
    assert set(history[0]) == {"epoch", "seconds"} | {
        f"{when}_{what}" for when in ("train", "test") for what in ("loss", "cross_entropy", "mse", "accuracy")
    }
    assert history[1]["test_accuracy"] > 0.5 and history[1]["test_mse"] < history[0]["test_mse"]
    assert not torch.equal(seen[0][1], seen[1][1]) and not any(part.training for part in model.modules())
    assert history.column("seconds").min() > 0 and history.column("epoch").tolist() == [1, 2]
    with pytest.raises(ValueError, match="key: expected one of epoch"):
        history.column("speed")
    assert training.evaluate(model, losses.multitask_loss, digits)["test_loss"] == pytest.approx(
        history[1]["test_loss"]
    )


def test_the_seed_decides_the_order(digits):
    first, same, other = (run(digits, shuffle)[0].state_dict() for shuffle in (0, 0, 1))
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_augment_changes_what_is_trained_on_and_not_the_order(digits):
    def drawing(images, labels, generator):
        torch.rand(7, generator=generator)
        seen.append(labels)
        return images, labels

    seen = []
    plain, drawn, other, warped, same = (
        run(digits, shuffle, augment=augment)[0].classifier.weight
        for shuffle, augment in ((0, None), (0, drawing), (1, drawing), (0, warp), (0, warp))
    )
    assert torch.equal(plain, drawn) and not torch.equal(drawn, other)
    assert torch.equal(warped, same) and not torch.equal(plain, warped)
    assert [len(labels) for labels in seen] == [100] * 20


TURNED = Recipe(epochs=4, batch_size=50, lr=4e-3, one_cycle=True)


def turned(digits, recipe=TURNED, double=False, **options):
    training.seed_everything(0)
    model = models.SigmoidAE().to(torch.float64 if double else torch.float32)
    loss = partial(losses.multitask_loss, weight=4.0, smoothing=0.1)
    return model, training.fit_turned(model, loss, digits, recipe, progress=False, **options)


def test_a_network_that_also_says_how_a_digit_is_turned(digits):
    asked = []
    model, history = turned(
        digits, ways=4, augment=warp, test=digits[:200],
        on_epoch=lambda model, row: asked.append(infer(model, digits.images[:5])),
    )  # fmt: skip
    assert type(model.classifier) is torch.nn.Linear and model.classifier.weight.shape == (10, 128)
    assert set(model.state_dict()) == set(models.SigmoidAE().state_dict())
    output = infer(model, digits.images)
    assert output.logits.shape == (500, 10) and {one.logits.shape for one in asked} == {(5, 10)}
    assert (output.guess == digits.labels)[:200].mean() == pytest.approx(history[-1]["test_accuracy"])
    # by chance, an accuracy would be 0.1, and the cross-entropy of the turned ones log 30 = 3.4
    assert history[-1]["test_accuracy"] > 0.8 and history[-1]["train_accuracy"] > 0.7
    assert history[-1]["train_turned"] < 3.2
    parts = {"loss", "cross_entropy", "mse", "accuracy"}
    assert set(history[0]) - {"epoch", "seconds"} == {f"train_{name}" for name in parts | {"turned"}} | {
        f"test_{name}" for name in parts
    }


def test_turned_digits_through_the_fused_layers_and_in_half_the_bits(digits, monkeypatch):
    few, recipe = digits[:60], replace(TURNED, epochs=1, batch_size=30)
    quick, wanted = turned(few, recipe, double=True)
    with monkeypatch.context() as patch:
        patch.setattr(fused, "FUSED", {})
        plain, _ = turned(few, recipe, double=True)
    torch.testing.assert_close(quick.classifier.weight, plain.classifier.weight, rtol=1e-5, atol=1e-7)
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    model, history = turned(few, replace(recipe, bfloat16=True))
    assert history[0]["train_turned"] == pytest.approx(wanted[0]["train_turned"], rel=0.02)
    assert model.classifier.weight.dtype == torch.float32


@pytest.mark.parametrize("stop", [ArithmeticError, KeyboardInterrupt])
def test_the_head_is_given_back_whatever_ends_the_training(stop, digits):
    def end(model, row):
        raise stop

    model = models.SigmoidAE()
    head = model.classifier
    with pytest.raises(stop):
        training.fit_turned(model, losses.multitask_loss, digits, RECIPE, on_epoch=end, progress=False)
    assert model.classifier is head
    with pytest.raises(ValueError, match="model: expected one with a linear classifier, got Sequential"):
        training.fit_turned(models.BaselineCNN(), losses.classification_loss, digits, RECIPE)


def test_the_reports_recipe_is_adam(digits):
    assert training.RECIPES["report"] == Recipe(20, 1024, 5e-4)
    training.seed_everything(0)
    ours, theirs = models.BaselineCNN(), models.BaselineCNN()
    theirs.load_state_dict(ours.state_dict())
    training.fit(ours, losses.classification_loss, digits, Recipe(1, 500, 1e-3), progress=False)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    x, y = to_input(digits.images)[order], torch.as_tensor(digits.labels)[order]
    torch.nn.functional.nll_loss(theirs(x).logits, y).backward()
    adam.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        # Adam's first step is about ±lr, so where a gradient is almost zero its sign may differ: compare on average
        assert (a - b).abs().mean() < 1e-6


def test_bfloat16_where_the_processor_has_it(digits, monkeypatch):
    """Where it has not, the recipe trains in float32; made to believe that it has, this machine emulates it."""
    few, recipe = digits[:60], replace(RECIPE, epochs=1, batch_size=30)
    plain, wanted = run(few, recipe=recipe)
    for has, equal in ((False, True), (True, False)):
        monkeypatch.setattr(training, "has_bfloat16", lambda device, has=has: has)
        model, history = run(few, recipe=replace(recipe, bfloat16=True))
        assert torch.equal(model.classifier.weight, plain.classifier.weight) is equal
        assert history[0]["train_loss"] == pytest.approx(wanted[0]["train_loss"], rel=0.02)
        # half the bits are for products: weights and statistics keep all of them
        assert model.classifier.weight.dtype == model.encoder.norm1.running_var.dtype == torch.float32
        torch.testing.assert_close(
            model.encoder.norm1.running_var, plain.encoder.norm1.running_var, rtol=0.02, atol=1e-4
        )


def test_numpys_numbers_in_a_recipe(digits):
    recipe = Recipe(np.int64(1), np.int32(250), np.float32(1e-3), np.True_, np.float64(0.01))
    assert recipe == Recipe(1, 250, float(np.float32(1e-3)), True, 0.01)
    assert len(training.fit(zoo.build("mtae"), losses.multitask_loss, digits, recipe, progress=False)) == 1


def test_c2ae_has_two_stages(digits):
    few, model = Recipe(1, 100, 1e-3), zoo.build("c2ae")
    for _ in range(2):  # the second time, the model is frozen when it comes
        history = zoo.MODELS["c2ae"].fit(model, digits, recipe=few, first=few, test=digits, progress=False)
        assert [(row["stage"], row["epoch"]) for row in history] == [(1, 1), (2, 2)]
        assert "train_cross_entropy" in history[0] and {"train_match", "test_nonmatch"} < set(history[1])
        # the classifier is frozen: its accuracy stays
        assert history[0]["test_accuracy"] == history[1]["test_accuracy"]


def test_losses_that_cannot_train_are_refused_at_the_door(digits):
    model, recipe, seen = models.C2AE(), Recipe(1, 250, 1e-3), []
    before = model.classifier.weight.clone()
    with pytest.raises(ValueError, match=r"loss: expected .*decode"):
        training.fit(model, losses.c2ae_loss, digits, recipe)
    with pytest.raises(ValueError, match=r"loss: expected .*decode"):
        training.fit_c2ae(model, losses.multitask_loss, digits, recipe, first=recipe, on_epoch=seen.append)
    with pytest.raises(ValueError, match=r"loss: expected .*decode"):
        training.fit_turned(model, losses.c2ae_loss, digits, recipe, on_epoch=seen.append)
    assert not seen and torch.equal(model.classifier.weight, before)
    model.freeze()
    with pytest.raises(ValueError, match="loss: expected one that depends on parameters"):
        training.fit(model, losses.classification_loss, digits, recipe, progress=False)


def test_what_ends_a_training(digits):
    letters = data.load("letters").sample(100)
    with pytest.raises(ValueError, match=r"labels: expected classes in 0\.\.10"):
        run(letters)
    with pytest.raises(ValueError, match=r"labels: expected classes in 0\.\.9"):  # a K is not a zero that is turned
        turned(letters)
    with pytest.raises(ValueError, match=r"logits|try a smaller lr"):  # numbers that are none
        run(digits, recipe=Recipe(2, 100, 1e30))
