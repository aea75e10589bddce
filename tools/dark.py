"""Figures for the dark theme: each is drawn a second time, in light ink on no ground.

The kernels of a build load this as an extension of IPython. Then what a figure leaves in a notebook has two pictures,
one for each theme; :func:`take` takes the second one out again, and tools/finish.py puts both into the page.
What is black or grey on white is turned round: ink becomes light, a white ground is left out. Colours stay as they are,
but for those too dark to be seen. Pictures and coloured cells stay too. Each text is read on what lies under it.
"""

import base64
import contextlib
import hashlib

import numpy as np
from IPython.core.formatters import BaseFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.cm import ScalarMappable
from matplotlib.collections import Collection
from matplotlib.colors import ListedColormap, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from traitlets import ObjectName, Unicode

from tools import panels

MIME = "image/x-dark+png"
"""What the second picture is called beside the first, image/png, in the outputs of a notebook."""
THEME = "#121212"
"""The ground of a page in the dark."""
GROUND, INK = np.array(to_rgb(THEME)), np.array(to_rgb("#ced6dd"))
"""This ground, and the theme's text on it."""
READ, SEEN = 4.5, 3
"""The least contrast of text, and of what is no text (WCAG 2.2, criteria 1.4.3 and 1.4.11)."""
GREY = 0.08
"""How far apart red, green and blue of a grey may be."""
STEPS = np.linspace(0, 1, 21)
MANY = 0.15
"""How far a colour may be from that in the middle of a text's ground; where a quarter is farther, it is many."""
KINDS = AxesImage, Collection, Line2D, Patch, Text


def contrast(one, other):
    """Of two colours, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted(_luminance(np.array(to_rgb(colour))) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def turned(colour):
    """A colour for the dark, as RGBA: a grey is as far from the ground as it was from white, another can be seen."""
    *rgb, alpha = to_rgba(colour)
    if np.ptp(rgb) < GREY:
        ways = [INK + np.mean(rgb) * (GROUND - INK)]
    else:
        ways = [rgb + step * (1 - np.array(rgb)) for step in STEPS]
        ways = [way for way in ways if contrast(way, GROUND) >= SEEN]
    return (*ways[0], alpha)


def legible(colour, ground):
    """The colour of a text, as RGBA: as it is if it can be read on this ground, else turned, else lighter or darker."""
    *rgb, alpha = to_rgba(colour)
    ways = [rgb, turned(rgb)[:3], *(rgb + step * (end - np.array(rgb)) for step in STEPS for end in (1, 0))]
    return (*next(way for way in ways if contrast(way, ground) >= READ), alpha)


@contextlib.contextmanager
def darkened(figure):
    """The figure is one for the dark while the block lasts, and afterwards what it was."""
    figure.canvas.draw()  # there are no ticks before
    artists = [artist for artist in figure.findobj() if isinstance(artist, KINDS)]
    texts = [artist for artist in artists if isinstance(artist, Text) and artist.get_text()]
    for text in texts:
        parts = (text.get_bbox_patch(), getattr(text, "arrow_patch", None))
        artists += [part for part in parts if part is not None]
    with contextlib.ExitStack() as afterwards:
        for artist in artists:
            afterwards.callback(vars(artist).update, vars(artist).copy())
            if isinstance(artist, ScalarMappable):
                afterwards.callback(artist.set_cmap, artist.get_cmap())
            _turn(artist)
        for ground in (figure.patch, *(ax.patch for ax in figure.axes)):
            ground.set_facecolor("none")
        for text, ground in zip(texts, _grounds(figure, texts), strict=True):
            if ground is None:
                text.set_path_effects([withStroke(linewidth=3, foreground=THEME)])
            text.set_color(legible(text.get_color(), GROUND if ground is None else ground))
        yield


def picture(figure):
    """The figure for the dark as a PNG, in base64, the way the notebook prints it for the light."""
    with darkened(figure):
        return print_figure(figure, "png", base64=True, metadata=panels.text(figure))


def load_ipython_extension(shell):
    """Each figure that this shell displays from now on has a second picture."""

    class Dark(BaseFormatter):
        format_type, print_method = Unicode(MIME), ObjectName("_repr_dark_png_")

        # not by for_type: matplotlib's backend strikes figures from every formatter's list when it starts
        def __call__(self, shown):
            return picture(shown) if isinstance(shown, Figure) else None

    shell.display_formatter.formatters[MIME] = Dark(parent=shell.display_formatter)


def name(light):
    """What the picture for the dark is called: as that for the light, with a word more."""
    return light.with_name(f"{light.stem}-dark{light.suffix}")


def take(notebook, folder):
    """Take the second pictures out of a notebook and write them where the book looks for them, in a folder, a path."""
    folder.mkdir(parents=True, exist_ok=True)
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if second := output.get("data", {}).pop(MIME, None):
            # MyST-NB calls a picture by its content
            light = hashlib.sha256(base64.b64decode(output["data"]["image/png"])).hexdigest()
            name(folder / f"{light}.png").write_bytes(base64.b64decode(second))


def _turn(artist):
    """Change the colours of all but text."""
    if isinstance(artist, Line2D):
        artist.set(
            color=turned(artist.get_color()), markerfacecolor=turned(artist.get_markerfacecolor()),
            markeredgecolor=turned(artist.get_markeredgecolor()),
        )  # fmt: skip
    elif isinstance(artist, Patch):
        artist.set(facecolor=turned(artist.get_facecolor()), edgecolor=turned(artist.get_edgecolor()))
    elif isinstance(artist, AxesImage):  # what is around and between its parts is no part of it
        artist.set_cmap(artist.get_cmap().with_extremes(bad=turned(artist.get_cmap().get_bad())))
    elif isinstance(artist, Collection) and artist.get_array() is not None:
        colours = artist.get_cmap()(np.linspace(0, 1, 256))
        if (np.ptp(colours[:, :3], axis=1) < GREY).all():
            artist.set_cmap(ListedColormap([*map(turned, colours)]))
    elif isinstance(artist, Collection):
        faces, edges = (list(map(turned, colours)) for colours in (artist.get_facecolor(), artist.get_edgecolor()))
        artist.set(facecolor=faces or "none", edgecolor=edges or "none")


def _grounds(figure, texts):
    """For each text the colour that lies under it: None where it is many, as among the dots of a scatter plot."""
    for text in texts:
        text.set_alpha(0)  # the layout reckons with it, which it would not if it were invisible
    figure.canvas.draw()
    shown = np.asarray(figure.canvas.buffer_rgba())[::-1] / 255
    shown = GROUND + shown[..., 3:] * (shown[..., :3] - GROUND)
    grounds = []
    for text in texts:
        text.set_alpha(None)
        left, bottom, right, top = np.clip(Text.get_window_extent(text).extents, 0, None).astype(int)
        under = shown[bottom : top + 1, left : right + 1].reshape(-1, 3)
        middle = np.median(under, axis=0) if len(under) else GROUND
        others = np.abs(under - middle).max(axis=1) > MANY
        grounds.append(None if others.sum() > len(under) / 4 else middle)
    return grounds


def _luminance(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
