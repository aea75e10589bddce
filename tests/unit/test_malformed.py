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
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from beartype.door import is_bearable
from PIL import Image

import osrlib
from osrlib import checks, data, detector, gram, losses, models, promise, scores, thresholds, training, zoo
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
NUMBERS, OTHERS, WEIGHT = random.gamma(2, 1, 300), random.gamma(9, 1, 300), random.normal(size=(3, 6))
MODEL = models.SigmoidAE(3).eval()
SET = data.ImageSet(IMAGES, LABELS, "noise", ("a", "b", "c"))
KEYS = {"norm": (scores.norm, thresholds.Conformal(0.1))}
BATCH = BatchOutput(torch.randn(60, 3), torch.rand(60, 128), torch.rand(60, 28, 28))
BY_ANNOTATION = {  # a valid value for each kind of argument
    Output: KNOWN, models.C2AE: models.C2AE(3), torch.nn.Module: MODEL, data.ImageSet: SET, plt.Axes: None,
    BatchOutput: BATCH, losses.Drawn: BATCH, bool: False,
    training.Recipe: training.Recipe(1, 30, 1e-3), torch.device: torch.device("cpu"), str: "text", tuple: ("a",),
    dict: {"x": 1}, checks.Function: dict, thresholds.Threshold: thresholds.MeanStd(), checks.Path: ".",
    torch.Generator: torch.Generator(), torch.nn.Linear: torch.nn.Linear(6, 3),
    Image.Image: Image.fromarray(IMAGES[0]), models.SigmoidAE: MODEL,
    argparse.ArgumentParser: argparse.ArgumentParser(),
    detector.OpenSetClassifier: detector.OpenSetClassifier(MODEL, KEYS).fit(IMAGES),
}  # fmt: skip
GIVEN = {  # a valid value where the annotation tells too little: by argument, or by function or class and argument
    "layer": np.array([0, 0, 1, 1, 1, 2]), "held_out": 0.1, "components": 9, "testing": 60, "dimension": 2,
    "sample": 50, "batch_size": 30, "bins": 9, "jobs": 1, "days": 30, "split": "test", "row.split": 0, "share": 0.1,
    "only.labels": [0, 2], "KNN.labels": LABELS, "ImageSet.classes": ("a", "b", "c"),
    "WeightedSum.scores": {"norm": (scores.norm, 1.0)},
    "World.classes": ("a",), "rule": thresholds.any_of, "columns": 9, "content.output": infer(MODEL, IMAGES),
    "loss": losses.multitask_loss, "fit_c2ae.loss": losses.c2ae_loss, "decode": models.C2AE(3).decode,
    "fit.first": None, "augment": None, "with_turned.first": None, "with_turned.classes": 3,
    "unknown": 10, "TwoTail.unknown": 0.5, "match": NUMBERS, "nonmatch": OTHERS, "low": -9.0,
    "TailModel.scores": NUMBERS, "keys": KEYS, "high": 9.0, "scheduler": None, "file": "rows", "path": "one.png",
    "histories": {"a": [{"epoch": 1, "x": 2.0}]}, "key": "x", "titles": ["a"] * 60, "worlds": {"a": NUMBERS},
    "card.worlds": {"a": IMAGES},
    "fmt": ".1%", "look.kind": "photo", "read_file.kind": "photo", "price_interval.n": 99, "most_refused.n": 99,
    "decide.source": ".",
    "decide.rule": "saved", "decide.table": "table.csv", "count": 1, "share_interval.n": 9,
    "saving.load.path": "saved", "about.path": "saved", "OpenSetClassifier.load.path": "saved", "number": "6.1",
    "check.value": 0.5, "weights": {"mtae": models.MultiTaskAE()}, "name": "noise",
    "names": ["noise"], "load.device": "cpu", "as_device.name": "cpu", "decoder": None, "on_epoch": None,
    "reader": models.BaselineCNN(), "Ensemble.models": [MODEL], "temperature": 1.0,
    "build.name": "mtae", "train.name": "mtae",
    "measure.name": "mtae", "zoo.load.name": "mtae", "from_arrays.held_out": (KNOWN.logits, KNOWN.code),
    "result": "rule", "folder": ".",
    "compute": partial(lambda model, images: {"code": images}),
} | {f"{metric}.unknown": NUMBERS for metric in ("expected_cost", "auroc", "aupr", "fpr_at_95", "oscr")}  # fmt: skip
DEAR = (
    "protocol.row",
    "bulk.decide",
    "bulk.part",
    "export.to_onnx",
    "detector.OpenSetClassifier.to_onnx",
    "speed.cost.measure",
    "zoo.train",
    "detector.OpenSetClassifier.recommended",
)
"""What takes its time on good arguments, and is tested elsewhere."""
BARE = {  # public arguments without an annotation, and why
    r"checks\..*": "what makes annotations",
    r"(files|worlds\.(cache|download|synthetic))\..*|speed\.(cost\.here|fused\.).*": "machinery, not called by readers",
    r"teaching\.answers\..*|teaching\.exercises\..*": "take any answer, as it is handed in",
    r"(models|autoencoder)\..*\.(forward|read|stages|maps)\(.*": "called as model(x), PyTorch's way",
    r"gram\.GramFeatures\.forward\(x\)|augment\.TurnedHead\.forward\(code\)": "called as model(x), too",
    r"thresholds\.\w+\.line\(scores\)": "its class calls it, on what is checked",
    r"scores\.known\.(KNN\.place|nearest_distance)\(.*": "its class calls it, on what is checked",
    r"cleaning\.(?!find_ink).*": "find_ink or pictures calls it, on what is checked",
    r"export\.(Decide|said).*": "to_onnx calls it, on what is checked",
    r"serve\..*": "a web framework calls it",
    r"__main__\.main\(arguments\)": "the words of a command line",
    r"(bulk\.decide)\(options\)": "handed on to sweep.run",
    r"(training\.fit_(c2ae|turned)|zoo\.Spec\.fit|zoo\.train)\(options\)": "handed on to training.fit",
}


def made():
    """One of each class whose methods are called: dict name of the class → instance."""
    every = [
        thresholds.Conformal().fit(NUMBERS), thresholds.TailModel(NUMBERS), thresholds.TwoTail().fit(NUMBERS, OTHERS),
        thresholds.ClassConformal(0.1).fit(NUMBERS, np.arange(300) % 3), scores.KNN(KNOWN),
        scores.Mahalanobis(KNOWN, LABELS), scores.Gaussian(KNOWN, LABELS), scores.RelativeMahalanobis(KNOWN, LABELS),
        scores.WeightedSum({"norm": (scores.norm, 1.0)}, KNOWN), scores.PCAResidual(KNOWN, 9),
        gram.GramDeviation(KNOWN, GIVEN["layer"]), gram.GramScore(MODEL, IMAGES),
        scores.ViM(KNOWN, WEIGHT, np.ones(3), 2), scores.OpenMax(KNOWN, LABELS), scores.SHE(KNOWN, LABELS),
        scores.NNGuide(KNOWN), scores.FDBD(KNOWN, WEIGHT), scores.ReAct(KNOWN, WEIGHT, np.ones(3)),
        scores.ASH(WEIGHT, np.ones(3)), scores.DICE(KNOWN, WEIGHT, np.ones(3)),
        models.C2AE(3), SET, zoo.MODELS["mtae"],
        detector.OpenSetClassifier(MODEL, KEYS).fit(IMAGES), models.ReadAE(models.BaselineCNN()),
        training.History([{"x": 1}]), promise.Martingale(NUMBERS),
    ]  # fmt: skip
    return {type(one).__name__: one for one in every} | {"Threshold": thresholds.MeanStd().fit(NUMBERS)}


def public():
    """Everything public: dict name → (function with its signature, what to call)."""
    found, instances = {}, made()
    for module in pkgutil.walk_packages(osrlib.__path__, "osrlib."):
        for name, one in vars(importlib.import_module(module.name)).items():
            where = f"{module.name[7:]}.{name}"
            if name.startswith("_") or getattr(one, "__module__", None) != module.name:
                continue
            if inspect.isfunction(one):
                found[where] = one, one
            for key, method in vars(one).items() if inspect.isclass(one) else ():
                function = getattr(method, "__func__", method)
                if inspect.isfunction(function) and (key in ("__init__", "__call__") or not key.startswith("_")):
                    owner = one if isinstance(method, classmethod) else instances.get(name)
                    found[f"{where}.{key}"] = function, one if key == "__init__" else getattr(owner, key, None)
    return found


def annotated(function):
    """The parameters with annotations, by name."""
    parameters = inspect.signature(function).parameters
    return {name: one for name, one in parameters.items() if one.annotation is not one.empty}


PUBLIC = public()
GUARDED = {name: pair for name, pair in PUBLIC.items() if annotated(pair[0])}


def test_every_public_argument_is_annotated_and_everything_annotated_is_guarded():
    assert len(GUARDED) > 100
    for name, (function, _) in PUBLIC.items():
        assert name not in GUARDED or hasattr(function, "__wrapped__"), f"{name} stands below its module's checks.guard"
        for bare in set(inspect.signature(function).parameters) - set(annotated(function)) - {"self", "cls"}:
            assert any(re.fullmatch(one, f"{name}({bare})") for one in BARE), f"{name}: no annotation for {bare}"


def members(hint):
    """The hints that a union joins."""
    joined = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [one for part in typing.get_args(hint) for one in members(part)] if joined else [hint]


def array_of(hint):
    """jaxtyping's type in a hint for arrays, else None."""
    return next((one for one in (hint, *typing.get_args(hint)) if hasattr(one, "dim_str")), None)


def valid(argument, place, hint):
    *_, module, name = f".{place.removesuffix('.__init__').removesuffix('.__call__')}".split(".")
    for key in (f"{module}.{name}.{argument}", f"{name}.{argument}", argument):
        if key in GIVEN:
            return GIVEN[key]
    kinds = members(hint)
    for kind, value in BY_ANNOTATION.items():
        if kind in kinds:
            return value
    options = [1, 0.05, 2, 1000, [1], [{"x": 1}], "plain", *typing.get_args(hint)]
    if array := next(filter(None, map(array_of, kinds)), None):
        dims = array.dim_str.split()
        values = random.random([int(d) if d.isdigit() else SIZES.get(d, 4) for d in dims]) * 0.9 + 0.05
        options = [values, (3 * values).astype(np.int64), (3 * values).astype(np.uint8), values < 0.5]
        options += [torch.from_numpy(values).float(), torch.from_numpy(options[1])]
    return next(one for one in options if any(is_bearable(one, kind) for kind in kinds))


def answer(name, /, **arguments):
    """What a call with these named arguments answers; what has no annotation and no default is None."""
    function, call = GUARDED[name]
    parameters = inspect.signature(function).parameters
    several = [arguments.pop(key) for key in [*arguments] if parameters[key].kind is inspect.Parameter.VAR_POSITIONAL]
    first = [arguments.pop(key) for key in [*arguments] if several]
    for key, one in parameters.items():
        if one.default is one.annotation is one.empty and "VAR" not in one.kind.name and key not in ("self", "cls"):
            arguments[key] = None
    return call(*first, *several, **arguments)


@pytest.fixture(autouse=True)
def place(request, tmp_path, monkeypatch):
    """A folder with what a call may read and write."""
    Image.fromarray(IMAGES[0]).save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)
    detector.OpenSetClassifier(MODEL, KEYS).fit(IMAGES).save("saved")
    monkeypatch.setenv("OSRLIB_REMEMBER", "")
    if "zoo.save" in request.node.name:
        monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)


class Shy:
    """What cannot even be looked at."""

    shape = property(lambda self: 1 / 0)
    __repr__ = shape.fget


NEVER = [b"text", object(), Shy(), np.array([Shy()]), 1j, float("nan"), float("inf"), 10**5000, {1}, [[1], [1, 2]],
         [None], np.ones(5, complex),
         np.full(5, np.nan), torch.full((4, 5), torch.nan), np.ma.masked_array([1.0, 2], [0, 1])]  # fmt: skip
"""What makes sense nowhere."""
FLOATS = (np.float32, np.float64, torch.float32, torch.float64)
RANGE = re.compile(r"a (whole )?number (?:in ([\[(]?)(\S+?)(?:\.\.|, )(\S+?)([\])]?)|([>≥]) (\S+))")
"""How a refusal tells a range: the numbers to try are taken from what a reader is told."""


def beyond(told):
    """Numbers just outside of the range that is told."""
    if match := RANGE.fullmatch(told):
        whole, opens, low, high, closes, sign, only = match.groups()
        low, step = float(only or low), 1 if whole else 1e-9
        ends = [low if opens == "(" or sign == ">" else low - step * max(1, abs(low))]
        ends += [] if high is None else [float(high) * (1 if closes == ")" else 1 + step)]
        yield from [*map(int, ends), low + 0.5] if whole else ends


def spoilt(value, dims):
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
    """What a hint refuses. One that asks for no finite numbers leaves it to the body to look."""
    any_number = "of floating-point numbers" in checks.expected(hint)
    for junk in _forbidden(hint, value):
        if not (any_number and isinstance(junk, np.ndarray | torch.Tensor) and junk.dtype in FLOATS):
            yield junk


def _forbidden(hint, value):
    kinds, told = members(hint), checks.expected(hint)
    yield from NEVER
    for junk in (None, "nonsense", ["text", None], 3, True):
        if not any(is_bearable(junk, kind) for kind in kinds):
            yield junk
    arrays = list(filter(None, map(array_of, kinds)))
    for array in arrays:
        if isinstance(value, array.array_type):
            others = {one.array_type for one in arrays if one is not array}
            yield from (one for one in spoilt(value, array.dim_str) if type(one) not in others)
            if "≥ 0" in told or "(0, 1]" in told:
                yield value - value.max() - 1
    if len(kinds) == 1:
        yield from beyond(told)
    if told.startswith("one or more") or typing.get_origin(hint) is tuple:
        yield from ([], (), [*value, None], (*value, None))
    if told.startswith("a dict from"):
        yield from ({}, {1: value}, {"a": None}, [value])


@pytest.mark.parametrize("name", GUARDED)
def test_what_a_signature_forbids_is_refused_by_name_before_any_work(name):
    function = GUARDED[name][0]
    good = {argument: valid(argument, name, one.annotation) for argument, one in annotated(function).items()}
    for argument, one in annotated(function).items():
        for junk in forbidden(one.annotation, good[argument]):
            with pytest.raises((TypeError, ValueError)) as refused:
                answer(name, **good | {argument: junk})
                raise AssertionError(f"{argument} = {checks.describe(junk)} was let through")
            assert re.search(rf"\b{argument}\b", str(refused.value)), f"{argument} = {junk!r:.60}: {refused.value}"
            ran = [frame.f_code for frame, _ in traceback.walk_tb(refused.value.__traceback__)]
            assert function.__wrapped__.__code__ not in ran


def outputs():
    """What no network should say, and one may: nothing, the smallest and the largest numbers, always the same."""
    for factor in (0, 1e-30, 1e15 / 40):
        yield Output(**{name: part if name == "images" else part * factor for name, part in KNOWN.parts.items()})
    yield Output(**{name: np.broadcast_to(part[:1], part.shape) for name, part in KNOWN.parts.items()})
    for images in (0 * IMAGES, IMAGES | 255):
        yield Output(**KNOWN.parts | {"images": images, "reconstruction": 0 * KNOWN.reconstruction})


def utmost(hint, value):
    """Values that are allowed, and that a careless formula would divide by or carry out of its range."""
    told = checks.expected(hint)
    if isinstance(value, Output):
        yield from outputs()
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        yield from (np.ones_like(value), value[..., ::-1], value.astype(np.float32))
        if "(0, 1]" not in told:
            yield from (0 * value, -value, 1e-300 * value, 1e308 * (value / value.max()), value.astype(np.float16))
            yield from ((99 * value).astype(np.int64), (9 * value).astype(np.uint8))
    elif isinstance(value, np.ndarray) and value.dtype.kind == "i":
        yield from (0 * value, value.astype(np.uint8), value + 10**12)
    elif isinstance(value, torch.Tensor) and value.is_floating_point():
        yield from (0 * value, 1e-30 * value, 7e8 * value / value.max(), value.double(), value.bfloat16())
    elif type(value) in (int, float) and (match := RANGE.fullmatch(told)):
        whole, opens, low, high, closes, *_ = match.groups()
        yield from (np.int64(value), np.uint8(value)) if whole else (np.float32(value), np.float64(value))
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
    return all(
        map(finite, value.values() if isinstance(value, dict) else value if type(value) in (list, tuple) else ())
    )


@pytest.mark.parametrize("name", sorted(set(GUARDED) - set(DEAR)))
@pytest.mark.filterwarnings("ignore")
def test_what_a_signature_allows_gives_finite_numbers_or_is_refused(name):
    parameters = {key: p for key, p in annotated(GUARDED[name][0]).items() if p.kind is not p.VAR_KEYWORD}
    good = {argument: valid(argument, name, one.annotation) for argument, one in parameters.items()}
    may_be_nan = name == "metrics.osr_report"  # the share of nothing
    assert finite(used(answer(name, **good))) or may_be_nan, "the valid call itself"
    for argument, one in parameters.items():
        for value in utmost(one.annotation, good[argument]):
            try:
                result = used(answer(name, **good | {argument: value}))
            except (TypeError, ValueError, claims.ClaimFailed):
                continue
            assert finite(result) or may_be_nan, f"{argument} = {checks.describe(value)}: {result}"
    plt.close("all")
