"""A detector as one ONNX file: pixels in, label, p-value, refusing key and scores out. What runs it needs no Python.

Each score is said once more, in operations that ONNX has; ``tests/unit/test_export.py`` holds every one against
osrlib's. Needs the extra ``service``.
"""

from functools import partial

import numpy as np
import torch
from torch import nn

import osrlib
from osrlib import checks, thresholds
from osrlib.detector import OpenSetClassifier
from osrlib.scores import KNN, Gaussian, Mahalanobis, RelativeMahalanobis, WeightedSum, energy, max_logit, msp
from osrlib.thresholds import Conformal


class Decide(nn.Module):
    """A detector's whole way from pixels to a decision.

    Takes uint8 [N, 28, 28]. Returns label int64 [N], K for unknown; p_value float32 [N], all keys in one
    (:func:`osrlib.thresholds.union_bound`); key int64 [N], the first that refuses, -1 where none does; and scores
    float32 [N, S], one a key, to watch (:class:`osrlib.promise.Martingale`).
    """

    def __init__(self, detector):
        super().__init__()
        lines = [line for _, line in detector.keys.values()]
        if detector.rule is not thresholds.any_of or not all(isinstance(line, Conformal) for line in lines):
            raise ValueError("detector: expected conformal thresholds and the rule any_of, got others")
        self.network, self.classes = detector.model, _classes(detector.model)
        self.scores = nn.ModuleList(said(score) for score, _ in detector.keys.values())
        self.calibration = nn.ParameterList(_fixed(line.calibration) for line in lines)
        self.register_buffer("values", torch.tensor([line.value for line in lines]))
        alphas = torch.tensor([line.alpha for line in lines])
        self.register_buffer("shares", alphas.sum() / alphas)

    def forward(self, images):
        output = self.network(images.unsqueeze(1).float() / 255)
        logits, code = output.logits, output.code
        guess = logits.argmax(1)
        scores = torch.stack([score(logits, code, guess) for score in self.scores], 1)
        refused = scores > self.values
        at_least = [
            (known.unsqueeze(0) >= score.unsqueeze(1)).sum(1) + 1
            for known, score in zip(self.calibration, scores.unbind(1), strict=True)
        ]
        sizes = torch.tensor([len(known) + 1 for known in self.calibration])
        p_value = ((torch.stack(at_least, 1) / sizes) * self.shares).amin(1).clamp_max(1)
        unknown = refused.any(1)
        key = torch.where(unknown, refused.int().argmax(1), torch.full_like(guess, -1))
        return torch.where(unknown, torch.full_like(guess, logits.shape[1]), guess), p_value, key, scores


def _classes(model):
    """How many classes a network names."""
    with torch.no_grad():
        return model.eval()(torch.zeros(1, 1, 28, 28)).logits.shape[1]


def said(score):
    """A score in torch's operations: a module of logits [N, K], code [N, D] and guess [N], which returns [N]."""
    simple = {msp: _Msp, max_logit: _MaxLogit, energy: _Energy}
    if score in simple:
        return simple[score]()
    if isinstance(score, partial) and score.func is energy:
        return _Energy(**score.keywords)
    fitted = {KNN: _Nearest, Gaussian: _Gaussian, Mahalanobis: _Mahalanobis, RelativeMahalanobis: _Relative}
    fitted |= {WeightedSum: _Sum}
    if type(score) not in fitted:
        name = getattr(score, "__name__", type(score).__name__)
        raise ValueError(f"detector: expected scores that can be exported, got {name}")
    return fitted[type(score)](score)


def _fixed(array):
    return nn.Parameter(torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32), requires_grad=False)


class _Msp(nn.Module):
    def forward(self, logits, code, guess):
        return 1 - logits.softmax(1).amax(1)


class _MaxLogit(nn.Module):
    def forward(self, logits, code, guess):
        return -logits.amax(1)


class _Energy(nn.Module):
    def __init__(self, temperature=1.0):
        super().__init__()
        self.temperature = float(temperature)

    def forward(self, logits, code, guess):
        return -self.temperature * (logits / self.temperature).logsumexp(1)


class _Nearest(nn.Module):
    """Known codes in twelve bits a number, from its smallest value in the class to its largest, so that the file stays
    small: eight bits, and four more, two in a byte."""

    def __init__(self, score):
        super().__init__()
        if score.k != 1:
            raise ValueError(f"detector: expected a kNN with k = 1, got k = {score.k}")
        self.power, self.in_class = score.normalise, score.in_class
        banks = list(score.banks.values())
        which = torch.repeat_interleave(torch.arange(len(banks)), torch.tensor([len(bank) for bank in banks]))
        low, high = (torch.stack([edge(bank, 0) for bank in banks]) for edge in (torch.amin, torch.amax))
        step = (high - low).clamp_min(1e-12) / 4095
        steps = ((torch.cat(banks) - low[which]) / step[which]).round().int()
        self.low, self.step = _fixed(low), _fixed(step)
        self.register_buffer("coarse", (steps // 16).byte())
        fine = nn.functional.pad(steps % 16, (0, steps.shape[1] % 2))
        self.register_buffer("fine", (fine[:, ::2] * 16 + fine[:, 1::2]).byte())
        self.register_buffer("which", which.int())
        self.register_buffer("classes", torch.tensor(list(score.banks)))

    def forward(self, logits, code, guess):
        fine, which = self.fine.int(), self.which.long()
        fine = torch.stack([fine // 16, fine % 16], 2).flatten(1)[:, : self.coarse.shape[1]]
        bank = (self.coarse.int() * 16 + fine) * self.step[which] + self.low[which]
        place = code / code.norm(dim=1, keepdim=True).clamp_min(1e-12) ** self.power
        closeness = place @ bank.T - bank.square().sum(1) / 2
        if self.in_class:
            closeness = torch.where(
                self.classes[which] == guess.unsqueeze(1), closeness, torch.full_like(closeness, -1e30)
            )
        return (place - bank[closeness.argmax(1)]).norm(dim=1)


class _Gaussian(nn.Module):
    def __init__(self, score):
        super().__init__()
        means, whiten, volumes = zip(*score.classes, strict=True)
        self.means, self.whiten, self.volumes = _fixed(np.stack(means)), _fixed(np.stack(whiten)), _fixed(volumes)

    def forward(self, logits, code, guess):
        away = (code.unsqueeze(0) - self.means.unsqueeze(1)) @ self.whiten
        return (away.square().sum(2) + self.volumes.unsqueeze(1)).amin(0)


class _Mahalanobis(nn.Module):
    def __init__(self, score):
        super().__init__()
        self.whiten, self.centres = _fixed(score.whiten), _fixed(score.centres)

    def forward(self, logits, code, guess):
        away = (code @ self.whiten).unsqueeze(1) - self.centres
        return away.square().sum(2).amin(1)


class _Relative(nn.Module):
    def __init__(self, score):
        super().__init__()
        self.of_class, self.of_all = _Mahalanobis(score.of_class), _Mahalanobis(score.of_all)

    def forward(self, logits, code, guess):
        return self.of_class(logits, code, guess) - self.of_all(logits, code, guess)


class _Sum(nn.Module):
    def __init__(self, score):
        super().__init__()
        self.parts = nn.ModuleList(said(part) for part, _, _ in score.parts)
        self.slopes, self.means = ([row[i] for row in score.parts] for i in (1, 2))

    def forward(self, logits, code, guess):
        values = [part(logits, code, guess) for part in self.parts]
        return sum(slope * (value - mean) for value, slope, mean in zip(values, self.slopes, self.means, strict=True))


def to_onnx(detector: OpenSetClassifier, path: checks.Path):
    """Write a fitted detector as an ONNX file, of any batch size: see :class:`Decide`.

    ValueError for scores, thresholds or rules that have no counterpart here.
    """
    decide = Decide(detector).eval()
    example = (torch.zeros(2, 28, 28, dtype=torch.uint8),)
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    with torch.no_grad():
        program = torch.onnx.export(
            decide, example, dynamo=True, input_names=["images"], output_names=["label", "p_value", "key", "scores"],
            dynamic_shapes=shapes, verbose=False,
        )  # fmt: skip
    told = {"keys": "\n".join(detector.keys), "classes": str(decide.classes), "osrlib": osrlib.__version__}
    program.model.metadata_props.update(told)
    program.save(str(path))


checks.guard(__name__)
