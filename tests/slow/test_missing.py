"""A chapter where worlds cannot be had: it says so, and the reference run's figures stand in for what is missing."""

import nbformat

from osrlib import data
from tools import execute, paths

CHAPTER = "07-results"


def printed(notebook):
    """What nbval compares: what cells have printed, and the verdicts on claims."""
    texts = []
    for cell in notebook.cells:
        if "nbval-ignore-output" not in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if output.get("name") == "stdout":
                    texts.append(output.text)
                elif "scrapbook" in output.get("metadata", {}) and "text/plain" in output.data:
                    texts.append(output.data["text/plain"])
    return texts


def test_a_chapter_runs_without_the_worlds_that_cannot_be_had(tmp_path, monkeypatch):
    for split in ("train", "test"):
        (tmp_path / f"mnist-{split}.npz").symlink_to(data.cache_dir() / f"mnist-{split}.npz")
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path))
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    execute.execute(CHAPTER, tmp_path / f"{CHAPTER}.ipynb")
    files = [folder / f"{CHAPTER}.ipynb" for folder in (tmp_path, paths.NOTEBOOKS)]
    ran, committed = (nbformat.read(file, as_version=4) for file in files)
    said = "".join(output.get("text", "") for cell in ran.cells for output in cell.get("outputs", []))
    assert "Going on without cifar10" in said and "the reference run's figure" in said
    assert "(reference run)" in "".join(cell.source for cell in ran.cells)
    assert printed(ran) == printed(committed) and len(printed(ran)) > 5
