"""The figures that two chapters share; each returns its Axes. Colours after Okabe & Ito: colour-blind safe."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import LogNorm

from osrlib import _validate
from osrlib.scores import binarised

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#222222",
)  # fmt: skip
COLOURS = {
    "mnist": BLUE, "fashion": ORANGE, "cifar10": GREEN, "letters": VERMILION, "patches": PURPLE, "noise": SKY,
    "mnist-noise": BLACK,
}  # fmt: skip
MARKERS = {
    "mnist": "o",
    "fashion": "s",
    "cifar10": "^",
    "letters": "D",
    "patches": "v",
    "noise": "P",
    "mnist-noise": "X",
}


def style():
    """Set the book's figure style. Call it once, at the head of a notebook."""
    sns.set_theme(
        context="notebook", style="whitegrid", palette=[BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY],
        rc={"figure.dpi": 110, "figure.figsize": (7, 4), "figure.constrained_layout.use": True, "savefig.dpi": 110,
            "axes.titlesize": "medium", "image.cmap": "gray"},
    )  # fmt: skip


def gallery(images, titles=None, columns=10, ax=None, vmax=255):
    """Images [N, 28, 28] in one picture, row by row, each with its title (a short string) above it."""
    images = _validate.numbers(images, "images")
    if images.ndim != 3 or images.size == 0:
        raise ValueError(f"images: expected a non-empty array [N, height, width], got shape {list(images.shape)}")
    titles = [] if titles is None else _titles(titles, len(images))
    columns = min(_validate.whole(columns, "columns", 1), len(images))
    vmax = _validate.number(vmax, "vmax", 0, open_low=True)
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


def reconstructions(output, titles, level=0.5, ax=None):
    """Input, reconstruction, both binarised, and where those differ: one column an image of the Output."""
    image, reconstruction = binarised(output, level)
    titles = _titles(titles, len(image))
    rows = [output.images / 255, output.reconstruction, image, reconstruction, image != reconstruction]
    ax = gallery(np.concatenate(rows).astype(float), columns=len(output.images), ax=ax, vmax=1)
    names = ("input", "reconstruction", "input,\nbinarised", "reconstruction,\nbinarised", "difference")
    for row, name in enumerate(names):
        ax.text(-2, row * 30 + 14, name, ha="right", va="center", fontsize=9)
    for column, title in enumerate(titles):
        ax.text(column * 30 + 14, -2, title, ha="center", va="bottom", fontsize=8)
    return ax


def histograms(worlds, xlabel, threshold=None, bins=60, ax=None):
    """The distribution of a score in each world (dict name → [N]), and a threshold as a dashed line.

    bins: their number, or their edges (give edges for whole numbers, which fall unevenly into others). Each curve is
    scaled to the same area, so that worlds of different size can be compared.
    """
    worlds = {name: _validate.scores(values, f"worlds, {name}") for name, values in _named(worlds, "worlds").items()}
    bins = _validate.whole(bins, "bins", 1, 10_000) if np.isscalar(bins) else _validate.scores(bins, "bins")
    edges = np.histogram_bin_edges(np.concatenate(list(worlds.values())), bins)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins: expected edges that rise, got {_validate.describe(bins)}")
    if outside := [name for name, v in worlds.items() if not ((edges[0] <= v) & (v <= edges[-1])).any()]:
        raise ValueError(f"bins: expected values of each world within, got none of {', '.join(outside)}")
    _validate.instance(xlabel, "xlabel", str)
    if threshold is not None:
        _validate.number(threshold, "threshold")
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


def scatter(worlds, lines, labels=("norm", "diff"), size=1000, seed=0, ax=None):
    """Two scores against each other: dict name → ([N], [N]), ``size`` points a world, and a line for each threshold."""
    points = {}
    for name, pair in _named(worlds, "worlds").items():
        x, y = _pair(pair, f"worlds, {name}")
        points[name] = _validate.scores(x, f"worlds, {name}"), _validate.numbers(y, f"worlds, {name}", np.shape(x))
    lines = [_validate.number(line, "lines") for line in _pair(lines, "lines")]
    xlabel, ylabel = _pair(labels, "labels", str)
    size, random = _validate.whole(size, "size", 1), np.random.default_rng(_validate.whole(seed, "seed"))
    ax = _axes(ax, (7, 5))
    for name, (x, y) in points.items():
        chosen = random.permutation(len(x))[:size]
        ax.scatter(
            x[chosen], y[chosen], s=9, alpha=0.5, color=COLOURS.get(name), marker=MARKERS.get(name, "o"),
            linewidths=0, label=name,
        )  # fmt: skip
    ax.axvline(lines[0], color=BLACK, linestyle="--", linewidth=1.5)
    ax.axhline(lines[1], color=BLACK, linestyle="--", linewidth=1.5)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(markerscale=2)
    return ax


def confusion(matrix, ax=None):
    """An 11×11 confusion matrix: counts as text, colour by row share on a logarithmic scale, so that errors show."""
    _validate.numbers(matrix, "matrix", (11, 11))
    matrix = np.asarray(matrix)
    if matrix.dtype.kind not in "iu" or matrix.min() < 0:
        raise ValueError(f"matrix: expected whole numbers ≥ 0 [11, 11], got {matrix.dtype} from {matrix.min()} on")
    ax = _axes(ax, (7.2, 6))
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [*map(str, range(10)), "unknown"]
    sns.heatmap(
        np.maximum(share, 1e-4), annot=matrix, fmt="d", norm=LogNorm(1e-4, 1), cmap="cividis", ax=ax,
        annot_kws={"size": 8}, xticklabels=names, yticklabels=names, linewidths=0.5, cbar_kws={"label": "share of row"},
    )  # fmt: skip
    ax.set(xlabel="predicted", ylabel="true")
    ax.tick_params(axis="y", rotation=0)
    return ax


def curves(histories, key, ylabel, ax=None):
    """One entry of several training histories (dict label → History) over the epochs."""
    lines = {}
    for label, history in _named(histories, "histories").items():
        name = f"histories, {label}"
        rows = [_named(row, name) for row in _validate.several(history, name)]
        columns = ([row[_validate.choice(column, "key", row)] for row in rows] for column in ("epoch", key))
        lines[label] = [_validate.scores(column, name) for column in columns]
    _validate.instance(ylabel, "ylabel", str)
    ax = _axes(ax)
    for label, (epochs, values) in lines.items():
        ax.plot(epochs, values, marker="o", markersize=4, label=label)
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return ax


def _axes(ax, size=None):
    """These axes, or those of a new figure."""
    return plt.subplots(figsize=size)[1] if ax is None else _validate.instance(ax, "ax", plt.Axes)


def _titles(titles, count):
    titles = _validate.several(titles, "titles", str)
    if len(titles) != count:
        raise ValueError(f"titles: expected {count}, one an image, got {len(titles)}")
    return titles


def _named(value, name):
    """A dict with one entry or more, each by its name."""
    _validate.several(list(_validate.instance(value, name, dict)), f"names in {name}", str)
    return value


def _pair(value, name, kind=object):
    pair = _validate.several(value, name, kind)
    if len(pair) != 2:
        raise ValueError(f"{name}: expected two entries, got {len(pair)}")
    return pair
