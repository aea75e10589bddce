"""Training is deterministic, recipes are the report's, weights are the published ones or refused."""

import json
import shutil

import pytest
import torch

from osrlib import losses, metrics, models, scores, training, zoo


def short(seed=0, shuffle=0):
    training.seed_everything(seed)
    return models.MultiTaskAE(), training.Recipe(epochs=2, batch_size=100, lr=2e-3, one_cycle=True), shuffle


def run(digits, seed=0, shuffle=0):
    model, recipe, shuffle = short(seed, shuffle)
    history = training.fit(model, losses.multitask_loss, digits, recipe, seed=shuffle, test=digits, progress=False)
    return model, history


def test_the_same_seed_gives_the_same_weights(digits):
    (first, _), (second, _) = run(digits), run(digits)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other, _ = run(digits, shuffle=1)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_training_learns(digits):
    model, history = run(digits)
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["test_accuracy"] > 0.5 and history[1]["test_mse"] < history[0]["test_mse"]
    assert history.column("seconds").min() > 0
    measured = training.evaluate(model, losses.multitask_loss, digits)
    assert measured["test_loss"] == pytest.approx(history[1]["test_loss"])


def test_the_reports_hyper_parameters():
    assert training.RECIPES["report"] == training.Recipe(20, 1024, 5e-4)
    for name in ("baseline", "mtae"):
        assert zoo.MODELS[name].recipe is training.RECIPES["report"]


def test_the_plain_recipe_is_adam(digits):
    training.seed_everything(0)
    ours, theirs = models.BaselineCNN(), models.BaselineCNN()
    theirs.load_state_dict(ours.state_dict())
    training.fit(ours, losses.classification_loss, digits, training.Recipe(1, 500, 1e-3), progress=False)
    adam = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    x, y = models.to_input(digits.images)[order], torch.as_tensor(digits.labels)[order]
    torch.nn.functional.nll_loss(theirs(x).logits, y).backward()
    adam.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_unknown_recipe(digits):
    with pytest.raises(ValueError, match="fast, report"):
        training.fit(models.BaselineCNN(), losses.classification_loss, digits, "quick")


@pytest.mark.parametrize("name", sorted(zoo.MODELS))
def test_published_weights_load_and_know_digits(name, digits):
    model = zoo.load(name)
    assert not model.training
    accuracy = (models.infer(model, digits.images).logits.argmax(1) == digits.labels).mean()
    assert accuracy > (0.7 if name == "baseline" else 0.96)


def test_wrong_weights_are_refused(tmp_path, monkeypatch):
    shutil.copytree(zoo.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "weights")
    file = tmp_path / "weights" / "mtae.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="expected SHA-256"):
        zoo.load("mtae")
    zoo.load("cnn")


def test_untrained_weights_do_not_detect(digits):
    # what the chapters' claims guard against, were an untrained file to come with a matching manifest
    model = zoo.build("mtae")
    said = models.infer(model.eval(), digits.images)
    assert (said.logits.argmax(1) == digits.labels).mean() < 0.5
    assert scores.norm(said).mean() > 8


def test_save_writes_a_manifest_that_load_accepts(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    model = zoo.build("cnn", seed=3)
    zoo.save({"cnn": model})
    again = zoo.load("cnn")
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="expected one of"):
        zoo.save({"other": model})


def test_unknown_model():
    for function in (zoo.load, zoo.build, zoo.train):
        with pytest.raises(ValueError, match="baseline, cnn, mtae"):
            function("resnet")


def test_reference_holds_what_the_book_needs():
    reference = zoo.reference()
    assert json.loads(json.dumps(reference)) == reference
    rule = reference["report_rule"]
    assert len(reference["models"]["mtae"]["seeds"]) >= 3
    if not rule["missing"]:
        confusion = rule["confusion"]
        assert sum(map(sum, confusion)) == 30_000
        right = [confusion[i][i] for i in range(11)]
        assert rule["mnist"] == pytest.approx(sum(right[:10]) / 10_000)
        assert rule["ood"] == pytest.approx(right[10] / 20_000)
        assert rule["total"] == pytest.approx(sum(right) / 30_000)
    assert 0.78 <= reference["models"]["baseline"]["closed_accuracy"][0] <= 0.84
    assert reference["models"]["cnn"]["closed_accuracy"][0] >= 0.985


def test_reference_is_of_the_published_weights(mtae):
    from osrlib import data

    digits = data.load("mnist")
    accuracy = (models.infer(mtae, digits.images).logits.argmax(1) == digits.labels).mean()
    assert accuracy == pytest.approx(zoo.reference()["models"]["mtae"]["closed_accuracy"][0], abs=5e-4)
    letters, patches = (scores.norm(models.infer(mtae, data.load(name).images)) for name in ("letters", "patches"))
    assert metrics.auroc(scores.norm(models.infer(mtae, digits.images)), patches) > metrics.auroc(letters, patches)
