"""Losses by hand: values, parts, and what they take of a batch."""

from functools import partial

import numpy as np
import pytest
import torch

from osrlib import losses
from osrlib.output import BatchOutput


def batch(logits, reconstruction=None):
    logits = torch.as_tensor(logits, dtype=torch.float32)
    return BatchOutput(logits, torch.zeros(len(logits), 128), reconstruction)


def blank(code, condition):
    """A decoder that draws black images."""
    return torch.zeros(len(code), 28, 28)


def test_multitask_loss_by_hand():
    output = batch(np.log([[0.7, 0.3], [0.5, 0.5]]), torch.full((2, 28, 28), 0.5))
    images, labels = torch.zeros(2, 1, 28, 28), torch.tensor([0, 1])
    parts = losses.multitask_loss(output, images, labels, weight=2.0)
    cross_entropy = -(np.log(0.7) + np.log(0.5)) / 2
    assert list(parts) == ["loss", "cross_entropy", "mse"]
    assert parts["cross_entropy"].item() == pytest.approx(cross_entropy)
    assert parts["mse"].item() == pytest.approx(0.25)
    assert parts["loss"].item() == pytest.approx(cross_entropy + 0.5)
    assert losses.multitask_loss(output, images, labels)["loss"].item() == pytest.approx(cross_entropy + 0.25)
    alone = losses.classification_loss(output, images, labels)
    assert alone["loss"].item() == alone["cross_entropy"].item() == pytest.approx(cross_entropy)


@pytest.mark.parametrize("loss", [losses.classification_loss, losses.multitask_loss])
def test_smoothed_labels(loss):
    output = batch([[2.0, 0.0, 0.0, 0.0]], torch.zeros(1, 28, 28))
    images, labels = torch.zeros(1, 1, 28, 28), torch.tensor([0])
    logs = torch.log_softmax(output.logits, 1)[0]
    smoothed = -(0.8 + 0.05) * logs[0] - 0.05 * logs[1:].sum()  # a fifth of the label is shared by all four
    parts, plain = loss(output, images, labels, smoothing=0.2), loss(output, images, labels)
    assert parts["loss"].item() == parts["cross_entropy"].item() == pytest.approx(smoothed.item(), rel=1e-5)
    assert plain["loss"].item() == pytest.approx(-logs[0].item(), rel=1e-5)
    loss(output, images, labels + 3)
    with pytest.raises(ValueError, match=r"labels: expected classes in 0\.\.3"):
        loss(output, images, labels + 4)


def test_a_loss_says_which_part_a_network_has_not():
    with pytest.raises((TypeError, ValueError), match="reconstruction"):
        losses.multitask_loss(batch(np.zeros((2, 3))), torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))


def test_turned_loss_by_hand():
    chances = np.array([[0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7], [0.3, 0.1, 0.6, 0.0], [0.1, 0.1, 0.4, 0.4]]) + 1e-9
    output = batch(np.log(chances), torch.tensor([0.5, 9.0, 0.1, 9.0]).view(4, 1, 1).expand(4, 28, 28))
    images, labels = torch.zeros(4, 1, 28, 28), torch.tensor([1, 3, 0, 2])  # of two classes, so that 3 is 1, turned
    mine = partial(losses.multitask_loss, weight=4.0)
    parts = losses.turned_loss(output, images, labels, mine, classes=2)
    upright, turned = -(np.log(0.2) + np.log(0.3)) / 2, -(np.log(0.7) + np.log(0.4)) / 2
    assert parts["cross_entropy"].item() == pytest.approx(upright)
    assert parts["turned"].item() == pytest.approx(turned)
    assert parts["mse"].item() == pytest.approx((0.25 + 0.01) / 2)
    assert parts["loss"].item() == pytest.approx(upright + 4 * 0.13 + turned / 2)
    assert parts["accuracy"].item() == 0.5  # of two classes, the third image is taken for a 0
    parts = losses.turned_loss(output, images, labels, mine, classes=2, weight=0.25)
    assert parts["loss"].item() == pytest.approx(upright + 4 * 0.13 + turned / 4)
    labels[1], labels[3] = 0, 1  # nothing is turned
    assert losses.turned_loss(output, images, labels, mine, classes=2) == mine(output, images, labels)


def test_c2ae_loss_by_hand():
    images = torch.stack([torch.full((1, 28, 28), value) for value in (0.0, 0.5, 1.0)])
    asked = []

    def decode(code, condition):
        asked.append(condition.tolist())
        return blank(code, condition)

    parts = losses.c2ae_loss(batch(np.zeros((3, 10))), images, torch.tensor([4, 4, 7]), decode, 0.8)
    # image 0 is asked for a 7 (its neighbour is image 2), image 1 has a neighbour of its own class, image 2 for a 4
    assert asked == [[4, 4, 7, 7, 4]] and list(parts) == ["loss", "match", "nonmatch"]
    assert parts["match"].item() == pytest.approx(0.5)
    assert parts["nonmatch"].item() == pytest.approx((1.0 + 0.5) / 2)
    assert parts["loss"].item() == pytest.approx(0.8 * 0.5 + 0.2 * 0.75)


def test_c2ae_loss_of_one_class():
    parts = losses.c2ae_loss(batch(np.zeros((2, 3))), torch.ones(2, 1, 28, 28), torch.tensor([1, 1]), blank)
    assert parts["nonmatch"].item() == 0 and parts["loss"].item() == pytest.approx(0.9)


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 784), (3, 28, 28), (5, 28, 1)])
def test_c2ae_loss_refuses_drawings_of_another_shape(shape):
    # with one axis more, each drawing would be compared with every image
    with pytest.raises(ValueError, match="decode: expected 5"):
        losses.c2ae_loss(
            batch(np.zeros((3, 10))), torch.rand(3, 1, 28, 28), torch.tensor([4, 4, 7]), lambda *_: torch.zeros(shape)
        )


def test_gram_matrix_style_and_content_by_hand():
    features, black = torch.tensor([[[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]]]), torch.zeros(1, 2, 3)
    assert torch.allclose(losses.gram_matrix(features), torch.tensor([[[5.0, 2.0], [2.0, 10.0]]]) / 6)
    assert losses.style_loss(features, black).item() == pytest.approx((25 + 4 + 4 + 100) / 36 / 4)
    assert losses.content_loss(features, black).item() == pytest.approx(15 / 6)
    assert losses.content_loss(torch.ones(3, 4, 2, 2), torch.zeros(3, 4, 2, 2)).tolist() == [1, 1, 1]
