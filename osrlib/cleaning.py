"""What was drawn on a page, apart from the page: paper, grain, shadows, ruled lines, frames and specks.

A page is float [height, width] in [0, 1]; ink is 0 on paper and 1 in the strongest stroke.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label, regionprops
from skimage.morphology import skeletonize
from skimage.transform import hough_line, hough_line_peaks

from osrlib import checks
from osrlib.checks import Numbers

FAINT, STRONG = 0.08, 0.45  # shares of the strongest ink: what may belong to a stroke, and what must
SMALL = 64  # pixels: in a picture of fewer a side, a line cannot be told from a stroke
TILT = np.deg2rad(np.arange(-10, 10.1, 0.25))  # how far ruled lines may be turned
EIGHT = np.ones((3, 3), bool)  # pixels that touch at a corner belong together


class Ink(NamedTuple):
    """What was drawn, float [height, width] in [0, 1]; whether it is a photograph rather; and what should be said of
    it."""

    ink: np.ndarray
    photo: bool
    notes: list


def find_ink(page: Numbers["height width"]) -> Ink:
    """The ink of a page: dark strokes on lighter paper, or light ones on darker.

    The paper may be lit unevenly, be grainy, ruled or framed. Of an even page, all is 0.
    """
    raised = page - paper_of(page.astype(np.float64))
    if _strongest(raised) < _strongest(-raised):
        raised = -raised
    paper_share = float((np.abs(raised) < 0.1).mean())
    ink, grain = without_grain(np.clip(raised, 0, None))
    strongest = _strongest(ink)
    if strongest < max(0.05, 5 * grain):
        return Ink(np.zeros_like(ink), paper_share < 0.5, [])
    ink = np.clip(ink / strongest, 0, 1)
    ink[ink < 3 * grain / strongest] = 0
    notes = []
    if min(ink.shape) >= SMALL:
        lines = ruled_lines(ink)
        if lines.any():
            notes.append("ruled lines or a frame were left out")
        ink = np.where(lines, 0, ink)
    strokes = without_specks(apply_hysteresis_threshold(ink, FAINT, STRONG))
    at_edge = np.concatenate([strokes[0], strokes[-1], strokes[1:-1, 0], strokes[1:-1, -1]]).mean()
    if at_edge:
        notes.append("it touches the edge: something may be cut off")
    photo = bool(paper_share < 0.5 or (paper_share < 0.7 and at_edge > 0.1))
    soft_edges = ndimage.binary_dilation(strokes, EIGHT, max(2, max(ink.shape) // 40))
    return Ink(np.where(soft_edges, ink, 0), photo, notes)


def _strongest(ink):
    """The mean of the largest thousandth."""
    return np.sort(ink, axis=None)[-max(1, ink.size // 1000) :].mean()


def paper_of(page):
    """The paper's brightness at each pixel: a smooth surface through what is not ink, [height, width].

    A polynomial of degree 4 in x and y, fitted six times, each time without the pixels that lie far from it. Where the
    paper is even, it is one number.
    """
    even = np.median(page)
    if (page == even).mean() > 0.5:
        return np.full(page.shape, even)
    rows, columns = (np.linspace(-1, 1, n) for n in page.shape)
    some = tuple(np.unique(np.linspace(0, n - 1, 96).astype(int)) for n in page.shape)
    values, surface = page[np.ix_(*some)], even
    sample = np.polynomial.polynomial.polyvander2d(*np.meshgrid(rows[some[0]], columns[some[1]], indexing="ij"), (4, 4))
    sample = sample[..., POWERS]
    for _ in range(6):
        away = np.abs(values - surface)
        near = away < 3 * max(0.02, 1.4826 * np.median(away))
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


def ruled_lines(ink):
    """Which pixels belong to ruled lines or to the sides of a frame: bool [height, width].

    Such a line is straight and thin and goes over seven tenths of the page at least. Strokes can do so, too, where a
    picture is cropped closely: so there are three parallel ones at least, or it is thinner or paler than the strokes.
    """
    sides = [(ink, ink > FAINT), (ink.T, ink.T > FAINT)]
    lines = [[one for one in (_Line(*side, *line) for line in _straight(side[1])) if one.is_ruled] for side in sides]
    found = [_pixels(mask, each) for (_, mask), each in zip(sides, lines, strict=True)]
    many = [label(each, connectivity=2).max() > 2 for each in found]
    rest = without_specks((ink > STRONG) & ~(found[0] | found[1].T))
    if not any(many):
        if not rest.any():
            return np.zeros(ink.shape, bool)
        width, dark = stroke_width(rest), np.median(ink[rest])
        lines = [[one for one in each if one.thickness < 0.7 * width or one.dark < 0.75 * dark] for each in lines]
        found = [_pixels(mask, each) for (_, mask), each in zip(sides, lines, strict=True)]
    every, found = [one for each in lines for one in each], found[0] | found[1].T
    if every:  # a stroke goes on across a line: it is darker, or it is there on both sides
        dark, thickness = max(one.dark for one in every), max(one.thickness for one in every)
        reach = int(2 * thickness) + 3
        without = np.pad(sides[0][1] & ~found, reach)
        bridged = ndimage.binary_closing(without, np.ones((reach, reach)))[reach:-reach, reach:-reach]
        found &= ~bridged & (ink < max(0.5, 1.4 * dark))
    if any(many):
        found |= _pieces(sides[0][1] & ~found, thickness)
    return found


def _pieces(mask, thickness):
    """What is left of lines: thin parts that are straight, or lie at the edge of a page that was turned."""
    found = np.zeros_like(mask)
    for part in regionprops(label(mask, connectivity=2)):
        top, left, bottom, right = part.bbox
        across, along = sorted((bottom - top, right - left))
        at_edge = top == 0 or left == 0 or bottom == mask.shape[0] or right == mask.shape[1]
        if part.area <= 1.5 * thickness * along and (at_edge or across <= 2 * thickness):
            found[part.slice] |= part.image
    return found


def _straight(mask):
    """The straight lines across a page, nearly level: a list of (angle, distance)."""
    votes, angles, distances = hough_line(mask, np.pi / 2 + TILT)
    peaks = hough_line_peaks(votes, angles, distances, 5, 5, 0.25 * mask.shape[1], num_peaks=150)
    return list(zip(*peaks[1:], strict=True))


class _Line:
    """A nearly level line: where it lies in each column, and how much ink there is along it."""

    def __init__(self, ink, mask, angle, distance):
        height, width = mask.shape
        at = np.rint((distance - np.arange(width) * np.cos(angle)) / np.sin(angle)).astype(int)
        self.columns = np.flatnonzero((at >= 0) & (at < height))
        self.rows = at[self.columns]
        limit = max(3, height // 50)
        window = np.pad(mask, ((limit, limit), (0, 0)))
        near = np.stack([window[self.rows + step, self.columns] for step in range(2 * limit + 1)])
        hit = near[limit - 2 : limit + 3].any(0)
        # of the thinner quarter: elsewhere it may run along a stroke
        self.thickness = float(np.quantile(near[:, hit].sum(0), 0.25)) if hit.any() else np.inf
        self.is_ruled = len(self.columns) >= width / 4 and hit.mean() > 0.7 and self.thickness <= limit
        self.dark = float(np.quantile(ink[self.rows[hit], self.columns[hit]], 0.25)) if hit.any() else 0.0


def _pixels(mask, lines):
    """The pixels of a mask that lie on some lines."""
    found = np.zeros_like(mask)
    for line in lines:
        reach = int(np.ceil(line.thickness / 2)) + 1
        for step in range(-reach, reach + 1):
            inside = (line.rows + step >= 0) & (line.rows + step < len(mask))
            found[line.rows[inside] + step, line.columns[inside]] = True
    return found & mask


def without_specks(strokes):
    """The strokes without parts that are far smaller than the largest."""
    parts = label(strokes, connectivity=2)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return (areas >= 0.02 * areas.max())[parts] & strokes


def side_by_side(strokes):
    """The slices of columns that hold one drawing each: parts that stand apart, and are about as tall.

    What lies above or below another part belongs to it, and so does what is less than half as tall as the tallest: the
    bar of a 5, a full stop.
    """
    boxes = sorted((part.bbox for part in regionprops(label(strokes, connectivity=2))), key=lambda box: box[1])
    groups = []
    for top, left, bottom, right in boxes:
        if groups and left < groups[-1][3]:
            last = groups[-1]
            groups[-1] = [min(top, last[0]), last[1], max(bottom, last[2]), max(right, last[3])]
        else:
            groups.append([top, left, bottom, right])
    tallest = max((bottom - top for top, _, bottom, _ in groups), default=0)
    tall = [group for group in groups if group[2] - group[0] >= 0.5 * tallest]
    if len(tall) < 2:
        return [slice(0, strokes.shape[1])]
    # a border in the middle between two, so that small parts fall to the nearer one
    between = [(one[3] + other[1]) // 2 for one, other in pairwise(tall)]
    return [slice(*ends) for ends in pairwise([0, *between, strokes.shape[1]])]


def one_above_another(strokes):
    """Are there two parts of some size in different rows?"""
    parts = [part.bbox for part in regionprops(label(strokes, connectivity=2))]
    tall = max((bottom - top for top, _, bottom, _ in parts), default=0)
    rows = sorted((top, bottom) for top, _, bottom, _ in parts if bottom - top >= 0.4 * tall)
    return any(other[0] >= one[1] for one, other in pairwise(rows))


def goes_round(strokes):
    """Does the largest part lie around all others, as a frame does?"""
    boxes = sorted((part.bbox for part in regionprops(label(strokes, connectivity=2))), key=lambda box: box[2] - box[0])
    *others, (top, left, bottom, right) = boxes
    return bool(others) and all(box[0] > top and box[1] > left and box[2] < bottom and box[3] < right for box in others)


def stroke_width(strokes):
    """The typical width of strokes, in pixels: twice the distance of their middle line from the paper."""
    if not strokes.any():
        return 0.0
    middle = skeletonize(strokes)
    return 2 * float(np.median(ndimage.distance_transform_edt(np.pad(strokes, 1))[1:-1, 1:-1][middle])) - 1


def thickened(ink, radius):
    """The ink with strokes that reach so many pixels farther on every side: the picture grows by as many."""
    ink = np.pad(ink, int(np.ceil(radius)))
    return np.where(ndimage.distance_transform_edt(ink < STRONG) <= radius, 1.0, ink)


checks.guard(__name__)
