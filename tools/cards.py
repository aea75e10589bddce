"""The page of cards: what each published network and each world is, what it is for, and what it is not for.

What the code knows is taken from there: networks from ``zoo.MODELS``, the manifest and the reference run, worlds from
``data.WORLDS``. Sentences stand here. A network or a world without its sentences stops the build.
"""

import inspect
import json
from functools import partial
from typing import NamedTuple

from osrlib import data, models, zoo
from tools import chapters
from tools.chapters import BuildError

ROMAJI = dict(zip("おきすつなはまやれを", ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], strict=True))
"""How KMNIST's characters are read: not every font has them."""


class About(NamedTuple):
    """What people must say of a network: what it is, what it is for, and what it is not for or gets wrong."""

    what: str
    use: str
    limits: str


MODELS = {
    "baseline": About(
        "The report's baseline classifier, trained by the report's recipe.",
        "To see what one accuracy is worth (chapter 1).",
        "The recipe stops early, and its accuracy depends strongly on the seed. It has no way to refuse an image. Do "
        "not use it as a classifier.",
    ),
    "cnn": About(
        "The same classifier with the largest value of each map in place of the mean, trained until it is good.",
        "A sound digit classifier, to put scores on.",
        "It names a digit for every image, often with a high probability. One training was published, so nothing is "
        "known of its spread.",
    ),
    "mtae": About(
        "The report's multi-task autoencoder, exactly: it copies an image and names the digit from the same code.",
        "The report's method, measured again (chapters 5 to 7).",
        "Its rule depends on how unknown images are standardised (chapter 7). Thin strokes are copied well, so most "
        "letters pass for digits. Its eleventh output never had an example.",
    ),
    "mtae-cnn": About(
        "The report's third attempt: its autoencoder, with `cnn` reading what it draws.",
        "To see what a classifier gains or loses when it sees copies alone (chapter 5).",
        "It was rebuilt from the report's prose; the authors' own code for it is not public. One training was "
        "published.",
    ),
    "c2ae": About(
        "A class-conditioned autoencoder after Oza and Patel, on the book's encoder and decoder.",
        "Drawing an image as the digit that it is taken for (chapter 3).",
        "It departs from the paper in ways that the chapter lists. One training was published. Its figures do not "
        "stand for the paper's method on other data.",
    ),
    "mtae-rule": About(
        "A network of the same size, trained to say how a digit was turned, too. The recommended rule reads its code.",
        "`OpenSetClassifier.recommended`: digits named, or refused at a price of 1 % (chapter 8).",
        "The price of 1 % is promised for digits like those that the rule was calibrated on. For other pens, other "
        "scanners or other writers, calibrate again with known digits of your own. Nothing is promised about the "
        "unknown; many letters pass. Network and rule were chosen on development worlds. Both test worlds had been "
        "looked at before, with other rules.",
    ),
}
"""What is said of each network of ``zoo.MODELS``."""
DIGITS = {
    data.report_digits: "38,400 of MNIST's training digits, as the report's authors split them",
    data.rule_digits: "50,000 of MNIST's training digits; 10,000 are kept to choose and to calibrate with",
}
"""Which images a network was trained on, where it is not all of MNIST's training digits."""
RULES = {"mtae": "report_rule", "mtae-cnn": "third_attempt", "mtae-rule": "rule"}
"""Which rule on a network the reference run measured, by its name there."""
WORLDS = {
    "mnist": "The known digits. Its writers were US census employees and high-school students. Digits of other "
    "countries, pens and scanners look different.",
    "pens": "Whether a promise holds when pens change. All images come from MNIST's own strokes, so writers do not "
    "change.",
    "pixel-digits": "Whether a promise holds for other writers. The images were enlarged from 8×8 pixels: they differ "
    "in sharpness, too.",
    "fashion": "Half of the report's unknown images. Clothes are far from digits: refusing them says little about "
    "near unknowns. Looked at often while the book was made.",
    "cifar10": "Half of the report's unknown images. Small grey photographs are very far from digits. The published "
    "figures come from a grey 28×28 copy decoded from JPEG, not from the authors' own file. The images were "
    "collected from the web, and no licence is stated.",
    "kmnist": "Sealed: handwriting of another script, to be measured once. No figure in the book comes from it.",
    "emnist-letters": "Sealed: handwritten letters, to be measured once. Many resemble digits, so that nobody "
    "can refuse all of them.",
    "omniglot": "Sealed: characters of many scripts, to be measured once. Thin strokes, drawn on a screen.",
    "letters": "The hardest development world: strokes, framed as digits are. Printed, not handwritten; some letters "
    "cannot be told from digits (`data.unlike_digits` leaves them out).",
    "patches": "Textures without a stroke. They come from few photographs, so that patches resemble each other.",
    "noise": "The easy end of the scale. A score that lets noise in has a fault. Refusing it proves nothing.",
    "mnist-noise": "Digits that people still read. Whether they should be named or refused is a question of purpose "
    "(chapter 2).",
    "small": "Digits at a scale that training never showed. That they count as unknown is the book's decision.",
    "faint": "Digits with little ink. Where there is little ink, an absolute distance is small.",
    "pairs": "Two digits in one picture: what bad segmentation yields. One label cannot be right for both.",
    "empty": "Blank paper, with and without dirt: the most common unknown image of a scanner.",
}
"""What each world of ``data.WORLDS`` is good for, and what it does not show."""


def told(texts, name, what):
    """The sentences on a network or a world."""
    if name not in texts:
        raise BuildError(f"tools/cards.py says nothing of the {what} {name}")
    return texts[name]


def table(name, rows):
    """A table of what is known of a network or a world, from pairs: the first holds the names of the rows."""
    return [f"| | {name} |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows if value), ""]


def spread(mean, std, n):
    """A measured share with its spread and number of trainings, as text."""
    return f"{mean:.2%}" + (f" ± {std:.2%}" if std else "") + f" (n = {n} training{'s' if n > 1 else ''})"


def recipe(one):
    """A recipe in words."""
    extra = (", one cycle" if one.one_cycle else "") + (f", weight decay {one.weight_decay}" * bool(one.weight_decay))
    return f"{one.epochs} epochs, batches of {one.batch_size}, learning rate {one.lr}{extra}"


def loss(function):
    """A loss by its name, with its settings."""
    if not isinstance(function, partial):
        return f"`{function.__name__}`"
    return f"`{function.func.__name__}`, " + ", ".join(f"{k} = {v:.4g}" for k, v in function.keywords.items())


def evaluation(name, reference):
    """What the reference run measured of a network, and of the rule on it: pairs."""
    one, rows = reference["models"][name], []
    n = len(one["closed_accuracy"])
    mean, std = one["closed_accuracy_mean"], one["closed_accuracy_std"]
    rows.append(("Accuracy on MNIST's 10,000 test digits, without refusing", spread(mean, std, n)))
    if name not in RULES:
        return rows
    rule = reference[RULES[name]]
    figures = {"mnist": "Digits named rightly, with the rule", "ood": "Clothes and photographs refused, with the rule"}
    for key, what in figures.items():
        mean, std, n = (rule["mean"][key], rule["std"][key], rule["n"]) if "mean" in rule else (rule[key], None, 1)
        rows.append((what, spread(mean, std, n)))
    refused = rule.get("refused_mean", {})
    if refused:
        shares = "; ".join(f"{world} {share:.2%}" for world, share in refused.items())
        rows.append((f"Refused, mean of {rule['n']} trainings", shares))
    return rows


def model_card(name, reference, hashes):
    """A network's card, in lines of markdown."""
    spec, about, one = zoo.MODELS[name], told(MODELS, name, "network"), reference["models"][name]
    built, provenance = zoo.load(name), reference["provenance"][f"models.{name}"]
    file = f"{name}.safetensors"
    first = f"first stage: {recipe(spec.first)}; then: " if spec.first else ""
    turned = f"; it learns to say which of {spec.ways} ways a digit was turned, too" if spec.ways > 1 else ""
    versions = ", ".join(f"{package} {number}" for package, number in provenance["versions"].items())
    return [
        f"### {name}",
        "",
        about.what,
        "",
        *table(
            name,
            [
                ("File", f'`osrlib/weights/{file}`, loaded by `zoo.load("{name}")`'),
                ("SHA-256", f"`{hashes[file]}`"),
                ("Class", f"`osrlib.models.{type(built).__name__}`, {models.count_parameters(built):,} parameters"),
                ("Intended use", about.use),
                ("Limits", about.limits),
                ("Trained on", DIGITS.get(spec.digits, "MNIST's 60,000 training digits")),
                ("Named in chapters", ", ".join(map(str, chapters.naming(name)))),
                ("Recipe", first + recipe(spec.recipe) + turned),
                ("Loss", loss(spec.loss)),
                *evaluation(name, reference),
                ("Published", f"seed {one['published_seed']}, of {len(one['seeds'])} that were trained"),
                ("Made", f"{provenance['date']}, by `{provenance['command']}`, on {provenance['machine']}; {versions}"),
                ("Licence", "MIT, as the package"),
            ],
        ),
    ]


def world_card(name):
    """A world's card, in lines of markdown."""
    world = data.WORLDS[name]
    made = inspect.getdoc(world.make) if world.make else None
    first = made.split("\n\n")[0].replace("\n", " ") if made else None
    sums = "; ".join(f"{split} `{digest}`" for split, digest in world.sha256.items())
    listed = ", ".join(f"{ROMAJI[one]} {one}" if one in ROMAJI else one for one in world.classes)
    classes = f"{len(world.classes)}: {listed}" if len(world.classes) <= 10 else f"{len(world.classes)}"
    return [
        f"### {name}",
        "",
        f"{world.title}. {told(WORLDS, name, 'world')}",
        "",
        *table(
            name,
            [
                ("Role", world.role),
                ("Named in chapters", ", ".join(map(str, chapters.naming(name))) or "none"),
                ("Images", f"{world.size}, grey, 28×28 pixels, {' and '.join(world.splits)}"),
                ("Classes", classes),
                ("Source", world.source),
                ("How it is made", first),
                ("Licence", world.licence),
                ("SHA-256 of pixels and labels", sums or "not pinned: another copy may differ"),
            ],
        ),
    ]


def page():
    """Markdown of the page of cards."""
    reference, hashes = zoo.reference(), json.loads((zoo.WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    return "\n".join(
        [
            "# Cards",
            "",
            "What is each published network, and each set of images? What may it be used for, and what not? Each build "
            "writes this page from the code, from the weights' manifest and from what the reference run measured.",
            "",
            "## Networks",
            "",
            "All were trained on MNIST's digits alone, 28×28 pixels, white on black. They are made for teaching and "
            "for research on open-set recognition. None is fit for decisions about people, money or safety.",
            "",
            *(line for name in zoo.MODELS for line in model_card(name, reference, hashes)),
            "## Worlds",
            "",
            "The repository holds none of these sets: each machine fetches or makes its own ({doc}`running`). The "
            "worlds that are made come out with the same bytes everywhere. Chapter 2 defines the roles. The page "
            "{doc}`licences` says what the licences mean for figures.",
            "",
            *(line for name in data.WORLDS for line in world_card(name)),
        ]
    )
