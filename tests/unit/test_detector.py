"""The detector: what it decides, by which key, and what it promises."""

import numpy as np
import pytest

from osrlib import UNKNOWN, data, models, scores, thresholds
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from osrlib.thresholds import Conformal, MeanStd, Quantile
from tests.conftest import told


@pytest.fixture
def detector(mtae):
    """The report's."""
    return OpenSetClassifier.report(mtae)


def test_the_reports_rule(detector, digits, output):
    for question in (lambda: detector.predict(digits.images[:2]), lambda: detector.lines):
        with pytest.raises(ValueError, match="expected fit"):
            question()
    assert detector.fit(digits.images) is detector
    assert (detector.predict(data.load("noise").images[:50]) == UNKNOWN).all()
    decision = detector.decide(digits.images)
    assert decision.labels.dtype == np.int64 and decision.scores.dtype == np.float32
    assert list(decision.keys) == ["norm", "diff"] == list(detector.lines)
    np.testing.assert_array_equal(decision.refused, decision.scores > list(detector.lines.values()))
    np.testing.assert_array_equal(decision.labels, np.where(decision.refused.any(1), UNKNOWN, output.guess))
    assert (decision.guess == digits.labels).mean() > 0.96
    assert decision.p_values is None and decision.p_value is None  # these lines are not conformal
    wanted = {
        "norm": MeanStd(2).fit(scores.norm(output, unit=0.31)).value,
        "diff": MeanStd(2).fit(scores.diff(output)).value,
    }
    assert detector.lines == {name: key.threshold.value for name, key in detector.keys.items()} == wanted
    published = OpenSetClassifier.report().fit_output(output)  # of the published network, where none is given
    assert published.lines == wanted and (published.predict(digits.images[:50]) == decision.labels[:50]).all()
    again = OpenSetClassifier(detector.model, detector.keys).fit_output(output).decide_output(output)
    assert (again.labels == decision.labels).all()


def test_reasons_and_another_rule(mtae, digits, output):
    def both(*refused):
        return np.logical_and.reduce(refused)

    keys = {"first": (scores.norm, Conformal(0.3)), "other": (scores.diff, Conformal(0.3))}
    strict, mild = (OpenSetClassifier(mtae, keys, *rule).fit(digits.images) for rule in ((), (both,)))
    decision, milder = strict.decide(digits.images), mild.decide(digits.images)
    wanted = [", ".join(name for name, no in zip(keys, row, strict=True) if no) for row in decision.refused]
    assert decision.reasons() == wanted and set(wanted) == {"", "first", "other", "first, other"}
    np.testing.assert_array_equal(milder.labels == UNKNOWN, decision.refused.all(1))
    assert milder.p_value is None  # one for all keys is the OR rule's
    for answer in (None, 1, np.zeros(3, bool), np.zeros((500, 1), bool)):
        with pytest.raises(ValueError, match="rule"):
            OpenSetClassifier(mtae, strict.keys, rule=lambda *_, answer=answer: answer).decide_output(output)


@pytest.mark.parametrize("classes", [1, 3, 26])
def test_of_any_number_of_classes_the_unknown_is_the_next(classes, digits):
    model, images = models.SigmoidAE(classes), digits.images[:60]
    decision = OpenSetClassifier(model, {"norm": (scores.norm, Quantile(0.5))}).fit(images).decide(images)
    refused = decision.refused[:, 0]
    assert set(decision.labels[refused]) == {classes} and refused.sum() == 30
    assert decision.labels[~refused].max() < classes


def test_a_score_that_gives_no_number_is_refused(mtae, output):
    def odd(output):
        return scores.norm(output) + (np.nan if len(output) < 9 else 0)

    detector = OpenSetClassifier(mtae, {"norm": (scores.norm, MeanStd()), "odd": (odd, MeanStd())}).fit_output(output)
    with pytest.raises(ValueError, match=r"scores: expected finite numbers, .*odd"):
        detector.decide_output(output[:5])


def test_thresholds_are_copied(mtae, digits):
    line = MeanStd(1)
    first, second = (OpenSetClassifier(mtae, {"a": (scores.norm, line), "b": (scores.diff, line)}) for _ in range(2))
    before = first.fit(digits.images).lines
    second.fit(digits.images[:100])
    assert first.lines == before != second.lines and before["a"] != before["b"]
    with pytest.raises(ValueError, match="expected fit"):
        line.reject(np.zeros(2))


def test_a_refused_refit_leaves_the_detector_as_it_was(mtae, output):
    keys = {"norm": (scores.norm, MeanStd(2)), "energy": (scores.energy, thresholds.Tail())}
    detector = OpenSetClassifier(mtae, keys).fit_output(output)
    lines, decision = detector.lines, detector.decide_output(output)
    with pytest.raises(ValueError, match="at least 20"):  # of the second key; the first would do
        detector.fit_output(output[:100])
    assert detector.lines == lines
    np.testing.assert_array_equal(detector.decide_output(output).refused, decision.refused)


def test_how_many_known_images_it_takes(mtae, output):
    # a promise of 1 % for both keys: 124 would do for the first
    keys = {"code": (scores.norm, Conformal(0.008)), "pixels": (scores.diff, Conformal(0.002))}
    for few in (100, 498):
        with pytest.raises(ValueError, match=rf"at least 499 .*got {few}"):
            OpenSetClassifier(mtae, keys).fit_output(output[:few])
    assert len(OpenSetClassifier(mtae, keys).fit_output(output[:499]).lines) == 2
    one = OpenSetClassifier(mtae, {"norm": (scores.norm, MeanStd())}).fit_output(told([[1, 0]], reconstruction=np.zeros(
        (1, 28, 28)), images=np.zeros((1, 28, 28))))  # fmt: skip
    assert one.lines == {"norm": 0}


@pytest.fixture(scope="module")
def rule():
    """The recommended rule with a small bank, calibrated on held-back digits."""
    whole = data.load("mnist", "train")
    return OpenSetClassifier.recommended(known=whole[:5000], others=whole[50_000:52_000]).fit(whole[52_000:].images)


def test_the_recommended_rule_keeps_its_promise(rule):
    digits = data.load("mnist")
    decision = rule.decide(digits.images)
    refused = decision.labels == UNKNOWN
    assert 0.005 < refused.mean() < 0.015 and (decision.labels == digits.labels).mean() > 0.975
    # the p-value tells the same as the line
    np.testing.assert_array_equal(decision.p_value <= 0.01 + 1e-12, refused)
    for name, world in data.WORLDS.items():
        if world.role == "development" and name != "letters":
            assert (rule.predict(data.load(name).sample(200).images) == UNKNOWN).mean() > 0.9, name
    assert (rule.predict(data.load("pens").sample(500).images) == UNKNOWN).mean() < 0.06


def test_the_recommended_rule_is_made_as_chapter_8_says(mtae, digits):
    known, others = digits[:300], digits[300:400]
    made = OpenSetClassifier.recommended(mtae, known, others, alpha=0.1)
    seen = scores.Seen(mtae, infer(mtae, known.images), known.labels, infer(mtae, others.images))
    ((score, line),) = made.keys.values()
    new = infer(mtae, digits[400:].images)
    np.testing.assert_allclose(score(new), scores.SCORES["the rule"](seen)(new), rtol=1e-5)
    assert line.alpha == pytest.approx(0.1)
    with pytest.raises(ValueError, match="others"):
        OpenSetClassifier.recommended(mtae, known)


def test_the_rule_draws_no_copies(mtae, digits):
    """The copy takes half of the time, and no key of the rule reads it."""
    rule = OpenSetClassifier.recommended(mtae, digits[:300], digits[300:400], alpha=0.1)
    assert "reconstruction" not in infer(rule.model, digits[:5].images).parts


def test_the_recommended_rule_refuses_a_class_that_it_has_no_known_images_of():
    """The classifier may name it all the same."""
    train, five = data.load("mnist", "train"), [0, 1, 2, 3, 4]
    rule = OpenSetClassifier.recommended(
        known=train[:2000].only(five), others=train[49_000:50_000].only(five), alpha=0.2
    )
    decision = rule.fit(train[50_000:51_000].only(five).images).decide(data.load("mnist").images[:500])
    beyond = decision.guess > 4
    assert beyond.sum() > 200 and (decision.labels[beyond] == UNKNOWN).all() and np.isfinite(decision.scores).all()
    assert (decision.labels[~beyond] != UNKNOWN).mean() > 0.7
