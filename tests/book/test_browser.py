"""The built page in a real browser: drawn digits, dragged lines, no error and no request that leaves the machine.

Needs the page that ``make book`` builds, and Chromium or Chrome. Under CI a missing one is a failure; elsewhere the
tests are skipped with a word on how to get it. What the browser showed is kept in ``_build/screenshots``.
"""

import functools
import gzip
import http.server
import io
import json
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osrlib import data, folder, metrics, models, plots, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from tests.conftest import need

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import build  # noqa: E402

HTML, SHOTS = ROOT / "_build" / "html", ROOT / "_build" / "screenshots"
PAGES = sorted(str(file.relative_to(HTML)) for part in ("book", "notebooks") for file in (HTML / part).glob("*.html"))
CHAPTER, PLAYGROUND = "notebooks/06-drawing-the-line.html", "book/playground.html"
WIDE = {"width": 1280, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def site():
    need((HTML / "index.html").exists(), "there is no built page: run make book")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from playwright import sync_api

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    need(program, "there is no browser: apt install chromium, or install Chrome")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as running:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        opened = running.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, site):
    """A page that notes console errors, requests to elsewhere and missing files: ``page.faults``."""
    opened = browser.new_page(viewport=WIDE, reduced_motion="reduce")
    opened.faults = []
    opened.on("console", lambda said: said.type == "error" and opened.faults.append(said.text))
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on("response", lambda answer: answer.status >= 400 and opened.faults.append(f"{answer.status} {answer.url}"))
    opened.on("requestfailed", lambda request: opened.faults.append(f"failed: {request.url}"))
    here = (site, "file:", "data:", "blob:")
    opened.on("request", lambda request: request.url.startswith(here) or opened.faults.append(request.url))
    yield opened
    assert not opened.faults
    opened.close()


def answers(page, images):
    """What the page's network says of images: logits, copies, norms and diffs, one row an image."""
    got = page.evaluate(
        """(pixels) => {
            const weights = osr.decode(osr.WEIGHTS);
            return JSON.stringify(JSON.parse(pixels).map((one) => {
                const said = osr.forward(weights, one);
                return [[...said.logits], [...said.copy], osr.norm(one, said.copy), osr.diff(one, said.copy)];
            }));
        }""",
        json.dumps(images.reshape(len(images), -1).tolist()),
    )
    return [np.array(part) for part in zip(*json.loads(got), strict=True)]


def test_the_forward_pass_equals_pytorchs(page, site):
    worlds, _ = data.load_all(["mnist", "letters", "fashion", "patches", "noise"])
    images = np.concatenate([world.sample(1000 // len(worlds), seed=3).images for world in worlds.values()])
    said = models.infer(zoo.load("mtae"), images)
    page.goto(f"{site}/{PLAYGROUND}")
    logits, copies, norms, diffs = answers(page, images)
    assert np.abs(logits - said.logits).max() < 1e-4
    assert np.abs(copies - said.reconstruction.reshape(len(images), -1)).max() < 1e-4
    assert np.abs(norms - scores.norm(said)).max() < 1e-4
    # a pixel of the copy may lie within 1e-5 of the level, on either side
    near = np.abs(said.reconstruction - 0.5) < 1e-5
    assert (np.abs(diffs - scores.diff(said)) <= near.sum((1, 2))).all()
    rule = OpenSetClassifier(zoo.load("mtae"), [scores.norm, scores.diff], [thresholds.MeanStd(), thresholds.MeanStd()])
    decision = rule.fit(data.load("mnist", "train").images).decide_output(said)
    lines = page.evaluate("osr.LINES")
    np.testing.assert_allclose(list(lines.values()), [line.value for line in rule.thresholds], rtol=1e-5)
    mine = np.where((norms > lines["norm"]) | (diffs > lines["diff"]), 10, logits.argmax(1))
    assert (mine == decision.labels).mean() >= 0.999
    assert 0 < (mine == 10).mean() < 1


def drawings():
    """Pictures of many sizes and shades, grey levels [height, width]."""
    random = np.random.default_rng(0)
    digits = data.load("mnist").sample(12, seed=4).images
    for i, digit in enumerate(digits):
        height, width = random.integers(30, 200, 2)
        large = np.asarray(Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC))
        yield large if i % 2 else 255 - large
    yield random.integers(0, 256, (40, 60), dtype=np.uint8)
    yield np.tile(np.arange(0, 250, 2, dtype=np.uint8), (90, 1))
    yield from (np.zeros((28, 28), np.uint8), np.full((1, 1), 9, np.uint8))


def test_pictures_are_prepared_as_the_library_does(page, site):
    page.goto(f"{site}/{PLAYGROUND}")
    for picture in drawings():
        grey = (picture / 255).ravel().tolist()
        got = page.evaluate(
            "([grey, height, width]) => [...osr.toMnist({ grey, height, width })]", [grey, *picture.shape]
        )
        away = np.abs(np.array(got) - folder.to_mnist(picture).ravel().astype(int))
        assert away.max() <= 1


def test_pasted_digits_are_read_as_python_reads_them(page, site):
    digits = data.load("mnist").sample(100, seed=5)
    rule = OpenSetClassifier(zoo.load("mtae"), [scores.norm, scores.diff], [thresholds.MeanStd(), thresholds.MeanStd()])
    wanted = rule.fit(data.load("mnist", "train").images).predict(digits.images)
    page.goto(f"{site}/{PLAYGROUND}")
    got = page.evaluate(
        "(digits) => digits.map((one) => { osr.ready.take(one); return osr.ready.look(); })",
        digits.images.reshape(100, -1).tolist(),
    )
    agree = (np.array([10 if one == "unknown" else one for one in got]) == wanted).sum()
    assert agree >= 95


def draw(page, *strokes):
    """Draw by real mouse events; points are shares of the board."""
    board = page.locator(".osr-board")
    board.scroll_into_view_if_needed()
    box = board.bounding_box()
    for points in strokes:
        for i, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if i == 0:
                page.mouse.down()
        page.mouse.up()


SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
ZIGZAG = [(0.1 + 0.8 * (i % 2), 0.1 + 0.1 * i) for i in range(9)]
SCRIBBLE = [ZIGZAG, [(y, x) for x, y in ZIGZAG]]


@pytest.mark.parametrize("way", ["served", "file"])
def test_a_drawn_seven_is_read_and_a_scribble_refused(page, site, way):
    page.goto(f"{site}/{PLAYGROUND}" if way == "served" else (HTML / PLAYGROUND).as_uri())
    verdict, reason = page.locator(".osr-verdict"), page.locator(".osr-reason")
    assert verdict.inner_text() == "Nothing is drawn yet." and reason.inner_text() == ""
    page.evaluate("""() => {
        const board = document.querySelector(".osr-board"), verdict = document.querySelector(".osr-verdict");
        board.addEventListener("pointerdown", () => { osr.start = performance.now(); }, { capture: true, once: true });
        new MutationObserver((_, watch) => { osr.first = performance.now() - osr.start; watch.disconnect(); })
            .observe(verdict, { childList: true });
    }""")
    draw(page, SEVEN)
    assert verdict.inner_text() == "a 7" and "below their lines" in reason.inner_text()
    assert page.evaluate("osr.first") < 300  # milliseconds
    # book/_static/playground.png, which stands in the page where JavaScript is off, is a copy of this
    page.locator("#osr-playground").screenshot(path=SHOTS / f"playground-{way}.png")
    page.get_by_role("button", name="Clear").click()
    assert verdict.inner_text() == "Nothing is drawn yet."
    draw(page, *SCRIBBLE)
    assert verdict.inner_text() == "unknown" and reason.inner_text().startswith("Refused")
    page.screenshot(path=SHOTS / f"playground-{way}-scribble.png")


def test_touch_draws_too(browser, site):
    phone = browser.new_context(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto(f"{site}/{PLAYGROUND}")
    board = page.locator(".osr-board")
    board.scroll_into_view_if_needed()
    board.tap()
    assert page.locator(".osr-verdict").inner_text() != "Nothing is drawn yet."
    page.screenshot(path=SHOTS / "playground-phone.png")
    phone.close()


def test_the_tray_and_the_gauges_answer_to_the_keyboard(page, site):
    page.goto(f"{site}/{PLAYGROUND}")
    verdict = page.locator(".osr-verdict")
    page.get_by_role("button", name="digits, number 1", exact=True).focus()
    page.keyboard.press("Enter")
    assert verdict.inner_text().startswith("a ")
    page.locator("#osr-norm").focus()
    page.keyboard.press("Home")  # a line at zero refuses everything
    assert verdict.inner_text() == "unknown" and "norm" in page.locator(".osr-reason").inner_text()
    page.get_by_role("button", name="Lines of chapter 6").click()
    assert verdict.inner_text().startswith("a ")
    refused = 0
    for i in range(6):
        page.get_by_role("button", name=f"noise, number {i + 1}", exact=True).click()
        refused += verdict.inner_text() == "unknown"
    assert refused == 6


def png(array, mode=None):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "PNG")
    return file.getvalue()


def test_uploads_good_and_bad(page, site):
    page.goto(f"{site}/{PLAYGROUND}")
    message, verdict = page.locator(".osr-message"), page.locator(".osr-verdict")
    field = page.locator("input[type=file]")

    def upload(name, content):
        field.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
        page.wait_for_selector(".osr-verdict[aria-busy=false]", timeout=20_000)

    digits = data.load("mnist")
    seven = np.kron(255 - digits.images[0], np.ones((10, 10), np.uint8))
    upload("seven.png", png(seven))
    assert verdict.inner_text() == "a 7" and message.inner_text() == ""
    upload("notes.png", b"Dear diary, this is no picture.")
    assert "notes.png cannot be read as an image" in message.inner_text()
    assert verdict.inner_text() == "a 7"
    upload("huge.png", png(np.zeros((10_000, 9_000), np.uint8)))
    assert "huge.png has more than 80 million pixels" in message.inner_text()
    upload("blank.png", png(np.full((50, 50), 255, np.uint8)))
    assert "blank.png holds nothing" in message.inner_text() and verdict.inner_text() == "Nothing is drawn yet."
    clear = np.zeros((280, 280, 4), np.uint8)
    clear[..., 3] = 255 - seven  # black ink on nothing
    upload("clear.png", png(clear))
    assert verdict.inner_text() == "a 7" and message.inner_text() == ""
    upload("empty.png", png(np.zeros((20, 20, 4), np.uint8)))
    assert "empty.png holds nothing" in message.inner_text()
    page.faults[:] = [fault for fault in page.faults if not fault.startswith("failed: blob:")]  # notes.png


def test_without_javascript_the_pages_say_what_would_be_there(browser, site):
    silent = browser.new_context(java_script_enabled=False)
    page = silent.new_page()
    page.goto(f"{site}/{PLAYGROUND}")
    assert "needs JavaScript" in page.locator("#osr-playground").inner_text()
    still = page.locator("#osr-playground img")
    assert still.is_visible() and len(still.get_attribute("alt")) > 40
    page.goto(f"{site}/{CHAPTER}")
    assert "JavaScript" in page.locator("#osr-explorer").inner_text()
    silent.close()


@pytest.fixture(scope="module")
def distances():
    """What Python says of all images of the explorer's worlds: name → norm, diff, right."""
    worlds, _ = data.load_all(["mnist", "fashion", "cifar10", "letters"])
    told = {}
    for name, world in worlds.items():
        said = models.infer(zoo.load("mtae"), world.images)
        told[name] = scores.norm(said), scores.diff(said), said.logits.argmax(1), world.labels
    return told


@pytest.mark.parametrize("lines", [(5.0, 60), (0.0, 0), (20, 400), (7.25, 31)])
def test_the_explorer_counts_as_python_does(page, site, distances, lines):
    page.goto(f"{site}/{CHAPTER}")
    got = page.evaluate(
        "([norm, diff]) => { Object.assign(osr.explored.lines, { norm, diff }); return osr.explored.count(); }",
        list(lines),
    )
    true, predicted = [], []
    for row in got["rows"]:
        norm, diff, guess, labels = distances[row["name"]]
        refused = thresholds.any_of(norm > lines[0], diff > lines[1])
        assert row["refused"] == refused.sum() and row["images"] == len(norm)
        if row["name"] != "letters":
            true.append(labels if row["name"] == "mnist" else np.full(len(norm), 10))
            predicted.append(np.where(refused, 10, guess))
    report = metrics.osr_report(np.concatenate(true), np.concatenate(predicted))
    np.testing.assert_allclose([got["mnist"], got["ood"], got["total"]], [report.mnist, report.ood, report.total])


def css(colour):
    """#0072B2 as a browser tells it."""
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


def test_the_explorer_draws_each_world_in_the_colour_of_the_figures(page, site):
    page.add_init_script("""
        window.points = [];
        const { fillRect } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillRect = function (x, y, ...size) {
            points.push([x, y, this.fillStyle]);
            fillRect.call(this, x, y, ...size);
        };
    """)
    page.goto(f"{site}/{CHAPTER}")
    drawn = page.evaluate("""() => osr.explored.worlds.map(({ name, norm, diff }) => {
        const { norm: x, diff: y } = osr.explored.place({ norm: norm[0], diff: diff[0] });
        const there = points.filter((point) => point[0] === x - 1.5 && point[1] === y - 1.5);
        return [name, there.map(([, , colour]) => colour)];
    })""")
    assert {"mnist", "letters"} <= {name for name, _ in drawn}
    for name, colours in drawn:  # of the world's first point, and of what else lies there
        assert plots.COLOURS[name].lower() in colours
    wanted = {plots.COLOURS[name].lower() for name, _ in drawn}
    assert set(page.evaluate("points.map(([, , colour]) => colour)")) == wanted
    told = page.locator("#osr-explorer tr:has(.osr-swatch)").evaluate_all(
        """(rows) => rows.map((row) => [row.querySelector("th").textContent,
            getComputedStyle(row.querySelector(".osr-swatch")).backgroundColor])"""
    )
    assert dict(told) == {name: css(plots.COLOURS[name]) for name, _ in drawn}


def test_the_playground_paints_in_the_colours_of_the_figures(page, site):
    page.goto(f"{site}/{PLAYGROUND}")
    verdict, fill = page.locator(".osr-verdict"), page.locator(".osr-gauge .osr-fill").first
    for button, colour in (("digits, number 1", plots.BLUE), ("noise, number 1", plots.VERMILION)):
        page.get_by_role("button", name=button, exact=True).click()
        assert verdict.evaluate("(element) => getComputedStyle(element).borderLeftColor") == css(colour)
        assert fill.evaluate("(element) => getComputedStyle(element).backgroundColor") == css(colour)
    pixels = page.get_by_role("img", name="Where they differ").evaluate(
        "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data]"
    )
    seen = {tuple(pixel) for pixel in np.array(pixels).reshape(-1, 4)[:, :3]}
    assert seen == {(0, 0, 0), *(tuple(bytes.fromhex(colour[1:])) for colour in (plots.ORANGE, plots.SKY))}


def test_a_dragged_line_changes_the_counts(page, site):
    page.goto(f"{site}/{CHAPTER}", wait_until="networkidle")  # formulas and pictures above move the board
    board, total = page.locator(".osr-scatter"), page.locator("#osr-told-total")
    before, lines = total.inner_text(), page.evaluate("({ ...osr.explored.lines })")
    page.get_by_role("button", name="The report's lines").click()
    assert total.inner_text() == before
    board.evaluate("(board) => board.scrollIntoView({ block: 'center' })")  # clear of the header that stays on top
    box, place = board.bounding_box(), page.evaluate("osr.explored.place(osr.explored.lines)")
    scale = box["width"] / page.evaluate("document.querySelector('.osr-scatter').width")
    x, y = box["x"] + scale * place["norm"], box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=5)
    page.mouse.up()
    moved = page.evaluate("({ ...osr.explored.lines })")
    assert moved["norm"] > lines["norm"] + 0.5 and moved["diff"] == lines["diff"]
    assert total.inner_text() != before
    board.screenshot(path=SHOTS / "explorer.png")
    after = total.inner_text()
    page.locator("#osr-line-diff").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate("osr.explored.lines.diff") < lines["diff"] - 3 and total.inner_text() != after
    page.locator("#osr-factor").focus()
    page.keyboard.press("ArrowRight")
    spread = page.evaluate("osr.DISTANCES.mean.norm + 2.1 * osr.DISTANCES.std.norm")
    assert page.evaluate("osr.explored.lines.norm") == pytest.approx(spread)


class TestEveryPage:  # in a class of its own, so that these run beside the others
    @pytest.mark.parametrize("name", PAGES or ["index.html"])
    def test_it_is_sound(self, page, site, name):
        from axe_playwright_python.sync_playwright import Axe

        loaded = []
        page.on("response", lambda answer: loaded.append(answer))
        page.goto(f"{site}/{name}", wait_until="networkidle")
        # as servers send them: text compressed
        weight = sum(len(gzip.compress(answer.body(), 6)) for answer in loaded if answer.url.startswith("http"))
        assert weight < (2.5e6 if name == PLAYGROUND else 1.5e6)
        assert page.locator("article, main").first.inner_text()
        assert page.locator("img:not([alt])").count() == 0
        if page.locator("span.math, div.math").count():
            assert page.locator("mjx-container").count()  # formulas are set, with no network
        stem = SHOTS / Path(name).stem
        for theme in ("dark", "light"):
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
            page.screenshot(path=f"{stem}-{theme}.jpg", full_page=True, type="jpeg", quality=70)
        page.set_viewport_size({"width": 375, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        verdicts = page.locator(".tag_verdict .cell_output pre")  # to be read to their end, without scrolling
        assert all(verdicts.evaluate_all("(lines) => lines.map((line) => line.scrollWidth <= line.clientWidth)"))
        assert verdicts.count() or not name.startswith("notebooks/")
        page.screenshot(path=f"{stem}-phone.jpg", full_page=True, type="jpeg", quality=70)
        page.set_viewport_size(WIDE)
        # axe looks at each of thousands of coloured words: one of each colour says as much
        page.evaluate("""() => {
            const seen = new Set();
            for (const word of document.querySelectorAll("pre span[class], .sig span[class]"))
                if (seen.has(word.className)) word.remove(); else seen.add(word.className);
        }""")
        # what scrolls can be reached by key once the theme has seen the new width, which can take it a while
        page.evaluate("window.dispatchEvent(new Event('resize'))")
        page.wait_for_function("""() => [...document.querySelectorAll("pre")].every(
            (code) => code.tabIndex === 0 || code.scrollWidth <= code.clientWidth)""")
        for theme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
            found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False} | rules)
            grave = [
                f"{one['id']}: {one['nodes'][0]['html'][:200]}"
                for one in found.response["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert not grave, f"{theme}: {grave}"

    @pytest.mark.parametrize("name", PAGES or ["index.html"])
    def test_it_opens_by_double_click(self, page, name):
        page.goto((HTML / name).as_uri())
        assert page.title()


def test_search_finds(page, site):
    page.goto(f"{site}/search.html?q=conformal")
    page.wait_for_selector("#search-results li")
    assert page.locator("#search-results li a", has_text="Drawing the line").count()


def test_print_leaves_the_text(page, site):
    page.goto(f"{site}/{CHAPTER}")
    page.emulate_media(media="print")
    for hidden in (".bd-sidebar-primary", ".bd-header-article", ".osr-tools", "#osr-explorer input"):
        for one in page.locator(hidden).all():
            assert not one.is_visible()
    assert page.locator("article h1, main h1").first.is_visible()
    page.pdf(path=SHOTS / "chapter-6.pdf")


def test_the_page_to_take_along():
    file = ROOT / "_build" / f"{build.ARCHIVE}.zip"
    need(file.exists(), "there is no built page: run make book")
    with zipfile.ZipFile(file) as archive:
        assert {"html/index.html", f"html/{PLAYGROUND}", "html/playground/weights.js"} <= set(archive.namelist())
        assert archive.testzip() is None


def test_card_and_icon(page, site):
    page.goto(f"{site}/book/intro.html")
    assert page.locator("meta[property='og:image']").get_attribute("content").endswith("_static/card.png")
    assert Image.open(HTML / "_static" / "card.png").size == (1200, 630)
    icon = page.locator("link[rel~='icon']").get_attribute("href")
    assert page.request.get(f"{site}/book/{icon}").ok
