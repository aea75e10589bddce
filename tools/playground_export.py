"""What the living pages need of the book, as JavaScript: the published network, ready images, distances, ranks."""

import base64
import json

import numpy as np
import torch

from osrlib import data, plots, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer

TRAY = {"digits": "mnist", "letters": "letters", "clothes": "fashion", "photographs": "patches", "noise": "noise"}
WORLDS = ("mnist", "fashion", "cifar10", "letters")
SCORED = ("mnist", "fashion", "cifar10")
"""The worlds of the report's result."""
# the figures' colours, so that none is typed a second time: of worlds, and of what else the pages paint
PALETTE = {"blue": plots.BLUE, "orange": plots.ORANGE, "vermilion": plots.VERMILION, "sky": plots.SKY}
SHARED = {"COLOURS": plots.COLOURS, "PALETTE": PALETTE}


def write(folder):
    """``weights.js`` for the playground, ``distances.js`` for the threshold explorer, ``ranks.js`` for the promise."""
    model = zoo.load("mtae")
    keys = OpenSetClassifier.report(model).keys
    digits = infer(model, data.report_digits().images)
    known = {name: key.score(digits) for name, key in keys.items()}
    mean = {name: float(values.mean(dtype="f8")) for name, values in known.items()}
    std = {name: float(values.std(dtype="f8")) for name, values in known.items()}
    lines = {name: key.threshold.fit(known[name]).value for name, key in keys.items()}
    tray, _ = data.load_all(TRAY.values())
    ready = {shown: _text(tray[name].sample(6, seed=2).images) for shown, name in TRAY.items() if name in tray}
    network = {"WEIGHTS": packed(weights(model)), "MEAN": model.mean, "STD": model.std}
    _write(folder / "weights.js", network | {"LINES": lines, "TRAY": ready} | SHARED)
    worlds, _ = data.load_all(WORLDS)
    distances = {"worlds": [], "mean": mean, "std": std, "scored": SCORED}
    for name, world in worlds.items():
        said = infer(model, world.images)
        row = {"name": name, "known": name == "mnist"}
        row |= {key: _text(keys[key].score(said).astype(kind)) for key, kind in (("norm", "<f4"), ("diff", "<u2"))}
        if name == "mnist":
            row["right"] = _text(said.guess == world.labels)
        distances["worlds"].append(row)
    _write(folder / "distances.js", {"DISTANCES": distances} | SHARED)
    _write(folder / "ranks.js", {"RANKS": ranks()} | SHARED)


def ranks():
    """Where the scores of digits, of digits by other pens and of letters stand among each other: all a line looks at.

    By the rule of chapter 8; of letters those that resemble no digit. Equal scores have equal ranks.
    """
    rule = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    worlds = {name: data.load(name) for name in ("mnist", "pens", "letters")}
    letters = worlds["letters"]
    worlds["letters"] = letters[~np.isin(np.array(data.LETTERS)[letters.labels], data.LOOK_ALIKES)]
    scores = [rule.decide(world.images).scores[:, 0] for world in worlds.values()]
    places = np.unique(np.concatenate(scores), return_inverse=True)[1].astype("<u2")
    parts = np.split(places, np.cumsum([len(one) for one in scores])[:-1])
    return {name: _text(part) for name, part in zip(worlds, parts, strict=True)}


def weights(model):
    """The weights of a :class:`osrlib.models.MultiTaskAE`: a list of float64 arrays, each layer's weights, then biases.

    In use, batch norm scales and shifts what a convolution puts out: that is multiplied into the convolution. And the
    head's eleventh output is not asked.
    """
    encoder, decoder = model.encoder, model.decoder
    parts = [
        *_folded(encoder.conv1, encoder.norm1), *_folded(encoder.conv2, encoder.norm2), *_plain(encoder.linear),
        *(part[:10] for part in _plain(model.classifier)),
        *_plain(decoder.linear), *_folded(decoder.conv1, decoder.norm), *_folded(decoder.conv2),
    ]  # fmt: skip
    return [part.double().numpy().ravel() for part in parts]


def packed(parts):
    """Arrays as whole numbers of 16 bits with one scale an array: half of float32.

    Of 40,200 images (digits, letters, clothes, patches of photographs, noise) the report's rule answers 6 otherwise
    than with PyTorch's own weights. Copies differ by a tenth of a grey level at most.
    """
    scales = [float(np.abs(part).max()) / (2**15 - 1) for part in parts]
    whole = np.concatenate([np.rint(part / scale) for part, scale in zip(parts, scales, strict=True)])
    return {"numbers": _text(whole.astype("<i2")), "scales": scales}


def _plain(layer):
    return layer.weight.detach(), layer.bias.detach()


def _folded(convolution, norm=None):
    weight, bias = (part.double() for part in _plain(convolution))
    if isinstance(convolution, torch.nn.ConvTranspose2d):  # what is transposed reads its filter backwards
        weight = weight.transpose(0, 1).flip(2, 3)
    if norm is not None:
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight, bias


def _text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _write(file, constants):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"osr.{name} = {json.dumps(value)};\n" for name, value in constants.items()))
