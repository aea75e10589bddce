"""Fused layers: the values, gradients and running statistics of the layers that they stand for."""

import copy

import pytest
import torch

from osrlib import fused, models


def run(forward, module, x, weights):
    """Value and gradients of a module's parameters under a fixed direction."""
    value = forward(x)
    (value * weights).sum().backward()
    return value.detach(), {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def same(one, other):
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-8, atol=1e-8)


@pytest.fixture
def pictures(digits):
    """Digits, whose black and white areas are full of equal maxima, and one of noise up to the border."""
    images = torch.tensor(digits.images[:40])  # a copy: other tests share the digits
    images[0] = torch.randint(0, 256, (28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return models.to_input(images).double()


def test_the_encoder_in_training_equals_its_layers(pictures):
    torch.manual_seed(0)
    quick = models.Encoder().double().train()
    torch.nn.init.normal_(quick[1].weight)  # batch norm may turn a map upside down
    torch.nn.init.normal_(quick[1].bias)
    plain = copy.deepcopy(quick)
    direction = torch.randn(len(pictures), 128, dtype=torch.float64)
    one, grads = run(quick, quick, pictures, direction)
    other, wanted = run(super(models.Encoder, plain).forward, plain, pictures, direction)
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    # batch norm takes away what the bias before it adds: its gradient is rounding, or none
    assert wanted.pop("0.bias").abs().max() < 1e-9 and "0.bias" not in grads
    assert set(grads) == set(wanted)
    same(grads, wanted)
    same(dict(quick.named_buffers()), dict(plain.named_buffers()))
    assert plain[1].num_batches_tracked == 1


@pytest.mark.parametrize("fine", [False, True])
def test_the_decoder_in_training_equals_its_layers(fine):
    torch.manual_seed(0)
    quick = models.Decoder(fine=fine).double().train()
    plain = copy.deepcopy(quick)
    code, direction = torch.randn(10, 128, dtype=torch.float64), torch.randn(10, 1, 28, 28, dtype=torch.float64)
    one, grads = run(quick, quick, code, direction)
    other, wanted = run(super(models.Decoder, plain).forward, plain, code, direction)
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    same(grads, wanted)
    same(dict(quick.named_buffers()), dict(plain.named_buffers()))


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_any_enlargement(factor):
    layer = torch.nn.ConvTranspose2d(5, 1, 3, padding=1).double()
    x = torch.randn(2, 5, 4, 6, dtype=torch.float64)
    plain = layer(torch.nn.functional.interpolate(x, scale_factor=factor))
    torch.testing.assert_close(fused.enlarge_convolve(x, layer, factor), plain)


def test_images_that_need_a_gradient_get_it(pictures):
    """Perturbations of the input need the gradient that goes through the batch statistics too."""
    x = pictures.clone().requires_grad_()
    encoder = models.Encoder().double().train()
    encoder(x).square().sum().backward()
    assert x.grad.abs().max() > 0


def test_what_the_fused_layers_do_not_stand_for_goes_through_the_plain_ones(pictures):
    encoder = models.Encoder().double()
    encoder(pictures)  # batch statistics, to be frozen
    encoder[1].eval()
    before, wanted = copy.deepcopy(encoder.state_dict()), super(models.Encoder, encoder).forward(pictures)
    torch.testing.assert_close(encoder(pictures), wanted)
    assert torch.equal(encoder[1].running_mean, before["1.running_mean"])
    encoder.train()
    for shape in ((2, 1, 32, 32), (2, 3, 28, 28)):
        with pytest.raises(RuntimeError):
            encoder(torch.rand(shape, dtype=torch.float64))
