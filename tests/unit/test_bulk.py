"""Many pictures into one table: every line is what the detector says, and an interrupted call goes on."""

import csv
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osrlib import UNKNOWN, bulk, data, pictures, scores
from osrlib.__main__ import main
from osrlib.detector import OpenSetClassifier
from osrlib.thresholds import Conformal


@pytest.fixture(scope="module")
def rule(mtae, digits, tmp_path_factory):
    """A quick rule, in a file."""
    path = tmp_path_factory.mktemp("rule") / "rule.safetensors"
    OpenSetClassifier(mtae, {"norm": (scores.norm, Conformal(0.05))}).fit(digits.images).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Seven pictures, one of them below, a shard of 40 images, and two files that are no pictures."""
    place = tmp_path / "brought"
    (place / "below").mkdir(parents=True)
    for i, image in enumerate(data.load("mnist").images[:7]):
        Image.fromarray(255 - image).resize((90, 90)).save(place / ("below" if i == 3 else ".") / f"{i}.png")
    np.savez(place / "shard.npz", images=data.load("noise").images[:40])
    np.savez(place / "other.npz", labels=np.arange(3))
    np.savez(place / "large.npz", images=np.zeros((2, 32, 32), np.uint8))
    (place / "torn.npz").write_bytes((place / "shard.npz").read_bytes()[:900])
    (place / "notes.txt").write_text("no picture")
    return place


def lines(table):
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_line_is_what_the_detector_says(rule, folder, tmp_path, capsys):
    assert main(["decide", str(folder), "--rule", str(rule), "--csv", str(tmp_path / "out.csv")]) == 3
    said, found = capsys.readouterr(), lines(tmp_path / "out.csv")
    assert "47 decided" in said.out and "4 skipped" in said.out
    assert all(f"skipped {name}: " in said.err for name in ("notes.txt", "other.npz", "large.npz", "torn.npz"))
    detector, drawn = OpenSetClassifier.load(rule), [line for line in found if "[" not in line["file"]]
    decision = detector.decide(np.stack([pictures.to_mnist(Image.open(folder / line["file"])) for line in drawn]))
    labels = ["unknown" if label == UNKNOWN else str(label) for label in decision.labels]
    assert [line["label"] for line in drawn] == labels
    np.testing.assert_allclose([float(line["p-value"]) for line in drawn], decision.p_value, rtol=1e-5)
    assert [line["file"] for line in found if "[" in line["file"]] == [f"shard.npz[{i}]" for i in range(40)]
    assert not list(tmp_path.glob(".out*"))  # the parts are gone
    with pytest.raises(SystemExit) as stopped:  # a table that is there is not written over
        main(["decide", str(folder), "--rule", str(rule), "--csv", str(tmp_path / "out.csv")])
    assert stopped.value.code == 2


def test_an_interrupted_call_goes_on(rule, folder, tmp_path, monkeypatch):
    calls, decide = [], bulk._part

    def broken(**arguments):
        calls.append(arguments["found"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decide(**arguments)

    monkeypatch.setattr(bulk, "_part", broken)
    with pytest.raises(SystemExit, match="the next run goes on from there"):
        bulk.decide(folder, rule, tmp_path / "a.csv", 2, jobs=1, progress=False)
    told = bulk.decide(folder, rule, tmp_path / "a.csv", 2, jobs=1, progress=False)
    assert calls.count(calls[0]) == 1 and told["decided"] == 47 == len(lines(tmp_path / "a.csv"))
    monkeypatch.setattr(bulk, "_part", decide)
    bulk.decide(folder, rule, tmp_path / "b.csv", 500, jobs=1, progress=False)
    assert lines(tmp_path / "a.csv") == lines(tmp_path / "b.csv")


def test_what_has_changed_is_decided_anew(mtae, rule, folder, tmp_path, monkeypatch):
    decide, calls = bulk._part, []

    def broken(**arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return decide(**arguments)

    monkeypatch.setattr(bulk, "_part", broken)
    mine, other = tmp_path / "rule.safetensors", data.load("mnist").images[8]
    mine.write_bytes(rule.read_bytes())
    with pytest.raises(SystemExit):
        bulk.decide(folder, mine, tmp_path / "a.csv", 2, jobs=1, progress=False)
    Image.fromarray(255 - other).resize((90, 90)).save(folder / "0.png")
    strict = OpenSetClassifier(mtae, {"norm": (scores.norm, Conformal(0.9))}).fit(data.load("mnist").images[:200])
    strict.save(mine)
    for table in ("a.csv", "b.csv"):
        bulk.decide(folder, mine, tmp_path / table, 2, jobs=1, progress=False)
    assert lines(tmp_path / "a.csv") == lines(tmp_path / "b.csv")
    assert sum(line["label"] == "unknown" for line in lines(tmp_path / "a.csv")) > 40
    with pytest.raises(ValueError, match="table: expected a new file"):
        bulk.decide(folder, mine, tmp_path / "a.csv")


def test_memory_does_not_grow_with_the_number_of_shards(rule, tmp_path):
    peaks = []
    for shards in (2, 8):
        place = tmp_path / str(shards)
        place.mkdir()
        for i in range(shards):
            np.savez(place / f"{i}.npz", images=np.zeros((2000, 28, 28), np.uint8))
        tracemalloc.start()
        told = bulk.decide(place, rule, tmp_path / f"{shards}.csv", jobs=1, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert told["decided"] == 2000 * shards
    assert peaks[1] < 1.1 * peaks[0]


def test_what_cannot_be_done_is_said_in_a_word(rule, tmp_path):
    (tmp_path / "empty").mkdir()
    for place, file in ((tmp_path / "no", rule), (tmp_path / "empty", rule), (tmp_path, __file__)):
        command = [sys.executable, "-m", "osrlib", "decide", place, "--rule", file, "--csv", tmp_path / "o.csv"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
        assert ran.returncode == 2 and "expected" in ran.stderr and "Traceback" not in ran.stderr
