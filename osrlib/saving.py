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


def save(path: checks.Path, tree: dict, about: dict):
    """Write a tree of values to a file. about: what the header says besides, in values that JSON can hold.

    ValueError for what cannot be saved: a function or class that the library does not know.
    """
    arrays = {}
    told = {"format": FORMAT, "tree": _encode(tree, "", arrays), "about": about | _provenance()}
    header = json.dumps({"sha256": _digest(told, arrays)} | told, allow_nan=False)
    with files.whole(path) as file:
        file.write(safetensors.numpy.save(arrays, {"osrlib": header}))


def load(path: checks.Path, model: nn.Module | None = None):
    """What :func:`save` wrote to a file: (tree, about). model: stands for a network that is not the library's own.

    ValueError for a file that is damaged, or of another kind, or that wants another model.
    """
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
    return _decode(told["tree"], arrays, model), told["about"]


def about(path: checks.Path) -> dict:
    """What a detector's file says of itself, without loading it."""
    return load(path)[1]


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


def _encode(value, name, arrays):
    """A value as JSON can hold it; its arrays go to the dict, under names that begin with this one."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor | np.ndarray):
        return _put(value, name, arrays)
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(each, f"{name}.{i}", arrays) for i, each in enumerate(value)]}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, "", {}), _encode(each, f"{name}.{key}", arrays)] for key, each in value.items()]}
    if isinstance(value, partial) and not value.args:
        return {"partial": _encode(value.func, name, arrays), "with": _encode(value.keywords, name, arrays)}
    if isinstance(value, nn.Module):
        return _encode_network(value, name, arrays)
    of = value if inspect.isfunction(value) else type(value)
    if BY_NAME.get(of.__name__) is not of:
        raise ValueError(f"{name.strip('.')}: expected a score or threshold of the library, got {of.__name__}")
    if inspect.isfunction(value):
        return {"function": of.__name__}
    return {"object": of.__name__, "fields": _encode(vars(value), name, arrays)}


def _put(value, name, arrays):
    told = {"array": name.strip("."), "torch": isinstance(value, torch.Tensor)}
    array = value.detach().cpu().numpy() if told["torch"] else value
    # an order of its own is kept: sums in another order would be rounded otherwise
    told["transposed"] = array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous
    arrays[told["array"]] = np.ascontiguousarray(array.T if told["transposed"] else array)
    return told


def _encode_network(model, name, arrays):
    if type(model) not in NETWORKS:
        return {"foreign": type(model).__name__, "weights": _weights_of(model)}
    arguments = NETWORKS[type(model)](model)
    own = not any(isinstance(each, nn.Module | list) for each in arguments.values())
    weights = {key: value.contiguous() for key, value in model.state_dict().items()} if own else {}
    # the layout decides in which order is added up, and so how is rounded
    last = any(one.ndim == 4 and one.stride(1) == 1 and one.shape[1] > 1 for one in model.parameters())
    return {
        "network": type(model).__name__,
        "channels_last": last,
        "arguments": _encode(arguments, name, arrays),
        "weights": _encode(weights, name, arrays),
    }


def _weights_of(model):
    """The SHA-256 of a network's weights."""
    return _digest(None, {key: value.detach().cpu().float().numpy() for key, value in model.state_dict().items()})


def _decode(told, arrays, model):
    if not isinstance(told, dict):
        return told
    again = partial(_decode, arrays=arrays, model=model)
    kind = next(iter(told))
    content = told[kind]
    if kind == "array":
        array = arrays[content]
        array = array.T if told["transposed"] else array
        return torch.from_numpy(array) if told["torch"] else array
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(map(again, content))
    if kind == "dict":
        return {again(key): again(value) for key, value in content}
    if kind == "partial":
        return partial(again(content), **again(told["with"]))
    if kind == "function":
        return BY_NAME[content]
    if kind == "foreign":
        if model is None or _weights_of(model) != told["weights"]:
            came = "none" if model is None else "one with other weights"
            raise ValueError(f"model: expected the {content} that this detector was saved with, got {came}")
        return model
    if kind == "network":
        build = {network.__name__: network for network in NETWORKS}[content]
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not to depend on it
            network = build(**again(told["arguments"]))
        if weights := again(told["weights"]):
            network.load_state_dict(weights)
            network.to(memory_format=torch.channels_last if told["channels_last"] else torch.contiguous_format)
        return network.eval()
    one = object.__new__(BY_NAME[content])
    vars(one).update(again(told["fields"]))
    return one


checks.guard(__name__)
