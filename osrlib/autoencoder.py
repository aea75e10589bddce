"""The two halves of the report's autoencoder, from image to code and back: what the networks are made of."""

from typing import Literal

from torch import nn

from osrlib import checks
from osrlib.checks import Count


class Encoder(nn.Module):
    """Image to code: float [N, 1, 28, 28] → [N, 128].

    ReLU stands behind max pooling, not before it: both keep the larger of two numbers, so the order changes no value,
    and the ReLU has a quarter of the pixels to visit. last: what stands behind the last layer; channels: C, of the
    first convolution. The second has twice as many.
    """

    def __init__(self, last: Literal["relu", "linear"] = "linear", channels: Count = 16):
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(2 * channels)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(2 * channels * 7 * 7, 128)
        self.last = nn.ReLU() if last == "relu" else nn.Identity()

    def stages(self, x):
        """The maps behind each convolution, [N, C, 14, 14] and [N, 2 C, 7, 7], and the code."""
        first = self.relu(self.pool(self.norm1(self.conv1(x))))
        second = self.relu(self.pool(self.norm2(self.conv2(first))))
        return first, second, self.last(self.linear(self.flatten(second)))

    def forward(self, x):
        return self.stages(x)[-1]


class Decoder(nn.Module):
    """Code to image: [N, 128] → [N, 1, 28, 28].

    The last layer of the report's table doubles a 14×14 picture to 28×28. Every reconstruction is therefore made of
    2×2 blocks: fine strokes are out of its reach by construction. last: what stands behind the last convolution;
    channels: C, as the encoder's.
    """

    def __init__(self, last: Literal["relu", "sigmoid"] = "sigmoid", channels: Count = 16):
        super().__init__()
        self.linear = nn.Linear(128, 2 * channels * 7 * 7)
        self.unflatten = nn.Unflatten(1, (2 * channels, 7, 7))
        self.conv1 = nn.ConvTranspose2d(2 * channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.enlarge = nn.Upsample(scale_factor=2)
        self.conv2 = nn.ConvTranspose2d(channels, 1, 3, padding=1)
        self.last = nn.ReLU() if last == "relu" else nn.Sigmoid()

    def maps(self, code):
        """What the last layers draw from: [N, C, 7, 7]."""
        return self.relu(self.norm(self.conv1(self.unflatten(self.relu(self.linear(code))))))

    def forward(self, code):
        small = self.last(self.conv2(self.enlarge(self.maps(code))))
        return self.enlarge(small)


class FineDecoder(Decoder):
    """The same layers, doubled first and convolved then: single pixels can be drawn, for four times the last work."""

    def forward(self, code):
        large = self.enlarge(self.enlarge(self.maps(code)))
        return self.last(self.conv2(large))


checks.guard(__name__)
