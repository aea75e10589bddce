"""Detector, claims and plots."""

import json

import matplotlib
import numpy as np
import pytest

from osrlib import UNKNOWN, claims, data, plots, scores, thresholds
from osrlib.detector import OpenSetClassifier
from osrlib.models import infer
from tests.conftest import WRONG_IMAGES, WRONG_SCORES

matplotlib.use("Agg")


@pytest.fixture
def detector(mtae):
    return OpenSetClassifier(mtae, [scores.norm, scores.diff], [thresholds.MeanStd(2), thresholds.MeanStd(2)])


def test_the_reports_rule(detector, digits):
    assert detector.fit(digits.images) is detector
    noise = data.load("noise").images[:50]
    assert (detector.predict(noise) == UNKNOWN).all()
    decision = detector.decide(digits.images)
    assert decision.labels.dtype == np.int64 and decision.scores.shape == decision.refused.shape == (500, 2)
    lines = [line.value for line in detector.thresholds]
    assert (decision.refused == (decision.scores > lines)).all()
    assert ((decision.labels == UNKNOWN) == decision.refused.any(1)).all()
    kept = decision.labels != UNKNOWN
    assert (decision.labels[kept] == decision.guess[kept]).all() and (decision.guess == digits.labels).mean() > 0.96


def test_the_order_of_the_images_does_not_matter(detector, digits):
    detector.fit(digits.images)
    order = np.random.default_rng(0).permutation(500)
    assert (detector.predict(digits.images)[order] == detector.predict(digits.images[order])).mean() > 0.995


def test_another_rule(mtae, digits):
    def both(*refused):
        return np.logical_and.reduce(refused)

    pair = [scores.norm, scores.diff], [thresholds.Quantile(0.5), thresholds.Quantile(0.5)]
    strict = OpenSetClassifier(mtae, *pair).fit(digits.images).predict(digits.images)
    mild = OpenSetClassifier(mtae, *pair, rule=both).fit(digits.images).predict(digits.images)
    assert (mild == UNKNOWN).sum() < (strict == UNKNOWN).sum()


def test_a_detector_refuses(detector, digits, mtae):
    with pytest.raises(ValueError, match="expected fit"):
        detector.predict(digits.images)
    for wrong in WRONG_IMAGES.values():
        with pytest.raises(ValueError, match="images: expected"):
            detector.fit(wrong)
    for pair in (([], []), ([scores.norm], [])):
        with pytest.raises(ValueError, match="one threshold a score"):
            OpenSetClassifier(mtae, *pair)


@pytest.fixture
def recorded(monkeypatch):
    shown = []
    monkeypatch.setattr(
        claims, "display", lambda content, raw, metadata: shown.append((content, metadata["scrapbook"]))
    )
    return shown


def test_a_claim_that_holds(recorded, capsys):
    claims.check("MNIST accuracy", 0.964, 0.955, 0.98)
    assert capsys.readouterr().out == "MNIST accuracy within 95.5% to 98.0%: yes\n"
    ((content, mark),) = recorded
    record = json.loads(content["application/papermill.record/text/plain"])
    assert mark["name"] == "claim:MNIST accuracy"
    assert record == {
        "claim": "MNIST accuracy",
        "value": 0.964,
        "low": 0.955,
        "high": 0.98,
        "fmt": ".1%",
        "reference": False,
    }


def test_a_claim_that_fails(recorded):
    for value in (0.94, 0.99):
        with pytest.raises(claims.ClaimFailed, match="NO; measured"):
            claims.check("MNIST accuracy", value, 0.955, 0.98)


def test_the_reference_figure_stands_in_and_is_marked(recorded, capsys):
    claims.check("OOD accuracy", None, 0.94, 1, reference=0.95)
    shown = capsys.readouterr()
    assert "yes" in shown.out and "the reference run's figure, 95.0%, stands in" in shown.err
    with pytest.raises(claims.ClaimFailed):
        claims.check("OOD accuracy", None, 0.94, 1, reference=0.9)


@pytest.mark.parametrize("value, low, high", [(np.nan, 0, 1), ("a", 0, 1), (0.5, 1, 0), (0.5, np.nan, 1), (None, 0, 1)])
def test_claims_refuse(recorded, value, low, high):
    with pytest.raises(ValueError, match="expected"):
        claims.check("something", value, low, high)


def test_glue(recorded):
    claims.glue(accuracy=0.5, name="seven")
    assert [mark["name"] for _, mark in recorded] == ["accuracy", "name"]
    assert recorded[0][0]["application/papermill.record/text/plain"] == "0.5"


def test_every_figure_returns_its_axes(mtae, output, digits):
    plots.style()
    values = {"mnist": scores.norm(output), "noise": scores.norm(infer(mtae, data.load("noise").images[:100]))}
    drawn = [
        plots.gallery(digits.images[:7], list("abcdefg")),
        plots.reconstructions(infer(mtae, digits.images[:4]), list("abcd")),
        plots.histograms(values, "norm", 5.0),
        plots.scatter({name: (value, value) for name, value in values.items()}, (1, 2)),
        plots.confusion(np.eye(11, dtype=int)),
        plots.curves({"a": [{"epoch": 1, "x": 2}, {"epoch": 2, "x": 3}]}, "x", "x"),
    ]
    for ax in drawn:
        assert isinstance(ax, matplotlib.axes.Axes)
        matplotlib.pyplot.close(ax.figure)


def test_figures_refuse(digits, output):
    with pytest.raises(ValueError, match="expected"):
        plots.gallery(digits.images[0])
    with pytest.raises(ValueError, match="one an image"):
        plots.gallery(digits.images[:3], ["a"])
    with pytest.raises(ValueError, match="one an image"):
        plots.reconstructions(output, ["a"])
    for wrong in (np.eye(10, dtype=int), np.eye(11), "a"):
        with pytest.raises(ValueError, match="expected"):
            plots.confusion(wrong)
    for wrong in WRONG_SCORES.values():
        with pytest.raises(ValueError, match="expected"):
            plots.histograms({"mnist": wrong}, "norm")
