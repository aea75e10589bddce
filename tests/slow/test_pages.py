"""Every page of the built book in a browser: in both themes, on a wide screen, on a phone and by double click."""

import gzip
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.book.conftest import PHONE, SHOTS, WIDE
from tools import paths

FILES = [file for part in ("book", "notebooks") for file in sorted((paths.HTML / part).glob("*.html"))]
PAGES = [file.relative_to(paths.HTML).as_posix() for file in FILES]
ALSO = ("region", "empty-table-header")
"""Rules of axe that it does not call serious."""
every_page = pytest.mark.parametrize("name", PAGES or ["index.html"])


def shoot(page, name):
    page.screenshot(path=SHOTS / f"{Path(name).stem}.jpg", full_page=True, type="jpeg", quality=70)


@every_page
def test_it_loads_whole_and_light(page, site, name):
    loaded = []
    page.on("response", lambda answer: loaded.append(answer))  # playwright takes no method of a list
    page.goto(f"{site}/{name}", wait_until="networkidle")
    # as servers send them: text compressed
    weight = sum(len(gzip.compress(answer.body(), 6)) for answer in loaded if answer.url.startswith("http"))
    assert weight < (2.5e6 if "playground" in name else 1.5e6)
    assert page.locator("article, main").first.inner_text()
    if page.locator("span.math, div.math").count():
        assert page.locator("mjx-container").count()  # formulas are set, with no network


@every_page
def test_it_opens_by_double_click(page, name):
    page.goto((paths.HTML / name).as_uri())
    assert page.title()


@pytest.mark.parametrize("theme", ["light", "dark"])
@every_page
def test_everybody_can_read_it(page, site, name, theme):
    page.goto(f"{site}/{name}", wait_until="networkidle")
    page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
    shoot(page, f"{name}-{theme}")
    page.set_viewport_size(PHONE)
    shoot(page, f"{name}-{theme}-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    claims = page.locator("p.claim")  # to be read to their end, without scrolling
    assert all(claims.evaluate_all("(claims) => claims.map((claim) => claim.scrollWidth <= claim.clientWidth)"))
    # axe looks at each of thousands of coloured words: one of each colour says as much
    page.evaluate("""() => {
        const seen = new Set();
        for (const word of document.querySelectorAll("pre span[class], .sig span[class]"))
            if (seen.has(word.className)) word.remove(); else seen.add(word.className);
    }""")
    for size in (PHONE, WIDE):
        page.set_viewport_size(size)
        # what scrolls can be reached by key once the theme has seen the new width, which can take it a while
        page.evaluate("window.dispatchEvent(new Event('resize'))")
        page.wait_for_function("""() => [...document.querySelectorAll("pre")].every(
            (code) => code.tabIndex === 0 || code.scrollWidth <= code.clientWidth)""")
        found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical") or one["id"] in ALSO]
        assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in grave] == []
