"""A translation knows which of its paragraphs are stale, and keeps the source's numbers."""

import re
import shutil
from collections import Counter

import pytest

from tools import chapters, paths, site, translations


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A copy of the pages, chapters and translations, to be changed; the folder of the pages."""
    shutil.copytree(paths.BOOK, tmp_path / "book")
    monkeypatch.setattr(paths, "BOOK", tmp_path / "book")
    monkeypatch.setattr(paths, "CHAPTERS", tmp_path / "book" / "chapters")
    monkeypatch.setattr(paths, "TRANSLATIONS", tmp_path / "book" / "translations")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    return paths.BOOK


def change(file, before, after):
    """Replace what stands once in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


def states():
    """What is done and what is to do in German: dict page → dict of sets of paragraphs."""
    found = {page: translations.state(catalogue) for page, catalogue in translations.updated("de").items()}
    return {page: {name: {one.id for one in those} for name, those in told.items()} for page, told in found.items()}


def test_a_changed_paragraph_is_stale_a_lost_one_orphaned_a_new_one_missing(mine):
    before = states()
    change(mine / "intro.md", "It answers with a digit", "It answers with the name of a digit")
    change(mine / "intro.md", "; see {doc}`credits`.", "; see {doc}`credits`.\n\nZebras quickly jump over foxes.")
    change(
        mine / "chapters" / "01-closed-world.md", "A postal clerk sorts letters by the digit", "Mail is sorted by digit"
    )
    change(mine / "chapters" / "01-closed-world.md", "## Ten drawers, and nothing else", "## Dix")
    after = states()
    new = {
        page: {name: sorted(those - before[page][name]) for name, those in told.items()} for page, told in after.items()
    }
    intro, chapter = new["book/intro"], new["notebooks/01-closed-world"]
    (stale,) = intro["stale"]
    assert "with the name of a digit" in stale
    assert intro["missing"] == ["Zebras quickly jump over foxes."] and not intro["orphaned"]
    assert [one[:20] for one in chapter["stale"]] == ["Mail is sorted by di"]
    assert chapter["orphaned"] == ["Ten drawers, and nothing else"]
    assert "Dix" in chapter["missing"]
    listed = " ".join("\n".join(translations.listing("de")).split())
    assert "It answers with a digit" in listed and "It answers with the name of a digit" in listed


@pytest.mark.parametrize("language", translations.languages())
def test_a_translation_keeps_what_is_no_prose(language):
    """Numbers, places of links, citations and formulas are the source's."""

    def kept(text):
        text = re.sub(r"`[^`<]*<([^>]*)>`", r"`\1`", text)  # what a link is called is translated
        return Counter(re.findall(r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|\{\{ cost \}\}", text))

    for page, file in translations.catalogues(language).items():
        done = [one for one in translations.read(file, language) if one.id and one.string]
        assert done, page
        for one in done:
            assert kept(one.id) <= kept(one.string), page


def test_a_new_language_begins_with_an_empty_file(mine):
    file = paths.TRANSLATIONS / "fr" / "LC_MESSAGES" / "book" / "credits.po"
    file.parent.mkdir(parents=True)
    file.touch()
    translations.update("fr")
    found = translations.read(file, "fr")
    assert len(found) > 3 and not any(one.string for one in found if one.id)


def test_numbers_are_filled_in_on_both_sides():
    catalogue = translations.read(translations.catalogues("de")["book/intro"], "de")
    found = translations.filled(catalogue, site.measured(chapters.committed()), "", "intro")
    (one,) = [one for one in found if one.id.startswith("Ours are means over")]
    assert "over 5 trainings" in one.id and "über 5 Trainings" in one.string
    assert not any(chapters.GLUE.search(one.string) for one in found if one.id)


def test_what_a_run_costs_is_told_in_the_language():
    done = chapters.committed()["01-closed-world"]
    cost = done.metadata["osrlib"]["cost"]
    catalogue = translations.read(translations.catalogues("de")["notebooks/01-closed-world"], "de")
    found = translations.filled(catalogue, chapters.glued(done), cost, "chapter 1")
    (one,) = [one for one in found if cost in one.id]
    assert "Sekunden" in one.string and "seconds" not in one.string
    assert re.findall(r"[\d.]*\d", one.string) == re.findall(r"[\d.]*\d", cost)
    assert translations.cost_in("fr", cost) == cost
