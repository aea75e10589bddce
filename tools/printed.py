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
PRINTED = paths.BUILD / "printed"
"""Where what is between page and book lies: the pictures of living parts, and the one document."""
WIDTH = 642
"""Of the text on paper, 170 mm, in the browser's pixels."""
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = (
    ("Book", "STIXGeneral", "normal", "normal"), ("Book", "STIXGeneralItalic", "normal", "italic"),
    ("Book", "STIXGeneralBol", "bold", "normal"), ("Book", "STIXGeneralBolIta", "bold", "italic"),
    ("DejaVu Sans Mono", "DejaVuSansMono", "normal", "normal"), ("DejaVu Sans Mono", "DejaVuSansMono-Bold", "bold", "normal"),
    ("DejaVu Sans", "DejaVuSans", "normal", "normal"),
)  # fmt: skip
"""Letters that matplotlib brings, so that paper is the same everywhere: name, file, weight, style."""
TYPES = {".xhtml": "application/xhtml+xml", ".css": "text/css", ".png": "image/png", ".svg": "image/svg+xml"}
CONTAINER = """<?xml version="1.0" encoding="utf-8"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
<rootfile full-path="book/package.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PAPER = """
body { margin: 0; font: 10.5pt/1.42 Book, "DejaVu Sans", serif; hyphens: auto; text-align: justify; }
h1, h2, h3, h4 { text-align: left; }
section.chapter, nav { break-before: page; }
section.cover { page: cover; padding-top: 40mm; text-align: center; }
section.cover h1 { font-size: 30pt; text-align: center; }
section.cover img { width: 100%; margin: 12mm 0; }
.see > [data-page]:not(:empty)::before { content: ", page "; }
nav .see { display: flex; gap: 1em; justify-content: space-between; }
nav li { text-align: left; break-inside: avoid; }
nav > ol > li { margin-top: 0.45em; }
nav > ol > li > .see { font-weight: bold; }
nav .see > [data-page]:not(:empty)::before { content: ""; }
@page { size: A4; margin: 22mm 20mm 20mm; @bottom-center { content: counter(page); font: 9pt Book; } }
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
        heads.append(f"#{name} {{ page: {name}; }} @page {name} {{ @top-right {{ content: \"{told}\"; font: 9pt Book; }} }}")
    return "\n".join([*faces, PAPER, *heads])


def take(page, name):
    """The text of a rendered page as a section in XHTML, and its title."""
    page.goto((paths.HTML / f"{name}.html").as_uri(), wait_until="load")
    page.evaluate("globalThis.MathJax?.startup.promise")
    page.emulate_media(media="print", color_scheme="light", reduced_motion="reduce")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    stills = {}
    for living in page.locator('article div[id^="osr-"]').all():
        file = PRINTED / f"{name.replace('/', '-')}-{living.get_attribute('id')}.png"
        living.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        living.screenshot(path=file, scale="device", animations="disabled")
        stills[living.get_attribute("id")] = file.as_uri()
    title = page.locator("article h1").first.evaluate("(one) => one.firstChild.textContent")
    return page.evaluate("(all) => printed.take(...all)", [name, names(), f"{paths.HTML.as_uri()}/", stills]), title


def assemble(page):
    """Every page's text in one document, which the browser then shows. Returns id → title of each."""
    shutil.rmtree(PRINTED, ignore_errors=True)
    PRINTED.mkdir(parents=True)
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
<section class="cover"><h1>{html.escape(settings["title"])}</h1>
<p>Open-set recognition with a multi-task autoencoder</p>
<img src="{(paths.HTML / "_static" / "teaser.png").as_uri()}" alt=""/>
<p>{html.escape(settings["author"])}</p>
<p>Version {osrlib.__version__}, built on {datetime.date.today():%d %B %Y}</p>
<p>To run, draw and drag: <a href="{settings["html"]["baseurl"]}">{settings["html"]["baseurl"]}</a></p></section>
<nav><h1>Contents</h1><ol></ol></nav>
{"".join(texts)}
<section class="chapter" id="at-solutions"><h1>{titles["at-solutions"]}</h1></section>
</body></html>"""
    file = PRINTED / "book.xhtml"
    file.write_text(document, encoding="utf-8")
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("printed.mend()")
    return titles


def write_pdf(target):
    """Print the book. target: path of the PDF."""
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=3)
        assemble(page)
        page.set_viewport_size({"width": WIDTH, "height": 900})
        page.emulate_media(media="print")
        page.evaluate("globalThis.MathJax = { options: { enableMenu: false }, startup: { typeset: true } }")
        page.add_script_tag(url=(paths.HTML / "_static" / "mathjax" / "tex-mml-chtml.js").as_uri())
        page.evaluate("MathJax.startup.promise")
        print(page.evaluate("printed.fit()"))
        once = PRINTED / "once.pdf"
        for number in (False, True):  # the first time to see on which page each part lies
            if number:
                page.evaluate("(pages) => printed.number(pages)", numbers(once))
            page.pdf(path=once, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    writer = pypdf.PdfWriter(clone_from=once)
    writer.add_metadata({"/Author": chapters.config()["author"], "/Subject": "Open-set recognition"})
    with files.whole(target) as file:
        writer.write(file)


def numbers(file):
    """On which page of a PDF each of its named places lies: dict name → number, counted from 1."""
    reader = pypdf.PdfReader(file)
    return {
        name.lstrip("/"): reader.get_destination_page_number(place) + 1
        for name, place in reader.named_destinations.items()
    }


def write_epub(target):
    """Cut the book into the files of an EPUB 3. target: its path."""
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1000, "height": 900}, device_scale_factor=2)
        assemble(page)
        parts = page.evaluate("printed.cut()")
        contents = page.evaluate("printed.list()")
        page.set_viewport_size({"width": WIDTH, "height": 900})
        cover = page.locator("section.cover").screenshot(type="png")
    held = {"cover.png": cover, "nav.xhtml": xhtml("Contents", contents).encode()}
    for name in ("pygments.css", "printed.css"):
        folder = paths.HTML / "_static" if name == "pygments.css" else paths.BOOK / "theme"
        held[name] = (folder / name).read_bytes()
    for part in parts:
        held[f"{part['id']}.xhtml"] = xhtml(part["title"], part["text"]).encode()
        held |= {f"images/{address.rpartition('/')[2]}": address for address in part["images"]}
    held["package.opf"] = package(held, parts).encode()
    with files.whole(target) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)  # first, and not packed
        archive.writestr("META-INF/container.xml", CONTAINER)
        for name, content in held.items():
            data = content if isinstance(content, bytes) else Path(url2pathname(urlparse(content).path)).read_bytes()
            archive.writestr(f"book/{name}", data)


def xhtml(title, body):
    """A file of an EPUB."""
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en"><head>
<title>{html.escape(title)}</title><link rel="stylesheet" href="pygments.css"/><link rel="stylesheet" href="printed.css"/>
</head><body>{body}</body></html>"""


def package(held, parts):
    """The list of an EPUB's files, and what the book is. held: its files by name; parts: as printed.cut gives them."""
    settings = chapters.config()
    mathml = {f"{part['id']}.xhtml" for part in parts if part["mathml"]}
    properties = {"nav.xhtml": "nav", "cover.png": "cover-image"} | dict.fromkeys(mathml, "mathml")
    items = []
    for i, name in enumerate(held):
        also = f' properties="{properties[name]}"' if name in properties else ""
        items.append(f'<item id="item-{i}" href="{name}" media-type="{TYPES[Path(name).suffix]}"{also}/>')
    places = {name: i for i, name in enumerate(held)}
    spine = "".join(f'<itemref idref="item-{places[name]}"/>' for name in ["nav.xhtml", *(f"{p['id']}.xhtml" for p in parts)])
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, settings["html"]["baseurl"] + osrlib.__version__)}</dc:identifier>
<dc:title>{html.escape(settings["title"])}</dc:title>
<dc:creator>{html.escape(settings["author"])}</dc:creator>
<dc:language>en</dc:language>
<dc:rights>Text and figures: CC BY 4.0. Code: MIT.</dc:rights>
<dc:source>{settings["html"]["baseurl"]}</dc:source>
<meta property="dcterms:modified">{now:%Y-%m-%dT%H:%M:%SZ}</meta>
<meta property="schema:accessMode">textual</meta><meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
<meta property="schema:accessibilitySummary">Figures have alternative texts; formulas are MathML with their TeX.</meta>
</metadata>
<manifest>{"".join(items)}</manifest>
<spine>{spine}</spine></package>"""


def main():
    """Write what was asked for."""
    sys.stdout.reconfigure(errors="replace")
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
