"""The book on paper and for e-readers, from the page that make book has rendered.

    python -m tools.printed pdf    write _build/knowing-what-you-dont-know.pdf
    python -m tools.printed epub   write _build/knowing-what-you-dont-know.epub

A browser shows each page; printed.js takes its text, with a picture in the place of each living part, and joins the
pages to one document. Chromium prints that, or it becomes the files of an EPUB. Solutions and answers stand at the end.
"""

import argparse
import contextlib
import datetime
import html
import logging
import shutil
import sys
import uuid
import zipfile
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import matplotlib
import pypdf
import yaml
from playwright import sync_api

import osrlib
from osrlib import files
from tools import chapters, paths
from tools.chapters import BuildError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""What Chromium and Chrome are called where programs are found by name."""
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDTH = 658
"""Of the text on paper, 174 mm, in the browser's pixels."""
WINDOW, ZOOM = 864, 0.85
"""How wide the window is in which living parts stand still, and how large these are printed: 16 pixels as 10.2 pt."""
A = [[(0.2, 0.85), (0.5, 0.1), (0.8, 0.85)], [(0.3, 0.6), (0.7, 0.6)]]
"""The letter, as strokes on the playground's board, in shares of its width."""
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = (
    ("Book", "STIXGeneral", "normal", "normal"), ("Book", "STIXGeneralItalic", "normal", "italic"),
    ("Book", "STIXGeneralBol", "bold", "normal"), ("Book", "STIXGeneralBolIta", "bold", "italic"),
    ("DejaVu Sans Mono", "DejaVuSansMono", "normal", "normal"),
    ("DejaVu Sans Mono", "DejaVuSansMono-Bold", "bold", "normal"), ("DejaVu Sans", "DejaVuSans", "normal", "normal"),
)  # fmt: skip
"""Letters that matplotlib brings, so that paper is the same everywhere: name, file, weight, style."""
TYPES = {".xhtml": "application/xhtml+xml", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml"}
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="book/package.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PAPER = """
.admonition, .answer, pre { box-decoration-break: clone; }
body { margin: 0; font: 10.5pt/1.4 Book, "DejaVu Sans", serif; hyphens: auto; text-align: justify; }
h1, h2, h3, h4 { text-align: left; }
section.chapter, nav { break-before: page; }
section.cover { page: cover; padding-top: 40mm; text-align: center; }
section.cover .title { font-size: 30pt; font-weight: bold; }
section.cover img { width: 100%; margin: 12mm 0; }
.cell_output img { zoom: 0.8; max-height: 110mm; }
.still img { max-height: 200mm; }
pre.long { font-size: 6.6pt; }
#at-licences code { overflow-wrap: normal; }
#at-cheat-sheet { font-size: 8.7pt; line-height: 1.25; }
#at-cheat-sheet h1, #at-cheat-sheet h2 { margin: 0.5em 0 0.3em; }
#at-cheat-sheet table, #at-cheat-sheet ul { margin: 0.3em 0; }
#at-cheat-sheet td { padding: 0.12em 0.6em; }
.see > [data-page]:not(:empty)::before { content: ", page "; }
nav > ol { columns: 2; column-gap: 10mm; font-size: 9pt; }
nav .see { display: flex; gap: 1em; justify-content: space-between; }
nav li { text-align: left; break-inside: avoid; }
nav > ol > li { margin-top: 0.45em; }
nav > ol > li > .see { font-weight: bold; }
nav .see > [data-page]:not(:empty)::before { content: ""; }
@page { size: A4; margin: 21mm 18mm 19mm; @bottom-center { content: counter(page); font: 9pt Book; } }
@page cover { @bottom-center { content: none; } }
"""


@contextlib.contextmanager
def browser():
    """Chromium or Chrome, without a window. Where they are not found by name, Playwright looks in the usual places."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    where = {"executable_path": program} if program else {"channel": "chrome"}
    with sync_api.sync_playwright() as running:
        try:
            opened = running.chromium.launch(args=OPTIONS, **where)
        except sync_api.Error as error:
            raise BuildError(f"There is no browser: apt install chromium, or install Chrome. ({error})") from error
        yield opened
        opened.close()


def names():
    """The pages of the book, in the order of _toc.yml."""
    toc = yaml.safe_load(paths.TOC.read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def style(titles):
    """Of paper: letters, and on top of each page the title of its chapter. titles: id → title."""
    faces = [
        f"@font-face {{ font-family: '{name}'; font-weight: {weight}; font-style: {slant}; "
        f"src: url('{(FONTS / file).as_uri()}.ttf'); }}"
        for name, file, weight, slant in FACES
    ]
    heads = []
    for name, title in titles.items():
        told = title.replace("\\", "\\\\").replace('"', '\\"')
        heads.append(
            f'#{name} {{ page: {name}; }} @page {name} {{ @top-right {{ content: "{told}"; font: 9pt Book; }} }}'
        )
    return "\n".join([*faces, PAPER, *heads])


def draw(page, strokes):
    """Draw on the playground's board."""
    board = page.locator(".osr-board")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    for points in strokes:
        for i, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if i == 0:
                page.mouse.down()
        page.mouse.up()


BEFORE = {
    "book/playground": lambda page: draw(page, A),
    "notebooks/11-service": lambda page: page.select_option("#osr-promise-breaks", "pens"),
}
"""What a reader would do on a page before its living parts stand still."""


def take(page, name):
    """The text of a rendered page as a section in XHTML, and its title."""
    page.emulate_media(media="screen")
    page.goto((paths.HTML / f"{name}.html").as_uri(), wait_until="load")
    page.evaluate("globalThis.MathJax?.startup.promise")
    if name in BEFORE:
        BEFORE[name](page)
    page.emulate_media(media="print")  # book.css hides there what is clicked
    stills = {}
    for living in page.locator('article div[id^="osr-"]').all():
        file = paths.PRINTED / f"{name.replace('/', '-')}-{living.get_attribute('id')}.png"
        living.scroll_into_view_if_needed()
        page.wait_for_timeout(500)  # some wait until they are seen, then draw
        living.screenshot(path=file, scale="device", animations="disabled")
        width = round(ZOOM * living.bounding_box()["width"])
        stills[living.get_attribute("id")] = {"src": file.as_uri(), "width": width}
    title = page.locator("article h1").first.evaluate("(one) => one.firstChild.textContent")
    return page.evaluate("(all) => printed.take(...all)", [name, names(), f"{paths.HTML.as_uri()}/", stills]), title


@contextlib.contextmanager
def whole():
    """The book as one document, in a page of a browser."""
    with browser() as opened:
        size = {"viewport": {"width": WINDOW, "height": 1400}, "device_scale_factor": 2}
        page = opened.new_page(**size, color_scheme="light", reduced_motion="reduce")
        assemble(page)
        yield page


def assemble(page):
    """Put every page's text into one document, which the browser then shows."""
    shutil.rmtree(paths.PRINTED, ignore_errors=True)
    paths.PRINTED.mkdir(parents=True)
    page.add_init_script(path=paths.BOOK / "theme" / "printed.js")
    texts, titles = [], {}
    for name in names():
        text, title = take(page, name)
        texts.append(text)
        titles[f"at-{name.rpartition('/')[2]}"] = title
    titles["at-solutions"] = "Solutions and answers"
    settings = chapters.config()
    styles = [paths.HTML / "_static" / "pygments.css", paths.BOOK / "theme" / "printed.css"]
    document = f"""<?xml version="1.0" encoding="utf-8"?>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en" data-theme="light"><head>
<title>{html.escape(settings["title"])}</title>
{"".join(f'<link rel="stylesheet" href="{file.as_uri()}"/>' for file in styles)}
<style>{html.escape(style(titles), quote=False)}</style></head><body>
<section class="cover"><p class="title">{html.escape(settings["title"])}</p>
<p>Open-set recognition with a multi-task autoencoder</p>
<img src="{(paths.HTML / "_static" / "teaser.png").as_uri()}" alt=""/>
<p>{html.escape(settings["author"])}</p>
<p>Version {osrlib.__version__}, built on {datetime.date.today():%d %B %Y}</p>
<p>To run, draw and drag: <a href="{settings["html"]["baseurl"]}">{settings["html"]["baseurl"]}</a></p></section>
<nav><h1>Contents</h1><ol></ol></nav>
{"".join(texts)}
<section class="chapter" id="at-solutions"><h1>{titles["at-solutions"]}</h1></section>
</body></html>"""
    file = paths.PRINTED / "book.xhtml"
    file.write_text(document, encoding="utf-8")
    page.set_viewport_size({"width": WIDTH, "height": 900})
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("printed.mend()")


def write_pdf(target):
    """Print the book. target: path of the PDF."""
    with whole() as page:
        page.emulate_media(media="print")
        page.evaluate("globalThis.MathJax = { options: { enableMenu: false } }")
        page.add_script_tag(url=(paths.HTML / "_static" / "mathjax" / "tex-mml-chtml.js").as_uri())
        page.evaluate("MathJax.startup.promise")
        page.evaluate("printed.fit()")
        if page.evaluate("document.documentElement.scrollWidth") > WIDTH:  # Chromium would set the whole book smaller
            raise BuildError("Something is wider than the paper")
        once = paths.PRINTED / "once.pdf"
        for numbered in ({}, None):  # the first time only to see on which page each part lies
            page.evaluate("(pages) => printed.number(pages)", places(once) if numbered is None else numbered)
            page.pdf(path=once, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    writer = pypdf.PdfWriter(clone_from=once)
    name_once(writer.root_object["/Outlines"])
    writer.add_metadata({"/Author": chapters.config()["author"], "/Subject": "Open-set recognition"})
    with files.whole(target) as file:
        writer.write(file)


def name_once(mark):
    """Name a heading once in the outline, and all below it: where it begins a page, Chromium has its words twice."""
    title = mark.get("/Title", "")
    if title and title == 2 * title[: len(title) // 2]:
        mark[pypdf.generic.NameObject("/Title")] = pypdf.generic.TextStringObject(title[: len(title) // 2])
    child = mark.get("/First")
    while child is not None:
        name_once(child.get_object())
        child = child.get_object().get("/Next")


def places(file):
    """On which page of a PDF each of its named places lies: dict name → number, counted from 1."""
    reader = pypdf.PdfReader(file)
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def write_epub(target):
    """Cut the book into the files of an EPUB 3. target: its path."""
    with whole() as page:
        parts = page.evaluate("printed.cut()")
        contents = page.evaluate("printed.list()")
        cover = page.locator("section.cover").screenshot()
    held = {
        "cover.png": cover,
        "nav.xhtml": xhtml("Contents", contents),
        "pygments.css": (paths.HTML / "_static" / "pygments.css").read_bytes(),
        "printed.css": (paths.BOOK / "theme" / "printed.css").read_bytes(),
    }
    for part in parts:
        held[f"{part['id']}.xhtml"] = xhtml(part["title"], part["text"])
        for address in part["images"]:
            file = Path(url2pathname(urlparse(address).path))
            held[f"images/{file.name}"] = file.read_bytes()
    held["package.opf"] = package(held, parts)
    with files.whole(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)  # first, and not packed
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, content in held.items():
            archive.writestr(f"book/{name}", content)


def xhtml(title, body):
    """A file of an EPUB."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en"><head>
<title>{html.escape(title)}</title>
<link rel="stylesheet" href="pygments.css"/><link rel="stylesheet" href="printed.css"/>
</head><body>{body}</body></html>"""


def holds(text):
    """What a list of an EPUB's files must say of one that holds formulas or drawings."""
    return " ".join(kind for kind, mark in (("mathml", "<math"), ("svg", "<svg")) if mark in text)


def package(held, parts):
    """The list of an EPUB's files, and what the book is. held: its files by name; parts: as printed.cut gives them."""
    settings = chapters.config()
    title, author, address = (
        html.escape(settings["title"]),
        html.escape(settings["author"]),
        settings["html"]["baseurl"],
    )
    order = ["nav.xhtml", *(f"{part['id']}.xhtml" for part in parts)]
    special = {f"{part['id']}.xhtml": holds(part["text"]) for part in parts}
    special |= {"nav.xhtml": "nav", "cover.png": "cover-image"}
    places = {name: f"item-{i}" for i, name in enumerate(held)}
    items = [
        f'<item id="{place}" href="{name}" media-type="{TYPES[Path(name).suffix]}"'
        + (f' properties="{special[name]}"/>' if special.get(name) else "/>")
        for name, place in places.items()
    ]
    spine = [f'<itemref idref="{places[name]}"/>' for name in order]
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, address + osrlib.__version__)}</dc:identifier>
<dc:title>{title}</dc:title>
<dc:creator>{author}</dc:creator>
<dc:language>en</dc:language>
<dc:rights>Text and figures: CC BY 4.0. Code: MIT.</dc:rights>
<dc:source>{address}</dc:source>
<meta property="dcterms:modified">{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}</meta>
<meta property="schema:accessMode">textual</meta>
<meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
<meta property="schema:accessibilitySummary">Figures have alternative texts; formulas are MathML with their TeX.</meta>
</metadata>
<manifest>{"".join(items)}</manifest>
<spine>{"".join(spine)}</spine></package>"""


def main():
    """Write what was asked for."""
    sys.stdout.reconfigure(errors="replace")
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # Chromium counts its objects otherwise
    parser = argparse.ArgumentParser(
        prog="python -m tools.printed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["pdf", "epub"])
    kind = parser.parse_args().kind
    if not (paths.HTML / "index.html").exists():
        sys.exit("There is no page to print yet: make book")
    target = paths.BUILD / f"{chapters.DISTRIBUTION}.{kind}"
    try:
        {"pdf": write_pdf, "epub": write_epub}[kind](target)
    except BuildError as error:
        sys.exit(f"\n{error}")
    print(f"The book is written: {target}")


if __name__ == "__main__":
    main()
