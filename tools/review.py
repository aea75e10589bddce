"""A journal's questions to a learning module, asked of this repository: what holds, and what needs people.

    python -m tools.review

The points are those that the Journal of Open Source Education has its reviewers look at, in our words. Each is looked
at: in files, in committed notebooks, in the code. What only people can say is named, not judged. The exit status is 1
where a point fails that needs nobody.
"""

import ast
import importlib
import re
import subprocess
import sys
import textwrap
from typing import NamedTuple

import nbformat
import yaml

import osrlib
from osrlib import data, scores, zoo
from osrlib.teaching import exercises
from tools import chapters, execute, pages, paths

MISSING = re.compile(r"TO BE SUPPLIED: [^\"\n.]+")
"""What only people can supply, as the paper marks it."""
SECTIONS = (
    "Summary", "Statement of need", "Learning objectives", "Content and instructional design",
    "The story of the project", "Experience of use", "How to adopt it",
)  # fmt: skip
FRONT = ("title", "tags", "authors", "affiliations", "date", "bibliography")
SLOWEST, WORDS = 300, (1_000, 8_000)
"""Seconds that a chapter may take, and words that it may have."""


class Point(NamedTuple):
    """A question, what looks for the answer (what holds, as text, or a :class:`Fault`), and what needs people."""

    part: str
    question: str
    look: object
    people: object = None


class Fault(Exception):
    """What does not hold."""


def wanted(holds, fault):
    """Raise a :class:`Fault` where something does not hold."""
    if not holds:
        raise Fault(fault)


def read(name):
    """A file of the repository, as text."""
    file = paths.ROOT / name
    wanted(file.is_file() and file.stat().st_size, f"{name} is missing or empty")
    return file.read_text(encoding="utf-8")


def committed():
    """The committed notebooks: dict chapter → notebook."""
    return {name: nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4) for name in chapters.names()}


def without(texts, part):
    """The chapters whose text lacks a part."""
    return [name for name, text in texts.items() if not re.search(part, text)]


def sources():
    """The texts of the chapters: dict chapter → text."""
    return {name: read(f"book/chapters/{name}.md") for name in chapters.names()}


# ---------------------------------------------------------------------------------------------------------------------
# General checks


def licence():
    wanted("Permission is hereby granted, free of charge" in read("LICENSE"), "LICENSE is not the MIT licence")
    wanted("Attribution 4.0 International" in read("LICENSE-TEXT"), "LICENSE-TEXT is not CC BY 4.0")
    named = yaml.safe_load(read("CITATION.cff"))["license"]
    wanted(named == ["MIT", "CC-BY-4.0"], f"CITATION.cff names {named}")
    return "MIT for code, CC BY 4.0 for text; CITATION.cff says the same"


def repository():
    address = chapters.config()["repository"]["url"]
    wanted(yaml.safe_load(read("CITATION.cff"))["repository-code"] == address, "CITATION.cff has another address")
    return address


def version():
    number = yaml.safe_load(read("CITATION.cff"))["version"]
    wanted(number == osrlib.__version__, f"CITATION.cff says {number}, the package {osrlib.__version__}")
    wanted("## Unreleased" in read("CHANGELOG.md"), "CHANGELOG.md has no place for what comes next")
    return f"{number} in package and CITATION.cff"


def tags():
    command = ["git", "tag", "--list", f"v{osrlib.__version__}"]
    tagged = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return [] if tagged else [f"make release VERSION={osrlib.__version__}, and an archive with a DOI"]


def authors():
    named = yaml.safe_load(read("CITATION.cff"))["authors"]
    wanted(named, "CITATION.cff names nobody")
    wanted("Yuval Reuveni" in read("book/credits.md"), "The report's authors are not credited")
    return f"CITATION.cff names {len(named)}; the report's authors are credited"


def persons():
    named = yaml.safe_load(read("CITATION.cff"))["authors"]
    return [] if all("family-names" in one for one in named) else ["the authors' names in CITATION.cff"]


# ---------------------------------------------------------------------------------------------------------------------
# Documentation


def installation():
    told = set(re.findall(r"\bmake ([a-z][a-z-]+)", read("README.md") + read("book/running.md")))
    made = set(" ".join(re.findall(r"^([a-z][a-z -]*):.*## ", read("Makefile"), re.MULTILINE)).split())
    wanted({"book", "test"} <= told <= made, f"README or running.md name what make does not: {sorted(told - made)}")
    return f"{len(told)} commands are explained, and make knows them all"


def usage():
    count = 0
    for block in re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for one in node.names:
                    wanted(hasattr(module, one.name), f"README: {node.module} has no {one.name}")
                    count += 1
    wanted(count, "README shows no example of the library")
    return f"README's example uses {count} names of the library, and they exist"


def community():
    text = read("CONTRIBUTING.md")
    wanted("issue" in text and "pull request" in text, "CONTRIBUTING.md says nothing of issues and pull requests")
    read(".github/pull_request_template.md")
    templates = list((paths.ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.md"))
    wanted(templates, "There is no template for issues")
    return f"CONTRIBUTING.md, {len(templates)} templates for issues, one for pull requests"


# ---------------------------------------------------------------------------------------------------------------------
# Pedagogy


def objectives():
    texts = sources()
    for part in (r"\*\*You will\*\*", r"\*\*You need\*\*"):
        wanted(not without(texts, part), f"No {part} in {without(texts, part)}")
    return f"each of {len(texts)} chapters says what a student will do and must know"


def scope():
    took = {name: float(cost.split()[0]) for name, cost in execute.costs().items()}
    slow = [name for name in chapters.names() if took.get(name, SLOWEST + 1) > SLOWEST]
    wanted(not slow, f"Not run, or longer than {SLOWEST} s: {slow}")
    words = {
        name: sum(len(cell.source.split()) for cell in one.cells if cell.cell_type == "markdown")
        for name, one in committed().items()
    }
    odd = [name for name, count in words.items() if not WORDS[0] <= count <= WORDS[1]]
    wanted(not odd, f"Fewer than {WORDS[0]} or more than {WORDS[1]} words: {odd}")
    return f"{len(words)} chapters, {sum(words.values()):,} words; the slowest runs {max(took.values()):.0f} s"


def practice():
    texts = sources()
    for part in ("## Exercises", "## Quiz", r":::\{solution-start\}", r"(?i)repair", "## Further reading"):
        wanted(not without(texts, part), f"No {part} in {without(texts, part)}")
    count = 0
    for name, text in texts.items():
        asked = len(re.findall(r":::\{exercise\}", text))
        graded = [exercises.grade(number, ...) for number, _ in chapters.GRADED.findall(text)]
        wanted(asked == len(graded), f"{name}: {asked} exercises, {len(graded)} grade themselves")
        count += asked
    return f"{count} exercises with solutions, all grade themselves; each chapter has one to repair, and a quiz"


def quality():
    claims, figures = 0, 0
    for name, one in committed().items():
        wanted(
            one.metadata["osrlib"]["source_sha256"] == chapters.source_hash(name), f"{name}: text and notebook differ"
        )
        outputs = [output for cell in one.cells for output in cell.get("outputs", [])]
        wanted(all(output.output_type != "error" for output in outputs), f"{name}: a cell failed")
        figures += sum("image/png" in output.get("data", {}) for output in outputs)
        for claim in pages.records(chapters.glued(one)):
            wanted(claim["low"] <= claim["value"] <= claim["high"], f"{name}: {claim['claim']} leaves its band")
            claims += 1
    return f"every chapter ran without an error; {claims} claims hold; {figures} figures"


def design():
    text = read("book/instructors.md")
    parts = ("minutes |", "misunderstandings", "## Assessment", "make student")
    wanted(all(part in text for part in parts), "The page for instructors lacks a plan, misunderstandings or a rubric")
    widgets = len(list((paths.BOOK / "playground").glob("*.js")))
    return f"plans by the minute, misunderstandings, a rubric; {widgets} scripts of interactive parts"


# ---------------------------------------------------------------------------------------------------------------------
# Paper


def front():
    """The front matter of the paper, and its text."""
    _, head, text = read("paper/paper.md").split("---\n", 2)
    return yaml.safe_load(head), text


def paper_form():
    head, text = front()
    wanted(set(FRONT) <= set(head), f"paper.md lacks {sorted(set(FRONT) - set(head))}")
    wanted(all({"name", "orcid", "affiliation"} <= set(one) for one in head["authors"]), "An author lacks a field")
    count = len(text.split())
    wanted(800 <= count <= 1_300, f"The paper has {count} words; about 1,000 are asked for")
    return f"front matter, {count} words"


def paper_need():
    sections = dict(re.findall(r"^# ([^\n]+)\n\n(.*?)(?=\n# |\Z)", front()[1], re.MULTILINE | re.DOTALL))
    short = [name for name in SECTIONS if len(sections.get(name, "").split()) < 20]
    wanted(not short, f"paper.md: missing or too short: {short}")
    wanted(re.search(r"(?s)students.*teachers", sections["Statement of need"]), "The paper does not say for whom it is")
    return f"{len(SECTIONS)} sections, with readers, other material, story and adoption"


def paper_citations():
    entries = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", read("paper/paper.bib"), re.MULTILINE | re.DOTALL))
    cited = set(re.findall(r"@(\w+)", front()[1]))
    wanted(cited == set(entries), f"Cited or listed alone: {sorted(cited ^ set(entries))}")
    book = dict(re.findall(r"^@\w+\{(\w+),\n(.*?)^\}$", read("book/references.bib"), re.MULTILINE | re.DOTALL))
    apart = [key for key in entries if key in book and book[key] != entries[key]]
    wanted(not apart, f"The book's references have another entry for {apart}")
    return f"{len(entries)} references, each cited"


def counted():
    """What the paper counts: dict word → number."""
    texts, notebooks = sources(), committed()
    return {
        "chapters": len(texts),
        "exercises": sum(len(re.findall(r":::\{exercise\}", text)) for text in texts.values()),
        "checked claims": sum(len(pages.records(chapters.glued(one))) for one in notebooks.values()),
        "scores": len(scores.SCORES),
        "worlds": len(data.WORLDS),
    }


def measured():
    """What the paper may print of measurements: the reference run's figures and the report's, in percent."""
    reference = zoo.reference()
    parts = {"ladder": reference["ladder"]["rungs"], "rule": reference["rule"]}
    for name, one in reference["models"].items():
        parts[name] = {key: value for key, value in one.items() if "accuracy" in key}
    figures = [one for one in chapters.flatten(parts).values() if isinstance(one, float)]
    return {f"{100 * one:.2f}" for one in figures} | {"80.99", "95.69"}


def paper_numbers():
    text = front()[1]
    printed = set(re.findall(r"\d+\.\d+(?= %)|(?<=± )\d+\.\d+", text))
    odd = printed - measured()
    wanted(printed and not odd, f"paper.md prints what was not measured: {sorted(odd)}")
    counts = counted()
    told = re.findall(rf"(\d[\d,]*) ({'|'.join(counts)})", text)
    wrong = [
        f"{number} {what}, {counts[what]}" for number, what in told if int(number.replace(",", "")) != counts[what]
    ]
    wanted(told and not wrong, f"paper.md counts otherwise than the code: {wrong}")
    return f"{len(printed)} figures are the reference run's or the report's, {len(told)} counts are the code's"


def supplied():
    return sorted({found.removeprefix("TO BE SUPPLIED: ") for found in MISSING.findall(read("paper/paper.md"))})


def people(*needs):
    """What needs people whatever the files say."""
    return lambda: list(needs)


POINTS = [
    Point("General", "Is there a licence for code and for content?", licence),
    Point("General", "Where is the source?", repository, people("that the address is public")),
    Point("General", "Do version and release agree?", version, tags),
    Point("General", "Who made it?", authors, persons),
    Point("Documentation", "How is it installed?", installation),
    Point("Documentation", "How is it used?", usage),
    Point("Documentation", "How does one contribute, report, ask?", community),
    Point("Pedagogy", "Are learning objectives plain?", objectives),
    Point("Pedagogy", "Is there enough, and not too much?", scope),
    Point("Pedagogy", "Can it be followed and practised?", practice, people("a reader's verdict on the load")),
    Point("Pedagogy", "Is it sound, complete and well made?", quality, people("a reader's verdict on the writing")),
    Point("Pedagogy", "Is the design deliberate, and can it be taught?", design, people("a class")),
    Point("Paper", "Is it in form, with authors?", paper_form, supplied),
    Point("Paper", "Are need, description, story and adoption told?", paper_need),
    Point("Paper", "Are the references in order?", paper_citations, people("DOIs, where an entry has none")),
    Point("Paper", "Are its numbers true?", paper_numbers),
]


def main():
    """Ask every question and print the answers. Returns the exit code."""
    failed, needed, part = 0, 0, None
    for point in POINTS:
        if point.part != part:
            part = point.part
            print(f"\n{part}")
        try:
            verdict, told = "holds", point.look()
        except Fault as fault:
            verdict, told = "FAILS", str(fault)
            failed += 1
        print(
            textwrap.fill(
                f"{verdict}  {point.question} {told}", 110, initial_indent="  ", subsequent_indent="         "
            )
        )
        for need in point.people() if point.people else []:
            print(f"         needs people: {need}")
            needed += 1
    print(f"\n{len(POINTS) - failed} of {len(POINTS)} points hold; {needed} things need people.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")
    sys.exit(main())
