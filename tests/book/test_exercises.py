"""Exercises as the chapters tell them: each has its grader, its solution passes, its broken variant gets the hint."""

import re

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from osrlib import UNKNOWN, data, losses, metrics, models, scores, thresholds
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from osrlib.teaching import answers  # noqa: F401 they fill CHECKS
from osrlib.teaching.exercises import CHECKS, grade
from tools import chapters, paths

EXERCISE = re.compile(r"^:::\{exercise\}.*?^:::$", re.MULTILINE | re.DOTALL)
BROKEN = re.compile(r"```python\n(.*?)```", re.DOTALL)
TEXTS = {name: (paths.CHAPTERS / f"{name}.md").read_text(encoding="utf-8") for name in chapters.names()}
TOLD = {
    number: (answer, exercise)
    for text in TEXTS.values()
    for (number, answer), exercise in zip(chapters.GRADED.findall(text), EXERCISE.findall(text), strict=True)
}
"""Each exercise: the name of its answer, and its text."""
HINTS = {  # of the variants to repair, one a chapter
    "1.2": "surest", "2.2": "taken part in the choice", "3.2": "from one call", "4.2": "images beside it",
    "5.2": "letters in it", "6.2": "exchangeable", "7.2": "with the company", "8.2": "have they been seen",
    "9.2": "which digits are among them", "10.1": "dark on a bright page",
    "11.2": "moves inwards",
}  # fmt: skip
NAMESPACE = {
    "np": np, "torch": torch, "Image": Image, "UNKNOWN": UNKNOWN, "data": data, "losses": losses, "metrics": metrics,
    "models": models, "scores": scores, "thresholds": thresholds, "OpenSetClassifier": OpenSetClassifier,
    "infer": infer,
}  # fmt: skip


def test_each_exercise_has_its_grader_and_says_what_to_hand_in():
    counted = [f"{i}.{j}" for i, text in enumerate(TEXTS.values(), 1) for j, _ in enumerate(EXERCISE.findall(text), 1)]
    assert list(TOLD) == counted == list(CHECKS)
    for number, (name, text) in TOLD.items():
        assert text.startswith(f":::{{exercise}} {number} · ") and (f"`{name}" in text or f"def {name}(" in text)


@pytest.mark.parametrize("name", TEXTS)
def test_solutions_pass(name):
    for cell in nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        for number, _ in chapters.GRADED.findall(cell.source):
            assert cell.outputs[-1]["data"]["text/plain"].startswith(f"{number}: right. ")


@pytest.mark.parametrize("number", [number for number, (_, text) in TOLD.items() if BROKEN.search(text)])
def test_broken_variants_get_the_right_hint(number):
    (source,), names = BROKEN.findall(TOLD[number][1]), dict(NAMESPACE)
    exec(source, names)
    verdict = grade(number, names[TOLD[number][0]])
    assert not verdict and verdict.text.startswith(f"{number}: not yet.") and HINTS[number] in verdict.text
