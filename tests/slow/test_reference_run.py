"""The reference run, cut down: all of it runs, an interrupted one goes on, and it says what has moved."""

import copy
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import authors, reference, study, teaser, trainings
from osrlib import data, models, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.speed import cost
from tests.conftest import need

ROOT = Path(__file__).parents[2]
FEW = {("mnist", "train"): 2200, ("mnist", "test"): 500, ("letters", "test"): 500}


def cut_down(patch, folder, seeds=3):
    """A few images of each world, an epoch and a few seeds for each training, and a folder for all that is written."""
    load, sample = functools.cache(data.load), data.ImageSet.sample

    def few(name, split="test"):
        return sample(load(name, split), FEW.get((name, split), 200))

    def brief(name, one):
        # the Gram deviation wants a CNN that names every class
        images, epochs = (2200, 5) if name == "cnn" else (300, 1)
        first = one.spec.first and replace(one.spec.first, epochs=1)
        recipe = replace(one.spec.recipe, epochs=epochs)
        spec = replace(one.spec, recipe=recipe, first=first, digits=lambda: one.spec.digits()[:images])
        return replace(one, spec=spec, seeds=one.seeds[:seeds])

    patch.setattr(data, "load", few)
    parts = {"train": slice(1000), "choose": slice(1000, None), "calibrate": slice(1000, None)}
    patch.setattr(data, "rule_digits", lambda part="train": few("mnist", "train")[parts[part]])
    patch.setattr(data.ImageSet, "sample", lambda images, size, seed=0: sample(images, min(size, len(images)), seed))
    patch.setattr(trainings, "TRAININGS", {name: brief(name, one) for name, one in trainings.TRAININGS.items()})
    patch.setattr(trainings, "FOLDER", folder / "trainings")
    patch.setattr(reference, "REPORT_SEEDS", reference.REPORT_SEEDS[:seeds])


def test_it_trains_what_it_publishes():
    every = trainings.TRAININGS
    published = zoo.reference()["models"]
    assert {name: list(every[name].seeds) for name in published} == {
        name: record["seeds"] for name, record in published.items()
    }
    assert len(every["mtae-rule"].digits("train")) == 50_000  # the others calibrate
    six = every["c2ae-smooth"]
    assert set(six.digits("test").labels) == set(range(6)) and six.known == data.SPLITS["neal"][0]


def test_it_reaches_its_end(monkeypatch, tmp_path):
    """Hours of training must not end in an error."""
    need(data.available()["cifar10"][0], "the reference run wants CIFAR-10, which is not in the cache")
    cut_down(monkeypatch, tmp_path)
    shutil.copytree(zoo.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setitem(
        zoo.MODELS, "mtae-rule", replace(zoo.MODELS["mtae-rule"], digits=lambda: data.load("mnist", "train")[:1000])
    )
    # each in a process of its own, on all images
    monkeypatch.setattr(cost, "measure", lambda name: cost.Cost(1, 1.0, 1.0, 1))
    monkeypatch.setattr(study, "PICTURES", tmp_path)
    monkeypatch.setattr(teaser, "CHOSEN", dict.fromkeys(teaser.CHOSEN, (0, 1)))
    monkeypatch.setattr(sys, "argv", ["reference"])
    published = zoo.reference()
    reference.main()
    measured = zoo.reference()

    def names(tree):
        # a recipe may have options that it had not when the figures were published; a part measured later says so
        if not isinstance(tree, dict):
            return None
        return {key: names(value) for key, value in tree.items() if key not in ("recipe", "provenance")}

    assert names(measured) == names(published)
    assert measured["rule"] != published["rule"]
    assert {"teaser.png", "card.png"} <= {file.name for file in tmp_path.iterdir()}
    for name in zoo.MODELS:  # what is published is what was trained, under its checksum
        assert zoo.load(name)
    assert not (tmp_path / "trainings").exists()


TRAIN = """
import sys, pathlib, pytest
from experiments import study, trainings
from tests.slow.test_reference_run import cut_down
cut_down(pytest.MonkeyPatch(), pathlib.Path(sys.argv[1]), 1)
study.start(trainings.run)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
def test_an_interrupted_run_goes_on(monkeypatch, tmp_path):
    command, file = [sys.executable, "-c", TRAIN, str(tmp_path)], tmp_path / "trainings" / "rows.jsonl"
    # a test run in the background of a shell has this signal switched off, and its children inherit that
    first = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_text().count("\n") >= 2):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    kept = file.read_text().splitlines()
    assert first.returncode == 1 and "the next run goes on from there" in said and "Traceback" not in said
    cut_down(monkeypatch, tmp_path, 1)
    names = list(trainings.TRAININGS)[:4]
    monkeypatch.setattr(trainings, "TRAININGS", {name: trainings.TRAININGS[name] for name in names})
    assert [row["name"] for row in trainings.run(seed=0)] == names
    # what was trained is not trained again, and gives its weights
    assert file.read_text().splitlines()[: len(kept)] == kept
    for line in kept:
        configuration, row = json.loads(line)
        model, history = trainings.trained(configuration["name"], configuration["seed"])
        assert history == row["history"] and trainings.packed(model)[1] == row["weights"]
    # what other code has trained is trained again; weights that have changed are noticed
    monkeypatch.setattr(trainings, "fingerprint", lambda: "other code")
    assert trainings.run(name=names[0])[0]["code"] == "other code"
    assert len(file.read_text().splitlines()) == 4 + 1
    weights = tmp_path / "trainings" / f"{trainings.run(name=names[0])[0]['weights']}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match="expected the SHA-256 that is its name"):
        trainings.trained(names[0])


def test_publishing_writes_a_manifest_that_load_accepts(tmp_path, monkeypatch):
    model = zoo.build("cnn", seed=3)
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    trainings.publish({"cnn": model})
    again = zoo.load("cnn")
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="expected one of"):
        trainings.publish({"other": model})
    with pytest.raises(ValueError, match="expected the weights of 'mtae', got those of another BaselineCNN"):
        trainings.publish({"mtae": model})
    assert not (tmp_path / "mtae.safetensors").exists()


def test_it_says_what_has_moved():
    before = zoo.reference()
    now = copy.deepcopy(before)
    now["rule"]["mean"]["total"] += 3 * before["rule"]["std"]["total"]
    now["report_rule"]["mean"]["total"] -= 4 * before["report_rule"]["std"]["total"]
    *lines, last = reference.moved(before, now)
    changed = [line for line in lines if not line.endswith(" now: +0.0 standard deviations")]
    assert len(changed) == 2 and len(lines) > 60 and not any("seconds" in line for line in lines)
    assert any(line.startswith("rule total: ") and line.endswith(" now: +3.0 standard deviations") for line in changed)
    assert any(line.startswith("report_rule total: ") and line.endswith("-4.0 standard deviations, OUTSIDE")
               for line in changed)  # fmt: skip
    assert last == f"{len(lines) - 1} of {len(lines)} figures within the 95 % prediction interval of the run before"
    assert any(line.startswith("models mtae closed_accuracy: ") for line in lines)
    assert any(line.startswith("loss_weights 0 mse: ") for line in lines)
    assert reference.moved(before, {}) == ["0 of 0 figures within the 95 % prediction interval of the run before"]


def test_the_authors_own_weights_give_the_lines_that_their_notebook_prints():
    file = data.cache_dir() / "authors-mtae.safetensors"
    if not file.exists():
        pytest.skip("the report's weights are not at hand: they are in its authors' repository, and in no other")
    network = models.MultiTaskAE()
    network.load_state_dict(authors.state(file.read_bytes(), "reconstruct_model"))
    lines = OpenSetClassifier.report(network.eval()).fit(data.report_digits().images).lines
    assert lines == {"norm": pytest.approx(19.3413, abs=1e-3), "diff": pytest.approx(66.4524, abs=1e-3)}


def test_other_files_than_the_authors_are_refused():
    content = io.BytesIO()
    torch.save({"conv1.weight": torch.zeros(1)}, content)
    with pytest.raises(ValueError, match=r"baseline_model: expected SHA-256 9a3aa871"):
        authors.state(content.getvalue(), "baseline_model")
