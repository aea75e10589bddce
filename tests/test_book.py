"""The book as a whole: text and notebooks agree, nothing is stale, and what stands in one place stands in one place."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from osrlib import data, zoo

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import build  # noqa: E402

NAMES = build.chapters()


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def test_every_chapter_has_text_and_notebook_and_a_place():
    assert {path.stem for path in (ROOT / "book" / "chapters").glob("*.md")} == set(NAMES)
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_made_from_its_text(name):
    committed, fresh = notebook(name), build.to_notebook(name)
    assert committed.metadata["osrlib"]["source_sha256"] == build.source_hash(name), f"run: make notebooks ({name})"
    build.fill_notebook(fresh, build.glued(committed), committed.metadata["osrlib"]["cost"], name)
    assert [cell.source for cell in committed.cells] == [cell.source for cell in fresh.cells]


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_ran_once_in_order_and_without_error(name):
    code = [cell for cell in notebook(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr" or "Warning" not in output.text, output.text


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_words(name):
    figures = 0
    for cell in notebook(name).cells:
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            figures += 1
            words = cell.metadata["mystnb"]
            assert len(words["image"]["alt"]) > 40 and len(words["figure"]["caption"]) > 20
            assert words["figure"]["name"].startswith("fig-")
    assert figures >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_has_its_parts(name):
    text = (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    for part in (
        "**You will**",
        "**You need**",
        "{{ cost }}",
        "## Exercises",
        "## Quiz",
        "## Further reading",
        "claims.check(",
    ):
        assert part in text, part
    exercises = re.findall(r":::\{exercise\}.*\n:label: (\S+)", text)
    solutions = re.findall(r":::\{solution-start\} (\S+)", text)
    assert 2 <= len(exercises) <= 4 and exercises == solutions
    # a solution is tested: behind each stands a cell that asserts
    for solution in text.split(":::{solution-start}")[1:]:
        assert "assert " in solution.split(":::{solution-end}")[0]
    assert "repair" in text.lower()


@pytest.mark.parametrize("name", NAMES)
def test_numbers_in_prose_are_glued(name):
    text = (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    assert build.GLUE.search(text)
    assert not build.GLUE.search("".join(cell.source for cell in notebook(name).cells if cell.cell_type == "markdown"))


def test_the_address_stands_in_one_place():
    address = build.config()["repository"]["url"]
    for name in NAMES:
        code = [cell for cell in notebook(name).cells if cell.cell_type == "code"]
        assert code[0].source.splitlines()[-1].strip() == f'%pip install --quiet "osrlib @ git+{address}"'
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    holders = [
        file
        for file in tracked
        if not file.endswith(".png") and address in (ROOT / file).read_text(encoding="utf-8", errors="ignore")
    ]
    assert {file for file in holders if not file.startswith("notebooks/")} == {"_config.yml"}


def test_the_readme_tells_the_reference_figures():
    readme, reference = (ROOT / "README.md").read_text(encoding="utf-8"), zoo.reference()
    rule, baseline = reference["report_rule"], reference["models"]["baseline"]
    rows = [
        ("digits named rightly", rule["mnist"], rule["mean"]["mnist"], rule["std"]["mnist"]),
        ("unknown images refused", rule["ood"], rule["mean"]["ood"], rule["std"]["ood"]),
        ("all 30,000 images", rule["total"], rule["mean"]["total"], rule["std"]["total"]),
    ]
    for row, value, mean, std in rows:
        (line,) = (line for line in readme.splitlines() if row in line)
        assert f"{100 * value:.2f} % ({100 * mean:.2f} ± {100 * std:.2f} over {len(rule['seeds'])} seeds)" in line
    (line,) = (line for line in readme.splitlines() if "report's baseline" in line)
    published = baseline["closed_accuracy"][baseline["seeds"].index(baseline["published_seed"])]
    assert f"{100 * published:.2f} %" in line
    beyond = reference["rule"]
    (line,) = (line for line in readme.splitlines() if "past the report" in line)
    spread = (
        f"{100 * beyond['mean']['total']:.2f} ± {100 * beyond['std']['total']:.2f} over {len(beyond['seeds'])} seeds"
    )
    assert f"{100 * beyond['total']:.2f} % ({spread})" in line


def test_the_lists_of_packages_agree():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.findall(r'^    "([A-Za-z0-9._-]+?)[><=]', project, re.M)
    assert len(wanted) > 15
    for name in wanted:
        assert name.lower().replace("_", "-") in pins, f"{name} is missing from constraints.txt"
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert {"pip": ["--constraint constraints.txt", "--editable .[book,test]"]} in conda["dependencies"]
    minimum = re.search(r'requires-python = "(.+)"', project)[1]
    assert f"python {minimum},<3.14" in conda["dependencies"]


@pytest.mark.parametrize("text, why", [("{glue:text}`missing`", "missing"), ("{glue:text}`a:.1f`", None)])
def test_fill(text, why):
    if why:
        with pytest.raises(build.BuildError, match=why):
            build.fill(text, {"a": "1.234"}, "a page")
    else:
        assert build.fill(f"x {text} y", {"a": "1.234"}, "a page") == "x 1.2 y"
        assert build.fill("{glue:text}`b:.0%`", {}, "a page", {"b": "0.954"}) == "95% (reference run)"


def test_jupyter_book_can_be_called():
    assert subprocess.run([*build.JUPYTER_BOOK, "--version"], capture_output=True).returncode == 0


def test_a_failing_cell_is_named(tmp_path, monkeypatch):
    (tmp_path / "99-broken.md").write_text("# Broken\n\n```{code-cell} ipython3\n1 / 0\n```\n")
    monkeypatch.setattr(build, "CHAPTERS", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path)
    with pytest.raises(build.BuildError, match=r"(?s)99-broken, cell 2 .* failed:.*1 / 0.*ZeroDivisionError"):
        build.execute("99-broken", tmp_path / "99-broken.ipynb")


def test_a_chapter_runs_without_the_worlds_that_cannot_be_had(tmp_path, monkeypatch):
    for split in ("train", "test"):
        (tmp_path / f"mnist-{split}.npz").hardlink_to(data.cache_dir() / f"mnist-{split}.npz")
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path))
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    monkeypatch.setattr(build, "BUILD", tmp_path)
    build.execute("07-results", tmp_path / "07-results.ipynb")
    ran = nbformat.read(tmp_path / "07-results.ipynb", as_version=4)
    text = "".join(cell.source for cell in ran.cells)
    assert "(reference run)" in text
    said = "".join(output.get("text", "") for cell in ran.cells for output in cell.get("outputs", []))
    assert "Going on without cifar10" in said and "the reference run's figure" in said
    committed = notebook("07-results")
    for cell, other in zip(ran.cells, committed.cells, strict=True):
        if "nbval-ignore-output" not in cell.metadata.get("tags", []):
            assert printed(cell) == printed(other)


def printed(cell):
    return [output.text for output in cell.get("outputs", []) if output.get("name") == "stdout"]
