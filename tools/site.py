"""From chapters to a book: book/chapters/*.md, to notebooks, executed, to HTML.

    python -m tools.site notebooks [NAME ...]   refresh the committed notebooks (default: all)
    python -m tools.site text [NAME ...]        the same where only words changed: without executing, in seconds
    python -m tools.site book                   execute every chapter afresh under _build and render _build/html
    python -m tools.site student                write _build/student: the chapters without their solutions

Committed notebooks are executed one after the other, a book's chapters side by side (--jobs). In their text,
{glue:text}`name:format` stands for a number that the chapter glued while it ran; it is filled in here, so that a reader
in Colab sees it too. {{ cost }} stands for the time and memory that the chapter took. Prose pages take their numbers
from osrlib/weights/reference.json, experiments/results/speed.json and experiments/results/deciding.json, and from what
chapters glued: `06.alpha` is chapter 6's `alpha`. In them {{ fig-NAME }} stands for a small copy of a chapter's figure.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

import nbformat
import yaml

import osrlib
from osrlib import files, zoo
from osrlib.speed import remember
from tools import cards, chapters, dark, execute, finish, licences, pages, paths, playground_export
from tools.chapters import BuildError

ARCHIVE = f"{chapters.DISTRIBUTION}.zip"
JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]


def take_place(new, folder):
    """Put a new folder in the place of an old one, which is deleted only then."""
    old = folder.with_name(f"{folder.name}-before")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def write_student(address=None):
    """The chapters as notebooks for students, not run, with the numbers of the committed ones in their text."""
    new, folder = paths.BUILD / "student-new", paths.BUILD / "student"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in chapters.names():
        notebook = chapters.to_notebook(name, chapters.without_solutions, address)
        done = nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)
        chapters.fill_notebook(notebook, chapters.glued(done), done.metadata["osrlib"]["cost"], name)
        nbformat.write(notebook, new / f"{name}.ipynb")
    take_place(new, folder)
    print(f"Wrote {len(chapters.names())} notebooks without solutions to {folder}")


def write_text(names):
    """Put changed words into committed notebooks, whose code need not run again."""
    done = {name: chapters.with_new_words(name) for name in names}  # all of them, before anything is written
    for name, notebook in done.items():
        files.write(paths.NOTEBOOKS / f"{name}.ipynb", f"{nbformat.writes(notebook)}\n")
    print(f"The words of {', '.join(names)} stand in the notebooks too")


def write_pages(address=None, folder=None):
    """What Jupyter Book reads besides notebooks and prose: settings and style.

    folder: where to (default: _build/site).
    """
    target = folder or paths.SITE
    shutil.rmtree(target, ignore_errors=True)
    (target / "book").mkdir(parents=True)
    settings = chapters.config(address)
    settings["sphinx"]["config"]["html_search_scorer"] = str(paths.BOOK / "theme" / "scorer.js")
    settings["html"]["extra_footer"] = f"<p>Version {osrlib.__version__}</p>"
    written = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
    (target / paths.CONFIG.name).write_text(written, encoding="utf-8")
    shutil.copy(paths.TOC, target)
    for part in ("_static", "theme"):
        shutil.copytree(paths.BOOK / part, target / part)
    shutil.copy(paths.BOOK / "references.bib", target / "book")


def measured(done):
    """What prose pages take their numbers from: dict name → number. done: dict chapter → its notebook, run."""
    results = {name: json.loads((paths.RESULTS / f"{name}.json").read_text("utf-8")) for name in ("speed", "deciding")}
    return chapters.flatten(zoo.reference() | results | chapters.glued_by_number(done))


def write_prose(done, folder=None):
    """The pages of book/, with their numbers and figures. done, folder: as above."""
    target = (folder or paths.SITE) / "book"
    values, costs = measured(done), pages.cost_table(execute.costs())
    stand_ins = chapters.flatten(chapters.glued_by_number(chapters.committed()))
    for page in paths.BOOK.glob("*.md"):
        text = chapters.fill(page.read_text(encoding="utf-8"), values, page.name, stand_ins)
        text = pages.with_figures(text.replace("{{ costs }}", costs), done, target / "figures")
        (target / page.name).write_text(text, encoding="utf-8")


def build_book(jobs, address=None):
    """Execute everything under _build/site and render it into _build/html."""
    remember.forget()
    write_pages(address)
    notebooks, start = paths.SITE / "notebooks", time.perf_counter()
    took = execute.execute_all(chapters.names(), notebooks, jobs, address, themes=True)
    built = time.perf_counter() - start
    done = {name: nbformat.read(notebooks / f"{name}.ipynb", as_version=4) for name in chapters.names()}
    for name, notebook in done.items():
        prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        for cell, text in zip(prose, pages.link_terms([cell.source for cell in prose]), strict=True):
            cell.source = text
        pages.name_disclosures(notebook)
        dark.take(notebook, paths.SITE / "extra" / "_images")
        nbformat.write(notebook, notebooks / f"{name}.ipynb")
    write_prose(done)
    told = {name: notebook.metadata["osrlib"]["cost"] for name, notebook in done.items()}
    glued = {name: chapters.glued(notebook) for name, notebook in done.items()}
    made = {
        "claims": pages.claims_page(glued),
        "status": pages.status_page(took, told, jobs, built),
        "licences": licences.page(),
        "cards": cards.page(),
    }
    for name, text in made.items():
        (paths.SITE / "book" / f"{name}.md").write_text(text, encoding="utf-8")
    (paths.SITE / "extra" / "book").mkdir(parents=True)
    (paths.SITE / "extra" / "book" / "claims.json").write_text(pages.claims_json(glued), encoding="utf-8")
    shutil.copytree(paths.BOOK / "playground", paths.SITE / "extra" / "playground")
    playground_export.write(paths.SITE / "extra" / "playground")
    render()


def render():
    """Make _build/html and its archive from _build/site."""
    shutil.rmtree(paths.RENDER, ignore_errors=True)
    command = [*JUPYTER_BOOK, "build", paths.SITE, "--path-output", paths.RENDER, "-W", "-n", "--keep-going", "-q"]
    # in a session of its own: Ctrl-C reaches this process alone, which then ends that one
    if subprocess.run(list(map(str, command)), check=False, start_new_session=True).returncode:
        raise BuildError("Jupyter Book found the faults above")
    html, archive = paths.RENDER / "_build" / "html", paths.BUILD / ARCHIVE
    finish.finish(html)
    packed = shutil.make_archive(paths.RENDER / archive.stem, "zip", html.parent, "html")
    # last, so that an interrupted build leaves the page of the one before
    os.replace(packed, archive)
    take_place(html, paths.HTML)
    print(
        f"\nThe book is ready: {(paths.HTML / 'index.html').as_uri()}\n"
        f"To take along: {archive}\n"
        "make serve shows it at http://localhost:8000"
    )


def move(address):
    """Write the repository's address, and that of its page, into _config.yml and CITATION.cff: no other file has it."""
    old, new = chapters.config(), chapters.config(address)
    for file in (paths.CONFIG, paths.CITATION):
        text = file.read_text(encoding="utf-8").replace(old["repository"]["url"], new["repository"]["url"])
        files.write(file, text.replace(old["html"]["baseurl"], new["html"]["baseurl"]))


def main():
    """Run the command that was asked for."""
    # a terminal that can't show a letter of some path shows another in its place
    sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m tools.site", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["notebooks", "text", "book", "student"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="chapters to refresh")
    parser.add_argument("--jobs", type=int, help="chapters at a time (default: one for notebooks, else one a core)")
    parser.add_argument(
        "--address", metavar="URL",
        help="where the repository is, https://github.com/OWNER/NAME (default: as _config.yml says); notebooks writes "
        "it into _config.yml and CITATION.cff too",
    )  # fmt: skip
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(chapters.names())
    if unknown:
        parser.error(f"no such chapter: {', '.join(sorted(unknown))}; there are {', '.join(chapters.names())}")
    try:
        if arguments.command == "book":
            build_book(arguments.jobs or execute.default_jobs(), arguments.address)
        elif arguments.command == "student":
            write_student(arguments.address)
        elif arguments.command == "text":
            write_text(arguments.names or chapters.names())
        elif missing := execute.missing_worlds():
            raise BuildError(f"Without {' and '.join(missing)} the committed notebooks would lose figures")
        else:
            names = arguments.names or chapters.names()
            execute.execute_all(names, paths.NOTEBOOKS, arguments.jobs or 1, arguments.address)
            if arguments.address:
                move(arguments.address)
    except BuildError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit(
            "\nInterrupted. The page and the notebooks that were there are whole; the same command begins again, and "
            "need not repeat what is remembered."
        )


if __name__ == "__main__":
    main()
