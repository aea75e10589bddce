"""Many pictures at once: a folder of them, or arrays in npz files, decided in parts into one table.

A part is some files of a folder, or one npz file. Each is decided by itself, in memory that does not grow with their
number, by :mod:`osrlib.sweep`: on the cores of one machine or over a Dask cluster, and what is decided stays decided.
"""

import contextlib
import csv
import functools
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np

from osrlib import checks, files, pictures, sweep
from osrlib.checks import Count, several
from osrlib.detector import OpenSetClassifier

COLUMNS = ("file", "label", "guess", "p-value", "notes")


def decide(source: checks.Path, rule: checks.Path, table: checks.Path, size: Count = 500, **options) -> dict:
    """Decide every picture of a folder, and write one line each to a CSV table: file, label, guess, p-value and notes.

    source: a folder with pictures, or with npz files that hold ``images``, uint8 [N, 28, 28]; rule: what
    :meth:`osrlib.detector.OpenSetClassifier.save` wrote; size: files a part; options: as in :func:`osrlib.sweep.run`.
    Parts lie beside the table until all are there: an interrupted call goes on where it stopped. Returns a dict:
    ``decided``, ``unknown``, and ``skipped``, name of a file → reason. ValueError for a source without any file.
    """
    parts = _parts(Path(source).expanduser(), int(size))
    OpenSetClassifier.load(rule)  # now, and not in each part
    table = Path(table)
    beside = table.with_name(f".{table.name}.parts")
    common = {"source": str(source), "rule": str(rule), "folder": str(beside)}
    rows = sweep.run(part, [common | one for one in parts], beside / "rows.jsonl", **options)
    told = {
        "decided": sum(row["decided"] for row in rows),
        "unknown": sum(row["unknown"] for row in rows),
        "skipped": {name: why for row in rows for name, why in row["skipped"].items()},
    }
    if len(rows) == len(parts):
        with files.whole(table) as file:
            file.write(_lines([COLUMNS]))
            for row in rows:
                file.write((beside / row["lines"]).read_bytes())
        shutil.rmtree(beside)
    return told


def part(source: checks.Path, rule: checks.Path, folder: checks.Path, names: several(str)) -> dict:
    """Decide one part, and write its lines to a file in the folder: names of files, as :func:`decide` gives them."""
    detector, source, skipped, lines, unknown = _loaded(rule), Path(source).expanduser(), {}, [], 0
    for images, labels, notes in _read(source, names, skipped):
        decision = detector.decide(images)
        p_values = decision.p_value if decision.p_value is not None else np.full(len(images), np.nan)
        refused = decision.labels != decision.guess
        unknown += int(refused.sum())
        for name, no, guess, p, note in zip(labels, refused, decision.guess, p_values, notes, strict=True):
            lines.append((name, "unknown" if no else guess, guess, f"{p:.6g}", note))
    target = f"{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]}.csv"
    with files.whole(Path(folder) / target) as file:
        file.write(_lines(lines))
    return {"lines": target, "decided": len(lines), "unknown": unknown, "skipped": skipped}


def _parts(source, size):
    if not source.is_dir():
        raise ValueError(f"source: expected a folder, got {str(source)!r}")
    names = sorted(
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and not any(piece.startswith(".") for piece in path.relative_to(source).parts)
    )
    shards = [name for name in names if name.endswith(".npz")]
    others = [name for name in names if not name.endswith(".npz")]
    if not names:
        raise ValueError(f"source: expected files in {str(source)!r}, got none")
    return [{"names": [name]} for name in shards] + [
        {"names": others[start : start + size]} for start in range(0, len(others), size)
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
        except (ValueError, OSError, KeyError) as error:
            skipped[name] = str(error)
            continue
        images.append(reading.image)
        read.append(name)
        notes.append("; ".join(reading.notes))
    if images:
        yield np.stack(images), read, notes


def _shard(path, name, size=5_000):
    with contextlib.closing(np.load(path, allow_pickle=False)) as file:
        images = file["images"]
    for start in range(0, len(images), size):
        some = images[start : start + size]
        yield some, [f"{name}[{start + i}]" for i in range(len(some))], [""] * len(some)


@functools.lru_cache(1)
def _loaded(rule):
    return OpenSetClassifier.load(rule)


def _lines(rows):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


checks.guard(__name__)
