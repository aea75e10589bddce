"""What several test modules share."""

import os

import matplotlib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from osrlib import data, zoo
from osrlib.output import Output, infer

matplotlib.use("agg")  # not by the environment: the kernels of notebooks would draw nothing

# a run that is green is green again; "wild" looks for what these examples miss
settings.register_profile("book", derandomize=True, database=None, deadline=None, max_examples=20)
settings.register_profile("wild", deadline=None, max_examples=1000, suppress_health_check=list(HealthCheck))
settings.load_profile("book")


def need(there, what):
    """Skip a test where something is missing. CI must have it."""
    if not there:
        assert not os.environ.get("CI"), f"CI must run this test: {what}"
        pytest.skip(what)


def told(logits=None, **parts):
    """An Output of parts given as lists or arrays; without logits, of two classes that are equally likely."""
    arrays = {name: np.asarray(part, np.uint8 if name == "images" else np.float32) for name, part in parts.items()}
    if logits is None:
        logits = np.zeros((len(next(iter(arrays.values()))), 2))
    return Output(np.asarray(logits, np.float32), **arrays)


@pytest.fixture(scope="session")
def digits():
    """500 of MNIST's test digits."""
    return data.load("mnist").sample(500, seed=1)


@pytest.fixture(scope="session")
def training_digits():
    """3,000 of MNIST's training digits."""
    return data.load("mnist", "train").sample(3000)


@pytest.fixture(scope="session")
def mtae():
    """The published multi-task autoencoder."""
    return zoo.load("mtae")


@pytest.fixture(scope="session")
def output(mtae, digits):
    """What the published model says of the digits."""
    return infer(mtae, digits.images)


@pytest.fixture(scope="session")
def known(mtae, training_digits):
    """What the published model says of the training digits."""
    return infer(mtae, training_digits.images)
