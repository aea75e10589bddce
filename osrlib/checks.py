"""What signatures say: the types of arrays with their shapes, of numbers with their ranges, and who sees to it.

A signature such as ``fit(scores: Numbers["N"], alpha: Share)`` says what a function takes. ``guard(__name__)``, at the
end of a module, has each of its public functions and methods look at its arguments before it does anything else. An
error names the parameter, what was expected and what came. Sizes of one name are one size: labels ``["N"]`` beside
images ``["N 28 28"]`` must be as many.
"""

import functools
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Annotated, get_args, get_origin

import jaxtyping
import numpy as np
import torch
from beartype.door import is_bearable
from beartype.vale import Is


class Refused(TypeError, ValueError):
    """An argument is not what the signature says: of another type, shape or range."""


_told = {}
"""Type hint → what it expects, in words, or a function that says it."""


def alias(told, hint):
    """A hint with what it expects in words, or a function that says it."""
    _told[hint] = told
    return hint


def number(told, holds, kind=int | float | np.integer | np.floating):
    """The hint for a finite number for which something holds. told: what is expected, in words."""

    def is_one(value):
        try:
            return not isinstance(value, bool) and math.isfinite(value) and holds(value)
        except OverflowError:  # an integer that no float can hold
            return False

    return alias(told, Annotated[kind, Is[is_one]])


def whole_number(low, high=2**63 - 1):
    """The hint for a whole number in low..high."""
    told = f"a whole number in {low}..{high}" if high < 2**63 - 1 else f"a whole number ≥ {low}"
    return number(told, lambda value: low <= value <= high, int | np.integer)


def number_in(low, high):
    """The hint for a number in [low, high]."""
    return number(f"a number in [{low:g}, {high:g}]", lambda value: low <= value <= high)


def name_of(options):
    """The hint for one of several names. options: a function that returns them, for they may still be collected."""
    return alias(
        lambda: f"one of {', '.join(sorted(options()))}",
        Annotated[str, Is[lambda value: value in options()]],
    )


def several(hint):
    """The hint for a list, a tuple or an array, each entry as another hint says, one at least."""
    return alias(
        lambda: f"one or more, each {expected(hint)}",
        Annotated[
            Sequence | np.ndarray,
            Is[lambda values: not isinstance(values, str | bytes) and len(values) > 0 and all(_fits(v, hint) for v in values)],
        ],
    )


def named(hint):
    """The hint for a dict from names to values, one at least, each value as another hint says."""
    return alias(
        lambda: f"a dict from names to {expected(hint)}",
        Annotated[dict, Is[lambda d: len(d) > 0 and all(isinstance(k, str) and _fits(v, hint) for k, v in d.items())]],
    )


Finite = number("a finite number", lambda value: True)
Positive = number("a number > 0", lambda value: value > 0)
NotNegative = number("a number ≥ 0", lambda value: value >= 0)
Share = number_in(0, 1)
PartShare = number("a number in (0, 1)", lambda value: 0 < value < 1)
PositiveShare = number("a number in (0, 1]", lambda value: 0 < value <= 1)
Count = whole_number(1)
Seed = whole_number(0)
Path = alias("a path", str | PathLike)
Function = alias("a function", Callable)


class _Arrays:
    """``Arrays["N 28 28"]``: the hint for arrays of a kind and of this shape (jaxtyping's way to write it)."""

    def __init__(self, told, kind, array, holds):
        self.told, self.kind, self.array, self.holds = told, kind, array, holds

    @functools.cache  # noqa: B019 there are a dozen
    def __getitem__(self, shape):
        return alias(
            f"{self.told} [{shape.replace(' ', ', ')}]", Annotated[self.kind[self.array, shape], Is[self.holds]]
        )


LARGEST = 1e15
"""The largest number that an output may hold. Squares of larger ones leave no room in float32 for their sum."""


def _plain(array):
    """An array of all its numbers, one or more: numpy's own functions forget what a masked array hides."""
    return array.size > 0 and not isinstance(array, np.ma.MaskedArray)


def _within(array, largest):
    # NaN is not; and in half precision, so large a limit would be infinite
    return _plain(array) and bool((np.abs(array) <= np.float64(largest)).all())


def _dense(tensor):
    """Finite numbers whose fourth powers leave room for a thousand of them: a style loss takes them."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.numel() == 0:
        return False
    low, high = torch.aminmax(tensor.detach())
    largest = (torch.finfo(tensor.dtype).max / 1000) ** 0.25
    return bool(low >= -largest and high <= largest)


Numbers = _Arrays("an array of finite numbers", jaxtyping.Real, np.ndarray, lambda a: _within(a, np.finfo("f8").max))
PValues = _Arrays(
    "an array of numbers in (0, 1]", jaxtyping.Float, np.ndarray, lambda a: _within(a, 1) and bool((a > 0).all())
)
Part = _Arrays(
    f"an array of finite floating-point numbers up to {LARGEST:g}", jaxtyping.Float, np.ndarray,
    lambda a: _within(a, LARGEST),
)  # fmt: skip
Labels = _Arrays(
    "an array of whole numbers ≥ 0", jaxtyping.Integer, np.ndarray, lambda a: _plain(a) and bool((a >= 0).all())
)
Maps = _Arrays(
    "a dense tensor of finite numbers ≥ 0", jaxtyping.Float, torch.Tensor, lambda t: _dense(t) and bool(t.min() >= 0)
)
Mask = _Arrays("an array of True and False", jaxtyping.Bool, np.ndarray, _plain)
Pixels = _Arrays("a uint8 array", jaxtyping.UInt8, np.ndarray, _plain)
Images = Pixels["N 28 28"]
Tensor = _Arrays("a dense tensor of finite floating-point numbers", jaxtyping.Float, torch.Tensor, _dense)
ClassTensor = _Arrays(
    "an int64 tensor of classes", jaxtyping.Int64, torch.Tensor, lambda t: t.numel() > 0 and bool((t >= 0).all())
)


def describe(value):
    """What came, in a few words."""
    try:
        if hasattr(value, "dtype") and hasattr(value, "shape") and not isinstance(value, type):  # arrays and tensors
            mask = " with a mask" if isinstance(value, np.ma.MaskedArray) else ""
            return f"{value.dtype} of shape {list(value.shape)}{mask}{_reach(value)}"
        return f"{type(value).__name__} {value!r:.60}"
    except Exception:  # an integer of thousands of digits, an object without a working repr
        return type(value).__name__


def _reach(array):
    values = np.asarray(array.detach().cpu() if isinstance(array, torch.Tensor) else array)
    return f", from {values.min():g} to {values.max():g}" if values.dtype.kind in "fiu" and values.size else ""


def expected(hint):
    """What a hint expects, in words."""
    if hint in _told:
        told = _told[hint]
        return told() if callable(told) else told
    if get_origin(hint) is tuple:
        return f"a tuple ({', '.join(map(expected, get_args(hint)))})"
    if parts := [part for part in get_args(hint) if part is not type(None)]:
        return " or ".join(expected(part) for part in parts)
    if not isinstance(hint, type):
        return repr(hint)
    return f"{'an' if hint.__name__[0] in 'AEIOUaeiou' else 'a'} {hint.__name__}"


def checked(function):
    """A function that looks at its arguments, as its annotations say, before it does anything else."""
    signature = inspect.signature(function)
    if all(one.annotation is one.empty for one in signature.parameters.values()):
        return function

    @functools.wraps(function)
    def door(*args, **kwargs):
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:  # an argument that is missing, or one too many: Python says it better
            return function(*args, **kwargs)
        with jaxtyping.jaxtyped("context"):
            for name, hint, value in _one_by_one(signature.parameters, given):
                if not _fits(value, hint):
                    raise Refused(_complaint(name, hint, value, given))
        return function(*args, **kwargs)

    return door


def _one_by_one(parameters, given):
    """Name, hint and value of each argument that came, those of ``*args`` and ``**kwargs`` too."""
    for name, value in given.items():
        one = parameters[name]
        if one.annotation is one.empty:
            continue
        if one.kind is one.VAR_POSITIONAL:
            yield from ((name, one.annotation, each) for each in value)
        elif one.kind is one.VAR_KEYWORD:
            yield from ((key, one.annotation, each) for key, each in value.items())
        else:
            yield name, one.annotation, value


def _fits(value, hint):
    if hint is bool:  # numpy's comparisons give one of its own
        return isinstance(value, bool | np.bool_)
    try:
        return is_bearable(value, hint)
    except Exception:  # an object that cannot be looked at, such as one whose shape raises
        return False


def _complaint(name, hint, value, given):
    beside = ""
    with jaxtyping.jaxtyped("context"):
        if _fits(value, hint):  # by itself it would do
            arrays = [f"{other} {describe(array)}" for other, array in given.items() if hasattr(array, "shape")]
            beside = f", beside {' and '.join(one for one in arrays if not one.startswith(name))}"
    return f"{name}: expected {expected(hint)}, got {describe(value)}{beside}"


def guard(module):
    """Have every public function and method of a module, by its name, check its arguments."""
    space = vars(sys.modules[module])
    for name, value in list(space.items()):
        if name.startswith("_") or getattr(value, "__module__", None) != module:
            continue
        if inspect.isfunction(value):
            space[name] = checked(value)
        elif inspect.isclass(value):
            for key, method in list(vars(value).items()):
                if key.startswith("_") and key not in ("__init__", "__call__", "__getitem__"):
                    continue
                if inspect.isfunction(method):
                    setattr(value, key, checked(method))
                elif isinstance(method, classmethod | staticmethod):
                    setattr(value, key, type(method)(checked(method.__func__)))
