"""Sweeps: what is done stays done, what fails is named and tried again, and nothing but rows is kept.

``tests/slow/test_sweeps.py`` has those of several processes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from osrlib import sweep


def square(x, log):
    """A row; each call leaves a line in a file, and three is broken until it is mended."""
    with open(log, "a") as file:
        file.write(f"{x}\n")
    if x == 3 and not Path(log).with_suffix(".mended").exists():
        raise ArithmeticError("three is broken")
    return {"square": x**2}


@pytest.fixture
def wanted(tmp_path):
    return [{"x": x, "log": str(tmp_path / "calls")} for x in range(5)]


def test_a_failing_row_is_named_and_tried_again(wanted, tmp_path, capfd):
    file = tmp_path / "below" / "rows"
    rows = sweep.run(square, wanted, str(file), jobs=1)
    assert [(row["x"], row["square"]) for row in rows] == [(0, 0), (1, 1), (2, 4), (4, 16)]
    said = capfd.readouterr().err
    assert f"failed: {json.dumps(wanted[3])}" in said and "ArithmeticError: three is broken" in said
    assert "1 of 5 rows failed" in said and "5/5" in said
    (tmp_path / "calls.mended").touch()
    assert [row["square"] for row in sweep.run(square, wanted, file, jobs=1)] == [0, 1, 4, 9, 16]
    assert (tmp_path / "calls").read_text().split() == list("012343")  # nothing that was finished ran twice


@pytest.mark.parametrize("kept", [0, 40, 99, -1, None])
def test_a_sweep_cut_off_anywhere_goes_on(kept, wanted, tmp_path):
    file = tmp_path / "rows"
    rows = sweep.run(square, wanted[:3], file, jobs=1, progress=False)
    whole = file.read_bytes()
    file.write_bytes(whole[:kept])
    assert sweep.run(square, wanted[:3], file, jobs=1, progress=False) == rows
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize(
    "function, word",
    [
        (lambda x: {"x": 1}, "no key of its configuration"),
        (lambda x: {"y": float("nan")}, "not JSON compliant"),
        (lambda x: 3, "expected a dict"),
        (lambda x: sys.exit("no such option"), "SystemExit: no such option"),
    ],
)
def test_what_is_no_row_is_a_row_that_failed(function, word, tmp_path, capfd):
    assert sweep.run(function, [{"x": 1}], tmp_path / "rows", jobs=1, progress=False) == []
    assert word in capfd.readouterr().err and (tmp_path / "rows").read_text() == ""


def test_a_function_may_use_up_its_configuration(tmp_path):
    for _ in range(2):
        (row,) = sweep.run(lambda some: {"last": some.pop()}, [{"some": [1, 2]}], tmp_path / "rows", jobs=1)
        assert row == {"some": [1, 2], "last": 2}


@pytest.mark.parametrize(
    "options, name",
    [
        ({"backend": "dask"}, "scheduler"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "scheduler"),
        ({"jobs": 0}, "jobs"),
        ({"configurations": [{"x": 1}, {"x": 1}]}, "configurations"),
        ({"configurations": [{"x": np.zeros(2)}]}, "configurations"),
    ],
)
def test_a_sweep_refuses(options, name, tmp_path):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        sweep.run(**{"function": square, "configurations": [{"x": 1}], "file": tmp_path / "rows"} | options)
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("content", ['[{"x": 1}, {"square": NaN}]\n', "no rows\n", '[{"x": 1}]\n', "no row, no end"])
def test_a_file_of_something_else_is_left_alone(content, tmp_path):
    (tmp_path / "rows").write_text(content)
    with pytest.raises(ValueError, match="rows: expected the rows of a sweep"):
        sweep.run(square, [{"x": 1, "log": str(tmp_path / "calls")}], tmp_path / "rows", jobs=1)
    assert (tmp_path / "rows").read_text() == content
