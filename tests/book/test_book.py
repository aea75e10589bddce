"""Text and notebooks agree, every chapter has its parts, and what stands in one place stands in one place."""

import ast
import functools
import inspect
import json
import re
import subprocess
import sys
import textwrap
import types

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from osrlib import scores, zoo
from tools import chapters, pages, paths

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

NAMES = chapters.names()
every_chapter = pytest.mark.parametrize("name", NAMES)


@functools.cache
def committed(name):
    return nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)


def text_of(name):
    return (paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8")


def cells_of(name, kind="code"):
    """The cells of a chapter as it stands, but for the second, which fetches the library in Colab."""
    cells = chapters.to_notebook(name).cells
    return [cell for i, cell in enumerate(cells) if cell.cell_type == kind and i != 1]


def test_every_chapter_has_text_and_notebook_and_a_place():
    for folder, suffix in ((paths.CHAPTERS, "md"), (paths.NOTEBOOKS, "ipynb")):
        assert {path.stem for path in folder.glob(f"*.{suffix}")} == set(NAMES)


@every_chapter
def test_a_notebook_is_made_from_its_text(name):
    done, fresh = committed(name), chapters.to_notebook(name)
    stale = f"run: make {'text' if chapters.same_code(name) else 'notebooks'} NAMES={name}"
    assert done.metadata["osrlib"]["source_sha256"] == chapters.source_hash(name), stale
    chapters.fill_notebook(fresh, chapters.glued(done), done.metadata["osrlib"]["cost"], name)
    assert [cell.source for cell in done.cells] == [cell.source for cell in fresh.cells]


@every_chapter
def test_every_cell_ran_once_in_order_and_without_error(name):
    code = [cell for cell in committed(name).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert code[0].outputs == []  # where the library is installed, nothing is fetched
    for output in (output for cell in code for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr" or "Warning" not in output.text, output.text


@every_chapter
def test_every_figure_has_words(name):
    drawn = [
        cell.metadata["mystnb"]
        for cell in committed(name).cells
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
    ]
    assert len(drawn) >= 3
    for words in drawn:
        assert len(words["image"]["alt"]) > 40 and len(words["figure"]["caption"]) > 20
        assert words["figure"]["name"].startswith("fig-")


PARTS = ("**You will**", "**You need**", "{{ cost }}", "## Exercises", "## Quiz", "## Further reading", "claims.check(")


@every_chapter
def test_a_chapter_has_its_parts(name):
    text = text_of(name)
    assert [part for part in PARTS if part not in text] == [] and "repair" in text.lower()
    exercises = re.findall(r":::\{exercise\}.*\n:label: (\S+)", text)
    solutions = chapters.SOLUTION.findall(text)
    assert 2 <= len(exercises) <= 4
    assert [re.match(r":::\{solution-start\} (\S+)", solution)[1] for solution in solutions] == exercises
    assert all(len(chapters.GRADED.findall(solution)) == 1 for solution in solutions)


@every_chapter
def test_no_machinery_is_seen(name):
    for cell in cells_of(name):
        hidden = {"hide-input", "remove-input", "remove-cell"} & set(cell.metadata.get("tags", []))
        assert hidden or not re.search(r"claims\.(glue|check)\(", cell.source), cell.source


# Decimals and percentages that may stand in a chapter's text as they are: what the report or a paper prints, settings,
# and chapter 2's ten images by hand. What a run measures is glued.
REPORT = {"80.99", "96.24", "95.42", "95.69", "92.33", "88.99", "90.66", "19.096", "65.081", "34.139", "580.346"}
REPORT |= {"89.62", "96.23", "95.20", "95.55", "19.3413", "66.4524"}  # its authors' notebook
TYPED = {
    "01": {"0.9", "5 %", "88 %", "99 %", "95 %"},
    "02": {"0.8", "0.35", "0.75", "0.89", "0.50", "0.74", "0.13", "95 %"},
    "03": {"3.3", "91 %", "100 %", "0.5", "90 %", "0.989", "0.9", "5 %"},
    "04": {"0.5", "95 %"},
    "05": {"0.5", "0.13", "0.31", "0.42", "2.81", "2 %"},
    "06": {"0.2", "0.13", "0.31", "2.3", "40 %", "90 %", "20 %", "3 %", "2 %"},
    "07": {"95 %", "96.15"},
    "08": {"1 %", "2 %", "3 %", "98 %", "97 %"},
    "09": {"1 %"},
    "10": {"1 %", "2 %"},
    "11": {"1 %", "2 %", "80 %", "60 %", "85 %", "95 %", "99 %", "0.1", "0.9", "11.2"},
}
NO_PROSE = re.compile(
    r"\A---.*?^---$|^```.*?^```$|^:::\{(?:exercise|dropdown)\}.*?^:::$|^## Quiz.*?^## |\$\$.*?\$\$|\$[^$]*\$|`[^`]*`"
    r"|^\|.*?$",
    re.DOTALL | re.MULTILINE,
)


def typed_numbers(text):
    return re.findall(r"(?<![\w.±])\d[\d,]*\.\d+|\d+\s?%", NO_PROSE.sub("", text))


@every_chapter
def test_what_a_run_measures_is_glued(name):
    text = text_of(name)
    assert chapters.GLUE.search(text) and set(typed_numbers(text)) <= REPORT | TYPED[name[:2]]
    prose = "".join(cell.source for cell in committed(name).cells if cell.cell_type == "markdown")
    assert not chapters.GLUE.search(prose)


def test_what_counts_as_typed():
    text = "It refuses 77.4 % of them, or {glue:text}`a:.1%`, where $x = 0.3$ and `y = 0.5`.\n\n| 0.7 | 8 % |\n"
    assert typed_numbers(text) == ["77.4"]


# ---------------------------------------------------------------------------------------------------------------------
# What chapters print of osrlib


def shown(name):
    """The functions and classes whose source a chapter prints."""
    trees = [ast.parse(cell.source) for cell in cells_of(name)]
    space, parts = {}, []

    def run(nodes):
        exec(compile(ast.Module(nodes, []), name, "exec"), space)

    def getsource(part):
        parts.append(part)
        return inspect.getsource(part)

    imports = (ast.Import, ast.ImportFrom)
    run([node for tree in trees for node in tree.body if isinstance(node, imports)])
    space["inspect"] = types.SimpleNamespace(getsource=getsource)
    for tree in trees:
        if "inspect.getsource" in ast.unparse(tree):
            run([node for node in tree.body if not isinstance(node, imports)])
    return parts


def refuses(node):
    """Whether a statement is there to refuse what comes."""
    if isinstance(node, ast.If):
        return all(isinstance(one, ast.Raise) for one in node.body)
    return isinstance(node, ast.Raise | ast.Assert) or ast.unparse(node).startswith("checks.")


def lines_and_checks(source):
    """How many lines a piece of code has that are not blank, and how many of them refuse something or speak of it."""
    lines, checks = textwrap.dedent(source).splitlines(), set()
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.stmt) and refuses(node):
            last = node.body[-1] if isinstance(node, ast.If) else node
            checks |= set(range(node.lineno, last.end_lineno + 1))
            above = node.lineno - 1
            while above and lines[above - 1].lstrip().startswith("#"):
                checks.add(above)
                above -= 1
    return sum(bool(line.strip()) for line in lines), len(checks)


def test_what_chapters_print_is_the_idea_and_not_checks():
    parts = [part for name in NAMES for part in shown(name)]
    counts = [lines_and_checks(inspect.getsource(part)) for part in parts]
    lines, checks = map(sum, zip(*counts, strict=True))
    checking = [f"{part.__qualname__} {n}" for part, (_, n) in zip(parts, counts, strict=True) if n]
    told = f"{checks} of {lines} printed lines are checks, {checks / lines:.1%}: {', '.join(checking)}"
    print(told)
    assert len(parts) > 20 and checks <= 0.03 * lines, told


def test_what_counts_as_a_check():
    source = "def f(a):\n    # why\n    if a < 0:\n        raise ValueError(\n            a)\n\n    return a\n"
    assert lines_and_checks(source) == (6, 4)


def test_a_module_that_chapters_print_from_is_read_in_one_sitting():
    modules = {sys.modules[part.__module__] for name in NAMES for part in shown(name)}
    assert {one.__name__: n for one in modules if (n := len(inspect.getsource(one).splitlines())) > 250} == {}


# ---------------------------------------------------------------------------------------------------------------------
# Pages that are made


@every_chapter
def test_terms_are_linked_once(name):
    before = [cell.source for cell in committed(name).cells if cell.cell_type == "markdown"]
    after = "\n".join(pages.link_terms(before))
    linked = re.findall(r"\{term\}`[^`<]* <([^`>]*)>`", after)
    assert len(linked) == len(set(linked)) >= 5 and set(linked) <= set(pages.terms())
    assert re.sub(r"\{term\}`([^`<]*) <[^`>]*>`", r"\1", after) == "\n".join(before)


def test_terms_are_not_linked_where_they_are_no_prose():
    text = "# The energy\n\nAn `energy`, $energy$, [energy](a), low-energy and {cite}`energy`; energy, energy."
    assert pages.link_terms([text]) == [text.replace("; energy,", "; {term}`energy <energy>`,")]


def test_the_claims_page_has_a_row_for_each_claim():
    page = pages.claims_page({name: chapters.glued(committed(name)) for name in NAMES})
    rows = [line for line in page.splitlines() if line.startswith("| {doc}")]
    made = [name for chapter in NAMES for name in re.findall(r'claims\.check\(\s*"([^"]*)"', text_of(chapter))]
    assert len(made) > 80 and [name for name in made if not any(f"| {name} |" in row for row in rows)] == []
    assert all(re.search(r"\| holds( \(reference run\))? \|$", row) for row in rows)


@every_chapter
def test_tables_show_all_their_rows(name):
    outputs = [output for cell in committed(name).cells for output in cell.get("outputs", [])]
    cut = r"\d+ rows × \d+ columns"  # what pandas says where it has left some out
    assert not any(re.search(cut, str(output.get("data", {}).get("text/html"))) for output in outputs)


# ---------------------------------------------------------------------------------------------------------------------
# What stands in one place


def test_the_repositorys_address_and_the_name_on_the_index_are_typed_once():
    address = chapters.config()["repository"]["url"]
    for name in NAMES:
        (first, *_) = (cell for cell in committed(name).cells if cell.cell_type == "code")
        asked = f"{chapters.DISTRIBUTION}[service]" if name == "11-service" else chapters.DISTRIBUTION
        assert f'%pip install --quiet "{asked} @ git+{address}"' in first.source
    listed = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    files = [paths.ROOT / name for name in listed.stdout.splitlines() if not name.startswith("notebooks/")]
    holders = {file for file in files if file.is_file() and address.encode() in file.read_bytes()}
    assert holders == {paths.CONFIG, paths.CITATION}  # which site.move changes together
    assert project()["name"] == chapters.DISTRIBUTION


def project():
    """What pyproject.toml says of the package."""
    return tomllib.loads((paths.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_readme_tells_the_reference_figures():
    reference = zoo.reference()
    rows = [*reference["ladder"]["rungs"].values(), reference["rule"]]
    figures = [row[which][key] for row in rows for which in ("mean", "std") for key in ("mnist", "ood", "total")]
    figures += [
        reference["rule"]["total"],
        *(reference["models"]["baseline"][f"closed_accuracy_{k}"] for k in ("mean", "std")),
    ]
    readme = (paths.ROOT / "README.md").read_text(encoding="utf-8")
    printed = set(re.findall(r"\d+\.\d\d(?= [%±]| over \d seeds| \||: a number)", readme))
    assert len(printed) > 20 and printed <= {f"{100 * figure:.2f}" for figure in figures} | REPORT


def test_the_lists_of_packages_agree():
    lines = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for extra, wanted in {"": project()["dependencies"], **project()["optional-dependencies"]}.items():
        for one in map(Requirement, wanted):
            if (name := canonicalize_name(one.name)) in pins:
                assert one.specifier.contains(pins[name]), f"constraints.txt has {name} {pins[name]}, outside {one}"
            else:  # CI does not install these
                assert extra in ("dask", "mutation"), f"{name} is missing from constraints.txt"
    conda = yaml.safe_load((paths.ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert {"pip": ["--constraint constraints.txt", "--editable .[book,service,test]"]} in conda
    assert f"python {project()['requires-python']},<3.14" in conda


def test_every_score_is_on_the_page_of_the_library():
    page = (paths.BOOK / "api.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"automodule:: osrlib\.scores\n +:members: (.*)", page)
    parts = {name for name, one in vars(scores).items() if getattr(one, "__module__", "").startswith("osrlib.scores.")}
    left_out = parts - set(told.split(", "))
    assert len(parts) > 20 and not left_out, f"add to the members of osrlib.scores in book/api.md: {left_out}"


# ---------------------------------------------------------------------------------------------------------------------
# Pages for students


def page_of(name):
    """A page's text as it is rendered, but for the links: its numbers filled in from the committed notebooks."""
    text = (paths.BOOK / f"{name}.md").read_text(encoding="utf-8")
    return chapters.fill(text, chapters.flatten(chapters.glued_by_number(chapters.committed())), name)


ASKED = (
    "noise", "other", "threshold", "99 %", "many unknown", "digits fail", "without unknown", "save", "sigmoid",
    "next month",
)  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_a_question_has_two_sentences_a_link_and_a_figure(asked):
    sections = re.split(r"^## ", page_of("questions"), flags=re.MULTILINE)[1:]
    (section,) = (one for one in sections if asked in one.partition("\n")[0])
    answer, where, figure = section.split("\n\n")[1:4]
    assert len(sections) == len(ASKED) and len(re.findall(r"[.?!](?=\s|$)", answer)) == 2, answer
    assert re.search(r"\]\(\.\./notebooks/[\w-]+\.ipynb#[\w-]+\)", where)
    (name,) = re.findall(r"\{numref\}`(fig-[\w-]+)`", where)
    assert figure.strip() == f"{{{{ {name} }}}}"


def test_a_page_gets_small_copies_of_figures(tmp_path):
    text = pages.with_figures("A\n\n{{ fig-twenty }}\n", chapters.committed(), tmp_path / "figures")
    assert re.search(r"\[!\[Twenty dots .*\]\(figures/fig-twenty\.png\)\]\(#fig-twenty\)", text)
    assert 300 < max(Image.open(tmp_path / "figures" / "fig-twenty.png").size) <= 720
    with pytest.raises(chapters.BuildError, match="fig-none"):
        pages.with_figures("{{ fig-none }}", chapters.committed(), tmp_path)


CALLED = {"mnist-noise": "digits under noise", "small": "small digits", "faint": "faint digits", "empty": "empty pages"}


def test_the_cheat_sheet_knows_where_scores_are_blind():
    found = re.search(r'id="osr-matrix-data">(.*?)</script>', json.dumps(committed("08-beyond")).replace('\\"', '"'))
    matrix = json.loads(found[1])
    rows = dict(re.findall(r"^\| ([\w ]+) \| .* \| ([^|]+) \|$", page_of("cheat-sheet"), re.MULTILINE))
    for score, refused in zip(matrix["scores"], matrix["refused"], strict=True):
        shares = {CALLED.get(world, world): share for world, share in zip(matrix["worlds"], refused, strict=True)}
        blind = ", ".join(world for world, share in shares.items() if share < 10)
        assert rows[score] == (blind or f"none; weakest: {min(shares, key=shares.get)}"), score


def test_the_cheat_sheets_six_lines_run(tmp_path, monkeypatch, digits):
    (lines,) = re.findall(r"^```python\n(.*?)^```$", page_of("cheat-sheet"), re.MULTILINE | re.DOTALL)
    (tmp_path / "my-images").mkdir()
    for i in range(2):
        Image.fromarray(digits.images[i]).resize((280, 280)).save(tmp_path / "my-images" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    space = {}
    exec(lines, space)
    assert len(re.findall(r"^.+$", lines, re.MULTILINE)) == 6 and space["labels"].tolist() == digits.labels[:2].tolist()
    assert (tmp_path / "rule.safetensors").exists()
