"""Own images: any size, any colour, and files that are no images."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from osrlib import data, pictures


def drawing(size=(300, 200), mode="RGB", ink="black", paper="white", box=(120, 40, 170, 160)):
    """A filled ellipse on paper."""
    image = Image.new(mode, size, paper)
    ImageDraw.Draw(image).ellipse(box, fill=ink)
    return image


@pytest.fixture(scope="module")
def expected():
    return pictures.to_mnist(drawing())


def apart(image, other):
    """The mean difference of two images, one of them moved by a pixel at most: a tie may be rounded either way."""
    moves = [np.roll(image.astype(int), (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return min(np.abs(moved - other).mean() for moved in moves)


def test_a_drawing_fits_the_box_and_the_middle(expected):
    assert expected.shape == (28, 28) and expected.dtype == np.uint8 and expected.max() >= 250
    rows, columns = np.flatnonzero(expected.any(1)), np.flatnonzero(expected.any(0))
    assert rows[-1] - rows[0] + 1 == 20 and columns[-1] - columns[0] + 1 < 20
    centre = [(expected.sum(axis) * (np.arange(28) + 0.5)).sum() / expected.sum(dtype=float) for axis in (0, 1)]
    assert centre == pytest.approx((14.5, 14.5), abs=0.51)


def test_size_colour_and_place_do_not_matter(expected):
    floats = np.asarray(drawing(mode="L"), np.float32)
    others = [
        drawing(ink="white", paper="black"),
        drawing(ink="navy", paper="lightyellow"),
        drawing(mode="L"),
        drawing(mode="CMYK", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0)),
        drawing((900, 600), box=(360, 120, 510, 480)),
        drawing(box=(220, 70, 270, 190)),
        drawing().convert("P"),
        drawing().convert("1"),
        Image.fromarray(floats / 255),
        Image.fromarray(floats),
        Image.fromarray(floats.astype(np.uint16) * 257),
        drawing(mode="RGBA", ink=(255, 255, 255, 255), paper=(0, 0, 0, 0)),  # what is transparent is paper
        drawing(mode="RGBA", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0)),
    ]
    for i, other in enumerate(others):
        assert apart(pictures.to_mnist(other), expected) < 6, i


def test_digits_of_mnist_stay_what_they_are():
    images = data.load("mnist").images[:300]
    again = np.stack([pictures.to_mnist(image) for image in images])
    assert (again == images).all((1, 2)).mean() > 0.7 and np.abs(again.astype(int) - images).mean() < 0.2


def test_a_shadow_over_the_page_is_no_stroke(expected):
    shadow = np.clip(np.asarray(drawing(mode="L"), float) - np.linspace(0, 25, 300), 0, 255).astype(np.uint8)
    assert apart(pictures.to_mnist(shadow), expected) < 6


def test_a_photograph_is_taken_whole_and_any_shape_is_taken():
    random = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    image = pictures.to_mnist(random)
    assert image.shape == (28, 28) and image.min() > 0
    left = pictures.to_mnist(np.hstack([random, np.zeros((90, 1), np.uint8)]))  # the middle square hardly moves
    assert np.abs(left.astype(int) - image).mean() < 20
    for paper in (0, 128, 255):  # without a drawing
        assert not pictures.to_mnist(np.full((50, 40), paper, np.uint8)).any()
    for shape in ((1, 400), (400, 1), (2000, 31), (1, 1)):
        assert pictures.to_mnist(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).shape == (28, 28)


def test_a_picture_of_many_pixels_takes_little_memory(expected):
    large = drawing((7500, 5000), mode="L", box=(3000, 1000, 4250, 4000))
    tracemalloc.start()
    image = pictures.to_mnist(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert apart(image, expected) < 6 and apart(pictures.to_mnist(np.asarray(large)), image) == 0
    assert peak < 300e6


def test_a_folder(tmp_path, capfd, monkeypatch, expected):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    (tmp_path / "below" / ".hidden").mkdir(parents=True)
    drawing().save(tmp_path / "b.png")
    drawing().save(tmp_path / "below" / "a.jpg", quality=60)
    first, second = drawing(ink="white", paper="black"), drawing(box=(10, 10, 290, 60))
    first.save(tmp_path / "c.gif", save_all=True, append_images=[second])
    drawing().save(tmp_path / "named wrongly.png", format="JPEG", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    drawing().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    for hidden in ("below/.hidden/no.png", ".no.png"):
        drawing().save(tmp_path / hidden)
    for name, size in (("huge.png", (700, 700)), ("large.png", (500, 300))):
        drawing(size).save(tmp_path / name)
    for name, content in (("empty.png", ""), ("note.png", "not an image"), ("note.txt", "not an image")):
        (tmp_path / name).write_text(content)
    Image.fromarray(np.full((40, 30), np.nan, np.float32)).save(tmp_path / "levels.tiff")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    found = pictures.read(str(tmp_path))
    assert found.files == ["b.png", str(Path("below/a.jpg")), "c.gif", "named wrongly.png", "turned.jpg"]
    assert all(apart(image, expected) < 6 for image in found.images)
    assert set(found.skipped) == {
        "huge.png",
        "large.png",
        "empty.png",
        "note.png",
        "note.txt",
        "torn.png",
        "levels.tiff",
    }
    assert "pixels" in found.skipped["huge.png"] and "pixels" in found.skipped["large.png"]
    said = capfd.readouterr().err
    assert all(f"skipped {name}: " in said for name in found.skipped) and str(tmp_path) not in said


def test_a_folder_without_images(tmp_path):
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(ValueError, match="folder: expected"):
            pictures.read(folder)


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_folder_that_shows_names_only_is_passed_over(tmp_path):
    (tmp_path / "closed").mkdir()
    for place in ("closed/a.png", "b.png"):
        drawing().save(tmp_path / place)
    (tmp_path / "closed").chmod(0o444)
    # root may look where others may not, unless it lays that right down
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    code = "import sys; from osrlib import pictures; told = pictures.read(sys.argv[1]); print(told.files, told.skipped)"
    ran = subprocess.run([*prefix, sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    (tmp_path / "closed").chmod(0o755)
    assert ran.stdout.startswith("['b.png'] {'closed/a.png': 'Permission denied"), ran.stderr
