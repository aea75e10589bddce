"""Arrays and networks as text that the pages' JavaScript reads: base64, and weights as whole numbers."""

import base64
import json

import numpy as np
import torch


def fetchable(file, value):
    """Write a value as a script that a page fetches when it needs it: the script hands it over under its own name."""
    file.write_text(f"osr.arrived({json.dumps(file.name)}, {json.dumps(value)});\n")


def text(array, kind=None):
    """The bytes of an array, of another type where one is named, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def rounded(array, bits=16):
    """An array as :func:`pack` keeps it: each row a whole number of steps, the largest of them 2^(bits − 1) − 1."""
    whole, scales = _whole(array, bits)
    return (whole * scales[:, None]).reshape(array.shape)


def pack(weight, bias=None, bits=16):
    """Rows of numbers as whole ones of up to 16 bits, with a scale for each row; bias: float32.

    Of more than 8 bits, all upper bytes come first, then all lower ones: so they compress better.
    """
    whole, scales = _whole(weight, bits)
    upper = [np.floor(whole / 256)] if bits > 8 else []
    planes = np.stack([*upper, whole % 256]).astype(np.int16).astype(np.uint8)
    packed = {"bits": bits, "numbers": text(planes), "scales": text(scales, "<f4")}
    return packed | ({} if bias is None else {"bias": text(bias, "<f4")})


def _whole(array, bits):
    rows = np.asarray(array, "f8").reshape(len(array), -1)
    scales = (np.maximum(np.abs(rows).max(1), 1e-30) / (2 ** (bits - 1) - 1)).astype("f4").astype("f8")
    return np.rint(rows / scales[:, None]), scales


def layers(model):
    """The layers of a :class:`osrlib.models.MultiTaskAE` or ``SigmoidAE``: dict name → (weight, bias), in float64.

    In use, batch norm scales and shifts what a convolution puts out: that is multiplied into the convolution. And of
    the report's head, the eleventh output is not asked.
    """
    encoder, decoder = model.encoder, model.decoder
    parts = {
        "conv1": _folded(encoder.conv1, encoder.norm1), "conv2": _folded(encoder.conv2, encoder.norm2),
        "code": _plain(encoder.linear), "head": [part[:10] for part in _plain(model.classifier)],
        "draw": _plain(decoder.linear), "draw1": _folded(decoder.conv1, decoder.norm),
        "draw2": _folded(decoder.conv2),
    }  # fmt: skip
    return {name: tuple(part.numpy() for part in pair) for name, pair in parts.items()}


def _plain(layer):
    return layer.weight.detach().double(), layer.bias.detach().double()


def _folded(convolution, norm=None):
    weight, bias = _plain(convolution)
    if isinstance(convolution, torch.nn.ConvTranspose2d):  # what is transposed reads its filter backwards
        weight = weight.transpose(0, 1).flip(2, 3)
    if norm is not None:
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight, bias
