"""What the book says, tied to what was measured.

``glue`` hands a number to the prose around it. ``check`` states a claim: it prints a verdict that is the same on every
machine, and fails where the number leaves its band.
"""

import json
import math
import sys

import scipy

from osrlib import _validate, zoo

PREFIX = "application/papermill.record/"


class ClaimFailed(AssertionError):
    """A measured value lies outside the band that the book claims for it."""


def glue(**values):
    """Record values, numbers or text, by name in the notebook, where the prose's ``{glue:text}`` roles find them."""
    for name, value in values.items():
        if not isinstance(value, str):
            _validate.number(value, name)
        _record(name, str(value))


def check(name, value, low, high, fmt=".1%", *, said=None, reference=None):
    """Check low ≤ value ≤ high, print the verdict and record it for the book's page of claims.

    name: the claim in words; fmt: how the numbers are printed; said: what the report or a paper prints for it;
    reference: the reference run's figure, which stands in, marked as such, where ``value`` is None because a world is
    missing here.
    ClaimFailed outside the band; ValueError for NaN, an empty band or no value at all.
    """
    for text, what in ((name, "name"), (fmt, "fmt"), ("" if said is None else said, "said")):
        _validate.instance(text, what, str)
    low, high = _validate.number(low, "low"), _validate.number(high, "high")
    try:
        format(low, fmt)
    except ValueError as error:
        raise ValueError(f"fmt: expected a format of numbers, got {fmt!r:.60} ({error})") from error
    if low > high:
        raise ValueError(f"low, high: expected low ≤ high, got {low} and {high}")
    if reference is not None:
        reference = _validate.number(reference, "reference")
    stands_in = value is None
    if stands_in:
        if reference is None:
            raise ValueError(f"{name}: expected a value, or the reference run's figure in its place; got neither")
        print(
            f"{name}: the reference run's figure, {reference:{fmt}}, stands in for what is missing here",
            file=sys.stderr,
        )
    number = _validate.number(reference if stands_in else value, name)
    holds = low <= number <= high
    verdict = f"{name} within {low:{fmt}} to {high:{fmt}}: {'yes' if holds else 'NO'}"
    record = {
        "claim": name,
        "value": number,
        "low": low,
        "high": high,
        "fmt": fmt,
        "said": said,
        "reference": stands_in,
    }
    _record(f"claim:{name}", json.dumps(record))
    print(verdict)
    if not holds:
        raise ClaimFailed(f"{verdict}; measured {number:{fmt}}")


def agree(result, **measured):
    """Do figures of your own agree with the reference run's? Prints a verdict each: dict name → bool.

    result: ``"report_rule"`` (mnist, ood, total, norm_threshold, diff_threshold, fashion, cifar10), ``"rule"`` (the
    recommended one: mnist, ood, total), ``"nst"`` (style and content: mnist, ood, total) or ``"mtae"``
    (closed_accuracy); measured: some of these figures. One more training agrees where it lies in the 95 % prediction
    interval of the reference seeds, mean ± t·std·√(1 + 1/n), or within 0.2 % of their mean: as much as other machines
    and versions have moved a figure. ValueError for a result or figure that there is not.
    """
    reference = zoo.reference()
    model = reference["models"]["mtae"]
    closed = {key: {"closed_accuracy": model[f"closed_accuracy_{key}"]} for key in ("mean", "std")}
    known = {name: reference[name] for name in ("report_rule", "rule")} | {
        "nst": reference["nst"]["mixed"],
        "mtae": closed,
    }
    one, seeds = known[_validate.choice(result, "result", known)], reference["seeds_count"]
    width = float(scipy.stats.t.ppf(0.975, seeds - 1)) * math.sqrt(1 + 1 / seeds)
    verdicts = {}
    for name, value in measured.items():
        _validate.choice(name, "measured", one["mean"])
        value, mean = _validate.number(value, name), one["mean"][name]
        margin = max(width * one["std"][name], 0.002 * mean)
        verdicts[name] = abs(value - mean) <= margin
        word = "agrees" if verdicts[name] else "DIFFERS"
        print(f"{name}: {value:.4g} {word} with {mean:.4g} ± {margin:.2g} ({seeds} seeds)")
    return verdicts


def _record(name, text):
    metadata = {"scrapbook": {"name": name, "mime_prefix": PREFIX}}
    from IPython.display import display  # a third of a second: only where a notebook asks

    display({f"{PREFIX}text/plain": text}, raw=True, metadata=metadata)
