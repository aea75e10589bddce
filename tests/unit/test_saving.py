"""A detector in one file: it decides the same afterwards, elsewhere, and no other file passes for one."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from osrlib import UNKNOWN, data, models, saving, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import BatchOutput, infer
from osrlib.scores import SCORES, Seen
from osrlib.thresholds import Conformal, MeanStd, Quantile, Tail

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen():
    """Of the rule's network and of C2AE, on 2,000 training digits."""
    digits = data.load("mnist", "train").sample(2000)
    networks = {name: zoo.load(name) for name in ("mtae-rule", "c2ae")}
    said = {name: infer(network, digits.images) for name, network in networks.items()}
    return {name: Seen(networks[name], said[name], digits.labels, said[name][:500]) for name in networks}


def same(detector, path, images, model=None):
    """Save, load, and compare what both say: the detector that was loaded."""
    detector.save(path)
    loaded = OpenSetClassifier.load(path, model)
    before, after = detector.decide(images), loaded.decide(images)
    assert list(before.keys) == list(after.keys) and detector.lines == loaded.lines
    for ours, theirs in zip(before[:4], after[:4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if before.p_value is not None:
        np.testing.assert_array_equal(before.p_value, after.p_value)
    return loaded


@pytest.mark.parametrize("name", SCORES)
def test_with_every_score_it_decides_the_same_bit_for_bit(name, seen, digits, tmp_path):
    here = seen["c2ae" if "C2AE" in name else "mtae-rule"]
    detector = OpenSetClassifier(here.model, {name: (SCORES[name](here), Conformal(0.05))}).fit_output(here.train)
    loaded = same(detector, tmp_path / "rule.safetensors", digits.images[:200])
    assert repr(loaded.keys[name].threshold) == "Conformal(alpha=0.05)"
    same(loaded, tmp_path / "again.safetensors", digits.images[:200])
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "rule.safetensors").read_bytes()


def test_every_line_every_rule_and_every_network(mtae, digits, tmp_path):
    lines = {"a": MeanStd(2), "b": Quantile(0.9), "c": Tail(0.05), "d": Conformal(0.1)}
    for model in (mtae, zoo.load("cnn"), models.SigmoidAE(3, 8), models.MultiTaskAE(0.2, 0.5), models.BaselineCNN()):
        keys = {name: (partial(scores.energy, temperature=2.0), line) for name, line in lines.items()}
        same(OpenSetClassifier(model, keys).fit(digits.images), tmp_path / "a", digits.images[:99])
    keys = {"msp": (scores.msp, Conformal(0.1))}
    for model in (models.Reader(mtae), models.Ensemble([zoo.load("mtae-rule"), models.SigmoidAE()])):
        same(OpenSetClassifier(model, keys).fit(digits.images), tmp_path / "b", digits.images[:99])
    unfitted = OpenSetClassifier(mtae, keys, thresholds.any_of)
    unfitted.save(tmp_path / "c")
    with pytest.raises(ValueError, match="expected fit before"):
        OpenSetClassifier.load(tmp_path / "c").predict(digits.images)


ELSEWHERE = """
import sys, numpy as np
from osrlib import data
from osrlib.detector import OpenSetClassifier
decision = OpenSetClassifier.load(sys.argv[1]).decide(data.load("mnist").images[:300])
np.savez(sys.argv[2], labels=decision.labels, scores=decision.scores)
"""


def test_in_another_process_the_recommended_rule_says_the_same(tmp_path):
    detector = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    detector.save(tmp_path / "rule.safetensors", calibration="5,000 digits")
    command = [sys.executable, "-c", ELSEWHERE, tmp_path / "rule.safetensors", tmp_path / "said.npz"]
    subprocess.run(command, check=True, cwd=ROOT)
    said, wanted = np.load(tmp_path / "said.npz"), detector.decide(data.load("mnist").images[:300])
    np.testing.assert_array_equal(said["labels"], wanted.labels)
    np.testing.assert_array_equal(said["scores"], wanted.scores)
    told = saving.about(tmp_path / "rule.safetensors")
    assert told["calibration"] == "5,000 digits" and set(told["versions"]) == {"osrlib", "python", "numpy", "torch"}


class Mine(nn.Module):
    """A network that is not the library's: 26 classes, of 28×28 images."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(784, 9), nn.Linear(9, 26)

    def forward(self, x):
        code = self.layer(x.flatten(1))
        return BatchOutput(self.last(code), code)


def test_processes_of_a_pool_decide_the_same(mtae, digits):
    detector = OpenSetClassifier(mtae, {"norm": (scores.norm, Conformal(0.05))}).fit(digits.images)
    parts = np.array_split(digits.images, 3)
    answers = joblib.Parallel(2)(joblib.delayed(detector.predict)(part) for part in parts)
    np.testing.assert_array_equal(np.concatenate(answers), detector.predict(digits.images))


def test_a_network_of_your_own_is_asked_for_and_known_by_its_weights(digits, tmp_path):
    torch.manual_seed(0)
    mine, path = Mine(), tmp_path / "mine"
    detector = OpenSetClassifier(models.Reader(mine), {"energy": (scores.energy, Conformal(0.1))}).fit(digits.images)
    assert same(detector, path, digits.images, mine).predict(digits.images).max() == 26
    for other in (None, Mine()):
        with pytest.raises(ValueError, match="expected the Mine that this detector was saved with"):
            OpenSetClassifier.load(path, other)


def test_what_is_not_of_the_library_is_not_saved(mtae, tmp_path):
    for score in (lambda output: scores.norm(output), np.linalg.norm, partial(scores.norm, unit=np.linalg.norm)):
        with pytest.raises(ValueError, match="expected scores and thresholds of the library"):
            OpenSetClassifier(mtae, {"norm": (score, MeanStd())}).save(tmp_path / "no")
    keys = {"msp": (scores.msp, MeanStd())}
    unusual = models.SigmoidAE()
    unusual.encoder.relu = nn.GELU()
    for model, word in (
        (models.C2AE(10, models.Decoder()), "of the usual layers"),
        (unusual, "of the usual layers"),
        (models.SigmoidAE().bfloat16(), "float32 or float64"),
        (models.Ensemble([Mine(), Mine()]), "one network of your own at most"),
    ):
        with pytest.raises(ValueError, match=word):
            OpenSetClassifier(model, keys).save(tmp_path / "no")
    assert not list(tmp_path.iterdir())  # nothing is left


def test_numbers_keep_their_type(mtae, digits, tmp_path):
    keys = {"norm": (partial(scores.norm, unit=np.float64(0.31)), Conformal(0.1))}
    for model in (mtae, models.SigmoidAE(3).double()):
        same(OpenSetClassifier(model, keys).fit(digits.images), tmp_path / "a", digits.images)


def test_log_probabilities_are_no_logits(digits):
    output = infer(zoo.load("baseline"), digits.images)
    with pytest.raises(ValueError, match="got log-probabilities"):
        OpenSetClassifier.from_arrays(output.logits, output.code, digits.labels, (output.logits, output.code))


def test_a_damaged_or_foreign_file_is_refused_in_words(mtae, digits, tmp_path):
    whole, path = tmp_path / "whole", tmp_path / "other"
    OpenSetClassifier.report(mtae).fit(digits.images).save(whole)
    content = whole.read_bytes()
    random = np.random.default_rng(0)
    for at in [*range(9), *random.integers(0, len(content), 40).tolist(), len(content) - 1]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ValueError, match=f"{path}: expected"):
            OpenSetClassifier.load(path)
    for foreign in (b"", content[:-5], content + b"more", b"not a file of ours" * 99, None):
        path.write_bytes((zoo.WEIGHTS / "mtae.safetensors").read_bytes() if foreign is None else foreign)
        with pytest.raises(ValueError, match="expected a detector that OpenSetClassifier"):
            OpenSetClassifier.load(path)
    with pytest.raises(FileNotFoundError):
        OpenSetClassifier.load(tmp_path / "missing")


def test_any_classifier_by_its_logits_and_features(seen):
    """Of a network only two arrays are known, of 10 classes and then of 6."""
    model, train, labels, _ = seen["mtae-rule"]
    held = infer(model, data.rule_digits("calibrate").images)
    noise = infer(models.Reader(model), data.load("noise").images[:500])
    for alpha in (0.01, 0.05):
        detector = OpenSetClassifier.from_arrays(train.logits, train.code, labels, (held.logits, held.code), alpha)
        digits = infer(models.Reader(model), data.load("mnist").images)
        refused = (detector.decide_output(digits).labels == UNKNOWN).mean()
        assert abs(refused - alpha) < 0.5 * alpha
        assert (detector.decide_output(noise).labels == UNKNOWN).mean() > 0.97
    with pytest.raises(ValueError, match="model: expected one that can be shown images"):
        detector.predict(data.load("noise").images[:5])
    with pytest.raises(ValueError, match="expected at least 99"):
        OpenSetClassifier.from_arrays(train.logits, train.code, labels, (held.logits[:150], held.code[:150]))
