"""The cache: worlds that have been fetched or made, checked against their SHA-256 and written in one step."""

import hashlib
import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np

from osrlib import files
from osrlib.worlds import download
from osrlib.worlds.catalogue import ImageSet, Unavailable


def cache_dir():
    """The folder that holds the worlds once they have been fetched or made."""
    folder = os.environ.get("OSRLIB_DATA") or "~/.cache/osrlib"
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:  # a user that there is not
        raise ValueError(f"OSRLIB_DATA: expected a folder, got {folder} ({error})") from error


def digest(world):
    """The SHA-256 of the pixels and labels of an :class:`ImageSet`, as a hex string."""
    return hashlib.sha256(world.images.tobytes() + world.labels.astype("<i8").tobytes()).hexdigest()


def read(path, name, world, split):
    """A cached split as an :class:`ImageSet`, or None. A damaged file is set aside, to be fetched or made again."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:  # not damage: the file may be good
        raise Unavailable(f"{path} cannot be read ({error})") from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            kept = ImageSet(archive["images"], archive["labels"], name, world.classes)
        if (found := digest(kept)) != world.sha256.get(split, found):
            raise ValueError(f"SHA-256 expected {world.sha256[split][:12]}…, got {found[:12]}…")
    except MemoryError as error:  # not damage either
        raise Unavailable(f"{path} needs more memory than there is") from error
    except Exception as error:  # zip, zlib and numpy each have their own errors for damaged bytes
        aside = path.with_name(f"{path.name}.damaged")
        try:
            os.replace(path, aside)
            if aside.read_bytes() != content:  # another process has mended it meanwhile
                os.replace(aside, path)
                return read(path, name, world, split)
        except FileNotFoundError:  # another process has set it aside
            pass
        except OSError as why:
            raise Unavailable(f"{path} is damaged ({error}), and cannot be set aside ({why})") from why
        warnings.warn(f"{path.name} in the cache is damaged, and now {aside.name} ({error})", stacklevel=3)
        return None
    return kept


def obtain(name, world, sources):
    """Every split of a world, dict split → :class:`ImageSet`, now in the cache too.

    sources: (what it is called, function from an empty folder to the splits), the first one first. Unavailable, with
    each source's reason, where none gives it.
    """
    reasons = []
    for source, get in sources:
        try:
            with tempfile.TemporaryDirectory(prefix="osrlib-") as folder, download.timeout(download.TIMEOUT):
                arrays = get(Path(folder))
            splits = {split: ImageSet(*pair, name, world.classes) for split, pair in arrays.items()}
            for split, one in splits.items():
                if (found := digest(one)) != world.sha256.get(split, found):
                    raise ValueError(f"SHA-256 expected {world.sha256[split][:12]}…, got {found[:12]}…")
        except Unavailable:  # of the world that this one is made from
            raise
        except Exception as error:  # a mirror can fail in any way; the next one is asked, and each reason is kept
            reasons.append(f"{source}: {_last_line(error)}")
            continue
        try:
            for split, one in splits.items():
                files.save_arrays(cache_dir() / f"{name}-{split}.npz", images=one.images, labels=one.labels)
        except OSError as error:
            raise Unavailable(f"{name} could not be written to the cache {cache_dir()} ({error})") from error
        return splits
    by_hand = " and ".join(f"{name}-{split}.npz" for split in world.splits)
    raise Unavailable(
        f"{name} is not in {cache_dir()}, and no source gave it ({'; '.join(reasons) or 'OSRLIB_OFFLINE=1'}). "
        f"To supply it by hand, put {by_hand} there (arrays: images uint8 [N, 28, 28], labels int [N]); or set "
        "OSRLIB_DATA to a folder with them. Letters, patches and pens need the versions in constraints.txt."
    )


def _last_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[-1][:300]
