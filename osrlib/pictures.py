"""Your own images: files of any size and colour, brought into MNIST's format."""

import math
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from osrlib import checks

BOX, SIDE = 20, 28
CENTRE = 14.5  # where the digits of MNIST have it, in pixels from the edge: the middle of pixel 14
ENOUGH = 2000 * 2000  # pixels: what is larger is reduced first, so that no picture fills the memory
EVEN, FAINT = 0.15, 0.08  # shares of full contrast: what counts as one shade, and what as a stroke


class Pictures(NamedTuple):
    """What a folder held: images uint8 [N, 28, 28], their files, and file → reason for those that were skipped."""

    images: np.ndarray
    files: list
    skipped: dict


def read(folder: checks.Path) -> Pictures:
    """Every image in a folder and the folders below it, in the order of their names: :class:`Pictures`.

    A file that cannot be read as an image is skipped, and named on stderr with the reason. Hidden files are passed
    over. ValueError where there is no such folder, and where it holds no image that can be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(f"folder: expected a folder, got {str(folder)!r}")
    images, files, skipped = [], [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        try:
            if not path.is_file() or any(part.startswith(".") for part in name.parts):
                continue
            images.append(read_file(path))
            files.append(str(name))
        except (ValueError, PermissionError) as error:  # a folder can show its names and keep what they stand for
            skipped[str(name)] = getattr(error, "strerror", None) or str(error)
            print(f"skipped {name}: {skipped[str(name)]}", file=sys.stderr)
    if not images:
        raise ValueError(f"folder: expected at least one image in {str(folder)!r}, got {len(skipped)} other files")
    return Pictures(np.stack(images), files, skipped)


def read_file(path: checks.Path) -> np.ndarray:
    """One file as uint8 [28, 28]; of several frames the first. ValueError, with the reason, for what is no image."""
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return to_mnist(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except Exception as error:  # damaged files make Pillow's decoders fail in many ways
        reason = str(error).replace(repr(str(path)), path.name).replace(str(path), path.name)
        raise ValueError(reason or type(error).__name__) from error


def to_mnist(image: Image.Image | checks.Pixels["height width"]) -> np.ndarray:
    """A PIL image, or an array of grey levels [height, width], in MNIST's format: uint8 [28, 28], bright on black.

    A *drawing* has one shade all around: that shade becomes black, the strongest stroke white. As MNIST's authors did
    (LeCun et al. 1998), what was drawn is scaled to fit a box of 20×20 pixels, and put where its centre of mass falls
    into the middle of 28×28. Any other picture is a *photograph*: its middle square, in grey, scaled to 28×28.
    """
    grey = _grey(image)
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    shade = np.median(border)
    if (np.abs(border - shade) > EVEN).mean() > 0.25:
        side = min(grey.shape)
        top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
        return _bytes(_resize(grey[top : top + side, left : left + side], SIDE, SIDE))
    if shade > 0.5:
        grey, shade = 1 - grey, 1 - shade
    ink = np.clip(grey - shade, 0, None)
    # a soft shadow over the page is not a stroke
    faint = 1.2 * np.quantile(np.abs(border - np.median(border)), 0.95)
    if ink.max() < 0.05:  # nothing was drawn
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = np.where(ink > faint, ink / ink.max(), 0)
    rows, columns = (np.flatnonzero((ink > FAINT).any(axis)) for axis in (1, 0))
    if len(rows) == 0:
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(ink.shape)
    height, width = (max(1, round(length * scale)) for length in ink.shape)
    ink = _resize(ink, height, width)
    canvas = np.zeros((SIDE, SIDE))
    top, left = (_place(ink.sum(1 - axis), ink.shape[axis]) for axis in (0, 1))
    canvas[top : top + height, left : left + width] = ink
    return _bytes(canvas)


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
        return values / next(top for top in (1, 255, 65535, max(65536, values.max())) if values.max() <= top)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        inked = np.asarray(image.convert("L"))[np.asarray(image)[..., 3] > 127]
        paper = "black" if inked.size and inked.mean() > 127 else "white"
        image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return _reduced(image.convert("L"))


def _reduced(grey):
    """An image of mode L as float [height, width] in [0, 1], of about ``ENOUGH`` pixels at most."""
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
