"""What a network said of many images, kept on disk while the book is built: several chapters ask the same.

Nothing is kept unless ``OSRLIB_REMEMBER`` names a folder, as ``make book`` and ``make test`` have it. The key is the
content of all that the answer depends on: weights and attributes of the network, the code of osrlib's networks, the
images, and PyTorch with its number of threads. So an answer is never out of date, and a wrong file is never believed.
"""

import contextlib
import hashlib
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from osrlib import checks, files
from osrlib.checks import Images, NotNegative

FOLDER = "OSRLIB_REMEMBER"
SOURCES = ("autoencoder.py", "models.py", "gram.py", "output.py")
"""Where the code of osrlib's networks stands, and of how they are asked."""
MANY = 2500
"""Fewer images are not worth a file; and what is timed in the book is timed on fewer."""


def output(compute: partial, model: torch.nn.Module, images: Images) -> dict:
    """compute(model, images), a dict name → array; or the same dict from an earlier call that asked the same.

    compute: a ``partial`` whose keywords are all that it depends on besides.
    """
    folder = os.environ.get(FOLDER)
    if not folder or len(images) < MANY or not _ours(model):
        return compute(model, images)
    file = Path(folder) / f"{_key(compute, model, images)}.npz"
    try:
        with np.load(file, allow_pickle=False) as kept:
            parts = dict(kept)
        os.utime(file)
        return parts
    except Exception:  # not there, cut short, or damaged, which numpy tells in many ways
        parts = compute(model, images)
    with contextlib.suppress(OSError):  # a full disk, a folder that cannot be written: the answer is right all the same
        files.save_arrays(file, **parts)
    return parts


def forget(days: NotNegative = 1):
    """Remove what nobody has asked for in so many days: networks and code that have changed since."""
    for file in Path(os.environ.get(FOLDER) or os.devnull).glob("*.npz"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if time.time() - file.stat().st_mtime > 86_400 * days:
                file.unlink()


def _ours(model):
    """Whether all code of a network is in the key: a notebook's own classes have no lasting name."""
    parts, known = list(model.modules()), [f"osrlib.{Path(source).stem}" for source in SOURCES]
    code = all(type(part).__module__ in known or type(part).__module__.startswith("torch.") for part in parts)
    return code and not any(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part) for part in parts)


def _key(compute, model, images):
    attributes = [
        sorted(
            (name, _told(value))
            for name, value in vars(part).items()
            if not name.startswith("_") and name != "training"
        )
        for part in model.modules()
    ]
    about = (repr(model), attributes, compute.keywords, images.shape, torch.__version__, torch.get_num_threads())
    digest = hashlib.sha256(repr(about).encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.device}".encode())
        # as bytes: numpy has no bfloat16
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    for source in SOURCES:
        digest.update((Path(__file__).parents[1] / source).read_bytes())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()


def _told(value):
    """A text that differs where the value does: that of a long array leaves out its middle."""
    if isinstance(value, np.ndarray | torch.Tensor):
        value = np.asarray(value)
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    return repr(value)


checks.guard(__name__)
