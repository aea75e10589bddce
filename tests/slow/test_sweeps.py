"""Sweeps over several processes: interrupted or with a worker that dies, they go on; a cluster gives the same rows.

``python -m osrlib decide`` is such a sweep, too.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from osrlib import data, scores, sweep
from osrlib.detector import OpenSetClassifier
from osrlib.thresholds import Conformal

ROOT = Path(__file__).parents[2]


def square(x, log, wait=0, dies=False):
    """A row that says where it was made. Each call leaves a line in a file; 3 is broken once, or its process ends."""
    with open(log, "a") as file:
        file.write(f"{x}\n")
    time.sleep(wait)
    mark = Path(log).with_suffix(".mark")
    if x == 3 and not mark.exists():
        mark.touch()
        if dies:
            time.sleep(1)  # until the others are done
            os._exit(9)
        raise ArithmeticError("three is broken")
    return {"square": x**2, "process": os.getpid()}


def wanted(tmp_path, *xs, **more):
    return [{"x": x, "log": str(tmp_path / "calls"), **more} for x in xs]


def calls(tmp_path):
    return sorted(map(int, (tmp_path / "calls").read_text().split()))


SLOW = """
import sys
from pathlib import Path
from osrlib import sweep
from tests.slow.test_sweeps import square, wanted
folder = Path(sys.argv[1])
print(len(sweep.run(square, wanted(folder, *range(4, 24), wait=0.4), folder / "rows", jobs=int(sys.argv[2]))))
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
    deadline, file = time.monotonic() + 120, tmp_path / "rows"
    made = []
    # a worker that starts, or that collects garbage after its first row, as loky has it, would show its own traceback
    while len(set(made)) < jobs or min(map(made.count, made)) < 2:
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.05)
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        made = [json.loads(line)[1]["process"] for line in lines if line.endswith("\n")]
    os.killpg(first.pid, signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    finished = [json.loads(line)[0]["x"] for line in file.read_text().splitlines()]
    assert first.returncode != 0 and 2 <= len(finished) < 20
    assert "the next run goes on" in said and "Traceback" not in said
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "20"
    ran = calls(tmp_path)
    assert all(ran.count(x) == 1 for x in finished) and set(ran) == set(range(4, 24))


def test_a_sweep_whose_worker_dies_keeps_its_rows_and_goes_on(tmp_path):
    these = wanted(tmp_path, 0, 1, 3, dies=True)
    with pytest.raises(SystemExit, match=r"(?s)a worker died \(.*2 rows are kept in .*; the next run goes on"):
        sweep.run(square, these, tmp_path / "rows", jobs=2, progress=False)
    assert [row["square"] for row in sweep.run(square, these, tmp_path / "rows", jobs=2, progress=False)] == [0, 1, 9]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers of one thread, each a process of its own, on loopback: address, and process ids."""
    file, start = tmp_path / "scheduler.json", [sys.executable, "-m", "dask"]
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    parts = [[*start, "scheduler", "--port", "0", *common]]
    parts += [[*start, "worker", "--nthreads", "1", "--no-nanny", *common]] * 2
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(part, cwd=ROOT, **quiet) for part in parts]
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


def test_a_dask_cluster_gives_the_same_rows(tmp_path, cluster, capfd):
    from dask.distributed import Client

    address, workers = cluster
    with Client(address) as client:
        client.wait_for_workers(2, timeout=120)
    these = wanted(tmp_path, *range(6), wait=0.3)
    rows = sweep.run(square, these, tmp_path / "rows", backend="dask", scheduler=address)
    assert [row["square"] for row in rows] == [0, 1, 4, 16, 25] and {row["process"] for row in rows} == set(workers)
    assert "three is broken" in capfd.readouterr().err
    # what the cluster finished, this machine does not repeat
    assert [row["square"] for row in sweep.run(square, these, tmp_path / "rows", jobs=1)] == [0, 1, 4, 9, 16, 25]
    assert calls(tmp_path) == [0, 1, 2, 3, 3, 4, 5]


@pytest.fixture(scope="module")
def rule(mtae, digits, tmp_path_factory):
    """A quick rule, in a file."""
    path = tmp_path_factory.mktemp("rule") / "rule.safetensors"
    OpenSetClassifier(mtae, {"norm": (scores.norm, Conformal(0.05))}).fit(digits.images).save(path)
    return path


def shards(folder, number, images):
    folder.mkdir()
    for i in range(number):
        np.savez_compressed(folder / f"{i:03}.npz", images=np.roll(images, i, 0))
    return folder


def decide(folder, rule, table, *more):
    """The command line in a process of its own: (what it says, its highest memory in KiB)."""
    code = "import resource, sys; from osrlib.__main__ import main; code = main(sys.argv[1:]); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    command = [sys.executable, "-c", code, "decide", folder, "--rule", rule, "--csv", table, *more]
    *said, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return " ".join(said), int(memory)


def test_a_dask_cluster_decides_the_same(tmp_path, rule, cluster):
    address, _ = cluster
    folder = shards(tmp_path / "brought", 6, data.load("letters").images[:200])
    decide(folder, rule, tmp_path / "here.csv")
    said, _ = decide(folder, rule, tmp_path / "there.csv", "--backend", "dask", "--scheduler", address)
    assert said.startswith("1,200 decided")
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="memory is asked for in another way there")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, rule):
    images = data.load("noise").images[:5000]
    said, few = decide(shards(tmp_path / "few", 2, images), rule, tmp_path / "few.csv")
    assert said.startswith("10,000 decided")
    said, many = decide(shards(tmp_path / "many", 40, images), rule, tmp_path / "many.csv")
    assert said.startswith("200,000 decided") and many < 1.1 * few, (few, many)
