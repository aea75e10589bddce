"""Where things lie. A module that asks here by ``paths.NAME`` can be pointed elsewhere by a test."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG, TOC, CITATION = ROOT / "_config.yml", ROOT / "_toc.yml", ROOT / "CITATION.cff"
BOOK, NOTEBOOKS = ROOT / "book", ROOT / "notebooks"
CHAPTERS, TRANSLATIONS = BOOK / "chapters", BOOK / "translations"
RESULTS = ROOT / "experiments" / "results"
BUILD = ROOT / "_build"
SITE, RENDER, HTML, PRINTED = BUILD / "site", BUILD / "render", BUILD / "html", BUILD / "printed"
