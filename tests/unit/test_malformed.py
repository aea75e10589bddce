"""Whatever comes: what a signature forbids is refused by name before any work, and what it allows gives finite numbers.

The calls are made from the signatures of all that is public: each argument, in its turn, is given what its annotation
cannot take, and then the utmost of what it can. A new function is found here by itself; it needs a line in ``GIVEN``
where its annotations tell too little.
"""

import argparse
import importlib
import inspect
import pkgutil
import re
import traceback
import types
import typing
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from beartype.door import is_bearable
from PIL import Image

import osrlib
from osrlib import checks, data, detector, gram, losses, models, scores, thresholds, training, zoo
from osrlib.output import BatchOutput, Output, infer
from osrlib.teaching import claims

random = np.random.default_rng(0)
SIZES = {"N": 60, "M": 60, "K": 3, "D": 6, "C": 3, "S": 2}
LABELS = np.arange(60) % 3
IMAGES = random.integers(0, 256, (60, 28, 28), dtype=np.uint8)
KNOWN = Output(
    random.normal(size=(60, 3)) + 9 * np.eye(3)[LABELS], random.gamma(1, 1, (60, 6)), random.random((60, 28, 28)),
    IMAGES, random.gamma(1, 1, (60, 3)),
)  # fmt: skip
NUMBERS, OTHERS = random.gamma(2, 1, 300), random.gamma(9, 1, 300)
MODEL = models.MultiTaskAE(classes=3).eval()
SET = data.ImageSet(IMAGES, LABELS, "noise", ("a", "b", "c"))
KEYS = {"norm": (scores.norm, thresholds.Conformal(0.1))}
BY_ANNOTATION = {  # a valid value for each kind of argument
    Output: KNOWN, models.C2AE: models.C2AE(3), torch.nn.Module: MODEL, data.ImageSet: SET, plt.Axes: None,
    BatchOutput: BatchOutput(torch.randn(60, 3), torch.rand(60, 128), torch.rand(60, 28, 28)), bool: False,
    training.Recipe: training.Recipe(1, 30, 1e-3), torch.device: torch.device("cpu"), str: "text", tuple: ("a",),
    dict: {"x": 1}, checks.Function: dict, thresholds.Threshold: thresholds.MeanStd(),
    Image.Image: Image.fromarray(IMAGES[0]), models.MultiTaskAE: MODEL, checks.Path: ".",
    argparse.ArgumentParser: argparse.ArgumentParser(),
}  # fmt: skip
GIVEN = {  # a valid value where the annotation tells too little: by argument, or by function or class and argument
    "layer": np.array([0, 0, 1, 1, 1, 2]), "held_out": 0.1, "components": 9, "testing": 60, "dimension": 2,
    "sample": 50, "batch_size": 30, "bins": 9, "jobs": 1, "days": 30, "split": "test", "row.split": 0,
    "only.labels": [0, 2], "KNN.labels": LABELS, "KNNSum.labels": LABELS, "ImageSet.classes": ("a", "b", "c"),
    "World.classes": ("a",), "loss": losses.multitask_loss, "fit_c2ae.loss": losses.c2ae_loss, "rule": thresholds.any_of,
    "decode": models.C2AE(3).decode, "fit.first": None, "unknown": 10, "expected_cost.unknown": NUMBERS,
    "auroc.unknown": NUMBERS, "aupr.unknown": NUMBERS, "fpr_at_95.unknown": NUMBERS, "oscr.unknown": NUMBERS,
    "TwoTail.unknown": 0.5, "match": NUMBERS, "nonmatch": OTHERS, "TailModel.scores": NUMBERS, "keys": KEYS,
    "scheduler": None, "file": "rows", "path": "one.png", "histories": {"a": [{"epoch": 1, "x": 2.0}]}, "key": "x",
    "titles": ["a"] * 60, "scatter.worlds": {"a": (NUMBERS, OTHERS)}, "worlds": {"a": NUMBERS}, "lines": (1.0, 2.0),
    "expected_cost.lines": NUMBERS, "cost.lines": NUMBERS, "scatter.labels": ("a", "b"), "fmt": ".1%", "number": "6.1",
    "check.value": 0.5, "low": -9.0, "high": 9.0, "weights": {"mtae": models.MultiTaskAE()}, "name": "noise",
    "names": ["noise"], "load.device": "cpu", "as_device.name": "cpu", "decoder": None, "on_epoch": None,
    "reader": models.BaselineCNN(), "temperature": 1.0, "share": 0.1, "folder": ".", "content.output": infer(MODEL, IMAGES),
    "compute": partial(lambda model, images: {"code": images}), "build.name": "mtae", "train.name": "mtae",
    "measure.name": "mtae", "zoo.load.name": "mtae", "result": "rule", "columns": 9,
}  # fmt: skip


def instances():
    """One of each class whose methods are called."""
    fitted = [thresholds.MeanStd().fit(NUMBERS), thresholds.Conformal().fit(NUMBERS)]
    several = thresholds.ClassConformal(0.1).fit(NUMBERS, np.arange(300) % 3)
    tails = thresholds.TailModel(NUMBERS), thresholds.TwoTail().fit(NUMBERS, OTHERS)
    made = [
        scores.KNN(KNOWN), scores.KNNSum(KNOWN), scores.Mahalanobis(KNOWN, LABELS), scores.PCAResidual(KNOWN, 9),
        scores.ViM(KNOWN, random.normal(size=(3, 6)), np.ones(3), 2),
        gram.GramDeviation(KNOWN, GIVEN["layer"]), detector.OpenSetClassifier(MODEL, KEYS).fit(IMAGES),
        models.C2AE(3), models.ReadAE(models.BaselineCNN()), training.History([{"x": 1}]), SET, zoo.MODELS["mtae"],
    ]  # fmt: skip
    return {type(one).__name__: one for one in [*fitted, several, *tails, *made]} | {"Threshold": fitted[0]}


def public():
    """Everything public that takes arguments: dict name → (function with its signature, what to call or None)."""
    found, made = {}, instances()
    for module in pkgutil.walk_packages(osrlib.__path__, "osrlib."):
        for name, one in vars(importlib.import_module(module.name)).items():
            if name.startswith("_") or getattr(one, "__module__", None) != module.name:
                continue
            if inspect.isfunction(one):
                found[f"{module.name[7:]}.{name}"] = one, one
            elif inspect.isclass(one):
                for key, method in vars(one).items():
                    function = getattr(method, "__func__", method)
                    if not inspect.isfunction(function) or key.startswith("_") and key not in ("__init__", "__call__"):
                        continue
                    owner = one if key == "__init__" or isinstance(method, classmethod) else made.get(name)
                    found[f"{module.name[7:]}.{name}.{key}"] = (
                        function, owner if key == "__init__" else getattr(owner, key, None)
                    )  # fmt: skip
    return found


def annotated(function):
    """The parameters with annotations, by name."""
    return {name: one for name, one in inspect.signature(function).parameters.items() if one.annotation is not one.empty}


PUBLIC = public()
GUARDED = {name: pair for name, pair in PUBLIC.items() if annotated(pair[0])}
BARE = {  # public arguments without an annotation: (a pattern of names, why)
    r"checks\..*": "what makes annotations",
    r"files\..*|worlds\.(cache|download|synthetic)\..*|speed\.(cost\.here|fused\..*)": "machinery under public functions",
    r"teaching\.answers\..*|teaching\.exercises\.\w+": "take any answer, as it is handed in",
    r"models\..*\.(forward|stages|maps)|gram\.GramFeatures\.forward": "called as model(x), in the way of PyTorch",
    r"thresholds\.\w+\.line|scores\.known\.KNN\.place": "called by its own class, on what that has checked",
    r"training\.fit_c2ae|zoo\.(Spec\.fit|train)": "options, handed on to training.fit",
}


def test_every_public_argument_is_annotated_and_everything_annotated_is_guarded():
    for name, (function, _) in PUBLIC.items():
        if annotated(function):
            assert hasattr(function, "__wrapped__"), f"{name} looks at nothing"
        bare = set(inspect.signature(function).parameters) - set(annotated(function)) - {"self", "cls"}
        assert not bare or any(re.fullmatch(pattern, name) for pattern in BARE), f"{name}: {bare} without annotations"


# ---------------------------------------------------------------------------------------------------------------------
# Valid values, and what an annotation cannot take


def members(hint):
    """The hints that a union joins."""
    joined = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [one for part in typing.get_args(hint) for one in members(part)] if joined else [hint]


def array_of(hint):
    """jaxtyping's type in a hint for arrays, else None."""
    inner = typing.get_args(hint)[:1]
    return inner[0] if inner and hasattr(inner[0], "dim_str") else None


def valid(argument, place, hint):
    *_, module, name = f".{place.removesuffix('.__init__').removesuffix('.__call__')}".split(".")
    for key in (f"{module}.{name}.{argument}", f"{name}.{argument}", argument):
        if key in GIVEN:
            return GIVEN[key]
    kinds = members(hint)
    for kind, value in BY_ANNOTATION.items():
        if kind in kinds:
            return value
    for kind in kinds:
        if array := array_of(kind):
            dims = array.dim_str.split()
            values = random.random([int(d) if d.isdigit() else SIZES.get(d, 4) for d in dims]) * 0.9 + 0.05
            every = [values, (3 * values).astype(np.int64), (3 * values).astype(np.uint8), values < 0.5]
            every += [torch.from_numpy(values).float(), torch.from_numpy(every[1])]
            return next(one for one in every if is_bearable(one, kind))
        if typing.get_origin(kind) is typing.Literal:
            return typing.get_args(kind)[0]
        for value in (1, 0.05, 2, 1000, [1], [{"x": 1}], "plain"):
            if is_bearable(value, kind):
                return value
    raise AssertionError(f"{place}: no valid value for {argument}")


NEVER = [b"text", object(), 1j, float("nan"), float("inf"), 10**5000, {1}, [[1], [1, 2]], [None], np.ones(5, complex),
         np.full(5, np.nan), torch.full((4, 5), torch.nan), np.ma.masked_array([1.0, 2], [0, 1])]  # fmt: skip
"""What makes sense nowhere."""
RANGE = re.compile(r"a (whole )?number (?:in ([\[(]?)(\S+?)(?:\.\.|, )(\S+?)([\])]?)|([>≥]) (\S+))")


def beyond(told):
    """Numbers just outside of the range that a hint tells: from the words that a reader gets."""
    if not (match := RANGE.fullmatch(told)):
        return []
    whole, opens, low, high, closes, sign, only = match.groups()
    low, step = float(only or low), 1 if whole else 1e-9
    ends = [low if opens == "(" or sign == ">" else low - step * max(1, abs(low))]
    ends += [] if high is None else [float(high) if closes == ")" else float(high) + step * float(high)]
    return [int(end) for end in ends] + [low + 0.5] if whole else ends


def spoilt_array(value, dims):
    """Arrays, or tensors, that look much like a good one."""
    yield from (value[:0], value.flatten()[0], value.tolist())
    if "..." not in dims and "*" not in dims:
        yield from (value[0], value[None])
    if isinstance(value, torch.Tensor):
        yield from (value.numpy(), value.to_sparse(), value.to("meta"), value.to(torch.complex64), value.bool())
        yield from (torch.where(value == value.max(), bad, value) for bad in (np.nan, np.inf, 1e30))
        return
    yield from (value.astype(object), value.astype(str), value.astype(complex), torch.from_numpy(value))
    yield np.ma.masked_array(value, value == value.flat[0])
    if value.dtype.kind == "f":
        yield from (np.where(value == value.max(), bad, value) for bad in (np.nan, -np.inf))


def forbidden(hint, value):
    """What an annotation cannot take."""
    kinds, told = members(hint), checks.expected(hint)
    yield from NEVER
    if type(None) not in kinds:
        yield None
    if not any(is_bearable("nonsense", kind) for kind in kinds):
        yield from ("nonsense", ["text", None])
    if not any(is_bearable(3, kind) for kind in kinds):
        yield 3
    if bool not in kinds:
        yield True
    for kind in kinds:
        if array := array_of(kind):
            if hasattr(value, "dtype"):
                yield from (one for one in spoilt_array(value, array.dim_str) if type(one) not in kinds)
                if "≥ 0" in told or "(0, 1]" in told:
                    yield value - value.max() - 1
    if len(kinds) == 1:
        yield from beyond(told)
    if told.startswith("one or more") or typing.get_origin(hint) is tuple:
        yield from ([], (), [*value, None], (*value, None))
    if told.startswith("a dict from"):
        yield from ({}, {1: value}, {"a": None}, [value])


def answer(call, function, arguments):
    """What a call with these named arguments answers: the error, where it refuses, else AssertionError."""
    signature, given = inspect.signature(function), dict(arguments)
    several = [given.pop(name) for name, one in signature.parameters.items()
               if name in given and one.kind is one.VAR_POSITIONAL]  # fmt: skip
    first = [given.pop(name) for name in list(given)] if several else []
    missing = [name for name, one in signature.parameters.items() if one.default is one.empty and name not in arguments
               and one.kind is one.POSITIONAL_OR_KEYWORD and name not in ("self", "cls")]  # fmt: skip
    return call(*first, *several, **given, **dict.fromkeys(missing))


@pytest.fixture
def place(request, tmp_path, monkeypatch):
    """A folder with what a call may read and write."""
    Image.fromarray(IMAGES[0]).save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSRLIB_REMEMBER", "")
    if "zoo.save" in request.node.name:
        monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)


IN_THE_BODY = {("output.to_input", "images")}
"""What takes a tensor as well, whose shape is looked at inside."""


@pytest.mark.parametrize("name", GUARDED)
def test_what_a_signature_forbids_is_refused_by_name_before_any_work(name, place):
    function, call = GUARDED[name]
    good = {argument: valid(argument, name, one.annotation) for argument, one in annotated(function).items()}
    for argument, one in annotated(function).items():
        for junk in forbidden(one.annotation, good[argument]):
            with pytest.raises((TypeError, ValueError)) as refused:
                answer(call, function, good | {argument: junk})
                raise AssertionError(f"{argument} = {checks.describe(junk)} was let through")
            assert re.search(rf"\b{argument}\b", str(refused.value)), f"{argument} = {junk!r:.60}: {refused.value}"
            ran = [frame.f_code for frame, _ in traceback.walk_tb(refused.value.__traceback__)]
            assert function.__wrapped__.__code__ not in ran or (name, argument) in IN_THE_BODY, f"{argument} = {junk!r}"


# ---------------------------------------------------------------------------------------------------------------------
# The utmost of what an annotation takes


def outputs():
    """What no network should say, and one may: all the same, nothing at all, the largest and the smallest numbers."""
    for factor in (0, 1e-30, 1e15 / 40):
        yield Output(KNOWN.logits * factor, KNOWN.code * factor, KNOWN.reconstruction * factor, IMAGES,
                     KNOWN.errors * factor)  # fmt: skip
    same = {name: np.broadcast_to(part[:1], part.shape) for name, part in KNOWN.parts.items()}
    yield Output(**same)
    yield Output(**KNOWN.parts | {"images": 0 * IMAGES})
    yield Output(**KNOWN.parts | {"images": IMAGES | 255, "reconstruction": 0 * KNOWN.reconstruction})


def utmost(hint, value):
    """Values that are allowed, and that a careless formula would divide by or carry out of its range."""
    told = checks.expected(hint)
    if isinstance(value, Output):
        yield from outputs()
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield from (kind for kind in (np.ones_like(value), value[..., ::-1], value.astype(np.float32)))
        if "(0, 1]" not in told:
            yield from (0 * value, -value, 1e-300 * value, 1e308 * (value / value.max()), value.astype(np.float16))
            yield from ((99 * value).astype(np.int64), (9 * value).astype(np.uint8))
    elif isinstance(value, np.ndarray) and value.dtype.kind == "i":
        yield from (0 * value, value.astype(np.uint8), value + 10**12)
    elif isinstance(value, torch.Tensor) and value.is_floating_point():
        yield from (0 * value, 1e-30 * value, 7e8 * value / value.max(), value.double(), value.bfloat16())
    elif type(value) in (int, float) and (match := RANGE.fullmatch(told)):
        whole, opens, low, high, closes, *_ = match.groups()
        yield from (np.float32(value), np.float64(value)) if not whole else (np.int64(value), np.uint8(value))
        if high is not None:
            step = 0 if whole else (float(high) - float(low)) * 1e-9
            ends = float(low) + (step if opens == "(" else 0), float(high) - (step if closes == ")" else 0)
            yield from map(int, ends) if whole else ends


def used(result):
    """What comes of a result, where it is made to be used."""
    if isinstance(result, thresholds.Threshold):
        return result.fit(*(NUMBERS, OTHERS)[: 2 if isinstance(result, thresholds.TwoTail) else 1]).value
    if isinstance(result, detector.OpenSetClassifier):
        return result.fit_output(KNOWN).decide_output(KNOWN[:5])
    if type(result).__module__.startswith(("osrlib.scores", "osrlib.gram")) and not isinstance(result, torch.nn.Module):
        return result(KNOWN[:5])
    return result


def finite(value):
    """Is there no NaN and no infinity in a result?"""
    if isinstance(value, torch.Tensor):
        value = value.detach().double().numpy()
    if isinstance(value, np.ndarray | float | np.floating):
        return np.asarray(value).dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, Output | BatchOutput):
        value = vars(value)
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(finite, value))


DEAR = ("protocol.row", "speed.cost.measure", "zoo.train", "detector.OpenSetClassifier.recommended")
"""What takes its time on good arguments, and is tested elsewhere."""


@pytest.mark.parametrize("name", sorted(set(GUARDED) - set(DEAR)))
def test_what_a_signature_allows_gives_finite_numbers_or_is_refused(name, place):
    function, call = GUARDED[name]
    parameters = {key: one for key, one in annotated(function).items() if one.kind is not one.VAR_KEYWORD}
    good = {argument: valid(argument, name, one.annotation) for argument, one in parameters.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        may_be_nan = name == "metrics.osr_report"  # the share of nothing
        assert finite(used(answer(call, function, good))) or may_be_nan, "the valid call itself"
        for argument, one in parameters.items():
            for value in utmost(one.annotation, good[argument]):
                try:
                    result = used(answer(call, function, good | {argument: value}))
                except (TypeError, ValueError, claims.ClaimFailed):
                    continue
                assert finite(result) or may_be_nan, f"{argument} = {checks.describe(value)}: {result}"
    plt.close("all")
