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
    images = np.asarray(images)
    if images.ndim != 3 or len(images) == 0:
        raise ValueError(f"images: expected a non-empty array [N, height, width], got shape {list(images.shape)}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: expected {len(images)}, one an image, got {len(titles)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = 0 if titles is None else max(str(title).count("\n") + 1 for title in titles)
    height, width = images.shape[1] + 2 + 8 * lines, images.shape[2] + 2
    canvas = np.full((rows * height, columns * width), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * height + 8 * lines, i % columns * width
        canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    if ax is None:
        scale = 7.2 / (columns * width) if columns >= 8 else 0.03
        _, ax = plt.subplots(figsize=(columns * width * scale, rows * height * scale))
    ax.imshow(canvas, vmin=0, vmax=vmax, interpolation="nearest")
    ax.set_axis_off()
    for i, title in enumerate(titles if titles is not None else ()):
        top, left = i // columns * height + 8 * lines - 1.5, i % columns * width + images.shape[2] / 2
        ax.text(left, top, str(title), ha="center", va="bottom", fontsize=8, linespacing=1.1)
    return ax


def reconstructions(output, titles, level=0.5, ax=None):
    """Input, reconstruction, both binarised, and where those differ: one column an image of the Output."""
    if len(titles) != len(output.images):
        raise ValueError(f"titles: expected {len(output.images)}, one an image, got {len(titles)}")
    image, reconstruction = binarised(output, level)
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
    ax = ax or plt.subplots()[1]
    edges = np.histogram_bin_edges(np.concatenate([_validate.scores(v, k) for k, v in worlds.items()]), bins)
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
    ax = ax or plt.subplots(figsize=(7, 5))[1]
    random = np.random.default_rng(seed)
    for name, pair in worlds.items():
        x, y = (_validate.scores(values, name) for values in pair)
        chosen = random.permutation(len(x))[:size]
        ax.scatter(
            x[chosen], y[chosen], s=9, alpha=0.5, color=COLOURS.get(name), marker=MARKERS.get(name, "o"),
            linewidths=0, label=name,
        )  # fmt: skip
    ax.axvline(lines[0], color=BLACK, linestyle="--", linewidth=1.5)
    ax.axhline(lines[1], color=BLACK, linestyle="--", linewidth=1.5)
    ax.set(xlabel=labels[0], ylabel=labels[1])
    ax.legend(markerscale=2)
    return ax


def confusion(matrix, ax=None):
    """An 11×11 confusion matrix: counts as text, colour by row share on a logarithmic scale, so that errors show."""
    matrix = np.asarray(matrix)
    if matrix.shape != (11, 11) or matrix.dtype.kind not in "iu":
        raise ValueError(f"matrix: expected whole numbers [11, 11], got {matrix.dtype} {list(matrix.shape)}")
    ax = ax or plt.subplots(figsize=(7.2, 6))[1]
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
    ax = ax or plt.subplots()[1]
    for label, history in histories.items():
        ax.plot([row["epoch"] for row in history], [row[key] for row in history], marker="o", markersize=4, label=label)
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.legend()
    return ax
