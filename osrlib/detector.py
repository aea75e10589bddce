"""Model + scores + thresholds = a classifier with one answer more."""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import nn

from osrlib import checks, data, models, saving, thresholds, zoo
from osrlib.checks import FloatArray, Function, Images, Labels, PartShare, Seed, describe, named
from osrlib.data import ImageSet
from osrlib.output import Output, infer
from osrlib.scores import SCORES, Seen, diff, norm
from osrlib.thresholds import Conformal, MeanStd, Threshold


class Key(NamedTuple):
    """What refuses an image: a score, and a threshold for it."""

    score: Callable
    threshold: Threshold


class Decision(NamedTuple):
    """What was decided, and why: N images, S keys, K classes.

    labels: int64 [N], 0..K − 1, or K for unknown (of the digits: ``UNKNOWN`` = 10); guess: int64 [N], what the
    classifier would have said; scores: float32 [N, S]; refused: bool [N, S], which score lies beyond its threshold;
    keys, rule: who refused.
    """

    labels: np.ndarray
    guess: np.ndarray
    scores: np.ndarray
    refused: np.ndarray
    keys: dict
    rule: Callable

    def reasons(self) -> list:
        """Which keys refused each image: a list of N strings, empty where none did."""
        return [", ".join(np.array(list(self.keys))[row]) for row in self.refused]

    @property
    def p_values(self):
        """float64 [N, S] in (0, 1], one a key; None where a threshold is not conformal."""
        if not all(isinstance(key.threshold, Conformal) for key in self.keys.values()):
            return None
        columns = zip(self.keys.values(), self.scores.T, strict=True)
        return np.stack([key.threshold.p_values(column) for key, column in columns], 1)

    @property
    def p_value(self):
        """float64 [N] in (0, 1], all of them in one; None where there are none, or the rule is not ``any_of``."""
        p_values = self.p_values
        if p_values is None or self.rule is not thresholds.any_of:
            return None
        return thresholds.union_bound(p_values.T, np.array([key.threshold.alpha for key in self.keys.values()]))


class OpenSetClassifier:
    """The classifier's class where every score stays below its threshold, else K: unknown.

    model: a network that :func:`osrlib.output.infer` can run, None where outputs come from elsewhere
    (:meth:`from_arrays`); keys: dict name → (score, threshold), a function of an output (:mod:`osrlib.scores`) and a
    line for it (:mod:`osrlib.thresholds`); rule: how the refusals are combined.
    """

    def __init__(
        self,
        model: nn.Module | None,
        keys: named(tuple[Function, Threshold]),
        rule: Function = thresholds.any_of,
    ):
        self.model, self.rule = model, rule
        self.keys = {name: Key(*key) for name, key in keys.items()}

    @classmethod
    def report(cls, model: nn.Module | None = None):
        """The report's rule: norm and diff of image and copy, each with a line at mean + 2 · standard deviation.

        model: draws what it sees (default: ``mtae`` of the zoo). The authors fitted both lines on the digits that it
        was trained on, :func:`osrlib.data.report_digits`.
        """
        keys = {"norm": (partial(norm, unit=models.STD), MeanStd(2)), "diff": (diff, MeanStd(2))}
        return cls(zoo.load("mtae") if model is None else model, keys)

    @classmethod
    def recommended(
        cls,
        model: nn.Module | None = None,
        known: ImageSet | None = None,
        others: ImageSet | None = None,
        alpha: PartShare = 0.01,
    ):
        """The rule of chapter 8: one key, which may refuse a share alpha of known images.

        Its score joins four questions to the network (``scores.SCORES["the rule"]``), and its threshold is conformal:
        fit it on known images that neither the model nor this function has seen, 1 / alpha − 1 at the least.

        model: classifies by a code, as ``SigmoidAE`` (default: ``mtae-rule`` of the zoo); known: the images that it
        was trained on; others: known images that it was not trained on, which bring the four to one scale (default of
        both: those of :func:`osrlib.data.rule_digits`).
        """
        if (known is None) != (others is None):
            raise ValueError("others: expected together with known, got one of the two")
        if known is None:
            known, others = data.rule_digits("train"), data.rule_digits("choose")
        reader = models.Reader(zoo.load("mtae-rule") if model is None else model)
        seen = Seen(reader, infer(reader, known.images), known.labels, infer(reader, others.images))
        return cls(reader, {"code": (SCORES["the rule"](seen), Conformal(alpha))})

    @classmethod
    def from_arrays(
        cls,
        logits: FloatArray["N K"],
        features: FloatArray["N D"],
        labels: Labels["N"],
        held_out: tuple[FloatArray["M K"], FloatArray["M D"]],
        alpha: PartShare = 0.01,
        seed: Seed = 0,
    ):
        """The rule of chapter 8 on any classifier, fitted: of it, only logits and features are needed.

        Decide with ``decide_output(Output(logits, features))``.
        logits, features, labels: of the images that it was trained on. logits: what comes before any softmax;
        log-probabilities are refused. features: what its last layer reads.
        held_out: logits and features of known images that it was not trained on: a random half, drawn with the seed,
        brings the scores to one scale, the other sets the line, and must have 1 / alpha − 1 images.
        """
        if np.abs(np.logaddexp.reduce(logits.astype(np.float64), axis=1)).max() < 1e-3:
            raise ValueError("logits: expected what comes before the softmax, got log-probabilities")
        half = np.random.default_rng(int(seed)).permutation(len(held_out[0])) % 2 == 0
        held = Output(*held_out)
        score = SCORES["the rule"](Seen(None, Output(logits, features), labels, held[half]))
        return cls(None, {"code": (score, Conformal(alpha))}).fit_output(held[~half])

    @classmethod
    def load(cls, path: checks.Path, model: nn.Module | None = None):
        """The detector that :meth:`save` wrote. With the same versions on the same machine it decides the same, bit for
        bit.

        model: needed where it was saved with a network that is not of this library; only its weights' SHA-256 lies in
        the file. ValueError for a file that is damaged or of another kind.
        """
        told = saving.load(path, model)
        return cls(told["model"], told["keys"], told["rule"])

    def save(self, path: checks.Path, **note: str):
        """Write the detector to one safetensors file: network, known codes, lines, and which versions wrote it.

        note: what else is to be kept with it, such as ``calibration="5,000 digits"`` (:func:`osrlib.saving.about`).
        ValueError for a score, threshold or rule that is not of this library.
        """
        keys = {name: tuple(key) for name, key in self.keys.items()}
        saving.save(path, {"model": self.model, "keys": keys, "rule": self.rule}, note)

    def to_onnx(self, path: checks.Path):
        """Write the detector as ONNX, for programs without Python: see :mod:`osrlib.export`, which it needs."""
        from osrlib import export

        export.to_onnx(self, path)

    @property
    def lines(self) -> dict:
        """Dict name → the value of its threshold, in the unit of the score."""
        return {name: key.threshold.value for name, key in self.keys.items()}

    def fit(self, known_images: Images):
        """Fit each threshold on its score of known images, and return itself."""
        return self.fit_output(self._ask(known_images))

    def predict(self, images: Images) -> np.ndarray:
        """int64 [N]: the class, or K for unknown."""
        return self.decide(images).labels

    def decide(self, images: Images) -> Decision:
        """The labels, with the scores and refusals behind them."""
        return self.decide_output(self._ask(images))

    def _ask(self, images):
        if self.model is None:
            raise ValueError("model: expected one that can be shown images, got none; see decide_output")
        return infer(self.model, images)

    def fit_output(self, output: Output):
        """As ``fit``, from what :func:`osrlib.output.infer` has said already."""
        needed = max(line.needs for _, line in self.keys.values())
        if len(output) < needed:
            raise ValueError(f"known images: expected at least {needed} for these thresholds, got {len(output)}")
        # copies: where one refuses to be fitted, all stay as they were
        self.keys = {name: Key(score, copy.copy(line).fit(score(output))) for name, (score, line) in self.keys.items()}
        return self

    def decide_output(self, output: Output) -> Decision:
        """As ``decide``, from what :func:`osrlib.output.infer` has said already."""
        values, lines = [], []
        for score, line in self.keys.values():
            values.append(score(output))
            lines.append(line.value)
        scores = np.stack(values, 1)
        if not np.isfinite(scores).all():
            raise ValueError(f"scores: expected finite numbers, got others from one of {', '.join(self.keys)}")
        refused = scores > np.array(lines)
        unknown = self.rule(*refused.T)
        if np.shape(unknown) != output.guess.shape:
            raise ValueError(f"rule(…): expected an answer for each image, got {describe(unknown)}")
        labels = np.where(unknown, output.logits.shape[1], output.guess)
        return Decision(labels, output.guess, scores, refused, self.keys, self.rule)


checks.guard(__name__)
