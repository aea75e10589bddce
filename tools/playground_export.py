"""What the living pages need of the book, as JavaScript: the published networks, ready images, distances, ranks."""

import io
import json

import numpy as np
from PIL import Image

from osrlib import data, plots, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from tools import rule_export
from tools.packing import fetchable, layers, pack, text

TRAY = {"digits": "mnist", "letters": "letters", "clothes": "fashion", "photographs": "patches", "noise": "noise"}
WORLDS = ("mnist", "fashion", "cifar10", "letters")
SCORED = ("mnist", "fashion", "cifar10")
"""The worlds of the report's result."""
BITS = 14
"""Of the report's weights on the page. Of 40,200 images, its rule answers 10 otherwise than with all bits."""
PICTURED = 30
"""Of how many images of a world that the report's lines accept, and that they refuse, the explorer shows pictures."""
# the figures' colours, so that none is typed a second time: of worlds, and of what else the pages paint
PALETTE = {name: getattr(plots, name.upper()) for name in ("blue", "orange", "green", "vermilion", "sky")}
SHARED = {"COLOURS": plots.COLOURS, "PALETTE": PALETTE}


def write(folder):
    """``weights.js``, ``rule.js`` and the banks for the playground, ``distances.js`` and ``dots.js`` for the threshold
    explorer, ``ranks.js`` for the promise, and ``colours.js`` for a page that needs none of these."""
    folder.mkdir(parents=True, exist_ok=True)
    model = zoo.load("mtae")
    keys = OpenSetClassifier.report(model).keys
    digits = infer(model, data.report_digits().images)
    known = {name: key.score(digits) for name, key in keys.items()}
    mean = {name: float(values.mean(dtype="f8")) for name, values in known.items()}
    std = {name: float(values.std(dtype="f8")) for name, values in known.items()}
    lines = {name: key.threshold.fit(known[name]).value for name, key in keys.items()}
    network = {"WEIGHTS": {name: pack(*pair, BITS) for name, pair in layers(model).items()}}
    network |= {"MEAN": model.mean, "STD": model.std}
    _write(folder / "weights.js", network | {"LINES": lines, "TRAY": tray()} | SHARED)
    worlds, _ = data.load_all(WORLDS)
    distances, dots = {"worlds": [], "mean": mean, "std": std, "scored": SCORED}, []
    for name, world in worlds.items():
        said = infer(model, world.images)
        row = {"name": name, "known": name == "mnist"}
        scores = {key: score(said) for key, (score, _) in keys.items()}
        row |= {key: text(scores[key], kind) for key, kind in (("norm", "<f4"), ("diff", "<u2"))}
        if name == "mnist":
            row["right"] = text(said.guess == world.labels)
        distances["worlds"].append(row)
        dots.append(pictured(world, said, np.any([scores[key] > line for key, line in lines.items()], 0)))
    _write(folder / "distances.js", {"DISTANCES": distances} | SHARED)
    fetchable(folder / "dots.js", dots)
    rule = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    _write(folder / "ranks.js", {"RANKS": ranks(rule)} | SHARED)
    rule_export.write(folder, rule)
    _write(folder / "colours.js", SHARED)


def tray():
    """Ready images, six of each kind, and what each shows."""
    worlds, _ = data.load_all(TRAY.values())
    ready = {shown: worlds[name].sample(6, seed=2) for shown, name in TRAY.items() if name in worlds}
    said = {"digits": "digit {}", "letters": "letter {}", "clothes": "{}", "photographs": "photograph, {}"}
    return {
        shown: {
            "images": text(some.images),
            "names": [said.get(shown, "{}").format(some.classes[label]) for label in some.labels],
        }
        for shown, some in ready.items()
    }


def pictured(world, said, refused):
    """Some images of a world that the explorer shows when their dots are touched, with their copies: two PNG files.

    At random, as many accepted as refused. The network draws in blocks of 2×2 pixels: a copy is kept as 14×14.
    """
    random = np.random.default_rng(0)
    some = [random.permutation(np.flatnonzero(refused == which))[:PICTURED] for which in (False, True)]
    places = random.permutation(np.concatenate(some))
    copies = said.copies[places].reshape(-1, 28, 28)[:, ::2, ::2]
    return {
        "name": world.name, "places": places.tolist(), "guesses": said.guess[places].tolist(),
        "labels": [world.classes[label] for label in world.labels[places]],
        "images": _png(world.images[places]), "copies": _png(np.rint(255 * np.clip(copies, 0, 1)).astype(np.uint8)),
    }  # fmt: skip


def ranks(rule):
    """Where the scores of digits, of digits by other pens and of letters stand among each other: all a line looks at.

    By the rule of chapter 8; of letters those that resemble no digit. Equal scores have equal ranks.
    """
    worlds = {name: data.load(name) for name in ("mnist", "pens", "letters")}
    letters = worlds["letters"]
    worlds["letters"] = letters[data.unlike_digits(letters)]
    scores = [rule.decide(world.images).scores[:, 0] for world in worlds.values()]
    places = np.unique(np.concatenate(scores), return_inverse=True)[1].astype("<u2")
    parts = np.split(places, np.cumsum([len(one) for one in scores])[:-1])
    return {name: text(part) for name, part in zip(worlds, parts, strict=True)}


def _png(images):
    """Images in one column, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.concatenate(images)).save(file, "PNG", optimize=True)
    return text(np.frombuffer(file.getvalue(), "u1"))


def _write(file, constants):
    file.write_text("".join(f"osr.{name} = {json.dumps(value)};\n" for name, value in constants.items()))
