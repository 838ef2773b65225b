"""The breakdown of scenarios by shape, coverage and colour of the mask and by columns of a protocol, as heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskgen.page.page import Cell, Table, Value

from ..evaluation import limits
from ..evaluation.report import Row
from . import cells
from .figure_tables import value
from .given import Evaluation

FIGURES = {"eer": "EER %", "fmr100": "FMR100 %", "fmr10": "FMR10 %", "auc": "AUC"}
"""The figures that a heat map can show."""

MAX_GROUPS = 150
"""Groups of a heat map; a column of a protocol may have thousands of values."""


@dataclass(frozen=True)
class HeatMap:
    """One figure of every group: a table whose cells are coloured by their numbers."""

    figure: str
    label: str
    table: Table


def heat_maps(evaluations: Sequence[Evaluation]) -> tuple[list[HeatMap], str]:
    """A heat map for each figure, and a sentence if groups are left out; no heat map if nothing is broken down."""
    columns = [
        (each, row.scenario) for each in evaluations for row in each.report.rows if _groups([each], row.scenario)
    ]
    groups = _groups(evaluations)
    if not groups:
        return [], ""
    left_out = len(groups) - MAX_GROUPS
    note = f"{left_out:,} more groups are in the tables of the evaluation." if left_out > 0 else ""
    return [_heat_map(figure, columns, groups[:MAX_GROUPS]) for figure in FIGURES], note


def _groups(evaluations: Sequence[Evaluation], scenario: str = "") -> list[str]:
    return list(
        dict.fromkeys(
            row.group for each in evaluations for row in each.report.breakdown if scenario in ("", row.scenario)
        )
    )


def _heat_map(figure: str, columns: Sequence[tuple[Evaluation, str]], groups: Sequence[str]) -> HeatMap:
    several = len({each.name for each, _ in columns}) > 1
    heads = ["group", *(f"{scenario}, {each.name}" if several else scenario for each, scenario in columns), "Ng"]
    found = {(each.name, row.scenario, row.group): row for each, _ in columns for row in each.report.breakdown}
    rows = [[found.get((each.name, scenario, group)) for each, scenario in columns] for group in groups]
    known = [
        float(value(row, figure)) for line in rows for row in line if row and limits.shows(figure, row.figures.impostor)
    ]
    low, high = min(known, default=0.0), max(known, default=1.0)
    made: list[list[Value]] = [
        [
            _label(group),
            *(_cell(row, figure, low, high) for row in line),
            cells.count(max((row.figures.genuine for row in line if row), default=0)),
        ]
        for group, line in zip(groups, rows, strict=True)
    ]
    label = FIGURES[figure]
    return HeatMap(figure, label, Table(f"{label} by group; the stronger the colour, the more errors", heads, made))


def _cell(row: Row | None, figure: str, low: float, high: float) -> Cell:
    if row is None:
        return Cell("")
    if not limits.shows(figure, row.figures.impostor):
        return cells.unresolved()
    measured = value(row, figure)
    heat = (measured - low) / (high - low) if high > low else 0.0
    if figure == "auc":
        return cells.number(measured, heat=1 - heat)
    return cells.percent(measured, heat=heat)


def _label(group: str) -> str:
    """`wide_high` as `wide, high`; `color_black` as `colour black`; the value of a column of a protocol as it is."""
    if "=" in group:
        return group
    if group.startswith("color_"):
        return f"colour {group.removeprefix('color_')}"
    return group.replace("_", ", ")
