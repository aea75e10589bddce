"""The book in other languages: what is translated, what is stale, and the pages.

    python -m tools.translations            list what is stale, missing or orphaned in every language
    python -m tools.translations update     bring every language's files up to the source; what is stale is marked fuzzy
    python -m tools.translations html       render _build/translations/LANGUAGE/html from the committed notebooks

The route is Sphinx's own. A paragraph is known by its text: Sphinx's gettext builder collects the paragraphs of a page,
and Babel compares them with book/translations/LANGUAGE/LC_MESSAGES/PAGE.po. Where a paragraph has no translation, or a
stale one, the page shows the source. What a run measures is no part of a paragraph: a translation keeps the source's
{glue:text} roles, and they are filled in before the page is rendered.
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import textwrap

import nbformat
import yaml
from babel.messages import pofile

from osrlib import files
from tools import chapters, paths, playground_export, site
from tools.chapters import BuildError

GETTEXT = {"gettext_compact": False, "gettext_location": False, "gettext_uuid": False, "html_additional_pages": {}}
MESSAGES = "LC_MESSAGES"
COST = {"de": "{} Sekunden und {} GiB (CPU-Kerne: {})"}  # the numbers that tools.execute writes


def languages():
    """The languages that there are translations into, as their folders are called."""
    return sorted(folder.parent.name for folder in paths.TRANSLATIONS.glob(f"*/{MESSAGES}"))


def catalogues(language):
    """A language's files: dict page → path."""
    folder = paths.TRANSLATIONS / language / MESSAGES
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(folder.rglob("*.po"))}


def read(file, language=None):
    """A catalogue of paragraphs, from a .po or .pot file."""
    with open(file, "rb") as stream:
        return pofile.read_po(stream, locale=language)


def source(pages):
    """The paragraphs of the source as it stands: dict page → catalogue. pages: as _toc.yml names them."""
    work = paths.BUILD / "translations" / "source"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("book", "notebooks", "extra"):
        (work / folder).mkdir(parents=True)
    for folder in ("_static", "theme"):
        shutil.copytree(paths.BOOK / folder, work / folder)
    settings = chapters.config()
    settings["sphinx"]["config"] |= GETTEXT
    toc = {"format": "jb-book", "root": pages[0]}
    if pages[1:]:
        toc["chapters"] = [{"file": page} for page in pages[1:]]
    for name, content in ((paths.CONFIG.name, settings), (paths.TOC.name, toc)):
        (work / name).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    for page in pages:
        folder, name = page.split("/")
        if folder == "notebooks":
            nbformat.write(with_figures(name), work / f"{page}.ipynb")
        else:
            shutil.copy(paths.BOOK / f"{name}.md", work / folder)
    jupyter_book(work, "--builder", "custom", "--custom-builder", "gettext")
    return {page: read(work / "_build" / "gettext" / f"{page}.pot") for page in pages}


def with_figures(name):
    """A chapter's source as it stands, with what its cells drew when they last ran: figures bring their captions."""
    notebook, committed = chapters.to_notebook(name), paths.NOTEBOOKS / f"{name}.ipynb"
    done = nbformat.read(committed, as_version=4).cells if committed.exists() else []
    drawn = {cell.source: cell.outputs for cell in done if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in drawn.get(cell.source, []) if "image/png" in one.get("data", {})]
    return notebook


def jupyter_book(folder, *options):
    """Run Jupyter Book in a folder. Links that lead out of the translated pages are no fault."""
    command = [*site.JUPYTER_BOOK, "build", folder, "--path-output", folder, "--keep-going", "-q", *options]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if run.returncode:
        raise BuildError(f"{run.stderr}\nJupyter Book did not render {folder}")


def words(paragraph):
    """Whether a paragraph has something to translate: a number, a role that stands for one, a formula have nothing."""
    return not paragraph.startswith("\n") and re.search("[A-Za-z]{2}", chapters.GLUE.sub("", paragraph))


def updated(language):
    """A language's catalogues, brought up to the source: dict page → catalogue, what is stale marked fuzzy."""
    found = {page: read(file, language) for page, file in catalogues(language).items()}
    templates = source(list(found))
    for page, catalogue in found.items():
        templates[page].creation_date = catalogue.creation_date  # else every update would change every file
        catalogue.update(templates[page])
    return found


def state(catalogue):
    """What is done and what is to do: dict of lists of messages, done, stale, missing and orphaned."""
    messages = [one for one in catalogue if one.id and words(one.id)]
    return {
        "done": [one for one in messages if one.string and not one.fuzzy],
        "stale": [one for one in messages if one.string and one.fuzzy],
        "missing": [one for one in messages if not one.string],
        "orphaned": [one for one in catalogue.obsolete.values() if one.string],
    }


def listing(language):
    """What is to do in a language, in lines of text."""
    lines = []
    for page, catalogue in updated(language).items():
        found = state(catalogue)
        lines.append(f"{language} {page}: " + ", ".join(f"{len(those)} {name}" for name, those in found.items()))
        for one in found["stale"]:
            (before, *_) = one.previous_id or ["?"]
            lines += ["  stale, the source was", indented(before), "  and is now", indented(one.id)]
        for name in ("missing", "orphaned"):
            lines += [f"  {name}: {textwrap.shorten(one.id, 90, placeholder='…')}" for one in found[name]]
    return lines


def indented(text):
    """A paragraph as the listing shows it."""
    return textwrap.fill(text, 110, initial_indent="    ", subsequent_indent="    ")


def update(language):
    """Write the language's files anew, as the source has it now."""
    for page, catalogue in updated(language).items():
        write(catalogue, catalogues(language)[page])


def write(catalogue, file):
    """Write a .po file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    pofile.write_po(written, catalogue, width=110, no_location=True, include_previous=True)
    file.write_bytes(written.getvalue().rstrip() + b"\n")


def filled(catalogue, values, cost, place):
    """A catalogue with numbers in place of the roles that stand for them, in source and translation."""
    costs = cost, cost_in(str(catalogue.locale), cost)
    for one in [one for one in catalogue if one.id and one.string]:
        del catalogue[one.id]
        parts = zip((one.id, one.string), costs, strict=True)
        text = [chapters.fill(part, values, place).replace("{{ cost }}", told) for part, told in parts]
        catalogue.add(*text, flags=one.flags)
    return catalogue


def cost_in(language, cost):
    """What a run costs, in a language's words where there are some."""
    numbers = re.findall(r"[\d.]+", cost)
    return COST[language].format(*numbers) if numbers and language in COST else cost


def render(language):
    """The whole book with what is translated in the place of its source."""
    work = paths.BUILD / "translations" / language
    done = chapters.committed()
    site.write_pages(folder=work)
    site.write_prose(done, work)
    shutil.copytree(paths.NOTEBOOKS, work / "notebooks")
    values = {f"notebooks/{name}": chapters.glued(notebook) for name, notebook in done.items()}
    costs = {f"notebooks/{name}": notebook.metadata["osrlib"]["cost"] for name, notebook in done.items()}
    for page, file in catalogues(language).items():
        catalogue = filled(read(file, language), values.get(page, site.measured(done)), costs.get(page, ""), page)
        write(catalogue, work / "locale" / language / MESSAGES / f"{page}.po")
    shutil.copytree(paths.BOOK / "playground", work / "extra" / "playground")
    playground_export.write(work / "extra" / "playground")
    settings = yaml.safe_load((work / paths.CONFIG.name).read_text(encoding="utf-8"))
    settings["sphinx"]["config"] |= {"language": language, "locale_dirs": ["locale"], "gettext_compact": False}
    toc = yaml.safe_load((work / paths.TOC.name).read_text(encoding="utf-8"))
    for part in toc["parts"]:  # pages that a build writes about itself are not there
        part["chapters"] = [one for one in part["chapters"] if list(work.glob(f"{one['file']}.*"))]
    for name, content in ((paths.CONFIG.name, settings), (paths.TOC.name, toc)):
        files.write(work / name, yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    jupyter_book(work)
    site.take_place(work / "_build" / "html", work / "html")
    return work / "html"


def main():
    """Run the command that was asked for."""
    sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="python -m tools.translations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", default="list", choices=["list", "update", "html"])
    command = parser.parse_args().command
    try:
        for language in languages():
            if command == "list":
                print(*listing(language), sep="\n")
            elif command == "update":
                update(language)
            else:
                print(f"{language}: {(render(language) / 'index.html').as_uri()}")
    except BuildError as error:
        sys.exit(f"\n{error}")


if __name__ == "__main__":
    main()
