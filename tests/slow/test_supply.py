"""What comes from elsewhere: no pickle is loaded, workflows run pinned actions with the least permissions, and the
licences of all that is used go together with the book's.
"""

import fnmatch
import re
import subprocess
import sys

import pytest
import yaml

from tools import licences, paths

WORKFLOWS = sorted((paths.ROOT / ".github" / "workflows").glob("*.y*ml"))
STRANGE = """\
import cloudpickle
import pickle
import torch.hub
from torch import load as read
from torchvision.datasets import CIFAR10
map(torch.load, files)
subprocess.run("ls", shell=True)
eval(text)
exec(text)
import yaml; yaml.load(text)
"""


def test_the_linter_refuses_what_runs_what_a_file_says():
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--stdin-filename=osrlib/a.py", "-"]
    told = subprocess.run(command, cwd=paths.ROOT, input=STRANGE, capture_output=True, text=True).stdout
    found = {int(line) for line in re.findall(r"a\.py:(\d+):\d+: (?:S\d+|TID251) ", told)}
    assert found == set(range(1, 1 + len(STRANGE.splitlines())))
    for folder in ("osrlib", "experiments", "tools", "book", "notebooks"):  # NumPy unpickles where it is told to
        for file in (paths.ROOT / folder).rglob("*.*"):
            assert b"allow_pickle=True" not in file.read_bytes(), file


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[file.name for file in WORKFLOWS])
def test_workflows_run_pinned_actions_with_the_least_permissions(workflow):
    text = workflow.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    uses = re.findall(r"uses: *(.*)", text)
    assert uses and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in uses)
    assert content["permissions"] == {"contents": "read"} and "secrets." not in text
    triggers = set(content[True])  # YAML reads the key "on" as true
    assert triggers <= {"push", "pull_request", "workflow_dispatch", "schedule"}
    for name, job in content["jobs"].items():
        allowed = {"pages": "write", "id-token": "write"} if name == "publish" else None
        assert job.get("permissions") == allowed and job["timeout-minutes"] <= 90
        for step in job["steps"]:
            # what a stranger names a branch must not become a command
            assert "${{" not in step.get("run", "")
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_no_file_holds_a_secret():
    listed = subprocess.run(["git", "-C", paths.ROOT, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not under version control")
    secret = re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE|\bgh[pousr]_[A-Za-z0-9]{30}|\bgithub_pat_\w{30}|\bpypi-Ag[\w-]{30}"
        rb"|\bAKIA[A-Z0-9]{16}\b|\bhf_[A-Za-z]{30}"
    )
    files = [paths.ROOT / name for name in listed.stdout.split("\0") if name]
    assert [file for file in files if file.is_file() and secret.search(file.read_bytes())] == []


ALLOWED = {
    "MIT", "MIT-0", "MIT-CMU", "HPND", "ISC", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "Zlib", "Apache",
    "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "PSF-2.0", "ZPL-2.1", "public domain", "0BSD", "CC0-1.0",
    "MPL-2.0",  # binds those who pass its own files on; the book passes none on
}  # fmt: skip
"""Licences under which code may be used by code under MIT."""
CLOSED = {"LicenseRef-NVIDIA-Proprietary", "proprietary"}
"""Of NVIDIA's packages alone: PyTorch asks for them on Linux, and the book passes nothing of them on."""


def unwelcome(found):
    """The packages whose licence is not known to go together with the book's: dict name → licence."""
    wrong = {}
    for name, (_, said, _) in found.items():
        allowed = ALLOWED | (CLOSED if name.startswith(("nvidia-", "cuda-")) else set())
        if said is not None and not set(re.split(r" AND | OR |, ", re.sub("[()]", "", said))) <= allowed:
            wrong[name] = said
    return wrong


def test_every_licence_goes_together_with_the_books():
    found = licences.packages()
    assert found["torch"][2] == "osrlib, service" and found["myst-nb"][2].startswith("through ")
    assert unwelcome(found) == {}


OSI = "Classifier: License :: OSI Approved ::"


@pytest.mark.parametrize(
    "told, said, welcome",
    [
        ("License: UNKNOWN", "", False),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", False),
        (f"License: MIT\n{OSI} GNU Affero General Public License v3", "AGPL, MIT", False),
        ("License: MPL-2.0 AND MIT", "MIT, MPL-2.0", True),
        (f"License: BSD 3-Clause License\n        The text\n{OSI} BSD License", "BSD-3-Clause", True),
    ],
)
def test_a_new_dependency_under_an_unknown_licence_is_caught(told, said, welcome, tmp_path, monkeypatch):
    asks = 'Requires-Dist: made-up; extra == "test"\nProvides-Extra: test'
    for name, more in ((licences.DISTRIBUTION, asks), ("made_up", told)):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{more}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = licences.packages()["made-up"]
    assert found == ("1.0", said, "test") and bool(unwelcome({"made-up": found})) is not welcome


def test_whatever_the_page_brings_of_others_has_a_row(html):
    own = {file.name for file in (paths.BOOK / "_static").iterdir()}
    patterns = [pattern for *_, files in licences.BROUGHT for pattern in files.split()]
    brought = [file for file in (html / "_static").rglob("*.*") if file.is_file() and file.name not in own]
    names = [file.relative_to(html / "_static").as_posix() for file in brought]
    assert len(names) > 50
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
    assert set(re.findall(r"[\w-]+", " ".join(of for _, _, of, _ in licences.BROUGHT))) <= set(licences.packages())
