"""Worlds that are made: the same bytes on every machine.

Integer arithmetic where rounding could differ, and numpy's RandomState, whose stream is frozen for good.
"""

import logging
import string
from pathlib import Path

import numpy as np

LETTERS = tuple(string.ascii_uppercase + string.ascii_lowercase)
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon")


def make_noise():
    """10,000 images of uniform noise."""
    return {"test": (_noise(seed=0), np.zeros(10_000, dtype=np.int64))}


def make_mnist_noise(digits):
    """MNIST's 10,000 test digits under uniform noise."""
    return {"test": (np.maximum(digits.images, _noise(seed=1)), digits.labels)}


def _noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (10_000, 28, 28), dtype=np.int64).astype(np.uint8)


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
                images.append(_frame(_fill(slanted)))
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


def _frame(ink):
    """Put a 20×20 picture into 28×28 with its centre of mass in the middle, as MNIST's makers did."""
    total = int(ink.sum(dtype=np.int64))
    position = np.arange(20)
    row = int((ink.sum(1, dtype=np.int64) * position).sum() * 2 + total) // (2 * total)
    column = int((ink.sum(0, dtype=np.int64) * position).sum() * 2 + total) // (2 * total)
    margin = 20
    top, left = row + margin - 14, column + margin - 14
    return np.pad(ink, margin)[top : top + 28, left : left + 28]
