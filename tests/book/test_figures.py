"""Figures for the dark: what they change and what not; and the diagram of the report's model, which says what is so."""

import base64
import hashlib
import io
import re
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from IPython.core.pylabtools import print_figure
from matplotlib.colors import same_color
from matplotlib.patches import ConnectionPatch
from matplotlib.text import Text
from PIL import Image

from osrlib import models, plots, zoo
from tools import dark, execute, finish, panels, paths

SEEN = ("mnist", "fashion", "cifar10", "letters", "patches", "noise")
RANDOM = np.random.default_rng(0)


def cells_and_sheet():
    """Cells in greys, with a word on a white ground among them, and a white picture on grey."""
    _, (ax, sheet) = plt.subplots(1, 2)
    ax.pcolormesh(np.eye(4), cmap="Greys")
    ax.text(1, 1, "a word", bbox={"facecolor": "white"})
    sheet.imshow(np.where(np.eye(4), np.nan, 1), cmap=plt.get_cmap("gray").with_extremes(bad="0.75"))
    return ax


FIGURES = {
    "histograms": lambda: plots.histograms({name: RANDOM.normal(size=50) for name in SEEN}, "norm", 1.5),
    "gallery": lambda: plots.gallery(RANDOM.integers(0, 255, (6, 28, 28)), ["a title"] * 6, columns=3),
    "grey cells": cells_and_sheet,
    "confusion": lambda: plots.confusion(RANDOM.integers(0, 90, (4, 4))),
}


@pytest.fixture(autouse=True)
def book_style():
    with mpl.rc_context(), plt.ioff():
        plt.switch_backend("agg")
        plots.style()
        yield
    plt.close("all")


def pixels(png):
    return np.asarray(Image.open(png).convert("RGBA")).astype(int)


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_is_afterwards_what_it_was(kind, tmp_path):
    figure = FIGURES[kind]().figure
    _, before = print_figure(figure), print_figure(figure)  # some layouts settle with the second drawing
    second = tmp_path / "second.png"
    second.write_bytes(base64.b64decode(dark.picture(figure)))
    assert print_figure(figure) == before
    (tmp_path / "first.png").write_bytes(before)
    light, turned = pixels(tmp_path / "first.png"), pixels(second)
    assert light.shape == turned.shape and (turned[0, :, 3] == 0).all() and (turned[..., 3] == 0).mean() > 0.05


@pytest.mark.parametrize("kind", FIGURES)
def test_all_text_can_be_read(kind):
    ax = FIGURES[kind]()
    cells = {}
    if kind == "confusion":  # seaborn writes into the middle of each cell
        colours = ax.collections[0].to_rgba(ax.collections[0].get_array().ravel())[:, :3]
        cells = dict(zip(ax.texts, colours, strict=True))
    with dark.darkened(ax.figure):
        texts = [text for text in ax.figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert len(texts) > 5
        for text in texts:
            assert dark.contrast(text.get_color(), cells.get(text, dark.GROUND)) >= 4.5


def test_text_among_dots_is_light_and_has_a_rim():
    figure, ax = plt.subplots()
    ax.scatter(*RANDOM.random((2, 3000)), s=30, c=RANDOM.random(3000))
    among, beside = ax.text(0.5, 0.5, "a word", weight="bold"), ax.set_title("a title")
    with dark.darkened(figure):
        assert dark.contrast(among.get_color(), dark.GROUND) > 7
        assert len(among.get_path_effects()) == 1 and not beside.get_path_effects()
    assert not among.get_path_effects()


def test_colours_of_worlds_stay_and_black_becomes_light():
    shown = {name: colour for name, colour in plots.COLOURS.items() if dark.contrast(colour, dark.GROUND) >= 3}
    grey = {name for name, colour in shown.items() if len({*colour[1::2]}) == 1}
    assert set(SEEN) <= set(shown) - grey
    for name, colour in plots.COLOURS.items():
        if name in shown and name not in grey:
            assert same_color(dark.turned(colour), colour)
        assert dark.contrast(dark.turned(colour)[:3], dark.GROUND) >= 3
    figure, ax = plt.subplots()
    (line,) = ax.plot([0, 1], color="black")
    image = ax.imshow(RANDOM.random((4, 4)))
    colours = image.to_rgba(image.get_array())
    with dark.darkened(figure):
        assert dark.contrast(line.get_color()[:3], dark.GROUND) > 10
        assert (image.to_rgba(image.get_array()) == colours).all()
        (grid,) = {tuple(line.get_color()) for line in ax.get_xgridlines()}
        assert 1.2 < dark.contrast(grid[:3], dark.GROUND) < 3
    assert line.get_color() == "black"


def side_by_side(**options):
    """Two panels of scales that differ in their width."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), **options)
    axes[0].barh(["a long name", "another long name"], [1, 2])
    axes[1].plot([0, 1], [0, 1000], label="a line")
    axes[0].set_title("a title")
    return figure, axes


def test_panels_side_by_side_come_one_below_the_other(tmp_path):
    figure, _ = side_by_side()
    file = tmp_path / "figure.png"
    file.write_bytes(base64.b64decode(dark.picture(figure)))
    (places,) = panels.of(file)
    assert len(places) == 2 and places[0][0] == 0 and places[0][2] == places[1][0] and places[1][2] == 1
    before = Image.open(file)
    after = panels.stack(before, [places])
    assert after.width < 0.7 * before.width and after.height > 1.9 * before.height
    drawn = [(np.asarray(image)[..., 3] > 0).sum() for image in (before, after)]
    assert drawn[0] == drawn[1]  # no ink is lost where the picture is cut, and none is there twice
    left = before.crop((0, 0, round(places[0][2] * before.width), before.height))
    assert not np.asarray(left)[:, -2:, 3].any()


@pytest.mark.parametrize("columns, order", [(2, [0, 1, 2, 3]), (4, [0, 1, 4, 5, 2, 3, 6, 7])])
def test_few_columns_are_read_by_rows_many_by_columns_and_small_panels_stay_in_pairs(columns, order):
    figure, axes = plt.subplots(2, columns, figsize=(8, 4))
    for number, ax in enumerate(axes.flat):
        ax.set(xticks=[], yticks=[], facecolor=str((number + 1) / 9))
    picture = Image.open(io.BytesIO(print_figure(figure))).convert("L")
    stacked = np.asarray(panels.stack(picture, panels.places(figure))).astype(int)
    pairs = columns // 2
    high, wide = len(stacked) // (2 * columns // pairs), stacked.shape[1] // pairs
    middles = stacked[high // 2 :: high, wide // 2 :: wide]
    assert (middles.ravel() * 9 / 255 - 1).round().astype(int).tolist() == order


def arrow_across():
    figure, (one, other) = side_by_side()
    figure.add_artist(ConnectionPatch((1, 0.5), (0, 500), one.transData, other.transData, arrowstyle="->"))
    return figure


WHOLE = {
    "nothing": plt.figure,
    "one panel": lambda: plt.subplots()[0],
    "one below the other": lambda: plt.subplots(2, 1)[0],
    "one scale for both": lambda: plt.subplots(1, 2, sharey=True)[0],
    "a title over both": lambda: side_by_side()[0].suptitle("for both").figure,
    "a legend for both": lambda: side_by_side()[0].legend().figure,
    "an arrow across": arrow_across,
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_figure_that_is_one_thing_is_left_whole(kind):
    figure = WHOLE[kind]()
    assert panels.places(figure) == [] and panels.text(figure) == {}


def test_a_build_draws_figures_for_both_themes_and_a_notebook_for_one(tmp_path, monkeypatch):
    source = "import matplotlib.pyplot as plt\nplt.plot([1, 2], color='black')\nplt.show()"
    (tmp_path / "99-made-up.md").write_text(f"# Made up\n\n```{{code-cell}} ipython3\n{source}\n```\n")
    monkeypatch.setattr(paths, "CHAPTERS", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(paths.ROOT))
    light = []
    for themes in (False, True):
        execute.execute("99-made-up", tmp_path / "made.ipynb", themes=themes)
        notebook = nbformat.read(tmp_path / "made.ipynb", as_version=4)
        data = notebook.cells[-1].outputs[-1]["data"]
        assert (dark.MIME in data) == themes
        light.append(data["image/png"])
    assert light[0] == light[1]
    dark.take(notebook, tmp_path / "taken")
    assert set(notebook.cells[-1].outputs[-1]["data"]) == {"text/plain", "image/png"}
    (file,) = (tmp_path / "taken").iterdir()
    assert file.name == f"{hashlib.sha256(base64.b64decode(light[0])).hexdigest()}-dark.png"
    before = pixels(file)
    assert finish.lighter(file) == (before.shape[1], before.shape[0]) and Image.open(file).mode == "P"
    after = pixels(file)
    empty = before[..., 3] == 0
    assert ((after[..., 3] == 0) == empty).all()
    seen = dark.GROUND * 255 * (1 - before[..., 3:] / 255) + before[..., :3] * before[..., 3:] / 255
    assert np.abs(after[..., :3] - seen)[~empty].max() <= finish.FAR + 1


def test_the_diagram_of_the_model_has_its_layers_and_shapes():
    table, layers = models.layer_table(zoo.build("mtae")), []
    kinds = {name.partition("-")[0] for name, *_ in table}
    drawing = ElementTree.parse(paths.ROOT / "osrlib" / "teaching" / "model.svg")
    for step in drawing.iterfind("{*}g"):  # an arrow with its layers, and what comes out
        texts = [text.text for text in step.iterfind("{*}text")]
        if here := [word for word in re.findall(r"\w+", " ".join(texts)) if word in kinds]:
            layers += here
            _, shape, _ = table[len(layers) - 1]
            assert texts[-1] == " × ".join(map(str, shape[1:]))
    assert layers == [name.partition("-")[0] for name, *_ in table]
