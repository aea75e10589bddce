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


def test_a_changed_paragraph_is_stale_a_lost_one_orphaned_a_new_one_missing(mine):
    change(mine / "intro.md", "It answers with a digit", "It answers with the name of a digit")
    change(mine / "intro.md", "; see {doc}`credits`.", "; see {doc}`credits`.\n\nZebras quickly jump over foxes.")
    change(
        mine / "chapters" / "01-closed-world.md", "A postal clerk sorts letters by the digit", "Mail is sorted by digit"
    )
    change(mine / "chapters" / "01-closed-world.md", "## Ten drawers, and nothing else", "## Dix")
    told = {page: translations.state(catalogue) for page, catalogue in translations.updated("de").items()}
    intro, chapter = told["book/intro"], told["notebooks/01-closed-world"]
    (stale,) = intro["stale"]
    assert "It answers with a digit" in stale.previous_id[0] and "with the name of a digit" in stale.id
    assert [one.id for one in intro["missing"]] == ["Zebras quickly jump over foxes."] and not intro["orphaned"]
    assert [one.id[:20] for one in chapter["stale"]] == ["Mail is sorted by di"]
    assert [one.id for one in chapter["orphaned"]] == ["Ten drawers, and nothing else"]
    assert "Dix" in [one.id for one in chapter["missing"]]
    listed = "\n".join(translations.listing("de"))
    assert "1 stale, 1 missing, 0 orphaned" in listed and "with the name of a digit" in listed


@pytest.mark.parametrize("language", translations.languages())
def test_a_translation_keeps_what_is_no_prose(language):
    """Numbers, links, citations and formulas are the source's."""
    kept = r"\{[\w:]+\}`[^`]*`|\$[^$]*\$|\{\{ cost \}\}"
    for page, file in translations.catalogues(language).items():
        done = [one for one in translations.read(file, language) if one.id and one.string]
        assert len(done) >= 10
        for one in done:
            assert Counter(re.findall(kept, one.id)) <= Counter(re.findall(kept, one.string)), page


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
