"""The tables of a report, as data: `table_formats` writes them as text, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from .measurement import Measurement

if TYPE_CHECKING:
    from .report import Report, Row

Cell = str | float | None
"""A cell: text, a number, or None if there is nothing. Rates are shares; a `Measurement` brings its interval."""

Kind = Literal["text", "percent", "number", "count"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `name` is for programs, `label` for readers. A `percent` column holds shares and is shown in percent, with `digits`
    decimals; None shows as many as the number has. With `starred`, figures with few errors get a star.
    """

    name: str
    label: str
    kind: Kind
    digits: int | None = None
    starred: bool = False


@dataclass(frozen=True)
class Table:
    """A table of figures.

    `intervals` says where text shows the 95 % intervals of measurements: in two lines below a row, in two columns, or
    not at all. CSV always has them.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    intervals: Literal["lines", "columns", "hidden"] = "hidden"


FIGURES = (
    Column("fmr100", "FMR100 %", "percent", 2, starred=True),
    Column("fmr10", "FMR10 %", "percent", 2, starred=True),
    Column("eer", "EER %", "percent", 2, starred=True),
    Column("auc", "AUC", "number", 4),
    Column("gmean", "GMean", "number", 4),
    Column("imean", "IMean", "number", 4),
)
"""The figures of the first table. A name is an attribute of `Row` that gives a `Measurement`."""

_PAIRS = (Column("genuine", "Ng", "count"), Column("impostor", "Ni", "count"))


def tables(report: Report) -> list[Table]:
    """The tables of a report in the order in which they are printed."""
    found = [_figures("scenarios", "Figures of each scenario", "scenario", report.rows, "lines")]
    if any(row.accuracy for row in report.rows):
        found.append(_accuracies(report.rows))
    for (scenario, by_column), rows in groupby(report.breakdown, lambda row: (row.scenario, "=" in row.group)):
        if by_column:  # of a protocol table: `session=2`
            title = f"{scenario} by the columns of the protocol"
            found.append(_figures(f"{scenario}_by_column", title, "group", list(rows), "lines"))
        else:
            found.append(_figures(f"{scenario}_by_mask", f"{scenario} by mask", "group", list(rows), "hidden"))
    if any(row.drift for row in report.rows):
        found.append(_drift(report.rows))
    return found


def _figures(name: str, title: str, first: str, rows: Sequence[Row], intervals: Literal["lines", "hidden"]) -> Table:
    columns = (Column(first, "scenario", "text"), *FIGURES, *_PAIRS)
    cells = (
        (
            row.group or row.scenario,
            *(getattr(row, column.name) for column in FIGURES),
            row.figures.genuine,
            row.figures.impostor,
        )
        for row in rows
    )
    return Table(name, title, columns, tuple(cells), intervals)


def _accuracies(rows: Sequence[Row]) -> Table:
    columns = (
        Column("scenario", "scenario", "text"),
        Column("accuracy", "accuracy %", "percent", 2),
        Column("standard_error", "standard error %", "percent", 2),
        Column("folds", "folds", "count"),
        Column("lowest", "lowest %", "percent", 2),
        Column("highest", "highest %", "percent", 2),
    )
    cells = (
        (row.scenario, found.mean, found.standard_error, len(found.folds), min(found.folds), max(found.folds))
        for row, found in ((row, row.accuracy) for row in rows)
        if found
    )
    title = "Accuracy over folds, each at the threshold that is best on the others"
    return Table("accuracy", title, columns, tuple(cells))


def _drift(rows: Sequence[Row]) -> Table:
    columns = (
        Column("scenario", "scenario", "text"),
        Column("uu_fmr", "U-U FMR %", "percent"),
        Column("fnmr", "FNMR %", "percent", 2),
        Column("fmr", "FMR %", "percent", 3),
    )
    cells = []
    for row in rows:
        for fixed, point in row.drift.items():
            ends = row.intervals.intervals.get(fixed.name) if row.intervals else None
            cells.append((row.scenario, fixed.limit, Measurement(point.fnmr, ends, point.threshold), point.fmr))
    return Table("fixed_thresholds", "At thresholds fixed on U-U, by their FMR there", columns, tuple(cells), "columns")
