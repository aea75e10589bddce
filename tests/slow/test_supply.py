"""What comes from elsewhere: no pickle is loaded, the workflow runs pinned actions with the least permissions, and the
licences of all that is used go together with the book's.
"""

import ast
import fnmatch
import re
import subprocess

import jupytext
import pytest
import yaml

from osrlib import data
from tools import licences, paths

WORKFLOWS = sorted((paths.ROOT / ".github" / "workflows").glob("*.y*ml"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
LOADERS = {"torch.load", "torch.hub.load", "joblib.load", "pandas.read_pickle", "yaml.load", "os.system", "eval",
           "exec", "torchvision.datasets.CIFAR10", "torchvision.datasets.CIFAR100", "importlib.import_module",
           "torch.serialization.load", "torch.jit.load", "yaml.unsafe_load", "yaml.full_load", "__import__",
}  # fmt: skip
"""What runs what a file says. torchvision's CIFAR10 unpickles what it has downloaded."""
OWN = {"osrlib/__init__.py": ["importlib.import_module"], "osrlib/checks.py": ["exec"]}
"""Where the code that is run is the library's own: its modules by name, and what signatures say."""


def imported(tree):
    """What the names of a piece of code were imported as: dict name → full name."""
    meant = {"np": "numpy", "pd": "pandas", "datasets": "torchvision.datasets"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            meant |= {alias.asname: alias.name for alias in node.names if alias.asname}
            meant |= {top: top for alias in node.names if not alias.asname for top in alias.name.split(".")[:1]}
        elif isinstance(node, ast.ImportFrom):
            meant |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return meant


def faults(code):
    """What in a piece of code could run a stranger's: a list of words, empty where there is nothing."""
    tree = ast.parse(code)
    meant, harmless, found = imported(tree), set(), []
    for node in ast.walk(tree):  # a call comes before the name of what it calls
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [module for module in modules if module.split(".")[0] in PICKLES]
        elif isinstance(node, ast.Call):
            options = {one.arg: ast.unparse(one.value) for one in node.keywords}
            found += ["shell"] if "shell" in options else []
            if options.get("allow_pickle") == "False":
                harmless.add(node.func)
            elif "allow_pickle" in options:
                found.append("allow_pickle")
            if ast.unparse(node.func) == "getattr" and isinstance(node.args[1], ast.Constant):
                found += [loader for loader in LOADERS if loader.split(".")[-1] == node.args[1].value]
        elif isinstance(node, ast.Attribute | ast.Name):  # called here, or handed on to be called
            first, *rest = ast.unparse(node).split(".")
            name = ".".join([meant.get(first, first), *rest])
            found += [name] if name in LOADERS or (name == "numpy.load" and node not in harmless) else []
    return found


def product():
    """Every piece of code that a reader runs: file name → code."""
    files = [file for part in ("osrlib", "experiments", "tools") for file in (paths.ROOT / part).rglob("*.py")]
    code = {file.relative_to(paths.ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    for chapter in paths.CHAPTERS.glob("*.md"):
        cells = jupytext.read(chapter, fmt="md:myst").cells
        lines = "\n".join(cell.source for cell in cells if cell.cell_type == "code").splitlines()
        code[chapter.name] = "\n".join(line for line in lines if not line.lstrip().startswith("%"))
    return code


def test_no_pickle_is_ever_loaded():
    code = product()
    assert len(code) > 30
    assert {name: found for name, text in code.items() if (found := faults(text))} == OWN


@pytest.mark.parametrize(
    "code",
    [
        "from cloudpickle import loads",
        "import torch as t\nt.load('x.pt')",
        "from torch import load as read\nread('x.pt')",
        "import torch.hub\ntorch.hub.load('a', 'b')",
        "import torch\nmap(torch.load, files)",
        "np.load(file)",
        "partial(np.load, allow_pickle=True)",
        "getattr(datasets, 'CIFAR10')(folder)",
        "subprocess.run('ls', shell=True)",
        "eval(text)",
    ],
)
def test_what_the_search_finds(code):
    assert faults(code)


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
    "MIT", "MIT-CMU", "HPND", "ISC", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "Zlib", "Apache", "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception", "PSF-2.0", "ZPL-2.1", "public domain", "0BSD", "CC0-1.0",
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
    assert found["torch"][2] == "osrlib" and found["myst-nb"][2].startswith("through ")
    assert unwelcome(found) == {}


OSI = "Classifier: License :: OSI Approved ::"


@pytest.mark.parametrize(
    "told, said, welcome",
    [
        ("License: UNKNOWN", "", False),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", False),
        ("License-Expression: LicenseRef-NVIDIA-Proprietary", "LicenseRef-NVIDIA-Proprietary", False),
        (f"License: MIT\n{OSI} GNU Affero General Public License v3", "AGPL, MIT", False),
        ("License: Made-up Licence", "Made-up Licence", False),
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


def test_the_licences_page_lists_every_package_and_world():
    page = licences.page()
    pins = re.findall(r"^(\S+)==\S+$", (paths.ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    assert len(pins) > 100
    for name in pins:
        assert len(re.findall(rf"^\| {re.escape(name)} \| \S+ \| [^|]+ \| [^|]+ \|$", page, re.M)) == 1, name
    assert all(f"| {world.title} | {world.licence} | {world.source} | " in page for world in data.WORLDS.values())
    assert "| not told |" not in page


def test_whatever_the_page_brings_of_others_has_a_row(html):
    own = {file.name for file in (paths.BOOK / "_static").iterdir()}
    patterns = [pattern for *_, files in licences.BROUGHT for pattern in files.split()]
    brought = [file for file in (html / "_static").rglob("*.*") if file.is_file() and file.name not in own]
    names = [file.relative_to(html / "_static").as_posix() for file in brought]
    assert len(names) > 50
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
    assert set(re.findall(r"[\w-]+", " ".join(of for _, _, of, _ in licences.BROUGHT))) <= set(licences.packages())
