"""Warped and turned digits: what may change, by how much, and what must stay."""

import numpy as np
import pytest
import torch

from osrlib import augment
from osrlib.output import infer, to_input

STILL = dict.fromkeys(["rotation", "scale", "shear", "shift", "bend"], 0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def moved(right, down, **limits):
    """Where 300 copies of a dot come to lie under these limits alone: pixels from the centre, to the right and down."""
    dots = torch.zeros(300, 1, 28, 28)
    dots[:, :, 13 + down : 15 + down, 13 + right : 15 + right] = 1
    light = augment.warp(dots, generator(), **STILL | limits)[:, 0]
    light, place = light / light.sum((1, 2), keepdim=True), torch.arange(28) - 13.5
    return light.sum(1) @ place, light.sum(2) @ place


def test_a_warped_digit_is_still_that_digit(digits, mtae):
    images, state = to_input(digits.images), torch.get_rng_state()
    warped = augment.warp(images, generator())
    assert warped.shape == images.shape and warped.dtype == images.dtype
    assert warped.min() >= 0 and warped.max() <= 1 + 1e-6
    assert (warped - images).abs().mean() > 0.02
    guess = infer(mtae, (255 * warped[:, 0]).round().clamp(0, 255).byte().numpy()).guess
    assert (guess == digits.labels).mean() > 0.9
    assert torch.equal(state, torch.get_rng_state())
    assert augment.warp(images.double(), generator()).dtype == torch.float64


def test_each_image_has_its_own_change_and_the_seed_decides_it(digits):
    images = to_input(digits.images[:1]).repeat(50, 1, 1, 1)
    first, same, other = (augment.warp(images, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert len(first.unique(dim=0)) == 50
    assert torch.allclose(augment.warp(images, generator(), **STILL), images, atol=1e-4)


def test_how_far_a_warp_reaches():
    for places in moved(0, 0, shift=1.5):
        assert 1.4 < places.abs().max() <= 1.5 + 1e-4 and abs(places.mean()) < 0.2
    for places in moved(0, 0, bend=1.2):  # a node of the grid lies between the four pixels of the dot
        assert 1.0 < places.abs().max() < 1.3 and abs(places.mean()) < 0.2
    for places in moved(0, 0, rotation=12, scale=0.1, shear=0.1):
        assert places.abs().max() < 0.1
    right, down = moved(9, 0, rotation=12)
    assert 11 < torch.rad2deg(torch.atan2(down, right)).abs().max() < 12.2
    assert (right.hypot(down) - 9).abs().max() < 0.2
    right, down = moved(9, 9, scale=0.1)
    for places in (right, down, right / down * 9):  # the last one: width and height differ
        assert places.min() < 8.4 and places.max() > 9.7
    assert min(right.min(), down.min()) > 9 / 1.1 - 0.2 and max(right.max(), down.max()) < 9 / 0.9 + 0.2
    right, down = moved(0, 9, shear=0.1)
    assert 0.8 < right.abs().max() <= 0.95 and (down - 9).abs().max() < 0.1


def test_turns_are_those_of_a_square(digits):
    image = digits.images[(digits.labels == 4).argmax()]
    eight, ways = to_input(image[None]).repeat(8, 1, 1, 1), torch.arange(8)
    turned = augment.turn(eight, ways)
    for way in range(8):
        wanted = np.rot90(np.fliplr(image) if way >= 4 else image, way % 4)
        assert np.array_equal((255 * turned[way, 0]).round().numpy(), wanted)
    assert len(turned.unique(dim=0)) == 8
    # a mirrored way undoes itself, a quarter turn is undone by the three others
    back = torch.where(ways < 4, -ways % 4, ways)
    assert torch.equal(augment.turn(turned, back), eight)


@pytest.mark.parametrize("ways", [2, 4, 8])
def test_a_batch_and_its_turned_copy(ways, digits):
    x, y = to_input(digits.images), torch.as_tensor(digits.labels)
    images, labels = augment.with_turned(x, y, generator(), classes=10, ways=ways)
    way = (labels[500:] - y) // 10
    assert torch.equal(images[:500], x) and torch.equal(labels[:500], y) and torch.equal(labels[500:] % 10, y)
    assert way.unique().tolist() == list(range(1, ways))
    assert torch.equal(images[500:], augment.turn(x, way))
    both, _ = augment.with_turned(x, y, generator(), classes=10, ways=4, first=augment.warped)
    assert torch.equal(both[:500], augment.warp(x, generator()))
    assert torch.allclose(both[500:].sum((1, 2, 3)), both[:500].sum((1, 2, 3)))  # the copy is one of warped images


def test_a_head_for_turned_digits_leaves_the_upright_ones_as_they_were():
    linear, code = torch.nn.Linear(6, 3), torch.randn(5, 6)
    head = augment.TurnedHead(linear, 4)
    wanted = linear(code)
    assert head(code).shape == (5, 12) and torch.equal(head(code)[:, :3], wanted)
    assert torch.equal(augment.TurnedHead(linear, 4)(code), head(code))  # not by torch's own generator
    assert torch.equal(head.eval()(code), wanted)
