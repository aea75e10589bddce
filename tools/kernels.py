"""How notebooks reach their kernels: by files, where the system has such, and not by ports of the machine.

A port is chosen before the kernel takes it, and can be gone by then. What goes through it others can read, and every
kernel warns of that.
"""

import contextlib
import os
import tempfile
from pathlib import Path


@contextlib.contextmanager
def by_files():
    """Settings for a jupyter_client.KernelManager, a dict, good while the block lasts: its files lie in a folder."""
    if os.name == "nt":  # no such files there
        yield {}
        return
    # in the system's folder: the path of such a file must stay below some 100 characters
    with tempfile.TemporaryDirectory(prefix="kernel-", ignore_cleanup_errors=True) as folder:
        yield {"transport": "ipc", "ip": str(Path(folder) / "socket")}
