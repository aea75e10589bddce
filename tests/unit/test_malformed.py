"""Whatever comes: every argument of every public function meets junk, and answers with ValueError or with numbers.

``core`` and ``around`` hold a valid call of each public function. Its arguments are spoilt one at a time.
What is no answer: an exception that is no ValueError, a result with NaN or infinity in it, the silent acceptance of an
object that means nothing. A network called by itself, as ``model(x)``, is left out: its errors are PyTorch's.
"""

import argparse
import importlib
import inspect
import os
import re
import warnings
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from osrlib import (
    claims,
    data,
    exercises,
    folder,
    losses,
    metrics,
    models,
    plots,
    protocol,
    remember,
    scores,
    sweep,
    thresholds,
    training,
    zoo,
)  # fmt: skip
from osrlib.detector import OpenSetClassifier
from osrlib.models import Output, infer

random = np.random.default_rng(0)
KNOWN = Output(
    random.normal(size=(60, 3)).astype("f4") + 9 * np.eye(3, dtype="f4")[np.arange(60) % 3],
    random.gamma(1, 1, (60, 6)).astype("f4"),
    random.random((60, 28, 28), dtype="f4"),
    random.integers(0, 256, (60, 28, 28), dtype=np.uint8),
    random.gamma(1, 1, (60, 3)).astype("f4"),
)
SOME = Output(*(field[:5] for field in KNOWN))
LABELS = np.arange(60) % 3
NUMBERS, OTHERS = random.gamma(2, 1, 300), random.gamma(9, 1, 300)
BATCH = Output(torch.rand(4, 10), torch.rand(4, 128), torch.rand(4, 28, 28))
FEW = data.ImageSet(
    random.integers(0, 256, (180, 28, 28), dtype=np.uint8), np.tile(LABELS, 3), "noise", ("a", "b", "c")
)
RECIPE = training.Recipe(1, 30, 1e-3)


class Meaningless:
    def __repr__(self):
        raise RuntimeError("no text of it")


JUNK = {
    "nothing": None,
    "text": "text",
    "bytes": b"text",
    "an object": Meaningless(),
    "a complex number": 1j,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "zero": 0,
    "a negative number": -1,
    "a fraction": 0.123,
    "a huge integer": 10**5000,
    "a huge number": 1e308,
    "a tiny number": 5e-324,
    "a truth value": True,
    "an empty list": [],
    "a dict": {"a": 1},
    "a set": {1},
    "a ragged list": [[1], [1, 2]],
    "a list of text": ["a", "b"],
    "a list of nothing": [None],
    "no array": np.zeros(0),
    "a complex array": np.ones((5, 28, 28), complex),
    "an array of objects": np.array([Meaningless()] * 5),
    "an array of NaN": np.full(5, np.nan),
    "a number as an array": np.array(3.0),
    "huge unsigned integers": np.full(5, 2**64 - 1, np.uint64),
    "a tensor of NaN": torch.full((4, 5), torch.nan),
    "a tensor that learns": torch.ones(5, requires_grad=True),
}


NEVER = {
    "bytes", "an object", "a complex number", "NaN", "infinity", "a huge integer", "a ragged list",
    "a list of nothing", "a complex array", "an array of objects", "an array of NaN", "a tensor of NaN",
    "a tensor that learns", "as objects", "as text", "as complex numbers", "with nan", "with inf", "sparse",
    "without numbers",
}  # fmt: skip
"""What makes sense nowhere; the rest of the junk is a good value here or there."""


def spoilt(value):
    """Values that look much like a good one."""
    if isinstance(value, Output):
        for name, field in value._asdict().items():
            for what, other in () if field is None else spoilt(field):
                yield f"{name}: {what}", value._replace(**{name: other})
            for junk in ("nothing", "text", "an object", "a ragged list", "an array of NaN"):
                yield f"{name}: {junk}", value._replace(**{name: JUNK[junk]})
        yield "a bare tuple", tuple(value)
    elif isinstance(value, np.ndarray | torch.Tensor):
        yield "one fewer", value[:-1]
        yield "none", value[:0]
        yield "one alone", value[0]
        yield "one more axis", value[None]
        if value.ndim > 1:
            yield "narrower", value[:, :1]
            yield "no width", value[:, :0]
        if isinstance(value, torch.Tensor):
            if value.is_floating_point():
                for bad in (torch.nan, torch.inf, 1e30):
                    broken = value.clone()
                    broken.flatten()[-1] = bad
                    yield f"with {bad}", broken
                yield "in half precision", value.half()
                yield "in double precision", value.double()
                yield "sparse", value.to_sparse()
                yield "without numbers", value.to("meta")
            return
        yield "with a mask", np.ma.masked_array(value, np.arange(value.size).reshape(value.shape) == 0)
        yield "as objects", value.astype(object)
        yield "as text", value.astype(str)
        yield "as complex numbers", value.astype(complex)
        yield "in another type", value.astype(np.uint16 if value.dtype == np.uint8 else np.uint8)
        if value.dtype.kind == "f":
            for bad in (np.nan, np.inf, 1e30, np.longdouble("1e400")):
                broken = value.astype(np.longdouble)
                broken.flat[-1] = bad
                yield f"with {bad}", broken
        if value.dtype.kind == "i":
            yield "with a negative one", value - value.max() - 1
            yield "with a large one", value + 10**12


def masked(value):
    """Is this an array, or an output of arrays, that hides some of its numbers?"""
    return any(isinstance(one, np.ma.MaskedArray) for one in (value if isinstance(value, Output) else [value]))


def finite(value):
    """Is there no NaN and no infinity in a result?"""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray | float | np.floating):
        return np.asarray(value).dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(finite, value))


def applied(make):
    """A function that fits a score with its arguments, and scores some images; good arguments are fitted once."""
    first = {}

    def call(output, **arguments):
        if not first:
            first.update(arguments, score=make(**arguments))
        same = all(first[name] is value for name, value in arguments.items())
        return (first["score"] if same else make(**arguments))(output)

    return call


def used(kind):
    """A function that makes a threshold, fits it on ``scores`` and says its line."""
    return lambda scores=NUMBERS, **arguments: kind(**arguments).fit(scores).value


def core():
    """Valid calls: what is scored, drawn as a line, measured and trained. dict name → (function, arguments)."""
    output, known = {"output": SOME}, {"known": KNOWN, "output": SOME}
    pair = {"known": NUMBERS, "unknown": OTHERS}
    batch = {"output": BATCH, "images": torch.rand(4, 1, 28, 28), "labels": torch.arange(4)}
    model, images = models.MultiTaskAE(classes=3), SOME.images
    line, by_class = (
        thresholds.Conformal(0.1).fit(NUMBERS),
        thresholds.ClassConformal(0.1).fit(NUMBERS, np.arange(300) % 3),
    )
    two = {"match": NUMBERS, "nonmatch": OTHERS}
    detector = OpenSetClassifier(model, [scores.norm], [thresholds.Conformal()]).fit(KNOWN.images)
    return {
        "scores.norm": (scores.norm, output | {"relative": True}),
        "scores.diff": (scores.diff, output | {"level": 0.5}),
        "scores.msp": (scores.msp, output),
        "scores.max_logit": (scores.max_logit, output),
        "scores.energy": (scores.energy, output | {"temperature": 1.0}),
        "scores.class_error": (scores.class_error, output | {"relative": True}),
        "scores.style": (scores.style, output),
        "scores.content": (scores.content, {"output": models.infer(model, images), "model": model, "batch_size": 2}),
        "scores.gram_deviation": (
            applied(scores.gram_deviation),
            known | {"layer": np.array([0, 0, 1, 1, 1, 2]), "held_out": 0.1, "seed": 0},
        ),
        "scores.mahalanobis": (applied(scores.mahalanobis), known | {"labels": LABELS}),
        "scores.knn": (applied(scores.knn), known | {"k": 2, "normalise": 1.0, "labels": LABELS}),
        "scores.knn_sum": (
            applied(scores.knn_sum),
            known | {"labels": LABELS, "powers": (1.0, 0.5), "sample": 50, "seed": 0},
        ),
        "scores.pca_residual": (
            applied(scores.pca_residual),
            # the images alone: with the other parts spoilt, it would be worked out again and again
            {"known": Output(None, None, images=KNOWN.images), "output": SOME, "components": 9},
        ),
        "scores.vim": (
            applied(scores.vim),
            known | {"weight": random.normal(size=(3, 6)), "bias": np.ones(3), "dimension": 2},
        ),
        "scores.binarised": (scores.binarised, output | {"level": 0.5}),
        "thresholds.MeanStd": (used(thresholds.MeanStd), {"scores": NUMBERS, "k": 2.0}),
        "thresholds.Quantile": (used(thresholds.Quantile), {"scores": NUMBERS, "q": 0.9}),
        "thresholds.Tail": (used(thresholds.Tail), {"scores": NUMBERS, "alpha": 0.05, "share": 0.1}),
        "thresholds.Conformal": (used(thresholds.Conformal), {"scores": NUMBERS, "alpha": 0.05}),
        "thresholds.Conformal.reject": (line.reject, {"scores": OTHERS}),
        "thresholds.Conformal.p_values": (line.p_values, {"scores": OTHERS}),
        "thresholds.ClassConformal": (
            lambda alpha, **fit: thresholds.ClassConformal(alpha).fit(**fit).value,
            {"alpha": 0.1, "scores": NUMBERS, "classes": np.arange(300) % 3},
        ),
        "thresholds.ClassConformal.fit": (
            lambda **fit: thresholds.ClassConformal(0.1).fit(**fit).value,
            {"scores": NUMBERS, "classes": np.arange(300) % 3},
        ),
        "thresholds.ClassConformal.reject": (by_class.reject, {"scores": OTHERS, "classes": np.arange(300) % 3}),
        "thresholds.ClassConformal.p_values": (by_class.p_values, {"scores": OTHERS, "classes": np.arange(300) % 3}),
        "thresholds.TailModel": (
            lambda **arguments: vars(thresholds.TailModel(**arguments)),
            {"scores": NUMBERS, "share": 0.2},
        ),
        "thresholds.TailModel.beyond": (thresholds.TailModel(NUMBERS).beyond, {"line": np.array([1.0, 9.0])}),
        "thresholds.TailModel.line": (thresholds.TailModel(NUMBERS).line, {"alpha": 0.05}),
        "thresholds.TwoTail": (
            lambda unknown, share, **fit: thresholds.TwoTail(unknown, share).fit(**fit).value,
            two | {"unknown": 0.5, "share": 0.1},
        ),
        "thresholds.TwoTail.fit": (lambda **fit: thresholds.TwoTail().fit(**fit).value, two),
        "thresholds.TwoTail.cost": (thresholds.TwoTail().fit(**two).cost, {"lines": np.array([1.0, 9.0])}),
        "thresholds.any_of": (
            lambda first, second: thresholds.any_of(first, second),
            {"first": NUMBERS > 1, "second": NUMBERS > 2},
        ),
        "thresholds.union_bound": (thresholds.union_bound, {"p_values": np.full((2, 5), 0.5), "alphas": [0.1, 0.2]}),
        "thresholds.fisher": (thresholds.fisher, {"p_values": np.full((2, 5), 0.5)}),
        "metrics.osr_report": (metrics.osr_report, {"true": np.arange(11), "predicted": np.arange(11)}),
        "metrics.macro_f1": (metrics.macro_f1, {"true": np.arange(11), "predicted": np.arange(11)}),
        "metrics.auroc": (metrics.auroc, pair),
        "metrics.aupr": (metrics.aupr, pair | {"positive": "known"}),
        "metrics.fpr_at_95": (metrics.fpr_at_95, pair | {"positive": "known"}),
        "metrics.oscr": (metrics.oscr, pair | {"correct": NUMBERS < 5}),
        "metrics.risk_coverage": (metrics.risk_coverage, {"scores": NUMBERS, "wrong": NUMBERS > 5}),
        "metrics.expected_cost": (
            metrics.expected_cost,
            pair | {"lines": np.array([1.0, 2.0]), "share_unknown": 0.5, "ratio": 2.0},
        ),
        "metrics.openness": (metrics.openness, {"training": 6, "testing": 10, "target": 6}),
        "losses.classification_loss": (
            partial(losses.classification_loss, images=None),
            {"output": BATCH, "labels": torch.arange(4), "smoothing": 0.1},
        ),
        "losses.multitask_loss": (losses.multitask_loss, batch | {"weight": 1.0, "smoothing": 0.1}),
        "losses.c2ae_loss": (losses.c2ae_loss, batch | {"decode": models.C2AE().decode, "alpha": 0.9}),
        "losses.gram_matrix": (losses.gram_matrix, {"features": torch.rand(2, 3, 4)}),
        "losses.style_loss": (losses.style_loss, {"features": torch.rand(2, 3, 4), "target": torch.rand(2, 3, 4)}),
        "losses.content_loss": (losses.content_loss, {"features": torch.rand(2, 3), "target": torch.rand(2, 3)}),
        "models.part": (models.part, output | {"name": "code", "width": 6}),
        "models.named": (models.named, output),
        "models.BaselineCNN": (models.BaselineCNN, {"pool": "avg"}),
        "models.Decoder": (models.Decoder, {"output": "linear", "fine": True}),
        "models.MultiTaskAE": (
            models.MultiTaskAE,
            {"output": "linear", "classifier": models.BaselineCNN(), "classes": 3},
        ),
        "models.C2AE": (models.C2AE, {"classes": 3, "fine": True}),
        "models.C2AE.decode": (models.C2AE().decode, {"code": torch.rand(2, 128), "condition": torch.arange(2)}),
        "models.GramFeatures": (models.GramFeatures, {"model": model, "orders": (1, 2)}),
        "models.gram_rows": (models.gram_rows, {"features": torch.rand(2, 3, 4), "orders": (1, 2)}),
        "models.home": (lambda model: str(models.home(model)), {"model": model}),
        "models.to_input": (models.to_input, {"images": images, "device": "cpu"}),
        "models.infer": (models.infer, {"model": model, "images": images, "batch_size": 2}),
        "models.evaluating": (lambda model: models.evaluating(model).__enter__().training, {"model": model}),
        "models.count_parameters": (models.count_parameters, {"model": model}),
        "models.layer_table": (models.layer_table, {"model": model}),
        "models.as_device": (lambda name: str(models.as_device(name)), {"name": "cpu"}),
        "detector.OpenSetClassifier": (
            lambda **arguments: OpenSetClassifier(**arguments).fit(KNOWN.images).predict(images),
            {
                "model": model,
                "scores": [scores.norm, scores.msp],
                "names": ["one", "two"],
                "thresholds_": [thresholds.MeanStd(), thresholds.Conformal()],
                "rule": thresholds.any_of,
            },
        ),
        "detector.OpenSetClassifier.recommended": (
            lambda **arguments: OpenSetClassifier.recommended(**arguments).names,
            {"model": model, "known": FEW, "alpha": 0.1},
        ),
        "detector.OpenSetClassifier.fit": (
            lambda **arguments: list(detector.fit(**arguments).names),
            {"known_images": KNOWN.images},
        ),
        "detector.OpenSetClassifier.predict": (detector.predict, {"images": images}),
        "detector.OpenSetClassifier.decide": (detector.decide, {"images": images}),
        "detector.OpenSetClassifier.fit_output": (
            lambda **arguments: list(detector.fit_output(**arguments).names),
            {"output": KNOWN},
        ),
        "detector.OpenSetClassifier.decide_output": (detector.decide_output, output),
        "training.Recipe": (
            lambda **arguments: vars(training.Recipe(**arguments)),
            {"epochs": 1, "batch_size": 8, "lr": 1e-3, "one_cycle": True, "weight_decay": 0.1, "bfloat16": False},
        ),
        "training.History.column": (training.History([{"epoch": 1}]).column, {"key": "epoch"}),
        "training.seed_everything": (training.seed_everything, {"seed": 0}),
        "training.has_bfloat16": (training.has_bfloat16, {"device": torch.device("cpu")}),
        "training.fit": (
            training.fit,
            {
                "model": model,
                "loss": losses.multitask_loss,
                "data": FEW,
                "recipe": RECIPE,
                "seed": 0,
                "test": FEW,
                "device": "cpu",
                "progress": False,
                "on_epoch": lambda model, row: None,
            },
        ),
        "training.fit_c2ae": (
            training.fit_c2ae,
            {
                "progress": False,
                "model": models.C2AE(),
                "loss": losses.c2ae_loss,
                "data": FEW,
                "recipe": RECIPE,
                "first": RECIPE,
                "smoothing": 0.1,
            },
        ),
        "training.evaluate": (
            training.evaluate,
            {"model": model, "loss": losses.multitask_loss, "data": FEW, "batch_size": 9},
        ),
    }


ANYTHING = {
    # an answer that is no answer gets a verdict, which says so
    ("exercises.grade", "answer"),
}
"""Arguments that take any object."""
LONG = {
    "detector.OpenSetClassifier.recommended(known = nothing)",
    "protocol.row(seed = zero)",
    "protocol.row(split = zero)",
}
"""What is right, and would take minutes."""
NAMED = ("output", "code", "data", "features", "images?", "normalise", "recipe", "refusals?", "scores", "a claim")
"""What a message may speak of besides the arguments of the call: what they are made into, and a claim's own name."""
DEAR = {"protocol.row", "zoo.cost"}
"""What trains for minutes with good arguments: only the spoilt ones are tried."""


def square(configuration):
    return {"square": configuration["x"] ** 2}


def claimed(**arguments):
    """``check``, where a value outside its band is as good an answer as one within."""
    try:
        claims.check(**arguments)
    except claims.ClaimFailed:
        return None


def closing(draw):
    """A plot whose figure is closed again."""

    def drawn(**arguments):
        try:
            return draw(**arguments)
        finally:
            plots.plt.close("all")

    return drawn


def around(tmp_path, digits, mtae):
    """Valid calls: the worlds, the zoo, figures, files and claims. dict name → (function, arguments)."""
    values = np.random.default_rng(0).gamma(2, 1, 50)
    history = [{"epoch": 1, "x": 2.0}, {"epoch": 2, "x": 3.0}]
    output = infer(mtae, digits.images[:2])
    few = digits[:40]
    recipe = training.Recipe(1, 40, 1e-3)
    pictures = tmp_path / "pictures"
    pictures.mkdir(exist_ok=True)
    Image.fromarray(digits.images[0]).save(pictures / "one.png")
    settings = {"network": "plain", "splits": "neal", "split": 0, "seed": 0}
    return {
        "plots.gallery": (
            closing(plots.gallery),
            {"images": digits.images[:2], "titles": ["a", "b"], "columns": 2, "ax": None, "vmax": 255},
        ),
        "plots.reconstructions": (
            closing(plots.reconstructions),
            {"output": output, "titles": ["a", "b"], "level": 0.5, "ax": None},
        ),
        "plots.histograms": (
            closing(plots.histograms),
            {"worlds": {"mnist": values, "noise": values + 1}, "xlabel": "x", "threshold": 2.0, "bins": 10, "ax": None},
        ),
        "plots.histograms with edges": (
            closing(plots.histograms),
            {"worlds": {"mnist": values}, "xlabel": "x", "bins": np.arange(9.0)},
        ),
        "plots.scatter": (
            closing(plots.scatter),
            {
                "worlds": {"mnist": (values, values)}, "lines": (1.0, 2.0), "labels": ("a", "b"), "size": 9, "seed": 0,
                "ax": None,
            },
        ),
        "plots.confusion": (closing(plots.confusion), {"matrix": np.eye(11, dtype=int), "ax": None}),
        "plots.curves": (
            closing(plots.curves),
            {"histories": {"a": history, "b": history}, "key": "x", "ylabel": "y", "ax": None},
        ),
        "exercises.grade": (exercises.grade, {"number": "6.1", "answer": 999}),
        "sweep.run": (
            sweep.run,
            {
                "progress": False,
                "function": square, "configurations": [{"x": 1}, {"x": 2}], "file": tmp_path / "rows",
                "backend": "loky", "scheduler": None, "jobs": 1,
            },
        ),
        # with a cluster's address nothing is checked but that it is text: whether it answers is the network's affair
        "sweep.add_options": (sweep.add_options, {"parser": argparse.ArgumentParser()}),
        "folder.read": (folder.read, {"folder": pictures}),
        "folder.read_file": (folder.read_file, {"path": pictures / "one.png"}),
        "folder.to_mnist": (folder.to_mnist, {"image": digits.images[0]}),
        "zoo.Spec": (
            zoo.Spec,
            {
                "build": zoo.MODELS["c2ae"].build, "loss": zoo.MODELS["c2ae"].loss, "recipe": recipe, "first": recipe,
                "smoothing": 0.1, "images": 100,
            },
        ),
        "zoo.Spec.fit": (
            zoo.MODELS["c2ae"].fit,
            {
                "progress": False,
                "model": zoo.build("c2ae"), "images": few, "recipe": recipe, "first": recipe, "seed": 0, "test": few,
                "device": "cpu",
            },
        ),
        "zoo.build": (zoo.build, {"name": "baseline", "seed": 0}),
        # its world is replaced by 40 images: with its own 60,000, a call trains for minutes
        "zoo.train": (
            patch.object(data, "load", lambda name, split="test": few)(zoo.train),
            {"name": "baseline", "seed": 0, "recipe": recipe, "test": few, "progress": False, "device": "cpu"},
        ),
        "zoo.load": (zoo.load, {"name": "baseline", "device": "cpu"}),
        "zoo.cost": (zoo.cost, {"name": "baseline", "images": 1000}),
        "zoo.save": (patch.object(zoo, "WEIGHTS", tmp_path)(zoo.save), {"weights": {"mtae": mtae}}),
        "data.ImageSet": (
            data.ImageSet,
            {"images": few.images, "labels": few.labels, "name": "mnist", "classes": data.DIGITS},
        ),
        "data.ImageSet.__getitem__": (lambda index: digits[index], {"index": np.arange(3)}),
        "data.ImageSet.__getitem__ by mask": (lambda index: digits[index], {"index": digits.labels == 3}),
        "data.ImageSet.sample": (digits.sample, {"size": 5, "seed": 0}),
        "data.ImageSet.only": (digits.only, {"labels": [3, 5], "renumber": True}),
        "data.load": (data.load, {"name": "noise", "split": "test"}),
        "data.load_all": (data.load_all, {"names": ["noise"]}),
        "data.digest": (data.digest, {"name": "noise", "split": "test"}),
        "protocol.last_layer": (protocol.last_layer, {"model": mtae}),
        "protocol.spec": (protocol.spec, {"network": "c2ae", "classes": 6}),
        "protocol.configurations": (protocol.configurations, {"seeds": (0, 1)}),
        "protocol.row": (lambda **entries: protocol.row(entries), settings),
        "claims.glue": (claims.glue, {"accuracy": 0.5}),
        "claims.check": (
            claimed,
            {
                "name": "a claim", "value": 0.5, "low": 0.0, "high": 1.0, "fmt": ".1%", "said": "the report: 50 %",
                "reference": 0.5,
            },
        ),
        "claims.agree": (claims.agree, {"result": "rule", "mnist": 0.98}),
        "remember.output": (
            remember.output,
            {"compute": partial(lambda model, images, scale: [images * scale, None], scale=1.0), "model": mtae,
             "images": digits.images},
        ),
        # not in the folder that a build remembers in
        "remember.forget": (
            patch.dict(os.environ, {remember.FOLDER: str(tmp_path / "kept")})(remember.forget), {"days": 1}
        ),
    }  # fmt: skip


CORE = core()


def complaints(name, function, arguments, named):
    """What is wrong with the answers to junk, as text. named: words of which a refusal must have one."""
    for argument, value in arguments.items():
        for what, junk in [*JUNK.items(), *spoilt(value)]:
            said = f"{name}({argument} = {what})"
            if said in LONG:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    result = function(**arguments | {argument: junk})
                except ValueError as refused:
                    if not re.search(rf"\b({'|'.join(named)})\b", str(refused)):
                        yield f"{said}: refused without saying what: {refused}"
                    continue
                except IndexError as error:
                    if name.startswith("data.ImageSet.__getitem__"):  # as any sequence has it
                        continue
                    yield f"{said}: {error!r:.200}"
                    continue
                except Exception as error:
                    yield f"{said}: {error!r:.200}"
                    continue
            if not finite(result):
                yield f"{said}: let through, and gave {result!r:.200}"
            elif (what in NEVER or masked(junk)) and (name, argument) not in ANYTHING:
                yield f"{said}: let through"


@pytest.mark.parametrize("name", CORE)
def test_the_core_refuses_junk(name):
    function, arguments = CORE[name]
    assert finite(function(**arguments)), "the valid call itself"
    assert list(complaints(name, function, arguments, [*arguments, *NAMED])) == []


def test_what_is_around_it_refuses_junk(tmp_path, monkeypatch, digits, mtae):
    monkeypatch.chdir(tmp_path)  # as a path, "text" is as good as any
    found = []
    for name, (function, arguments) in around(tmp_path, digits, mtae).items():
        if name not in DEAR:
            function(**arguments)
        found += complaints(name, function, arguments, [*arguments, *NAMED])
    assert found == []


NOT_HERE = {
    # no arguments
    "data.available", "data.cache_dir", "models.keep_freed_memory", "plots.style", "zoo.reference",
    "models.Encoder", "models.C2AE.freeze",
    # as model(x): PyTorch's errors; the fused layers stand in for such a call
    "fused.convolve_normalise_pool", "fused.enlarge_convolve", "models.MultiTaskAE.train", "models.C2AE.train",
}  # fmt: skip


def public():
    """Every public function, class and method that takes arguments; records and exceptions left out."""
    for path in sorted(Path(scores.__file__).parent.glob("[!_]*.py")):
        module = importlib.import_module(f"osrlib.{path.stem}")
        for name, one in vars(module).items():
            if name.startswith("_") or getattr(one, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(one) and (path.stem != "exercises" or name == "grade"):  # its other functions grade
                yield f"{path.stem}.{name}"
            elif inspect.isclass(one) and not issubclass(one, Exception | tuple):
                if one.__init__ is not object.__init__ and not issubclass(one, list) and one is not data.World:
                    yield f"{path.stem}.{name}"
                for method, function in vars(one).items():
                    if callable(function) and not method.startswith("_") and method != "forward":
                        yield f"{path.stem}.{name}.{method}"


def test_nothing_public_is_left_out(tmp_path, digits, mtae):
    here = {re.sub(" .*", "", name) for name in CORE | around(tmp_path, digits, mtae)}
    assert set(public()) - NOT_HERE - here == set()
    assert set(public()) >= NOT_HERE
