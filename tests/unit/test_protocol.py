"""The protocol: what is known in each run, and what it measured."""

import csv
from pathlib import Path

import numpy as np
import pytest

from osrlib import data, models, protocol, training, zoo

RESULTS = Path(__file__).parents[1] / "book" / "results"


def test_every_run_is_there_once():
    runs = protocol.configurations()
    assert len(runs) == 3 * 3 * 2 * 5 == len({tuple(run.values()) for run in runs})
    for splits in data.SPLITS.values():
        assert all(len(set(known)) == 6 for known in splits)


def test_a_run_sees_nothing_of_its_unknown_digits(monkeypatch):
    """A short training, for the wiring: which images go where. Its figures are those of a network that knows little."""
    shown, asked = [], []
    fit, infer = training.fit, models.infer

    def short_fit(model, loss, images, recipe, **options):
        shown.append(images)
        return fit(model, loss, images.sample(2000), training.Recipe(1, 128, 2e-3), **options)

    def small_infer(model, images, batch_size=250):
        asked.append(len(images))
        return infer(model, images, batch_size)

    monkeypatch.setattr(training, "fit", short_fit)
    monkeypatch.setattr(models, "infer", small_infer)
    monkeypatch.setitem(protocol.NETWORKS, "multi-task", ("softmax", "kNN", "norm", "the rule"))
    configuration = {"network": "multi-task", "splits": "neal", "split": 1, "seed": 0}
    row = protocol.row(configuration)
    known = data.SPLITS["neal"][1]
    (train,) = shown
    whole = data.load("mnist", "train")
    assert len(train) == np.isin(whole.labels[:50_000], known).sum() and train.labels.max() == 5
    assert asked[1] == np.isin(whole.labels[50_000:], known).sum()
    assert asked[2] + asked[3] == 10_000
    assert set(row["methods"]) == {"softmax", "kNN", "norm", "the rule"} and row["closed_accuracy"] > 0.5
    for measured in row["methods"].values():
        assert 0.3 < measured["auroc"] < 1 and measured["oscr"] <= min(measured["auroc"] + 0.02, row["closed_accuracy"])


@pytest.fixture(scope="module")
def rows():
    with open(RESULTS / "protocol.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_and_the_reference_agree(rows):
    told = zoo.reference()["protocol"]
    for splits in data.SPLITS:
        for network, methods in protocol.NETWORKS.items():
            for method in methods:
                mine = [
                    row for row in rows if (row["splits"], row["network"], row["method"]) == (splits, network, method)
                ]
                assert sorted({row["split"] for row in mine}) == list("01234")
                assert len(mine) == 5 * len({row["seed"] for row in mine}) >= 15
                mean = np.mean([float(row["auroc"]) for row in mine])
                assert mean == pytest.approx(told[splits][network][method]["auroc"]["mean"], abs=1e-4)
        best = max(
            told[splits][network][method]["auroc"]["mean"]
            for network, ways in protocol.NETWORKS.items()
            for method in ways
        )
        assert best >= 0.985 and best == told[splits]["multi-task"]["kNN and softmax"]["auroc"]["mean"]


def test_the_rule_of_the_reference_run():
    told = zoo.reference()["rule"]
    assert told["total"] >= 0.99 and told["mnist"] >= 0.98
    assert all(told["refused"][name] >= 0.97 for name in ("fashion", "cifar10", "patches", "noise", "mnist-noise"))
    assert told["refused"]["letters without look-alikes"] >= 0.75
    assert abs(told["splits"]["test"]["mean"] - told["alpha"]) <= 0.003 and told["seconds"] <= 15
