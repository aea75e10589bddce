"""Makes a bare ``pytest --nbval`` strict where it can be and silent where it must be.

Compared: everything that a notebook printed. Not compared: what differs between machines without meaning anything.
"""

import contextlib
import functools
import os

import nbval.kernel
import pytest

from osrlib import data
from tools.kernels import by_files

NOT_COMPARED = (
    "stderr",  # progress bars and words on missing worlds
    "text/latex",  # shown source code: its markup follows the version of pygments
    "text/html",  # tables: their numbers differ in the last digits; the verdicts are compared
    "application/papermill.record/text/plain",  # glued numbers, likewise
)


def pytest_configure(config):
    if config.getoption("nbval", False) and os.environ.get("OSRLIB_OFFLINE") != "1":
        data.load_all(["mnist", "fashion", "cifar10"])
    # the kernels run in another folder, and ask no network again for a world that could not be had
    os.environ["OSRLIB_DATA"] = str(data.cache_dir().resolve())
    os.environ.setdefault("OSRLIB_OFFLINE", "1")
    if hasattr(config.option, "nbval_current_env") and not config.option.nbval_kernel_name:
        config.option.nbval_current_env = True
    open_files = contextlib.ExitStack()
    config.add_cleanup(open_files.close)
    settings = open_files.enter_context(by_files())
    nbval.kernel.KernelManager = functools.partial(nbval.kernel.KernelManager, **settings)  # it has no option for this


LONG = ("notebooks/", "tests/slow/", "tests/book/test_browser")


def pytest_collection_modifyitems(items):
    """What is long goes first: side by side, one worker would be left alone with it at the end."""
    places = {long: place for place, long in enumerate(LONG)}
    items.sort(key=lambda item: next((places[long] for long in LONG if item.nodeid.startswith(long)), len(LONG)))


@pytest.hookimpl(hookwrapper=True)
def pytest_collect_file(file_path, parent):
    """Adds to nbval's list of outputs that are not compared; nbval has no option for it."""
    outcome = yield
    collected = outcome.get_result()
    for collector in collected if isinstance(collected, list) else [collected]:
        if hasattr(collector, "skip_compare"):
            collector.skip_compare = (*collector.skip_compare, *NOT_COMPARED)
            # a gallery has a row less where a world is missing
            collector.sanitize_patterns[r"<Figure size [^>]*>"] = "<Figure>"
