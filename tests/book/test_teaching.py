"""What lecturers take along: minutes add up, figures are there, pages print as they should, and keys are right."""

import io
import json
import math
import re
import statistics
from fractions import Fraction

import numpy as np
import pytest
import scipy
from PIL import Image

from tools import chapters, exam, paths, site, teaching
from tools.chapters import BuildError

SESSIONS = teaching.sessions()
every_session = pytest.mark.parametrize("name", SESSIONS)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder in the place of _build."""
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setattr(paths, "SITE", tmp_path / "site")
    return tmp_path


ENDS = """async () => {
    const ends = [];
    for (;; Reveal.next()) {
        await new Promise(requestAnimationFrame);
        const parts = [...Reveal.getCurrentSlide().querySelectorAll(":not(aside)")];
        ends.push(Math.max(...parts.map((part) => part.getBoundingClientRect().bottom)));
        if (Reveal.isLastSlide()) return ends;
    }
}"""
"""How far down what each slide shows ends, in pixels, on a screen 720 high."""


def opened(browser, file, after=""):
    """A page, from a file; and what it asked for elsewhere, or found fault with."""
    page, faults = browser.new_page(viewport={"width": 1280, "height": 720}), []
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(request.url))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or faults.append(asked.url))
    page.goto(file.as_uri() + after, wait_until="networkidle")
    return page, faults


def printed(page):
    """How many pages of paper it takes."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True, print_background=True)))


@every_session
def test_slides_take_as_long_as_the_plan_says(name):
    parts = teaching.parts(SESSIONS[name])
    lasting = [sum(minutes for _, minutes in slides) for slides in parts.values()]
    plan = (paths.BOOK / "instructors.md").read_text(encoding="utf-8")
    (table,) = re.findall(rf"^\| minutes \| session {name[-1]}:.*?\n\n", plan, re.MULTILINE | re.DOTALL)
    rows = [tuple(map(int, row)) for row in re.findall(r"^\| (\d+)–(\d+) \|", table, re.MULTILINE)]
    assert [end - start for start, end in rows] == lasting and sum(lasting) == 90
    assert [start for start, _ in rows] == [0, *(end for _, end in rows[:-1])]
    assert 25 <= sum(map(len, parts.values())) <= 30


def test_the_plan_of_one_session_adds_up():
    plan = (paths.BOOK / "instructors.md").read_text(encoding="utf-8").split("## One session\n")[1].split("\n## ")[0]
    assert sum(map(int, re.findall(r"\((\d+)(?: minutes)?\)", plan))) == 90


def test_slides_are_whole_without_a_network(elsewhere, browser):
    folder = teaching.write_slides()
    for name, text in SESSIONS.items():
        count = 1 + sum(map(len, teaching.parts(text).values()))  # and the title
        page, faults = opened(browser, folder / f"{name}.html")
        assert page.evaluate("Reveal.getTotalSlides()") == count == page.locator("aside.notes").count()
        widths = page.locator("img").evaluate_all("(all) => all.map((one) => one.naturalWidth && one.alt.length)")
        assert len(widths) == len(teaching.FIGURE.findall(text)) >= 8 and all(width > 20 for width in widths)
        ends = page.evaluate(ENDS)
        assert len(ends) == count and min(ends) > 100 and max(ends) < 700  # nothing runs off a slide
        paper, more = opened(browser, folder / f"{name}.html", "?print-pdf&pdfMaxPagesPerSlide=1")
        paper.wait_for_selector("mjx-container", state="attached")
        paper.wait_for_selector(".pdf-page")
        assert printed(paper) == count and faults + more == []


@pytest.mark.parametrize(
    "text, told",
    [
        ("## A\n\n![](fig-none)\n", "no figure fig-none"),
        ("{glue:text}`01.none`", "'01.none', which nothing glued"),
        ("{{ none }}", "nothing stands for none"),
    ],
)
def test_what_the_book_has_not_stops_it(text, told):
    with pytest.raises(BuildError, match=told):
        teaching.ready(text, "a session")


def test_a_slide_without_minutes_is_found():
    with pytest.raises(BuildError, match=r"'Late'.*minutes"):
        teaching.parts("# A\n\n## Early\n\n:::{revealjs-notes}\n5 min. Say it.\n:::\n\n### Late\n\nNo notes.\n")


def test_every_named_figure_is_in_the_pack(elsewhere):
    folder = teaching.write_figures()
    texts = [(paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8") for name in chapters.names()]
    names = [f"{name}.png" for text in texts for name in re.findall(r"^    name: (fig-[\w-]+)$", text, re.MULTILINE)]
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert [one["file"] for one in index] == [*names, "flow.svg", "model.svg"] and len(names) > 40
    assert all(Image.open(folder / name).width > 200 for name in names)
    for one in index:
        assert one["alt"] and one["caption"] and "CC BY 4.0" in one["licence"] and "{" not in one["caption"]
        assert "CC BY-SA 3.0" in one["exception"] and (folder / one["file"]).stat().st_size > 1000


def test_lab_sheets_take_two_pages_and_answers_lie_apart(elsewhere, browser):
    folder = teaching.write_handouts()
    sheets = sorted(folder.glob("*.html"))
    assert [sheet.stem for sheet in sheets] == ["lab-1", "lab-2"]
    for sheet in sheets:
        page, faults = opened(browser, sheet)
        assert printed(page) == 2 and faults == [] and page.locator(".box").count() >= 8
        assert all(page.locator("img").evaluate_all("(all) => all.map((one) => one.naturalWidth > 0)"))
        assert "Expected" not in page.content()
    matrix = page.locator(".covered tr")
    assert matrix.count() == 5 and matrix.nth(4).locator("td").all_inner_texts()[1:] == [""] * 9
    worlds = matrix.nth(0).locator("th").all_inner_texts()[1:]
    assert page.locator("li strong").all_inner_texts() == worlds  # what each of them is
    apart = "".join(file.read_text(encoding="utf-8") for file in (folder / "lecturers").glob("*.html"))
    assert "Expected." in apart and "Sample B" in apart
    told = teaching.weakest()
    letters = [told["refused"][told["scores"].index(one)][0] for one in ("norm", "relative norm")]
    assert told["worlds"][0] == "letters" and 2.6 < letters[0] / letters[1] < 3.5  # sample A says: only a third


def test_the_page_has_none_of_it(elsewhere):
    site.write_pages()
    site.write_prose(chapters.committed())
    text = "".join(file.read_text(encoding="utf-8") for file in (elsewhere / "site").rglob("*.md"))
    assert "make exam" in text and "Sample B" not in text and "*Expected.*" not in text
    assert text.count("not measured") > len(chapters.names()) and "{{" not in text  # the minutes in Colab


def ceiling(value):
    return -(-value.numerator // value.denominator)


def otsu(counts):
    """By the other half of Otsu's argument: the cut whose two groups vary least within themselves."""
    picture = np.repeat(np.arange(6), counts)
    within = [sum(len(part) * part.var() for part in (picture[picture <= c], picture[picture > c])) for c in range(5)]
    cut = int(np.argmin(within))
    return cut, (picture > cut).sum()


def conformal(alpha, n):
    alpha = Fraction(str(alpha))
    rank = ceiling((n + 1) * (1 - alpha))
    needs = next(m for m in range(1, 2000) if ceiling((m + 1) * (1 - alpha)) <= m)
    return rank, needs, 1 - Fraction(rank, n + 1)


def cost(known, unknown, lines, share, ratio):
    for line in lines:
        alarms, missed = sum(k > line for k in known) / 6, sum(u <= line for u in unknown) / 4
        yield alarms * (1 - share) + missed * share * ratio


def confusion(matrix):
    right = [matrix[i][i] for i in range(4)]
    known, unknown = sum(map(sum, matrix[:3])), sum(matrix[3])
    return sum(right[:3]) / known, right[3] / unknown, sum(right) / (known + unknown)


def discoveries(p_values, share):
    called = scipy.stats.false_discovery_control(p_values) <= share + 1e-9
    return called.sum(), max(np.array(p_values)[called])


def pairs(first, second):
    differences = [b - a for a, b in zip(first, second, strict=True)]
    return statistics.mean(differences), statistics.stdev(differences)


EVERY = {template(exam.random.Random(0)).chapter for template in exam.TEMPLATES}
AGAIN = {
    "softmax": lambda logits: (p := max(scipy.special.softmax(logits)), 1 - p),
    "quantile": lambda known, share, new: (
        line := sorted(known)[ceiling(Fraction(str(share)) * 20) - 1],
        sum(value > line for value in new),
    ),
    "auroc": lambda known, unknown: (scipy.stats.mannwhitneyu(unknown, known).statistic / 24,),
    "fpr": lambda known, unknown: (
        sum(u <= max(known) for u in unknown) / 4, sum(k >= min(unknown) for k in known) / 6,
    ),
    "oscr": lambda known, correct, unknown, line: (
        sum(u <= line for u in unknown) / 4,
        sum(k <= line and c for k, c in zip(known, correct, strict=True)) / 6,
    ),
    "openness": lambda training, testing: (1 - math.sqrt(2 * training / (training + testing)),),
    "relative_error": lambda errors: (low := min(errors), low / statistics.mean(sorted(errors)[1:])),
    "gram": lambda maps: [np.dot(maps[i], maps[j]) / 8 for i, j in ((0, 0), (1, 0), (1, 1))],
    "parameters": lambda inputs, outputs, first, second: (
        9 * first * second + second, 2 * second, (inputs + 1) * outputs,
    ),
    "otsu": otsu,
    "mean_std": lambda known, k: (statistics.mean(known) + k * statistics.pstdev(known), 1 / (1 + k * k)),
    "conformal": conformal,
    "cost": lambda **given: list(cost(**given)),
    "confusion": confusion,
    "p_value": lambda calibration, new: [(1 + sum(c >= value for c in calibration)) / 20 for value in new],
    "union": lambda alphas, p_values: (
        total := sum(alphas), min(1, *(p * total / a for p, a in zip(p_values, alphas, strict=True))),
    ),
    "mixture": lambda refused, shares: [
        Fraction(str(share)) * refused[0] / 200 + (1 - Fraction(str(share))) * refused[1] / 200 for share in shares
    ],
    "paired": pairs,
    "none_of": lambda n: (scipy.stats.binomtest(0, n).proportion_ci(method="exact").high, 3 / n),
    "dirty": lambda alpha, dirt: ((1e6 * alpha - 1e6 * dirt) / (1e6 - 1e6 * dirt), 1e6 * alpha / (1e6 - 1e6 * dirt)),
    "discoveries": discoveries,
}  # fmt: skip
"""How to work out each question's answer again, without osrlib."""


def given_numbers(given):
    for value in given if isinstance(given, list) else [given]:
        if isinstance(value, list):
            yield from given_numbers(value)
        elif not isinstance(value, bool):
            yield value


@pytest.mark.parametrize("template", exam.TEMPLATES, ids=lambda template: template.__name__)
def test_keys_are_right(template):
    texts = set()
    for seed in range(8):
        one = template(exam.random.Random(seed))
        again = AGAIN[template.__name__](**one.given)
        np.testing.assert_allclose(np.array(one.values, float), np.array(again, float), rtol=1e-6, atol=1e-9)
        for value in (value for given in one.given.values() for value in given_numbers(given)):
            forms = {f"{value:g}", f"{value:.2f}", f"{value:.3f}", f"{100 * value:g} %"}
            assert any(re.search(rf"(?<![\d.]){re.escape(form)}(?![\d])", one.text) for form in forms), value
        texts.add(one.text)
    assert len(texts) >= 4 and "(a)" in one.text and "(b)" in one.text and "(b)" in one.why


def test_exams_differ_by_seed_and_keys_lie_apart(elsewhere, monkeypatch, capsys):
    first, second = exam.texts("a seed", EVERY), exam.texts("another", EVERY)
    assert first == exam.texts("a seed", EVERY) and first[0] != second[0] and first[1] != second[1]
    orders = {tuple(one.title for one in exam.questions(str(seed), EVERY)) for seed in range(10)}
    assert len(orders) == 10
    assert "a seed" not in first[0] and "a seed" in first[1]  # who has the seed has the key
    monkeypatch.setattr("sys.argv", ["teaching", "exam", "--seed", "a seed", "--count", "12"])
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    teaching.main()
    files = {file.relative_to(elsewhere).as_posix() for file in elsewhere.rglob("*.*")}
    places = [f"exam/{exam.variant('a seed')}{kind}" for kind in ("/exam", "-key/key")]
    assert files == {f"{place}.{end}" for place in places for end in ("md", "html")}
    asked, told = ((elsewhere / f"{place}.md").read_text("utf-8") for place in places)
    one = exam.questions("a seed", teaching.taught(), 12)[0]
    assert one.text in asked and one.why not in asked and one.why in told
    assert asked.count("## ") == told.count("## ") == 12


def test_exams_ask_what_is_taught():
    plan = (paths.BOOK / "instructors.md").read_text(encoding="utf-8").split("## Two sessions")[1].split("\n## ")[0]
    assert teaching.taught() == sorted(
        {int(number) for number in re.findall(r"^\|.*Chapter (\d+)", plan, re.MULTILINE)}
    )
    for about in (teaching.taught(), [1, 2]):
        asked = {one.chapter for seed in range(20) for one in exam.questions(str(seed), about, 4)}
        assert asked == set(about)
    assert "4 questions on chapters 1 and 2, 20 points" in exam.texts("a seed", [1, 2], 4)[0]


@pytest.mark.parametrize(
    "about, count, told",
    [([1, 2], 7, "count: .* 6 of chapters 1 and 2"), ([1], 0, "count: "), ([1, 10], 1, "chapter 10")],
)
def test_an_exam_that_the_bank_cannot_fill_is_refused(about, count, told):
    with pytest.raises(ValueError, match=told):
        exam.questions("a seed", about, count)
