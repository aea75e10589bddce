"""A release is refused where it must be, and a failed one leaves everything as it was."""

import shutil

import pytest
import yaml

import osrlib
from tools import paths, release
from tools.chapters import BuildError

FILES = (release.VERSION_FILE, release.CITATION, release.CHANGELOG)


@pytest.fixture
def tree(tmp_path):
    """A repository of the three files that a release changes, committed; its folder."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(paths.ROOT / file, tmp_path / file)
    log = tmp_path / release.CHANGELOG
    log.write_text(f"# Changelog\n\n{release.UNRELEASED}\n- A new thing.\n\n## 0.1.0\n\n- The old.\n", encoding="utf-8")
    for command in ("init --quiet", "config user.name A", "config user.email a@b.invalid", "add ."):
        release.run("git", *command.split(), cwd=tmp_path)
    release.run("git", "commit", "--quiet", "--message", "all", cwd=tmp_path)
    return tmp_path


def texts(tree):
    """What stands in the files, and which tags and commits there are."""
    told = [release.run("git", *words.split(), cwd=tree) for words in ("tag --list", "log --oneline")]
    return [(tree / file).read_text(encoding="utf-8") for file in FILES] + told


def test_a_release_is_numbered_committed_and_tagged_last(tree, monkeypatch):
    tagged = []

    def pack(version, root, page):
        tagged.append(release.run("git", "tag", "--list", cwd=root))
        (root / "packed").mkdir()
        return root / "packed"

    monkeypatch.setattr(release, "pack", pack)
    folder = release.release("9.1.0", tree, dry=True)
    code, citation, changelog, tags, commits = texts(tree)
    cited = yaml.safe_load(citation)
    assert '\n__version__ = "9.1.0"\n' in code and cited["version"] == "9.1.0" and cited["date-released"]
    assert f"## Unreleased\n\n## 9.1.0 ({cited['date-released']})\n\n- A new thing." in changelog
    assert (folder / "NOTES.md").read_text(encoding="utf-8") == "- A new thing.\n"
    assert tagged == [""] and tags == "v9.1.0" and "Version 9.1.0" in commits


def test_what_fails_on_the_way_leaves_all_as_it_was(tree, monkeypatch):
    before = texts(tree)

    def pack(*_):
        raise BuildError("twine does not like it")

    monkeypatch.setattr(release, "pack", pack)
    with pytest.raises(BuildError, match="twine"):
        release.release("9.1.0", tree, dry=True)
    assert texts(tree) == before and not release.run("git", "status", "--porcelain", cwd=tree)


@pytest.mark.parametrize(
    "version, spoil, told",
    [
        ("0.0.1", None, f"{osrlib.__version__} or larger"),
        ("next", None, "expected a number"),
        ("v9.1.0", None, "or larger"),
        ("9.1.0", lambda tree: (tree / "osrlib" / "more.py").touch(), "not committed"),
        ("9.1.0", lambda tree: release.run("git", "tag", "v9.1.0", cwd=tree), "tag v9.1.0 already"),
    ],
)
def test_a_release_is_refused(version, spoil, told, tree):
    if spoil:
        spoil(tree)
    before = texts(tree)
    with pytest.raises(BuildError, match=told):
        release.release(version, tree, dry=True)
    assert texts(tree) == before


def test_a_release_without_news_is_refused(tree):
    log = tree / release.CHANGELOG
    log.write_text(log.read_text(encoding="utf-8").replace("- A new thing.\n\n", ""), encoding="utf-8")
    release.run("git", "commit", "--all", "--quiet", "--message", "no news", cwd=tree)
    with pytest.raises(BuildError, match="Unreleased"):
        release.check("9.1.0", tree)
    release.check(
        "9.1.0", tree, dry=True
    )  # the day after a release, there is none, and a dry run is tried all the same


def test_a_release_runs_what_ci_runs():
    assert {"book", "test", "test-slow"} <= set(release.ci_commands())
