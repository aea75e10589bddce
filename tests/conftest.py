"""What several test modules share."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from osrlib import data, zoo
from osrlib.models import infer

# a run that is green is green again; "wild" looks for what these examples miss
settings.register_profile("book", derandomize=True, database=None, deadline=None, max_examples=30)
settings.register_profile("wild", deadline=None, max_examples=1000, suppress_health_check=list(HealthCheck))
settings.load_profile("book")


def need(there, what):
    """Skip a test where something is missing. CI must have it."""
    if not there:
        assert not os.environ.get("CI"), f"CI must run this test: {what}"
        pytest.skip(what)


@pytest.fixture(scope="session")
def digits():
    """500 of MNIST's test digits."""
    return data.load("mnist").sample(500, seed=1)


@pytest.fixture(scope="session")
def mtae():
    """The published multi-task autoencoder."""
    return zoo.load("mtae")


@pytest.fixture(scope="session")
def output(mtae, digits):
    """What the published model says of the digits."""
    return infer(mtae, digits.images)


WRONG_IMAGES = {
    "float": np.zeros((3, 28, 28), np.float32),
    "one image": np.zeros((28, 28), np.uint8),
    "channels": np.zeros((3, 1, 28, 28), np.uint8),
    "size": np.zeros((3, 32, 32), np.uint8),
    "empty": np.zeros((0, 28, 28), np.uint8),
    "list": [[0]],
    "nothing": None,
}

# longer than any threshold needs: nothing else is wrong with them
WRONG_SCORES = {
    "empty": [],
    "matrix": np.arange(90_000.0).reshape(300, 300),
    "text": ["a", "b"],
    "NaN": [*range(500), np.nan],
    "infinite": [-np.inf, *range(500)],
    "nothing": None,
    "ragged": [[1], [1, 2]],
}
