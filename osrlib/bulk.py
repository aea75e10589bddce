"""Many pictures at once: a folder of them, or arrays in npz files, decided in parts into one table.

A part is some files of a folder, or one npz file. Each is decided by itself, in memory that does not grow with their
number, by :mod:`osrlib.sweep`: on the cores of one machine or over a Dask cluster whose workers see the same folders.
What is decided stays decided, until the rule, a picture or the library changes.
"""

import csv
import functools
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np

import osrlib
from osrlib import checks, files, pictures, sweep
from osrlib.checks import Count
from osrlib.detector import OpenSetClassifier

COLUMNS = ("file", "label", "guess", "p-value", "notes")


def decide(source: checks.Path, rule: checks.Path, table: checks.Path, size: Count = 500, **options) -> dict:
    """Decide every picture of a folder, and write one line each to a CSV table: file, label, guess, p-value and notes.

    source: a folder with pictures, or with npz files that hold ``images``, uint8 [N, 28, 28]; rule: what
    :meth:`osrlib.detector.OpenSetClassifier.save` wrote; table: must not be there yet; size: files a part; options: as
    in :func:`osrlib.sweep.run`. Parts lie beside the table until all are there: an interrupted call goes on where it
    stopped. Returns a dict: ``decided``, ``unknown``, ``skipped``, name of a file → reason, and ``failed``, the number
    of parts for which there is no answer, and then no table. ValueError for a source without any file.
    """
    source, rule, table = (Path(path).expanduser().resolve() for path in (source, rule, table))
    if table.exists():
        raise ValueError(f"table: expected a new file, got {str(table)!r}, which is there already")
    OpenSetClassifier.load(rule)  # now, and not in each part
    beside = table.with_name(f".{table.name}.parts")
    common = {"source": str(source), "rule": str(rule), "folder": str(beside), "version": osrlib.__version__}
    common["digest"] = hashlib.sha256(rule.read_bytes()).hexdigest()
    parts = [common | one for one in _parts(source, int(size))]
    rows = sweep.run(_part, parts, beside / "rows.jsonl", **options)
    if not all((beside / row["lines"]).exists() for row in rows):
        shutil.rmtree(beside)
        raise ValueError(f"parts: expected those of an earlier call in {str(beside)!r}, and some are lost; call again")
    told = {name: sum(row[name] for row in rows) for name in ("decided", "unknown")}
    told["skipped"] = {name: why for row in rows for name, why in row["skipped"].items()}
    told["failed"] = len(parts) - len(rows)
    if not told["failed"]:
        with files.whole(table) as file:
            file.write(_lines([COLUMNS]))
            for row in rows:
                file.write((beside / row["lines"]).read_bytes())
        shutil.rmtree(beside)
    return told


def _part(source, rule, folder, version, digest, found):
    """Decide one part, and write its lines to a file in the folder.

    found: name, size and time of change of each file; these, version and digest, of the library and of the rule, make
    it another part when something has changed.
    """
    detector, skipped, lines, unknown = _loaded(rule, digest), {}, [], 0
    for images, names, notes in _read(Path(source), [name for name, *_ in found], skipped):
        decision = detector.decide(images)
        p_values = decision.p_value if decision.p_value is not None else np.full(len(images), np.nan)
        refused = decision.labels != decision.guess
        unknown += int(refused.sum())
        for name, no, guess, p, note in zip(names, refused, decision.guess, p_values, notes, strict=True):
            lines.append((name, "unknown" if no else guess, guess, f"{p:.6g}", note))
    key = json.dumps([str(source), version, digest, found])
    target = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.csv"
    with files.whole(Path(folder) / target) as file:
        file.write(_lines(lines))
    return {"lines": target, "decided": len(lines), "unknown": unknown, "skipped": skipped}


def _parts(source, size):
    if not source.is_dir():
        raise ValueError(f"source: expected a folder, got {str(source)!r}")
    shards, others = [], []
    for name in files.below(source):
        try:
            told = (source / name).stat()
            one = [name, told.st_size, told.st_mtime_ns]
        except PermissionError:  # it will be skipped, with this reason
            one = [name, 0, 0]
        (shards if name.endswith(".npz") else others).append(one)
    if not shards and not others:
        raise ValueError(f"source: expected files in {str(source)!r}, got none")
    return [{"found": [one]} for one in shards] + [
        {"found": others[start : start + size]} for start in range(0, len(others), size)
    ]


def _read(source, names, skipped):
    """Yields images, what each is called, and notes; what cannot be read goes to the dict of those skipped."""
    images, read, notes = [], [], []
    for name in names:
        try:
            if name.endswith(".npz"):
                yield from _shard(source / name, name)
                continue
            reading = pictures.read_file(source / name)
        except ValueError as error:
            skipped[name] = str(error)
            continue
        images.append(reading.image)
        read.append(name)
        notes.append("; ".join(reading.notes))
    if images:
        yield np.stack(images), read, notes


def _shard(path, name, size=5_000):
    try:
        with np.load(path, allow_pickle=False) as file:
            images = file["images"]
    except Exception as error:  # damaged archives make numpy fail in many ways
        raise ValueError(f"expected an npz file that holds images ({error})") from error
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(f"expected images, uint8 [N, 28, 28], got {images.dtype} {list(images.shape)}")
    for start in range(0, len(images), size):
        some = images[start : start + size]
        yield some, [f"{name}[{start + i}]" for i in range(len(some))], [""] * len(some)


@functools.lru_cache(1)
def _loaded(rule, digest):
    if hashlib.sha256(Path(rule).read_bytes()).hexdigest() != digest:
        raise ValueError(f"rule: expected {str(rule)!r} as it was when the call began, and it has changed")
    return OpenSetClassifier.load(rule)


def _lines(rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


checks.guard(__name__)
