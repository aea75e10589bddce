"""Every solution passes its grader; every broken variant and every plausible wrong answer gets the hint it needs."""

import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from osrlib import UNKNOWN, data, exercises, folder, losses, metrics, models, scores, thresholds
from osrlib.detector import OpenSetClassifier

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import build  # noqa: E402

CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.md"))
EXERCISE = re.compile(r"^:::\{exercise\}.*?^:::$", re.MULTILINE | re.DOTALL)
BROKEN = re.compile(r"```python\n(.*?)```", re.DOTALL)
NAMESPACE = {
    "np": np, "torch": torch, "Image": Image, "UNKNOWN": UNKNOWN, "data": data, "losses": losses, "metrics": metrics,
    "models": models, "scores": scores, "thresholds": thresholds, "OpenSetClassifier": OpenSetClassifier,
}  # fmt: skip


def told():
    """Each exercise: its number, the name of its answer, its text, in the order of the book."""
    for file in CHAPTERS:
        text = file.read_text(encoding="utf-8")
        yield from zip(build.GRADED.findall(text), EXERCISE.findall(text), strict=True)


TOLD = {number: (name, text) for (number, name), text in told()}
VARIANTS = {number: BROKEN.findall(text) for number, (_, text) in TOLD.items()}


def test_each_exercise_has_its_grader():
    counted = [
        f"{i}.{j}"
        for i, file in enumerate(CHAPTERS, 1)
        for j, _ in enumerate(EXERCISE.findall(file.read_text(encoding="utf-8")), 1)
    ]
    assert list(TOLD) == counted == list(exercises.CHECKS)
    for number, (name, text) in TOLD.items():
        assert text.startswith(f":::{{exercise}} {number} · ") and "and in" in text  # each says what to hand in
        assert f"`{name}" in text or f"def {name}(" in text, number


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda file: file.stem)
def test_solutions_pass(chapter):
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter.stem}.ipynb", as_version=4)
    for cell in notebook.cells:
        for number, _ in build.GRADED.findall(cell.source):
            assert cell.outputs[-1]["data"]["text/plain"].startswith(f"{number}: right. ")


HINTS = {
    "1.2": "surest", "2.2": "other unknown images come", "3.2": "changes with the labels", "4.2": "images beside it",
    "5.2": "letters in it", "6.2": "exchangeable", "7.2": "harder world", "8.1": "own nearest neighbour",
    "9.1": "dark on a bright page",
}  # fmt: skip


def test_each_chapter_has_a_variant_to_repair():
    assert [number for number, variants in VARIANTS.items() if variants] == list(HINTS)
    assert [number[0] for number in HINTS] == list("123456789")


@pytest.mark.parametrize("number", HINTS)
def test_broken_variants_fail_with_the_right_hint(number):
    (source,), names = VARIANTS[number], dict(NAMESPACE)
    exec(source, names)
    verdict = exercises.grade(number, names[TOLD[number][0]])
    assert not verdict and f"{number}: not yet." in verdict.text and HINTS[number] in verdict.text


def repaired_page(turn=lambda image: image):
    return lambda page: turn(folder.to_mnist(page))


P = np.exp(2) / (np.exp(2) + np.exp(1) + 8)
GRAM = np.array([[5.0, 2.0], [2.0, 10.0]])
OTHER = np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 3.0]])
FEW, MANY = np.arange(100) < 1, np.arange(100) < 5
ANSWERS = [  # number, answer, a word of the verdict; "right" for the right ones
    ("1.1", (P, P), "right"),
    ("1.1", (P, 0.9), "same factor"),
    ("1.1", (1 - P, 1 - P), "other nine"),
    ("1.1", (0.73, 0.73), "eight zeros"),
    ("1.2", lambda known, new: scores.msp(new), "True or False"),
    ("1.2", lambda known, new: scores.msp(new) > 0, "far more than 5 %"),
    (
        "1.2",
        lambda known, new: thresholds.Quantile(0.97).fit(scores.msp(known)).reject(scores.msp(new)),
        "not the 95 %",
    ),
    ("1.3", (2.28, 1.5), "right"),
    ("1.3", (1.5, 2.28), "swapped"),
    ("1.3", (2.28, 2.27), "hardly a difference"),
    ("1.3", (2.28, -1.0), "positive"),
    ("1.3", (40.0, 2.0), "went wrong"),
    ("2.1", [0.952, 0.984], "right"),
    ("2.1", [95.2, 98.4], "between 0 and 1"),
    ("2.1", [0.952, 0.978], "twice as much"),
    ("2.1", [0.954, 0.984], "weighs the same"),
    ("2.1", [0.5, 0.984], "divide by all"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile(0.95).fit(training), "right"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile(0.95).fit(known), "test digits"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile(0.95).fit(np.r_[training, unknown]), "unknown images"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile(0.3).fit(training), "price"),
    ("2.2", lambda training, known, unknown: thresholds.Quantile(0.95).fit([1.0, 2.0]), "does not move"),
    ("2.3", (2 / 3, 0.5, 0.8 / 11), "right"),
    ("2.3", (1 / 3, 0.5, 0.8 / 11), "all 20,000"),
    ("2.3", (2 / 3, 1.0, 0.8 / 11), "a tie"),
    ("2.3", (2 / 3, 0.5, 0.8), "eleven classes"),
    ("2.3", (2 / 3, 0.5, 0.1), "precision 2/3"),
    ("3.1", (166.7, 1666.7, 16666.7), "right"),
    ("3.1", (10_000, 100_000, 1_000_000), "a minute"),
    ("3.1", (1666.7, 1666.7, 16666.7), "once."),
    ("3.1", (166.7, 166.7, 166.7), "every class"),
    ("3.2", lambda output, labels: output.errors.min(1), "right"),
    ("3.2", lambda output, labels: output.errors.mean(1), "as ever"),
    ("3.2", lambda output, labels: output.errors.max(1), "worst order"),
    ("3.2", lambda output, labels: output.errors, "one number an image"),
    ("3.2", lambda output, labels: output.errors[:, 0], "smallest error"),
    ("3.3", lambda output: output.errors.min(1), "all ten were drawn"),
    ("3.3", lambda output: output.errors[:, 0], "largest logit"),
    ("4.1", (GRAM / 6, OTHER), "right"),
    ("4.1", (GRAM, OTHER), "factor"),
    ("4.1", (GRAM / 3, OTHER), "columns only"),
    ("4.1", (np.eye(3), OTHER), "column times column"),
    ("4.1", (GRAM / 6, OTHER[:, [1, 2, 0]][:, ::-1][:, [0, 1, 2]] * 2), "another Gram matrix"),
    ("4.1", (GRAM / 6, [[1, 0, 2], [0, 3, 1]]), "same picture"),
    ("4.1", (GRAM / 6, OTHER[::-1]), "another Gram matrix"),
    ("4.1", (GRAM.T / 5, OTHER), "divided by 6"),
    ("4.1", (GRAM / 6, [1, 2, 3]), "two rows"),
    ("4.2", losses.style_loss, "right"),
    ("4.2", lambda f, t: 36 * losses.style_loss(f, t), "but for a factor"),
    ("4.2", lambda f, t: ((f - t) ** 2).mean((1, 2)), "squared differences"),
    ("4.2", lambda f, t: losses.style_loss(f, t).mean(), "one number an image"),
    ("4.3", {1: 0.9, 3: 0.89, 5: 0.88}, "right"),
    ("4.3", {1: 0.1, 3: 0.11, 5: 0.12}, "unknown second"),
    ("4.3", {1: 0.6, 3: 0.61, 5: 0.62}, "bounds"),
    ("4.3", {1: 90, 3: 89, 5: 88}, "between 0 and 1"),
    ("4.3", {1: 0.9}, "three choices"),
    ("5.1", 207_073, "right"),
    ("5.1", 207_041, "batch normalisation"),
    ("5.1", 205_488, "biases and the batch"),
    ("5.1", 205_520, "but for the biases"),
    ("5.1", 202_272, "linear layer alone"),
    ("5.1", 205_728, "the encoder"),
    ("5.1", 414_091, "whole model"),
    ("5.1", 207_000, "two transposed"),
    ("5.2", lambda digits, letters: digits, "right"),
    ("5.2", lambda digits, letters: digits[:100], "missing"),
    ("5.2", lambda digits, letters: letters, "letters in it"),
    ("5.2", lambda digits, letters: digits.images, "ImageSet"),
    ("5.3", (0.03, 0.015), "right"),
    ("5.3", (0.015, 0.03), "swapped"),
    ("5.3", (30.0, 15.0), "below 0.2"),
    ("6.1", 999, "right"),
    ("6.1", 1000, "Nearly"),
    ("6.1", 998, "no image has it"),
    ("6.1", 5000, "Fewer"),
    ("6.2", thresholds.Conformal(0.02).fit, "right"),
    ("6.2", thresholds.MeanStd(4).fit, "too far out"),
    ("6.2", thresholds.Conformal(0.05).fit, "where 2 %"),
    ("6.3", (0.99, 0.9), "right"),
    ("6.3", (0.9, 0.99), "line of its own"),
    ("6.3", (0.02, 0.02), "So few"),
    ("6.3", (99, 90), "between 0 and 1"),
    ("7.1", (96.24, 95.415, 95.69), "right"),
    ("7.1", (0.9624, 0.9542, 0.9569), "per cent"),
    ("7.1", (96.24, 95.42, 95.83), "plain mean"),
    ("7.1", (98.63, 95.42, 95.69), "refused digit"),
    ("7.1", (95.42, 96.24, 95.69), "diagonal"),
    ("7.2", lambda mnist, fashion, cifar10: (mnist + fashion + cifar10) / 3, "right"),
    ("7.2", lambda mnist, fashion, cifar10: 0.5 * mnist + 0.25 * (fashion + cifar10), "weigh half"),
    ("7.2", lambda mnist, fashion, cifar10: 0.2 * mnist + 0.4 * (fashion + cifar10), "weighs the same"),
    ("7.3", lambda output: scores.norm(output, relative=True), "right"),
    ("7.3", lambda output: scores.norm(output) / np.linalg.norm(output.reconstruction, axis=(1, 2)), "the copy"),
    ("7.3", lambda output: scores.norm(output) / np.linalg.norm(output.images.astype(float), axis=(1, 2)), "bytes"),
    ("7.3", scores.norm, "Divide the norm"),
    ("7.3", lambda output: scores.norm(output).mean(), "one number an image"),
    ("8.1", lambda rule, shown, calibration: rule.fit(calibration), "right"),
    ("8.1", lambda rule, shown, calibration: rule.fit(np.r_[shown[:1900], calibration]), "still among"),
    ("8.1", lambda rule, shown, calibration: None, "fitted rule"),
    ("8.2", lambda refused: refused.all(1).mean(), "right"),
    ("8.2", lambda refused: refused.mean(0).prod(), "independent"),
    ("8.2", lambda refused: refused.any(1).mean(), "allowed"),
    ("8.2", lambda refused: refused.mean(), "Compare"),
    ("8.3", {1.0: 0.3, 0.5: 0.4, 0.0: 0.5}, "right"),
    ("8.3", {1.0: 0.5, 0.5: 0.4, 0.0: 0.3}, "Swapped"),
    ("8.3", {1.0: 0.3, 0.0: 0.3}, "handed on"),
    ("8.3", {1.0: 30, 0.0: 50}, "between 0 and 1"),
    ("8.3", {2: 0.1}, "a share for"),
    ("9.1", repaired_page(), "right"),
    ("9.1", repaired_page(lambda image: 255 - image), "dark on a bright"),
    ("9.1", repaired_page(lambda image: image[::2, ::2].repeat(2, 0).repeat(2, 1) // 8), "Nothing is left"),
    ("9.1", repaired_page(lambda image: np.pad(image[::2, ::2], 7)), "box of 20×20"),
    ("9.1", repaired_page(lambda image: np.roll(image, -np.flatnonzero(image.any(1))[0], 0)), "in the middle"),
    ("9.1", repaired_page(lambda image: np.pad(image[:, 6:22].repeat(2, 1)[:, 2:30], 0)), "proportion"),
    ("9.1", repaired_page(lambda image: image / 255), "uint8"),
    ("9.2", {0.05: MANY, 0.01: FEW}, "right"),
    ("9.2", {0.05: FEW, 0.01: MANY}, "must refuse most"),
    ("9.2", {0.05: MANY, 0.01: FEW[::-1]}, "same images"),
    ("9.2", {0.05: 5, 0.01: 1}, "not a count"),
]


@pytest.mark.parametrize(("number", "answer", "word"), ANSWERS)
def test_answers_get_the_verdict_they_deserve(number, answer, word):
    verdict = exercises.grade(number, answer)
    assert verdict.right == (word == "right") and word in verdict.text, verdict.text


def test_each_exercise_is_tested_with_a_wrong_answer():
    wrong = {number for number, _, word in ANSWERS if word != "right"}
    assert wrong == set(exercises.CHECKS)


@pytest.mark.parametrize("number", exercises.CHECKS)
@pytest.mark.parametrize(
    "answer",
    [..., None, "seven", [], {}, float("nan"), lambda *_: 1 / 0],
    ids=["dots", "None", "text", "list", "dict", "NaN", "broken"],
)
def test_what_is_no_answer_gets_a_word_too(number, answer):
    verdict = exercises.grade(number, answer)
    assert not verdict and len(verdict.text) > 20 and repr(verdict) == verdict.text
    if answer is ...:
        assert "nothing here yet" in verdict.text


def unwritten(*_):
    raise NotImplementedError


def test_a_function_that_is_not_written_yet():
    assert "nothing here yet" in exercises.grade("1.2", unwritten).text


def test_an_answer_cannot_spoil_the_next():
    def relative(output):
        output.reconstruction[:] = 0
        return scores.norm(output, relative=True)

    assert "read-only" in exercises.grade("7.3", relative).text
    assert exercises.grade("7.3", lambda output: scores.norm(output, relative=True))


def test_an_exercise_that_there_is_not():
    with pytest.raises(ValueError, match=r"expected one of 1\.1, .*; got '12\.1'"):
        exercises.grade("12.1", 0)
