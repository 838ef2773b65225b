"""What differences between systems allow to conclude: corrected p-values, and one sentence for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..defaults import SCENARIOS
from . import paired
from .paired import Difference

SIGNIFICANT = 0.05
"""A conclusion needs a corrected p-value below this."""


def corrected(found: Sequence[Difference], figure: str, scenarios: Sequence[str] = SCENARIOS) -> list[Difference]:
    """The differences, with p-values corrected by Holm's method for those of `figure` in these scenarios."""
    chosen = {f"{i}": each.p for i, each in enumerate(found) if each.figure == figure and each.scenario in scenarios}
    adjusted = paired.holm(chosen)
    return [replace(each, adjusted_p=adjusted.get(f"{i}")) for i, each in enumerate(found)]


def conclusion(difference: Difference, first: str) -> str:
    """The sentence on one system and scenario: better or worse than `first`, or that it cannot be told."""
    assert difference.adjusted_p is not None
    higher = difference.value > 0
    unit, scale = ("", 1.0) if difference.figure in paired.HIGHER_IS_BETTER else (" points", 100.0)
    low, high = sorted((abs(scale * difference.low), abs(scale * difference.high)))
    p = f"p = {difference.adjusted_p:.2g}"
    name = difference.figure.upper()
    if difference.adjusted_p >= SIGNIFICANT:
        ends = f"[{scale * difference.low:+.3g}, {scale * difference.high:+.3g}]"
        return (
            f"{difference.scenario}: whether {difference.system} or {first} is better cannot be told: {name} differs "
            f"by {scale * difference.value:+.3g}{unit} {ends}, {p}."
        )
    better = higher == (difference.figure in paired.HIGHER_IS_BETTER)
    return (
        f"{difference.scenario}: {difference.system} is {'better' if better else 'worse'} than {first}: {name} is "
        f"{abs(scale * difference.value):.3g}{unit} {'higher' if higher else 'lower'} [{low:.3g}, {high:.3g}], {p}."
    )
