"""From chapters to a book: book/chapters/*.md → notebooks → executed → HTML.

    python -m tools.site notebooks [NAME …]   refresh the committed notebooks (default: all)
    python -m tools.site book                 execute every chapter afresh under _build and render _build/html
    python -m tools.site student              write _build/student: the chapters without their solutions

Committed notebooks are executed one after the other, a book's chapters side by side (``--jobs``). In their text,
``{glue:text}`name:format` `` stands for a number that the chapter glued while it ran; it is filled in here, so that a
reader in Colab sees it too. ``{{ cost }}`` stands for the time and memory that the chapter took. Prose pages take their
numbers from ``osrlib/weights/reference.json`` and ``experiments/results/speed.json``.
"""

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import jupytext
import nbformat
import papermill
import psutil
import yaml
from nbclient.exceptions import DeadKernelError

from osrlib import _files, claims, data, remember, zoo
from tools import licences, pages, playground_export

ROOT = Path(__file__).parents[1]
CHAPTERS, NOTEBOOKS = ROOT / "book" / "chapters", ROOT / "notebooks"
BUILD = ROOT / "_build"
SITE, RENDER = BUILD / "site", BUILD / "render"
ARCHIVE = "knowing-what-you-dont-know"
GLUE = re.compile(r"\{glue:text\}`([^`:]+)(?::([^`]+))?`")
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
SOLUTION = re.compile(r"^:::\{solution-start\}.*?^:::\{solution-end\}\n:::$", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r"^:::\{dropdown\} Answer\n.*?^:::$", re.MULTILINE | re.DOTALL)
GRADED = re.compile(r'^exercises\.grade\("([\d.]+)", (\w+)\)$', re.MULTILINE)
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
SETUP = """\
# In Colab, this fetches the book's library. Where the library is installed, it does nothing.
import importlib.util

if importlib.util.find_spec("osrlib") is None:
    %pip install --quiet "osrlib @ git+{repository}"
"""


class BuildError(RuntimeError):
    """Something in a chapter is wrong; the message names the chapter and the place."""


def config():
    """The content of _config.yml."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def chapters():
    """The names of the chapters, in the order of _toc.yml."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [file.removeprefix("notebooks/") for file in files if file.startswith("notebooks/")]


def source_hash(name):
    """The SHA-256 of a chapter's text source."""
    return hashlib.sha256((CHAPTERS / f"{name}.md").read_bytes()).hexdigest()


def to_notebook(name, change=lambda text: text):
    """A chapter as a notebook, not yet run, with the cell for Colab behind its title. change: what alters its text."""
    text = (CHAPTERS / f"{name}.md").read_text(encoding="utf-8")
    notebook = jupytext.reads(change(text), fmt="md:myst")
    setup = nbformat.v4.new_code_cell(SETUP.format(repository=config()["repository"]["url"]).rstrip())
    setup.metadata["tags"] = ["remove-cell"]
    notebook.cells.insert(1, setup)
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


def missing_worlds():
    """The report's unknown worlds that cannot be had on this machine."""
    ready = data.available()
    return [name for name in ("fashion", "cifar10") if not ready[name][0]]


def run_cells(raw):
    """Run a notebook, a path, in its place. Returns what it has become.

    A kernel gets a second start: its ports are chosen before it takes them, and can be gone by then.
    """
    options = {"kernel_name": "python3", "cwd": NOTEBOOKS, "progress_bar": sys.stderr.isatty()}
    try:
        return papermill.execute_notebook(raw, raw, **options)
    except DeadKernelError:  # in the middle of a cell: it would die there again
        raise
    except RuntimeError:  # before its first answer
        return papermill.execute_notebook(raw, raw, **options)


def execute(name, target, told=None):
    """Run one chapter from its source and write the notebook to ``target``: what it took, as a dict.

    told: what its box says of time and memory (default: what it took now).
    """
    raw = BUILD / "run" / f"{name}.ipynb"
    raw.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(to_notebook(name), raw)
    start, memory = time.perf_counter(), PeakMemory()
    try:
        with memory:
            run = run_cells(raw)
    except papermill.PapermillExecutionError as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
        place = f"{name}, cell {error.cell_index} (In [{error.exec_count}])"
        raise BuildError(f"{place} failed:\n{error.source}\n\n{message}") from None
    except DeadKernelError as error:
        raise BuildError(f"{name}: the kernel died, most likely for lack of memory ({error})") from None
    for cell in run.cells:
        verdict = str(cell.outputs[-1]) if GRADED.search(cell.source) and cell.outputs else ""
        if "not yet. " in verdict or "nothing here yet" in verdict:
            raise BuildError(
                f"{name}: a solution does not pass its own grader: {cell.outputs[-1]['data']['text/plain']}"
            )
    took = {"seconds": round(time.perf_counter() - start, 1), "gibibytes": round(memory.peak / 2**30, 2)}
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count()))
    cores = f"{threads} CPU core{'s' if threads > 1 else ''}"
    cost = told or f"{took['seconds']:.0f} seconds and {took['gibibytes']:.1f} GiB on {cores}"
    # where a world is missing, the committed notebook still knows what the reference run measured
    committed, stand_ins = NOTEBOOKS / f"{name}.ipynb", {}
    if missing_worlds() and committed.exists():
        stand_ins = glued(nbformat.read(committed, as_version=4))
    fill_notebook(run, glued(run), cost, name, stand_ins)
    run.metadata.pop("papermill", None)
    run.metadata["osrlib"]["cost"] = cost
    for cell in run.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    _files.write(target, f"{nbformat.writes(run)}\n")
    return took


class PeakMemory:
    """The largest resident memory that this process's children had together, in bytes, sampled five times a second."""

    def __enter__(self):
        self.peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.2):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.Error:  # it ended between the two calls
                    continue
            self.peak = max(self.peak, total)


MEMORY = 3 * 2**30
"""What a chapter may need, in bytes; the largest takes 2.5 GiB."""


def default_jobs():
    """How many chapters run at once: one a core, as far as memory goes."""
    return max(1, min(os.cpu_count(), psutil.virtual_memory().available // MEMORY))


def execute_all(names, folder, jobs):
    """Run chapters, so many at a time, saying how far it is: dict name → what it took.

    Alone, a chapter measures its own cost. Side by side, chapters share cores and results, and a reader in Colab does
    neither: then the boxes keep what the committed notebooks say.
    """
    try:
        data.load("mnist")
    except data.Unavailable as error:
        raise BuildError(f"The book cannot do without MNIST. {error}") from None
    # no chapter asks the network again for a world that could not be had; kernels run in another folder than this
    os.environ.setdefault("OSRLIB_OFFLINE", "1")
    os.environ["OSRLIB_DATA"] = str(data.cache_dir().resolve())
    jobs = min(jobs, len(names))
    # kernels that run side by side share the cores instead of fighting for them
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // jobs)))
    print(f"{len(names)} chapters, {jobs} at a time", flush=True)
    told = costs()
    # a long chapter that starts last would be waited for
    longest_first = sorted(names, key=lambda name: -float(told.get(name, "0").split()[0]))
    if jobs == 1 and remember.FOLDER not in os.environ:
        told = {}
    # processes, not threads: each watches the memory of its own kernel alone
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        everything = {}
        # Ctrl-C reaches this process alone, which ends the others
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        running = {pool.submit(execute, name, folder / f"{name}.ipynb", told.get(name)): name for name in longest_first}
        signal.signal(signal.SIGINT, before)
        try:
            for i, done in enumerate(as_completed(running), 1):
                took = everything[running[done]] = done.result()
                print(
                    f"[{i}/{len(names)}] {running[done]}: {took['seconds']:.0f} s, {took['gibibytes']:.1f} GiB",
                    flush=True,
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    for kernel in psutil.Process(worker.pid).children(recursive=True):
                        kernel.kill()
                worker.kill()
            raise
    return everything


def costs():
    """What the committed notebooks say that their chapters took: dict name → text, which begins with the seconds."""
    files = {name: NOTEBOOKS / f"{name}.ipynb" for name in chapters()}
    return {
        name: nbformat.read(file, as_version=4).metadata["osrlib"]["cost"]
        for name, file in files.items()
        if file.exists()
    }


def without_solutions(text):
    """A chapter's text for students: in place of each solution a cell to fill in, and no answers to the quiz."""

    def blank(match):
        number, name = GRADED.search(match[0]).groups()
        head = re.search(rf"^def {name}\(.*\):$", match[0], re.MULTILINE)
        start = f"{head[0]}\n    raise NotImplementedError  # your code here\n\n" if head else f"{name} = ...\n"
        return f'```{{code-cell}} ipython3\n{start}\nexercises.grade("{number}", {name})\n```'

    return ANSWER.sub("", SOLUTION.sub(blank, text))


def take_place(new, folder):
    """Put a new folder in the place of an old one, which is deleted only then."""
    old = folder.with_name(f"{folder.name}-before")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_student():
    """The chapters as notebooks for students, not run, with the numbers of the committed ones in their text."""
    new, folder = BUILD / "student-new", BUILD / "student"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in chapters():
        notebook, done = to_notebook(name, without_solutions), nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        fill_notebook(notebook, glued(done), done.metadata["osrlib"]["cost"], name)
        nbformat.write(notebook, new / f"{name}.ipynb")
    take_place(new, folder)
    print(f"Wrote {len(chapters())} notebooks without solutions to {folder}")


def flatten(tree, prefix=""):
    """A nested dict as one level: {"a": {"b": 1}} → {"a.b": 1}."""
    flat = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def build_book(jobs):
    """Execute everything under _build/site and render it into _build/html."""
    remember.forget()
    shutil.rmtree(SITE, ignore_errors=True)
    (SITE / "book").mkdir(parents=True)
    for file in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / file, SITE)
    shutil.copytree(ROOT / "book" / "_static", SITE / "_static")
    shutil.copy(ROOT / "book" / "references.bib", SITE / "book")
    speed = json.loads((ROOT / "experiments" / "results" / "speed.json").read_text(encoding="utf-8"))
    values = flatten(zoo.reference() | {"speed": speed})
    for page in (ROOT / "book").glob("*.md"):
        (SITE / "book" / page.name).write_text(
            fill(page.read_text(encoding="utf-8"), values, page.name), encoding="utf-8"
        )
    start = time.perf_counter()
    took = execute_all(chapters(), SITE / "notebooks", jobs)
    built = time.perf_counter() - start
    done = {name: nbformat.read(SITE / "notebooks" / f"{name}.ipynb", as_version=4) for name in chapters()}
    for name, notebook in done.items():
        prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        for cell, text in zip(prose, pages.link_terms([cell.source for cell in prose]), strict=True):
            cell.source = text
        pages.mark_verdicts(notebook.cells)
        nbformat.write(notebook, SITE / "notebooks" / f"{name}.ipynb")
    told = {name: notebook.metadata["osrlib"]["cost"] for name, notebook in done.items()}
    values = {name: glued(notebook) for name, notebook in done.items()}
    (SITE / "book" / "claims.md").write_text(pages.claims_page(values), encoding="utf-8")
    (SITE / "book" / "status.md").write_text(pages.status_page(took, told, jobs, built), encoding="utf-8")
    (SITE / "book" / "licences.md").write_text(licences.page(), encoding="utf-8")
    shutil.copytree(ROOT / "book" / "playground", SITE / "extra" / "playground")
    playground_export.write(SITE / "extra" / "playground")
    shutil.rmtree(RENDER, ignore_errors=True)
    command = [*JUPYTER_BOOK, "build", SITE, "--path-output", RENDER, "-W", "-n", "--keep-going", "-q"]
    # in a session of its own: Ctrl-C reaches this process alone, which then ends that one
    if subprocess.run(list(map(str, command)), check=False, start_new_session=True).returncode:
        raise BuildError("Jupyter Book found the faults above")
    html, archive = RENDER / "_build" / "html", BUILD / f"{ARCHIVE}.zip"
    for page in html.rglob("*.html"):
        page.write_text(re.sub("|".join(TIDY), "", page.read_text(encoding="utf-8")), encoding="utf-8")
    packed = shutil.make_archive(RENDER / ARCHIVE, "zip", html.parent, "html")
    # last, so that an interrupted build leaves the page of the one before
    os.replace(packed, archive)
    take_place(html, BUILD / "html")
    print(
        f"\nThe book is ready: {(BUILD / 'html' / 'index.html').as_uri()}\n"
        f"To take along: {archive}\n"
        "make serve shows it at http://localhost:8000"
    )


def main():
    """Run the command that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["notebooks", "book", "student"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters to refresh")
    parser.add_argument("--jobs", type=int, help="chapters at a time (default: one for notebooks, else one a core)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(chapters())
    if unknown:
        parser.error(f"no such chapter: {', '.join(sorted(unknown))}; there are {', '.join(chapters())}")
    try:
        if arguments.command == "book":
            build_book(arguments.jobs or default_jobs())
        elif arguments.command == "student":
            write_student()
        elif missing_worlds():
            raise BuildError(f"Without {' and '.join(missing_worlds())} the committed notebooks would lose figures")
        else:
            execute_all(arguments.names or chapters(), NOTEBOOKS, arguments.jobs or 1)
    except BuildError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nInterrupted. The page and the notebooks that were there are whole; the same command begins again, and "
            "need not repeat what is remembered."
        )


if __name__ == "__main__":
    from tools import site  # by its name: worker processes know its functions and errors under that

    site.main()
