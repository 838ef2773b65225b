"""A report as text for the terminal: its tables, and what limits their figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from maskgen.errors import shown_lines
from maskgen.terminal import noted

from .metrics import LIMITS
from .pair_list import PairCounts
from .report import RATES, REPORT, Report
from .table_formats import as_text
from .tables import FEW_NOTE, Table, main_figures, tables

ALSO_SHORT = ("accuracy", "identification")
"""Tables of the whole report that the short one has, too: there are any only if they were asked for."""


def short_text(report: Report) -> str:
    """The main figures as text, in at most 80 columns: a line for each scenario, and what limits the figures."""
    shown_tables = [main_figures(report), *(table for table in tables(report) if table.name in ALSO_SHORT)]
    return _text(report, shown_tables, _limits(report, whole=False))


def report_text(report: Report) -> str:
    """The whole report as text: all tables, and what limits their figures.

    Tables have at most 80 columns, or more if values of a protocol's columns are long.
    """
    return _text(report, tables(report), _limits(report))


def _text(report: Report, shown_tables: Sequence[Table], limits: Iterable[str]) -> str:
    failed, count = (
        ", ".join(f"{count} {reason}" for reason, count in report.failures.items()),
        sum(report.failures.values()),
    )
    lines = [
        f"{report.model} on {report.data}: {report.subjects} subjects, {report.photographs} photographs, "
        f"{count} failure{'' if count == 1 else 's'}{f' ({failed})' if failed else ''}",
        *([_pairs_line(report.pairs)] if report.pairs else []),
        "",
    ]
    first, *others = shown_tables
    lines += as_text(first)
    for table in others:
        lines += ["", _title(table), *as_text(table)]
    notes = [*limits, *map(noted, report.notes)]
    return shown_lines([*lines, *([""] if notes else []), *notes])


def _title(table: Table) -> str:
    return f"{table.title}{f' (intervals are in {REPORT})' if table.name.endswith('_by_mask') else ''}:"


def _limits(report: Report, whole: bool = True) -> Iterator[str]:
    """Sentences about figures with few errors and about what was counted in bins."""
    if any(row.few for row in (report if whole else report.rows)):
        yield FEW_NOTE
    printed = {limit for row in report.rows for limit in (row.limits if whole else LIMITS) if not row.resolved(limit)}
    for limit in sorted(printed, reverse=True):
        yield f"n/a: an FMR below {100 * limit:g} % needs more than {1 / limit:,.0f} impostor pairs."
    if not whole:
        return
    for row in report.rows:
        if row.lost_genuine:
            yield noted(
                f"{row.scenario}: FNMR+lost counts {row.lost_genuine:,} genuine pairs whose photographs could not be "
                "used as non-matches."
            )
    for row in report.rows:
        if row.binned:
            said = ", ".join(f"{name} {value:.1e}" for name, value in row.figures.bounds.items())
            yield noted(f"{row.scenario} was counted in bins; a figure is that of the exact scores within: {said}.")
    bounds = [row.intervals.bound.get(name, 0) for row in report.rows if row.intervals for name in RATES]
    if coarse := max(bounds, default=0):
        yield noted(
            f"Resamples were counted in bins: the ends of an interval of a rate are within {100 * coarse:.2f} %."
        )


def _pairs_line(pairs: PairCounts) -> str:
    failed = sum(pairs.failed.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in pairs.failed.items())
    listed = f"{pairs.file}: {pairs.genuine:,} genuine and {pairs.impostor:,} impostor pairs, {failed:,} failed"
    return listed + (f" ({why}; {pairs.failed_genuine:,} of them genuine)" if failed else "")
