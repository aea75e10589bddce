"""Worlds: the right bytes, a cache that cannot lie, and one clear word where a world cannot be had."""

import dataclasses
import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from osrlib import data, files, zoo
from osrlib.output import infer
from osrlib.worlds import cache as worlds_cache
from osrlib.worlds import changed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, with nothing else to ask."""
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path))
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    return tmp_path


def test_the_reports_digits_are_the_same_everywhere():
    """Its authors' split, as scikit-learn draws it: another one would move every figure of the report."""
    train, validation = data.report_digits(), data.report_digits("validation")
    assert (len(train), len(validation)) == (38_400, 9_600)
    assert train.labels[:12].tolist() == [9, 0, 7, 5, 3, 5, 7, 2, 6, 2, 3, 8]
    assert hashlib.sha256(train.images.tobytes()).hexdigest().startswith("dc6cce833f19e975")
    assert hashlib.sha256(validation.images.tobytes()).hexdigest().startswith("e40af326f2728ee5")


@pytest.mark.parametrize("name", [name for name, world in data.WORLDS.items() if world.make and not world.made_of])
def test_made_worlds_have_the_same_bytes_everywhere(cache, name):
    world = data.load(name)  # which raises where a machine makes other bytes
    assert data.digest(name) == data.WORLDS[name].sha256["test"]
    assert set(world.labels) == set(range(len(world.classes)))


@pytest.mark.parametrize("name", [name for name, world in data.WORLDS.items() if world.made_of])
def test_worlds_made_of_others_have_the_same_bytes_everywhere(name):
    world = data.WORLDS[name]
    made = data.ImageSet(*world.make(data.load(world.made_of))["test"], name, world.classes)
    assert worlds_cache.digest(made) == world.sha256["test"]


def test_shrunk_digits_are_small_and_no_fainter(digits):
    for part, size in enumerate(changed.SIZES):
        before, small = digits.images[part::3], changed.shrink(digits.images)[part::3]
        longer = np.maximum(*((small.any(axis) @ np.ones(28)).astype(int) for axis in (1, 2)))
        assert (longer <= size).all() and (longer == size).mean() > 0.9
        ink = small.sum((1, 2)) / before.sum((1, 2))
        np.testing.assert_allclose(ink, (size / 20) ** 2, rtol=0.15)


def test_a_pair_is_a_digit_and_another_one_to_its_right():
    levels = np.arange(40, 241, 40)
    blocks = np.zeros((6, 28, 28), np.uint8)
    blocks[:, 4:24, 8:20] = levels[:, None, None]
    rows = np.array([row[row > 0] for row in changed.side_by_side(blocks)[:, 14]])
    left, gap, right = rows[:, 4], rows[:, 9:11].min(1), rows[:, -5]
    assert rows.shape == (6, 20)  # where the blocks and the gap were 26 pixels long
    assert (left == levels).all() and (np.sort(right) == levels).all() and (gap < np.minimum(left, right) / 2).all()


def test_a_pen_draws_its_own_width_whatever_was_drawn_with(digits):
    bars = np.zeros((20, 28, 28), np.uint8)
    for thickness in range(1, 6):
        bars[4 * thickness - 4 : 4 * thickness, 4:24, 12 : 12 + thickness] = 255
    drawn = changed.redraw(bars)
    np.testing.assert_allclose(drawn[:, 14].sum(1) / 255, np.tile(changed.PENS, 5), atol=0.01)
    before, after = (infer(zoo.load("cnn"), images).guess for images in (digits.images, changed.redraw(digits.images)))
    assert (before == after).mean() > 0.95


@pytest.mark.parametrize("change", [changed.shrink, changed.side_by_side, changed.redraw])
def test_changed_digits_lie_where_mnist_has_them_and_nothing_stays_nothing(digits, change):
    images = change(digits.images).astype(float)
    for axis in (1, 2):
        centre = images.sum(3 - axis) @ np.arange(28) / images.sum((1, 2))
        assert (abs(centre - 14) <= 0.5).all()
    assert not change(np.zeros((3, 28, 28), np.uint8)).any()


def test_empty_pages_are_dark_and_nearly_even(cache):
    pages = data.load("empty").images.astype(int)
    off = np.ptp(pages, (1, 2))
    assert not pages[0].any() and pages.mean((1, 2)).max() < 33 and off.max() == 16 and off.min() == 0


def test_letters_unlike_digits_are_those_that_pass_for_none():
    letters = data.load("letters")
    kept = letters[data.unlike_digits(letters)]
    shown = {kept.classes[label] for label in kept.labels}
    assert shown == set("ACEFHKLMNPRTUVWXYacdefhkmnprtuvwxy") and len(kept) == 100 * len(shown)


def test_mnist_is_the_original():
    assert list(data.load("mnist").labels[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.digest("mnist", "train") == data.WORLDS["mnist"].sha256["train"]
    for name, split in (("mnist", "validation"), ("noise", "train")):
        with pytest.raises(ValueError, match="split: expected one of"):
            data.load(name, split)


def packed(save, *arrays, **named):
    save(buffer := io.BytesIO(), *arrays, **named)
    return buffer.getvalue()


def test_a_damaged_cache_is_not_believed(cache):
    good = data.load("noise")
    whole = packed(np.savez_compressed, images=good.images, labels=good.labels)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (
        b"", b"<html>404</html>", whole[:100_000], bytes(flipped), packed(np.save, good.images),
        packed(np.savez, images=255 - good.images, labels=good.labels),
        packed(np.savez, images=good.images[:, :20], labels=good.labels),
    ):  # fmt: skip
        (cache / "noise-test.npz").write_bytes(content)
        with pytest.warns(UserWarning, match="damaged"):
            assert data.load("noise") == good
        assert (cache / "noise-test.npz.damaged").read_bytes() == content


def test_ctrl_c_leaves_what_was_there(cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    file = cache / "kept"
    files.write(file, "as it was")
    with pytest.raises(KeyboardInterrupt), files.whole(file) as half:
        half.write(b"half")
        half.flush()
        assert len(list(cache.iterdir())) == 2
        interrupted()
    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("noise")  # before its last step
    assert list(cache.iterdir()) == [file] and file.read_text() == "as it was"


def test_a_file_put_there_by_hand_is_used_and_one_that_cannot_be_read_is_left(cache):
    file = cache / "cifar10-test.npz"
    np.savez(file, images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5))
    assert len(data.load("cifar10")) == 5
    np.savez(file, images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5) / 2)
    with pytest.warns(UserWarning, match="labels: expected"), pytest.raises(data.Unavailable):
        data.load("cifar10")
    file.mkdir()
    with pytest.raises(data.Unavailable, match="cannot be read"):
        data.load("cifar10")


def test_a_cache_that_cannot_be_used_is_said(cache, monkeypatch):
    (cache / "file").write_text("")
    monkeypatch.setenv("OSRLIB_DATA", str(cache / "file" / "cache"))
    with pytest.raises(data.Unavailable, match="noise"):
        data.load("noise")
    monkeypatch.setenv("OSRLIB_DATA", "~nobody-by-this-name/worlds")
    for call in (data.cache_dir, data.available, lambda: data.load("noise")):
        with pytest.raises(ValueError, match="OSRLIB_DATA: expected a folder"):
            call()


def test_the_next_source_is_asked_and_wrong_bytes_are_refused(cache, monkeypatch):
    monkeypatch.delenv("OSRLIB_OFFLINE")
    some = {split: (np.zeros((20, 28, 28), np.uint8), np.zeros(20, np.int64)) for split in ("train", "test")}

    def silent(folder):
        raise ConnectionRefusedError("no answer")

    for name in ("kmnist", "mnist"):
        sources = (("first", silent), ("second", lambda _: some))
        monkeypatch.setitem(data.WORLDS, name, dataclasses.replace(data.WORLDS[name], sources=sources))
    assert len(data.load("kmnist")) == len(data.load("kmnist", "train")) == 20
    with pytest.raises(data.Unavailable, match=r"first: no answer; second: SHA-256"):
        data.load("mnist")
    assert not list(cache.glob("mnist*"))


def test_without_a_source_the_word_says_how_to_supply_it(cache, capsys):
    with pytest.raises(data.Unavailable, match=r"(?s)cifar10.*OSRLIB_OFFLINE.*cifar10-test\.npz"):
        data.load("cifar10")
    with pytest.raises(data.Unavailable, match=r"^mnist is not in"):  # the one that it is made from
        data.load("mnist-noise")
    worlds, missing = data.load_all(["cifar10", "noise"])
    assert list(worlds) == ["noise"] and list(missing) == ["cifar10"]
    assert "Going on without cifar10" in capsys.readouterr().err
    ready = data.available()
    assert list(ready) == list(data.WORLDS) and ready["letters"][0] and ready["noise"][0]
    assert not ready["cifar10"][0] and "fetch cifar10" in ready["cifar10"][1] and not ready["mnist-noise"][0]


def command(*arguments, encoding):
    own = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    return subprocess.run([sys.executable, "-m", "osrlib.data", *arguments], capture_output=True, env=own)


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "ascii"])
def test_the_command_line_on_any_console(cache, encoding):
    ran = command(encoding=encoding)
    shown = ran.stdout.decode(encoding)
    assert ran.returncode == 0 and ran.stderr == b"" and ("28×28" in shown) == (encoding == "cp1252")
    for name, world in data.WORLDS.items():
        assert name in shown and world.licence in shown
    if encoding == "ascii":
        failed = command("fetch", "cifar10", encoding=encoding)
        assert failed.returncode == 1 and b"put cifar10-test.npz there" in failed.stdout


def test_an_image_set_is_a_sequence_of_pairs(digits):
    some = digits[:5]
    image, label = some[-1]
    assert (image == some.images[4]).all() and label == some.labels[4] and image.shape == (28, 28)
    assert [int(label) for _, label in some] == some.labels.tolist() == [int(some[np.int64(i)][1]) for i in range(5)]
    with pytest.raises(IndexError):
        some[5]
    batches = list(DataLoader(some, batch_size=2))
    assert [len(images) for images, _ in batches] == [2, 2, 1] and batches[0][0].shape == (2, 28, 28)


def test_image_sets_are_equal_by_what_they_hold(digits):
    some, labels, image = digits[:5], digits.labels[:5].copy(), digits.images[:5].copy()
    same = data.ImageSet(image.copy(), labels.astype(np.int16), some.name, list(some.classes))
    assert some == same and hash(some) == hash(same) and len({some, same, digits}) == 2
    labels[-1] = (labels[-1] + 1) % 10
    image[-1, 0, 0] ^= 1
    for change in ({"images": image}, {"labels": labels}, {"name": "others"}, {"classes": tuple("ABCDEFGHIJ")}):
        assert dataclasses.replace(some, **change) != some
    assert some != digits[:4] and some != some.images.tolist()


def test_parts_of_an_image_set(digits):
    drawn, known = digits.sample(200, seed=4), digits.only((5, 0, 9), renumber=True)
    assert (
        drawn == digits.sample(200, seed=4) != digits.sample(200, seed=5)
        and len(np.unique(drawn.images, axis=0)) == 200
    )
    assert known.classes == ("5", "0", "9") and (known.images == digits.only((5, 0, 9)).images).all()
    np.testing.assert_array_equal(np.array([5, 0, 9])[known.labels], digits.labels[np.isin(digits.labels, [5, 0, 9])])
    for call, words in (
        (
            lambda: data.ImageSet(digits.images[:3], np.array([0, 4, 5]), "x", data.DIGITS[:5]),
            r"labels: expected 0\.\.4",
        ),
        (lambda: digits.sample(501), "size: expected at most 500"),
        (lambda: digits.only((5, 5, 0), renumber=True), "labels: expected each once"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
