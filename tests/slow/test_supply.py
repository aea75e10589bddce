"""What comes from elsewhere: no pickle is loaded, the workflow runs pinned actions with the least permissions, and the
licences of all that is used go together with the book's.
"""

import ast
import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
import yaml

from osrlib import data
from tests.conftest import need
from tests.test_browser import HTML

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import licences  # noqa: E402

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
LOADERS = {"torch.load", "torch.hub.load", "joblib.load", "pandas.read_pickle", "yaml.load", "os.system", "eval",
           "exec", "torchvision.datasets.CIFAR10", "torchvision.datasets.CIFAR100", "importlib.import_module",
           "torch.serialization.load", "torch.jit.load", "yaml.unsafe_load", "yaml.full_load", "__import__",
}  # fmt: skip
"""What runs what a file says. torchvision's CIFAR10 unpickles what it has downloaded."""


def faults(code):
    """What in a piece of code could run a stranger's: a list of words, empty where there is nothing."""
    found, tree = [], ast.parse(code)
    meant = {"np": "numpy", "pd": "pandas", "datasets": "torchvision.datasets"}  # a name → what it was imported as
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                whole = alias.name if module is None else f"{module}.{alias.name}"
                meant[alias.asname or (alias.name if module is not None else alias.name.split(".")[0])] = (
                    whole if module is not None or alias.asname else alias.name.split(".")[0]
                )
                found += [whole] if whole.split(".")[0] in PICKLES else []
    harmless = set()
    for node in ast.walk(tree):  # a call comes before the name of what it calls
        if isinstance(node, ast.Call):
            options = {one.arg: one.value for one in node.keywords}
            found += ["shell"] if "shell" in options else []
            if "allow_pickle" in options:
                off = ast.unparse(options["allow_pickle"]) == "False"
                harmless.add(node.func) if off else found.append("allow_pickle")
            if ast.unparse(node.func) == "getattr" and isinstance(node.args[1], ast.Constant):
                found += [loader for loader in LOADERS if loader.split(".")[-1] == node.args[1].value]
        elif isinstance(node, ast.Attribute | ast.Name):  # called here, or handed on to be called
            first, *rest = ast.unparse(node).split(".")
            name = ".".join([meant.get(first, first), *rest])
            found += [name] if name in LOADERS or (name == "numpy.load" and node not in harmless) else []
    return found


def product():
    """Every piece of code that a reader runs: file name → code."""
    files = [file for part in ("osrlib", "book", "benchmarks", ".ci") for file in (ROOT / part).rglob("*.py")]
    code = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}
    for chapter in (ROOT / "book" / "chapters").glob("*.md"):
        cells = jupytext.read(chapter, fmt="md:myst").cells
        lines = "\n".join(cell.source for cell in cells if cell.cell_type == "code").splitlines()
        code[chapter.name] = "\n".join(line for line in lines if not line.lstrip().startswith("%"))
    return code


def test_no_pickle_is_ever_loaded():
    code = product()
    assert len(code) > 30
    assert {name: found for name, text in code.items() if (found := faults(text))} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import torch\ntorch.load('x.pt')",
        "import torch as t\nt.load('x.pt')",
        "from torch import load as read\nread('x.pt')",
        "import torch.hub\ntorch.hub.load('a', 'b')",
        "from numpy import load\nload(file, allow_pickle=True)",
        "from joblib import load\nload(file)",
        "from torchvision.datasets import CIFAR10\nCIFAR10(folder)",
        "import importlib\nimportlib.import_module('pickle')",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "datasets.CIFAR10(folder, download=True)",
        "yaml.load(text)",
        "subprocess.run('ls', shell=True)",
        "eval(text)",
        "import torch\nmap(torch.load, files)",
        "import torch\nread = torch.load",
        "partial(np.load, allow_pickle=True)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "import torch\ntorch.jit.load(file)",
        "yaml.unsafe_load(text)",
        "__import__('pickle')",
        "getattr(datasets, 'CIFAR10')(folder)",
    ],
)
def test_what_the_search_finds(code):
    assert faults(code)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[file.name for file in WORKFLOWS])
def test_workflows_run_pinned_actions_with_the_least_permissions(workflow):
    text = workflow.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    uses = re.findall(r"uses: *(\S+)(.*)", text)
    assert uses and all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action, _ in uses)
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", version) for _, version in uses)
    assert content["permissions"] == {"contents": "read"}
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
    assert "secrets." not in text


def test_no_file_holds_a_secret():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not under version control")
    secret = re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE|\bgh[pousr]_[A-Za-z0-9]{30}|\bgithub_pat_\w{30}|\bpypi-Ag[\w-]{30}"
        rb"|\bAKIA[A-Z0-9]{16}\b|\bhf_[A-Za-z]{30}"
    )
    held = [name for name in listed.stdout.split("\0") if name and secret.search((ROOT / name).read_bytes())]
    assert held == []


FREE = "asks that its notice be kept"
WEAK = "binds those who pass its own files on; the book passes none on"
NVIDIA = "not free; PyTorch asks for it on Linux, and the book passes nothing of it on"
ALLOWED = {
    **dict.fromkeys(("MIT", "MIT-CMU", "HPND", "ISC", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "Zlib"), FREE),
    **dict.fromkeys(("Apache", "Apache-2.0", "PSF-2.0", "ZPL-2.1"), FREE),
    "Apache-2.0 WITH LLVM-exception": "asks for less than Apache-2.0",
    **dict.fromkeys(("public domain", "0BSD", "CC0-1.0"), "asks for nothing"),
    "MPL-2.0": WEAK,
}  # fmt: skip
"""Licence → why code under it may be used by code under MIT."""
CLOSED = dict.fromkeys(("LicenseRef-NVIDIA-Proprietary", "proprietary"), NVIDIA)
"""The same for NVIDIA's packages alone."""
OSI = "Classifier: License :: OSI Approved ::"


def unwelcome(found):
    """The packages whose licence is not known to go together with the book's: dict name → licence."""
    allowed = {name: ALLOWED | (CLOSED if name.startswith(("nvidia-", "cuda-")) else {}) for name in found}
    return {
        name: said
        for name, (_, said, _) in found.items()
        if said is not None and not set(re.split(r" AND | OR |, ", re.sub("[()]", "", said))) <= set(allowed[name])
    }


def test_every_licence_goes_together_with_the_books():
    found = licences.packages()
    assert found["torch"][2] == "osrlib" and found["myst-nb"][2].startswith("through ")
    assert unwelcome(found) == {}


@pytest.mark.parametrize(
    "told, said",
    [
        ("", ""),
        ("License: UNKNOWN", ""),
        ("License: AGPL-3.0", "AGPL"),
        ("License: MIT AND GPL-3.0", "GPL, MIT"),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only"),
        ("License-Expression: LicenseRef-NVIDIA-Proprietary", "LicenseRef-NVIDIA-Proprietary"),
        (f"License: MIT\n{OSI} GNU Affero General Public License v3", "AGPL, MIT"),
        ("Classifier: License :: Other/Proprietary License", "proprietary"),
        ("License: Made-up Licence", "Made-up Licence"),
    ],
)
def test_a_new_dependency_under_an_unknown_licence_is_caught(told, said, tmp_path, monkeypatch):
    asks = 'Requires-Dist: made-up; extra == "test"\nProvides-Extra: test'
    for name, more in (("osrlib", asks), ("made_up", told)):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{more}".strip() + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = licences.packages()
    assert found["made-up"] == ("1.0", said, "test")
    assert unwelcome({"made-up": found["made-up"]}) == {"made-up": said}


@pytest.mark.parametrize(
    "told, said",
    [
        (f"License: BSD 3-Clause License\n        The text\n{OSI} BSD License", "BSD-3-Clause"),
        (f"License: Copyright\n        The text\n{OSI} MIT License", "MIT"),
        (f"License: Dual License\n{OSI} BSD License\n{OSI} Apache Software License", "Apache, BSD"),
        ("License: MPL-2.0 AND MIT", "MIT, MPL-2.0"),
        ("License-Expression: MIT OR Apache-2.0\nLicense: other", "MIT OR Apache-2.0"),
    ],
)
def test_how_a_licence_is_read(told, said, tmp_path, monkeypatch):
    (tmp_path / "made_up-1.0.dist-info").mkdir()
    text = f"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n{told}\n"
    (tmp_path / "made_up-1.0.dist-info" / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert licences.licence("made-up") == said


def test_the_licences_page_lists_every_package_and_world():
    page = licences.page()
    pins = re.findall(r"^(\S+)==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert len(pins) > 100
    for name in pins:
        assert len(re.findall(rf"^\| {re.escape(name)} \| \S+ \| [^|]+ \| [^|]+ \|$", page, re.M)) == 1, name
    for world in data.WORLDS.values():
        assert f"| {world.title} | {world.licence} | {world.source} | " in page
    assert "| not told |" not in page and page == licences.page()


def test_a_package_that_is_not_installed_is_said(tmp_path, monkeypatch):
    (tmp_path / "constraints.txt").write_text("# a comment\nno-such-package==1.0\n")
    monkeypatch.setattr(licences, "ROOT", tmp_path)
    assert "\n| no-such-package | 1.0 | not installed here | through another |\n" in licences.page()


def test_whatever_the_page_brings_of_others_has_a_row():
    need((HTML / "index.html").exists(), "there is no built page: run make book")
    own = {file.name for file in (ROOT / "book" / "_static").iterdir()}
    files = [file.relative_to(HTML / "_static").as_posix() for file in (HTML / "_static").rglob("*.*")]
    patterns = [pattern for *_, files_of in licences.BROUGHT for pattern in files_of.split()]
    others = [file for file in files if file not in own and (HTML / "_static" / file).is_file()]
    assert len(others) > 50
    assert [file for file in others if not any(fnmatch.fnmatch(file, pattern) for pattern in patterns)] == []
    assert set(re.findall(r"[\w-]+", " ".join(of for _, _, of, _ in licences.BROUGHT))) <= set(licences.packages())
