"""Makes a bare ``pytest --nbval`` strict where it can be and silent where it must be.

Compared: everything that a notebook printed. Not compared: what differs between machines without meaning anything.
"""

import os

import pytest

from osrlib import data

NOT_COMPARED = (
    "stderr",  # progress bars and words on missing worlds
    "text/html",  # tables: their numbers differ in the last digits; the verdicts are compared
    "application/papermill.record/text/plain",  # glued numbers, likewise
)


def pytest_configure(config):
    # fill the cache once; from then on no chapter asks the network again for a world that could not be had
    if not (data.cache_dir() / "mnist-test.npz").exists():
        data.load_all(["mnist", "fashion", "cifar10"])
    os.environ.setdefault("OSRLIB_OFFLINE", "1")
    if hasattr(config.option, "nbval_current_env") and not config.option.nbval_kernel_name:
        config.option.nbval_current_env = True


@pytest.hookimpl(hookwrapper=True)
def pytest_collect_file(file_path, parent):
    """Adds to nbval's list of outputs that are not compared; nbval has no option for it."""
    outcome = yield
    collected = outcome.get_result()
    for collector in collected if isinstance(collected, list) else [collected]:
        if hasattr(collector, "skip_compare"):
            collector.skip_compare = (*collector.skip_compare, *NOT_COMPARED)
