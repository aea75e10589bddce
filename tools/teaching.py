"""What lecturers take along, from the committed notebooks and from book/teaching. The rendered page has none of it.

    python -m tools.teaching slides     _build/slides: both sessions, with speaker notes
    python -m tools.teaching figures    _build/figures: every named figure and diagram, with caption, alt text, licence
    python -m tools.teaching handouts   _build/handouts: lab sheets; for lecturers alone, expected answers and samples
    python -m tools.teaching exam       _build/exam/NUMBER and, apart, its key: --seed, --count, --chapters

Slides are Markdown: a ``##`` opens a part of the session, a ``###`` a slide, whose notes begin with its minutes.
``![](fig-name)`` is a figure of the book, {glue:text}`01.name:format` a number that chapter 1 glued while it ran,
{{ name }} one of ``PUT_IN``.
"""

import argparse
import functools
import json
import re
import secrets
import shutil
import sys
from html import escape

from markdown_it import MarkdownIt

from osrlib import data
from tools import chapters, exam, pages, paths
from tools.chapters import BuildError

SOURCE = paths.BOOK / "teaching"
STYLE = SOURCE / "style"
LICENCE = "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
EXCEPTION = "An image of a data set that is seen in it stays under the licence of its world: " + ", ".join(
    f"{name} ({world.licence})" for name, world in data.WORLDS.items() if world.sources and world.role != "sealed"
)
DIAGRAMS = {
    "intro": paths.BOOK / "_static" / "flow.svg",
    "05-multitask-autoencoder": paths.ROOT / "osrlib" / "teaching" / "model.svg",
}
"""Drawings that no chapter draws: dict page → file, which holds its own title and description."""
PLACE = re.compile(r"\{\{ (\w+) \}\}")
FIGURE = re.compile(r"!\[\]\((fig-[\w-]+)\)")
CHAPTER = re.compile(r"^## Chapter (\d+)\b", re.MULTILINE)
ASKED = {
    "softmax": "is the classifier unsure?",
    "norm": "is the copy far from the image?",
    "relative norm": "the same, divided by the length of the image",
    "kNN": "is the code far from that of the nearest known image, by direction?",
}
"""The scores whose weakest world students look for on paper, and what each asks."""
HELD_OUT = "Digits of four classes, where the network learnt the other six"
COVERED = re.compile(r'id="osr-matrix-data">(.*?)</script>')
MINUTES = re.compile(r"^:::\{revealjs-notes\}\n(\d+) min\b", re.MULTILINE)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


@functools.cache
def figures():
    """Every named figure, as its committed notebook holds it."""
    return pages.figures(chapters.committed())


@functools.cache
def numbers():
    """What the committed notebooks glued: dict "01.name" → text."""
    return chapters.flatten(chapters.glued_by_number(chapters.committed()))


def sessions():
    """The texts of the sessions' slides: dict name → Markdown."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(SOURCE.glob("session-*.md"))}


def parts(text):
    """The parts of a session: dict title → its slides, each a pair of title and minutes."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        slides = [slide for slide in re.split(r"^###? ", f"## {part}", flags=re.MULTILINE) if slide.strip()]
        pairs = []
        for slide in slides:
            title, minutes = slide.partition("\n")[0], MINUTES.findall(slide)
            if len(minutes) != 1:
                raise BuildError(f"The slide {title!r}: expected notes that begin with its minutes, got {minutes}")
            pairs.append((title, int(minutes[0])))
        found[pairs[0][0]] = pairs
    return found


def ready(text, place):
    """A text with its numbers and figures put in; returns it and the names of the figures."""
    if odd := set(PLACE.findall(text)) - set(PUT_IN):
        raise BuildError(f"{place}: nothing stands for {', '.join(sorted(odd))} in double braces")
    text = PLACE.sub(lambda match: PUT_IN[match[1]](), text)
    text, drawn = chapters.fill(text, numbers(), place), figures()
    if missing := set(FIGURE.findall(text)) - set(drawn):
        raise BuildError(f"{place}: the book has no figure {', '.join(sorted(missing))}")

    def show(match):
        alt = re.sub(r"([\[\]\\])", r"\\\1", drawn[match[1]].alt)
        return f"![{alt}](figures/{match[1]}.png)"

    return FIGURE.sub(show, text), set(FIGURE.findall(text))


def taught():
    """The chapters that the sessions teach, by the headings of their slides."""
    return sorted({int(number) for text in sessions().values() for number in CHAPTER.findall(text)})


def weakest():
    """What the matrix of chapter 8 holds: a dict of its scores, worlds and shares refused."""
    outputs = [output for cell in chapters.committed()["08-beyond"].cells for output in cell.get("outputs", [])]
    pages = "\n".join(output.get("data", {}).get("text/html", "") for output in outputs)
    return json.loads(COVERED.search(pages)[1])


def covered():
    """Some rows of chapter 8's matrix as an empty table: scores down, worlds across."""
    matrix = weakest()
    worlds = matrix["worlds"]
    if odd := set(ASKED) - set(matrix["scores"]):
        raise BuildError(f"The matrix of chapter 8 has no score {', '.join(sorted(odd))}")
    lines = [f"| | {' | '.join(worlds)} |", "|---" * (len(worlds) + 1) + "|"]
    return "\n".join([*lines, *(f"| **{score}**: {asks} {'| ' * len(worlds)}|" for score, asks in ASKED.items())])


def legend():
    """What the worlds of chapter 8's matrix are, a line each."""
    titles = {name: world.title for name, world in data.WORLDS.items()} | {"held-out digits": HELD_OUT}
    return "\n".join(f"- **{name}**: {titles[name]}" for name in weakest()["worlds"])


def of_role(role):
    """The names of the worlds that have a role."""
    return ", ".join(name for name, world in data.WORLDS.items() if world.role == role)


PUT_IN = {"covered": covered, "legend": legend} | {
    role: functools.partial(of_role, role) for role in ("development", "test", "sealed")
}
"""What stands for {{ name }}: dict name → function that writes it."""


def emptied(name):
    """A folder of this name under _build, empty."""
    folder = paths.BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_slides():
    """Both sessions as slides that a double click opens. Returns their folder."""
    from sphinx.application import Sphinx

    source, folder = emptied("slides-source"), emptied("slides")
    (source / "figures").mkdir()
    for name, text in sessions().items():
        text, used = ready(text, name)
        (source / f"{name}.md").write_text(f"---\norphan: true\n---\n\n{text}", encoding="utf-8")
        for figure in used:
            (source / "figures" / f"{figure}.png").write_bytes(figures()[figure].png)
    plugin = {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"}
    settings = {
        "project": "Knowing what you don't know", "language": "en", "root_doc": "session-1",
        "extensions": ["myst_parser", "sphinx-mathjax-offline", "sphinx_revealjs"],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "html_show_sourcelink": False, "html_copy_source": False, "templates_path": [],
        "revealjs_html_theme": "revealjs-simple", "revealjs_style_theme": "white",
        "revealjs_static_path": [str(STYLE)], "revealjs_css_files": ["slides.css"],
        "revealjs_script_conf": {
            "navigationMode": "linear", "slideNumber": "c/t", "hash": True, "transition": "none", "width": 1280,
            "height": 720, "margin": 0.05, "center": False, "pdfSeparateFragments": False,
        },
        "revealjs_script_plugins": [plugin],
    }  # fmt: skip
    built = Sphinx(
        source, None, folder, source / "doctrees", "revealjs", settings, status=None, warningiserror=True
    )  # fmt: skip
    built.build()
    return folder


def diagrams():
    """The drawings that no chapter draws: file, page, caption, alt text and content of each."""
    for page, file in DIAGRAMS.items():
        text = file.read_text(encoding="utf-8")
        title, words = (re.search(rf"<{part} [^>]*>(.*?)</{part}>", text)[1] for part in ("title", "desc"))
        yield file.name, page, f"{title}.", words, text.encode()


def write_figures():
    """Every named figure and diagram as a file, an index for people and one for programs. Returns their folder."""
    folder, rows, index = emptied("figures"), [], []
    for file, page, caption, alt, content in [
        *((f"{name}.png", one.chapter, one.caption, one.alt, one.png) for name, one in figures().items()),
        *diagrams(),
    ]:
        (folder / file).write_bytes(content)
        index.append(
            {"file": file, "chapter": page, "caption": caption, "alt": alt, "licence": LICENCE, "exception": EXCEPTION}
        )
        rows.append(f"## {file}\n\n![{alt}]({file})\n\n{caption}\n\nChapter: {page}\n")
    head = (
        f"# The figures of *Knowing what you don't know*\n\n{len(index)} figures under {LICENCE}: say where they are "
        f"from, and what you changed. {EXCEPTION}. The book's page *Licences* has more. Figures are PNG, as the "
        "committed notebooks hold them; diagrams are SVG.\n\n"
    )
    (folder / "index.md").write_text(head + "\n".join(rows), encoding="utf-8")
    (folder / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")
    shutil.copy(paths.ROOT / "LICENSE-TEXT", folder)
    return folder


def sheet(text):
    """A Markdown text as a page of HTML that stands alone and prints on A4."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    title = re.search(r"^# (.*)", text, re.MULTILINE)[1]
    return PAGE.format(title=escape(title), style=(STYLE / "sheet.css").read_text(encoding="utf-8"), body=body)


def write_handouts():
    """Lab sheets; apart from them, what students must not see. Returns the folder."""
    folder = emptied("handouts")
    for file in sorted(SOURCE.glob("*.md")):
        if file.stem in sessions():
            continue
        place = folder if file.stem.startswith("lab-") else folder / "lecturers"
        place.mkdir(exist_ok=True)
        text, used = ready(file.read_text(encoding="utf-8"), file.name)
        for name in used:
            (place / "figures").mkdir(exist_ok=True)
            (place / "figures" / f"{name}.png").write_bytes(figures()[name].png)
        (place / f"{file.stem}.html").write_text(sheet(text), encoding="utf-8")
    return folder


def write_exam(seed, about, count):
    """An exam and, in a folder of its own, its key; each as Markdown and as a page. Returns the folder of the exam."""
    name = str(exam.variant(seed))  # browsers print a file's address
    for kind, place, text in zip(("exam", "key"), (name, f"{name}-key"), exam.texts(seed, about, count), strict=True):
        folder = emptied(f"exam/{place}")
        (folder / f"{kind}.md").write_text(text, encoding="utf-8")
        (folder / f"{kind}.html").write_text(sheet(text), encoding="utf-8")
    return paths.BUILD / "exam" / name


def main():
    """Run the command that was asked for."""
    sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m tools.teaching", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["slides", "figures", "handouts", "exam"])
    parser.add_argument("--seed", help="of an exam: any word or number (default: one that nobody can guess)")
    parser.add_argument("--count", type=int, default=6, help="how many questions (default: 6)")
    parser.add_argument("--chapters", type=int, nargs="+", help="of which chapters (default: those that slides teach)")
    arguments = parser.parse_args()
    try:
        if arguments.command == "exam":
            asked = arguments.chapters or taught()
            folder = write_exam(arguments.seed or secrets.token_hex(8), asked, arguments.count)
            print(f"The exam on {exam.named(asked)} is in {folder}, its key in {folder}-key")
        else:
            write = {"slides": write_slides, "figures": write_figures, "handouts": write_handouts}
            print(f"Wrote {write[arguments.command]()}")
    except (BuildError, ValueError) as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
