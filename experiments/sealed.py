"""The sealed worlds, opened once: Omniglot, KMNIST and EMNIST's letters, under the recommended rule.

    python -m experiments.sealed            says what would be measured and which worlds there are; measures nothing
    python -m experiments.sealed --open     measures, and writes ``experiments/results/sealed.json``

The protocol: no rule, network or setting of this book was chosen by these worlds. Whoever took part in the choice does
not open them; ``--open`` says "I did not". The rule is frozen before, and has a hash over all that decides
(:func:`about`). The worlds are measured once, and what comes out is published. Where ``sealed.json`` is there, nothing
is measured any more, whichever rule is today's: a rule whose makers have read that file needs other sealed worlds.

``python -m osrlib.data fetch omniglot kmnist emnist-letters`` gets the worlds. Get all three first: one that cannot be
had is left out, with the reason.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import osrlib
from experiments import study, trainings
from osrlib import UNKNOWN, data, metrics, zoo
from osrlib.detector import OpenSetClassifier

TABLE = study.RESULTS / "sealed.json"
SEALED = tuple(name for name, world in data.WORLDS.items() if world.role == "sealed")
CODE = ("autoencoder.py", "detector.py", "models.py", "output.py", "scores/*.py", "thresholds.py")
"""Where the code stands that decides, and rather too much of it than too little."""


def frozen():
    """The recommended rule, as readers get it: one known digit in a hundred may be refused."""
    return OpenSetClassifier.recommended(alpha=0.01).fit(data.rule_digits("calibrate").images)


def about(rule):
    """All that decides, and one SHA-256 over it: the network's weights, the digits, keys with their lines, and code.

    Lines count with three digits: the last ones differ between machines. Of the code, every letter counts, comments
    among them. ``published``: the zoo's files that the network, or a part of it, is from.
    """
    used = {trainings.packed(part)[1] for part in rule.model.modules()}
    manifest = json.loads((zoo.WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    folder, code = Path(osrlib.__file__).parent, {}
    for file in sorted(file for pattern in CODE for file in folder.glob(pattern)):
        text = file.read_text(encoding="utf-8")  # as text: lines end in another way on other systems
        code[file.relative_to(folder).as_posix()] = hashlib.sha256(text.encode()).hexdigest()
    told = {
        "weights": trainings.packed(rule.model)[1],
        "published": {file: digest for file, digest in manifest.items() if digest in used},
        "digits": data.digest("mnist", "train"),
        "keys": {
            name: f"{type(score).__name__}, {threshold!r}, {threshold.value:.3g}"
            for name, (score, threshold) in rule.keys.items()
        },
        "code": code,
    }
    return {"sha256": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()} | told


def commit():
    """The commit that is checked out, "-dirty" behind it where files differ from it; None without git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        ran = subprocess.run(command, cwd=study.ROOT, capture_output=True, text=True)
    except OSError:
        return None
    return ran.stdout.strip() or None


def row(known, decision, chosen):
    """What the rule makes of some images of a world. known: what it decided on MNIST's test digits."""
    labels = decision.labels[chosen]
    named = np.bincount(labels[labels != UNKNOWN], minlength=len(data.DIGITS)).tolist()
    return {
        "n": len(labels),
        "refused": float((labels == UNKNOWN).mean()),
        "refused_by": dict(zip(decision.keys, decision.refused[chosen].mean(0).tolist(), strict=True)),
        "auroc": metrics.auroc(-known.p_value, -decision.p_value[chosen]),
        "named": dict(zip(data.DIGITS, named, strict=True)),
    }


def measure(rule):
    """The price on known digits, and a row for each world: for letters, a second one without those that look alike."""
    worlds, missing = data.load_all(SEALED)
    if not worlds:
        sys.exit("None of the sealed worlds can be had here, see above: nothing is written.")
    digits = data.load("mnist")
    known = rule.decide(digits.images)
    price = {"n": len(digits), "refused": float((known.labels == UNKNOWN).mean()),
             "named_rightly": float((known.labels == digits.labels).mean())}  # fmt: skip
    rows = {}
    for name, world in worlds.items():
        decision = rule.decide(world.images)
        rows[name] = {"digest": data.digest(name)} | row(known, decision, np.full(len(world), True))
        alike = [k for k, letter in enumerate(world.classes) if {letter, letter.upper()} & set(data.LOOK_ALIKES)]
        if alike:
            rows[f"{name} without look-alikes"] = row(known, decision, ~np.isin(world.labels, alike))
    return {"price": price, "worlds": rows | {name: {"missing": why} for name, why in missing.items()}}


def main():
    """Say what there is; with ``--open``, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", action="store_true", help="measure, once: I took no part in the choice of the rule")
    wanted, rule = parser.parse_args(), frozen()
    today = about(rule)
    print(f"Today's rule is {today['sha256']}")
    if TABLE.exists():
        told = json.loads(TABLE.read_text(encoding="utf-8"))
        then, date = told["rule"]["sha256"], told["provenance"]["date"]
        sys.exit(
            f"The sealed worlds were opened on {date}, for the rule {then}, which is "
            f"{'the same' if then == today['sha256'] else 'another'}. They are opened once: {TABLE} stays as it is."
        )
    if not wanted.open:
        for name, (_, why) in data.available().items():
            if name in SEALED:
                print(f"{name}: {data.WORLDS[name].title}, {why}")
        print("Nothing was measured. --open measures, once: for those who took no part in the choice of the rule.")
        return
    told = {"provenance": study.provenance("sealed") | {"commit": commit()}, "rule": today | {"lines": rule.lines}}
    study.write(TABLE, told | measure(rule))


if __name__ == "__main__":
    study.start(main)
