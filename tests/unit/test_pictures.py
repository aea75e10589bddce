"""Own images: any size, any colour, as people take them; and files that are no images."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data as photographs

from osrlib import UNKNOWN, data, pictures, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer


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
    assert apart(pictures.to_mnist(shadow), expected) < 8


def test_a_photograph_is_taken_whole_and_any_shape_is_taken():
    random = np.random.default_rng(0).integers(0, 256, (90, 120), dtype=np.uint8)
    image = pictures.to_mnist(random)
    assert image.shape == (28, 28) and image.min() > 0
    left = pictures.to_mnist(np.hstack([random, np.zeros((90, 1), np.uint8)]))  # the middle square hardly moves
    assert np.abs(left.astype(int) - image).mean() < 20
    for paper in (0, 128, 255):
        with pytest.raises(ValueError, match="expected a drawing, got an even page"):
            pictures.look(np.full((50, 40), paper, np.uint8))
    for shape in ((1, 400), (400, 1), (2000, 31)):
        assert pictures.to_mnist(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)).shape == (28, 28)


def test_a_picture_of_many_pixels_takes_little_memory(expected):
    large = drawing((7500, 5000), mode="L", box=(3000, 1000, 4250, 4000))
    tracemalloc.start()
    image = pictures.to_mnist(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert apart(image, expected) < 6 and apart(pictures.to_mnist(np.asarray(large)), image) == 0
    assert peak < 300e6


def seven(size=(600, 800), pen=30, width=40, box=(180, 200, 420, 600)):
    """A 7 in ink on paper, float [height, width]."""
    sheet, (left, top, right, bottom) = Image.new("L", size, 240), box
    strokes = [(left, top), (right, top), ((left + right) // 2 - 40, bottom)]
    ImageDraw.Draw(sheet).line(strokes, fill=pen, width=width, joint="curve")
    return np.asarray(sheet, float)


def grainy(page, amount=6):
    return page + np.random.default_rng(0).normal(0, amount, page.shape)


def ruled(page, step=50, level=170, both=False):
    page = page.copy()
    page[step // 2 :: step] = page[1 + step // 2 :: step] = np.minimum(page[step // 2 :: step], level)
    return ruled(page.T, step, level).T if both else page


def vignette(page, by=0.4):
    y, x = (np.linspace(-1, 1, n) ** 2 for n in page.shape)
    return page * (1 - by * np.add.outer(y, x) / 2)


def framed(page, inset=0):
    page = page.copy()
    inner = page[inset + 4 : len(page) - inset - 4, inset + 4 : page.shape[1] - inset - 4].copy()
    page[inset : len(page) - inset, inset : page.shape[1] - inset] = 0
    page[inset + 4 : len(page) - inset - 4, inset + 4 : page.shape[1] - inset - 4] = inner
    return page


def speckled(page):
    page, random = page.copy(), np.random.default_rng(1)
    for row, column in zip(random.integers(0, 795, 12), random.integers(0, 595, 12), strict=True):
        page[row : row + 3, column : column + 3] = 20
    return page


def sheet_on_nothing(page):
    image = Image.new("RGBA", (800, 1000), (0, 0, 0, 0))
    image.paste(as_image(page).convert("RGBA"), (100, 100))
    return image


def as_image(page):
    return Image.fromarray(np.clip(page, 0, 255).astype(np.uint8))


SPOILT = {
    "as it is": as_image(seven()),
    "grain": as_image(grainy(seven())),
    "specks": as_image(speckled(seven())),
    "ruled": as_image(ruled(seven())),
    "ruled darkly, in squares": as_image(ruled(seven(), 40, 110, both=True)),
    "a frame at the edge": as_image(framed(seven())),
    "a frame inside": as_image(framed(seven(), 30)),
    "dark corners": as_image(vignette(seven())),
    "all at once": as_image(grainy(vignette(ruled(seven())))),
    "cropped": as_image(seven()[175:622, 160:442]),
    "pencil": as_image(grainy(seven(pen=150, width=14), 3)),
    "a ball pen": as_image(seven(width=4)),
    "chalk": as_image(grainy(255 - seven())),
    "12 bits of 16": Image.fromarray((seven() * 16).astype(np.uint16)),
    "floats just above 1": Image.fromarray((seven() / 239.99).astype(np.float32)),
    "a sheet on nothing": sheet_on_nothing(seven()),
    "at the edge": as_image(seven(box=(180, 3, 420, 600))),
}  # fmt: skip


def test_pages_as_people_take_them_are_read():
    images = {name: pictures.look(page) for name, page in SPOILT.items()}
    assert {one.kind for one in images.values()} == {"drawing"}
    plain = images["as it is"].image
    for name, reading in images.items():
        assert apart(reading.image, plain) < 14, name
        assert reading.image.max() > 200, name
    told = {name: " ".join(one.notes) for name, one in images.items()}
    assert not told["as it is"] and not told["grain"] and not told["specks"]
    assert all("ruled lines or a frame" in told[name] for name in told if "ruled" in name or "frame" in name)
    assert "thin" in told["a ball pen"] and "edge" in told["at the edge"]


def test_a_frame_that_stays_is_told():
    small, thick = np.array(as_image(seven()).resize((48, 64)), float), seven()
    small[[4, 5, -6, -5], 4:-4] = small[4:-4, [4, 5, -6, -5]] = 30
    thick[40:80, 40:-40] = thick[-80:-40, 40:-40] = thick[40:-40, 40:80] = thick[40:-40, -80:-40] = 30
    for page in (small, thick):
        assert any("goes round the others" in note for note in pictures.look(as_image(page), "drawing").notes)


@pytest.mark.parametrize(
    "spoil",
    [grainy, ruled, vignette, lambda page: grainy(vignette(ruled(page, 44, 150, both=True))), framed],
    ids=["grain", "ruled", "dark corners", "all", "framed"],
)
def test_digits_on_spoilt_pages_are_named_rightly_or_refused(spoil):
    digits, random = data.load("mnist").sample(200, seed=4), np.random.default_rng(2)
    rule = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    images = []
    for digit in digits.images:
        page = np.full((800, 600), 245.0)
        large = np.asarray(Image.fromarray(digit).resize((400, 400), Image.Resampling.BICUBIC), float) / 255
        top, left = random.integers(20, 380), random.integers(20, 180)
        page[top : top + 400, left : left + 400] -= 205 * large
        images.append(pictures.to_mnist(as_image(spoil(page))))
    said, before = (rule.predict(these) for these in (np.stack(images), digits.images))
    wrong, wrong_before = (((one != digits.labels) & (one != UNKNOWN)).mean() for one in (said, before))
    assert (said == digits.labels).mean() >= 0.9 and wrong - wrong_before <= 0.01


STRAIGHT = {
    "1": [[(300, 120), (300, 680)]],
    "4": [[(360, 120), (120, 460), (480, 460)], [(380, 260), (380, 680)]],
    "7": [[(120, 140), (480, 140), (260, 680)], [(200, 400), (460, 400)]],
    "2": [[(120, 140), (480, 140), (120, 660), (480, 660)]],
}


@pytest.mark.parametrize("pen", [6, 12, 30])
@pytest.mark.parametrize("name", STRAIGHT)
def test_straight_strokes_are_no_ruled_lines(name, pen):
    sheet = Image.new("L", (600, 800), 245)
    for stroke in STRAIGHT[name]:
        ImageDraw.Draw(sheet).line(stroke, fill=30, width=pen)
    readings = [pictures.look(sheet)]
    if name != "1":  # cropped to its ink, a 1 is an even page
        readings.append(pictures.look(sheet.crop(Image.eval(sheet, lambda value: 245 - value).getbbox())))
    for reading in readings:
        assert "ruled" not in " ".join(reading.notes)
    said = infer(zoo.load("mtae-rule"), np.stack([one.image for one in readings])).guess
    assert set(said.tolist()) == {int(name)}


@pytest.mark.parametrize("both", [False, True])
def test_ruled_paper_may_be_turned_and_alone_it_is_empty(both):
    page = as_image(ruled(seven(), 50, 150, both))
    for angle in (0.6, 1, 3, -4):
        turned = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=240)
        edge = int(np.sin(np.deg2rad(abs(angle))) * 800) + 2
        reading = pictures.look(turned.crop((edge, edge, 600 - edge, 800 - edge)))
        assert infer(zoo.load("mtae-rule"), reading.image[None]).guess[0] == 7, angle
    with pytest.raises(ValueError, match="an even page"):
        pictures.look(as_image(ruled(np.full((800, 600), 240.0), 50, 150, both)))


@pytest.mark.parametrize(
    "paper, ink", [(60, 10), (110, 20), (127, 30), (180, 60), (128, 255), (180, 255), (40, 200), (200, 150)]
)
def test_ink_may_be_darker_or_lighter_than_any_paper(paper, ink, expected):
    page = np.asarray(drawing((600, 400), "L", 0, 255, (240, 80, 340, 320)), float)
    grey = ink + (paper - ink) * page / 255
    for one in (grey, grainy(grey, 4)):
        assert apart(pictures.to_mnist(as_image(one)), expected) < 8


def test_ink_may_differ_from_paper_in_colour_alone(expected):
    assert apart(pictures.to_mnist(drawing(ink=(20, 150, 20), paper=(230, 35, 30))), expected) < 8


def test_several_digits_are_told_and_read_one_by_one(mtae):
    digits = data.load("mnist").images[[3, 2, 1, 18]]
    page = np.full((300, 900), 250, np.uint8)
    for column, digit in enumerate(digits):
        page[80:220, 40 + 210 * column : 180 + 210 * column] -= (
            np.asarray(Image.fromarray(digit).resize((140, 140))) // 2
        )
    assert "4 drawings side by side" in " ".join(pictures.look(page).notes)
    each = pictures.digits(page)
    assert len(each) == 4 and not any(one.notes for one in each)
    alone = np.stack([pictures.to_mnist(digit) for digit in digits])
    assert all(apart(one.image, image) < 14 for one, image in zip(each, alone, strict=True))
    assert infer(mtae, np.stack([one.image for one in each])).guess.tolist() == [0, 1, 2, 3]
    assert len(pictures.digits(seven().astype(np.uint8))) == 1


def test_what_it_is_can_be_told():
    photograph = photographs.camera()
    assert pictures.look(photograph).kind == "photo" and pictures.look(photograph).notes
    assert pictures.look(photograph, "drawing").kind == "drawing"
    told = pictures.look(seven().astype(np.uint8), "photo")
    assert told.kind == "photo" and not told.notes and told.image[0, 0] > 200


def test_heic_is_read_or_the_way_is_told(tmp_path, monkeypatch):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match="pip install pillow-heif"):
        pictures.read_file(tmp_path / "phone.heic")


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
