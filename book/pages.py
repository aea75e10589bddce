"""The pages that each build writes about itself: what was claimed, what it took, and whose work is in it."""

import datetime
import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import export
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from osrlib import data

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-learn", "scikit-image", "matplotlib", "jupyter-book", "sphinx",
    "myst-nb", "papermill", "nbval",
)  # fmt: skip
DOWNLOADS = {"mnist": 12, "fashion": 31, "cifar10": 171}
"""Megabytes that torchvision fetches for a world that is not in the cache; the other worlds of the book are made."""


PROTECTED = (
    r"^(?:#|:::|:\w+:|\||<)[^\n]*$|^```.*?^```$|\$\$.*?\$\$|\$[^$]*\$"
    r"|\{[\w:]+\}`[^`]*`|`[^`]*`|\[[^\]]*\]\([^)]*\)"
)
"""Where a term is not to be linked: headings, directives, tables, code, formulas, roles, links."""
COMMON = {"code", "guard", "key", "near and far world", "price", "risk", "score"}
"""Terms of the glossary that are everyday words as well: never linked by themselves."""


def terms():
    """The terms of the glossary."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
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


def records(values):
    """The claims among what a chapter glued, in its order: a list of dicts."""
    return [json.loads(text) for name, text in values.items() if name.startswith("claim:")]


def claims_page(glued):
    """Markdown of the claims page. glued: dict chapter → what it glued (:func:`build.glued`)."""
    rows, count = [], 0
    for name, values in glued.items():
        chapter = int(name[:2])
        for one in records(values):
            count += 1
            value, low, high = (format(one[key], one["fmt"]) for key in ("value", "low", "high"))
            verdict = "reference run" if one["reference"] else "holds"
            rows.append(
                f"| {{doc}}`{chapter} <../notebooks/{name}>` | {one['claim']} | {value} | {low} to {high} "
                f"| {one['said'] or ''} | {verdict} |"
            )
    return "\n".join(
        [
            "# Claims",
            "",
            f"What this book says of its results, it checks. Each of the {count} claims below was measured while this "
            "page was built, and compared with a band that was fixed beforehand. A value outside its band stops the "
            "build, so that no page is printed with a claim that does not hold. Where a world was missing, the "
            "verdict says that the reference run's figure stands in.",
            "",
            "A band is as wide as other machines, library versions and seeds have moved the figure, or the sentence in "
            "the chapter needs. *Elsewhere* is what the report or a paper prints for the same quantity.",
            "",
            "| chapter | claim | this run | band | elsewhere | verdict |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def reads(name):
    """The worlds that a chapter names, of those that are downloaded."""
    source = (ROOT / "book" / "chapters" / f"{name}.md").read_text(encoding="utf-8")
    return [world for world in DOWNLOADS if re.search(rf'"{world}"', source)]


def commit():
    """The commit that the tree stands at, marked where the tree has changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=, changed since", "--abbrev=12", "--exclude=*"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "not under version control"


def status_page(took, told, jobs, built):
    """Markdown of the status page.

    took: dict chapter → what it took in this build (:func:`build.execute`); told: dict chapter → what its box says;
    jobs: chapters that ran at once; built: seconds that all chapters took together.
    """
    ready = data.available()
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = [
        "# Status of this build",
        "",
        f"- **Commit**: {commit()}",
        f"- **Date**: {now:%Y-%m-%d %H:%M} UTC",
        f"- **Machine**: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}",
        "- **Versions**: " + ", ".join(f"{package} {version(package)}" for package in PACKAGES),
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
    return "\n".join([*lines, "", *matrix_lines(), ""])


def matrix_lines(file=ROOT / "book" / "results" / "matrix.json"):
    """What the last runs of ``make matrix`` gave, as lines of markdown. file: what they were written to."""
    lines = [
        "## Under other versions",
        "",
        "`make matrix` runs the README's commands in fresh clones of the last commit. Each row has another Python, or "
        "other versions of what the book depends on: the pinned ones, the oldest allowed, or the newest.",
        "",
    ]
    if not file.exists():
        return [*lines, "No matrix has been run."]
    lines += [
        "`book/results/matrix.json` names the tests that failed, and says why others were skipped.",
        "",
        "| row | Python | dependencies | commands | verdict | date, commit |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in json.loads(file.read_text(encoding="utf-8")).items():
        versions = ", ".join(f"{package} {row['packages'].get(package) or '?'}" for package in ("torch", "numpy"))
        counts = {"passed": row["passed"], "failed": len(row["failed"]), "skipped": sum(row["skipped"].values())}
        told = ", ".join(f"{n} {what}" for what, n in counts.items()) if any(counts.values()) else "no test ran"
        lines.append(
            f"| {name} | {row['python']} | {row['versions']}: {versions} | `{'`, `'.join(row['commands'])}` "
            f"| {'green' if row['green'] else '**red**'}: {told} | {row['date']}, {row['commit']} |"
        )
    return lines


SPELLINGS = {
    r"affero|agpl": "AGPL", r"lesser|lgpl": "LGPL", r"gnu general|gpl": "GPL",
    r"nvidia.*proprietary": "LicenseRef-NVIDIA-Proprietary", r"proprietary": "proprietary",
    r"mozilla.*2|mpl.*2": "MPL-2.0", r"apache.*2": "Apache-2.0", r"apache": "Apache",
    r"bsd.*3|3.*bsd|(new|modified) bsd": "BSD-3-Clause", r"bsd.*2|2.*bsd|simplified bsd": "BSD-2-Clause", r"bsd": "BSD",
    r"python software|psf": "PSF-2.0", r"public domain": "public domain", r"hpnd": "HPND", r"\bisc\b": "ISC",
    r"\bmit\b": "MIT", r"^(unknown|dual license|osi approved|licen[cs]e(\.\w+)?|)$": "",
}  # fmt: skip
"""How metadata spells a licence → its short name. The strictest come first, what says nothing last."""
LOOKED_UP = {
    "axe-playwright-python": ("MIT, MPL-2.0", "its `LICENSE`, and the head of the `axe.min.js` in it"),
    "cuda-toolkit": ("LicenseRef-NVIDIA-Proprietary", "a list of NVIDIA's packages, without code of its own"),
    "docutils": (
        "public domain, BSD-2-Clause, BSD-3-Clause, ZPL-2.1",
        "its `COPYING.txt`; the GPL in its metadata is that of a file for Emacs, which is not installed",
    ),
    "sphinx-proof": ("MIT", "its `LICENSE`; its metadata says BSD"),
}
"""Packages whose metadata is silent, or not what their files say: name → licence, where it is told."""
BROUGHT = (
    ("MathJax", "Apache-2.0; fonts OFL-1.1", "sphinx-mathjax-offline", "mathjax/*"),
    ("Font Awesome Free", "icons CC BY 4.0, fonts OFL-1.1, code MIT", "pydata-sphinx-theme", "*fontawesome*"),
    ("Bootstrap and Popper", "MIT", "pydata-sphinx-theme", "*/bootstrap.*"),
    ("the theme, and compare-versions", "BSD-3-Clause; MIT", "pydata-sphinx-theme",
     "*/pydata-sphinx-theme.* styles/theme.css webpack-macros.html"),
    ("its dress as a book", "BSD-3-Clause", "sphinx-book-theme",
     "*/sphinx-book-theme.* sbt-webpack-macros.html images/logo_* locales/*"),
    ("search, and the bare page", "BSD-2-Clause", "sphinx", "basic.css doctools.js documentation_options.js "
     "language_data.js searchtools.js sphinx_highlight.js file.png minus.png plus.png"),
    ("colours of code", "BSD-2-Clause; BSD-3-Clause", "pygments, accessible-pygments", "pygments.css"),
    ("clipboard.js", "MIT", "sphinx-copybutton", "clipboard.min.js"),
    ("the button that copies, and Tabler's icons on it", "MIT", "sphinx-copybutton",
     "copybutton* check-solid.svg copy-button.svg"),
    ("tabs and dropdowns", "MIT", "sphinx-design", "sphinx-design.* design-tabs.js"),
    ("the button that folds", "MIT", "sphinx-togglebutton", "togglebutton.*"),
    ("exercises and theorems", "MIT", "sphinx-exercise, sphinx-proof", "exercise.css proof.css"),
    ("cells and what they print", "BSD-3-Clause", "myst-nb", "mystnb.*"),
)  # fmt: skip
"""What the rendered page brings of others: what, licence, the packages that it comes with, its files in _static."""


def short(spelling):
    """The short name of a licence, or the spelling itself where it is not known."""
    return next((name for how, name in SPELLINGS.items() if re.search(how, spelling.lower())), spelling)


def licence(package):
    """What a package's metadata says of its licence: "" for nothing, None where the package is not installed."""
    try:
        told = metadata(package)
    except PackageNotFoundError:
        return None
    if package in LOOKED_UP or told.get("License-Expression"):
        return LOOKED_UP.get(package, [told.get("License-Expression")])[0]
    names = [line.split(" :: ")[-1] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    line, *more = told.get("License", "").strip().split("\n")
    if not (names and more and short(line) == line):  # some put the whole text there
        names += re.split(" AND | OR ", line)
    names = sorted({short(name) for name in names} - {""})
    # "BSD" says nothing beside "BSD-3-Clause"
    return ", ".join(a for a in names if not any(a != b and re.search(rf"(?i)\b{re.escape(a)}\b", b) for b in names))


def askers():
    """Who asks for which package in this environment: dict package → list, the nearest to osrlib first."""
    found, queue = {}, [("osrlib", ""), ("osrlib", "book"), ("osrlib", "test")]
    for package, extra in queue:  # which grows meanwhile
        try:
            wanted = [Requirement(line) for line in requires(package) or []]
        except PackageNotFoundError:
            continue
        for one in wanted:
            plain = one.marker is None or one.marker.evaluate({"extra": ""})
            if (not plain and one.marker.evaluate({"extra": extra})) if extra else plain:
                name = canonicalize_name(one.name)
                found.setdefault(name, []).append((extra or package) if package == "osrlib" else f"through {package}")
                queue += [(name, e) for e in ("", *sorted(one.extras)) if (name, e) not in queue]
    return found


def packages():
    """Every package that is pinned, or asked for here: dict name → (version, licence, who asks for it)."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins, asked, found = dict(line.split("==") for line in lines if "==" in line), askers(), {}
    for name in sorted(pins | asked):
        said, asks = licence(name), asked.get(name, ["through another"])
        direct = [one for one in asks if not one.startswith("through")]
        found[name] = (pins.get(name, "") if said is None else version(name), said, ", ".join(direct) or asks[0])
    return found


def licences_page():
    """Markdown of the page on licences, of the environment that it is written in."""
    found = packages()
    copyleft = [f"{name} ({said})" for name, (_, said, _) in found.items() if re.search("GPL|MPL", said or "")]
    closed = [name for name, (_, said, _) in found.items() if re.search("(?i)proprietary", said or "")]
    worlds, chapters = [], {int(file.name[:2]): file for file in (ROOT / "book" / "chapters").glob("*.md")}
    for name, world in data.WORLDS.items():
        uses = [str(i) for i, file in sorted(chapters.items()) if f'"{name}"' in file.read_text(encoding="utf-8")]
        uses += ["playground"] if name in export.TRAY.values() else []
        worlds.append(f"| {world.title} | {world.licence} | {world.source} | {', '.join(uses) or 'none'} |")
    return "\n".join(
        [
            "# Licences",
            "",
            "Whose work is in this book, and on what terms? Each build writes this page, about the environment that it "
            "ran in.",
            "",
            "## The book",
            "",
            "| what | licence |",
            "|---|---|",
            "| code: the library, scripts, tests, the code cells of the notebooks | MIT (`LICENSE`) |",
            "| text, figures and data tables | CC BY 4.0 (`LICENSE-TEXT`) |",
            "| the trained weights, a part of the package `osrlib` | MIT, as the package |",
            "",
            "## Data",
            "",
            "The repository and the package hold no data set: each machine fetches or makes its own. Figures show "
            "single images of a world, and the playground offers six of some worlds. Such an image stays under the "
            "licence of its world. Pictures of MNIST's digits are thus under CC BY-SA 3.0. CIFAR-10 states no licence; "
            "figures show a few of its images, in grey, at 28×28 pixels.",
            "",
            "| world | licence | source | used in chapter |",
            "|---|---|---|---|",
            *worlds,
            "",
            "## Packages",
            "",
            "pip fetches each package from the package index. The package `osrlib` contains none of them.",
            "",
            f"- **Copyleft**: {', '.join(copyleft) or 'none'}. Such a licence binds those who pass the package on, "
            "changed or not. The book uses these packages. It changes none, and passes none on.",
            "- **Inside wheels**: compiled libraries have licences of their own, which each wheel tells. On Linux, "
            "NumPy, SciPy, scikit-learn and PyTorch bring GCC's runtime library (GPL-3.0, with an exception for "
            "programs that GCC compiles), NumPy and SciPy libquadmath (LGPL-2.1), Pillow a part of FriBiDi (LGPL-2.1), "
            "pyzmq libzmq (MPL-2.0). The book passes none of them on either.",
            f"- **Proprietary**: {len(closed)} packages here. On Linux, PyTorch asks for NVIDIA's CUDA libraries. They "
            "come under NVIDIA's own terms. The book needs no graphics card, and does not pass them on.",
            "- **Looked up**, where metadata says nothing, or not what the files say: "
            + "; ".join(f"{name} ({where})" for name, (_, where) in LOOKED_UP.items())
            + ".",
            "",
            "The licence is what a package's metadata says, with a comma between several. It is asked for by the "
            "library itself (`osrlib`), by its extras `book` and `test`, or by another package.",
            "",
            "| package | version | licence | asked for by |",
            "|---|---|---|---|",
            *(
                f"| {name} | {number} | {'not installed here' if said is None else said or 'not told'} | {who} |"
                for name, (number, said, who) in found.items()
            ),
            "",
            "## In the rendered page",
            "",
            "The page asks no other server for anything. What it needs of others it brings along, in its folder "
            "`_static`.",
            "",
            "| what | licence | comes with | files |",
            "|---|---|---|---|",
            *(f"| {what} | {said} | {of} | `{'`, `'.join(files.split())}` |" for what, said, of, files in BROUGHT),
            "",
        ]
    )
