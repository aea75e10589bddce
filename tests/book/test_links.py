"""The built page holds together offline: links, anchors, citations, images and assets all lead somewhere.

Needs the page that ``make book`` builds. Under CI a missing one is a failure.
"""

import functools
import re
import xml.etree.ElementTree
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tests.conftest import need
from tests.test_browser import HTML

LINKS = {"href": ("a", "link", "area"), "src": ("script", "img", "iframe", "source", "video", "audio", "embed")}
LEFTOVERS = re.compile(r"\{(?:glue:text|ref|numref|cite|cite:\w+|term|doc|eq|prf:ref)\}`|\bSystem Message\b|\?\?\?|�")


@functools.cache
def read(page):
    """A page, parsed."""
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@functools.cache
def anchors(page):
    """The places in a page that a link can lead to."""
    return {tag[key] for tag in read(page).find_all(True) for key in ("id", "name") if tag.get(key)}


def picture_is_sound(file):
    """Whether an image can be decoded, or is well-formed SVG."""
    try:
        if file.suffix == ".svg":
            xml.etree.ElementTree.parse(file)
        else:
            with Image.open(file) as image:
                image.load()
    except Exception:  # decoders and parsers fail in many ways
        return False
    return True


def faults(page, root):
    """What is wrong with a page below the root: a list of words, empty where all is well."""
    found, soup = [], read(page)
    for key, tags in LINKS.items():
        for tag in soup.find_all(tags, attrs={key: True}):
            link = tag[key]
            parts = urlsplit(link)
            if parts.scheme in ("mailto", "data", "javascript"):
                continue
            if parts.scheme or parts.netloc:
                canonical = tag.name == "link" and set(tag.get("rel", [])) <= {"canonical", "license", "author"}
                if tag.name != "a" and not canonical:
                    found.append(f"asks another host: {link}")
                elif parts.scheme != "https" or "." not in parts.netloc:
                    found.append(f"no address: {link}")
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            file = file / "index.html" if file.is_dir() else file
            if not file.is_relative_to(root.resolve()) or not file.is_file() or file.stat().st_size == 0:
                found.append(f"leads nowhere: {link}")
            elif parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in anchors(file):
                found.append(f"no such place: {link}")
            elif tag.name == "img" and not picture_is_sound(file):
                found.append(f"no picture: {link}")
    found += [f"no alt text: {image['src'][:60]}" for image in soup.find_all("img") if not image.get("alt", "").strip()]
    for tag in soup.find_all(["code", "pre", "script", "style"]):
        tag.extract()
    found += [f"left over: {word}" for word in LEFTOVERS.findall(soup.get_text())]
    read.cache_clear()
    return found


@pytest.fixture(scope="module")
def pages():
    need((HTML / "index.html").exists(), "there is no built page: run make book")
    written = sorted(page for part in ("book", "notebooks") for page in (HTML / part).glob("*.html"))
    return [*written, HTML / "genindex.html", HTML / "search.html"]


def test_every_link_anchor_and_picture_is_there(pages):
    assert len(pages) > 15
    wrong = {str(page.relative_to(HTML)): found for page in pages if (found := faults(page, HTML))}
    assert wrong == {}


def test_the_address_of_the_book_leads_to_its_first_page():
    need((HTML / "index.html").exists(), "there is no built page: run make book")
    (refresh,) = read(HTML / "index.html").find_all("meta", attrs={"http-equiv": re.compile("(?i)refresh")})
    target = re.fullmatch(r"\d+; ?url=(.+)", refresh["content"], re.IGNORECASE)[1]
    assert target == "book/intro.html" and "Knowing what you don" in read(HTML / target).title.get_text()


def test_every_citation_has_its_entry(pages):
    bibliography = HTML / "book" / "references.html"
    cited = {
        link["href"].partition("#")[2] for page in pages for link in read(page).select("a[href*='references.html#']")
    }
    assert len(cited) > 20 and cited <= anchors(bibliography)


def test_styles_ask_for_nothing_that_is_not_there():
    need((HTML / "index.html").exists(), "there is no built page: run make book")
    wrong = []
    for sheet in HTML.rglob("*.css"):
        for link in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8")):
            outside = re.match(r"(?:https?:)?//", link)
            inside = link.startswith(("data:", "#")) or (sheet.parent / unquote(urlsplit(link).path)).is_file()
            if outside or not inside:
                wrong.append(f"{sheet.relative_to(HTML)}: {link}")
    assert wrong == []


def test_the_search_knows_every_page(pages):
    index = (HTML / "searchindex.js").read_text(encoding="utf-8")
    for page in pages[:-2]:
        assert f'"{page.relative_to(HTML).with_suffix("").as_posix()}"' in index


PAGE = '<h1 id="top">A</h1><a href="#top">up</a><img src="a.png" alt="a square"><p>text</p>'
DAMAGE = {
    "no such place": ('href="#top"', 'href="#bottom"'),
    "leads nowhere": ('href="#top"', 'href="gone.html"'),
    "asks another host": ("<p>", '<script src="https://cdn.example/x.js"></script><p>'),
    "no address": ('href="#top"', 'href="http://plain.example/"'),
    "no alt text": ('alt="a square"', 'alt=""'),
    "no picture": ("a.png", "b.png"),
    "left over": ("text", "{glue:text}`x`"),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_page_is_found_out(fault, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Path(tmp_path / "b.png").write_text("no picture")
    page = tmp_path / "page.html"
    page.write_text(PAGE, encoding="utf-8")
    assert faults(page, tmp_path) == []
    anchors.cache_clear()
    page.write_text(PAGE.replace(*DAMAGE[fault]), encoding="utf-8")
    (found,) = faults(page, tmp_path)
    assert found.startswith(fault)
