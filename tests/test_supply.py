"""What comes from elsewhere: no pickle is loaded, and the workflow runs pinned actions with the least permissions."""

import ast
import re
import subprocess
from pathlib import Path

import jupytext
import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
LOADERS = {"torch.load", "joblib.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load", "datasets.CIFAR10",
           "datasets.CIFAR100", "os.system", "eval", "exec"}  # fmt: skip
"""Calls that run what a file says. torchvision's CIFAR10 unpickles what it has downloaded."""


def faults(code):
    """What in a piece of code could run a stranger's: a list of words, empty where there is nothing."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [name for name in names if name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.Call):
            call, options = ast.unparse(node.func), {option.arg: option.value for option in node.keywords}
            if call in LOADERS:
                found.append(call)
            if call in ("np.load", "numpy.load") and ast.unparse(options.get("allow_pickle", node.func)) != "False":
                found.append(call)
            if "shell" in options:
                found.append("shell")
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
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "datasets.CIFAR10(folder, download=True)",
        "yaml.load(text)",
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
        rb"-----BEGIN [A-Z ]*PRIVATE|\bgh[pousr]_[A-Za-z0-9]{30}|\bAKIA[A-Z0-9]{16}\b|\bhf_[A-Za-z]{30}"
    )
    held = [name for name in listed.stdout.split("\0") if name and secret.search((ROOT / name).read_bytes())]
    assert held == []
