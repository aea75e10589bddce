"""Figures for phones: panels that stand side by side come one below the other.

While a figure is drawn, :func:`places` finds where its panels lie; the picture for the dark takes that along as text.
:func:`stack` cuts a picture between its panels and puts them together anew, for tools/finish.py to put into the page.
"""

import json
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from PIL import Image

KEY = "Panels"
"""What the text is called that a picture carries along (PNG's tEXt)."""
SIDE_BY_SIDE = 0.5
"""Panels stay beside each other up to this share of the figure's width: on a phone they are twice as large, or more."""
FEW = 3
"""So many columns are read row by row: with more, what stands in one column belongs together."""
LARGEST = 0.7
"""Where one panel alone is wider than this share, little is won."""
APART = 0.02
"""Between panels that are one below the other: a share of the figure's height."""


def places(figure):
    """Where the panels of a figure lie in its picture: rows of (left, top, right, bottom), shares of width and height.

    Empty where they are best left as they are: a single column, panels that use their neighbour's scale or are joined
    by what is drawn across them.
    """
    figure.canvas.draw()
    cells = {}
    for ax in filter(Axes.get_visible, figure.axes):
        spec = ax.get_subplotspec()
        if spec is None:
            return []
        grid = spec.get_topmost_subplotspec()
        cells.setdefault((grid.rowspan.start, grid.colspan.start), []).append(ax)
    rows, columns = sorted({row for row, _ in cells}), sorted({column for _, column in cells})
    if len(columns) < 2 or len(cells) < len(rows) * len(columns) or _joined(figure):
        return []
    pad = mpl.rcParams["savefig.pad_inches"] * figure.dpi
    whole = Bbox(figure.get_tightbbox().get_points() * figure.dpi).padded(pad)
    boxes = {cell: Bbox.union([ax.get_tightbbox() for ax in axes]) for cell, axes in cells.items()}
    rows = [[boxes[row, column] for column in columns] for row in rows]
    cuts_down = _cuts(whole.y1, [(max(box.y1 for box in row), min(box.y0 for box in row)) for row in rows], whole.y0)
    cuts_across = [_cuts(whole.x0, [(box.x0, box.x1) for box in row], whole.x1) for row in rows]
    if cuts_down is None or None in cuts_across:
        return []
    shares_down = [(whole.y1 - cut) / whole.height for cut in cuts_down]
    told = []
    for (top, bottom), cuts in zip(pairwise(shares_down), cuts_across, strict=True):
        shares = [(cut - whole.x0) / whole.width for cut in cuts]
        told.append([tuple(np.round([left, top, right, bottom], 4).tolist()) for left, right in pairwise(shares)])
    return told if max(right - left for row in told for left, _, right, _ in row) <= LARGEST else []


def text(figure):
    """What the picture of a figure takes along: dict, for the metadata of a PNG."""
    found = places(figure)
    return {KEY: json.dumps(found)} if found else {}


def of(picture):
    """The places that a picture, a path, has taken along: as :func:`places` gives them."""
    with Image.open(picture) as image:
        return json.loads(image.info.get(KEY, "[]"))


def name(picture):
    """What the picture for phones is called: as the picture, with a word more."""
    return picture.with_name(f"{picture.stem}-stacked{picture.suffix}")


def stack(picture, rows):
    """A picture (PIL) with its panels one below the other. rows: as :func:`places` gives them."""
    width, height = picture.size
    panels = [[picture.crop(_pixels(place, width, height)) for place in line] for line in _lines(rows)]
    sizes = [(sum(panel.width for panel in line), max(panel.height for panel in line)) for line in panels]
    gap = round(APART * height)
    total = max(wide for wide, _ in sizes), sum(high for _, high in sizes) + gap * (len(sizes) - 1)
    stacked = Image.new(picture.mode, total, picture.getpixel((0, 0)))
    y = 0
    for line, (wide, high) in zip(panels, sizes, strict=True):
        x = (total[0] - wide) // 2
        for panel in line:
            stacked.paste(panel, (x, y))
            x += panel.width
        y += high + gap
    return stacked


def _lines(rows):
    """The panels that stay beside each other, line by line: many columns are read by columns, few by rows."""
    groups, wide = [[]], 0
    for column, panels in enumerate(zip(*rows, strict=True)):
        share = max(right - left for left, _, right, _ in panels)
        if groups[-1] and wide + share > SIDE_BY_SIDE:
            groups, wide = [*groups, []], 0
        groups[-1].append(column)
        wide += share
    order = [(row, group) for row in rows for group in groups]
    if len(rows[0]) > FEW:
        order.sort(key=lambda one: one[1])
    return [[row[column] for column in group] for row, group in order]


def _joined(figure):
    """Whether panels belong together: a text or a legend for all, a scale that only the first of a row shows."""
    if any((figure.texts, figure.legends, figure.lines, figure.patches, figure.artists)):
        return True
    shared = (ax for ax in figure.axes if len(ax.get_shared_y_axes().get_siblings(ax)) > 1 and ax.axison)
    return any(not ax.yaxis.get_tick_params()["labelleft"] and len(ax.get_yticks()) > 0 for ax in shared)


def _cuts(start, spans, end):
    """Where to cut between spans: in the middle of each gap, with both ends; None where two overlap."""
    direction = np.sign(end - start)
    gaps = [(before[1], after[0]) for before, after in pairwise(spans)]
    if any((after - before) * direction < 0 for before, after in gaps):
        return None
    return [start, *((before + after) / 2 for before, after in gaps), end]


def _pixels(place, width, height):
    left, top, right, bottom = place
    return round(left * width), round(top * height), round(right * width), round(bottom * height)
