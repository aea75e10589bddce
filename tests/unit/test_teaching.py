"""Claims say yes or no, and nothing that differs between machines; graders tell each answer what it deserves."""

import json

import numpy as np
import pytest

from osrlib import losses, pictures, scores, thresholds, zoo
from osrlib.teaching import answers, claims  # noqa: F401 the answers fill CHECKS
from osrlib.teaching.exercises import CHECKS, grade

RECORD = "application/papermill.record/text/plain"


@pytest.fixture
def recorded(monkeypatch):
    """What was displayed: (the name of the record, the contents by their type)."""
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda content, raw, metadata: shown.append((metadata["scrapbook"]["name"], content))
    )
    return shown


def test_a_claim_shows_its_value_and_compares_its_verdict(recorded, capsys):
    claims.check("MNIST accuracy", 0.964, 0.955, 0.98, n=10_000, spread=0.002, said="the report: 96.24 %")
    ((name, content),) = recorded
    assert name == "claim:MNIST accuracy" and content["text/plain"] == "MNIST accuracy within 95.5% to 98.0%: yes"
    for shown in ("96.4%", "± 0.2%", "n = 10,000", "95.5% to 98.0%: yes"):
        assert shown in content["text/html"]
    record = json.loads(content[RECORD])
    assert record == {
        "claim": "MNIST accuracy", "value": 0.964, "low": 0.955, "high": 0.98, "fmt": ".1%", "n": 10_000,
        "spread": 0.002, "said": "the report: 96.24 %", "reference": False,
    }  # fmt: skip
    assert capsys.readouterr().out == ""


def test_a_claim_of_one_value_a_seed(recorded):
    claims.check("gain <over> seeds", np.array([0.1, 0.2, 0.6]), 0, 1, ".2f")
    claims.check("one seed", np.array([0.25]), 0, 1, ".2f")
    (_, several), (_, one) = recorded
    record = json.loads(several[RECORD])
    assert (record["value"], record["n"]) == (pytest.approx(0.3), 3)
    assert record["spread"] == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    assert several["text/plain"] == "gain <over> seeds within 0.00 to 1.00: yes"  # the verdict alone
    assert "0.30 ± 0.26, n = 3" in several["text/html"] and "gain &lt;over&gt; seeds" in several["text/html"]
    assert json.loads(one[RECORD])["spread"] is None and "0.25, n = 1" in one["text/html"]


@pytest.mark.parametrize("value", [0.94, 0.99, np.array([0.9, 0.95])])
def test_a_claim_that_fails(recorded, value):
    with pytest.raises(claims.ClaimFailed, match=r"MNIST accuracy .*NO"):
        claims.check("MNIST accuracy", value, 0.955, 0.98)
    assert recorded[0][1]["text/plain"].endswith("NO")  # the page shows what was measured


def test_the_reference_figure_stands_in_and_is_marked(recorded, capsys):
    claims.check("OOD accuracy", None, 0.94, 1, reference=0.95)
    assert "95.0%, stands in" in capsys.readouterr().err and "(reference run)" in recorded[0][1]["text/html"]
    assert json.loads(recorded[0][1][RECORD])["reference"] is True
    with pytest.raises(claims.ClaimFailed):
        claims.check("OOD accuracy", None, 0.94, 1, reference=0.9)
    for wrong in ((None, 0, 1), (0.5, 1, 0)):
        with pytest.raises(ValueError, match="expected"):
            claims.check("something", *wrong)


def test_own_figures_agree_or_differ(capsys):
    mean, std = (zoo.reference()["report_rule"][key] for key in ("mean", "std"))
    wide = 2.776 * (6 / 5) ** 0.5 * std["total"]  # the 97.5 % quantile of t with four degrees of freedom
    told = claims.agree("report_rule", total=mean["total"] + 0.99 * wide, mnist=mean["mnist"], ood=0.5)
    assert told == {"total": True, "mnist": True, "ood": False}
    assert claims.agree("report_rule", total=mean["total"] - 1.01 * wide) == {"total": False}
    lines = capsys.readouterr().out.splitlines()
    assert "agrees with" in lines[0] and "ood: 0.5 DIFFERS" in lines[2] and "(5 seeds)" in lines[2]
    closed = zoo.reference()["models"]["mtae"]["closed_accuracy_mean"]
    assert claims.agree("mtae", closed_accuracy=closed + 0.001) == {"closed_accuracy": True}
    with pytest.raises(ValueError, match="measured: expected some of mnist"):
        claims.agree("rule", speed=1)


def test_glue(recorded):
    claims.glue(accuracy=0.5, name="seven")
    assert recorded == [("accuracy", {RECORD: "0.5"}), ("name", {RECORD: "seven"})]


FEW, MANY = np.arange(100) < 1, np.arange(100) < 5


ANSWERS = [  # number, answer, a word of the verdict; the chapters' own answers are tested with the book
    ("1.1", (0.4, 0.9), "same factor"),
    ("1.3", lambda accuracies: (np.min(accuracies), np.max(accuracies)), "more than the mean does"),
    ("2.1", [95.2, 98.4], "between 0 and 1"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile().fit(known), "test digits"),
    ("2.3", (2 / 3, 0.5, 0.8), "eleven classes"),
    ("3.1", (10_000, 100_000, 1_000_000), "a minute"),
    ("3.3", lambda output: output.errors.min(1), "all ten were drawn"),
    ("4.1", ([[5, 2], [2, 10]], [[2, 1, 0], [1, 0, 3]]), "factor"),
    ("4.2", lambda f, t: 36 * losses.style_loss(f, t), "but for a factor"),
    ("4.3", {1: 0.1, 3: 0.11, 5: 0.12}, "unknown second"),
    ("5.1", 207_073, "right"),
    ("5.1", 205_520, "but for the biases"),
    ("5.3", (0.015, 0.03), "swapped"),
    ("6.1", 1000, "Nearly"),
    ("6.3", scores.diff, "Otsu"),
    (
        "6.3",
        lambda o: ((o.pixels > (m := o.pixels.mean(1, keepdims=True))) != (o.copies > m)).sum(1),
        "level of its own",
    ),
    ("7.1", (98.63, 95.42, 95.69), "refused digit"),
    ("7.3", lambda output: scores.norm(output, relative=True), "right"),
    ("7.3", lambda output: scores.norm(output) / np.linalg.norm(output.copies, axis=1), "the copy"),
    ("8.2", lambda refused: refused.all(1).mean(), "right"),
    ("8.2", lambda refused: refused.mean(0).prod(), "independent"),
    ("8.3", {1.0: 0.3, 0.0: 0.3}, "handed on"),
    ("9.1", pictures.to_mnist, "right"),
    ("9.2", {0.05: MANY, 0.01: FEW[::-1]}, "same images"),
]


@pytest.mark.parametrize("number, answer, word", ANSWERS, ids=[f"{number} {word}" for number, _, word in ANSWERS])
def test_answers_get_the_verdict_they_deserve(number, answer, word):
    verdict = grade(number, answer)
    assert verdict.right == bool(verdict) == (word == "right") and word in verdict.text == repr(verdict)


def unwritten(*_):
    raise NotImplementedError


@pytest.mark.parametrize("number", CHECKS)
def test_what_is_no_answer_gets_a_word_too(number):
    for answer in (..., unwritten, None, "seven", [], {}, float("nan"), lambda *_: 1 / 0):
        verdict = grade(number, answer)
        assert not verdict and verdict.text.startswith(f"{number}: ") and len(verdict.text) > 20
        assert answer is not ... or "nothing here yet" in verdict.text
    assert "nothing here yet" in grade("1.2", unwritten).text


def test_an_answer_cannot_spoil_the_next():
    def relative(output):
        output.reconstruction[:] = 0
        return scores.norm(output, relative=True)

    assert "read-only" in grade("7.3", relative).text
    assert grade("7.3", lambda output: scores.norm(output, relative=True))
    with pytest.raises(ValueError, match=r"number: expected one of 1\.1"):
        grade("12.1", 0)
