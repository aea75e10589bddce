"""Claims say yes or no, and nothing that differs between machines; graders tell each answer what it deserves."""

import json

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from osrlib import UNKNOWN, gram, losses, metrics, models, pictures, promise, scores, thresholds, zoo
from osrlib.output import BatchOutput, infer
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
    assert "reference run" not in content["text/html"]
    record = json.loads(content[RECORD])
    assert record == {
        "claim": "MNIST accuracy", "value": 0.964, "low": 0.955, "high": 0.98, "fmt": ".1%", "n": 10_000,
        "spread": 0.002, "said": "the report: 96.24 %", "source": "this build",
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
    assert "95.0%, stands in" in capsys.readouterr().err
    assert "(reference run, stands in)" in recorded[0][1]["text/html"]
    assert json.loads(recorded[0][1][RECORD])["source"] == "reference run, stands in"
    with pytest.raises(claims.ClaimFailed):
        claims.check("OOD accuracy", None, 0.94, 1, reference=0.9)
    for wrong in ((None, 0, 1), (0.5, 1, 0)):
        with pytest.raises(ValueError, match="expected"):
            claims.check("something", *wrong)


def test_a_recorded_value_is_marked_and_its_verdict_is_as_any_other(recorded):
    for told in (True, False):
        claims.check("three trainings", np.array([0.95, 0.96, 0.97]), 0.94, 1, recorded=told)
    (_, marked), (_, plain) = recorded
    assert "<strong>96.0% ± 1.0%, n = 3</strong> (reference run)," in marked["text/html"]
    assert json.loads(marked[RECORD]) == json.loads(plain[RECORD]) | {"source": "reference run"}
    assert marked["text/plain"] == plain["text/plain"] and "reference run" not in plain["text/html"]


def test_own_figures_agree_or_differ(capsys):
    mean, std = (zoo.reference()["report_rule"][key] for key in ("mean", "std"))
    wide = 2.776 * (6 / 5) ** 0.5 * std["total"]  # the 97.5 % quantile of t with four degrees of freedom
    told = claims.agree("report_rule", total=mean["total"] + 0.99 * wide, mnist=mean["mnist"], ood=0.5)
    assert told == {"total": True, "mnist": True, "ood": False}
    assert claims.agree("report_rule", total=mean["total"] - 1.01 * wide) == {"total": False}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"agrees with {mean['total']:.4g} ± {wide:.2g} (5 seeds)")
    assert claims.margin(std["total"], 5) == pytest.approx(wide, rel=1e-3)
    assert "ood: 0.5 DIFFERS" in lines[2]
    closed = zoo.reference()["models"]["mtae"]["closed_accuracy_mean"]
    assert claims.agree("mtae", closed_accuracy=closed + 0.001) == {"closed_accuracy": True}
    with pytest.raises(ValueError, match="measured: expected some of mnist"):
        claims.agree("rule", speed=1)


def test_glue(recorded):
    claims.glue(accuracy=0.5, name="seven")
    assert recorded == [("accuracy", {RECORD: "0.5"}), ("name", {RECORD: "seven"})]


def unit(codes):
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def two_best(known, unknown):
    return sorted(known, key=lambda name: -metrics.auroc(known[name], unknown[name]))[:2]


def p_values(known, new):
    return np.stack([thresholds.Conformal().fit(a).p_values(b) for a, b in zip(known, new, strict=True)])


def best_of(known, unknown):
    """The best of several scores, and the AUROC that it promises."""
    areas = [metrics.auroc(*pair) for pair in zip(known, unknown, strict=True)]
    return int(np.argmax(areas)), max(areas)


def class_bounds(known, by_class=True, below=True, relative=True):
    """Exercise 4.3, with a way to do it wrong for each of its hints."""

    def score(output):
        total = []
        for v, k in zip(output.code, output.guess, strict=True):
            own = known.code[known.guess == k] if by_class else known.code
            low, high = own.min(0), own.max(0)
            under, over = below * np.maximum(low - v, 0), np.maximum(v - high, 0)
            total.append((under / low + over / high if relative else under + over).sum())
        return np.array(total)

    return score


def order_alone(order, training, digits, unknown):
    """Exercise 4.4."""
    network = gram.GramFeatures(zoo.load("cnn"), (order,))
    score = gram.GramDeviation(infer(network, training), network.layer)
    return metrics.auroc(*(score(infer(network, images)) for images in (digits, unknown)))


def luck(tried, images):
    """What the best of so many random scores promises beyond one half: an AUROC is nearly normal."""
    width = np.sqrt((2 * images + 1) / 12) / images
    return width * np.random.default_rng(0).standard_normal((2000, tried)).max(1).mean()


def open_set(known, new, price, unknown=6, lead=1):
    """The answer to 1.3, and what goes wrong without a word of it."""

    def doubt(logits):
        powers = np.exp(logits - lead * logits.max(1, keepdims=True))
        return 1 - powers.max(1) / powers.sum(1)

    return np.where(doubt(new) > np.quantile(doubt(known), 1 - price), unknown, new.argmax(1))


class Copyist(models.MultiTaskAE):
    """The answer to 5.3; past: how much of the image gets past its code; learns: does the classifier?"""

    def __init__(self, size, past=0.0, learns=True):
        super().__init__()
        self.past, self.learns = past, learns
        self.encoder.linear, self.decoder.linear = torch.nn.Linear(1568, size), torch.nn.Linear(size, 1568)
        self.classifier = torch.nn.Linear(size, 11)

    def forward(self, x):
        output = super().forward(x)
        logits = output.logits if self.learns else output.logits.detach()
        return BatchOutput(logits, output.code, output.reconstruction + self.past * x.squeeze(1))


def rank(values, alpha):
    return int(np.ceil((len(values) + 1) * (1 - alpha)))


def ranked(values, alpha):
    return np.sort(values)[rank(values, alpha) - 1] if rank(values, alpha) <= len(values) else np.inf


def hasty(calibration, scores):
    means = np.convolve(np.searchsorted(np.sort(calibration), scores) / len(calibration), np.ones(100) / 100, "valid")
    over = (means - 0.5) * np.sqrt(1200) > 2.33
    return 100 + int(over.argmax()) if over.any() else None


def keep_up(start, days, known, alpha):
    return [ranked(np.concatenate([start, days[: i + 1][known[: i + 1]]])[-500:], alpha) for i in range(len(days))]


def shares(matrix):
    right, images = matrix.diagonal(), matrix.sum(1)
    return [100 * right[part].sum() / images[part].sum() for part in (slice(10), slice(10, 11), slice(11))]


ANSWERS = [  # number, answer, a word of the verdict; the chapters' own answers are tested with the book
    ("1.1", (0.4, 0.9), "same factor"),
    ("1.3", lambda known, new, price: open_set(known, new, price, UNKNOWN), "is number 6"),
    ("1.3", lambda known, new, price: open_set(known, new, 1 - price), "nine tenths"),
    ("1.3", lambda known, new, price: open_set(new, new, price), "owes them nothing"),
    ("1.3", lambda known, new, price: open_set(known, new, price, lead=0), "exp overflows"),
    ("1.3", lambda known, new, price: new.argmax(1), "none of 1,000"),
    ("1.4", lambda accuracies: (np.min(accuracies), np.max(accuracies)), "more than the mean does"),
    ("2.1", [95.2, 98.4], "between 0 and 1"),
    ("2.2", lambda known, unknown, seed: best_of(known, unknown), "taken part in the choice"),
    ("2.2", lambda known, unknown, seed: (0, 0.5), "did not win"),
    ("2.2", lambda known, unknown, seed: (best_of(known, unknown)[0], 0.5), "not its AUROC"),
    ("2.3", lambda known, right, unknown: metrics.auroc(known, unknown), "at the names"),
    ("2.3", lambda known, right, unknown: metrics.auroc(known[right], unknown), "all pairs"),
    ("2.3", lambda known, right, unknown: metrics.auroc(-known, -unknown) * right.mean(), "higher"),
    ("2.3", lambda known, right, unknown: (unknown[:, None] > known[right]).sum() / len(known) / len(unknown), "Ties"),
    ("2.4", lambda tried, images: 0.5 + luck(tried, images), "beyond 1/2"),
    ("2.4", lambda tried, images: 0.0, "grow with the number tried"),
    ("2.4", lambda tried, images: luck(tried, 20), "shrink as the sample grows"),
    ("2.4", lambda tried, images: luck(tried, images // 2), "as many known as unknown"),
    ("2.4", luck, "right"),
    ("3.1", lambda images, classes: images * classes, "a minute"),
    ("3.1", lambda images, classes: images / 60, "under every order"),
    ("3.2", losses.c2ae_loss, "as in the paper"),
    ("3.3", lambda model, images: infer(model, images).errors.min(1), "All ten orders"),
    ("3.4", lambda output, power: output.errors.min(1) * output.images.mean((1, 2)) ** power, "multiplies"),
    ("3.4", lambda output, power: output.errors.mean(1), "smallest of the ten"),
    ("4.1", ([[5, 2], [2, 10]], [[2, 1, 0], [1, 0, 3]]), "factor"),
    ("4.2", lambda f, t: 36 * losses.style_loss(f, t), "but for a factor"),
    ("4.3", class_bounds, "right"),
    ("4.3", lambda known: class_bounds(known, by_class=False), "all classes in one"),
    ("4.3", lambda known: class_bounds(known, below=False), "below the lower bound"),
    ("4.3", lambda known: class_bounds(known, relative=False), "share of the bound"),
    ("4.4", lambda p, known, digits, new: order_alone(p, known, new, digits), "unknown second"),
    ("4.4", lambda p, known, digits, new: order_alone(1, known, digits, new), "which order"),
    ("4.4", lambda p, known, digits, new: order_alone(p, digits, digits, new), "What sets the bounds"),
    ("5.1", 207_073, "right"),
    ("5.1", 205_520, "but for the biases"),
    ("5.2", lambda digits, letters: (digits, digits, letters), "judge it"),
    ("5.2", lambda digits, letters: (digits[:9], digits[9:], letters), "half of them"),
    ("5.3", Copyist, "right"),
    ("5.3", lambda size: models.MultiTaskAE(), "[64, 128]"),
    ("5.3", lambda size: Copyist(size, past=0.1), "past the code"),
    ("5.3", lambda size: Copyist(size, learns=False), "reaches classifier.weight"),
    ("6.1", 1000, "Nearly"),
    ("6.3", scores.diff, "Otsu"),
    (
        "6.3",
        lambda o: ((o.pixels > (m := o.pixels.mean(1, keepdims=True))) != (o.copies > m)).sum(1),
        "level of its own",
    ),
    ("6.4", lambda values, alpha: np.quantile(values, 1 - alpha), "between two scores"),
    ("6.4", lambda values, alpha: np.quantile(values, 1 - alpha, method="inverted_cdf"), "one of n + 1"),
    ("6.4", lambda values, alpha: thresholds.Conformal(1 - alpha).fit(values).value, "Refused are the largest"),
    ("6.4", lambda values, alpha: ranked(np.unique(values), alpha), "as often as it comes"),
    ("6.4", lambda values, alpha: np.sort(values)[min(len(values), rank(values, alpha)) - 1], "cannot promise"),
    ("6.4", lambda values, alpha: thresholds.Conformal(alpha).fit(values).value, "right"),
    ("7.1", lambda matrix: [share / 100 for share in shares(matrix)], "per cent"),
    ("7.1", lambda m: [100 * m[:10, :10].trace() / m[:10, :10].sum(), *shares(m)[1:]], "refused digit"),
    ("7.1", lambda matrix: [*shares(matrix)[:2], sum(shares(matrix)[:2]) / 2], "no plain mean"),
    ("7.1", lambda matrix: shares(matrix.T), "Rows are the truth"),
    ("7.3", threshold_otsu, "right"),
    ("7.3", np.mean, "the mean of the picture"),
    ("7.3", lambda picture: np.linspace(0, 1, 100)[50], "all over"),
    ("7.4", lambda output: scores.norm(output, relative=True), "right"),
    ("7.4", lambda output: scores.norm(output) / np.linalg.norm(output.copies, axis=1), "the copy"),
    ("8.1", lambda refused: refused.all(1).mean(), "right"),
    ("8.1", lambda refused: refused.mean(0).prod(), "independent"),
    ("8.3", lambda known, new: np.linalg.norm(new[:, None] - known, axis=2).min(1), "Length counts"),
    ("8.3", lambda known, new: 2 - 2 * (unit(new) @ unit(known).T).max(1), "take its root"),
    ("8.4", lambda known, held_out, new, power: scores.KNN(known)(new) > 0.5, "handed on"),
    ("9.1", lambda a, b: ((a - b).mean(), (a - b).std(ddof=1) / np.sqrt(5)), "paired one"),
    ("9.1", lambda a, b: ((a - b).mean(), np.sqrt((a.var() + b.var()) / 5)), "n − 1"),
    ("9.3", lambda known, new: -np.log(p_values(known, new).min(0)), "smaller p-value alone"),
    ("9.3", lambda known, new: np.log(p_values(known, new)).sum(0), "sign"),
    ("9.4", lambda calibration, known, unknown: ("c", "d"), "higher AUROC"),
    ("9.4", lambda calibration, known, unknown: two_best(known, unknown), "see different things"),
    ("10.1", pictures.to_mnist, "right"),
    ("10.2", lambda p_values, guess, alpha, unknown: np.where(p_values < alpha, unknown, guess), "just α"),
    ("10.2", lambda p_values, guess, alpha, unknown: np.where(p_values > alpha, unknown, guess), "strange images"),
    ("11.1", lambda values, alpha: thresholds.Conformal(alpha).fit(values).value, "That is the line"),
    ("11.1", lambda values, alpha: alpha, "on average"),
    ("11.1", lambda values, alpha: (values > ranked(values, alpha)).mean(), "Others are to come"),
    ("11.2", lambda start, days, known, alpha: keep_up(start, days, np.ones_like(known), alpha), "unknown images set"),
    (
        "11.2",
        lambda start, days, known, alpha: [ranked(start[-500:], alpha), *keep_up(start, days, known, alpha)[:-1]],
        "a day late",
    ),
    ("11.3", lambda p, q: p <= q, "by itself"),
    ("11.3", lambda p, q: p <= q / len(p), "Bonferroni"),
    ("11.3", lambda p, q: np.arange(len(p)) < promise.discoveries(p, q).sum(), "places"),
    ("11.3", lambda p, q: p <= q * (np.argsort(np.argsort(p)) + 1) / len(p), "fail on the way"),
    ("11.3", promise.discoveries, "right"),
    ("11.4", lambda calibration, scores: 1, "nothing has changed"),
    ("11.4", lambda calibration, scores: None, "does not sound"),
    ("11.4", lambda calibration, scores: hasty(calibration, scores), "nothing has changed"),
    ("11.4", lambda calibration, scores: 90 if scores.mean() > 0.5 else None, "look ahead"),
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

    assert "read-only" in grade("7.4", relative).text
    assert grade("7.4", lambda output: scores.norm(output, relative=True))
    with pytest.raises(ValueError, match=r"number: expected one of 1\.1"):
        grade("12.1", 0)
