"""The checks at the library's door: each returns its input, or says what was expected and what came."""

import numpy as np


def _describe(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {list(value.shape)}"
    return f"{type(value).__name__} {value!r:.60}"


def images(value, name="images"):
    """uint8 array [N, 28, 28], N ≥ 1."""
    if not (isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 3):
        raise ValueError(f"{name}: expected a uint8 array of shape [N, 28, 28], got {_describe(value)}")
    if value.shape[1:] != (28, 28) or len(value) == 0:
        raise ValueError(f"{name}: expected shape [N, 28, 28] with N ≥ 1, got {list(value.shape)}")
    return value


def labels(value, name="labels", low=0, high=None, size=None):
    """Integer array [N], N ≥ 1, each value in low..high; returned as int64."""
    value = _array(value, name)
    if value.ndim != 1 or value.size == 0 or value.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected a non-empty integer array [N], got {_describe(value)}")
    if size is not None and len(value) != size:
        raise ValueError(f"{name}: expected {size} entries, one an image, got {len(value)}")
    if value.min() < low or (high is not None and value.max() > high):
        upper = "∞" if high is None else high
        raise ValueError(f"{name}: expected values in {low}..{upper}, got {value.min()}..{value.max()}")
    return value.astype(np.int64)


def scores(value, name="scores"):
    """Finite numbers [N], N ≥ 1; returned as float64."""
    value = _array(value, name)
    if value.ndim != 1 or value.size == 0 or value.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected a non-empty array of numbers [N], got {_describe(value)}")
    value = value.astype(np.float64)
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: expected finite numbers, got {int((~np.isfinite(value)).sum())} NaN or infinite")
    return value


def mask(value, name="mask"):
    """Boolean array [N], N ≥ 1."""
    value = _array(value, name)
    if value.ndim != 1 or value.size == 0 or value.dtype != bool:
        raise ValueError(f"{name}: expected a non-empty boolean array [N], got {_describe(value)}")
    return value


def number(value, name, low=-np.inf, high=np.inf, open_low=False):
    """A finite number in [low, high], or (low, high] with open_low."""
    ok = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
    if not ok or value < low or value > high or (open_low and value == low):
        bracket = "(" if open_low else "["
        raise ValueError(f"{name}: expected a number in {bracket}{low}, {high}], got {_describe(value)}")
    return float(value)


def choice(value, name, options):
    """One of the options, by name."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(sorted(options))}; got {value!r:.60}")
    return value


def _array(value, name):
    try:
        return np.asarray(value)
    except Exception as error:
        raise ValueError(f"{name}: expected an array, got {_describe(value)}") from error
