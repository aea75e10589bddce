"""A chapter as in Colab: an empty folder, an environment with packages that Colab has, and nothing of ours.

Two that Colab has as well, safetensors and seaborn, are left out, so that pip has something to fetch. torch alone is
gigabytes large, so the new environment borrows the installed packages of that list, and what they depend on,
by links. pip sees them as installed, just as it does in Colab, and must leave them as they are.
"""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
from packaging.requirements import Requirement

from osrlib import data
from tests.conftest import need
from tools import paths
from tools.chapters import DISTRIBUTION

COLAB = (
    "ipykernel", "jupyter-client", "matplotlib", "nbclient", "nbformat", "numpy", "pandas", "pip", "scikit-image",
    "scikit-learn", "scipy", "torch", "torchvision", "tqdm",
)  # fmt: skip
RUN = """\
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("chapter.ipynb", as_version=4)
NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
nbformat.write(notebook, "chapter.ipynb")
"""
PIP = [sys.executable, "-m", "pip"]


def closure(names):
    """The installed distributions of that name, and all that they depend on here."""
    found, todo = {}, list(names)
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        wanted = map(Requirement, found[name].requires or [])
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found.values()


def borrow(distributions, site):
    """Link every top-level file and folder of the distributions into another site-packages."""
    for distribution in distributions:
        for file in distribution.files or []:
            top = Path(file).parts[0]
            source, target = Path(distribution.locate_file(top)), site / top
            if top == ".." or target.exists() or not source.exists() or top == "__pycache__":
                continue
            if top in ("nvidia", "google", "jupyter"):  # namespaces, which several distributions share
                target.mkdir()
                for part in source.iterdir():
                    (target / part.name).symlink_to(part)
            else:
                target.symlink_to(source)


def test_a_chapter_runs_where_only_colabs_packages_are(tmp_path):
    reached = subprocess.run([*PIP, "index", "versions", "hatchling"], capture_output=True).returncode == 0
    need(reached, "pip finds no package index")
    subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, paths.ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(DISTRIBUTION.replace("-", "_"))

    colab, empty = tmp_path / "colab", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", colab], check=True)
    python = colab / ("Scripts" if os.name == "nt" else "bin") / "python"

    def run(code):
        environment = os.environ | {"OSRLIB_DATA": str(data.cache_dir()), "PYTHONPATH": ""}
        return subprocess.run([python, "-c", code], cwd=empty, env=environment, capture_output=True, text=True)

    site = Path(run("import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    borrow(closure(COLAB), site)
    subprocess.run([python, "-m", "ipykernel", "install", "--prefix", colab], check=True, capture_output=True)
    assert run("import torch, torchvision, numpy").returncode == 0
    for name in ("osrlib", "safetensors", "seaborn"):
        assert f"No module named '{name}'" in run(f"import {name}").stderr

    chapter = nbformat.read(paths.NOTEBOOKS / "02-keeping-score.ipynb", as_version=4)
    first = next(cell for cell in chapter.cells if cell.cell_type == "code")
    address = first.source.split('"')[-2]
    assert address.startswith(f"{DISTRIBUTION} @ git+https://")
    first.source = first.source.replace(address, str(wheel))
    nbformat.write(chapter, empty / "chapter.ipynb")
    ran = run(RUN)
    assert ran.returncode == 0, ran.stderr[-3000:]

    code = "import osrlib, torch; print(osrlib.__file__); print(torch.__version__); print(torch.__file__)"
    library, version, file = run(code).stdout.splitlines()
    assert Path(library).is_relative_to(site) and not Path(library).parent.is_symlink()
    assert version.startswith(metadata.version("torch"))
    assert (site / "torch").is_symlink() and Path(file).is_relative_to(site)
    printed = str(nbformat.read(empty / "chapter.ipynb", as_version=4))
    assert printed.count(": yes") >= 4
