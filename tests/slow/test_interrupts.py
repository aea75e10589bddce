"""Ctrl-C in a build: what was there stays whole, and a word says how to go on."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from osrlib import data
from tests.conftest import need
from tools import paths


@pytest.fixture
def tree(tmp_path):
    """A copy of what the commands read and write, with a page that an earlier build has left."""
    for part in ("osrlib", "book", "notebooks", "experiments/results", "tools"):
        shutil.copytree(paths.ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (paths.CONFIG, paths.TOC):
        shutil.copy(file, tmp_path)
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_build" / "html" / "index.html").write_text("the page of the build before")
    return tmp_path


def digests(tree):
    """What a reader would miss: every artefact that the commands write, by its content."""
    kept = ("_build/html/*", "notebooks/*", "book/**/*", "_*.yml")
    files = {file for pattern in kept for file in tree.glob(pattern) if file.is_file()}
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("command", ["book", "notebooks 06-drawing-the-line"])
def test_ctrl_c_leaves_everything_whole(command, tree):
    if command != "book":
        need(data.available()["cifar10"][0], "committed notebooks want CIFAR-10, which is not in the cache")
    before = digests(tree)
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.site", *command.split()], cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a test run in the background of a shell has this signal switched off, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        while "chapters, " not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)  # it is in the middle of something
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=100)[1]
    finally:
        killer.cancel()
        process.kill()
    assert process.returncode == 1 and "Interrupted" in said and "Traceback" not in said
    assert digests(tree) == before
