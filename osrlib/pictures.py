"""Your own images: files of any size and colour, brought into MNIST's format."""

import math
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from osrlib import checks, cleaning, files

BOX, SIDE = 20, 28
CENTRE = 14.5  # where the digits of MNIST have it, in pixels from the edge: the middle of pixel 14
ENOUGH = 600 * 600  # pixels: what is larger is reduced first, so that no picture takes long or fills the memory
THIN, USUAL = 1.4, 2.2  # widths in MNIST's pixels: strokes below the first are thickened to the second
TOPS = (1, 255, 1023, 4095, 16383, 65535)  # what white is, in files of 8, 10, 12, 14 and 16 bits

Kind = checks.name_of(("drawing", "photo"))


class Reading(NamedTuple):
    """What was read: an image uint8 [28, 28]; "drawing" or "photo"; and what should be said of it, empty where the
    reading leaves no doubt."""

    image: np.ndarray
    kind: str
    notes: tuple


class Pictures(NamedTuple):
    """What a folder held: images uint8 [N, 28, 28], their files, file → reason for those that were skipped, and file →
    notes for those whose reading is in doubt."""

    images: np.ndarray
    files: list
    skipped: dict
    notes: dict


def read(folder: checks.Path) -> Pictures:
    """Every image in a folder and the folders below it, in the order of their names: :class:`Pictures`.

    A file that cannot be read as an image, or on which nothing is drawn, is skipped, and named on stderr with the
    reason. Hidden files are passed over. ValueError where there is no such folder, and where it holds no image that can
    be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"folder: expected a folder, got {str(folder)!r}")
    images, names, skipped, notes = [], [], {}, {}
    for name in files.below(folder):
        try:
            reading = read_file(folder / name)
        except ValueError as error:
            skipped[name] = str(error)
            print(f"skipped {name}: {error}", file=sys.stderr)
            continue
        images.append(reading.image)
        names.append(name)
        if reading.notes:
            notes[name] = reading.notes
    if not images:
        raise ValueError(f"folder: expected at least one image in {str(folder)!r}, got {len(skipped)} other files")
    return Pictures(np.stack(images), names, skipped, notes)


def read_file(path: checks.Path, kind: Kind | None = None) -> Reading:
    """One file, read as :func:`look` does; of several frames the first. ValueError, with the reason, for what is no
    image, and where nothing is drawn."""
    path = Path(path)
    if path.suffix.lower() in (".heic", ".heif"):
        _open_heif(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return look(image, kind)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # damaged files make Pillow's decoders fail in many ways
        reason = getattr(error, "strerror", None) or str(error)
        reason = reason.replace(repr(str(path)), path.name).replace(str(path), path.name)
        raise ValueError(reason or type(error).__name__) from error


def look(image: Image.Image | checks.Pixels["height width"], kind: Kind | None = None) -> Reading:
    """A PIL image, or an array of grey levels [height, width], in MNIST's format: bright on black, 28×28.

    Of a *drawing*, most is paper: it becomes black, the strokes white. As MNIST's authors did (LeCun et al. 1998), what
    was drawn is scaled to fit a box of 20×20 pixels, and put where its centre of mass falls into the middle of 28×28.
    Any other picture is a *photo*: its middle square, in grey, scaled to 28×28. kind: which of the two it is, where you
    know. ValueError for an even page.
    """
    grey = _grey(image)
    if kind != "photo":
        drawn = cleaning.find_ink(grey)
        if kind == "drawing" or not drawn.photo:
            image, notes = to_box(drawn.ink)
            return Reading(image, "drawing", (*drawn.notes, *notes))
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    image = _bytes(_resize(grey[top : top + side, left : left + side], SIDE, SIDE))
    return Reading(image, "photo", () if kind else ("it was taken for a photograph",))


def to_mnist(image: Image.Image | checks.Pixels["height width"]) -> np.ndarray:
    """The image alone of what :func:`look` reads: uint8 [28, 28]."""
    return look(image).image


def digits(image: Image.Image | checks.Pixels["height width"]) -> list:
    """Separate digits of one row, from left to right: a :class:`Reading` of each. ValueError for an even page."""
    drawn = cleaning.find_ink(_grey(image))
    readings = []
    for columns in cleaning.side_by_side(drawn.ink > 0):
        image, notes = to_box(drawn.ink[:, columns])
        readings.append(Reading(image, "drawing", (*drawn.notes, *notes)))
    return readings


def to_box(ink: checks.Numbers["height width"]) -> tuple:
    """Ink, in [0, 1], in MNIST's box: (uint8 [28, 28], what should be said of it). ValueError where there is none."""
    if not (ink > cleaning.FAINT).any():
        raise ValueError("image: expected a drawing, got an even page")
    rows, columns = (np.flatnonzero((ink > cleaning.FAINT).any(axis)) for axis in (1, 0))
    ink, notes = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], []
    several = len(cleaning.side_by_side(ink > cleaning.FAINT))
    if several > 1 or cleaning.one_above_another(ink > cleaning.FAINT):
        where = f"{several} drawings side by side" if several > 1 else "drawings one above another"
        notes.append(f"{where} were read as one: see pictures.digits")
    if cleaning.goes_round(ink > cleaning.FAINT):
        notes.append("one part goes round the others: if it is a frame, cut it off")
    scale = BOX / max(ink.shape)
    width = cleaning.stroke_width(ink > cleaning.STRONG) * scale
    if scale < 1 and width < THIN:
        notes.append("its strokes are thin, and were thickened")
        ink = cleaning.thickened(ink, (USUAL - width) / scale / 2)
        scale = BOX / max(ink.shape)
    height, width = (max(1, round(length * scale)) for length in ink.shape)
    ink = _resize(ink, height, width)
    if ink.max() < 0.8:
        ink = ink / ink.max()
    canvas = np.zeros((SIDE, SIDE))
    top, left = (_place(ink.sum(1 - axis), ink.shape[axis]) for axis in (0, 1))
    canvas[top : top + height, left : left + width] = ink
    return _bytes(canvas), notes


def _open_heif(path):
    """Let Pillow read the pictures of phones, where a package for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ValueError("HEIC: pip install pillow-heif, or save the picture as JPEG") from error
    register_heif_opener()


def _grey(image):
    """float [height, width] in [0, 1]."""
    if isinstance(image, np.ndarray):
        return _reduced(Image.fromarray(np.ascontiguousarray(image)))
    if 0 in image.size:
        raise ValueError(f"image: expected one pixel or more, got the size {image.size}")
    try:
        image = ImageOps.exif_transpose(image)
        image.load()
    except Exception as error:  # Pillow opens lazily: a torn file shows itself only here, in many ways
        raise ValueError(f"image: expected one that can be decoded ({error})") from error
    if image.mode.startswith(("I", "F")):  # 16 bits and more, which convert("L") would cut off at 255
        values = np.clip(np.asarray(image, np.float64), 0, None)
        if not np.isfinite(values).all():
            raise ValueError("image: expected finite numbers, got NaN or infinite ones")
        nearly_all = np.quantile(values, 0.999)  # a few may lie above
        top = next((top for top in TOPS if nearly_all <= 1.02 * top), nearly_all)
        return _reduced(Image.fromarray(np.clip(255 * values / top, 0, 255).astype(np.float32)))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        shades = np.asarray(image.convert("L"))[np.asarray(image)[..., 3] > 127]
        paper = 255
        if shades.size:
            # a sheet goes on in its own shade; ink alone lies on paper of the other
            one_shade = np.subtract(*np.quantile(shades, [0.98, 0.02])) < 64
            paper = (0 if shades.mean() > 127 else 255) if one_shade else int(np.median(shades))
        image = Image.alpha_composite(Image.new("RGBA", image.size, (paper,) * 3), image)
    grey = _reduced(image.convert("L"))
    if image.mode != "RGB":
        return grey
    # ink and paper may differ in colour alone: then one of the three colours shows it best
    colours = [_reduced(band) for band in image.split()]
    clearest = max(colours, key=np.std)
    return clearest if clearest.std() > 2 * grey.std() else grey


def _reduced(grey):
    """An image of grey levels in 0..255 as float [height, width] in [0, 1], of about ``ENOUGH`` pixels at most."""
    return np.asarray(grey.reduce(math.ceil(math.sqrt(grey.width * grey.height / ENOUGH)))) / 255


def _resize(grey, height, width):
    picture = Image.fromarray(grey.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def _place(mass, length):
    """Where a profile of so many pixels starts, so that its centre of mass lies in the middle and all of it inside."""
    centre = ((np.arange(length) + 0.5) * mass).sum() / mass.sum()
    return int(np.clip(round(CENTRE - centre), 0, SIDE - length))


def _bytes(grey):
    return np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)


checks.guard(__name__)
