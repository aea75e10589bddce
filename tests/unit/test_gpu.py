"""The experiment on a GPU, as far as a processor goes: all of it runs, and what differs or fails is told."""

import contextlib
import inspect
import json
import sys
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments import gpu, parity, study
from osrlib import losses, training, zoo
from osrlib.speed import remember


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the script, which writes into an empty folder."""
    monkeypatch.setattr(study, "BUILD", tmp_path)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    monkeypatch.delenv(remember.FOLDER, raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
        gpu.main()

    return run


def written(folder):
    return json.loads((folder / "gpu.json").read_text(encoding="utf-8"))


def test_every_part_runs_on_the_processor(run, tmp_path):
    run("--device", "cpu", "--quick")  # which ends in SystemExit where a part fails
    told = written(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "gpu.json"]  # what is quick is not published
    assert all(row["largest"] == 0 for part in ("models", "scores") for row in told[part].values())
    for row in told["training"].values():
        assert "left out" in row or (row["images_per_second"] > 0 and row["closed_accuracy"] > 0.1)
    for row in told["deciding"].values():
        assert (row["images"], row["of"], row["differ"]) == (500, 60, 0) and row["per_second"] > 0


def test_every_loss_takes_part():
    there = {name for name, one in vars(losses).items() if getattr(one, "__module__", None) == losses.__name__
             and inspect.isfunction(one) and not name.startswith("_")}  # fmt: skip
    trained = {getattr(spec.loss, "func", spec.loss).__name__ for spec in zoo.MODELS.values()}
    trained |= {"turned_loss" for spec in zoo.MODELS.values() if spec.ways > 1}
    assert there == trained | set(parity.PER_IMAGE)


@pytest.mark.parametrize(
    "value, factor, rows, ok",
    [
        (5.0, 1, 200, True),
        (5.0, 1.0005, 200, True),
        (5.0, 1.002, 200, False),
        (1e-5, 50, 200, True),  # small numbers are compared as they are, not by their ratio
        (5.0, 100, 2, True),  # a score may jump for an image in a hundred
        (5.0, 100, 3, False),
    ],
)
def test_what_differs_is_noticed(value, factor, rows, ok):
    one = np.full((200, 3), value)
    other = one.copy()
    other[:rows, 1] *= factor
    told = parity.compare(lambda name, where, size: [one, other if where == "gpu" else one], "any", "gpu", None)
    largest = value * (factor - 1) / max(value, 1)
    assert told == {"largest": pytest.approx(largest), "beyond": rows / 200 if largest > 1e-3 else 0, "ok": ok}


def test_one_that_fails_costs_the_others_nothing(run, tmp_path, monkeypatch):
    def measure(name, device, size):
        if name == "broken":
            raise RuntimeError("out of memory")
        return {"largest": 0.5, "ok": False} if name == "far apart" else {"largest": 0.25, "ok": True}

    monkeypatch.setattr(gpu, "PARTS", {"first": (measure, ["broken", "fine"]), "second": (measure, ["far apart"])})
    with pytest.raises(SystemExit) as ended:
        run("--device", "cpu")
    assert "first: broken" in ended.value.code and "second: far apart" in ended.value.code
    assert "fine" not in ended.value.code
    told = written(tmp_path)
    assert told["first"]["broken"] == {"failed": "RuntimeError: out of memory"}
    assert told["first"]["fine"]["largest"] == 0.25 and told["second"]["far apart"]["largest"] == 0.5
    not_a_number = partial(parity.compare, lambda name, where, size: [np.array([[1.0], [np.nan]])])
    monkeypatch.setattr(gpu, "PARTS", {"first": (not_a_number, ["one"])})
    with pytest.raises(SystemExit, match="expected finite numbers"):
        run("--device", "cpu")


def test_where_nothing_can_be_measured(run, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="no device 'cuda:99'"):
        run("--device", "cuda:99")
    monkeypatch.setenv(remember.FOLDER, str(tmp_path))
    with pytest.raises(SystemExit, match="read from a file"):
        run("--device", "cpu", "--quick")
    assert not list(tmp_path.iterdir())


def test_the_clock_waits_for_the_gpu(monkeypatch):
    """A GPU is given work, and goes on while Python returns."""
    left = [0.3, 0.1]  # seconds of work that it has when it is waited for: before, and after
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: time.sleep(left.pop(0)))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    told = gpu.timed(SimpleNamespace(type="cuda"), lambda: None)
    assert 0.1 <= told["seconds"] < 0.3 and told["peak_bytes"] == 7


def test_emulated_bfloat16_does_not_count(monkeypatch):
    """A T4 emulates it. torch answers for the current device, which need not be the one that is asked about."""
    current = []

    @contextlib.contextmanager
    def device(one):
        current.append(one.index)
        yield
        current.pop()

    native = {0: False, 1: True}
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native[current[-1]]
    )
    assert [training.has_bfloat16(torch.device("cuda", index)) for index in (0, 1)] == [False, True]
