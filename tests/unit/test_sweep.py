"""Sweeps: what is done stays done, what fails is named, and a cluster gives the same rows."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from osrlib import sweep

ROOT = Path(__file__).parents[1]


def square(configuration):
    """A row that says where it was made; each call leaves a line in a file."""
    with open(configuration["log"], "a") as log:
        log.write(f"{configuration['x']}\n")
    time.sleep(configuration.get("wait", 0))
    if configuration["x"] == 3 and not Path(configuration["log"]).with_suffix(".mended").exists():
        raise ArithmeticError("three is broken")
    return {"square": configuration["x"] ** 2, "process": os.getpid()}


@pytest.fixture
def configurations(tmp_path):
    return [{"x": x, "log": str(tmp_path / "calls")} for x in range(6)]


def calls(tmp_path):
    return sorted(map(int, (tmp_path / "calls").read_text().split()))


def test_a_failing_row_is_named_and_tried_again(configurations, tmp_path, capfd):
    rows = sweep.run(square, configurations, tmp_path / "rows", jobs=2)
    assert [row["x"] for row in rows] == [0, 1, 2, 4, 5] and [row["square"] for row in rows] == [0, 1, 4, 16, 25]
    said = capfd.readouterr().err
    assert f"failed: {json.dumps(configurations[3])}" in said and "ArithmeticError: three is broken" in said
    assert "1 of 6 rows failed" in said and "6/6" in said
    (tmp_path / "calls.mended").touch()
    again = sweep.run(square, configurations, tmp_path / "rows", jobs=2)
    assert [row["square"] for row in again] == [0, 1, 4, 9, 16, 25]
    assert calls(tmp_path) == [0, 1, 2, 3, 3, 4, 5]  # nothing that was finished ran twice
    assert again[0] == rows[0]


def leave(configuration):
    if configuration["x"]:
        sys.exit("no such option")
    return {"left": False}


def test_a_row_that_leaves_is_a_row_that_failed(tmp_path, capfd):
    assert sweep.run(leave, [{"x": 1}, {"x": 0}], tmp_path / "rows", jobs=1) == [{"x": 0, "left": False}]
    assert "SystemExit: no such option" in capfd.readouterr().err


def test_no_file_lies_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file: expected a name in a folder"):
        sweep.run(leave, [{"x": 0}], tmp_path / "file" / "rows", jobs=1)


def test_half_a_line_is_cut_off(configurations, tmp_path):
    good = json.dumps([configurations[0], {"square": -1}]) + "\n"
    (tmp_path / "rows").write_text(good + '[{"x": 1, "lo')
    rows = sweep.run(square, configurations[:3], tmp_path / "rows", jobs=1, progress=False)
    assert [row["square"] for row in rows] == [-1, 1, 4] and calls(tmp_path) == [1, 2]
    lines = (tmp_path / "rows").read_text().splitlines()
    assert len(lines) == 3 and all(map(json.loads, lines))


SLOW = """
import sys
from osrlib import sweep
from tests.test_sweep import square
wanted = [{"x": x, "log": sys.argv[1] + "/calls", "wait": 0.4} for x in (0, 1, 2, 4, 5, 6)]
print(len(sweep.run(square, wanted, sys.argv[1] + "/rows", jobs=int(sys.argv[2]))))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_sweep_goes_on(jobs, tmp_path):
    command = [sys.executable, "-c", SLOW, str(tmp_path), str(jobs)]
    # a test run in the background of a shell has this signal switched off, and its children inherit that
    first = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not ((tmp_path / "rows").exists() and (tmp_path / "rows").read_text().count("\n") >= 2):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    finished = [json.loads(line)[0]["x"] for line in (tmp_path / "rows").read_text().splitlines()]
    assert first.returncode != 0 and 2 <= len(finished) < 6
    assert "the next run goes on" in said and "Traceback" not in said
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "6"
    ran = calls(tmp_path)
    assert all(ran.count(x) == 1 for x in finished) and set(ran) == {0, 1, 2, 4, 5, 6}


def dies_once(configuration):
    """A function that takes its process down, at its first call for x = 3."""
    mark = Path(configuration["log"]).with_name("died")
    if configuration["x"] == 3 and not mark.exists():
        mark.touch()
        time.sleep(1)  # until the others are done
        os._exit(9)
    return {"square": configuration["x"] ** 2}


def test_a_sweep_whose_worker_dies_keeps_its_rows_and_goes_on(configurations, tmp_path):
    wanted = [one for one in configurations if one["x"] in (0, 1, 3)]
    with pytest.raises(
        SystemExit, match=r"(?s)a worker died \(.*2 rows are kept in .*; the next run goes on from there"
    ):
        sweep.run(dies_once, wanted, tmp_path / "rows", jobs=2, progress=False)
    rows = sweep.run(dies_once, wanted, tmp_path / "rows", jobs=2, progress=False)
    assert [row["square"] for row in rows] == [0, 1, 9]


def test_a_sweep_refuses(configurations, tmp_path, capfd):
    with pytest.raises(ValueError, match="each once"):
        sweep.run(square, configurations[:1] * 2, tmp_path / "rows")
    for options in ({"backend": "dask"}, {"scheduler": "tcp://127.0.0.1:1"}, {"backend": "threads"}):
        with pytest.raises(ValueError, match="expected"):
            sweep.run(square, configurations, tmp_path / "rows", **options)
    assert sweep.run(lambda _: {"x": 1}, configurations[:1], tmp_path / "rows", jobs=1) == []
    assert "no key of its configuration" in capfd.readouterr().err
    assert sweep.run(lambda _: {"y": float("nan")}, configurations[:1], tmp_path / "rows", jobs=1) == []
    assert "not JSON compliant" in capfd.readouterr().err
    with pytest.raises(ValueError, match="file: expected a file, or a name for one, got the folder"):
        sweep.run(square, configurations, tmp_path)
    (tmp_path / "rows").write_text('[{"x": 1}, {"square": NaN}]\n')
    with pytest.raises(ValueError, match="expected the rows of a sweep"):
        sweep.run(square, configurations, tmp_path / "rows")


def greedy(configuration):
    """A function that uses up what it is given."""
    return {"square": configuration.pop("x") ** 2}


def test_a_function_may_change_its_configuration(tmp_path):
    for _ in range(2):
        assert sweep.run(greedy, [{"x": 3}], tmp_path / "rows", jobs=1, progress=False) == [{"x": 3, "square": 9}]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers of one thread, each a process of its own, on loopback: the scheduler's address."""
    file = tmp_path / "scheduler.json"
    start = [sys.executable, "-m", "dask"]
    parts = [
        [*start, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)],
        *[[*start, "worker", "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--no-nanny",
           "--scheduler-file", str(file)]] * 2,
    ]  # fmt: skip
    processes = [
        subprocess.Popen(part, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for part in parts
    ]
    try:
        deadline = time.monotonic() + 120
        while not (file.exists() and file.read_text().strip().endswith("}")):
            assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"], [process.pid for process in processes[1:]]
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # older versions of distributed can hang while they close
                process.kill()


def test_a_dask_cluster_gives_the_same_rows(configurations, tmp_path, cluster, capfd):
    from dask.distributed import Client

    address, workers = cluster
    with Client(address) as client:
        client.wait_for_workers(2, timeout=120)
    wanted = [configuration | {"wait": 0.3} for configuration in configurations]
    rows = sweep.run(square, wanted, tmp_path / "rows", backend="dask", scheduler=address)
    assert [row["square"] for row in rows] == [0, 1, 4, 16, 25]
    assert {row["process"] for row in rows} == set(workers)
    assert "three is broken" in capfd.readouterr().err
    # what the cluster finished, this machine does not repeat
    (tmp_path / "calls.mended").touch()
    assert [row["square"] for row in sweep.run(square, wanted, tmp_path / "rows", jobs=1)] == [0, 1, 4, 9, 16, 25]
    assert calls(tmp_path) == [0, 1, 2, 3, 3, 4, 5]
