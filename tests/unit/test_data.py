"""Worlds: the right bytes, a cache that cannot lie, and one clear word where a world cannot be had."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from osrlib import _files, data
from tests.conftest import WRONG_IMAGES


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path))
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("name", ["letters", "patches", "noise"])
def test_made_worlds_have_the_same_bytes_everywhere(cache, name):
    # load() compares with the pinned SHA-256 and raises where a machine makes other bytes
    world = data.load(name)
    assert data._digest(world.images, world.labels) == data.WORLDS[name].sha256["test"]
    assert set(world.labels) == set(range(len(world.classes)))


def test_mnist_noise_is_made_from_the_pinned_digits():
    world, digits = data.load("mnist-noise"), data.load("mnist")
    assert (world.images >= digits.images).all() and (world.labels == digits.labels).all()


def test_mnist_is_the_original():
    assert len(data.load("mnist", "train")) == 60_000
    assert list(data.load("mnist").labels[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_letters_are_framed_like_digits():
    letters = data.load("letters").images
    for axis in (1, 2):
        used = letters.any(axis)
        extent = 28 - used.argmax(1) - used[:, ::-1].argmax(1)
        assert extent.max() <= 20
        centre = (letters.sum(axis) @ np.arange(28)) / letters.sum((1, 2))
        assert np.median(np.abs(centre - 14)) < 0.5 and np.abs(centre - 14).max() < 4


@pytest.mark.parametrize(
    "damage", ["truncated", "other pixels", "no archive", "wrong shape", "a flipped byte", "a .npy"]
)
def test_a_damaged_cache_is_not_believed(cache, damage):
    path = cache / "noise-test.npz"
    good = data.load("noise")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100_000])
    elif damage == "other pixels":
        np.savez(path, images=255 - good.images, labels=good.labels)
    elif damage == "no archive":
        path.write_text("<html>404</html>")
    elif damage == "wrong shape":
        np.savez(path, images=good.images[:, :20], labels=good.labels)
    elif damage == "a flipped byte":
        np.savez_compressed(path, images=good.images, labels=good.labels)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    else:
        np.save(tmp := cache / "other.npy", good.images)
        tmp.replace(path)
    with pytest.warns(UserWarning, match="damaged"):
        again = data.load("noise")
    assert (again.images == good.images).all()


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt, also where a shell has started the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_write_leaves_what_was_there(tmp_path, interruptible):
    file = tmp_path / "kept"
    _files.write(file, "as it was")
    with pytest.raises(KeyboardInterrupt), _files.whole(file) as half:
        half.write(b"half")
        half.flush()
        assert len(list(tmp_path.iterdir())) == 2
        signal.raise_signal(signal.SIGINT)
    assert list(tmp_path.iterdir()) == [file] and file.read_text() == "as it was"


def test_ctrl_c_before_the_last_step_leaves_no_cache(cache, monkeypatch, interruptible):
    monkeypatch.setattr(_files.os, "replace", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        data.load("noise")
    assert list(cache.iterdir()) == []


def test_a_file_that_another_process_has_mended_is_not_set_aside(cache, monkeypatch):
    good = data.load("noise")
    (path,) = cache.iterdir()
    whole, read = path.read_bytes(), np.load
    path.write_bytes(whole[:1000])

    def mend(*arguments, **options):
        path.write_bytes(whole)
        return read(*arguments, **options)

    monkeypatch.setattr(np, "load", mend)
    assert np.array_equal(data.load("noise").images, good.images)
    assert list(cache.iterdir()) == [path] and path.read_bytes() == whole


def test_a_cache_of_nobody(monkeypatch):
    monkeypatch.setenv("OSRLIB_DATA", "~nobody-by-this-name/worlds")
    for call in (data.cache_dir, data.available, lambda: data.load("noise")):
        with pytest.raises(ValueError, match="OSRLIB_DATA: expected a folder"):
            call()


def test_the_next_source_is_asked(cache, monkeypatch):
    monkeypatch.delenv("OSRLIB_OFFLINE")
    digits = np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.int64)

    def refused(folder):
        raise ConnectionRefusedError("no answer")

    monkeypatch.setitem(
        data._SOURCES, "kmnist", [("first", refused), ("second", lambda _: {"train": digits, "test": digits})]
    )
    assert len(data.load("kmnist")) == 20
    assert len(data.load("kmnist", "train")) == 20


def test_wrong_bytes_from_a_source_are_refused(cache, monkeypatch):
    monkeypatch.delenv("OSRLIB_OFFLINE")
    wrong = np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.int64)
    monkeypatch.setitem(data._SOURCES, "mnist", [("mirror", lambda _: {"train": wrong, "test": wrong})])
    with pytest.raises(data.Unavailable, match="SHA-256"):
        data.load("mnist")
    assert list(cache.iterdir()) == []


def test_without_a_source_the_word_says_how_to_supply_it(cache, capsys):
    with pytest.raises(data.Unavailable, match=r"(?s)cifar10.*OSRLIB_OFFLINE.*cifar10-test\.npz"):
        data.load("cifar10")
    worlds, missing = data.load_all(["cifar10", "noise"])
    assert list(worlds) == ["noise"] and list(missing) == ["cifar10"]
    assert "Going on without cifar10" in capsys.readouterr().err


def test_a_world_made_from_a_missing_one_names_it(cache):
    with pytest.raises(data.Unavailable, match=r"^mnist is not in"):
        data.load("mnist-noise")


def test_a_file_that_cannot_be_read_is_not_thrown_away(cache):
    (cache / "cifar10-test.npz").mkdir()
    with pytest.raises(data.Unavailable, match="cannot be read"):
        data.load("cifar10")
    assert (cache / "cifar10-test.npz").exists()


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path / "file" / "cache"))
    with pytest.raises(data.Unavailable, match="noise"):
        data.load("noise")


def test_a_file_put_there_by_hand_is_used(cache):
    np.savez(cache / "cifar10-test.npz", images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5))
    assert len(data.load("cifar10")) == 5
    np.savez(cache / "cifar10-test.npz", images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5) / 2)
    with pytest.warns(UserWarning, match="labels: expected a non-empty integer array"), pytest.raises(data.Unavailable):
        data.load("cifar10")


def test_available_says_why(cache):
    ready = data.available()
    assert list(ready) == list(data.WORLDS)
    assert ready["letters"] == (True, "made on demand")
    assert not ready["cifar10"][0] and "fetch cifar10" in ready["cifar10"][1]
    assert not ready["mnist-noise"][0]


def test_command_line(cache):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "osrlib.data", *arguments], capture_output=True, text=True)

    shown = run()
    assert shown.returncode == 0
    for name, world in data.WORLDS.items():
        assert name in shown.stdout and world.licence in shown.stdout
    assert run("fetch", "noise").returncode == 0
    failed = run("fetch", "cifar10")
    assert failed.returncode == 1 and "put cifar10-test.npz there" in failed.stdout
    assert run("fetch", "nonsense").returncode == 2


@pytest.mark.parametrize("name, split", [("mnis", "test"), (3, "test"), ("mnist", "validation"), ("noise", "train")])
def test_unknown_names(name, split):
    with pytest.raises(ValueError, match="expected one of"):
        data.load(name, split)


@pytest.mark.parametrize("images", WRONG_IMAGES.values(), ids=WRONG_IMAGES.keys())
def test_an_image_set_refuses_wrong_images(images):
    with pytest.raises(ValueError, match="expected"):
        data.ImageSet(images, np.zeros(3, int), "test", data.DIGITS)


def test_image_sets():
    digits = data.load("mnist")
    assert set(digits.only([3, 5]).labels) == {3, 5}
    assert (digits.sample(50, seed=4).images == digits.sample(50, seed=4).images).all()
    for wrong in (0, 10_001, 2.5):
        with pytest.raises(ValueError, match="whole number"):
            digits.sample(wrong)
    with pytest.raises(ValueError, match=r"0\.\.9"):
        digits.only([12])
    with pytest.raises(ValueError, match="one an image"):
        data.ImageSet(digits.images, digits.labels[:-1], "x", data.DIGITS)


def test_a_split_of_digits_is_renumbered():
    digits = data.load("mnist")
    known = digits.only((5, 0, 9), renumber=True)
    assert known.classes == ("5", "0", "9") and set(known.labels) == {0, 1, 2}
    with pytest.raises(ValueError, match="each once"):
        digits.only((5, 5, 0), renumber=True)
    plain = digits.only((5, 0, 9))
    assert (np.array([5, 0, 9])[known.labels] == plain.labels).all() and (known.images == plain.images).all()


def test_the_protocols_splits():
    for splits in data.SPLITS.values():
        assert len(splits) == 5
        for split in splits:
            assert len(set(split)) == 6 and set(split) <= set(range(10)) and list(split) == sorted(split)
    # what tells the two lists apart at a glance
    assert all(1 not in split and {3, 4} <= set(split) for split in data.SPLITS["vaze"])
    assert any(1 in split for split in data.SPLITS["neal"])
