"""Exercises that grade themselves: ``grade("6.1", answer)`` says what is right, or what is wrong and where to look.

A check (:mod:`osrlib.teaching.answers` has them) is a function of the answer. It raises ``NotYet`` with a hint, or
returns why the answer is right. Answers that are functions run on data of the grader's own, so that a number copied
from the page does not pass.
"""

from typing import NamedTuple

import numpy as np

from osrlib import checks

CHECKS = {}
"""The check of each exercise, by its number."""


class NotYet(Exception):
    """The answer is not right; the message is a hint."""


class Verdict(NamedTuple):
    """What :func:`grade` found; shown as its text, true where the answer is right."""

    right: bool
    text: str

    def __repr__(self):
        return self.text

    def __bool__(self):
        return self.right


def grade(number: str, answer) -> Verdict:
    """Say in words whether an answer is right, without a network.

    number: chapter and exercise, such as ``"6.1"``; answer: what the exercise asks for, a number, an array, a dict or a
    function. Returns a :class:`Verdict`. ValueError for an exercise that there is not.
    """
    from osrlib.teaching import answers  # noqa: F401 it fills CHECKS

    if number not in CHECKS:
        raise ValueError(f"number: expected one of {', '.join(CHECKS)}; got {number!r:.60}")
    nothing = Verdict(False, f"{number}: nothing here yet. Put your answer in its place.")
    if answer is ...:
        return nothing
    try:
        return Verdict(True, f"{number}: right. {CHECKS[number](answer)}")
    except NotImplementedError:
        return nothing
    except NotYet as hint:
        return Verdict(False, f"{number}: not yet. {hint}")
    except Exception as error:  # whatever a reader's function may raise on the grader's data
        return Verdict(False, f"{number}: not yet. On the grader's data, it ends in {type(error).__name__}: {error}")


def check(number):
    """Register a function as the check of an exercise."""

    def register(function):
        CHECKS[number] = function
        return function

    return register


def expect(holds, hint):
    """Go on where something holds; else hand out the hint."""
    if not holds:
        raise NotYet(hint)


def numbers(answer, count, what):
    """The answer as an array of so many finite numbers."""
    values = answer.values() if isinstance(answer, dict) else [answer] if np.ndim(answer) == 0 else answer
    try:
        values = np.array([float(value) for value in values])
    except (TypeError, ValueError):
        raise NotYet(f"Expected {what}, got {type(answer).__name__} {answer!r:.60}.") from None
    expect(len(values) == count and np.isfinite(values).all(), f"Expected {what}, got {answer!r:.60}.")
    return values


def function(answer, name):
    """The answer as a function."""
    expect(callable(answer), f"Expected the function {name}, got {type(answer).__name__} {answer!r:.60}.")
    return answer


def same(one, other):
    """Are two arrays equal, but for rounding?"""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-6)


checks.guard(__name__)
