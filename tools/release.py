"""A release: numbers, tests, wheel and sdist that were tried, what is attached to it, and the tag at the end.

    python -m tools.release 0.3.0          as make release VERSION=0.3.0
    python -m tools.release 0.3.0 --dry    the same in a clone, _build/release-dry, without CI's commands

The version stands in osrlib/__init__.py; CITATION.cff and CHANGELOG.md follow. What is made lies in
_build/release/VERSION. Nothing is pushed or uploaded: that is for people to do. Where a step fails, the three files are
as before, and there is neither commit nor tag.
"""

import argparse
import datetime
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from packaging.version import InvalidVersion, Version

from tools import chapters, paths, site
from tools.chapters import BuildError

VERSION_FILE, CHANGELOG = Path("osrlib/__init__.py"), Path("CHANGELOG.md")
CITATION = paths.CITATION.relative_to(paths.ROOT)
NUMBER = re.compile(r'(?<=^__version__ = ")[^"]+(?="$)', re.MULTILINE)
UNRELEASED = "## Unreleased\n"
SMOKE = """
import pathlib, sys
import numpy as np, osrlib
from osrlib import zoo
from osrlib.output import infer
assert pathlib.Path(osrlib.__file__).is_relative_to(sys.prefix), osrlib.__file__
for name in zoo.MODELS:
    assert len(infer(zoo.load(name), np.zeros((2, 28, 28), np.uint8)).logits) == 2
print(osrlib.__version__)
"""
"""What an environment must be able to do that has the wheel: load every published network and ask it."""


def run(*command, cwd):
    """Run a command that must succeed; returns what it printed."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def check(version, root, dry=False):
    """BuildError where this version cannot be released from this tree. A dry run needs no news."""
    current = NUMBER.search((root / VERSION_FILE).read_text(encoding="utf-8"))[0]
    try:
        wanted = Version(version)
    except InvalidVersion:
        raise BuildError(f"VERSION: expected a number such as 0.3.0, got {version!r}") from None
    if wanted < Version(current) or str(wanted) != version:
        raise BuildError(f"VERSION: expected {current} or larger, got {version}")
    if run("git", "status", "--porcelain", cwd=root):
        raise BuildError("The tree has changes that are not committed")
    if run("git", "tag", "--list", f"v{version}", cwd=root):
        raise BuildError(f"There is a tag v{version} already")
    if not dry and not notes((root / CHANGELOG).read_text(encoding="utf-8")):
        raise BuildError(f"{CHANGELOG} has nothing under Unreleased")


def notes(changelog):
    """What the changelog says of the unreleased changes."""
    return changelog.partition(UNRELEASED)[2].partition("\n## ")[0].strip()


def set_version(version, date, root):
    """Write the version where it lives, and where it is told."""

    def edit(file, change):
        text = change((root / file).read_text(encoding="utf-8"))
        (root / file).write_text(text, encoding="utf-8")

    def cite(text):
        for key, value in (("version", version), ("date-released", date)):
            text = re.sub(rf"^{key}: .*\n", "", text, flags=re.MULTILINE) + f"{key}: {value}\n"
        return text

    edit(VERSION_FILE, lambda text: NUMBER.sub(version, text))
    edit(CITATION, cite)
    edit(CHANGELOG, lambda text: text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} ({date})\n", 1))


def ci_commands():
    """The targets of make that CI runs."""
    return re.findall(r"^make (\S+)$", (paths.ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


def pack(version, root, page):
    """Build, try and collect what is attached to the release. page: the folder with the rendered book's archive."""
    folder = root / "_build" / "release" / version
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, root, cwd=root)
    packed = sorted(folder.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *packed, cwd=root)
    (wheel,) = folder.glob("*.whl")
    told = tried(wheel, folder.with_name(f"{version}-environment"))
    if told != version:
        raise BuildError(f"{wheel.name} says that it is {told}")
    for file in (root / "osrlib" / "weights").iterdir():
        shutil.copy(file, folder)
    attached = {f"{chapters.DISTRIBUTION}-{version}-page.zip": page / site.ARCHIVE}
    attached["claims.json"] = page / "html" / "book" / "claims.json"
    for name, file in attached.items():
        if file.exists():
            shutil.copy(file, folder / name)
        else:
            print(f"Left out, since make book has not made it: {file}")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return folder


def tried(wheel, folder):
    """Install a wheel into an empty environment and use it there. Returns the version that it tells.

    Its dependencies are those of this environment: they come after, so that osrlib is the wheel's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=wheel.parent)
    base = {"base": str(folder), "platbase": str(folder)}
    program = Path(sysconfig.get_path("scripts", "venv", base)) / Path(sys.executable).name
    install = [sys.executable, "-m", "pip", "--python", program, "install", "--quiet", "--no-index", "--no-deps"]
    run(*install, wheel, cwd=folder)
    own = Path(sysconfig.get_path("purelib", "venv", base)) / "dependencies.pth"
    own.write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}), encoding="utf-8")
    return run(program, "-I", "-c", SMOKE, cwd=folder)


def release(version, root, dry):
    """All of it, in a clean tree. Returns the folder of what is attached."""
    check(version, root, dry)
    date = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}"
    text = notes((root / CHANGELOG).read_text(encoding="utf-8"))
    changed = [VERSION_FILE, CITATION, CHANGELOG]
    try:
        set_version(version, date, root)
        if not dry and subprocess.run(["make", *ci_commands()], cwd=root).returncode:
            raise BuildError("What CI runs has failed")
        folder = pack(version, root, paths.BUILD)
        (folder / "NOTES.md").write_text(f"{text}\n", encoding="utf-8")
        run("git", "commit", "--quiet", "--message", f"Version {version}", "--", *changed, cwd=root)
    except BaseException:
        run("git", "restore", "--staged", "--worktree", "--", *changed, cwd=root)
        raise
    run("git", "tag", "--annotate", f"v{version}", "--message", f"Version {version}", cwd=root)
    return folder


def clone():
    """The commit that the tree stands at, in a folder of its own, with an author of its own. Returns the folder."""
    folder = paths.BUILD / "release-dry"
    shutil.rmtree(folder, ignore_errors=True)
    run("git", "clone", "--quiet", "--no-tags", paths.ROOT, folder, cwd=paths.ROOT)
    for key, value in (("user.name", "dry run"), ("user.email", "dry@run.invalid")):
        run("git", "config", key, value, cwd=folder)
    return folder


def main():
    """Run the release, or try it."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version")
    parser.add_argument("--dry", action="store_true", help="try it in a clone")
    arguments = parser.parse_args()
    try:
        folder = release(arguments.version, clone() if arguments.dry else paths.ROOT, arguments.dry)
    except BuildError as error:
        sys.exit(f"\n{error}\n\nNothing was released.")
    print(*sorted(file.name for file in folder.iterdir()), f"\nin {folder}", sep="\n")
    if arguments.dry:
        print(f"Without: make {' '.join(ci_commands())}. The tree, its commits and its tags are as before.")
    else:
        print(f"Now look at it, then: git push origin HEAD v{arguments.version}, and attach these files.")


if __name__ == "__main__":
    main()
