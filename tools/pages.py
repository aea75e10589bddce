"""What a build puts into pages: links to terms, copies of figures, what was claimed, and what it took."""

import base64
import collections
import datetime
import io
import itertools
import json
import os
import platform
import re
import subprocess
import textwrap
from importlib.metadata import version
from typing import NamedTuple

from PIL import Image

import osrlib
from osrlib import data, zoo
from tools import paths
from tools.chapters import BuildError

PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "matplotlib", "jupyter-book", "sphinx",
    "myst-nb", "papermill", "nbval",
)  # fmt: skip
DOWNLOADS = {"mnist": 12, "fashion": 31, "cifar10": 171}
"""Megabytes that torchvision fetches for a world that is not in the cache; the other worlds of the book are made."""
COLAB = {}
"""Minutes in Colab, where somebody has measured them: dict chapter → (its first cell, its training), as text."""
PROTECTED = (
    r"^(?:#|:::|:\w+:|\||<)[^\n]*$|^```.*?^```$|\$\$.*?\$\$|\$[^$]*\$"
    r"|\{[\w:]+\}`[^`]*`|`[^`]*`|\[[^\]]*\]\([^)]*\)"
)
"""Where a term is not to be linked: headings, directives, tables, code, formulas, roles, links."""
COMMON = {"code", "guard", "key", "near and far world", "price", "risk", "score"}
"""Terms of the glossary that are everyday words as well: never linked by themselves."""


def terms():
    """The terms of the glossary."""
    text = (paths.BOOK / "glossary.md").read_text(encoding="utf-8")
    return [
        line for line, below in zip(text.splitlines(), text.splitlines()[1:], strict=False) if below.startswith("  ")
    ]


def link_terms(texts):
    """Link the first mention of each term in a chapter to the glossary. texts: its text cells; returns them anew."""
    words = sorted(set(terms()) - COMMON, key=len, reverse=True)
    pattern = re.compile(
        rf"(?P<not>{PROTECTED})|(?<![\w-])(?P<term>{'|'.join(map(re.escape, words))})(?P<s>s?)(?![\w-])",
        re.MULTILINE | re.DOTALL | re.IGNORECASE,
    )
    seen, spelt = set(), {word.lower(): word for word in words}

    def link(match):
        if match["term"] is None or match["term"].lower() in seen:
            return match[0]
        seen.add(match["term"].lower())
        return f"{{term}}`{match[0]} <{spelt[match['term'].lower()]}>`"

    return [pattern.sub(link, text) for text in texts]


SMALL = re.compile(r"^\{\{ (fig-[\w-]+) \}\}$", re.MULTILINE)
"""Where a page wants a small copy of a chapter's figure."""


def with_figures(text, notebooks, folder):
    """A page with small copies of the figures that it names, each a link to the figure itself.

    notebooks: dict chapter → notebook, run; folder: where the copies go, beside the page.
    """

    def copy(match):
        if (name := match[1]) not in drawn:
            raise BuildError(f"A page wants {name}, which no chapter draws")
        picture, words = Image.open(io.BytesIO(drawn[name].png)), drawn[name].alt
        folder.mkdir(exist_ok=True)
        picture.thumbnail((720, 720))  # shown at half of that, sharp on dense screens
        picture.save(folder / f"{name}.png")
        return f":::{{div}} osr-small\n[![{words}]({folder.name}/{name}.png)](#{name})\n:::"

    drawn = figures(notebooks) if SMALL.search(text) else {}
    return SMALL.sub(copy, text)


class Figure(NamedTuple):
    """A figure of the book, as a run of its chapter left it."""

    chapter: str
    caption: str
    alt: str
    png: bytes


def figures(notebooks):
    """The figures of chapters in the order of the book: dict name → :class:`Figure`."""
    found = {}
    for chapter, notebook in notebooks.items():
        for cell in notebook.cells:
            said = cell.metadata.get("mystnb", {})
            drawn = [
                output.data["image/png"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
            ]
            if "figure" in said and drawn:
                png = base64.b64decode(drawn[0])
                found[said["figure"]["name"]] = Figure(chapter, said["figure"]["caption"], said["image"]["alt"], png)
    return found


def name_disclosures(notebook):
    """Say at each hidden part of a notebook what is behind: "Show source: norm against diff", "Answer 1"."""
    count = itertools.count(1)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            answer = r"^:::\{dropdown\} Answer$"
            cell.source = re.sub(answer, lambda match: f"{match[0]} {next(count)}", cell.source, flags=re.MULTILINE)
        if {"hide-input", "hide-output", "hide-cell"} & set(cell.metadata.get("tags", [])):
            settings = dict(cell.metadata.get("mystnb", {}))
            words = textwrap.shorten(_behind(cell.source, settings), 1000)
            words = words if len(words) <= 70 else f"{words[:69].rstrip(' ,(')}…"
            prompts = {f"code_prompt_{key}": f"{key.capitalize()} {{type}}: {words}" for key in ("show", "hide")}
            cell.metadata["mystnb"] = settings | prompts


def _behind(source, settings):
    """What a cell is about: its figure, by how the caption begins; what it prints; or how its code begins."""
    if "figure" in settings:
        caption = re.sub(r"[$*_`\\]", "", settings["figure"]["caption"])
        return re.match(r".{8,}?(?=[.:;,(] |[.:;,(]?$| \()", caption)[0]
    if "inspect.getsource" in source:
        printed = re.findall(r"\b(?!inspect|textwrap)[A-Za-z_]+\.\w+(?:\.\w+)*", source)
        return f"what prints {', '.join(printed)}"
    return source.partition("\n")[0]


def records(values):
    """The claims among what a chapter glued, in its order: a list of dicts."""
    return [json.loads(text) for name, text in values.items() if name.startswith("claim:")]


def claims_page(glued):
    """Markdown of the claims page. glued: dict chapter → what it glued (:func:`chapters.glued`)."""
    rows, sources = [], collections.Counter()
    for name, values in glued.items():
        chapter = int(name[:2])
        for one in records(values):
            sources[one["source"]] += 1
            value, low, high = (format(one[key], one["fmt"]) for key in ("value", "low", "high"))
            verdict = "holds" if one["source"] == "this build" else f"holds ({one['source']})"
            rows.append(
                f"| {{doc}}`{chapter} <../notebooks/{name}>` | {one['claim']} | {value} | {low} to {high} "
                f"| {one['said'] or ''} | {verdict} |"
            )
    return "\n".join(
        [
            "# Claims",
            "",
            f"What this book says of its results, it checks. Each of the {len(rows)} values below was compared with a "
            "band that was fixed beforehand. A value outside its band stops the build, so that no page is printed with "
            "a claim that does not hold.",
            "",
            f"Of these values, {sources['this build']} were measured while this page was built. The verdict marks the "
            f"others: {sources['reference run']} were read from the committed figures of the {{term}}`reference run`, "
            "most of them because they need many trainings. Where a world is missing, a figure of the reference run "
            f"stands in: here {sources['reference run, stands in']} times.",
            "",
            "A band is as wide as other machines, library versions and seeds have moved the figure, or the sentence in "
            "the chapter needs. *Elsewhere* is what the report or a paper prints for the same quantity.",
            "",
            'For programs, the file <a href="claims.json">claims.json</a> holds the same claims, with values that are '
            "not rounded, and with the *source* of each: this build or the reference run. It begins with the version, "
            "the commit, the date, the machine and the packages of this build, with the seeds of the published "
            "weights, and with the same facts on the reference run.",
            "",
            "| chapter | claim | value | band | elsewhere | verdict |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def claims_json(glued):
    """The claims for programs, and what they were measured with, as JSON. glued: as in :func:`claims_page`."""
    reference, told = zoo.reference(), []
    for chapter, values in glued.items():
        for one in records(values):
            told.append(
                {"chapter": chapter, "claim": one["claim"], "value": one["value"], "band": [one["low"], one["high"]]}
                | {"n": one["n"], "spread": one["spread"], "elsewhere": one["said"], "source": one["source"]}
            )
    seeds = {name: one["published_seed"] for name, one in reference["models"].items()}
    head = {"build": provenance(), "weights": {"seeds": seeds}, "reference_run": reference["provenance"]}
    return json.dumps(head | {"claims": told}, indent=1, ensure_ascii=False) + "\n"


def provenance():
    """What a build is made of, where and when: a dict."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {
        "version": osrlib.__version__,
        "commit": commit(),
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "machine": f"{system}, Python {platform.python_version()}",
        "packages": {package: version(package) for package in PACKAGES},
    }


def reads(name):
    """The worlds that a chapter names, of those that are downloaded."""
    source = (paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8")
    return [world for world in DOWNLOADS if re.search(rf'"{world}"', source)]


def cost_table(told):
    """What each chapter takes, for those who plan a lesson: a table. told: dict chapter → what its box says."""
    lines = [
        "| chapter | at home, with the published weights | can train | fetches | Colab: first cell | Colab: training |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(told):
        source = (paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8")
        trains = re.search(r"^train = False", source, re.MULTILINE)
        first, training = COLAB.get(name, ("not measured", "not measured" if trains else "–"))
        lines.append(
            f"| {{doc}}`{name[:2].lstrip('0')} <../notebooks/{name}>` | {told[name]} | {'yes' if trains else 'no'} "
            f"| {sum(DOWNLOADS[world] for world in reads(name))} MB | {first} | {training} |"
        )
    return "\n".join(lines)


def commit():
    """The commit that the tree stands at, marked where the tree has changed since."""
    command = ["git", "describe", "--always", "--dirty=, changed since", "--abbrev=12", "--exclude=*"]
    run = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "not under version control"


def status_page(took, told, jobs, built):
    """Markdown of the status page.

    took: dict chapter → what it took in this build (:func:`execute.execute`); told: dict chapter → what its box says;
    jobs: chapters that ran at once; built: seconds that all chapters took together.
    """
    ready = data.available()
    made = provenance()
    lines = [
        "# Status of this build",
        "",
        f"- **Version**: {made['version']}",
        f"- **Commit**: {made['commit']}",
        f"- **Date**: {made['date']}",
        f"- **Machine**: {made['machine']}",
        "- **Packages**: " + ", ".join(f"{package} {number}" for package, number in made["packages"].items()),
        f"- **Chapters**: {len(took)} executed, {jobs} at a time, in {built:.0f} seconds",
        "",
        "Run alone, a chapter takes what the box at its head says. In this build chapters shared cores and results, "
        "so that their times differ from that. *Fetches* is what a chapter downloads where nothing is in the cache, "
        "such as in Colab; here `make data` had done that before.",
        "",
        "| chapter | alone (its box) | in this build | peak memory here | fetches |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(took):
        worlds = reads(name)
        fetched = f"{sum(DOWNLOADS[world] for world in worlds)} MB: {', '.join(worlds)}"
        lines.append(
            f"| {{doc}}`{name[:2].lstrip('0')} <../notebooks/{name}>` | {told[name]} | {took[name]['seconds']:.0f} s "
            f"| {took[name]['gibibytes']:.1f} GiB | {fetched} |"
        )
    lines += ["", "| world | in this build | licence |", "|---|---|---|"]
    for name, (there, why) in ready.items():
        world = data.WORLDS[name]
        lines.append(f"| {world.title} | {'there' if there else f'missing: {why}'} | {world.licence} |")
    return "\n".join([*lines, "", *mutation_lines(), ""])


def mutation_lines(file=paths.RESULTS / "mutation.json"):
    """What the last runs of ``make mutation`` gave, as lines of markdown. file: what they were written to."""
    lines = [
        "## Would the tests notice?",
        "",
        "`make mutation` changes the library's code in one place at a time, a `<` into a `<=` or a 1 into a 2, and "
        "runs the tests that reach this place. A mutant is killed where one of them fails.",
        "",
    ]
    if not file.exists():
        return [*lines, "No mutants have been made."]
    lines += [
        "`experiments/results/mutation.json` names the survivors.",
        "",
        "| module | mutants | killed | date, commit |",
        "|---|---|---|---|",
    ]
    for module, row in json.loads(file.read_text(encoding="utf-8")).items():
        share = row["killed"] / row["mutants"]
        lines.append(f"| `{module}` | {row['mutants']} | {share:.1%} | {row['date']}, {row['commit']} |")
    return lines
