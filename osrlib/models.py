"""The networks: the report's, exactly, chapter 8's, one that a classifier reads, and the class-conditioned one.

Input of each: float [N, 1, 28, 28] in [0, 1]. Each returns a :class:`osrlib.output.BatchOutput`.
"""

from contextlib import ExitStack
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from osrlib import checks
from osrlib.autoencoder import Decoder, Encoder, FineDecoder
from osrlib.checks import ClassTensor, Count, Finite, Positive, Tensor, several
from osrlib.output import BatchOutput, device_and_dtype, evaluating

MEAN, STD = 0.13, 0.31
"""Of the brightness of MNIST's pixels, rounded as in the report's notebook."""


class BaselineCNN(nn.Module):
    """The report's baseline: 31,146 parameters; log-probabilities [N, 10], and the 256 features before them.

    Its table prints no pooling layers; the authors' notebook has them: the largest of 2×2 values, then the mean of each
    map. It sees pixels in standard deviations from their mean. ``squeeze="max"`` takes the largest value of each map,
    and ``standardise=False`` leaves pixels in [0, 1].
    """

    def __init__(self, squeeze: Literal["avg", "max"] = "avg", standardise: bool = True):
        super().__init__()
        self.mean, self.std = (MEAN, STD) if standardise else (0.0, 1.0)
        self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
        self.halve = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.squeeze = nn.AdaptiveAvgPool2d(1) if squeeze == "avg" else nn.AdaptiveMaxPool2d(1)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(32, 256)
        self.relu = nn.ReLU()
        self.classifier = nn.Sequential(nn.Linear(256, 10), nn.LogSoftmax(dim=1))

    def stages(self, x):
        """The maps behind each convolution, and the code."""
        first = self.halve(self.relu(self.conv1((x - self.mean) / self.std)))
        second = self.relu(self.conv2(first))
        code = self.relu(self.linear(self.flatten(self.squeeze(second))))
        return first, second, code

    def forward(self, x):
        code = self.stages(x)[-1]
        return BatchOutput(self.classifier(code), code)


class MultiTaskAE(nn.Module):
    """The report's model, exactly: an autoencoder of 412,801 parameters that also classifies its own code.

    It sees pixels in standard deviations from their mean, and draws in them: its last ReLU draws nothing darker than
    the mean. Copies come back as brightness, like the images. The head has eleven outputs (+1,419 parameters). The last
    one never has an example: it takes part in training, and is left out afterwards.
    mean, std: of the pixels' brightness.
    """

    def __init__(self, mean: Finite = MEAN, std: Positive = STD):
        super().__init__()
        self.mean, self.std = mean, std
        self.encoder = Encoder("relu")
        self.decoder = Decoder("relu")
        self.classifier = nn.Linear(128, 11)

    def read(self, x):
        """Logits and code."""
        code = self.encoder((x - self.mean) / self.std)
        logits = self.classifier(code)
        return logits if self.training else logits[:, :10], code

    def forward(self, x):
        logits, code = self.read(x)
        drawing = self.mean + self.std * self.decoder(code)
        return BatchOutput(logits, code, drawing.squeeze(1))


class SigmoidAE(nn.Module):
    """Chapter 8's multi-task autoencoder: pixels in [0, 1] as they are, no ReLU on the code, a sigmoid at the end.

    channels: of its largest maps; twice as many on the smaller ones.
    """

    def __init__(self, classes: Count = 10, channels: Count = 16):
        super().__init__()
        self.encoder = Encoder(channels=channels)
        self.decoder = Decoder(channels=channels)
        self.classifier = nn.Linear(128, classes)

    def read(self, x):
        """Logits and code."""
        code = self.encoder(x)
        return self.classifier(code), code

    def forward(self, x):
        logits, code = self.read(x)
        return BatchOutput(logits, code, self.decoder(code).squeeze(1))


class ReadAE(nn.Module):
    """The report's third attempt: a trained network, frozen, classifies what the autoencoder draws (chapter 5).

    Encoder and decoder are those of :class:`MultiTaskAE`. Only they are trained, and what they draw must be readable.
    """

    def __init__(self, reader: nn.Module):
        super().__init__()
        self.encoder = Encoder("relu")
        self.decoder = Decoder("relu")
        self.reader = reader.requires_grad_(False)

    def train(self, mode: bool = True):
        """As any module's, but the reader stays in evaluation mode."""
        super().train(mode)
        self.reader.eval()
        return self

    def forward(self, x):
        code = self.encoder((x - MEAN) / STD)
        drawing = MEAN + STD * self.decoder(code)
        return BatchOutput(self.reader(drawing).logits, code, drawing.squeeze(1))


class C2AE(nn.Module):
    """The class-conditioned autoencoder (Oza & Patel, CVPR 2019) on the book's encoder and decoder.

    The decoder is told a class j, as a vector l with +1 at j and −1 elsewhere, which scales and shifts the code z
    feature by feature (FiLM, Perez et al. 2018): z_l = H_γ(l) ⊙ z + H_β(l). Departures from the paper: a far smaller
    network; H_γ and H_β are linear, which loses nothing for K fixed vectors; chapter 3 lists the rest.

    In training mode it stops at logits and code, since the loss decodes the conditions that it needs. In evaluation
    mode it decodes under every condition: ``errors`` [N, K], mean absolute difference per pixel, in [0, 1];
    ``reconstruction``: the one with the smallest error.
    """

    def __init__(self, classes: Count = 10, decoder: nn.Module | None = None):
        super().__init__()
        self.encoder = Encoder()
        self.classifier = nn.Linear(128, classes)
        self.scale, self.shift = nn.Linear(classes, 128), nn.Linear(classes, 128)
        self.decoder = FineDecoder() if decoder is None else decoder

    def decode(self, code: Tensor["N 128"], condition: ClassTensor["N"]) -> torch.Tensor:
        """Draw codes under conditions: float [N, 28, 28] in [0, 1]."""
        classes, dtype = self.scale.in_features, self.scale.weight.dtype
        if condition.max() >= classes:
            raise ValueError(f"condition: expected classes in 0..{classes - 1}, got {condition.max()}")
        label = (2 * F.one_hot(condition, classes) - 1).to(dtype)
        return self.decoder((self.scale(label) * code + self.shift(label)).to(dtype)).squeeze(1)

    def freeze(self):
        """Fix encoder and classifier, as the second stage of training wants them."""
        self.encoder.requires_grad_(False)
        self.classifier.requires_grad_(False)

    def train(self, mode: bool = True):
        """As any module's, but a frozen encoder stays in evaluation mode: its batch statistics are fixed too."""
        super().train(mode)
        self.encoder.train(mode and self.classifier.weight.requires_grad)
        return self

    def read(self, x):
        """Logits and code."""
        code = self.encoder(x)
        return self.classifier(code), code

    def forward(self, x):
        logits, code = self.read(x)
        if self.training:
            return BatchOutput(logits, code)
        n, classes = logits.shape
        conditions = torch.arange(classes, device=x.device).repeat(n)
        drawings = self.decode(code.repeat_interleave(classes, 0), conditions).unflatten(0, (n, classes))
        errors = (drawings - x).abs().mean((2, 3))
        return BatchOutput(logits, code, drawings[torch.arange(n), errors.argmin(1)], errors)


class Reader(nn.Module):
    """A network without its decoder: the same logits and codes, and no time is spent on copies.

    It holds the network itself, not a copy, and asks it to ``read``. One that cannot do so without drawing, or that
    does not draw at all, is asked as ever.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x):
        return BatchOutput(*self.model.read(x)) if hasattr(self.model, "read") else self.model(x)


class Ensemble(nn.Module):
    """Several trained networks as one, which draws nothing (deep ensembles, Lakshminarayanan et al., NeurIPS 2017).

    Their codes stand side by side, [N, sum of D]: a squared distance is the sum of theirs. The logits are the mean of
    theirs; the paper takes the mean of the probabilities. models: networks of the same classes.
    """

    def __init__(self, models: several(nn.Module)):
        super().__init__()
        self.models = nn.ModuleList(map(Reader, models))

    def forward(self, x):
        said = [model(x) for model in self.models]
        logits = torch.stack([one.logits for one in said]).mean(0)
        return BatchOutput(logits, torch.cat([one.code for one in said], 1))


def count_parameters(model: nn.Module) -> int:
    """The number of parameters, frozen ones among them."""
    return sum(p.numel() for p in model.parameters())


def layer_table(model: nn.Module) -> list:
    """The layers as the report prints them: a list of (layer, output shape, parameters), in the order they run."""
    device, dtype = device_and_dtype(model)
    rows = []

    def note(layer, _, output):
        rows.append((f"{type(layer).__name__}-{len(rows) + 1}", [-1, *output.shape[1:]], count_parameters(layer)))

    with evaluating(model), torch.inference_mode(), ExitStack() as hooks:
        for layer in model.modules():
            if not list(layer.children()):
                hooks.enter_context(layer.register_forward_hook(note))
        model(torch.zeros(1, 1, 28, 28, device=device, dtype=dtype))
    return rows


checks.guard(__name__)
