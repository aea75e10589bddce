"""Detector, claims and plots."""

import json
from dataclasses import replace
from functools import partial

import matplotlib
import numpy as np
import pytest

from osrlib import UNKNOWN, claims, data, models, plots, scores, thresholds, zoo
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
        with pytest.raises(ValueError, match="expected"):
            OpenSetClassifier(mtae, *pair)


@pytest.fixture
def recorded(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda content, raw, metadata: shown.append((content, metadata["scrapbook"]))
    )
    return shown


def test_a_claim_that_holds(recorded, capsys):
    claims.check("MNIST accuracy", 0.964, 0.955, 0.98, said="the report: 96.24 %")
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
        "said": "the report: 96.24 %",
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


def test_own_figures_agree_or_differ(capsys):
    mean, std = (zoo.reference()["report_rule"][key] for key in ("mean", "std"))
    wide = 4.303 * (4 / 3) ** 0.5 * std["total"]  # the 97.5 % quantile of t with two degrees of freedom
    told = claims.agree("report_rule", total=mean["total"] + 0.99 * wide, mnist=mean["mnist"], ood=0.5)
    assert told == {"total": True, "mnist": True, "ood": False}
    assert claims.agree("report_rule", total=mean["total"] - 1.01 * wide) == {"total": False}
    lines = capsys.readouterr().out.splitlines()
    assert "agrees with" in lines[0] and "ood: 0.5 DIFFERS" in lines[2] and "(3 seeds)" in lines[2]
    closed = zoo.reference()["models"]["mtae"]["closed_accuracy_mean"]
    assert claims.agree("mtae", closed_accuracy=closed + 0.001) == {"closed_accuracy": True}


@pytest.mark.parametrize(
    "result, measured", [("rule", {"speed": 1}), ("mine", {"mnist": 0.9}), ("rule", {"mnist": np.nan})]
)
def test_agreement_needs_figures_that_there_are(result, measured):
    with pytest.raises(ValueError, match="expected"):
        claims.agree(result, **measured)


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


@pytest.fixture(scope="module")
def rule():
    """The recommended rule with a small bank, calibrated on held-back digits."""
    whole = data.load("mnist", "train")
    return OpenSetClassifier.recommended(known=whole[:5000]).fit(whole[50_000:].images)


def test_the_recommended_rule_keeps_its_promise(rule):
    digits = data.load("mnist")
    decision = rule.decide(digits.images)
    assert decision.names == ("code", "pixels") and decision.p_values.shape == (10_000, 2)
    refused = decision.labels == UNKNOWN
    assert 0.005 < refused.mean() < 0.015 and (decision.labels == digits.labels).mean() > 0.975
    # one p-value tells the same as the two lines
    np.testing.assert_array_equal(decision.p_value <= 0.01 + 1e-12, refused)
    np.testing.assert_array_equal(refused, decision.refused.any(1))
    reasons = np.array(decision.reasons())
    assert set(reasons) <= {"", "code", "pixels", "code, pixels"}
    np.testing.assert_array_equal(reasons == "", ~refused)
    np.testing.assert_array_equal([("code" in reason) for reason in reasons], decision.refused[:, 0])


def test_the_recommended_rule_is_made_as_chapter_8_says(mtae, digits, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "load", lambda *world: asked.append(world) or digits)
    monkeypatch.setitem(zoo.MODELS, "mtae-rule", replace(zoo.MODELS["mtae-rule"], images=400))
    made = OpenSetClassifier.recommended(mtae, alpha=0.1)
    assert asked == [("mnist", "train")]
    known, new = infer(mtae, digits[:400].images), infer(mtae, digits[400:].images)
    wanted = scores.knn_sum(known, digits[:400].labels), scores.pca_residual(known, 150)
    for score, own in zip(made.scores, wanted, strict=True):
        np.testing.assert_allclose(score(new), own(new), rtol=1e-5)
    assert [line.alpha for line in made.thresholds] == pytest.approx([0.08, 0.02])


def test_reasons_and_names(mtae, digits):
    class Length:
        def __call__(self, output):
            return scores.norm(output)

    lines = [thresholds.Quantile(0), thresholds.Quantile(0)]
    strict = OpenSetClassifier(mtae, [Length(), partial(scores.diff, level=0.3)], lines)
    decision = strict.fit(digits.images).decide(digits.images)
    assert decision.names == ("Length", "diff") and "Length, diff" in decision.reasons()


def test_the_recommended_rule_refuses_development_worlds(rule):
    for world in ("patches", "noise", "mnist-noise"):
        assert (rule.predict(data.load(world).sample(500).images) == UNKNOWN).mean() > 0.97


def test_the_price_of_the_rule_over_many_calibrations(rule):
    held_out = data.load("mnist", "train")[50_000:]
    output = infer(rule.model, held_out.images)
    values, random, refused = [score(output) for score in rule.scores], np.random.default_rng(0), []
    for _ in range(20):
        half = random.permutation(len(held_out)) < 5000
        lines = [
            thresholds.Conformal(line.alpha).fit(value[half])
            for line, value in zip(rule.thresholds, values, strict=True)
        ]
        refused.append(
            thresholds.any_of(*(line.reject(v[~half]) for line, v in zip(lines, values, strict=True))).mean()
        )
    assert 0.007 < np.mean(refused) < 0.013


def test_p_values_need_conformal_lines(mtae, digits):
    lines = [thresholds.MeanStd(), thresholds.MeanStd()]
    plain = OpenSetClassifier(mtae, [scores.norm, partial(scores.diff, level=0.2)], lines)
    decision = plain.fit(digits.images).decide(digits.images)
    assert decision.names == ("norm", "diff") and decision.p_values is None and decision.p_value is None


def test_the_recommended_rule_refuses_bad_input(rule):
    with pytest.raises(ValueError, match="alpha: expected"):
        OpenSetClassifier.recommended(alpha=0)
    few, lines = data.load("mnist", "train")[50_000:50_300], [line.value for line in rule.thresholds]
    with pytest.raises(ValueError, match="at least 499"):  # for the second line; they would do for the first
        OpenSetClassifier(rule.model, rule.scores, rule.thresholds).fit(few.images)
    assert [line.value for line in rule.thresholds] == lines
    with pytest.raises(ValueError, match="names: expected 2"):
        OpenSetClassifier(rule.model, rule.scores, rule.thresholds, names=["one"])


def test_a_threshold_serves_one_score():
    line = thresholds.MeanStd()
    with pytest.raises(ValueError, match="one of them twice"):
        OpenSetClassifier(models.MultiTaskAE(), [scores.norm, scores.msp], [line, line])


@pytest.mark.parametrize("line", [thresholds.TwoTail(), thresholds.ClassConformal(), thresholds.MeanStd], ids=str)
def test_thresholds_that_want_more_than_scores_are_refused_at_the_door(line):
    with pytest.raises(ValueError, match="fitted on one array"):
        OpenSetClassifier(models.MultiTaskAE(), [scores.norm], [line])


@pytest.mark.parametrize(
    "answer",
    [None, 1, np.zeros(3, bool), np.zeros((4, 1), bool), np.zeros(4)],
    ids=["none", "one", "few", "matrix", "float"],
)
def test_a_rule_that_does_not_answer_for_each_image_is_refused(answer):
    said = models.Output(np.eye(4, 10, dtype="f4"), np.ones((4, 3), "f4"))
    rule = OpenSetClassifier(models.MultiTaskAE(), [scores.msp], [thresholds.MeanStd()], rule=lambda *_: answer)
    with pytest.raises(ValueError, match="rule"):
        rule.fit_output(said).decide_output(said)


def test_a_class_that_would_read_as_unknown_is_refused():
    said = models.Output(np.eye(11, dtype="f4"), np.ones((11, 3), "f4"))
    rule = OpenSetClassifier(models.MultiTaskAE(), [scores.msp], [thresholds.MeanStd()]).fit_output(said)
    with pytest.raises(ValueError, match="at most 10 classes, got class 10"):
        rule.decide_output(said)
