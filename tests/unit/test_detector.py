"""The detector: what it decides, by which key, and what it promises."""

from dataclasses import replace

import numpy as np
import pytest

from osrlib import UNKNOWN, data, models, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from osrlib.thresholds import Conformal, MeanStd, Quantile
from tests.conftest import told


@pytest.fixture
def detector(mtae):
    """The report's."""
    return OpenSetClassifier(mtae, {"norm": (scores.norm, MeanStd(2)), "diff": (scores.diff, MeanStd(2))})


def test_the_reports_rule(detector, digits):
    assert detector.fit(digits.images) is detector
    assert (detector.predict(data.load("noise").images[:50]) == UNKNOWN).all()
    decision = detector.decide(digits.images)
    assert decision.labels.dtype == np.int64 and decision.scores.dtype == np.float32
    assert decision.names == ("norm", "diff") == tuple(detector.lines)
    np.testing.assert_array_equal(decision.refused, decision.scores > list(detector.lines.values()))
    np.testing.assert_array_equal(decision.labels == UNKNOWN, decision.refused.any(1))
    kept = decision.labels != UNKNOWN
    assert (decision.labels[kept] == decision.guess[kept]).all() and (decision.guess == digits.labels).mean() > 0.96
    assert decision.p_values is None and decision.p_value is None  # these lines are not conformal
    said = infer(detector.model, digits.images)
    again = OpenSetClassifier(detector.model, detector.keys).fit_output(said)
    assert again.lines == detector.lines and (again.decide_output(said).labels == decision.labels).all()
    assert detector.keys["norm"].threshold.value == MeanStd(2).fit(scores.norm(said)).value == detector.lines["norm"]


def test_reasons(mtae, digits):
    lines = {"first": (scores.norm, Quantile(0.5)), "other": (lambda output: scores.diff(output, 0.3), Quantile(0))}
    decision = OpenSetClassifier(mtae, lines).fit(digits.images).decide(digits.images)
    told = decision.reasons()
    assert set(told) == {"", "other", "first, other"} or set(told) == {"", "first", "other", "first, other"}
    assert [one != "" for one in told] == decision.refused.any(1).tolist()


def test_another_rule(mtae, digits):
    def both(*refused):
        return np.logical_and.reduce(refused)

    keys = {"norm": (scores.norm, Conformal(0.5)), "diff": (scores.diff, Conformal(0.5))}
    strict, mild = (OpenSetClassifier(mtae, keys, *rule).fit(digits.images) for rule in ((), (both,)))
    decision = mild.decide(digits.images)
    np.testing.assert_array_equal(decision.labels == UNKNOWN, decision.refused.all(1))
    assert (decision.labels == UNKNOWN).sum() < (strict.predict(digits.images) == UNKNOWN).sum()
    assert decision.p_values is None and decision.p_value is None  # they are the OR rule's


@pytest.mark.parametrize(
    "answer",
    [None, 1, np.zeros(3, bool), np.zeros((4, 1), bool)],
    ids=["nothing", "one", "few", "matrix"],
)
def test_a_rule_that_does_not_answer_for_each_image_is_refused(answer):
    said = told(np.eye(4, 10))
    detector = OpenSetClassifier(models.MultiTaskAE(), {"msp": (scores.msp, MeanStd())}, rule=lambda *_: answer)
    with pytest.raises(ValueError, match="rule"):
        detector.fit_output(said).decide_output(said)


@pytest.mark.parametrize("classes", [1, 3, 26])
def test_of_any_number_of_classes_the_unknown_is_the_next(classes, digits):
    model, images = models.MultiTaskAE(classes=classes), digits.images[:60]
    detector = OpenSetClassifier(model, {"norm": (scores.norm, Quantile(0.5))}).fit(images)
    decision = detector.decide(images)
    assert set(decision.labels[decision.refused[:, 0]]) == {classes} and decision.refused.sum() == 30
    assert decision.labels[~decision.refused[:, 0]].max() < classes


# ---------------------------------------------------------------------------------------------------------------------
# Fitting


def test_nothing_is_decided_before_a_fit(detector, digits):
    for question in (lambda: detector.predict(digits.images[:2]), lambda: detector.lines):
        with pytest.raises(ValueError, match="expected fit"):
            question()


def test_thresholds_are_copied(mtae, digits):
    line = MeanStd(1)
    first, second = (OpenSetClassifier(mtae, {"a": (scores.norm, line), "b": (scores.diff, line)}) for _ in range(2))
    before = first.fit(digits.images).lines
    second.fit(digits.images[:100])
    assert first.lines == before and before["a"] != before["b"] and second.lines != before
    with pytest.raises(ValueError, match="expected fit"):
        line.value  # noqa: B018


def test_a_refused_refit_leaves_the_detector_as_it_was(mtae, digits):
    good = infer(mtae, digits.images)
    keys = {"norm": (scores.norm, MeanStd(2)), "energy": (scores.energy, thresholds.Tail())}
    detector = OpenSetClassifier(mtae, keys).fit_output(good)
    lines, decision = detector.lines, detector.decide_output(good)
    with pytest.raises(ValueError, match="at least 20"):  # of the second key; the first would do
        detector.fit_output(good[:100])
    assert detector.lines == lines
    np.testing.assert_array_equal(detector.decide_output(good).scores, decision.scores)
    assert OpenSetClassifier(mtae, {"norm": (scores.norm, MeanStd())}).fit_output(good[:1]).lines


def test_how_many_known_images_it_takes(mtae, digits):
    # a promise of 1 % for both keys: 124 would do for the first
    keys = {"code": (scores.norm, Conformal(0.008)), "pixels": (scores.diff, Conformal(0.002))}
    detector = OpenSetClassifier(mtae, keys)
    with pytest.raises(ValueError, match="at least 499 .*got 100"):
        detector.fit(digits.images[:100])
    with pytest.raises(ValueError, match="at least 499 .*got 498"):
        detector.fit(digits.images[:498])
    assert len(detector.fit(digits.images[:499]).lines) == 2


# ---------------------------------------------------------------------------------------------------------------------
# The recommended rule


@pytest.fixture(scope="module")
def rule():
    """The recommended rule with a small bank, calibrated on held-back digits."""
    whole = data.load("mnist", "train")
    return OpenSetClassifier.recommended(known=whole[:5000]).fit(whole[50_000:].images)


def test_the_recommended_rule_keeps_its_promise(rule):
    digits = data.load("mnist")
    decision = rule.decide(digits.images)
    refused = decision.labels == UNKNOWN
    assert decision.names == ("code", "pixels") and decision.p_values.shape == (10_000, 2)
    assert 0.005 < refused.mean() < 0.015 and (decision.labels == digits.labels).mean() > 0.975
    # one p-value tells the same as the two lines
    np.testing.assert_array_equal(decision.p_value <= 0.01 + 1e-12, refused)
    np.testing.assert_array_equal(decision.p_values <= np.array([0.008, 0.002]) + 1e-12, decision.refused)
    for world in ("patches", "noise", "mnist-noise"):
        assert (rule.predict(data.load(world).sample(200).images) == UNKNOWN).mean() > 0.97


def test_the_price_of_the_rule_over_many_calibrations(rule):
    output = infer(rule.model, data.load("mnist", "train")[50_000:].images)
    values, random, refused = [score(output) for score, _ in rule.keys.values()], np.random.default_rng(0), []
    for _ in range(20):
        half = random.permutation(len(output)) < 5000
        lines = [Conformal(alpha).fit(value[half]) for alpha, value in zip((0.008, 0.002), values, strict=True)]
        both = (line.reject(value[~half]) for line, value in zip(lines, values, strict=True))
        refused.append(thresholds.any_of(*both).mean())
    assert 0.007 < np.mean(refused) < 0.013


def test_the_recommended_rule_is_made_as_chapter_8_says(mtae, digits, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "load", lambda *world: asked.append(world) or digits)
    monkeypatch.setitem(zoo.MODELS, "mtae-rule", replace(zoo.MODELS["mtae-rule"], images=400))
    made = OpenSetClassifier.recommended(mtae, alpha=0.1)
    assert asked == [("mnist", "train")]
    known, new = infer(mtae, digits[:400].images), infer(mtae, digits[400:].images)
    wanted = scores.KNNSum(known, digits[:400].labels), scores.PCAResidual(known, 150)
    for (score, _), own in zip(made.keys.values(), wanted, strict=True):
        np.testing.assert_allclose(score(new), own(new), rtol=1e-5)
    assert [line.alpha for _, line in made.keys.values()] == pytest.approx([0.08, 0.02])
    assert [line.alpha for _, line in OpenSetClassifier.recommended(mtae).keys.values()] == [0.008, 0.002]


def test_the_recommended_rule_refuses_a_class_that_it_has_no_known_images_of():
    """The classifier may name it all the same."""
    known, new = data.load("mnist", "train")[:2000], data.load("mnist")
    rule = OpenSetClassifier.recommended(known=known.only([0, 1, 2, 3, 4]), alpha=0.2)
    rule.fit(data.load("mnist", "train")[50_000:51_000].only([0, 1, 2, 3, 4]).images)
    decision = rule.decide(new.images[:500])
    beyond = decision.guess > 4
    assert beyond.sum() > 200 and (decision.labels[beyond] == UNKNOWN).all() and np.isfinite(decision.scores).all()
    assert (decision.labels[~beyond] != UNKNOWN).mean() > 0.7
