"""More to learn from than the training images: digits that are warped, and digits that are turned and named so.

What :func:`osrlib.training.fit` takes as ``augment`` is a function of images, labels and a generator that returns the
images and labels to train on in their place: :func:`warped` is one, and so is :func:`with_turned`, once it is told how
many classes there are.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from osrlib import checks
from osrlib.checks import ClassTensor, Count, Function, Share, Tensor, number_in, whole_number

Distance = number_in(0, 28)
Ways = whole_number(2, 8)


def warp(
    images: Tensor["N 1 28 28"],
    generator: torch.Generator,
    rotation: number_in(0, 180) = 12.0,
    scale: Share = 0.1,
    shear: Share = 0.1,
    shift: Distance = 1.5,
    bend: Distance = 1.2,
) -> torch.Tensor:
    """Each image changed a little, as another hand or another pen might have written it: [N, 1, 28, 28].

    An affine change, and a smooth elastic one (Simard, Steinkraus & Platt, ICDAR 2003, who smooth a shift of every
    pixel instead). Each amount is drawn evenly between minus and plus its limit, for each image anew.
    generator: one of the CPU, so that a seed gives the same changes on every device; rotation: in degrees; scale: of
    width and of height, as a share; shear: how far a row slips, as a share of its height; shift: in pixels, to the side
    and upwards; bend: in pixels, how far the nodes of a 5×5 grid over the image move; between them it is bicubic.
    """
    n = len(images)

    def draw(*shape):
        return (2 * torch.rand(shape, generator=generator) - 1).to(images.device)

    angle, slip = draw(n) * math.radians(rotation), draw(n) * shear
    width, height = 1 + draw(2, n) * scale
    rotated = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    stretched = torch.stack([width, slip, torch.zeros_like(slip), height], 1).view(n, 2, 2)
    # a grid says where each pixel takes its value from; it runs from −1 to 1, so that 14 pixels are a unit
    affine = torch.cat([rotated @ stretched, draw(n, 2, 1) * shift / 14], 2)
    grid = F.affine_grid(affine, images.shape, align_corners=False)
    elastic = F.interpolate(draw(n, 2, 5, 5) * bend / 14, size=28, mode="bicubic", align_corners=True)
    grid = grid + elastic.permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), grid, align_corners=False).to(images.dtype)


def warped(images: Tensor["N 1 28 28"], labels: ClassTensor["N"], generator: torch.Generator) -> tuple:
    """Every image warped, under the label that it had: (images, labels)."""
    return warp(images, generator), labels


def turn(images: Tensor["N 1 28 28"], ways: ClassTensor["N"]) -> torch.Tensor:
    """Each image turned, or mirrored and turned, in its own way: [N, 1, 28, 28].

    ways: 0 to 3 are so many quarter turns to the left; from 4 on, mirrored first, and then turned way − 4 times.
    """
    each = [torch.rot90(side, quarters, (2, 3)) for side in (images, images.flip(3)) for quarters in range(4)]
    return torch.stack(each)[ways, torch.arange(len(images), device=ways.device)]


def with_turned(
    images: Tensor["N 1 28 28"],
    labels: ClassTensor["N"],
    generator: torch.Generator,
    classes: Count,
    ways: Ways = 8,
    first: Function | None = None,
) -> tuple:
    """A batch, and behind it a second one, each image turned in a way drawn at random: (images, labels), [2 N].

    Label k becomes k + classes · way: a six upside down is another thing than a six, and than a nine. ways: 4 for
    quarter turns, 8 for mirrored ones too (:func:`turn`); first: what changes the batch before, such as :func:`warped`.
    """
    if first is not None:
        images, labels = first(images, labels, generator)
    if labels.max() >= classes:
        raise ValueError(f"labels: expected classes in 0..{classes - 1}, got {labels.max()}")
    way = torch.randint(1, int(ways), (len(images),), generator=generator).to(labels.device)
    return torch.cat([images, turn(images, way)]), torch.cat([labels, labels + way * classes])


class TurnedHead(nn.Module):
    """A network's last layer with another beside it, for digits that are turned: code → logits.

    In training mode they are ways · K, in the order of :func:`with_turned`; in evaluation mode the K of the last layer
    alone. The layer beside it starts at zero: no random numbers are needed.
    """

    def __init__(self, upright: nn.Linear, ways: Ways):
        super().__init__()
        rows = (int(ways) - 1) * upright.out_features
        self.upright = upright
        self.weight = nn.Parameter(upright.weight.new_zeros(rows, upright.in_features))
        self.bias = nn.Parameter(upright.weight.new_zeros(rows))

    def forward(self, code):
        logits = self.upright(code)
        return torch.cat([logits, F.linear(code, self.weight, self.bias)], 1) if self.training else logits


checks.guard(__name__)
