"""Own images: any size, any colour, and files that are no images."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from osrlib import data, folder


def drawing(size=(300, 200), mode="RGB", ink="black", paper="white", box=(120, 40, 170, 160)):
    """A filled ellipse on paper."""
    image = Image.new(mode, size, paper)
    ImageDraw.Draw(image).ellipse(box, fill=ink)
    return image


def middle(image):
    """The centre of mass, in pixels from the upper left edge."""
    at, mass = np.arange(28) + 0.5, image.astype(float)
    return (mass.sum(1) * at).sum() / mass.sum(), (mass.sum(0) * at).sum() / mass.sum()


def apart(image, other):
    """The mean difference of two images, one of them moved by a pixel at most: a tie may be rounded either way."""
    moves = [np.roll(image.astype(int), (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return min(np.abs(moved - other).mean() for moved in moves)


def test_a_drawing_fits_the_box_and_the_middle():
    image = folder.to_mnist(drawing())
    assert image.shape == (28, 28) and image.dtype == np.uint8 and image.max() >= 250
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert rows[-1] - rows[0] + 1 == 20 and columns[-1] - columns[0] + 1 < 20
    assert middle(image) == pytest.approx((14.5, 14.5), abs=0.51)


def test_size_colour_and_place_do_not_matter():
    expected = folder.to_mnist(drawing())
    others = [
        drawing(ink="white", paper="black"),
        drawing(ink="navy", paper="lightyellow"),
        drawing(mode="L"),
        drawing(mode="CMYK", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0)),
        drawing((900, 600), box=(360, 120, 510, 480)),
        drawing(box=(220, 70, 270, 190)),
        drawing().convert("P"),
    ]
    for other in others:
        assert apart(folder.to_mnist(other), expected) < 6


def test_digits_of_mnist_stay_what_they_are():
    images = data.load("mnist").images[:300]
    again = np.stack([folder.to_mnist(image) for image in images])
    assert (again == images).all((1, 2)).mean() > 0.7 and np.abs(again.astype(int) - images).mean() < 0.2


def test_a_shadow_over_the_page_is_no_stroke():
    page = np.full((240, 240), 225, np.uint8)
    page[90:150, 110:130] = 40
    shadow = np.clip(page - np.linspace(0, 25, 240)[None, :], 0, 255).astype(np.uint8)
    assert apart(folder.to_mnist(shadow), folder.to_mnist(page)) < 6


def test_floating_point_pixels():
    paper = np.ones((60, 60), np.float32)
    paper[20:40, 25:35] = 0
    assert apart(folder.to_mnist(Image.fromarray(paper)), folder.to_mnist((paper * 255).astype(np.uint8))) < 1


def test_white_ink_on_nothing():
    image = drawing(mode="RGBA", ink=(255, 255, 255, 255), paper=(0, 0, 0, 0))
    np.testing.assert_array_equal(folder.to_mnist(image), folder.to_mnist(drawing()))


def test_transparency_is_paper():
    image = drawing(mode="RGBA", ink=(0, 0, 0, 255), paper=(0, 0, 0, 0))
    np.testing.assert_array_equal(folder.to_mnist(image), folder.to_mnist(drawing()))


def test_sixteen_bits():
    deep = np.full((60, 60), 65535, np.uint16)
    deep[20:40, 25:35] = 300
    shallow = (deep // 257).astype(np.uint8)
    np.testing.assert_allclose(folder.to_mnist(Image.fromarray(deep)), folder.to_mnist(shallow), atol=1)


def test_a_photograph_is_taken_whole():
    random = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    image = folder.to_mnist(random)
    assert image.shape == (28, 28) and image.min() > 0
    left = folder.to_mnist(np.hstack([random, np.zeros((90, 1), np.uint8)]))  # the middle square hardly moves
    assert np.abs(left.astype(int) - image).mean() < 20


def test_paper_without_a_drawing_is_black():
    for paper in (0, 128, 255):
        assert not folder.to_mnist(np.full((50, 40), paper, np.uint8)).any()
    assert folder.to_mnist(np.zeros((1, 1), np.uint8)).shape == (28, 28)


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (3, 5), (28, 28), (2000, 31)])
def test_any_shape(shape):
    image = np.full(shape, 255, np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 0
    assert folder.to_mnist(image).shape == (28, 28)


def test_a_picture_of_many_pixels_takes_little_memory():
    large = drawing((7500, 5000), mode="L", box=(3000, 1000, 4250, 4000))
    tracemalloc.start()
    image = folder.to_mnist(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert apart(image, folder.to_mnist(drawing())) < 6 and apart(folder.to_mnist(np.asarray(large)), image) == 0
    assert peak < 300e6


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [..., (3, 4)], ids=["everywhere", "one pixel"])
def test_grey_levels_that_are_no_numbers_are_refused(wrong, where, tmp_path):
    levels = np.zeros((40, 30), np.float32)
    levels[where] = wrong
    Image.fromarray(levels).save(tmp_path / "levels.tiff")
    with pytest.raises(ValueError, match=r"image: expected finite numbers, got \d+ NaN or infinite"):
        folder.read_file(tmp_path / "levels.tiff")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_folder_that_shows_names_only_is_passed_over(tmp_path):
    (tmp_path / "closed").mkdir()
    for place in ("closed/a.png", "b.png"):
        drawing().save(tmp_path / place)
    (tmp_path / "closed").chmod(0o444)
    # root may look where others may not, unless it lays that right down
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    read = "import sys; from osrlib import folder; told = folder.read(sys.argv[1]); print(told.files, [*told.skipped])"
    command = [*prefix, sys.executable, "-c", read, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    (tmp_path / "closed").chmod(0o755)
    assert ran.stdout.strip() == f"['b.png'] {[str(Path('closed/a.png'))]}", ran.stderr
    assert f"skipped {Path('closed/a.png')}: Permission denied" in ran.stderr and "Traceback" not in ran.stderr


def test_a_folder(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    (tmp_path / "below" / ".hidden").mkdir(parents=True)
    drawing().save(tmp_path / "b.png")
    drawing().save(tmp_path / "below" / "a.jpg", quality=60)
    first, second = drawing(ink="white", paper="black"), drawing(box=(10, 10, 290, 60))
    first.save(tmp_path / "c.gif", save_all=True, append_images=[second])
    drawing().save(tmp_path / "below" / ".hidden" / "no.png")
    drawing().save(tmp_path / ".no.png")
    drawing((700, 700)).save(tmp_path / "huge.png")
    drawing((500, 300)).save(tmp_path / "large.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "note.png").write_text("not an image")
    (tmp_path / "note.txt").write_text("not an image")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    pictures = folder.read(tmp_path)
    assert pictures.files == ["b.png", str((tmp_path / "below" / "a.jpg").relative_to(tmp_path)), "c.gif"]
    assert pictures.images.shape == (3, 28, 28)
    expected = folder.to_mnist(drawing())
    assert all(apart(image, expected) < 6 for image in pictures.images)
    assert set(pictures.skipped) == {"huge.png", "large.png", "empty.png", "note.png", "note.txt", "torn.png"}
    assert "pixels" in pictures.skipped["huge.png"] and "pixels" in pictures.skipped["large.png"]
    said = capfd.readouterr().err
    assert all(f"skipped {name}: " in said for name in pictures.skipped) and str(tmp_path) not in said


def test_files_of_every_depth_and_colour(tmp_path):
    grey = np.asarray(drawing().convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen bits.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen bits.tif")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "floats.tif")
    drawing().convert("CMYK").save(tmp_path / "print.jpg", quality=90)
    drawing().convert("1").save(tmp_path / "one bit.png")
    drawing().convert("P").save(tmp_path / "palette.png")
    drawing().save(tmp_path / "animated.webp", save_all=True, append_images=[drawing(box=(10, 10, 290, 60))])
    drawing().save(tmp_path / "named wrongly.png", format="JPEG", quality=90)
    pictures = folder.read(tmp_path)
    assert len(pictures.files) == 8 and not pictures.skipped
    for name, image in zip(pictures.files, pictures.images, strict=True):
        assert apart(image, folder.to_mnist(drawing())) < 6, name


def test_a_turned_photograph_is_turned_back(tmp_path):
    image = drawing()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    assert apart(folder.read(tmp_path).images[0], folder.to_mnist(image)) < 6


def test_a_folder_refuses(tmp_path):
    with pytest.raises(ValueError, match="expected a folder"):
        folder.read(tmp_path / "none")
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(ValueError, match="at least one image"):
        folder.read(tmp_path)
    for wrong in (np.zeros((0, 5), np.uint8), np.zeros((5, 5), float), np.zeros((5, 5, 3), np.uint8)):
        with pytest.raises(ValueError, match="image: expected"):
            folder.to_mnist(wrong)
