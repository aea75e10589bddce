"""The README's commands in clean environments: each Python that torch has wheels for, oldest and newest dependencies.

    python .ci/matrix.py                       every row, some fifteen minutes each
    python .ci/matrix.py 3.10-oldest 3.12      these rows

Each row is a fresh clone of the last commit with an environment of its own. Interpreters are looked up on the PATH as
``python3.10`` and so on. What a row gave goes into ``book/results/matrix.json``, which the status page prints.
"""

import collections
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "book" / "results" / "matrix.json"
ROWS = {
    "3.10-oldest": ("3.10", "oldest", ("book", "test")),
    "3.10": ("3.10", "constraints.txt", ("test",)),
    "3.11": ("3.11", "constraints.txt", ("book", "test")),
    "3.12": ("3.12", "constraints.txt", ("test",)),
    "3.12-no-cifar10": ("3.12", "constraints.txt", ("book", "test")),
    "3.13": ("3.13", "constraints.txt", ("test",)),
    "3.13-newest": ("3.13", "newest", ("book", "test")),
}
"""Row → Python, dependency versions, make targets. The same versions render the same page, whatever the Python: so the
page is built, and tested in a browser, where the versions differ, with what CI runs, and where a world is missing."""
MINE = (
    "OSRLIB_REMEMBER",
    "OSRLIB_OFFLINE",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "OMP_NUM_THREADS",
    "MAKEFLAGS",
    "MAKEOVERRIDES",
)
"""What a row does not take over from the one who runs it. The cache of data it does."""


def canonical(package):
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def constraints(versions, python, clone, folder):
    """The constraints file of a row, a path as text."""
    if versions == "newest":
        return os.devnull
    if versions != "oldest":
        return versions
    # pip has no lowest resolution; uv resolves, pip installs
    subprocess.run([sys.executable, "-m", "venv", folder / "uv"], check=True)
    tool = folder / "uv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([tool, "-m", "pip", "install", "--quiet", "uv"], check=True)
    subprocess.run(
        [
            tool, "-m", "uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--python-version", python,
            "--extra", "book", "--extra", "test", clone / "pyproject.toml", "--output-file", folder / "oldest.txt",
        ],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return str(folder / "oldest.txt")


def run(name):
    """One row: what it ran on, and how it ended, as a dict."""
    python, versions, targets = ROWS[name]
    environment = {key: value for key, value in os.environ.items() if key not in MINE}
    cache = Path(os.environ.get("OSRLIB_DATA") or "~/.cache/osrlib").expanduser()
    with tempfile.TemporaryDirectory(prefix=f"matrix-{name}-") as temporary:
        folder, start = Path(temporary), time.perf_counter()
        clone, report = folder / "clone", folder / "report.xml"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        command = ["git", "-C", clone, "rev-parse", "--short=12", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        # one test compares the ranges with what this run is about to write
        skip = "tests/test_book.py::test_the_matrix_proved_the_ranges"
        environment["PYTEST_ADDOPTS"] = f"--junitxml={report} --deselect={skip}"
        codes, installed = [], "[]"
        try:
            if name.endswith("-no-cifar10"):  # as for a stranger whose network does not reach it
                shutil.copytree(cache, folder / "data", ignore=shutil.ignore_patterns("cifar10*"))
                environment |= {"OSRLIB_DATA": str(folder / "data"), "OSRLIB_OFFLINE": "1"}
            options = [f"PYTHON=python{python}", f"CONSTRAINTS={constraints(versions, python, clone, folder)}"]
            for target in targets:
                codes.append(subprocess.run(["make", "-C", clone, target, *options], env=environment).returncode)
            command = [clone / ".venv" / "bin" / "python", "-m", "pip", "list", "--format=json"]
            installed = subprocess.run(command, capture_output=True, check=True).stdout
        except (subprocess.CalledProcessError, FileNotFoundError) as error:  # nothing to install, or no environment
            print(f"{name}: {error}", file=sys.stderr)
            codes.append(1)
        found = {canonical(package["name"]): package["version"] for package in json.loads(installed)}
        # what a range is given for, whatever else comes with it
        project = (clone / "pyproject.toml").read_text(encoding="utf-8")
        asked = sorted({canonical(name) for name in re.findall(r'"([A-Za-z][\w.-]*)[><=~]', project)})
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase")) if report.exists() else []
        skipped = collections.Counter(s.get("message") for case in cases for s in case.findall("skipped"))
        failed = [
            f"{c.get('classname')}::{c.get('name')}"
            for c in cases
            if c.find("failure") is not None or c.find("error") is not None
        ]
        return {
            "python": python,
            "versions": versions,
            "commands": [f"make {target}" for target in targets],
            "green": not any(codes) and bool(cases) and not failed,
            "passed": len(cases) - len(failed) - skipped.total(),
            "failed": failed,
            "skipped": dict(skipped),
            "seconds": round(time.perf_counter() - start),
            "packages": {package: found[package] for package in asked if package in found},
            "commit": commit,
            "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}",
        }


def main(names):
    """Run rows and write each as soon as it is done. Returns the exit code."""
    unknown = set(names) - set(ROWS)
    missing = [row for row in names or ROWS if row not in unknown and not shutil.which(f"python{ROWS[row][0]}")]
    if unknown or missing:
        print(
            f"rows: {', '.join(ROWS)}. Not a row: {', '.join(unknown) or 'none'}; no interpreter for: "
            f"{', '.join(missing) or 'none'}",
            file=sys.stderr,
        )
        return 2
    green = True
    for name in names or ROWS:
        row = run(name)
        green &= row["green"]
        rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        rows = {key: (rows | {name: row})[key] for key in ROWS if key in rows or key == name}
        part = RESULTS.with_suffix(".part")
        part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        os.replace(part, RESULTS)
        print(f"{name}: {'green' if row['green'] else 'RED'}, {row['passed']} passed, {row['seconds']} s", flush=True)
    return int(not green)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The rows that were done are written; name the others to go on.")
