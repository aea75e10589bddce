"""The picture on the first page, and the card that stands for the book where someone links to it."""

import matplotlib.pyplot as plt
import numpy as np

from experiments import study
from experiments.trainings import trained
from osrlib import UNKNOWN, data, files, plots
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer

CHOSEN = {"mnist": (0, 61), "letters": (2600,), "patches": (8,), "fashion": (0, 2, 18), "cifar10": (1,)}
"""Which images of which world the teaser shows."""


def draw_teaser():
    """What the model makes of digits and of unknown images."""
    model, _ = trained("mtae")
    rule = OpenSetClassifier.report(model).fit(data.report_digits().images)
    chosen = np.stack([data.load(name).images[i] for name, places in CHOSEN.items() for i in places])
    decision = rule.decide(chosen)
    titles = [
        f"diff {diff:.0f}\n" + ("unknown" if label == UNKNOWN else f"“{label}”")
        for diff, label in zip(decision.scores[:, 1], decision.labels, strict=True)
    ]
    plots.style()
    study.draw(plots.reconstructions(infer(model, chosen), titles).figure, "teaser")


def draw_card():
    """The book's title above a part of its teaser, 1200 × 630 pixels."""
    figure, (title, picture) = plt.subplots(2, 1, figsize=(12, 6.3), height_ratios=(1, 3))
    title.text(0.5, 0.55, "Knowing what you don't know", fontsize=46, weight="bold", ha="center", va="center")
    title.text(0.5, -0.05, "Open-set recognition: an executable book", fontsize=24, ha="center", va="center")
    picture.imshow(plt.imread(study.PICTURES / "teaser.png"))
    for ax in (title, picture):
        ax.axis("off")
    with files.whole(study.PICTURES / "card.png") as png:
        figure.savefig(png, format="png", dpi=100)
