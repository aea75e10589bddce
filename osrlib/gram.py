"""Gram features: how a network's features occur together, and how far outside of the known that is.

Sastry & Oore, *Detecting Out-of-Distribution Examples with Gram Matrices*, ICML 2020.
"""

import numpy as np
import torch
from torch import nn

from osrlib import checks
from osrlib.checks import Count, Images, Labels, Maps, Seed, Share, several
from osrlib.models import BaselineCNN, SigmoidAE
from osrlib.output import BatchOutput, Output, infer

ORDERS = (1, 2, 3, 4, 5)


class GramFeatures(nn.Module):
    """A classifier whose ``code`` [N, D] is the Gram features of its layers.

    For a layer with feature maps F [C, P positions] and an order p, the Gram matrix G^p = (F^p F^pᵀ)^(1/p); its rows
    are summed before the root, as in their code: row c is (Σ_x F_cx^p T_x)^(1/p) with T_x = Σ_k F_kx^p.
    ``layer`` int64 [D] names the layer that each feature belongs to. Layers: both convolutions, and of a
    ``BaselineCNN`` the code as well, since it is ≥ 0 there. Departures from their code: the orders 1 to 5, where it
    takes 1 to 10, and no maps from before the activations, where it takes those as well.
    """

    def __init__(self, model: BaselineCNN | SigmoidAE, orders: several(Count) = ORDERS):
        super().__init__()
        self.model, self.orders = model, tuple(orders)
        network, more = (model, [model.linear.out_features]) if isinstance(model, BaselineCNN) else (model.encoder, [])
        channels = [network.conv1.out_channels, network.conv2.out_channels, *more]
        self.layer = np.repeat(range(len(channels)), np.multiply(channels, len(self.orders)))

    def forward(self, x):
        network = self.model if isinstance(self.model, BaselineCNN) else self.model.encoder
        stages = network.stages(x)
        layers = stages[: self.layer.max() + 1]
        features = [gram_rows(maps.reshape(*maps.shape[:2], -1), self.orders) for maps in layers]
        return BatchOutput(self.model.classifier(stages[-1]), torch.cat(features, 1))


def gram_rows(maps: Maps["N C P"], orders: several(Count) = ORDERS) -> torch.Tensor:
    """The row sums of Gram matrices of several orders: [N, C, P] ≥ 0 → [N, orders · C]; see :class:`GramFeatures`.

    Each channel is divided by its largest entry before any power is taken, so that none can overflow.
    """
    own = maps.amax(2).clamp_min(1e-30)
    largest = own.amax(1, keepdim=True)
    scaled, share = maps / own.unsqueeze(2), own / largest
    power, rows = torch.ones_like(scaled), {}
    for p in range(1, max(orders) + 1):
        power = power * scaled
        if p in orders:
            total = (share**p).unsqueeze(1) @ power
            rows[p] = own * largest * (power @ total.transpose(1, 2)).squeeze(2) ** (1 / p)
    return torch.cat([rows[p] for p in orders], 1)


class GramDeviation:
    """How far Gram features lie outside what training images of the predicted class showed (Sastry & Oore, section 3).

    For each class that is predicted, the smallest and largest value of every feature among the known images are its
    bounds. Outside of them, a feature v deviates by (low − v) / low or (v − high) / high. The deviations of each
    layer are summed and divided by their mean over known images held out from the bounds; the layers are added.
    Departures from the authors' code: it also divides by the largest softmax probability, which the paper's formula
    does not have; and its means are over a tenth of the test images.

    known: the output of :class:`GramFeatures` on *training* images; layer: its ``layer``; held_out: the share kept for
    the means, drawn with the seed. An image of a class that has no bounds is as unknown as can be.
    """

    def __init__(self, known: Output, layer: Labels["D"], held_out: Share = 0.1, seed: Seed = 0):
        if len(layer) != known.code.shape[1] or (np.diff(layer) < 0).any() or not 0 < held_out <= 0.5:
            raise ValueError("layer, held_out: expected an ascending number for each feature, and a share in (0, 0.5]")
        order = np.random.default_rng(seed).permutation(len(known))
        held, rest = (known[chosen] for chosen in np.split(order, [max(1, int(held_out * len(known)))]))
        self.starts = np.flatnonzero(np.r_[True, np.diff(layer) > 0])
        self.classes = np.unique(rest.guess)
        members = [rest.code[rest.guess == k] for k in self.classes]
        self.low = np.stack([group.min(0) for group in members])
        self.high = np.stack([group.max(0) for group in members])
        means = self.deviations(held[np.isin(held.guess, self.classes)]).mean(0)
        self.expected = np.where(means > 0, means, 1)

    def deviations(self, output: Output):
        """The deviations of each layer, summed: float [N, layers]; infinite for a class without bounds."""
        total = np.full((len(output), len(self.starts)), np.inf)
        for k, low, high in zip(self.classes, self.low, self.high, strict=True):
            of_class = output.guess == k
            v = output.code[of_class]
            # 1e-6 as in the authors' code: a feature that was zero in all known images has a bound of zero
            outside = np.maximum(low - v, 0) / (np.abs(low) + 1e-6) + np.maximum(v - high, 0) / (np.abs(high) + 1e-6)
            total[of_class] = np.add.reduceat(outside, self.starts, axis=1)
        return total

    def __call__(self, output: Output):
        deviation = (self.deviations(output) / self.expected).sum(1)
        return np.minimum(deviation, np.finfo(np.float32).max).astype(np.float32)


class GramScore:
    """:class:`GramDeviation` of a network's own Gram features: a score of any output that has images.

    images: those that the network was trained on.
    """

    def __init__(self, model: BaselineCNN | SigmoidAE, images: Images):
        self.network = GramFeatures(model)
        self.deviation = GramDeviation(infer(self.network, images), self.network.layer)

    def __call__(self, output: Output):
        return self.deviation(infer(self.network, output.images))


checks.guard(__name__)
