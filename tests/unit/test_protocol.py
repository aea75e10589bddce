"""The protocol and the choice of the rule: which images go where, which methods read which network, what luck does."""

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import choose_rule, race
from osrlib import data, protocol, training, zoo


def test_every_run_is_there_once():
    runs = protocol.configurations()
    assert len(runs) == (6 * 3 + 2) * 2 * 5 == len({tuple(run.values()) for run in runs})
    assert protocol.configurations(np.array([7]))[0]["seed"] == 7
    assert len(protocol.configurations([7])) == 10 * len(protocol.NETWORKS)


def test_every_method_is_there_and_every_network_is_built():
    for network, methods in protocol.NETWORKS.items():
        assert set(methods) <= set(protocol.METHODS)
        assert protocol.spec(network, 6).build().eval()(torch.zeros(1, 1, 28, 28)).logits.shape == (1, 6)


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
    parts = [of_known[:50_000].sum(), of_known[50_000:55_000].sum(), of_known[55_000:].sum()]
    assert asked[:3] == parts and asked[3] + asked[4] == 10_000
    assert len(train) == asked[0] and train.labels.max() == 5
    assert set(row["methods"]) == {"softmax", "kNN", "norm", "kNN and softmax"} and row["closed_accuracy"] > 0.5
    for measured in row["methods"].values():
        assert 0 < measured["refused"] < 0.9
        assert 0.3 < measured["auroc"] < 1 and measured["oscr"] <= min(measured["auroc"] + 0.02, row["closed_accuracy"])


def test_the_choice_sees_no_digit_that_trains_or_calibrates():
    parts = [data.rule_digits(part) for part in ("train", "choose", "calibrate")]
    assert [len(part) for part in parts] == [50_000, 5_000, 5_000]
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), data.load("mnist", "train").images)
    six = race.SIX[0]
    known, worlds = race.sets(six)
    asked = {image.tobytes() for part in (known, worlds["held-out digits"]) for image in part.images}
    assert asked == {image.tobytes() for image in parts[1].images}
    assert known.labels.max() == 5 and set(worlds) == {"held-out digits"}
    asked = {name for name in race.sets(range(10))[1] if data.WORLDS.get(name)}
    assert {data.WORLDS[name].role for name in asked} == {"development", "known"}
    assert not {tuple(six) for six in race.SIX} & set(data.SPLITS["neal"] + data.SPLITS["vaze"])


@pytest.mark.parametrize("real", [0.0, 0.2])
def test_nested_choice_tells_luck_from_what_a_candidate_can_do(real):
    random = np.random.default_rng(0)
    lines = pd.DataFrame(
        {"kind": "plain", "rule": f"rule {i}", "seed": seed, "accuracy": 0.99, "false refusals": 0.01}
        | {f"{world}, {how}": 0.01 for world in race.PENS for how in choose_rule.HOWS}
        | {f"{world}, {part}": 1.0 for world in (*choose_rule.FAR, *choose_rule.HALVES) for part in race.IMAGES}
        | {f"{world}, {part}": 0.7 + real * (i == 7) + random.normal(0, 0.02)
           for world in choose_rule.NEAR for part in race.IMAGES}
        for i in range(300)
        for seed in race.SEEDS
    )  # fmt: skip
    folds = pd.DataFrame(choose_rule.nested(lines))
    assert len(folds) == 6 and (folds.chosen == "plain: rule 7").all() == (real > 0)
    if real:
        assert folds.luck.abs().max() < 0.06
    else:  # of 300 equal ones, the best looks some three standard errors better than it is
        assert 0.02 < folds.luck.mean() < 0.06 and folds.kept.mean() == pytest.approx(0.7, abs=0.01)
    # what lets a far world in is not chosen, however well it does elsewhere
    lines.loc[lines.rule == "rule 7", "noise, first"] = 0.5
    assert ("plain", "rule 7") not in choose_rule.choose(choose_rule.candidates(lines)).index
