"""make review looks: what is broken, it finds; and cards and claims say what the code knows."""

import json
import re
import shutil

import nbformat
import pytest

import osrlib
from osrlib import data, zoo
from osrlib.teaching import claims
from tools import cards, chapters, pages, paths, review

FILES = ("LICENSE", "LICENSE-TEXT", "CITATION.cff", "CHANGELOG.md", "README.md", "CONTRIBUTING.md", "Makefile")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what the review reads besides chapters and code, to be broken; its folder."""
    for name in FILES:
        shutil.copy(paths.ROOT / name, tmp_path)
    for name in ("book", "paper", ".github"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def test_every_point_that_needs_nobody_holds(capsys):
    assert review.main() == 0
    told = capsys.readouterr().out
    assert "FAILS" not in told and told.count("needs people") >= 3


BROKEN = {
    "licence": ("LICENSE", "free of charge", "for a fee"),
    "version": ("CITATION.cff", f"version: {osrlib.__version__}", "version: 0.0.1"),
    "authors": ("book/credits.md", "Yuval Reuveni", "Somebody"),
    "installation": ("README.md", "make help", "make nonsense"),
    "usage": ("README.md", "import OpenSetClassifier", "import Nonsense"),
    "community": ("CONTRIBUTING.md", "pull request", "letter"),
    "objectives": ("book/chapters/06-drawing-the-line.md", "**You will**", "You may"),
    "practice": ("book/chapters/06-drawing-the-line.md", "## Quiz", "## Questions"),
    "design": ("book/instructors.md", "## Assessment", "## Marks"),
    "paper_form": ("paper/paper.md", "bibliography:", "books:"),
    "paper_need": ("paper/paper.md", "# The story of the project", "# More"),
    "paper_citations": ("paper/paper.md", "[@oza2019c2ae]", ""),
    "paper_numbers": ("paper/paper.md", "95.49 %", "95.94 %"),
}


@pytest.mark.parametrize("point", BROKEN)
def test_what_is_broken_fails(point, copy):
    name, before, after = BROKEN[point]
    text = (copy / name).read_text(encoding="utf-8")
    assert before in text
    (copy / name).write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(review.Fault):
        getattr(review, point)()


def test_a_wrong_count_in_the_paper_fails(copy):
    file = copy / "paper" / "paper.md"
    file.write_text(file.read_text(encoding="utf-8").replace("11 chapters", "12 chapters"), encoding="utf-8")
    with pytest.raises(review.Fault, match="12 chapters, 11"):
        review.paper_numbers()


# ---------------------------------------------------------------------------------------------------------------------
# Cards and claims


def test_every_network_and_world_has_its_card(monkeypatch):
    page, reference = cards.page(), zoo.reference()
    titles = re.findall(r"^### (.+)$", page, re.MULTILINE)
    assert titles == [*zoo.MODELS, *data.WORLDS]
    assert f"{reference['models']['mtae']['parameters']:,} parameters" in page
    assert f"{reference['rule']['refused_mean']['letters']:.2%}" in page
    monkeypatch.delitem(cards.WORLDS, "faint")
    with pytest.raises(chapters.BuildError, match="faint"):
        cards.page()


def test_claims_for_programs_are_those_of_the_page():
    notebooks = {name: nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4) for name in chapters.names()}
    glued = {name: chapters.glued(one) for name, one in notebooks.items()}
    told = json.loads(pages.claims_json(glued))
    page = pages.claims_page(glued)
    assert len(told["claims"]) == page.count("| {doc}") and all(f"| {one['claim']} |" in page for one in told["claims"])
    assert all(one["band"][0] <= one["value"] <= one["band"][1] for one in told["claims"])
    assert told["build"]["version"] == osrlib.__version__ and "torch" in told["build"]["packages"]
    assert told["weights"]["seeds"].keys() == zoo.MODELS.keys() and told["reference_run"]
    assert 'href="claims.json"' in page


def test_the_source_of_each_claim_is_told(monkeypatch):
    shown = {}
    monkeypatch.setattr(
        "IPython.display.display",
        lambda content, raw, metadata: shown.update(
            {metadata["scrapbook"]["name"]: content[f"{claims.PREFIX}text/plain"]}
        ),
    )
    for name in ("one measured", "another"):
        claims.check(name, 0.5, 0, 1)
    claims.check("of many seeds", 0.5, 0, 1, recorded=True)
    claims.check("of no world", None, 0, 1, reference=0.5)
    glued = {"01-closed-world": shown}
    page, told = pages.claims_page(glued), json.loads(pages.claims_json(glued))["claims"]
    sources = ["this build", "this build", "reference run", "reference run, stands in"]
    assert [one["source"] for one in told] == sources
    assert re.findall(r"\| (holds.*) \|", page) == ["holds", "holds", *(f"holds ({one})" for one in sources[2:])]
    for count in ("Each of the 4 values", "2 were measured", "1 were read", "here 1 times"):
        assert count in page
