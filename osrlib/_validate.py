"""The checks at the library's door: each returns its input, or says what was expected and what came."""

from collections import abc
from pathlib import Path

import numpy as np


def describe(value):
    """What came, in a few words."""
    try:
        if hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, type):  # arrays and tensors
            mask = " with a mask" if isinstance(value, np.ma.MaskedArray) else ""
            return f"{value.dtype} of shape {list(value.shape)}{mask}"
        return f"{type(value).__name__} {value!r:.60}"
    except Exception:  # an integer of thousands of digits, an object without a working repr
        return type(value).__name__


def plain(value):
    """Whether this is an array of all its numbers: numpy's own functions forget what a masked array hides."""
    return isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)


def _article(noun):
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def images(value, name="images"):
    """uint8 array [N, 28, 28], N ≥ 1."""
    if not (plain(value) and value.dtype == np.uint8 and value.ndim == 3):
        raise ValueError(f"{name}: expected a uint8 array of shape [N, 28, 28], got {describe(value)}")
    if value.shape[1:] != (28, 28) or len(value) == 0:
        raise ValueError(f"{name}: expected shape [N, 28, 28] with N ≥ 1, got {list(value.shape)}")
    return value


def labels(value, name="labels", low=0, high=2**63 - 1, size=None):
    """Integer array [N], N ≥ 1, each value in low..high; returned as int64."""
    value = _array(value, name)
    if value.ndim != 1 or value.size == 0 or value.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected a non-empty integer array [N], got {describe(value)}")
    if size is not None and len(value) != size:
        raise ValueError(f"{name}: expected {size} entries, one an image, got {len(value)}")
    if value.min() < low or value.max() > high:
        upper = "∞" if high == 2**63 - 1 else high
        raise ValueError(f"{name}: expected values in {low}..{upper}, got {value.min()}..{value.max()}")
    return value.astype(np.int64)


def scores(value, name="scores"):
    """Finite numbers [N], N ≥ 1; returned as float64."""
    value = numbers(value, name)
    if value.ndim != 1 or value.size == 0:
        raise ValueError(f"{name}: expected a non-empty array of numbers [N], got {describe(value)}")
    return value


def numbers(value, name, shape=None):
    """Finite real numbers of any shape, or of this one; returned as float64."""
    value = _array(value, name)
    if value.dtype.kind not in "fiu" or (shape is not None and value.shape != tuple(shape)):
        raise ValueError(f"{name}: expected an array of numbers {list(shape or ['…'])}, got {describe(value)}")
    with np.errstate(over="ignore"):
        value = value.astype(np.float64)  # first: a longer type holds numbers that this one does not
    if not np.isfinite(value).all():
        raise ValueError(f"{name}: expected finite numbers, got {int((~np.isfinite(value)).sum())} NaN or infinite")
    return value


def mask(value, name="mask"):
    """Boolean array [N], N ≥ 1."""
    value = _array(value, name)
    if value.ndim != 1 or value.size == 0 or value.dtype != bool:
        raise ValueError(f"{name}: expected a non-empty boolean array [N], got {describe(value)}")
    return value


def tensor(value, name, shape):
    """A tensor of finite floating-point numbers of this shape. None: any size ≥ 1, … at the end: one axis or more.

    The numbers must leave room, in their own type, for a thousand of their fourth powers: a style loss takes them.
    """
    import torch  # not at the head: the worlds do without it

    sizes = [size for size in shape if size is not ...]
    fits = (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_meta
        and value.is_floating_point()
        and value.numel() > 0
        and (value.ndim == len(sizes) if len(sizes) == len(shape) else value.ndim > len(sizes))
        and all(size in (None, got) for size, got in zip(sizes, value.shape, strict=False))
    )
    if not fits:
        wanted = ", ".join("…" if size is ... else "any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: expected a dense tensor of floating-point numbers [{wanted}], got {describe(value)}")
    low, high = torch.aminmax(value.detach())
    largest = (torch.finfo(value.dtype).max / 1000) ** 0.25
    if not (low >= -largest and high <= largest):  # NaN too
        raise ValueError(f"{name}: expected finite numbers up to ±{largest:.2g}, got {low:g} to {high:g}")
    return value


def classes(value, name, count=2**63 - 1):
    """An int64 tensor [N], N ≥ 1, of classes in 0..count − 1."""
    import torch

    if not isinstance(value, torch.Tensor) or value.ndim != 1 or value.dtype != torch.int64 or len(value) == 0:
        raise ValueError(f"{name}: expected an int64 tensor [N], N ≥ 1, got {describe(value)}")
    if value.min() < 0 or value.max() >= count:
        raise ValueError(f"{name}: expected classes in 0..{count - 1}, got {value.min()}..{value.max()}")
    return value


def number(value, name, low=-np.inf, high=np.inf, open_low=False, open_high=False):
    """A finite number in [low, high]; open_low, open_high: without that end. Returned as float."""
    if isinstance(value, np.integer | np.floating) or (isinstance(value, int | float) and not isinstance(value, bool)):
        try:
            number = float(value)
        except OverflowError:  # an integer that no float can hold
            number = np.inf
        inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
        if inside and np.isfinite(number):
            return number
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    raise ValueError(f"{name}: expected a number in {left}{low}, {high}{right}, got {describe(value)}")


def whole(value, name, low=0, high=2**63 - 1):
    """A whole number in low..high; returned as int."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
        reach = f"≥ {low}" if high == 2**63 - 1 else f"in {low}..{high}"
        raise ValueError(f"{name}: expected a whole number {reach}, got {describe(value)}")
    return int(value)


def choice(value, name, options):
    """One of the options, by name."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(sorted(options))}; got {describe(value)}")
    return value


def flag(value, name):
    """True or False, and not merely something that counts as one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}: expected True or False, got {describe(value)}")
    return bool(value)


def instance(value, name, kind):
    """An object of a class."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: expected {_article(kind.__name__)}, got {describe(value)}")
    return value


def function(value, name):
    """Something that can be called."""
    if not callable(value):
        raise ValueError(f"{name}: expected a function, got {describe(value)}")
    return value


def path(value, name):
    """A path, as text or as an object; returned as a Path."""
    try:
        return Path(value)
    except Exception as error:  # numbers, bytes, an object whose path is neither
        raise ValueError(f"{name}: expected a path, got {describe(value)}") from error


def several(value, name, kind=object):
    """A list, tuple, array or a dict's keys or values: one entry or more, each of a class; returned as a list."""
    sequence = isinstance(value, list | tuple | range | abc.KeysView | abc.ValuesView) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    )
    if not sequence or len(value) == 0:
        raise ValueError(f"{name}: expected a non-empty list, got {describe(value)}")
    return [instance(one, f"{name}[{i}]", kind) for i, one in enumerate(value)]


def _array(value, name):
    try:
        if not isinstance(value, np.ma.MaskedArray):
            return np.asarray(value)
        error = None
    except Exception as refused:
        error = refused
    raise ValueError(f"{name}: expected an array, without a mask, got {describe(value)}") from error
