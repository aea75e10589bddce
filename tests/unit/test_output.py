"""What a network says: checked where it is born, complete or refused, and the same whoever asks."""

import copy
import pickle
import warnings
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest
import torch

from osrlib import models, output, zoo
from osrlib.gram import GramFeatures
from osrlib.output import BatchOutput, Output, infer
from tests.conftest import told

GOOD = {
    "logits": np.eye(4, 3), "code": np.ones((4, 6)), "reconstruction": np.zeros((4, 28, 28)),
    "images": np.full((4, 28, 28), 51, np.uint8), "errors": np.ones((4, 3)),
}  # fmt: skip


def test_an_output_is_made_of_its_parts():
    said = Output(**GOOD)
    assert len(said) == 4 and set(said.parts) == set(GOOD)
    for name, part in said.parts.items():
        assert getattr(said, name) is part and part.dtype == (np.uint8 if name == "images" else np.float32)
    assert said.guess.tolist() == [0, 1, 2, 0] and said.guess.dtype == np.int64
    assert said.pixels.shape == said.copies.shape == (4, 784)
    assert (said.pixels == np.float32(0.2)).all() and (said.copies == 0).all()
    for again in (copy.deepcopy(said), pickle.loads(pickle.dumps(said))):
        assert again.parts.keys() == said.parts.keys() and (again.code == said.code).all()


@pytest.mark.parametrize("name", ["code", "reconstruction", "images", "errors"])
def test_a_missing_part_is_named(name):
    said = Output(**GOOD | {name: None})
    for asked in {name, {"images": "pixels", "reconstruction": "copies"}.get(name, name)}:
        with pytest.raises(ValueError, match=f"expected one with {name}, got one with logits"):
            getattr(said, asked)
    assert not hasattr(said, "labels")


def test_parts_are_of_the_same_images_and_within_float32():
    for name, good in GOOD.items():
        with pytest.raises(ValueError, match="code|" + name):  # where the logits are short, the code is the first
            Output(**GOOD | {name: good[:3]})
    assert told([[1e15, -1e15]]).logits.tolist() == np.float32([[1e15, -1e15]]).tolist()
    with pytest.raises(ValueError, match="logits"):
        told([[-1.001e15, 0]])
    for dtype in (np.float16, np.float64):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert Output(np.full((2, 3), 6e4, dtype)).logits.dtype == np.float32
        with pytest.raises(ValueError, match="logits"):
            Output(np.full((2, 3), np.inf, dtype))


def test_some_images_of_an_output():
    said = Output(**GOOD | {"logits": np.arange(12.0).reshape(4, 3)})
    for index in (slice(1, 3), np.array([1, 2]), [1, 2], np.array([False, True, True, False])):
        some = said[index]
        assert len(some) == 2 and some.logits.tolist() == [[3, 4, 5], [6, 7, 8]] and len(some.errors) == 2
    with pytest.raises(ValueError, match="logits"):
        said[4:]


def test_what_forward_returns_is_checked_too():
    good = {"logits": torch.zeros(4, 3), "code": torch.zeros(4, 6)}
    for part, shape in (("code", (3, 6)), ("reconstruction", (4, 1, 28, 28)), ("errors", (3, 3))):
        with pytest.raises(ValueError, match=part):
            BatchOutput(**good | {part: torch.zeros(shape)})


@pytest.mark.parametrize("ask", [models.layer_table, lambda model: infer(model, np.zeros((2, 28, 28), np.uint8))])
def test_a_look_at_a_model_leaves_every_part_in_its_mode(ask):
    inner = models.SigmoidAE().eval()
    inner.decoder.train()
    model = GramFeatures(inner)  # built in training mode, around one that is not
    before, statistics = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    assert len(set(before)) == 2
    ask(model)
    assert [module.training for module in model.modules()] == before
    assert all(torch.equal(value, statistics[name]) for name, value in model.state_dict().items())
    inner.encoder.conv1.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(model)
    assert [module.training for module in model.modules()] == before
    assert len(inner.encoder.conv1._forward_hooks) == 1  # the table's own are gone


def test_threads_that_share_a_model_in_training(digits):
    model, wanted = zoo.build("mtae"), infer(zoo.build("mtae"), digits.images[:100]).logits
    with ThreadPool(4) as threads:
        said = threads.map(lambda _: infer(model, digits.images[:100], 20).logits, range(8))
    for logits in said:
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["mtae", "c2ae"])
def test_weights_of_another_type(name, dtype, digits):
    plain, other = (infer(model, digits.images[:20]) for model in (zoo.load(name), zoo.load(name).to(dtype)))
    close = 1e-4 if dtype == torch.float64 else 0.05
    np.testing.assert_allclose(other.reconstruction, plain.reconstruction, atol=10 * close)
    assert np.abs(other.logits - plain.logits).mean() < close * np.abs(plain.logits).max()


def test_images_that_are_mirrored_read_only_or_of_another_layout(mtae, digits):
    images = digits.images[:20]
    locked = images.copy()
    locked.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for same in (images[::-1].copy()[::-1], np.asfortranarray(images), locked):
            np.testing.assert_array_equal(infer(mtae, same).code, infer(mtae, images).code)
        mirrored = infer(mtae, images[:, :, ::-1]).code
    np.testing.assert_array_equal(mirrored, infer(mtae, images[:, :, ::-1].copy()).code)


def test_what_a_network_takes_and_gives(digits):
    x = output.to_input(digits.images[:3])
    assert x.shape == (3, 1, 28, 28) and x.dtype == torch.float32 and x.max() == 1
    assert torch.equal(output.to_input(torch.as_tensor(digits.images[:3]), torch.device("cpu")), x)
    for wrong in (torch.zeros(3, 28, 28), torch.zeros(3, 1, 28, 28).byte()):
        with pytest.raises(ValueError, match="images: expected"):
            output.to_input(wrong)
    with pytest.raises(ValueError, match="model: expected one that returns a BatchOutput"):
        infer(torch.nn.Flatten(), digits.images[:2])


def test_devices():
    assert output.device_and_dtype(torch.nn.Identity()) == (torch.device("cpu"), torch.float32)
    assert output.device_and_dtype(torch.nn.Linear(1, 1).double())[1] == torch.float64
    for wrong in ("gpu", "cuda:99", ""):
        with pytest.raises(ValueError, match="device: expected"):
            output.as_device(wrong)
