"""A detector as ONNX says what Python's says; and as a service it answers real requests."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch

from osrlib import data, export, models, scores, thresholds, zoo
from osrlib.detector import OpenSetClassifier
from osrlib.output import infer
from osrlib.scores import KNN, SCORES, Seen
from osrlib.thresholds import Conformal, MeanStd

SAID = ("softmax", "max logit", "energy", "Mahalanobis", "relative Mahalanobis", "Gaussian", "kNN", "the rule")


def ask(path, images):
    """What the file says of images, in batches of other sizes."""
    session, parts = onnxruntime.InferenceSession(path), np.split(images, [1, 8])
    answers = zip(*(session.run(None, {"images": part}) for part in parts), strict=True)
    return [np.concatenate(answer) for answer in answers]


@pytest.fixture(scope="module")
def seen():
    digits = data.load("mnist", "train").sample(3000)
    network = models.Reader(zoo.load("mtae-rule"))
    output = infer(network, digits.images)
    return Seen(network, output[1000:], digits.labels[1000:], output[:1000])


@pytest.mark.parametrize("name", SAID)
def test_every_score_is_said_as_in_python(name, seen, digits):
    output = infer(seen.model, np.concatenate([digits.images[:150], data.load("letters").images[::40]]))
    score = SCORES[name](seen)
    got = export.said(score)(*map(torch.from_numpy, (output.logits, output.code, output.guess)))
    wanted = score(output)
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-3 * wanted.std())


def test_several_keys_and_which_refused(seen, digits, tmp_path):
    keys = {
        "far": (KNN(seen.train, normalise=0.5, labels=seen.labels), Conformal(0.02)),
        "doubtful": (partial(scores.energy, temperature=2.0), Conformal(0.1)),
    }
    detector = OpenSetClassifier(seen.model, keys).fit_output(seen.held_out)
    export.to_onnx(detector, tmp_path / "rule.onnx")
    label, p_value, key, got = ask(tmp_path / "rule.onnx", digits.images)
    decision = detector.decide(digits.images)
    wanted = np.where(decision.refused.any(1), decision.refused.argmax(1), -1)
    assert (label == decision.labels).mean() > 0.99 and (key == wanted).mean() > 0.99 and set(key) == {-1, 0, 1}
    np.testing.assert_allclose(p_value, decision.p_value, atol=0.02)
    np.testing.assert_allclose(got, decision.scores, atol=0.01)


def test_the_recommended_rule_on_ten_thousand_images(tmp_path):
    detector = OpenSetClassifier.recommended().fit(data.rule_digits("calibrate").images)
    export.to_onnx(detector, tmp_path / "rule.onnx")
    images = np.concatenate([data.load(name).images[:2500] for name in ("mnist", "letters", "patches", "small")])
    label, p_value, *_ = ask(tmp_path / "rule.onnx", images)
    decision = detector.decide(images)
    assert (label != decision.labels).sum() <= 2
    np.testing.assert_allclose(p_value, decision.p_value, atol=0.002)
    assert (tmp_path / "rule.onnx").stat().st_size < 16e6


def test_what_has_no_counterpart_is_refused(seen):
    score = SCORES["PCA residual"](seen._replace(train=infer(seen.model, data.load("mnist").images[:1000])))
    for keys, rule, word in (
        ({"a": (score, Conformal(0.1))}, thresholds.any_of, "got PCAResidual"),
        ({"a": (KNN(seen.train, 5), Conformal(0.1))}, thresholds.any_of, "k = 5"),
        ({"a": (scores.msp, MeanStd(2))}, thresholds.any_of, "conformal thresholds"),
        ({"a": (scores.msp, Conformal(0.1))}, lambda *refused: refused[0], "conformal thresholds"),
    ):
        detector = OpenSetClassifier(seen.model, keys, rule)
        with pytest.raises(ValueError, match=word):
            export.to_onnx(detector, "never")


@pytest.fixture(scope="module")
def service(seen, tmp_path_factory):
    """The example of chapter 11 on this machine: its address."""
    place = tmp_path_factory.mktemp("service") / "rule.onnx"
    detector = OpenSetClassifier(seen.model, {"energy": (scores.energy, Conformal(0.05))}).fit_output(seen.held_out)
    export.to_onnx(detector, place)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "osrlib.serve", place, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/decide"
    for _ in range(150):
        try:
            post(address, {"images": np.zeros((1, 28, 28), int).tolist()})
            break
        except OSError:
            time.sleep(0.2)
    yield address, detector
    process.terminate()
    process.wait()


def post(address, content):
    """The answer to a request: (status, JSON)."""
    asked = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_service_answers_one_and_many(service, digits):
    address, detector = service
    decision = detector.decide(digits.images[:200])
    for images, wanted in ((digits.images[:1], decision.labels[:1]), (digits.images[:200], decision.labels)):
        status, answers = post(address, {"images": images.tolist()})
        assert status == 200 and [10 if one["label"] is None else one["label"] for one in answers] == wanted.tolist()
    assert {one["refused_by"] for one in answers} == {None, "energy"}
    wrong = ({}, {"images": []}, {"images": [[1, 2]]}, {"images": [[["a"] * 28] * 28]}, {"images": [[[1, 2], [3]]]})
    wrong += ({"images": (digits.images[:1] / 255).tolist()},)  # scaled: it would be all black
    wrong += ({"images": np.full((1, 28, 28), 256).tolist()}, {"images": np.zeros((1, 27, 28), int).tolist()})
    for content in wrong:
        assert post(address, content)[0] == 422, content
    assert post(address, {"images": digits.images[:2].tolist()})[0] == 200  # it is still there


def test_a_thousand_requests(service, digits):
    address, _ = service
    seconds = []
    for i in range(1000):
        start = time.perf_counter()
        status, _ = post(address, {"images": digits.images[i % 500][None].tolist()})
        seconds.append(time.perf_counter() - start)
        assert status == 200
    assert np.quantile(seconds, 0.99) < 0.25
