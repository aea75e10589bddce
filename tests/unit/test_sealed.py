"""The sealed worlds, with others in their place: what is measured, and that it is measured once."""

import copy
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import osrlib
from experiments import sealed
from osrlib import UNKNOWN, data
from osrlib.detector import OpenSetClassifier
from osrlib.speed import remember


@pytest.fixture(scope="module")
def rule():
    """The real one: it takes seconds to build."""
    return sealed.frozen()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with MNIST and nothing else, and nowhere else to ask."""
    for split in ("train", "test"):
        data.load("mnist", split)  # which brings it into the cache
        shutil.copy(data.cache_dir() / f"mnist-{split}.npz", tmp_path)
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path))
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The file that is written, and is not there yet."""
    monkeypatch.setattr(sealed, "TABLE", tmp_path / "results" / "sealed.json")
    return sealed.TABLE


@pytest.fixture
def run(rule, table, monkeypatch):
    """Run the script on the rule, or on another."""

    def run(*arguments, rule=rule):
        monkeypatch.setattr(sealed, "frozen", lambda: rule)
        monkeypatch.setattr(sys, "argv", ["sealed", *arguments])
        sealed.main()

    return run


@pytest.fixture
def stand_ins(rule, cache):
    """Omniglot and EMNIST's letters of 60 digits that the rule accepts and 40 pictures of noise; KMNIST is missing.

    The digits are called d, of which the capital looks like a digit, and the noise a. Returns what the rule names the
    digits.
    """
    digits = data.load("mnist").images[:200]
    labels = rule.predict(digits)
    accepted = digits[labels != UNKNOWN][:60]
    noise = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    images = np.concatenate([accepted, noise])
    letters = np.repeat([data.WORLDS["emnist-letters"].classes.index(letter) for letter in "da"], [60, 40])
    for name, classes in (("omniglot", np.zeros(100, int)), ("emnist-letters", letters)):
        np.savez(cache / f"{name}-test.npz", images=images, labels=classes)
    return labels[labels != UNKNOWN][:60]


def test_worlds_are_opened_once(run, rule, stand_ins, table, capsys):
    run()  # says what there is
    said = capsys.readouterr().out
    digest = sealed.about(rule)["sha256"]
    assert digest in said and "fetch kmnist" in said and "Nothing was measured" in said and not table.exists()
    run("--open")
    told = json.loads(table.read_text(encoding="utf-8"))
    assert told["rule"]["sha256"] == digest
    assert "mtae-rule.safetensors" in told["rule"]["published"] and set(told["rule"]["lines"]) == set(rule.keys)
    price, worlds = told["price"], told["worlds"]
    assert price["n"] == 10_000 and 0 < price["refused"] < 0.03 and price["named_rightly"] > 0.95
    assert set(worlds) == {"omniglot", "emnist-letters", "emnist-letters without look-alikes", "kmnist"}
    assert "put kmnist-train.npz" in worlds["kmnist"]["missing"]
    named = {digit: int((stand_ins == k).sum()) for k, digit in enumerate(data.DIGITS)}
    for name in ("omniglot", "emnist-letters"):
        assert (worlds[name]["n"], worlds[name]["refused"]) == (100, 0.4) and worlds[name]["named"] == named
        assert 0.5 < worlds[name]["auroc"] < 0.9  # more than half of it are digits
    far = worlds["emnist-letters without look-alikes"]
    assert (far["n"], far["refused"], sum(far["named"].values())) == (40, 1, 0) and far["auroc"] > 0.99
    assert max(far["refused_by"].values()) > 0.5
    written = table.read_bytes()
    again = OpenSetClassifier(rule.model, dict(rule.keys)).fit(data.load("mnist").images[:1000])
    for today, which in ((rule, "which is the same"), (again, "which is another")):
        for arguments in ((), ("--open",)):
            with pytest.raises(SystemExit) as ended:
                run(*arguments, rule=today)
            assert digest in ended.value.code and which in ended.value.code
    assert table.read_bytes() == written


def test_without_any_world_nothing_is_written(run, cache, table):
    with pytest.raises(SystemExit, match="None of the sealed worlds"):
        run("--open")
    assert not table.exists()


def test_whatever_decides_is_in_the_hash(rule, monkeypatch):
    monkeypatch.delenv(remember.FOLDER, raising=False)
    digest, folder, ran = sealed.about(rule)["sha256"], Path(osrlib.__file__).parent, set()
    other = OpenSetClassifier(copy.deepcopy(rule.model), dict(rule.keys))
    next(other.model.parameters()).data[0] += 1e-3
    changed = sealed.about(other)
    assert changed["sha256"] != digest and not changed["published"]

    def note(frame, event, _):
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(folder):
            ran.add(Path(frame.f_code.co_filename).relative_to(folder).as_posix())

    sys.setprofile(note)
    try:
        OpenSetClassifier(rule.model, dict(rule.keys)).fit(data.load("mnist").images[:1000]).decide(
            data.load("mnist").images[:5]
        )
    finally:
        sys.setprofile(None)
    # these find the digits and look at arguments
    around = {"data.py", "checks.py", "worlds/cache.py", "worlds/catalogue.py"}
    assert {"detector.py", "models.py", "thresholds.py"} < ran
    assert ran - around <= set(sealed.about(rule)["code"])
