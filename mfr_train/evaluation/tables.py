"""The tables of a report, as data: `table_formats` writes them as text, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from .identification import FPIR_LIMITS, RANKS, Identification
from .limits import resolved
from .metrics import FEW_ERRORS, FMR1000

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

    `intervals` says where text shows the 95 % intervals of measurements: in two lines below a row, in two columns, in
    brackets beside the figure, or not at all. CSV always has them. `ends` are the words before their ends,
    `bracket_note` says in LaTeX what they are.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    intervals: Literal["lines", "columns", "brackets", "hidden"] = "hidden"
    ends: tuple[str, str] = ("95 % from", "95 % to")
    bracket_note: str = "In brackets: 95 \\% intervals over subjects."


FIGURES = (
    Column("fmr100", "FMR100 %", "percent", 2, starred=True),
    Column("fmr10", "FMR10 %", "percent", 2, starred=True),
    Column("eer", "EER %", "percent", 2, starred=True),
    Column("auc", "AUC", "number", 4),
    Column("gmean", "GMean", "number", 4),
    Column("imean", "IMean", "number", 4),
)
"""The figures of the first table. A name is an attribute of `Row` that gives a `Measurement`."""


def figure_columns(*names: str, starred: bool = True) -> tuple[Column, ...]:
    """Some columns of the first table, in this order; not `starred` where nothing says how many errors are expected."""
    known = {column.name: column for column in FIGURES}
    return tuple(replace(known[name], starred=starred and known[name].starred) for name in names)


SPREAD = (
    Column("d_prime", "d'", "number", 4),
    Column("gstd", "GStd", "number", 4),
    Column("istd", "IStd", "number", 4),
    Column("fmr1000", "FMR1000 %", "percent", 2, starred=True),
    Column("zero_fmr", "ZeroFMR %", "percent", 2, starred=True),
    Column("nearest_fmr100", "nearest FMR100 %", "percent", 2, starred=True),
)
"""The figures of the second table, likewise."""

FEW_NOTE = f"* fewer than {FEW_ERRORS} expected errors: too few for a precise figure."
"""What a star beside a figure means."""

UNRESOLVED = "n/a"
"""The cell of an operating point for which there are too few impostor pairs."""

_PAIRS = (Column("genuine", "Ng", "count"), Column("impostor", "Ni", "count"))


def tables(report: Report) -> list[Table]:
    """The tables of a report in the order in which they are printed."""
    found = [_figures("scenarios", "Figures of each scenario", "scenario", report.rows, "lines")]
    if all(row.figures.d_prime is not None for row in report.rows):
        found.append(_spread(report.rows))
    found.append(_operating_points(report.rows))
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
    if report.identification:
        found.append(_identification(report.identification))
    return found


def main_figures(report: Report) -> Table:
    """EER, FMR100 and FMR10 of each scenario, a line for each."""
    chosen = figure_columns("eer", "fmr100", "fmr10")
    cells = ((row.scenario, *(getattr(row, column.name) for column in chosen)) for row in report.rows)
    columns = (Column("scenario", "scenario", "text"), *chosen)
    return Table("main", "Figures of each scenario", columns, tuple(cells), "brackets")


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


def _spread(rows: Sequence[Row]) -> Table:
    columns = (Column("scenario", "scenario", "text"), *SPREAD)
    cells = (
        (
            row.scenario,
            *(
                UNRESOLVED if each.name == "fmr1000" and not row.resolved(FMR1000) else getattr(row, each.name)
                for each in SPREAD
            ),
        )
        for row in rows
    )
    return Table("spread", "Decidability, standard deviations and further rates", columns, tuple(cells), "lines")


def _operating_points(rows: Sequence[Row]) -> Table:
    lost = any(row.lost_genuine for row in rows)
    columns = (
        Column("scenario", "scenario", "text"),
        Column("far", "FAR below %", "percent"),
        Column("tar", "TAR %", "percent", 2, starred=True),
        Column("threshold", "threshold", "number", 4),
        *([Column("fnmr_with_failures", "FNMR+lost %", "percent", 2)] if lost else []),
    )
    cells: list[tuple[Cell, ...]] = []
    for row in rows:
        for limit in row.limits:
            tar = row.tar(limit)
            found: tuple[Cell, ...] = (tar, tar.threshold) if row.resolved(limit) else (UNRESOLVED, None)
            counted = [float(row.with_failures(limit)) if row.resolved(limit) else UNRESOLVED] if lost else []
            cells.append((row.scenario, limit, *found, *counted))
    return Table("tar_at_far", "TAR at FAR: 1 - FNMR where the FMR is below a limit", columns, tuple(cells), "columns")


def _identification(found: Sequence[Identification]) -> Table:
    columns = (
        Column("scenario", "scenario", "text"),
        *(Column(f"rank{rank}", f"rank {rank} %", "percent", 2) for rank in RANKS),
        *(
            Column(f"fnir_at_fpir_{limit!r}", f"FNIR at {100 * limit:g} %", "percent", 2, starred=True)
            for limit in FPIR_LIMITS
        ),
        Column("gallery", "gallery", "count"),
        Column("probes", "probes", "count"),
    )
    cells: list[tuple[Cell, ...]] = []
    for each in found:
        hits = (each.hits(rank) for rank in RANKS)
        fnir = (each.fnir_at(limit) if resolved(limit, each.probes) else UNRESOLVED for limit in FPIR_LIMITS)
        cells.append((each.scenario, *hits, *fnir, float(each.gallery), float(each.probes)))
    title = "Identification (1:N): hit rates by rank, and FNIR where the FPIR is below a limit"
    return Table("identification", title, columns, tuple(cells), "lines")


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
    lowest = min(fixed.limit for row in rows for fixed in row.drift)
    columns = (
        Column("scenario", "scenario", "text"),
        Column("uu_fmr", "U-U FMR %", "percent"),
        Column("fnmr", "FNMR %", "percent", 2, starred=True),
        Column("fmr", "FMR %", "percent", 3 if lowest >= FMR1000 else 5),
    )
    cells = []
    for row in rows:
        for fixed, point in row.drift.items():
            cells.append((row.scenario, fixed.limit, row.at_uu(fixed.limit), point.fmr))
    return Table("fixed_thresholds", "At thresholds fixed on U-U, by their FMR there", columns, tuple(cells), "columns")
