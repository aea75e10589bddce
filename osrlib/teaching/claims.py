"""What the book says, tied to what was measured.

``glue`` hands a number to the prose around it. ``check`` states a claim: it prints a verdict that is the same on every
machine, and fails where the number leaves its band.
"""

import html
import json
import math
import sys

import numpy as np
import scipy

from osrlib import checks, zoo
from osrlib.checks import Count, Finite, NotNegative, Numbers, alias

PREFIX = "application/papermill.record/"


class ClaimFailed(AssertionError):
    """A measured value lies outside the band that the book claims for it."""


Glued = alias("a finite number or a text", Finite | str)


def glue(**values: Glued):
    """Record values by name in the notebook, where the prose's ``{glue:text}`` roles find them."""
    for name, value in values.items():
        _display(name, str(value))


def check(
    name: str,
    value: Finite | Numbers["n"] | None,
    low: Finite,
    high: Finite,
    fmt: str = ".1%",
    *,
    n: Count | None = None,
    spread: NotNegative | None = None,
    said: str | None = None,
    reference: Finite | None = None,
    recorded: bool = False,
):
    """Check low ≤ value ≤ high, show the value with its band, and record it for the book's page of claims.

    name: the claim in words; value: a number, or one for each seed or split, of which the mean is checked and the
    standard deviation shown; fmt: how the numbers are printed; n, spread: on how many images a single number was
    measured, and its standard deviation over the reference run's seeds; said: what the report or a paper prints for it;
    reference: the reference run's figure, which stands in, marked as such, where ``value`` is None because a world is
    missing here; recorded: the value was not measured here but read from the reference run's committed figures.
    The record's *source* is "this build", "reference run" or "reference run, stands in"; the last two are shown beside
    the value. The text of the output is the verdict alone, the same on every machine. ClaimFailed outside the band.
    """
    if low > high:
        raise ValueError(f"low, high: expected low ≤ high, got {low} and {high}")
    over = " over seeds"
    if isinstance(value, np.ndarray):  # then n says how many
        over, n, value, spread = (
            "",
            len(value),
            float(value.mean()),
            float(value.std(ddof=1)) if len(value) > 1 else None,
        )
    source = "reference run" if recorded else "this build"
    if value is None:
        if reference is None:
            raise ValueError(f"{name}: expected a value, or the reference run's figure in its place; got neither")
        print(f"{name}: the reference run's figure, {reference:{fmt}}, stands in for what is missing", file=sys.stderr)
        value, source = reference, "reference run, stands in"
    number = float(value)
    holds = low <= number <= high
    verdict = f"{name} within {low:{fmt}} to {high:{fmt}}: {'yes' if holds else 'NO'}"
    told = (
        f"{number:{fmt}}" + (f" ± {spread:{fmt}}{over}" if spread is not None else "") + (f", n = {n:,}" if n else "")
    )
    mark = "" if source == "this build" else f" ({source})"
    claim = {
        "claim": name, "value": number, "low": float(low), "high": float(high), "fmt": fmt, "n": n, "spread": spread,
        "said": said, "source": source,
    }  # fmt: skip
    _display(
        f"claim:{name}", json.dumps(claim, default=float), verdict,
        f'<p class="claim">{html.escape(name)}: <strong>{told}</strong>{mark}, '
        f"within {low:{fmt}} to {high:{fmt}}: {'yes' if holds else 'NO'}</p>",
    )  # fmt: skip
    if not holds:
        raise ClaimFailed(f"{verdict}; measured {number:{fmt}}")


def margin(std: NotNegative, n: checks.whole_number(2)) -> float:
    """By how much one more training may differ from the mean of n, with 95 % probability: t·std·√(1 + 1/n).

    std: their standard deviation. The t is the 97.5 % quantile of Student's distribution with n − 1 degrees of freedom;
    trainings are taken to scatter like a bell (chapter 7).
    """
    return float(scipy.stats.t.ppf(0.975, n - 1)) * std * math.sqrt(1 + 1 / n)


Result = checks.name_of(("report_rule", "rule", "nst", "mtae"))


def agree(result: Result, **measured: Finite) -> dict:
    """Do figures of your own agree with the reference run's? Prints a verdict each: dict name → bool.

    result: ``"report_rule"`` (mnist, ood, total, norm_threshold, diff_threshold, fashion, cifar10), ``"rule"`` (the
    recommended one: mnist, ood, total), ``"nst"`` (style and content: mnist, ood, total) or ``"mtae"``
    (closed_accuracy); measured: some of these figures. One agrees where one more training is expected to lie: within
    the :func:`margin` around the mean of the reference seeds. ValueError for a result or figure that there is not.
    """
    reference = zoo.reference()
    model = reference["models"]["mtae"]
    closed = {key: {"closed_accuracy": model[f"closed_accuracy_{key}"]} for key in ("mean", "std")}
    closed["seeds"] = model["seeds"]
    known = {name: reference[name] for name in ("report_rule", "rule")} | {
        "nst": reference["nst"]["mixed"],
        "mtae": closed,
    }
    one = known[result]
    seeds, verdicts = len(one["seeds"]), {}
    for name, value in measured.items():
        if name not in one["mean"]:
            raise ValueError(f"measured: expected some of {', '.join(one['mean'])}, got {name}")
        mean, apart = one["mean"][name], margin(one["std"][name], seeds)
        verdicts[name] = bool(abs(value - mean) <= apart)
        word = "agrees with" if verdicts[name] else "DIFFERS from"
        print(f"{name}: {value:.4g} {word} {mean:.4g} ± {apart:.2g} ({seeds} seeds)")
    return verdicts


def _display(name, record, plain=None, rich=None):
    from IPython.display import display  # a third of a second: only where a notebook asks

    shown = {} if plain is None else {"text/plain": plain, "text/html": rich}
    # MyST-NB shows nothing of an output that has a prefix here
    metadata = {"scrapbook": {"name": name, "mime_prefix": "" if shown else PREFIX}}
    display({f"{PREFIX}text/plain": record} | shown, raw=True, metadata=metadata)


checks.guard(__name__)
