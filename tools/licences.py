"""The page on licences: whose work is in the book, on what terms, and which package asks for which."""

import re
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from osrlib import data
from tools import paths, playground_export
from tools.chapters import DISTRIBUTION, naming

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
    "sphinx-revealjs": ("Apache-2.0, MIT", "its `LICENSE`, and that of reveal.js in it, whose fonts are under OFL-1.1"),
}
"""Packages whose metadata is silent, or not what their files say: name → licence, where it is told."""
BROUGHT = (
    ("MathJax", "Apache-2.0; fonts OFL-1.1", "sphinx-mathjax-offline", "mathjax/*"),
    ("Font Awesome Free, cut to the icons in use and renamed", "icons CC BY 4.0, fonts OFL-1.1, code MIT",
     "pydata-sphinx-theme", "*fontawesome*"),
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
    found, queue = {}, [(DISTRIBUTION, extra) for extra in ("", "book", "service", "test")]
    for package, extra in queue:  # which grows meanwhile
        try:
            wanted = [Requirement(line) for line in requires(package) or []]
        except PackageNotFoundError:
            continue
        for one in wanted:
            plain = one.marker is None or one.marker.evaluate({"extra": ""})
            if (not plain and one.marker.evaluate({"extra": extra})) if extra else plain:
                name = canonicalize_name(one.name)
                own = extra or "osrlib"
                found.setdefault(name, []).append(own if package == DISTRIBUTION else f"through {package}")
                queue += [(name, e) for e in ("", *sorted(one.extras)) if (name, e) not in queue]
    return found


def packages():
    """Every package that is pinned, or asked for here: dict name → (version, licence, who asks for it)."""
    lines = (paths.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins, asked, found = dict(line.split("==") for line in lines if "==" in line), askers(), {}
    for name in sorted(pins | asked):
        said, asks = licence(name), asked.get(name, ["through another"])
        direct = [one for one in asks if not one.startswith("through")]
        found[name] = (pins.get(name, "") if said is None else version(name), said, ", ".join(direct) or asks[0])
    return found


def page():
    """Markdown of the page on licences, of the environment that it is written in."""
    found = packages()
    copyleft = [f"{name} ({said})" for name, (_, said, _) in found.items() if re.search("GPL|MPL", said or "")]
    closed = [name for name, (_, said, _) in found.items() if re.search("(?i)proprietary", said or "")]
    worlds = []
    for name, world in data.WORLDS.items():
        uses = list(map(str, naming(name)))
        uses += ["playground"] if name in playground_export.TRAY.values() else []
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
            "library itself (`osrlib`), by its extras `book`, `service` and `test`, or by another package.",
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
            "The PDF holds letters of MathJax's fonts, and of STIX and DejaVu, which come with matplotlib under "
            "licences that allow it. The EPUB holds no font.",
            "",
        ]
    )
