"""The built page holds together offline: links, anchors, citations, pictures and styles all lead somewhere."""

import functools
import re
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

import osrlib
from tools import finish, paths, site

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


def fault_of(tag, link, page, root):
    """What is wrong with a link of a page below the root, in a word; None where it is sound."""
    parts = urlsplit(link)
    if parts.scheme in ("mailto", "data", "javascript"):
        return None
    if parts.scheme or parts.netloc:
        own = tag.name == "a" or set(tag.get("rel", [])) & {"canonical", "license", "author"}
        return None if own and parts.scheme == "https" else "leads elsewhere"
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    file = file / "index.html" if file.is_dir() else file
    if not file.is_relative_to(root.resolve()) or not file.is_file() or file.stat().st_size == 0:
        return "leads nowhere"
    if parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in anchors(file):
        return "no such place"
    return None


def faults(page, root):
    """What is wrong with a page below the root: a list of words, empty where all is well."""
    found, soup = [], read(page)
    for key, tags in LINKS.items():
        for tag in soup.find_all(tags, attrs={key: True}):
            if fault := fault_of(tag, tag[key], page, root):
                found.append(f"{fault}: {tag[key]}")
    found += [f"no alt text: {image['src'][:60]}" for image in soup.find_all("img") if not image.get("alt", "").strip()]
    prose = (text for text in soup.find_all(string=True) if not text.find_parent(["code", "pre", "script", "style"]))
    return found + [f"left over: {word}" for word in LEFTOVERS.findall(" ".join(prose))]


@pytest.fixture(scope="module")
def pages(html):
    """Every page that a reader can open."""
    written = sorted(page for part in ("book", "notebooks") for page in (html / part).glob("*.html"))
    return [*written, html / "genindex.html", html / "search.html", html / "404.html"]


def test_every_link_anchor_and_picture_is_there(pages, html):
    assert len(pages) > 15
    assert {page.name: found for page in pages if (found := faults(page, html))} == {}


def test_every_citation_has_its_entry(pages, html):
    links = [link["href"] for page in pages for link in read(page).select("a[href*='references.html#']")]
    cited = {link.partition("#")[2] for link in links}
    assert len(cited) > 20 and cited <= anchors(html / "book" / "references.html")


def test_the_address_of_the_book_leads_to_its_first_page(html):
    (refresh,) = read(html / "index.html").find_all("meta", attrs={"http-equiv": re.compile("(?i)refresh")})
    target = re.fullmatch(r"\d+; ?url=(.+)", refresh["content"], re.IGNORECASE)[1]
    assert target == "book/intro.html" and "Knowing what you don" in read(html / target).title.get_text()


def test_every_page_says_its_version(pages):
    told = {page.name: read(page).find("footer", class_="bd-footer-content").get_text() for page in pages}
    assert [name for name, text in told.items() if f"Version {osrlib.__version__}" not in text] == []


def test_the_card_for_messengers(html):
    card = read(html / "book" / "intro.html").find("meta", attrs={"property": "og:image"})["content"]
    assert Image.open(html / "_static" / Path(card).name).size == (1200, 630)


def test_styles_ask_for_nothing_that_is_not_there(html):
    for sheet in html.rglob("*.css"):
        for link in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8")):
            assert not re.match(r"(?:https?:)?//", link), f"{sheet}: {link}"
            assert link.startswith(("data:", "#")) or (sheet.parent / unquote(urlsplit(link).path)).is_file(), link


def test_the_search_knows_every_page(pages, html):
    index = (html / "searchindex.js").read_text(encoding="utf-8")
    assert all(f'"{page.relative_to(html).with_suffix("").as_posix()}"' in index for page in pages[:-3])
    words = yaml.safe_load((paths.BOOK / "theme" / "search.yml").read_text(encoding="utf-8"))
    for page, _, place in (one.partition("#") for places in words.values() for one in places):
        assert place in anchors(html / f"{page}.html"), f"{page}#{place}"


def test_the_page_to_take_along(pages, html):
    with zipfile.ZipFile(paths.BUILD / site.ARCHIVE) as archive:
        assert archive.testzip() is None
        packed = {Path(name) for name in archive.namelist()}
    assert {Path("html") / file.relative_to(html) for file in html.rglob("*") if file.is_file()} <= packed


def test_a_packed_picture_looks_the_same(tmp_path):
    random, file = np.random.default_rng(0), tmp_path / "a.png"
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    chart = np.stack([np.tile(ramp, (200, 1)), np.full((200, 300), 90, np.uint8), np.tile(ramp[::-1], (200, 1))], -1)
    glass = np.concatenate([chart, np.full((200, 300, 1), 90, np.uint8)], -1)
    for picture, steps in ((chart, 24), (random.integers(0, 256, (200, 300, 3), np.uint8), 0), (glass, 0)):
        Image.fromarray(picture).save(file)
        before = file.stat().st_size
        assert finish.lighter(file) == (300, 200) and file.stat().st_size <= before
        after = np.asarray(Image.open(file).convert("RGBA" if picture.shape[-1] == 4 else "RGB"))
        assert np.abs(after.astype(int) - picture).max() <= steps


PAGE = '<h1 id="top">A</h1><a href="#top">up</a><img src="a.png" alt="a square"><p>text</p>'
DAMAGE = {
    "no such place": ('href="#top"', 'href="#bottom"'),
    "leads nowhere": ('href="#top"', 'href="gone.html"'),
    "leads elsewhere": ("<p>", '<script src="https://cdn.example/x.js"></script><p>'),
    "no alt text": ('alt="a square"', 'alt=""'),
    "left over": ("text", "{glue:text}`x`"),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_page_is_found_out(fault, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    sound, damaged = tmp_path / "sound.html", tmp_path / "damaged.html"
    sound.write_text(PAGE, encoding="utf-8")
    damaged.write_text(PAGE.replace(*DAMAGE[fault]), encoding="utf-8")
    assert faults(sound, tmp_path) == []
    (found,) = faults(damaged, tmp_path)
    assert found.startswith(fault)
