"""The figures that two chapters share; each returns its Axes. Colours after Okabe & Ito: colour-blind safe."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm

from osrlib import checks
from osrlib.checks import Count, Finite, Labels, Numbers, Positive, named, several
from osrlib.data import WORLDS
from osrlib.output import Output
from osrlib.scores import binarised

COLOURS = {name: world.colour for name, world in WORLDS.items()}
MARKERS = {name: world.marker for name, world in WORLDS.items()}
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK = (
    COLOURS[name] for name in ("mnist", "fashion", "cifar10", "letters", "patches", "noise", "mnist-noise")
)


def style():
    """Set the book's figure style. Call it once, at the head of a notebook."""
    sns.set_theme(
        context="notebook", style="whitegrid", palette=[BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY],
        rc={"figure.dpi": 110, "figure.figsize": (7, 4), "figure.constrained_layout.use": True, "savefig.dpi": 110,
            "axes.titlesize": "medium", "image.cmap": "gray"},
    )  # fmt: skip


def gallery(
    images: Numbers["N height width"],
    titles: several(str) | None = None,
    columns: Count = 10,
    ax: plt.Axes | None = None,
    vmax: Positive = 255,
) -> plt.Axes:
    """Images in one picture, row by row, each with its title (a short string) above it."""
    titles = [] if titles is None else _titles(titles, len(images))
    columns = min(int(columns), len(images))  # numpy's short integers would overflow
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    height, width = images.shape[1] + 2 + 8 * lines, images.shape[2] + 2
    canvas = np.full((rows * height, columns * width), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * height + 8 * lines, i % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    scale = 7.2 / (columns * width) if columns >= 8 else 0.03
    ax = _axes(ax, (columns * width * scale, rows * height * scale))
    ax.imshow(canvas, vmin=0, vmax=vmax, interpolation="nearest")
    ax.set_axis_off()
    for i, title in enumerate(titles):
        top, left = i // columns * height + 8 * lines - 1.5, i % columns * width + images.shape[2] / 2
        ax.text(left, top, title, ha="center", va="bottom", fontsize=8, linespacing=1.1)
    return ax


def reconstructions(output: Output, titles: several(str), ax: plt.Axes | None = None) -> plt.Axes:
    """Input, reconstruction, both black and white, and where those differ: one column an image of the Output."""
    image, reconstruction = binarised(output)
    titles = _titles(titles, len(image))
    rows = [output.images / 255, output.reconstruction, image, reconstruction, image != reconstruction]
    ax = gallery(np.concatenate(rows).astype(float), columns=len(output.images), ax=ax, vmax=1)
    names = ("input", "reconstruction", "input,\nblack and white", "reconstruction,\nblack and white", "difference")
    for row, name in enumerate(names):
        ax.text(-2, row * 30 + 14, name, ha="right", va="center", fontsize=9)
    for column, title in enumerate(titles):
        ax.text(column * 30 + 14, -2, title, ha="center", va="bottom", fontsize=8)
    return ax


def histograms(
    worlds: named(Numbers["_"]),
    xlabel: str,
    threshold: Finite | None = None,
    bins: Count | Numbers["edges"] = 60,
    ax: plt.Axes | None = None,
) -> plt.Axes:
    """The distribution of a score in each world (dict name → [N]), and a threshold as a dashed line.

    bins: their number, or their edges (give edges for whole numbers, which fall unevenly into others). Each curve is
    scaled to the same area, so that worlds of different size can be compared.
    """
    edges = np.histogram_bin_edges(np.concatenate(list(worlds.values())), bins)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins: expected edges that rise, got {checks.describe(bins)}")
    if outside := [name for name, v in worlds.items() if not ((edges[0] <= v) & (v <= edges[-1])).any()]:
        raise ValueError(f"bins: expected values of each world within, got none of {', '.join(outside)}")
    ax = _axes(ax)
    for name, values in worlds.items():
        colour = COLOURS.get(name)
        ax.hist(values, edges, density=True, histtype="stepfilled", alpha=0.25, color=colour)
        ax.hist(values, edges, density=True, histtype="step", linewidth=1.5, color=colour, label=name)
    if threshold is not None:
        ax.axvline(threshold, color=BLACK, linestyle="--", linewidth=1.5, label=f"threshold {threshold:.2f}")
    ax.set(xlabel=xlabel, ylabel="density")
    ax.legend()
    return ax


def confusion(matrix: Labels["K K"], ax: plt.Axes | None = None) -> plt.Axes:
    """A confusion matrix, the last class the unknown: counts as text, colour by row share on a logarithmic scale."""
    ax = _axes(ax, (7.2, 6))
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [*map(str, range(len(matrix) - 1)), "unknown"]
    sns.heatmap(
        np.maximum(share, 1e-4), annot=matrix, fmt="d", norm=LogNorm(1e-4, 1), cmap="cividis", ax=ax,
        annot_kws={"size": 8}, xticklabels=names, yticklabels=names, linewidths=0.5, cbar_kws={"label": "share of row"},
    )  # fmt: skip
    ax.set(xlabel="predicted", ylabel="true")
    ax.tick_params(axis="y", rotation=0)
    return ax


def curves(histories: named(several(dict)), key: str, ylabel: str, ax: plt.Axes | None = None) -> plt.Axes:
    """One entry of several training histories (dict label → History) over the epochs."""
    if missing := [label for label, history in histories.items() for row in history if key not in row]:
        raise ValueError(f"key: expected an entry of every row, got {key!r}, which {missing[0]} has not")
    ax = _axes(ax)
    for label, history in histories.items():
        ax.plot([row["epoch"] for row in history], [row[key] for row in history], "o-", markersize=4, label=label)
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return ax


def _axes(ax, size=None):
    """These axes, or those of a new figure."""
    return plt.subplots(figsize=size)[1] if ax is None else ax


def _titles(titles, count):
    if len(titles) != count:
        raise ValueError(f"titles: expected {count}, one an image, got {len(titles)}")
    return titles


checks.guard(__name__)
