"""A report as text for the terminal: its tables, and what limits their figures."""

from __future__ import annotations

from collections.abc import Iterator

from maskgen.errors import shown_lines

from .pair_list import PairCounts
from .report import RATES, REPORT, Report
from .table_formats import as_text
from .tables import Table, tables


def report_text(report: Report) -> str:
    """The report as text: figures and intervals of each scenario, and notes.

    Tables have at most 80 columns, or more if values of a protocol's columns are long.
    """
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
    first, *others = tables(report)
    lines += as_text(first)
    for table in others:
        lines += ["", _title(table), *as_text(table)]
    for limit in _limits(report):
        lines += ["", limit]
    return shown_lines([*lines, *(["", *report.notes] if report.notes else [])])


def _title(table: Table) -> str:
    return f"{table.title}{f' (intervals are in {REPORT})' if table.name.endswith('_by_mask') else ''}:"


def _limits(report: Report) -> Iterator[str]:
    """Sentences about figures with few errors and about what was counted in bins."""
    if any(row.few for row in report):
        yield "* fewer than 30 expected errors behind this figure: take it as a hint."
    short = {limit for row in report.rows for limit in row.limits if not row.resolved(limit)}
    for limit in sorted(short, reverse=True):
        yield f"n/a: an FMR below {100 * limit:g} % needs more than {1 / limit:,.0f} impostor pairs."
    for row in report.rows:
        if row.lost_genuine:
            yield (
                f"{row.scenario}: FNMR+lost counts {row.lost_genuine:,} genuine pairs whose photographs could not be "
                "used as non-matches."
            )
    for row in report.rows:
        if row.binned:
            said = ", ".join(f"{name} {value:.1e}" for name, value in row.figures.bounds.items())
            yield f"{row.scenario} was counted in bins; a figure is that of the exact scores within: {said}."
    bounds = [row.intervals.bound.get(name, 0) for row in report.rows if row.intervals for name in RATES]
    if coarse := max(bounds, default=0):
        yield f"Resamples were counted in bins: the ends of an interval of a rate are within {100 * coarse:.2f} %."


def _pairs_line(pairs: PairCounts) -> str:
    failed = sum(pairs.failed.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in pairs.failed.items())
    listed = f"{pairs.file}: {pairs.genuine:,} genuine and {pairs.impostor:,} impostor pairs, {failed:,} failed"
    return listed + (f" ({why}; {pairs.failed_genuine:,} of them genuine)" if failed else "")
