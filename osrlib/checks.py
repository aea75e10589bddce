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
from collections.abc import Callable, KeysView, Sequence, ValuesView
from itertools import repeat
from os import PathLike
from typing import Annotated, get_args, get_origin

import jaxtyping
import numpy as np
import torch
from beartype.door import is_bearable
from beartype.vale import Is, IsAttr, IsEqual, IsInstance


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
    """The hint for one of several names. options: a dict or another collection of them, which may still grow."""

    def told():
        return f"one of {', '.join(sorted(options))}"

    return alias(told, Annotated[str, Is[lambda value: value in options]])


def several(hint):
    """The hint for a list, a tuple or an array, each entry as another hint says, one at least."""

    def told():
        return f"one or more, each {expected(hint)}"

    def holds(values):
        return not isinstance(values, str | bytes) and len(values) > 0 and all(map(is_bearable, values, repeat(hint)))

    return alias(told, Annotated[Sequence | KeysView | ValuesView | np.ndarray, Is[holds]])


def named(hint):
    """The hint for a dict from names to values, one at least, each value as another hint says."""

    def told():
        return f"a dict from names to {expected(hint)}"

    def holds(values):
        return set(map(type, values)) == {str} and all(map(is_bearable, values.values(), repeat(hint)))

    return alias(told, Annotated[dict, Is[holds]])


Finite = number("a finite number", lambda value: True)
Positive = number("a number > 0", lambda value: value > 0)
NotNegative = number("a number ≥ 0", lambda value: value >= 0)
Share = number_in(0, 1)
PartShare = number("a number in (0, 1)", lambda value: 0 < value < 1)
PositiveShare = number("a number in (0, 1]", lambda value: 0 < value <= 1)
Count = whole_number(1)
Seed = whole_number(0)
Flag = alias("True or False", bool | np.bool_)  # numpy's comparisons give one of its own
Path = alias("a path", str | PathLike)
Function = alias("a function", Callable)


class _Arrays:
    """``Arrays["N 28 28"]``: the hint for arrays of a kind and of this shape (jaxtyping's way to write it)."""

    def __init__(self, told, kind, array, holds):
        self.told, self.kind, self.array, self.holds = told, kind, array, holds

    @functools.cache  # noqa: B019 there are a dozen
    def __getitem__(self, shape):
        return alias(f"{self.told} [{shape.replace(' ', ', ')}]", Annotated[self.kind[self.array, shape], self.holds])


# one number or more, and all of them: numpy's own functions forget what a masked array hides
PLAIN = IsAttr["size", ~IsEqual[0]] & ~IsInstance[np.ma.MaskedArray]


def _dense(tensor):
    """Whether a tensor holds numbers, one or more, and all of them side by side."""
    return tensor.layout == torch.strided and not tensor.is_meta and tensor.numel() > 0


def _moderate(tensor):
    """Finite numbers whose fourth powers leave room for a thousand of them: a style loss takes them."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.numel() == 0:
        return False
    low, high = torch.aminmax(tensor.detach())
    largest = (torch.finfo(tensor.dtype).max / 1000) ** 0.25
    return bool(low >= -largest and high <= largest)


Numbers = _Arrays(
    "an array of finite numbers", jaxtyping.Real, np.ndarray, PLAIN & Is[lambda a: bool(np.isfinite(a).all())]
)
PValues = _Arrays(
    "an array of numbers in (0, 1]", jaxtyping.Float, np.ndarray, PLAIN & Is[lambda a: bool(((a > 0) & (a <= 1)).all())]
)
FloatArray = _Arrays("an array of floating-point numbers", jaxtyping.Float, np.ndarray, PLAIN)
Labels = _Arrays(
    "an array of whole numbers ≥ 0", jaxtyping.Integer, np.ndarray, PLAIN & Is[lambda a: bool((a >= 0).all())]
)
Mask = _Arrays("an array of True and False", jaxtyping.Bool, np.ndarray, PLAIN)
Pixels = _Arrays("a uint8 array", jaxtyping.UInt8, np.ndarray, PLAIN)
Images = Pixels["N 28 28"]
AnyTensor = _Arrays(
    "a dense tensor of floating-point numbers", jaxtyping.Float, torch.Tensor,
    IsAttr["layout", IsEqual[torch.strided]] & IsAttr["is_meta", IsEqual[False]],
)  # fmt: skip
Tensor = _Arrays("a dense tensor of finite floating-point numbers", jaxtyping.Float, torch.Tensor, Is[_moderate])
PixelTensor = _Arrays("a uint8 tensor", jaxtyping.UInt8, torch.Tensor, Is[_dense])
Maps = _Arrays(
    "a dense tensor of finite numbers ≥ 0", jaxtyping.Float, torch.Tensor,
    Is[lambda t: _moderate(t) and bool(t.min() >= 0)],
)  # fmt: skip
ClassTensor = _Arrays(
    "an int64 tensor of classes", jaxtyping.Int64, torch.Tensor, Is[lambda t: _dense(t) and bool((t >= 0).all())]
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
    """A function that looks at its arguments, as its annotations say, before it does anything else.

    It is written out, as ``dataclass`` writes its ``__init__``: one line for each argument, and the call.
    """
    signature = inspect.signature(function)
    hints = {
        name: Flag if one.annotation is bool else one.annotation
        for name, one in signature.parameters.items()
        if one.annotation is not one.empty
    }
    if not hints:
        return function
    head, looks, call = [], [], []
    for name, one in signature.parameters.items():
        star = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        by_name = one.kind is one.KEYWORD_ONLY
        if by_name and not any(part.startswith("*") for part in head):
            head.append("*")
        head.append(f"{star}{name}" + ("" if one.default is one.empty else f"=_defaults[{name!r}]"))
        call.append(f"{name}={name}" if by_name else f"{star}{name}")
        if name in hints:
            look = f"_fits({{0}}, _hints[{name!r}]) or _refuse({{1}}, _hints[{name!r}], {{0}}, locals())"
            if not star and one.default is not one.empty:
                look = f"{name} is _defaults[{name!r}] or {look}"
            looks.append(
                {
                    "": look.format(name, repr(name)),
                    "*": f"for _one in {name}: {look.format('_one', repr(name))}",
                    "**": f"for _name, _one in {name}.items(): {look.format('_one', '_name')}",
                }[star]
            )
    lines = [
        f"def {function.__name__}({', '.join(head)}):",
        " with _context('context'):",
        *(f"  {look}" for look in looks),
        f" return _function({', '.join(call)})",
    ]
    space = {
        "_function": function, "_hints": hints, "_fits": is_bearable, "_refuse": _refuse,
        "_context": jaxtyping.jaxtyped, "_defaults": {name: one.default for name, one in signature.parameters.items()},
    }  # fmt: skip
    exec(compile("\n".join(lines), f"<the door of {function.__module__}.{function.__qualname__}>", "exec"), space)
    return functools.wraps(function)(space[function.__name__])


def _refuse(name, hint, value, given):
    beside = ""
    with jaxtyping.jaxtyped("context"):
        if is_bearable(value, hint):  # by itself it would do
            others = {other: one for other, one in given.items() if other != name and hasattr(one, "shape")}
            beside = f", beside {' and '.join(f'{other} {describe(one)}' for other, one in others.items())}"
    raise Refused(f"{name}: expected {expected(hint)}, got {describe(value)}{beside}")


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
