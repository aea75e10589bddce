"""What was drawn on a page, apart from the page: paper, grain, shadows, ruled lines, frames and specks.

A page is float [height, width] in [0, 1]; ink is 0 on paper and 1 in the strongest stroke.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label, regionprops
from skimage.morphology import skeletonize

from osrlib import checks
from osrlib.checks import Numbers

FAINT, STRONG = 0.08, 0.45  # shares of the strongest ink: what may belong to a stroke, and what must
SMALL = 64  # pixels: a picture of fewer a side has no room for ruled lines
EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


class Ink(NamedTuple):
    """What was drawn, float [height, width] in [0, 1]; whether it is a photograph rather; and what should be said of
    it."""

    ink: np.ndarray
    photo: bool
    notes: list


def find_ink(page: Numbers["height width"]) -> Ink:
    """The ink of a page: dark strokes on light paper, or light ones on dark.

    The paper may be lit unevenly, be grainy, ruled or framed. Of an even page, all is 0.
    """
    page = page.astype(np.float64)
    if np.median(page) > 0.5:  # most of a page is paper
        page = 1 - page
    raised = page - paper_of(page)
    paper_share = float((np.abs(raised) < 0.1).mean())
    ink, grain = without_grain(np.clip(raised, 0, None))
    strongest = np.sort(ink, axis=None)[-max(1, ink.size // 1000) :].mean()
    if strongest < max(0.05, 5 * grain):
        return Ink(np.zeros_like(ink), paper_share < 0.5, [])
    ink = np.clip(ink / strongest, 0, 1)
    ink[ink < 3 * grain / strongest] = 0
    notes, mask = [], ink > FAINT
    if min(ink.shape) >= SMALL:
        lines = ruled_lines(mask)
        if lines.any():
            notes.append("ruled lines or a frame were left out")
        ink = np.where(lines, 0, ink)
    strokes = without_specks(apply_hysteresis_threshold(ink, FAINT, STRONG))
    at_edge = np.concatenate([strokes[0], strokes[-1], strokes[1:-1, 0], strokes[1:-1, -1]]).mean()
    if at_edge:
        notes.append("it touches the edge: something may be cut off")
    photo = bool(paper_share < 0.5 or (paper_share < 0.7 and at_edge > 0.1))
    return Ink(np.where(ndimage.binary_dilation(strokes, EIGHT), ink, 0), photo, notes)


def paper_of(page):
    """The paper's brightness at each pixel: a smooth surface through what is not ink, [height, width].

    A polynomial of degree 4 in x and y, fitted four times, each time without the pixels that lie far above it. Where
    the paper is even, it is one number.
    """
    even = np.median(page)
    if (page == even).mean() > 0.5:
        return np.full(page.shape, even)
    rows, columns = (np.linspace(-1, 1, n) for n in page.shape)
    some = tuple(np.unique(np.linspace(0, n - 1, 96).astype(int)) for n in page.shape)
    values, surface = page[np.ix_(*some)], even
    sample = np.polynomial.polynomial.polyvander2d(*np.meshgrid(rows[some[0]], columns[some[1]], indexing="ij"), (4, 4))
    sample = sample[..., POWERS]
    for _ in range(4):
        away = values - surface
        near = away < 3 * max(0.02, 1.4826 * np.median(np.abs(away)))
        factors = np.linalg.lstsq(sample[near], values[near], rcond=None)[0]
        surface = sample @ factors
    square = np.zeros(25)
    square[POWERS] = factors
    return np.polynomial.polynomial.polygrid2d(rows, columns, square.reshape(5, 5))


POWERS = np.flatnonzero(np.add.outer(np.arange(5), np.arange(5)).ravel() <= 4)
"""Which products of powers of x and y, 0 to 4 each, have a degree of 4 at most."""


def without_grain(ink):
    """The ink with its grain smoothed, and the standard deviation of what is left of it."""
    steps = np.abs(np.diff(ink, axis=1)) if ink.shape[1] > 1 else np.zeros(1)
    grain = 1.4826 * np.median(steps) / np.sqrt(2)
    if grain == 0:
        return ink, 0.0
    width = max(ink.shape) / 400
    # the mean of some 4πσ² independent pixels
    return ndimage.gaussian_filter(ink, width), grain / max(1, np.sqrt(4 * np.pi) * width)


def ruled_lines(mask):
    """Which pixels belong to lines across half of the page or more, thin and straight: bool [height, width]."""
    found = np.zeros_like(mask)
    for axis in (0, 1):
        turned = mask.T if axis else mask
        height, width = turned.shape
        long = ndimage.binary_opening(turned, np.ones((1, width // 2)))
        thin, thickness = np.zeros_like(long), max(3, height // 50)
        for part in regionprops(label(long)):
            top, _, bottom, _ = part.bbox
            if bottom - top <= 2 * thickness and part.area / part.image.any(0).sum() <= thickness:
                thin[part.slice] |= part.image
        rows = label(thin)
        above, below = (ndimage.shift(turned & ~thin, (step, 0), order=0) for step in (thickness + 1, -thickness - 1))
        crossed = (above & below)[thin].sum() > 0
        if rows.max() > 1 or (rows.max() == 1 and crossed):
            thin = ndimage.binary_dilation(thin, np.ones((3, 1))) & turned
            rest = turned & ~thin
            thin &= ~ndimage.binary_closing(rest, np.ones((2 * thickness + 3, 1)))  # a stroke goes on across the line
            found |= thin.T if axis else thin
    return found


def without_specks(strokes):
    """The strokes without parts that are far smaller than the largest."""
    parts = label(strokes, connectivity=2)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return (areas >= 0.02 * areas.max())[parts] & strokes


def side_by_side(strokes):
    """The slices of columns that hold one drawing each: parts that stand apart, and are about as tall.

    What lies above or below another part belongs to it: the dot of an i, the bar of a 5.
    """
    spans = sorted(part.bbox[1::2] for part in regionprops(label(strokes, connectivity=2)))
    groups = []
    for start, stop in spans:
        if groups and start < groups[-1][1]:
            groups[-1][1] = max(groups[-1][1], stop)
        else:
            groups.append([start, stop])
    if len(groups) < 2:
        return [slice(0, strokes.shape[1])]
    tall = [np.flatnonzero(strokes[:, start:stop].any(1)) for start, stop in groups]
    heights = np.array([rows[-1] - rows[0] + 1 for rows in tall])
    if (heights < 0.5 * heights.max()).any():  # a piece of one drawing
        return [slice(0, strokes.shape[1])]
    return [slice(*group) for group in groups]


def stroke_width(strokes):
    """The typical width of strokes, in pixels: twice the distance of their middle line from the paper."""
    middle = skeletonize(strokes)
    return 2 * float(np.median(ndimage.distance_transform_edt(np.pad(strokes, 1))[1:-1, 1:-1][middle])) - 1


def thickened(ink, radius):
    """The ink with strokes that reach so many pixels farther."""
    return np.where(ndimage.distance_transform_edt(ink < STRONG) <= radius, 1.0, ink)


checks.guard(__name__)
