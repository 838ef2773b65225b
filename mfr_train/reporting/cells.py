"""Measurements and counts as cells of tables and as words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from maskgen.page.page import Cell
from maskgen.page.text import NAME, clip

from ..evaluation.measurement import Measurement
from ..evaluation.report import Report
from ..evaluation.tables import UNRESOLVED


def percent(measured: Measurement, digits: int = 2, heat: float | None = None) -> Cell:
    """A rate in percent, with a star for few errors and its interval below."""
    return with_interval(measured, measured.interval, 100.0, digits, few=measured.few_errors, heat=heat)


def number(measured: Measurement, digits: int = 4, heat: float | None = None) -> Cell:
    """A number that is no rate, with its interval below."""
    return with_interval(measured, measured.interval, 1.0, digits, few=measured.few_errors, heat=heat)


def share(value: float, digits: int = 2) -> Cell:
    """A share without an interval, in percent."""
    return Cell(f"{100 * value:.{digits}f}", 100 * value)


def threshold(value: float | None) -> Cell:
    """A threshold; infinity matches nothing."""
    if value is None:
        return Cell("")
    return Cell(f"{value:.4f}", value) if math.isfinite(value) else Cell("no match", missing=True)


def count(value: float) -> Cell:
    """A whole number with thousands separators."""
    return Cell(f"{value:,.0f}", value)


def unresolved() -> Cell:
    """The cell of a rate for which there are too few impostor pairs."""
    return Cell(UNRESOLVED, missing=True)


def in_words(measured: Measurement, digits: int = 2) -> str:
    """A rate for a sentence: `12.34 % (95 % interval 10.20 to 15.60 %)`."""
    ends = measured.interval
    told = f"{100 * measured:.{digits}f} %"
    return (
        told if ends is None else f"{told} (95 % interval {100 * ends[0]:.{digits}f} to {100 * ends[1]:.{digits}f} %)"
    )


def data_name(report: Report) -> str:
    """What a report was measured on, short: the name of its folder or file."""
    if report.settings.embeddings is not None:
        return "given embeddings"
    return clip(Path(report.data).name or report.data, NAME)


def with_interval(
    value: float | None,
    ends: Sequence[float] | None,
    scale: float,
    digits: int,
    *,
    sign: str = "",
    few: bool = False,
    heat: float | None = None,
) -> Cell:
    """A number times `scale`, with the ends of its interval below; an empty cell if it is not known.

    `sign` is that of the format, such as `+` for a difference; `few` adds the star for few errors.
    """
    if value is None or not math.isfinite(value):
        return Cell("")
    told = [f"{scale * end:{sign}.{digits}f}" for end in ends or ()]
    note = f"[{', '.join(told)}]" if told else ""
    return Cell(f"{scale * value:{sign}.{digits}f}{'*' if few else ''}", scale * value, note, heat)
