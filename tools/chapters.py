"""Chapters as text and as notebooks that have not run: what is put in, and what is left out for students."""

import hashlib
import re

import jupytext
import nbformat
import yaml

from osrlib.teaching import claims
from tools import paths

DISTRIBUTION = "knowing-what-you-dont-know"
"""What pip calls the library; a page's archive has the same name."""
ADDRESS = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)")
GLUE = re.compile(r"\{glue:text\}`([^`:]+)(?::([^`]+))?`")
SOLUTION = re.compile(r"^:::\{solution-start\}.*?^:::\{solution-end\}\n:::$", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r"^:::\{dropdown\} Answer\n.*?^:::$", re.MULTILINE | re.DOTALL)
GRADED = re.compile(r'^exercises\.grade\("([\d.]+)", (\w+)\)$', re.MULTILINE)
SETUP = """\
# In Colab, this fetches the book's library. Where the library is installed, it does nothing.
import importlib.util

if importlib.util.find_spec("osrlib") is None:
    %pip install --quiet "{distribution}{extra} @ git+{repository}"
"""


class BuildError(RuntimeError):
    """Something in a chapter is wrong; the message names the chapter and the place."""


def config(address=None):
    """What _config.yml says, for the repository at an address (default: the one that it names).

    The page's own address follows: where GitHub publishes the pages of that repository.
    """
    content = yaml.safe_load(paths.CONFIG.read_text(encoding="utf-8"))
    address = address or content["repository"]["url"]
    if not (match := ADDRESS.fullmatch(address)):
        raise BuildError(f"The repository's address: expected https://github.com/OWNER/NAME, got {address}")
    page = "https://{}.github.io/{}/".format(*match.groups())
    content["repository"]["url"] = address
    settings = content["sphinx"]["config"]
    content["html"]["baseurl"] = settings["ogp_site_url"] = page
    settings["html_context"]["folder"] = f"/{match[2]}/"  # for the page that is shown where there is none
    return content


def names():
    """The names of the chapters, in the order of _toc.yml."""
    toc = yaml.safe_load(paths.TOC.read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")]


def naming(name):
    """The numbers of the chapters whose code names a world or a network."""
    quoted = re.compile(f'(?<!=)"{re.escape(name)}"')  # fontsize="small" names no world
    texts = {int(one[:2]): (paths.CHAPTERS / f"{one}.md").read_text(encoding="utf-8") for one in names()}
    return [number for number, text in sorted(texts.items()) if quoted.search(text)]


def source_hash(name):
    """The SHA-256 of a chapter's text source."""
    return hashlib.sha256((paths.CHAPTERS / f"{name}.md").read_bytes()).hexdigest()


def to_notebook(name, change=lambda text: text, address=None):
    """A chapter as a notebook, not yet run, with the cell for Colab behind its title.

    change: what alters its text; address: of the repository, as in :func:`config`.
    """
    text = (paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8")
    notebook = jupytext.reads(change(text), fmt="md:myst")
    extra = "[service]" if "onnxruntime" in text else ""
    setup = SETUP.format(distribution=DISTRIBUTION, extra=extra, repository=config(address)["repository"]["url"])
    notebook.cells.insert(1, nbformat.v4.new_code_cell(setup.rstrip(), metadata={"tags": ["remove-cell"]}))
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:03}"
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
            "osrlib": {"source_sha256": source_hash(name)},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def glued(notebook):
    """What a notebook glued while it ran: dict name → text."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            mark = output.get("metadata", {}).get("scrapbook")
            if mark:
                values[mark["name"]] = output["data"][f"{claims.PREFIX}text/plain"]
    return values


def committed():
    """The committed notebooks, but for those of new chapters: dict chapter → notebook."""
    files = {name: paths.NOTEBOOKS / f"{name}.ipynb" for name in names()}
    return {name: nbformat.read(file, as_version=4) for name, file in files.items() if file.exists()}


def glued_by_number(notebooks):
    """What notebooks glued, by the numbers of their chapters: {"06": {"alpha": "0.02"}}. notebooks: dict by name."""
    return {name[:2]: glued(notebook) for name, notebook in notebooks.items()}


def fill(text, values, place, stand_ins=None):
    """Put the numbers into a text: each glue role becomes its value, formatted.

    stand_ins: the reference run's values, for those that could not be measured because a world is missing here.
    """

    def number(match):
        name, spec = match.groups()
        source, mark = (values, "") if name in values else (stand_ins or {}, " (reference run)")
        if name not in source:
            raise BuildError(f"{place}: the text asks for {name!r}, which nothing glued")
        if source[name] == "nan":
            raise BuildError(f"{place}: {name!r} is not a number")
        return (format(float(source[name]), spec) if spec else str(source[name])) + mark

    return GLUE.sub(number, text)


def fill_notebook(notebook, values, cost, place, stand_ins=None):
    """Put the numbers into the text cells of a notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill(cell.source, values, place, stand_ins).replace("{{ cost }}", cost)


def code_of(notebook):
    """The code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def same_code(name):
    """Whether a chapter's code is what its committed notebook ran, so that at most its words are new."""
    done = committed().get(name)
    return done is not None and [c.source for c in code_of(done)] == [c.source for c in code_of(to_notebook(name))]


def with_new_words(name):
    """The committed notebook of a chapter with its words as they are now; what its code gave stays."""
    if not same_code(name):
        raise BuildError(f"{name}: not only words changed, so it must run. Give: make notebooks NAMES={name}")
    done, notebook = committed()[name], to_notebook(name)
    for cell, ran in zip(code_of(notebook), code_of(done), strict=True):
        cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])  # as papermill leaves them
    cost = done.metadata["osrlib"]["cost"]
    fill_notebook(notebook, glued(done), cost, name)
    notebook.metadata = done.metadata | {"osrlib": notebook.metadata["osrlib"] | {"cost": cost}}
    return notebook


def flatten(tree, prefix=""):
    """A nested dict as one level: {"a": {"b": 1}} → {"a.b": 1}."""
    flat = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def without_solutions(text):
    """A chapter's text for students: in place of each solution a cell to fill in, and no answers to the quiz."""

    def blank(match):
        graded = GRADED.search(match[0])
        name = graded[2]
        head = re.search(rf"^def {name}\(.*\):$", match[0], re.MULTILINE)
        start = f"{head[0]}\n    raise NotImplementedError  # your code here\n\n" if head else f"{name} = ...\n"
        return f"```{{code-cell}} ipython3\n{start}\n{graded[0]}\n```"

    return ANSWER.sub("", SOLUTION.sub(blank, text))
