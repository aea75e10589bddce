"""Figures: each is drawn where it is told, and what cannot be drawn is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from osrlib import plots

VALUES = np.random.default_rng(0).gamma(2, 1, 50)
ROWS = [{"epoch": 1, "x": 2.0}, {"epoch": 2, "x": 3.0}]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_figure_is_drawn_on_the_axes_that_it_is_given(output, digits):
    plots.style()
    draw = [
        lambda ax: plots.gallery(digits.images[:7], list("abcdefg"), 4, ax=ax),
        lambda ax: plots.reconstructions(output[:4], list("abcd"), ax=ax),
        lambda ax: plots.histograms({"mnist": VALUES, "mine": VALUES + 1}, "norm", 5.0, ax=ax),
        lambda ax: plots.confusion(np.eye(4, dtype=int), ax=ax),
        lambda ax: plots.curves({"a": ROWS}, "x", "x", ax=ax),
    ]
    for one in draw:
        ax = plt.subplots()[1]
        assert one(ax) is ax and ax.has_data() and one(None) is not ax
        ax.figure.canvas.draw()


def test_what_a_figure_shows():
    ax = plots.histograms({"mnist": VALUES}, "norm", 5.0, np.arange(9.0))
    assert ax.get_legend_handles_labels()[1] == ["mnist", "threshold 5.00"] and ax.get_xlabel() == "norm"
    assert [text.get_text() for text in plots.confusion(np.array([[3, 1], [0, 4]])).texts] == ["3", "1", "0", "4"]
    (canvas,) = plots.gallery(np.arange(36).reshape(3, 4, 3), columns=2).images
    assert canvas.get_array().sum() == np.arange(36).sum()


@pytest.mark.parametrize(
    "draw, name",
    [
        (lambda: plots.gallery(np.zeros((3, 2, 2)), ["a"]), "titles"),
        (lambda: plots.histograms({"mnist": VALUES}, "x", bins=np.array([1.0])), "bins"),
        (lambda: plots.histograms({"mnist": VALUES}, "x", bins=np.array([98.0, 99.0])), "bins"),
        (lambda: plots.curves({"a": ROWS, "b": [{"epoch": 1}]}, "x", "y"), "key"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, name):
    with pytest.raises(ValueError, match=name):
        draw()
