"""The book as a whole: text and notebooks agree, nothing is stale, and what stands in one place stands in one place."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client.asynchronous.client import AsyncKernelClient
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from osrlib import data, exercises, zoo
from tests.conftest import need

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
    for solution in text.split(":::{solution-start}")[1:]:
        assert len(build.GRADED.findall(solution.split(":::{solution-end}")[0])) == 1
    assert "repair" in text.lower()


@pytest.mark.parametrize("name", NAMES)
def test_numbers_in_prose_are_glued(name):
    text = (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    assert build.GLUE.search(text)
    assert not build.GLUE.search("".join(cell.source for cell in notebook(name).cells if cell.cell_type == "markdown"))


# Decimals and percentages that may stand in a chapter's text as they are: what the report or a paper prints, settings,
# and chapter 2's ten images by hand. What a run measures is glued.
REPORT = {"80.99", "96.24", "95.42", "95.69", "92.33", "88.99", "90.66", "19.096", "65.081", "34.139", "580.346"}
TYPED = {
    "01": {"0.9", "5 %", "88 %", "99 %", "95 %", "78.0", "84.0"},
    "02": {"0.8", "0.35", "0.9", "0.7", "0.6", "0.75", "0.50", "95 %"},
    "03": {"3.3", "91 %", "100 %", "0.5", "90 %", "0.989", "0.9", "0.1"},
    "04": {"0.5", "95 %"},
    "05": {"0.5"},
    "06": {"0.2", "2.3", "40 %", "90 %", "20 %", "3 %", "95 %"},
    "07": {"19.1", "34.1"},
    "08": {"0.91", "0.01", "0.004", "0.0005", "1 %", "98 %", "97 %"},
    "09": {"1 %", "0.2", "2 %"},
}
NUMBER = re.compile(r"(?<![\w.±])\d[\d,]*\.\d+|\d+\s?%")
NO_PROSE = re.compile(
    r"\A---.*?^---$|^```.*?^```$|^:::\{(?:exercise|dropdown)\}.*?^:::$|^## Quiz.*?^## |\$\$.*?\$\$|\$[^$]*\$|`[^`]*`"
    r"|^\|.*?$",
    re.DOTALL | re.MULTILINE,
)


def typed_numbers(text):
    return NUMBER.findall(NO_PROSE.sub("", text))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_run_measures_is_not_typed(name):
    text = (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    assert set(typed_numbers(text)) <= REPORT | TYPED[name[:2]]
    assert (
        typed_numbers(f"{text}\nThe rule refuses 77.4 % of them, or {{glue:text}}`a:.1%`, where $x = 0.3$.")[-1]
        == "77.4"
    )


def test_the_claims_page():
    values = {name: build.glued(notebook(name)) for name in NAMES}
    page = build.pages.claims_page(values)
    rows = [line for line in page.splitlines() if line.startswith("| {doc}")]
    made = [name for source in map(source_of, NAMES) for name in re.findall(r'claims\.check\(\s*"([^"]*)"', source)]
    assert len(made) > 80 and all(any(f"| {name} |" in row for row in rows) for name in made)
    assert f"Each of the {len(rows)} claims" in page
    (row,) = (row for row in rows if "Closed-set accuracy of the faithful baseline" in row)
    assert "1 <../notebooks/01-closed-world>" in row and "78.0% to 84.0%" in row and "the report: 80.99 %" in row
    assert all(re.search(r"\| (holds|reference run) \|$", row) for row in rows)


def test_the_lines_of_claims_wrap_and_printed_tables_do_not():
    cells = notebook("05-multitask-autoencoder").cells
    build.pages.mark_verdicts(cells)
    marked = {i for i, cell in enumerate(cells) if "verdict" in cell.metadata.get("tags", [])}
    assert marked == {i for i, cell in enumerate(cells) if "claims.check(" in cell.source}
    assert any("layer_table" in cell.source for i, cell in enumerate(cells) if i not in marked)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_linked_once(name):
    before = [cell.source for cell in notebook(name).cells if cell.cell_type == "markdown"]
    after = "\n".join(build.pages.link_terms(before))
    linked = re.findall(r"\{term\}`[^`<]* <([^`>]*)>`", after)
    assert len(linked) == len(set(linked)) >= 5 and set(linked) <= set(build.pages.terms())
    assert re.sub(r"\{term\}`([^`<]*) <[^`>]*>`", r"\1", after) == "\n".join(before)


def test_terms_are_not_linked_where_they_are_no_prose():
    text = "# The energy\n\nAn `energy`, $energy$, [energy](a), low-energy and {cite}`energy`; energy, energy."
    (linked,) = build.pages.link_terms([text])
    assert linked == text.replace("; energy,", "; {term}`energy <energy>`,")


def source_of(name):
    return (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")


def test_the_status_page():
    took = {name: {"seconds": 61.0, "gibibytes": 1.25} for name in NAMES}
    page = build.pages.status_page(took, build.costs(), 2, 200.0)
    for name in NAMES:
        (row,) = (line for line in page.splitlines() if f"notebooks/{name}>" in line)
        assert f"| {build.costs()[name]} | 61 s | 1.2 GiB | " in row and " MB: mnist" in row
    for told in ("**Commit**: ", "9 executed, 2 at a time, in 200 seconds", "torch 2.", data.WORLDS["cifar10"].title):
        assert told in page
    assert build.costs()[NAMES[0]] in "".join(cell.source for cell in notebook(NAMES[0]).cells)


def test_the_status_page_tells_what_the_matrix_gave(tmp_path):
    file = tmp_path / "matrix.json"
    assert build.pages.matrix_lines(file)[-1] == "No matrix has been run."
    row = {
        "python": "3.13", "versions": "newest", "commands": ["make book", "make test"], "green": True, "passed": 1200,
        "failed": [], "skipped": {"no browser": 24, "no dpkg": 1}, "seconds": 800, "commit": "c7f2e7b468d8",
        "packages": {"torch": "2.14.1", "numpy": "2.5.5"}, "date": "2026-11-24",
    }  # fmt: skip
    red = row | {"green": False, "failed": ["tests.test_a::test_b"], "skipped": {}}
    none = red | {"passed": 0, "failed": [], "packages": {"torch": None, "numpy": None}}
    file.write_text(json.dumps({"3.13-newest": row, "3.13": red, "3.12": none}))
    *_, first, second, third = build.pages.matrix_lines(file)
    assert first == (
        "| 3.13-newest | green: 1200 passed, 0 failed, 25 skipped | newest: torch 2.14.1, numpy 2.5.5 "
        "| `make book`, `make test` | 2026-11-24, c7f2e7b468d8 |"
    )
    assert "| **red**: 1200 passed, 1 failed, 0 skipped |" in second
    assert "torch ?, numpy ?" in third and "| **red**: no test ran |" in third
    assert "`make matrix`" in build.pages.status_page({}, {}, 1, 0.0)


def test_the_status_page_tells_what_became_of_the_mutants(tmp_path):
    file = tmp_path / "mutation.json"
    assert build.pages.mutation_lines(file)[-1] == "No mutants have been made."
    row = {"killed": 190, "mutants": 200, "survivors": [], "commit": "c7f2e7b468d8", "date": "2026-11-24"}
    file.write_text(json.dumps({"losses": row}))
    assert build.pages.mutation_lines(file)[-1] == "| `losses` | 200 | 95.0% | 2026-11-24, c7f2e7b468d8 |"
    assert "`make mutation`" in build.pages.status_page({}, {}, 1, 0.0)


def test_student_notebooks_have_no_solutions(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILD", tmp_path)
    build.write_student()
    for name in NAMES:
        student = nbformat.read(tmp_path / "student" / f"{name}.ipynb", as_version=4)
        text = "\n".join(cell.source for cell in student.cells)
        assert "solution" not in text and "{dropdown}" not in text and not build.GLUE.search(text)
        assert (
            text.count(":::{exercise}") == len(build.GRADED.findall(text)) == len(build.GRADED.findall(source_of(name)))
        )
        for cell in student.cells:
            if build.GRADED.search(cell.source):
                names = {}
                exec(
                    cell.source.replace("exercises.grade(", "verdict = exercises.grade("),
                    {"exercises": exercises},
                    names,
                )
                assert "nothing here yet" in names["verdict"].text


def test_a_solution_that_is_wrong_stops_the_build(tmp_path, monkeypatch):
    source = 'from osrlib import exercises\n\nneeded = 1000\nexercises.grade("6.1", needed)'
    (tmp_path / "99-wrong.md").write_text(f"# Wrong\n\n```{{code-cell}} ipython3\n{source}\n```\n")
    monkeypatch.setattr(build, "CHAPTERS", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path)
    with pytest.raises(build.BuildError, match=r"99-wrong: a solution does not pass .* 6\.1: not yet"):
        build.execute("99-wrong", tmp_path / "99-wrong.ipynb")


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


def wishes():
    """What pyproject.toml asks for, in all its lists: dict name → packaging's Requirement."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\n[project]\n")[1].split("\n[tool.")[0]
    lines = re.findall(r'"([A-Za-z][\w.-]*[><=~][^"]*)"', project)
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def test_the_lists_of_packages_agree():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    )
    wanted = wishes()
    assert {"torch", "nbval", "jupyter-book", "hypothesis", "mutmut", "dask"} <= set(wanted)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = [re.search(rf"^{extra} = \[(.*?)\]$", project, re.M | re.S)[1] for extra in ("dask", "mutation")]
    for name, one in wanted.items():
        if name in pins:
            assert one.specifier.contains(pins[name]), f"constraints.txt has {name} {pins[name]}, outside {one}"
        else:  # CI does not install these
            assert any(name in extra for extra in extras), f"{name} is missing from constraints.txt"
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert {"pip": ["--constraint constraints.txt", "--editable .[book,test]"]} in conda["dependencies"]
    minimum = re.search(r'requires-python = "(.+)"', project)[1]
    assert f"python {minimum},<3.14" in conda["dependencies"]


def test_the_matrix_proved_the_ranges():
    rows = json.loads((ROOT / "book" / "results" / "matrix.json").read_text(encoding="utf-8"))
    pythons = {row["python"] for row in rows.values()}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert pythons == set(re.findall(r"Python :: (3\.\d+)", project)) == {"3.10", "3.11", "3.12", "3.13"}
    assert "3.12-no-cifar10" in rows and [name for name, row in rows.items() if not row["green"]] == []
    proved = rows["3.10-oldest"]["packages"]
    assert set(wishes()) - set(proved) == {"mutmut"}  # which is the developers' own
    for name, version in proved.items():
        lowest = next(Version(one.version) for one in wishes()[name].specifier if one.operator in (">=", "=="))
        # a range begins at 2.4, its first version is 2.4.0
        first = Version(version).release[: len(lowest.release)]
        assert first == lowest.release, f"make matrix ROWS=3.10-oldest: {name} {version}, asked for: {lowest}"


def test_the_mutants_that_are_told_of_were_killed():
    rows = json.loads((ROOT / "book" / "results" / "mutation.json").read_text(encoding="utf-8"))
    assert set(rows) == {"scores", "thresholds", "losses", "metrics", "detector"}
    for name, row in rows.items():
        assert row["mutants"] - row["killed"] == len(row["survivors"]) <= 0.15 * row["mutants"], name
        assert row["mutants"] > 200 and all(survivor.startswith(f"osrlib.{name}.") for survivor in row["survivors"])


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


def test_a_kernel_that_dies_before_its_first_answer_is_started_once_more(tmp_path, monkeypatch):
    (tmp_path / "99-short.md").write_text("# Short\n\n```{code-cell} ipython3\nprint(2 + 2)\n```\n")
    monkeypatch.setattr(build, "CHAPTERS", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path)
    start, died = AsyncKernelClient.wait_for_ready, []

    async def dies_first(client, timeout=None):
        if not died:
            died.append(client)
            raise RuntimeError("Kernel died before replying to kernel_info")
        await start(client, timeout)

    monkeypatch.setattr(AsyncKernelClient, "wait_for_ready", dies_first)
    build.execute("99-short", tmp_path / "99-short.ipynb")
    assert died and printed(nbformat.read(tmp_path / "99-short.ipynb", as_version=4)) == ["4\n"]


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_depends_on_which_worlds_can_be_had(name):
    """nbval compares what is printed: where a world is missing, the reference run's figure takes its place."""
    for cell in notebook(name).cells[2:]:  # the second fetches the library in Colab
        if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", []):
            choices = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.If)]
            for node in choices:  # the reader's own folder has no verdict to compare
                assert "claims.check" not in ast.unparse(node) or ast.unparse(node.test) == "not own_folder"


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
    assert printed(ran) == printed(notebook("07-results"))


@pytest.mark.parametrize("name", NAMES)
def test_another_order_gives_the_same_verdicts(name):
    """``make notebooks`` runs one chapter after the other, ``make book`` side by side, the longest first."""
    built, committed = build.SITE / "notebooks" / f"{name}.ipynb", notebook(name)
    ran = nbformat.read(built, as_version=4) if built.exists() else None
    fresh = ran is not None and ran.metadata["osrlib"]["source_sha256"] == build.source_hash(name)
    need(fresh, "there is no page built from this text: run make book")
    verdicts = [
        [{key: claim[key] for key in ("claim", "low", "high")} for claim in build.pages.records(values)]
        for values in map(build.glued, (ran, committed))
    ]
    mine, all_of_them = verdicts
    if "Going on without" in str(ran.cells):  # a claim about a world that is missing here may be left out
        all_of_them = [verdict for verdict in all_of_them if verdict in mine]
    assert mine == all_of_them != []
    assert printed(ran) == printed(committed) != []


def printed(notebook):
    """What the cells that nbval compares have printed; a kernel may send a line in pieces."""
    cells = [cell for cell in notebook.cells if "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    texts = [
        "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stdout") for cell in cells
    ]
    return list(filter(None, texts))
