"""What differences between systems allow to conclude: corrected p-values, and one sentence for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from maskgen.errors import UsageError

from ..evaluation.table_formats import as_text
from ..evaluation.tables import Table
from . import paired
from .paired import Difference

SIGNIFICANT = 0.05
"""A conclusion needs a corrected p-value below this."""


def check_resamples(resamples: int, conclusions: int) -> None:
    """Raises `UsageError` if the smallest p-value that there can be is not significant once it is corrected."""
    least = math.ceil(2 * conclusions / SIGNIFICANT)
    if resamples < least:
        raise UsageError(
            f"--bootstrap {resamples} cannot show any difference in {conclusions} conclusions; give at least {least}."
        )


def corrected(found: Sequence[Difference], figure: str, scenarios: Sequence[str]) -> list[Difference]:
    """The differences, with p-values corrected by Holm's method for those of `figure` in these scenarios."""
    adjusted = paired.holm(
        {f"{i}": each.p for i, each in enumerate(found) if each.figure == figure and each.scenario in scenarios}
    )
    return [replace(each, adjusted_p=adjusted.get(f"{i}")) for i, each in enumerate(found)]


def conclusion(difference: Difference, first: str) -> str:
    """The sentence on one system and scenario: better or worse than `first`, or that it cannot be told."""
    assert difference.adjusted_p is not None
    higher = difference.value > 0
    unit, scale = ("", 1.0) if difference.figure in paired.HIGHER_IS_BETTER else (" points", 100.0)
    digits = 2 if unit else 4
    low, high = sorted((abs(scale * difference.low), abs(scale * difference.high)))
    p = f"p = {difference.adjusted_p:.2g}"
    name = difference.figure.upper()
    if difference.adjusted_p >= SIGNIFICANT:
        ends = f"[{scale * difference.low:+.{digits}f}, {scale * difference.high:+.{digits}f}]"
        return (
            f"{difference.scenario}: whether {difference.system} or {first} is better cannot be told: {name} differs "
            f"by {scale * difference.value:+.{digits}f}{unit} {ends}, {p}."
        )
    better = higher == (difference.figure in paired.HIGHER_IS_BETTER)
    return (
        f"{difference.scenario}: {difference.system} is {'better' if better else 'worse'} than {first}: {name} is "
        f"{abs(scale * difference.value):.{digits}f}{unit} {'higher' if higher else 'lower'} "
        f"[{low:.{digits}f}, {high:.{digits}f}], {p}."
    )


def printed(tables: Sequence[Table], conclusions: Sequence[str]) -> list[str]:
    """Tables and conclusions as lines of text, and how many conclusions the p-values are corrected for."""
    lines: list[str] = []
    for table in tables:
        lines += [f"{table.title}:", *as_text(table), ""]
    lines += [*conclusions, ""]
    if len(conclusions) > 1:
        lines.append(f"p-values are corrected for {len(conclusions)} conclusions (Holm).")
    return lines
