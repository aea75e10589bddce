"""The network's costliest layers, run together in training: the same numbers, in half of the time.

A convolution of this network takes less time than the batch norm, the pooling and the doubling around it: those walk
over its largest maps and do next to nothing with each number. Here they are worked out beforehand, from the images or
on the filters, where there is little to walk over. Both functions equal the layers that they stand for, up to
rounding, in value and in gradient (``tests/unit/test_speed.py``). :func:`fused_layers` puts them into a network for
the time of its training.
"""

from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F

from osrlib.models import Decoder, Encoder, FineDecoder


@contextmanager
def fused_layers(model):
    """Have the encoders and decoders of a model run their costliest layers together, while the block lasts."""
    parts = [part for part in model.modules() if type(part) in FUSED]
    for part in parts:
        part.forward = partial(FUSED[type(part)], part)
    try:
        yield
    finally:
        for part in parts:
            del part.forward


def encode(encoder, x):
    """As ``Encoder.forward`` does in training."""
    # a frozen encoder has no batch statistics; what has another shape is refused there
    if not encoder.training or x.requires_grad or x.shape[1:] != (1, 28, 28):
        return Encoder.forward(encoder, x)
    first = encoder.relu(convolve_normalise_pool(x, encoder.conv1, encoder.norm1))
    second = encoder.relu(encoder.pool(encoder.norm2(encoder.conv2(first))))
    return encoder.last(encoder.linear(encoder.flatten(second)))


def decode(decoder, code):
    """As ``Decoder.forward`` does in training."""
    return decoder.enlarge(decoder.last(enlarge_convolve(decoder.maps(code), decoder.conv2, 2)))


def decode_finely(decoder, code):
    """As ``FineDecoder.forward`` does in training."""
    return decoder.last(enlarge_convolve(decoder.maps(code), decoder.conv2, 4))


FUSED = {Encoder: encode, Decoder: decode, FineDecoder: decode_finely}


def convolve_normalise_pool(x, convolution, norm):
    """A 3×3 convolution of one channel, batch norm in training, and 2×2 max pooling, as one matrix product.

    The mean and the variance of what a convolution puts out follow from those of what comes in: for a filter w of nine
    entries and the 3×3 windows u of the images, E[w·u] = w·E[u] and Var[w·u] = wᵀ Cov[u] w. So batch norm becomes a
    factor on the filters and a shift. And a 4×4 window, in steps of two, holds the four 3×3 windows that one cell of
    the pooling compares: one product gives all four corners side by side.

    x: float [N, 1, 28, 28], images that need no gradient; convolution, norm: the layers; the running statistics of
    ``norm`` are kept as ever. Returns float [N, C, 14, 14].
    """
    n, channels = len(x), convolution.out_channels
    padded = F.pad(x[:, 0], (1, 1, 1, 1))
    windows = padded.as_strided((n, 14, 14, 4, 4), (900, 60, 2, 30, 1)).reshape(n, 196, 16)
    with torch.autocast("cpu", enabled=False):  # a variance is a difference of large numbers: not in half the bits
        filters, shift = _normalised(windows, convolution, norm)
    # the four corners lie in memory like the pixels of a picture two columns wide: pooling takes them as such
    maps = torch.bmm(windows, filters.expand(n, -1, -1)).view(n, 392, 2, channels).permute(0, 3, 1, 2)
    return F.max_pool2d(maps, 2).view(n, channels, 14, 14) + shift[:, None, None]


def _normalised(windows, convolution, norm):
    """Filters [16, 4 C], one for each corner and channel, and the shift [C] that batch norm makes of them."""
    corners = [(i, j) for i in (0, 1) for j in (0, 1)]
    count = len(corners) * windows.shape[0] * windows.shape[1]
    with torch.no_grad():
        total = windows.sum(1).sum(0).view(4, 4)
        product = (windows.mT @ windows).sum(0).view(4, 4, 4, 4)
        mean = sum(total[i : i + 3, j : j + 3] for i, j in corners).flatten() / count
        square = sum(product[i : i + 3, j : j + 3, i : i + 3, j : j + 3] for i, j in corners).reshape(9, 9) / count
    weight = convolution.weight.view(-1, 9)
    centre, variance = weight @ mean, (weight @ (square - mean.outer(mean)) * weight).sum(1)
    with torch.no_grad():
        norm.running_mean.lerp_(centre + convolution.bias, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
        norm.num_batches_tracked += 1
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    filters = (scale[:, None] * weight).T.view(3, 3, -1)
    filters = torch.stack([F.pad(filters, (0, 0, j, 1 - j, i, 1 - i)) for i, j in corners], 2)
    return filters.view(16, -1), norm.bias - scale * centre


def enlarge_convolve(x, convolution, factor):
    """Each pixel enlarged to factor × factor, then a 3×3 transposed convolution to one channel: as one convolution.

    An output pixel sees one to four different input pixels, and the filter entries that fall on the same one can be
    added first. That gives factor² small filters, one for each place within an enlarged pixel (the sub-pixel
    convolution of Shi et al., CVPR 2016).

    x: float [N, C, H, W]; convolution: the layer, with padding 1. Returns float [N, 1, factor · H, factor · W].
    """
    # which[i, a, p] = 1 where entry p − 1 of the filter, seen from place i, falls on the input pixel a − 1
    which = torch.zeros(factor, 3, 3, dtype=x.dtype)
    for i in range(factor):
        for p in range(3):
            which[i, 1 + (i + p - 1) // factor, p] = 1
    weight = convolution.weight.squeeze(1).flip(1, 2)  # what is transposed reads its filter backwards
    filters = torch.einsum("iap,jbq,cpq->ijcab", which, which, weight).flatten(0, 1)
    maps = F.conv2d(
        x, filters.contiguous(memory_format=torch.channels_last), convolution.bias.expand(factor**2), padding=1
    )
    return F.pixel_shuffle(maps, factor)
