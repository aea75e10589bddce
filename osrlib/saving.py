"""A detector in one file: its arrays as safetensors, all else as JSON in the header. No pickle: to load runs no code.

What is saved is a tree of plain values, arrays, networks of :mod:`osrlib.models`, and the library's scores and
thresholds. An object is its class and its fields; a function is its name.
:meth:`osrlib.detector.OpenSetClassifier.save` writes such a file.
"""

import hashlib
import inspect
import json
import platform
from datetime import date
from functools import partial
from importlib.metadata import version

import numpy as np
import safetensors
import safetensors.numpy
import torch
from safetensors import SafetensorError
from torch import nn

import osrlib
from osrlib import checks, files, gram, models, thresholds
from osrlib.scores import copies, gaussian, known, logits, posthoc

FORMAT = "osrlib detector 1"
_modules = (logits, copies, known, gaussian, posthoc, gram, thresholds)
BY_NAME = {
    name: thing
    for module in _modules
    for name, thing in vars(module).items()
    if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
}
"""The scores and thresholds that a file may name: whatever those modules define for the public."""
NETWORKS = {
    models.SigmoidAE: lambda model: {
        "classes": model.classifier.out_features,
        "channels": model.encoder.conv1.out_channels,
    },
    models.MultiTaskAE: lambda model: {"mean": model.mean, "std": model.std},
    models.BaselineCNN: lambda model: {
        "squeeze": "avg" if isinstance(model.squeeze, nn.AdaptiveAvgPool2d) else "max",
        "standardise": model.std != 1,
    },
    models.C2AE: lambda model: {"classes": model.classifier.out_features},
    models.Reader: lambda model: {"model": model.model},
    models.Ensemble: lambda model: {"models": [reader.model for reader in model.models]},
    gram.GramFeatures: lambda model: {"model": model.model, "orders": list(model.orders)},
}
"""The networks that a file may hold: a network → the arguments that build one like it."""


def save(path: checks.Path, tree: dict, note: dict):
    """Write a tree of values to a file. note: what the header says besides, in values that JSON can hold.

    ValueError for what cannot be saved: a function or class that the library does not know, a network that differs from
    those that its class builds, more than one network of your own.
    """
    arrays = []
    told = {"format": FORMAT, "tree": _encode(tree, arrays), "about": note | _provenance()}
    if json.dumps(told).count('{"foreign": ') > 1:
        raise ValueError("model: expected one network of your own at most, got several")
    named = {f"{i:05}": array for i, array in enumerate(arrays)}
    header = json.dumps({"sha256": _digest(told, named)} | told, allow_nan=False)
    with files.whole(path) as file:
        file.write(safetensors.numpy.save(named, {"osrlib": header}))


def load(path: checks.Path, model: nn.Module | None = None) -> dict:
    """The tree that :func:`save` wrote to a file. model: stands for a network that is not the library's own.

    ValueError for a file that is damaged, or of another kind, or that wants another model. (Whoever writes a file can
    write any line into it: the checksum tells damage, not forgery.)
    """
    told, arrays = _read(path)
    return _decode(told["tree"], arrays, model)


def about(path: checks.Path) -> dict:
    """What a detector's file says of itself: when it was saved, by which versions, and what its owner noted."""
    return _read(path)[0]["about"]


def _read(path):
    try:
        with safetensors.safe_open(path, "np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        told = json.loads(header["osrlib"])
        digest, kind = told.pop("sha256"), told["format"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a detector that OpenSetClassifier.save wrote, got another file") from error
    if kind != FORMAT:
        raise ValueError(f"{path}: expected the format {FORMAT!r}, got {kind!r}; another version of osrlib wrote it")
    if _digest(told, arrays) != digest:
        raise ValueError(f"{path}: expected the SHA-256 that its header says, got another; the file is damaged")
    return told, arrays


def _provenance():
    names = ("numpy", "torch")
    return {
        "saved": date.today().isoformat(),
        "versions": {"osrlib": osrlib.__version__, "python": platform.python_version()}
        | {name: version(name) for name in names},
    }


def _digest(told, arrays):
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def _encode(value, arrays):
    """A value as JSON can hold it; its arrays go to the end of the list."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):  # numpy's float64 is a float, too
        return _put(value, arrays)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(each, arrays) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, arrays), _encode(each, arrays)] for key, each in value.items()]}
    if isinstance(value, partial) and not value.args:
        return {"partial": _encode(value.func, arrays), "with": _encode(value.keywords, arrays)}
    if isinstance(value, nn.Module):
        return _encode_network(value, arrays)
    of = value if inspect.isfunction(value) else type(value)
    name = getattr(of, "__name__", str(of))
    if BY_NAME.get(name) is not of:
        raise ValueError(f"detector: expected scores and thresholds of the library, got {name}")
    if inspect.isfunction(value):
        return {"function": name}
    return {"object": name, "fields": _encode(vars(value), arrays)}


def _put(value, arrays):
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"detector: expected arrays of numbers, got {array.dtype}")
    # an order of its own is kept: sums in another order would be rounded otherwise
    turned = array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous
    kind = next(name for name, one in KINDS.items() if isinstance(value, one))
    arrays.append(np.array(array.T if turned else array, order="C", ndmin=1))
    return {"array": len(arrays) - 1, "kind": kind, "turned": turned}


KINDS = {"tensor": torch.Tensor, "scalar": np.generic, "array": np.ndarray}


def _encode_network(model, arrays):
    if type(model) not in NETWORKS:
        return {"foreign": type(model).__name__, "weights": _weights_of(model)}
    arguments = NETWORKS[type(model)](model)
    of_networks = any(isinstance(each, nn.Module | list) for each in arguments.values())
    weights = {} if of_networks else {key: value.contiguous() for key, value in model.state_dict().items()}
    if any(value.dtype not in (torch.float32, torch.float64, torch.int64) for value in weights.values()):
        raise ValueError("model: expected weights in float32 or float64, got others")
    # what it is made of must be what its class makes
    if weights and repr(_built(type(model), arguments)) != repr(model):
        raise ValueError(f"model: expected a {type(model).__name__} of the usual layers, got one with others")
    return {
        "network": type(model).__name__,
        # the layout decides in which order is added up, and so how is rounded
        "channels_last": any(one.ndim == 4 and one.stride(1) == 1 and one.shape[1] > 1 for one in model.parameters()),
        "arguments": _encode(arguments, arrays),
        "weights": _encode(weights, arrays),
    }


def _built(network, arguments):
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not to depend on it
        return network(**arguments)


def _weights_of(model):
    """The SHA-256 of a network's weights."""
    return _digest(None, {key: value.detach().cpu().double().numpy() for key, value in model.state_dict().items()})


def _decode(told, arrays, model):
    if not isinstance(told, dict):
        return told
    again = partial(_decode, arrays=arrays, model=model)
    kind = next(iter(told))
    content = told[kind]
    if kind == "array":
        array = arrays[f"{content:05}"]
        array = array.T if told["turned"] else array
        return {"tensor": torch.from_numpy, "scalar": lambda one: one[0], "array": lambda one: one}[told["kind"]](array)
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(map(again, content))
    if kind == "dict":
        return {again(key): again(value) for key, value in content}
    if kind == "partial":
        return partial(again(content), **again(told["with"]))
    if kind == "function":
        return BY_NAME[content]
    if kind == "foreign":
        if type(model).__name__ != content or _weights_of(model) != told["weights"]:
            came = "none" if model is None else f"a {type(model).__name__} with other weights, or another class"
            raise ValueError(f"model: expected the {content} that this detector was saved with, got {came}")
        return model
    if kind == "network":
        network = _built({one.__name__: one for one in NETWORKS}[content], again(told["arguments"]))
        if weights := again(told["weights"]):
            network.to(next(value.dtype for value in weights.values() if value.is_floating_point()))
            network.load_state_dict(weights)
            network.to(memory_format=torch.channels_last if told["channels_last"] else torch.contiguous_format)
        return network.eval()
    one = object.__new__(BY_NAME[content])
    vars(one).update(again(told["fields"]))
    return one


checks.guard(__name__)
