"""A whole release, tried in a clone: what is attached is sound, and the tree is left alone."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import zipfile

from tests.conftest import need
from tools import paths


def git(*words, cwd=paths.ROOT):
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_a_dry_release():
    for package in ("build", "hatchling", "twine"):
        need(importlib.util.find_spec(package), f"there is no {package}: pip install it")
    before = [git(*words.split()) for words in ("status --porcelain", "tag --list", "rev-parse HEAD")]
    command = [sys.executable, "-m", "tools.release", "9.1.0", "--dry"]
    ran = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert before == [git(*words.split()) for words in ("status --porcelain", "tag --list", "rev-parse HEAD")]
    clone = paths.BUILD / "release-dry"
    assert git("tag", "--list", cwd=clone) == "v9.1.0\n" and not git("status", "--porcelain", cwd=clone)
    folder = clone / "_build" / "release" / "9.1.0"
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = archive.read(name).decode()
        assert re.search(r"^Name: knowing-what-you-dont-know\nVersion: 9\.1\.0$", told, re.MULTILINE)
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    assert {file.name for file in (paths.ROOT / "osrlib" / "weights").iterdir()} | {wheel.name} <= set(sums)
    for name, told in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == told
