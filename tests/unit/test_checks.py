"""Signatures are kept: who is refused hears why, in every process, and the source shows nothing of it."""

import copy
import inspect
import pickle
import subprocess
import sys
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrlib import metrics, output, scores, thresholds, training
from osrlib.teaching import claims
from tests.conftest import told

ONE, TWO = np.zeros(1), np.zeros(2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: thresholds.Quantile(1.5), ("q: expected a number in [0, 1]", "1.5")),
        (lambda: metrics.auroc(ONE, np.array(["a"])), ("unknown: expected an array of finite numbers [M]", "[1]")),
        (lambda: metrics.auroc(ONE, np.array([0, np.nan])), ("unknown: expected", "float64 of shape [2]", "nan")),
        (lambda: metrics.osr_report(np.arange(3), np.arange(2)), ("predicted: expected", "[2]", "beside true", "[3]")),
        (lambda: training.Recipe(1, 2.5, 1.0), ("batch_size: expected a whole number ≥ 1", "2.5")),
        (lambda: thresholds.any_of(ONE > 0, ONE > 0, TWO > 0), ("others: expected", "[2]")),  # one of several
        (lambda: claims.glue(good=1.0, bad=np.nan), ("bad: expected", "nan")),
        (lambda: scores.norm("text"), ("output: expected an Output", "'text'")),
    ],
)
def test_who_is_refused_hears_what_was_expected_and_what_came(call, words):
    with pytest.raises(ValueError, match="expected") as refused:
        call()
    assert isinstance(refused.value, TypeError) and all(word in str(refused.value) for word in words), refused.value


def test_what_is_missing_or_too_much_is_told_by_python():
    for call in (lambda: metrics.auroc(ONE), lambda: thresholds.MeanStd(1, 2), lambda: scores.norm(told([ONE]), x=1)):
        with pytest.raises(TypeError, match="argument"):
            call()


@given(st.integers(-5, 5) | st.floats(-5, 5), st.sampled_from([int, float, np.float32, np.int8, np.float16, np.bool_]))
def test_a_number_is_taken_where_it_is_one_in_the_range(value, kind):
    number = kind(value)
    for make, holds in (
        (thresholds.MeanStd, True),
        (thresholds.Quantile, 0 <= number <= 1),
        (thresholds.Conformal, 0 < number < 1),
        (lambda one: training.Recipe(1, one, 1.0), number >= 1 and kind in (int, np.int8)),
    ):
        if holds and kind is not np.bool_:
            make(number)
        else:
            with pytest.raises(ValueError, match="expected"):
                make(number)


def test_threads_do_not_mix_up_their_sizes():
    def ask(n):
        values = np.zeros(n + 1)
        return [metrics.risk_coverage(values, values > 0).area for _ in range(50)]

    with ThreadPool(8) as threads:
        assert set(map(tuple, threads.map(ask, range(16)))) == {(0.0,) * 50}


REFUSED = """
import pickle, sys, numpy as np
line = pickle.loads(bytes.fromhex(sys.argv[1]))
for call in (lambda: line.reject(np.array([np.nan])), lambda: type(line)(2)):
    try:
        call()
    except ValueError as refused:
        print(refused, __debug__)
"""


def test_checks_hold_in_copies_and_in_every_process():
    line = thresholds.Quantile(0.5).fit(np.arange(3.0))
    for again in (line, copy.deepcopy(line), pickle.loads(pickle.dumps(line))):
        with pytest.raises(ValueError, match="scores: expected") as refused:
            again.reject(np.array([np.nan]))
        assert again.value == 1
    fresh = [sys.executable, "-O", "-c", REFUSED, pickle.dumps(line).hex()]  # where no assert statement holds
    said = subprocess.run(fresh, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == f"{refused.value} False" and said[1].startswith("q: expected") and len(said) == 2


@pytest.mark.parametrize("one", [scores.norm, scores.KNN, thresholds.Conformal, metrics.oscr, output.infer])
def test_the_source_shows_no_trace_of_them(one):
    source = inspect.getsource(one)
    assert source.startswith((f"def {one.__name__}(", f"class {one.__name__}")) and one.__doc__ in source
    for machinery in ("checked", "guard", "beartype", "Refused", "is_bearable"):
        assert machinery not in source
    shown = str(inspect.signature(one))
    assert "door" not in shown and "*args" not in shown and one.__name__ == one.__qualname__
