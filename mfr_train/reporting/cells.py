"""Measurements and counts as cells of tables and as words."""

from __future__ import annotations

import math
from pathlib import Path

from maskgen.errors import shown
from maskgen.page.page import Cell

from ..evaluation.measurement import Measurement
from ..evaluation.report import Report
from ..evaluation.tables import UNRESOLVED

LONGEST = 60
"""Characters of a name in a caption or a label; tables show names whole."""


def percent(measured: Measurement, digits: int = 2, heat: float | None = None) -> Cell:
    """A rate in percent, with a star for few errors and its interval below."""
    return _cell(measured, 100.0, digits, heat)


def number(measured: Measurement, digits: int = 4, heat: float | None = None) -> Cell:
    """A number that is no rate, with its interval below."""
    return _cell(measured, 1.0, digits, heat)


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


def brief(text: object, longest: int = LONGEST) -> str:
    """A name for a caption: escaped, and cut off if it is long."""
    escaped = shown(text)
    return escaped if len(escaped) <= longest else escaped[: longest - 1] + "…"


def plural(value: float, one: str, many: str = "") -> str:
    """A count with its noun: `1 person`, `1,200 people`."""
    return f"{value:,.0f} {one if value == 1 else many or one + 's'}"


def data_name(report: Report) -> str:
    """What a report was measured on, short: the name of its folder or file."""
    if report.settings.embeddings is not None:
        return "given embeddings"
    return brief(Path(report.data).name or report.data)


def _cell(measured: Measurement, scale: float, digits: int, heat: float | None) -> Cell:
    value = scale * measured
    ends = measured.interval
    note = "" if ends is None else f"[{scale * ends[0]:.{digits}f}, {scale * ends[1]:.{digits}f}]"
    return Cell(f"{value:.{digits}f}{'*' if measured.few_errors else ''}", value, note, heat)
