"""The protocol: which images go where, and which methods read which network."""

import numpy as np

from osrlib import data, protocol, training, zoo


def test_every_run_is_there_once():
    runs = protocol.configurations()
    assert len(runs) == 3 * 3 * 2 * 5 == len({tuple(run.values()) for run in runs})
    assert protocol.configurations(np.array([7]))[0]["seed"] == 7 and len(protocol.configurations([7])) == 30


def test_every_method_is_there_and_every_network_is_built():
    for network, methods in protocol.NETWORKS.items():
        assert set(methods) <= set(protocol.METHODS)
        assert protocol.spec(network, 6).build().classifier.out_features == 6


def test_a_run_sees_nothing_of_its_unknown_digits(monkeypatch):
    """A short training, for the wiring: which images go where. Its figures are those of a network that knows little."""
    shown, asked, infer = [], [], protocol.infer

    def short_fit(spec, model, images, **options):
        shown.append(images)
        return training.fit(model, spec.loss, images.sample(2000), training.Recipe(1, 128, 2e-3), **options)

    def quick_infer(model, images):
        asked.append(len(images))
        return infer(model, images[:7000])

    monkeypatch.setattr(zoo.Spec, "fit", short_fit)
    monkeypatch.setattr(protocol, "infer", quick_infer)
    monkeypatch.setitem(protocol.NETWORKS, "multi-task", ("softmax", "kNN", "norm", "kNN and softmax"))
    row = protocol.row(network="multi-task", splits="neal", split=1, seed=0)
    known, whole = data.SPLITS["neal"][1], data.load("mnist", "train")
    (train,) = shown
    of_known = np.isin(whole.labels, known)
    assert asked[:2] == [of_known[:50_000].sum(), of_known[50_000:].sum()] and asked[2] + asked[3] == 10_000
    assert len(train) == asked[0] and train.labels.max() == 5
    assert set(row["methods"]) == {"softmax", "kNN", "norm", "kNN and softmax"} and row["closed_accuracy"] > 0.5
    for measured in row["methods"].values():
        assert 0.3 < measured["auroc"] < 1 and measured["oscr"] <= min(measured["auroc"] + 0.02, row["closed_accuracy"])
