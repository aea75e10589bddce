"""Worlds that are made: the same bytes on every machine.

Integer arithmetic where rounding could differ, and numpy's RandomState, whose stream is frozen for good.
"""

import functools
import logging
import string
from pathlib import Path

import numpy as np

LETTERS = tuple(string.ascii_uppercase + string.ascii_lowercase)
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon")


def make_noise():
    """10,000 images of uniform noise."""
    return {"test": (noise(10_000, seed=0), np.zeros(10_000, dtype=np.int64))}


def noise(count, seed):
    """So many images of uniform noise: uint8 [count, 28, 28]."""
    return np.random.RandomState(seed).randint(0, 256, (count, 28, 28), dtype=np.int64).astype(np.uint8)


def make_empty():
    """1,000 pages with nothing on them: a grey level in 0..32, and each pixel up to 8 off; the first is black."""
    random = np.random.RandomState(0)
    level = random.randint(0, 33, (1_000, 1, 1), dtype=np.int64)
    most = random.randint(0, 9, (1_000, 1, 1), dtype=np.int64)
    off = random.randint(0, 2**16, (1_000, 28, 28), dtype=np.int64) % (2 * most + 1) - most
    pages = np.clip(level + off, 0, 255).astype(np.uint8)
    pages[0] = 0
    return {"test": (pages, np.zeros(1_000, dtype=np.int64))}


def make_pixel_digits():
    """The 1,797 digits of 8×8 that scikit-learn ships, enlarged to 20×20 and framed as MNIST's digits are."""
    from sklearn.datasets import load_digits  # slow to import

    small = load_digits()
    images = [frame((enlarge(255 * digit, 20) // (16 * 4 * 20**2)).astype(np.uint8)) for digit in small.images]
    return {"test": (np.stack(images), small.target)}


def make_patches():
    """5,000 square crops, 28, 56 or 112 pixels wide, averaged down to 28; crops that are nearly flat are left out."""
    from skimage import data as photographs

    grey = []
    for name in PHOTOGRAPHS:
        photo = getattr(photographs, name)().astype(np.int64)
        grey.append(photo if photo.ndim == 2 else (photo @ [299, 587, 114] + 500) // 1000)
    random, images, labels = np.random.RandomState(0), [], []
    while len(images) < 5_000:
        label, step = random.randint(len(grey)), (1, 2, 4)[random.randint(3)]
        photo, width = grey[label], 28 * step
        top, left = (random.randint(side - width + 1) for side in photo.shape)
        crop = photo[top : top + width, left : left + width].reshape(28, step, 28, step).sum((1, 3)) // step**2
        if np.ptp(crop) >= 32:
            images.append(crop.astype(np.uint8))
            labels.append(label)
    return {"test": (np.stack(images), np.array(labels))}


_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmss10", "cmtt10", "cmb10"),
)
_SLANTS = (-0.2, -0.1, 0.0, 0.1, 0.2)


def make_letters():
    """Every letter of 20 typefaces at five slants, framed as MNIST's digits are.

    The outlines are read from the font files and filled here, since two versions of a font renderer differ in the last
    grey level.
    """
    import matplotlib
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the old fonts' dates
    images, labels = [], []
    for font_name in _FONTS:
        font = TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf")
        glyphs, names = font.getGlyphSet(), font.getBestCmap()
        for label, letter in enumerate(LETTERS):
            outline = _outline(glyphs[names[ord(letter)]], glyphs)
            for slant in _SLANTS:
                slanted = outline.copy()
                slanted[..., 0] += slant * outline[..., 1]
                images.append(frame(_fill(slanted)))
                labels.append(label)
    return {"test": (np.stack(images), np.array(labels))}


def _outline(glyph, glyphs):
    """The edges of a glyph, curves cut into eight: float [edges, 2 ends, (x, y)], in font units, y upwards."""
    from fontTools.pens.basePen import BasePen

    class EdgePen(BasePen):
        def _moveTo(self, point):
            self.start = self.at = point

        def _lineTo(self, point):
            edges.append((self.at, point))
            self.at = point

        def _qCurveToOne(self, control, end):
            start = self.at
            for t in np.arange(1, 9) / 8:
                weights = (1 - t) ** 2, 2 * t * (1 - t), t**2
                x, y = (sum(w * p[i] for w, p in zip(weights, (start, control, end), strict=True)) for i in (0, 1))
                self._lineTo((x, y))

        def _closePath(self):
            self._lineTo(self.start)

    edges = []
    glyph.draw(EdgePen(glyphs))
    return np.array(edges, dtype=np.float64)


def _fill(edges, size=20, fine=8):
    """Scale an outline into a size × size box and fill it by the non-zero winding rule: uint8 [height, width]."""
    low, high = edges.min((0, 1)), edges.max((0, 1))
    edges = (edges - low) * (size * fine / (high - low).max())
    edges[..., 1] = edges[..., 1].max() - edges[..., 1]
    (x0, y0), (x1, y1) = edges[:, 0].T[..., None], edges[:, 1].T[..., None]
    rows = np.arange(size * fine) + 0.5
    crosses = (np.minimum(y0, y1) <= rows) & (rows < np.maximum(y0, y1))
    edge, row = np.nonzero(crosses)
    x0, y0, x1, y1 = (side[edge, 0] for side in (x0, y0, x1, y1))
    crossing = x0 + (rows[row] - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing - 0.5), 0, size * fine).astype(int)
    winding = np.zeros((size * fine, size * fine + 1), dtype=int)
    np.add.at(winding, (row, column), np.where(y1 > y0, 1, -1))
    inside = winding.cumsum(1)[:, :-1] != 0
    return (inside.reshape(size, fine, size, fine).sum((1, 3)) * 255 // fine**2).astype(np.uint8)


def frame(ink):
    """Put a picture of at most 20×20 into 28×28 with its centre of mass in the middle, as MNIST's makers did."""
    total = max(1, int(ink.sum(dtype=np.int64)))
    row, column = (
        int((ink.sum(1 - axis, dtype=np.int64) * np.arange(length)).sum() * 2 + total) // (2 * total)
        for axis, length in enumerate(ink.shape)
    )
    margin = 20
    page = np.zeros((28 + 2 * margin, 28 + 2 * margin), ink.dtype)
    top, left = 14 - row + margin, 14 - column + margin
    page[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return page[margin:-margin, margin:-margin]


def enlarge(picture, size):
    """A larger square picture by bilinear interpolation, in whole numbers: 4 · size² times the grey level."""
    shares = _between(len(picture), size)
    return shares @ picture @ shares.T


@functools.cache
def _between(old, new):
    """The share that each of the old pixels in a row has in each of the new ones, times 2 · new: [new, old].

    Whole numbers as float64, which holds them exactly and multiplies them faster.
    """
    # the middle of each new pixel, counted from the middle of the first old one
    place = (2 * np.arange(new) + 1) * old - new
    left, rest = place // (2 * new), place % (2 * new)
    shares = np.zeros((new, old))
    for pixel, share in ((left, 2 * new - rest), (left + 1, rest)):  # at the edge, both are the last pixel
        np.add.at(shares, (np.arange(new), np.clip(pixel, 0, old - 1)), share)
    return shares
