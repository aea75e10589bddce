"""The last steps of a build, on the rendered pages: less to load, names for all that is heard, words that search finds.

``finish`` does them all. Each is a function of its own that takes a page's text, or the folder of the pages.
"""

import io
import json
import re
from pathlib import PurePosixPath

import numpy as np
import yaml
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image, ImageColor

from tools import dark, panels, paths

TIDY = (
    # the theme brings its icons twice, as a font and as a script of 1.5 MB: the font is enough
    r'<script src="[^"]*fontawesome[^"]*\.js[^"]*"></script>\n?',
    r'<link rel="preload" as="script" href="[^"]*fontawesome[^>]*>\n?',
    # it fetches the font ahead of need, which no browser allows where a page is opened by double-click
    r'<link rel="preload" as="font"[^>]*>\n?',
    # the entries of the bibliography are no items of a list to those who hear the page
    r'(?<=<div) role="list"(?= class="citation-list">)',
)
"""What is taken out of every rendered page."""
UNNAMED = 'aria-label="Toggle hidden content"'
"""What every disclosure is called by the tools that make it: those who hear the page cannot tell one from another."""
NAMED = 'aria-label="${item.querySelector(".admonition-title").textContent.trim().replaceAll(\'"\', "&quot;")}"'
"""What the script calls the button at a solution instead: by its title. The button says itself whether it is open."""
ACCESSIBLE = (
    # a table wider than the screen scrolls in this; the theme forgot the tab stop without which no key reaches it
    (r'<div class="pst-scrollable-table-container"', r'\g<0> tabindex="0"'),
    # above a column of row names there is nothing: no heading
    (r"<th(?=[ >])([^>]*)>((?:&nbsp;|<p></p>)?)</th>", r"<td\1>\2</td>"),
    # a summary is called what it shows: its own words
    (f"(?<=<summary) {re.escape(UNNAMED)}", ""),
    # the sidebar is a part of its own
    (r'<div class="bd-sidebar-primary bd-sidebar[^"]*"', r'\g<0> role="complementary" aria-label="The book"'),
)
"""Patterns in every rendered page, and what those who read by ear or by key need in their place."""
WIDGET = re.compile(r'<script src=(?="\.\./playground/)')
"""The scripts of living parts, which would hold up the text below them: they run once the whole page is there."""
FORMULA = re.compile(r'class="[^"]*\bmath\b')
MATHJAX = re.compile(r'<script>window\.MathJax = [^\n]*</script>\n?|<script[^>]*src="[^"]*mathjax[^"]*"></script>\n?')
FIGURE = re.compile(
    r'(<a [^>]*>\s*(?:<span[^>]*>)?)?(<img [^>]*src="((?:\.\./)*_images/[^"]+\.png)"[^>]*>)(?(1)((?:</span>)?\s*</a>)?)'
)
PHONE = "screen and (max-width: 600px)"
CLAIMS = re.compile(r'(?:<div class="output text_html"><p class="claim">(?:(?!</p>).)*</p>\s*</div>\s*)+', re.DOTALL)
ICON = re.compile(r"(?:\.fa-[\w-]+:{1,2}before,?)+\{content:\"(?:\\([0-9a-f]+)|([^\"]))\"\}")
FAMILY = re.compile(r"Font Awesome(?=\\? ?\d)")
LEGAL = (0, 7, 13, 14)
"""Which names of a font are its copyright, trademark and licence."""
NEAR, FAR = 12, 24
"""By how many of 256 steps a colour may move when a picture is packed: nearly all, and all."""


def finish(html):
    """Do all of it. html: the folder of the rendered pages."""
    for file in (html / "_static").glob("*-dark.png"):  # no page names them, so they are not with those that pages name
        file.rename(html / "_images" / file.name)
    for file in list((html / "_images").glob("*.png")):
        stack(file)
    sizes = {file.name: lighter(file) for file in [*(html / "_images").glob("*.png"), html / "_static/playground.png"]}
    for page in html.rglob("*.html"):
        page.write_text(tidy(page.read_text(encoding="utf-8"), sizes), encoding="utf-8")
    toggle = html / "_static" / "togglebutton.js"
    toggle.write_text(toggle.read_text(encoding="utf-8").replace(UNNAMED, NAMED), encoding="utf-8")
    cut_icons(html)
    index = html / "searchindex.js"
    words = yaml.safe_load((paths.BOOK / "theme" / "search.yml").read_text(encoding="utf-8"))
    index.write_text(with_words(index.read_text(encoding="utf-8"), words), encoding="utf-8")


def tidy(page, sizes):
    """A page's text. sizes: dict name of a picture → (width, height)."""
    page = re.sub("|".join(TIDY), "", page)
    page = WIDGET.sub("<script defer src=", page)
    if not FORMULA.search(page):
        page = MATHJAX.sub("", page)
    return accessible(open_figures(fold_claims(page), sizes))


def accessible(text):
    """A page's HTML with what the theme left out for those who read by ear or by key."""
    for pattern, better in ACCESSIBLE:
        text = re.sub(pattern, better, text)
    return text


def fold_claims(page):
    """Claims that follow each other, as one part that can be folded: book.js does so on a phone."""

    def fold(match):
        count = match[0].count('class="claim"')
        told = f"Checked: {count} claims hold" if count > 1 else "Checked: 1 claim holds"
        return f'<details class="claims" open><summary>{told}</summary>{match[0]}</details>'

    return CLAIMS.sub(fold, page)


def open_figures(page, sizes):
    """Figures lead to their full size and load when they come near, which one for the other theme never does.

    The first of a page loads at once, where it has no second picture.
    """
    count = 0

    def link(match):
        nonlocal count
        before, image, source, after = match.groups()
        width, height = sizes[source.rpartition("/")[2]]
        second = dark.name(PurePosixPath(source))
        size = "" if " width=" in image or " style=" in image else f' width="{width}" height="{height}"'
        lazily = ' loading="lazy"' if count or second.name in sizes else ""
        count += 1
        image = image.replace("<img", f"<img{size}{lazily}", 1)
        if second.name in sizes:
            return full_size(image, source, sizes, "only-light") + full_size(
                image, source, sizes, "only-dark", str(second)
            )
        return f"{before}{image}{after or ''}" if before else full_size(image, source, sizes)

    return FIGURE.sub(link, page)


def stack(file):
    """A figure of several panels gets pictures for phones, one for each theme. file: the picture for the light."""
    second = dark.name(file)
    rows = panels.of(second) if second.exists() else []
    for picture in (file, second) if rows else ():
        panels.stack(Image.open(picture), rows).save(panels.name(picture))


def full_size(image, source, sizes, theme="", instead=""):
    """A picture as a link to itself. theme: the class of a picture for one theme alone; instead: what it shows.

    Where there is one for phones, they show it.
    """
    if theme:
        image = (
            image.replace('class="', f'class="{theme} ') if 'class="' in image else f'<img class="{theme}"{image[4:]}'
        )
    instead = instead or source
    image = image.replace(source, instead)
    stacked = panels.name(PurePosixPath(instead))
    if stacked.name in sizes:
        width, height = sizes[stacked.name]
        phone = f'<source media="{PHONE}" srcset="{stacked}" width="{width}" height="{height}">'
        image = f"<picture>{phone}{image}</picture>"
    return f'<a class="full-size" href="{instead}" title="full size">{image}</a>'


def lighter(file):
    """Pack a picture into 256 colours where that changes none visibly; returns its (width, height).

    Where nothing is drawn, what lies behind shines through; what is half drawn, the rims of letters and lines, is mixed
    with the theme's ground in the dark.
    """
    image = Image.open(file).convert("RGBA")
    empty = np.asarray(image)[..., 3] == 0
    seen = Image.alpha_composite(Image.new("RGBA", image.size, dark.THEME), image).convert("RGB")
    few = seen.quantize(256 - empty.any(), method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    apart = np.abs(np.asarray(few.convert("RGB"), np.int16) - np.asarray(seen)).max(axis=2)
    if apart.max() > FAR or (apart > NEAR).mean() >= 0.002:
        best, options = image if empty.any() else seen, {}
    elif empty.any():
        palette = few.getpalette()
        nothing = len(palette) // 3
        best, options = Image.fromarray(np.where(empty, nothing, few).astype(np.uint8)), {"transparency": nothing}
        best.putpalette([*palette, *ImageColor.getrgb(dark.THEME)])
    else:
        best, options = few, {}
    packed = io.BytesIO()
    best.save(packed, "PNG", optimize=True, **options)
    if packed.tell() < file.stat().st_size:
        file.write_bytes(packed.getvalue())
    return image.size


def cut_icons(html):
    """Leave in the theme's fonts and style sheet the icons that a page, a script or a style names.

    A font that was changed may not keep the name that its licence reserves: it is given another, in styles too.
    """
    (sheet,) = html.glob("_static/vendor/fontawesome/*/css/all.min.css")
    named, painted = set(), set()
    for file in html.rglob("*"):
        if file.suffix not in (".html", ".js", ".css") or "fontawesome" in file.parts or "mathjax" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        named |= set(re.findall(r"\bfa-[\w-]+", text))
        painted |= {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})\b", text)}
        painted |= {ord(letter) for letter in re.findall("[\ue000-\uf8ff]", text)}

    def keep(match):
        if not named & set(re.findall(r"fa-[\w-]+", match[0])):
            return ""
        painted.add(int(match[1], 16) if match[1] else ord(match[2]))
        return match[0]

    sheet.write_text(ICON.sub(keep, sheet.read_text(encoding="utf-8")), encoding="utf-8")
    for style in html.rglob("*.css"):
        style.write_text(FAMILY.sub("Book Icons", style.read_text(encoding="utf-8")), encoding="utf-8")
    for file in (sheet.parent.parent / "webfonts").iterdir():
        font = TTFont(file, recalcTimestamp=False)
        cutter = subset.Subsetter()
        cutter.populate(unicodes=painted)
        cutter.subset(font)
        for name in font["name"].names:
            if name.nameID not in LEGAL:
                name.string = str(name).replace("Font Awesome", "Book Icons").replace("FontAwesome", "BookIcons")
        font.save(file)
    for script in sheet.parent.parent.glob("js/*"):  # which no page asks for
        script.unlink()


def with_words(index, words):
    """The text of the search index, with words that lead to places. words: dict word → list of page#place."""
    start, end = index.index("{"), index.rindex("}") + 1
    content = json.loads(index[start:end])
    for word, places in words.items():
        entries = []
        for place in places:
            page, _, anchor = place.partition("#")
            entries.append([content["docnames"].index(page), anchor, True])
        content["indexentries"][word] = entries + content["indexentries"].get(word, [])
    return index[:start] + json.dumps(content, ensure_ascii=False, separators=(",", ":")) + index[end:]
