"""The rule of chapter 8 for the playground, in few enough bytes for a page, and calibrated anew as it stands there."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from osrlib import data
from osrlib.detector import OpenSetClassifier
from osrlib.output import BatchOutput
from osrlib.thresholds import Conformal
from tools.packing import fetchable, layers, pack, rounded, text

BITS = {"code": 8, "draw": 8}
"""Of the two large layers; all others have 16."""
COLUMNS = 64
"""Known digits in a row of their picture."""
COMPARED = 2000
"""Images of all worlds on which the page's rule is compared with the full one."""


class Light(nn.Module):
    """The encoder and the head of :class:`osrlib.models.SigmoidAE`, from layers as :func:`layers` has them."""

    def __init__(self, parts):
        super().__init__()
        self.parts = {name: [torch.from_numpy(part).float() for part in pair] for name, pair in parts.items()}

    def forward(self, x):
        for name in ("conv1", "conv2"):
            x = F.relu(F.max_pool2d(F.conv2d(x, *self.parts[name], padding=1), 2))
        code = F.linear(x.flatten(1), *self.parts["code"])
        return BatchOutput(F.linear(code, *self.parts["head"]), code)


def light(rule):
    """A recommended detector with every number rounded as the page has it, and a line of its own.

    Returns it, and its score's four parts.
    """
    parts = layers(rule.model.model)
    network = {name: (rounded(weight, BITS.get(name, 16)), bias) for name, (weight, bias) in parts.items()}
    score = copy.deepcopy(rule.keys["code"].score)
    nearest, gaussian, relative, _ = (part for part, _, _ in score.parts)
    nearest.banks = {label: torch.from_numpy(_opened(*_coarse(bank))) for label, bank in nearest.banks.items()}
    gaussian.classes = [(mean, rounded(whiten), volume) for mean, whiten, volume in gaussian.classes]
    for one in (relative.of_class, relative.of_all):
        one.whiten = rounded(one.whiten)
    detector = OpenSetClassifier(Light(network), {"code": (score, Conformal(rule.keys["code"].threshold.alpha))})
    return detector.fit(data.rule_digits("calibrate").images)


def _coarse(bank):
    """Codes in sixteen steps from the smallest to the largest value that their class has: (steps, low, step)."""
    codes = bank.numpy()
    low = codes.min(0)
    step = np.maximum((codes.max(0) - low) / 15, 1e-12).astype("f4")
    return np.rint((codes - low) / step).astype(np.uint8), low, step


def _opened(steps, low, step):
    return (low + steps * step).astype("f4")


def agreement(rule, ours):
    """How many of 2,000 images, as many of each world that is here, get the same label from both."""
    names = [name for name, (here, _) in data.available().items() if here]
    images = [
        data.load(name).sample(min(COMPARED // len(names), len(data.load(name))), seed=5).images for name in names
    ]
    images = np.concatenate(images)
    same = int((rule.predict(images) == ours.predict(images)).sum())
    return {"same": same, "of": len(images), "worlds": len(names)}


def ring(nearest):
    """A linear map of codes to the plane, fitted so that the ten classes lie around a ring, 0 on the right, 1 next.

    Returns its matrix [2, 129], the last column a shift; and 100 known digits a class on it, [10, 100, 2].
    """
    codes = [bank.numpy() for bank in nearest.banks.values()]
    x = np.concatenate([np.column_stack([one, np.ones(len(one))]) for one in codes])
    angle = np.repeat(2 * np.pi * np.arange(10) / 10, [len(one) for one in codes])
    matrix = np.linalg.lstsq(x, np.column_stack([np.cos(angle), np.sin(angle)]), rcond=None)[0].T
    points = np.stack([one[:100] @ matrix[:, :-1].T + matrix[:, -1] for one in codes])
    return matrix, points


def write(folder, rule):
    """``rule.js``, ``walk.js`` and, for each digit, ``bank-K.js`` (known codes) and ``bank-K.png`` (their images)."""
    ours = light(rule)
    key, full = ours.keys["code"], layers(rule.model.model)
    (nearest, *_), (gaussian, *_), (relative, *_), _ = key.score.parts
    matrix, points = ring(nearest)
    told = {
        "network": {name: pack(*full[name], BITS.get(name, 16)) for name in ("conv1", "conv2", "code", "head")},
        "gaussian": [
            {"mean": text(mean, "<f4"), "whiten": pack(whiten), "volume": float(volume)}
            for mean, whiten, volume in gaussian.classes
        ],
        "relative": [
            {"whiten": pack(one.whiten), "centres": text(one.centres, "<f4")}
            for one in (relative.of_class, relative.of_all)
        ],
        "parts": [[float(slope), float(mean)] for _, slope, mean in key.score.parts],
        "calibration": text(np.sort(key.threshold.calibration), "<f4"),
        "line": key.threshold.value,
        "columns": COLUMNS,
        "map": {"matrix": text(matrix, "<f4"), "points": text(points, "<f4")},
        "agreement": agreement(rule, ours),
    }
    fetchable(folder / "rule.js", told)
    decoder = {name: pack(*full[name], BITS.get(name, 16)) for name in ("draw", "draw1", "draw2")}
    fetchable(folder / "walk.js", decoder)
    digits = data.rule_digits("train")
    for label, bank in rule.keys["code"].score.parts[0][0].banks.items():
        steps, low, step = _coarse(bank)
        packed = {"codes": text(steps[:, ::2] * 16 + steps[:, 1::2], "u1"), "low": text(low, "<f4"), "step": text(step)}
        fetchable(folder / f"bank-{label}.js", packed)
        _faces(digits.images[digits.labels == label]).save(folder / f"bank-{label}.png", optimize=True, bits=4)


def _faces(images):
    """Images of 28×28 in rows of 64, in sixteen greys: one picture."""
    rows = -(-len(images) // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, 28, 28), np.uint8)
    sheet[: len(images)] = np.rint(images / 17)
    sheet = sheet.reshape(rows, COLUMNS, 28, 28).swapaxes(1, 2).reshape(28 * rows, 28 * COLUMNS)
    picture = Image.fromarray(sheet, "P")
    picture.putpalette(np.repeat(np.arange(16, dtype=np.uint8) * 17, 3).tobytes())
    return picture
