"""Scores: the formula by hand, the sign, and a clear word for malformed input."""

import numpy as np
import pytest

from osrlib import data, scores
from osrlib.models import Output, infer

IMAGES = np.zeros((2, 28, 28), np.uint8)


def with_reconstruction(*pixels):
    """Two black images whose reconstructions have these pixels in their first places."""
    reconstruction = np.zeros((2, 28, 28), np.float32)
    for row, values in zip(reconstruction, pixels, strict=True):
        row[0, : len(values)] = values
    return Output(np.zeros((2, 10), np.float32), None, reconstruction, IMAGES)


def test_norm_by_hand():
    np.testing.assert_allclose(scores.norm(with_reconstruction([0.3, 0.4], [1.0])), [0.5, 1.0], rtol=1e-6)


def test_diff_by_hand():
    output = with_reconstruction([0.6, 0.4, 0.9], [0.1])
    assert scores.diff(output).tolist() == [2, 0]
    assert scores.diff(output, level=0.2).tolist() == [3, 0]


def test_diff_binarises_image_and_reconstruction_alike():
    images = np.arange(256, dtype=np.uint8).repeat(784).reshape(256, 28, 28)
    output = Output(None, None, (images / np.float32(255)), images)
    assert scores.diff(output).sum() == 0


def test_msp_by_hand():
    output = Output(np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]) + 3, None)
    np.testing.assert_allclose(scores.msp(output), [0.3, 0.5], rtol=1e-6)
    assert np.isfinite(scores.msp(Output(np.array([[1e4, -1e4, 0.0]]), None))).all()


@pytest.mark.parametrize("score", [scores.norm, scores.diff, scores.msp])
def test_larger_is_more_unknown(score, mtae, output):
    letters = infer(mtae, data.load("patches").images[:500])
    values = score(output)
    assert values.dtype == np.float32 and values.shape == (500,)
    assert np.median(score(letters)) > np.median(values)


@pytest.mark.parametrize("score", [scores.norm, scores.diff])
def test_reconstruction_scores_refuse(score, output):
    broken = output.reconstruction.copy()
    broken[3, 4, 5] = np.nan
    for wrong in (None, output._replace(reconstruction=None), output._replace(reconstruction=broken),
                  output._replace(images=None), output._replace(reconstruction=broken[:5])):  # fmt: skip
        with pytest.raises(ValueError, match="output: expected"):
            score(wrong)


@pytest.mark.parametrize("level", [0, 1, -0.1, np.nan])
def test_diff_refuses_levels(output, level):
    with pytest.raises(ValueError, match="level"):
        scores.diff(output, level)


def test_msp_refuses():
    for wrong in (
        None,
        Output(np.zeros(10), None),
        Output(np.zeros((0, 10)), None),
        Output(np.full((2, 10), np.nan), None),
    ):
        with pytest.raises(ValueError, match="output: expected"):
            scores.msp(wrong)
