"""What the book says, tied to what was measured.

``glue`` hands a number to the prose around it. ``check`` states a claim: it prints a verdict that is the same on every
machine, and fails where the number leaves its band.
"""

import json
import sys

from osrlib import _validate

PREFIX = "application/papermill.record/"


class ClaimFailed(AssertionError):
    """A measured value lies outside the band that the book claims for it."""


def glue(**values):
    """Record values by name in the notebook, where the prose's ``{glue:text}`` roles find them."""
    for name, value in values.items():
        _record(name, str(value))


def check(name, value, low, high, fmt=".1%", *, reference=None):
    """Check low ≤ value ≤ high, print the verdict and record it for the book's page of claims.

    name: the claim in words; fmt: how the numbers are printed; reference: the reference run's figure, which stands in,
    marked as such, where ``value`` is None because a world is missing here.
    ClaimFailed outside the band; ValueError for NaN, an empty band or no value at all.
    """
    low, high = _validate.number(low, "low"), _validate.number(high, "high")
    if low > high:
        raise ValueError(f"low, high: expected low ≤ high, got {low} and {high}")
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
    record = {"claim": name, "value": number, "low": low, "high": high, "fmt": fmt, "reference": stands_in}
    _record(f"claim:{name}", json.dumps(record))
    print(verdict)
    if not holds:
        raise ClaimFailed(f"{verdict}; measured {number:{fmt}}")


def _record(name, text):
    metadata = {"scrapbook": {"name": name, "mime_prefix": PREFIX}}
    from IPython.display import display  # a third of a second: only where a notebook asks

    display({f"{PREFIX}text/plain": text}, raw=True, metadata=metadata)
