"""From chapters to notebooks: numbers are filled in, students get no solutions, and a build stops where it must."""

import io
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from osrlib.teaching import claims, exercises
from tools import chapters, execute, paths, site
from tools.chapters import BuildError

NAMES = chapters.names()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder in the place of _build, with a name that not every console can show."""
    folder = tmp_path / "学生"
    folder.mkdir()
    monkeypatch.setattr(paths, "BUILD", folder)
    monkeypatch.setattr(paths, "SITE", folder / "site")
    return folder


def run(monkeypatch, *arguments):
    """What ``python -m tools.site`` does."""
    monkeypatch.setattr(sys, "argv", ["site", *arguments])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    site.main()


def test_numbers_are_filled_in_with_their_format():
    text = "{glue:text}`a:.1f` and {glue:text}`b:.0%`"
    assert chapters.fill(text, {"a": "1.234"}, "a page", {"b": "0.954"}) == "1.2 and 95% (reference run)"
    for values in ({"a": "1"}, {"a": "1", "b": "nan"}):
        with pytest.raises(BuildError, match=r"a page: .*'b'"):
            chapters.fill(text, values, "a page")


def test_new_words_reach_a_notebook_and_new_code_must_run(tmp_path, monkeypatch):
    text, notebook = (tmp_path / f"09-protocol.{kind}" for kind in ("md", "ipynb"))
    shutil.copy(paths.CHAPTERS / text.name, text)
    shutil.copy(paths.NOTEBOOKS / notebook.name, notebook)
    monkeypatch.setattr(paths, "CHAPTERS", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    source, before = text.read_text(encoding="utf-8"), notebook.read_text(encoding="utf-8")
    text.write_text(source.replace("## Further reading", "## More to read"), encoding="utf-8")
    run(monkeypatch, "text", "09-protocol")
    after = notebook.read_text(encoding="utf-8")
    assert after.count("## More to read") == 1 and chapters.source_hash("09-protocol") in after
    text.write_text(source, encoding="utf-8")
    run(monkeypatch, "text", "09-protocol")
    assert notebook.read_text(encoding="utf-8") == before != after
    text.write_text(source.replace("plots.style()", "plots.style() "), encoding="utf-8")
    with pytest.raises(SystemExit, match="make notebooks NAMES=09-protocol"):
        run(monkeypatch, "text", "09-protocol")
    assert notebook.read_text(encoding="utf-8") == before


def test_students_get_no_solutions(elsewhere, monkeypatch):
    run(monkeypatch, "student")
    for name in NAMES:
        cells = nbformat.read(elsewhere / "student" / f"{name}.ipynb", as_version=4).cells
        text = "\n".join(cell.source for cell in cells)
        assert "solution" not in text and "{dropdown}" not in text and not chapters.GLUE.search(text)
        graded = [cell.source for cell in cells if chapters.GRADED.search(cell.source)]
        assert len(graded) == text.count(":::{exercise}") >= 2
        for source in graded:
            space = {"exercises": exercises}
            exec(source.replace("exercises.grade(", "verdict = exercises.grade("), space)
            assert not space["verdict"] and "nothing here yet" in space["verdict"].text


def test_another_address_reaches_page_and_notebooks(elsewhere, monkeypatch):
    old, new = chapters.config()["repository"]["url"], "https://github.com/somebody/a-fork"
    run(monkeypatch, "student", "--address", new)
    site.write_pages(new)
    settings = yaml.safe_load((paths.SITE / "_config.yml").read_text(encoding="utf-8"))
    assert settings["repository"]["url"] == new
    assert settings["html"]["baseurl"] == "https://somebody.github.io/a-fork/"
    files = [file for kind in ("*.ipynb", "*.md", "*.yml") for file in elsewhere.rglob(kind)]
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert sum(f"git+{new}" in text for text in texts) == len(NAMES) and not any(old in text for text in texts)
    with pytest.raises(BuildError, match="http://"):
        chapters.config("http://somewhere.example/else")


def test_a_repository_can_move(tmp_path, monkeypatch):
    old, new = chapters.config()["repository"]["url"], "https://github.com/somebody/a-fork"
    before = paths.CONFIG.read_text(encoding="utf-8")
    for name in ("CONFIG", "CITATION"):
        monkeypatch.setattr(paths, name, Path(shutil.copy(getattr(paths, name), tmp_path)))
    site.move(new)
    assert paths.CONFIG.read_text(encoding="utf-8") == before.replace(old, new) != before
    assert f"{new}\nurl: https://somebody.github.io/a-fork/\n" in paths.CITATION.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "source, told",
    [
        ("1 / 0", r"(?s)99-made-up, cell 2 .* failed:.*1 / 0.*ZeroDivisionError"),
        (
            'from osrlib.teaching import exercises\n\nneeded = 1000\nexercises.grade("6.1", needed)',
            r"99-made-up: a solution does not pass .* 6\.1: not yet",
        ),
    ],
    ids=["error", "wrong solution"],
)
def test_a_chapter_that_fails_stops_the_build(source, told, elsewhere, monkeypatch, capfd):
    (elsewhere / "99-made-up.md").write_text(f"# Made up\n\n```{{code-cell}} ipython3\n{source}\n```\n")
    monkeypatch.setattr(paths, "CHAPTERS", elsewhere)
    with pytest.raises(BuildError, match=told):
        execute.execute("99-made-up", elsewhere / "99-made-up.ipynb")
    assert not (elsewhere / "99-made-up.ipynb").exists()
    assert "TCP" not in capfd.readouterr().err  # kernels are not reached by ports, which others can read


def test_nbval_compares_verdicts_and_not_the_figures_beside_them(tmp_path):
    cells = []
    for verdict in ("yes", "NO"):
        data = {
            "text/plain": f"a claim within 0.0% to 10.0%: {verdict}",
            "text/html": "another figure",
            f"{claims.PREFIX}text/plain": "another record",
        }
        outputs = [nbformat.v4.new_output("display_data", data)]
        source = 'from osrlib.teaching import claims\nclaims.check("a claim", 0.05, 0, 0.1)'
        cells.append(nbformat.v4.new_code_cell(source, execution_count=1, outputs=outputs))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "claims.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "conftest", "-p", "no:cacheprovider", tmp_path]
    ran = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
    assert "1 failed, 1 passed" in ran.stdout and "::Cell 1" in ran.stdout.split("short test summary")[1]


EXPERIMENTS = [
    f"experiments.{file.stem} --help"
    for file in sorted((paths.ROOT / "experiments").glob("*.py"))
    if "__main__" in file.read_text(encoding="utf-8")
]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "ascii"])
@pytest.mark.parametrize(
    "command, told",
    [
        ("tools.site --help", "student"),
        ("tools.site book 99-ж", "no such chapter"),
        ("tools.teaching --help", "handouts"),
        ("osrlib.data", "The cache is"),
        *((command, "usage: ") for command in EXPERIMENTS),
    ],
)
def test_a_console_that_lacks_letters_shows_others(command, told, encoding, tmp_path, monkeypatch):
    raw = io.BytesIO()
    for name, errors in (("stdout", "strict"), ("stderr", "backslashreplace")):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding, errors, write_through=True))
    monkeypatch.setattr(sys, "argv", command.split())
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path / "Šárka – 学生"))  # a message can name it
    with pytest.raises(SystemExit):
        runpy.run_module(sys.argv[0], run_name="__main__")
    assert told in raw.getvalue().decode(encoding)
