"""Digits, changed: under noise, smaller, fainter, in pairs, drawn with other pens. The same bytes on every machine.

Worlds are made of MNIST's test digits in these ways, and experiments make the like of other digits.
"""

import numpy as np

from osrlib import checks
from osrlib.checks import Images, Seed
from osrlib.worlds.synthetic import enlarge, frame, noise

SIZES = (10, 7, 4)
"""Pixels of the box into which ``shrink`` puts a digit, in turn. MNIST's own has 20."""
PENS = (1.5, 2, 3, 4)
"""Widths in pixels of the pens with which ``redraw`` draws, in turn. Of MNIST's own strokes, 98 in 100 are 1.4 to 4.0
wide; a wider pen closes the loops of many digits."""


def under_noise(images: Images, seed: Seed = 1) -> Images:
    """Each pixel at least as bright as uniform noise is there."""
    return np.maximum(images, noise(len(images), seed))


def shrink(images: Images) -> Images:
    """Small digits: what is drawn fits a box of 10, 7 or 4 pixels (image i by i mod 3), its centre of mass in the
    middle."""
    return np.stack([frame(_fit(_ink(image), SIZES[i % 3])) for i, image in enumerate(images)])


def fade(images: Images) -> Images:
    """Faint digits: a fifth of the brightness."""
    return images // 5


def side_by_side(images: Images, seed: Seed = 0) -> Images:
    """Each digit with another one to its right, as one writes a number of two digits; the two fit MNIST's box.

    Both stand on one line, two pixels apart. seed: of the permutation that gives each its partner.
    """
    partners, pairs = images[np.random.RandomState(seed).permutation(len(images))], []
    for left, right in zip(map(_ink, images), map(_ink, partners), strict=True):
        pair = np.zeros((max(len(left), len(right)), left.shape[1] + 2 + right.shape[1]), np.uint8)
        pair[-len(left) :, : left.shape[1]] = left
        pair[-len(right) :, -right.shape[1] :] = right
        pairs.append(frame(_fit(pair, 20)))
    return np.stack(pairs)


def redraw(images: Images) -> Images:
    """The digits drawn again with round pens of four widths (image i by i mod 4), framed as MNIST's digits are.

    What is brighter than 96 is stroke. Beside strokes three pixels broad, it must be brighter than two thirds of
    these, since there the inside of a small loop is grey.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    broad = maximum_filter(minimum_filter(images, (1, 3, 3)), (1, 7, 7))
    stroke = 3 * images.astype(np.int64) - 2 * np.maximum(broad, 144, dtype=np.int64)
    return np.stack([frame(_draw(_centre_line(one), PENS[i % 4])) for i, one in enumerate(stroke)])


def _ink(image):
    """What is drawn, without the black around it; a black image as it is."""
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else image


def _fit(ink, size):
    """Scale a picture so that its longer side has so many pixels, each the mean of what it covers: [size, size]."""
    height, width = ink.shape
    side = max(height, width)
    square = np.zeros((side, side), dtype=np.int64)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = ink
    # how much of each old pixel lies in each new one, in 1 / size of a pixel
    new, old = np.arange(size)[:, None], np.arange(side)
    overlap = np.clip(np.minimum((new + 1) * side, (old + 1) * size) - np.maximum(new * side, old * size), 0, None)
    return ((overlap @ square @ overlap.T + side**2 // 2) // side**2).astype(np.uint8)


FINE = 4
"""Parts of a pixel in which ``redraw`` counts."""


def _centre_line(stroke):
    """The points on the middle of the strokes, where a picture is positive: int [points, (row, column)], in parts."""
    from skimage.morphology import skeletonize  # slow to import

    return np.argwhere(skeletonize(enlarge(stroke, FINE * len(stroke)) > 0))


def _draw(points, width):
    """Draw a round pen of this width, in pixels, at each point; what is drawn fills a box of 20: uint8 [20, 20]."""
    side, radius = 20 * FINE, round(width * FINE / 2)
    box = np.zeros(side**2, dtype=np.int64)
    if len(points):
        points = points - points.min(0)
        longest, room = max(1, points.max()), side - 2 * radius
        points = (2 * points * room + longest) // (2 * longest) + radius
        # a point is the corner of four parts; parts whose middle is near enough lie under the pen
        reach = np.arange(-radius, radius)
        under = np.argwhere((2 * reach[:, None] + 1) ** 2 + (2 * reach + 1) ** 2 <= (2 * radius) ** 2) - radius
        box[(points @ [side, 1])[:, None] + under @ [side, 1]] = 255
    return (box.reshape(20, FINE, 20, FINE).sum((1, 3)) // FINE**2).astype(np.uint8)


checks.guard(__name__)
