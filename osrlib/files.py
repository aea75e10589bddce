"""Files: written whole or not at all, and found below a folder."""

import contextlib
import io
import os
import secrets
import time
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def whole(path):
    """A binary file to write to, which takes its name when the block ends well.

    After an error or Ctrl-C nothing is left. What a killed process left is removed after an hour, by the next writer.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}-*.part"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()
    part = path.with_name(f".{path.name}-{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write(path, text):
    """Write text, as UTF-8."""
    with whole(path) as file:
        file.write(text.encode())


def save_arrays(path, **arrays):
    """Write arrays as npz, packed in memory first: an open archive on a full disk would fail once more as it closes."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    with whole(path) as file:
        file.write(packed.getbuffer())


def below(folder):
    """The names of all files in a folder and the folders below it, relative to it, in order; none that is hidden."""
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        with contextlib.suppress(PermissionError):  # a folder can show its names and keep what they stand for
            if not path.is_file():
                continue
        if not any(part.startswith(".") for part in name.parts):
            names.append(str(name))
    return names
