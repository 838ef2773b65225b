"""What a comparison writes: its tables as text, CSV and LaTeX, the DET curves over each other, and comparison.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskgen.errors import MaskgenError
from maskgen.terminal import noted

from ..evaluation import curves, plots
from ..evaluation.measurement import Measurement
from ..evaluation.table_files import write_tables, write_text
from ..evaluation.tables import UNRESOLVED, Cell, Column, Table, figure_columns
from ..figure import save
from . import conclusions, paired

if TYPE_CHECKING:
    from .compare import SystemComparison

RESULT = "comparison.json"

_FIGURES = figure_columns("fmr100", "fmr10", "eer", "auc", starred=False)


def tables(found: SystemComparison) -> list[Table]:
    """For each scenario the figures of every system, and their differences from the first one."""
    names = [scenario.name for scenario in found.scenarios]
    return [table for name in names for table in (_figures(found, name), _steps(found, name))]


def _figures(found: SystemComparison, scenario: str) -> Table:
    its = next(each for each in found.scenarios if each.name == scenario)
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(system.measurement(column.name) if its.shows(column.name) else UNRESOLVED for column in _FIGURES),
        )
        for name, system in zip(found.systems, its.found, strict=True)
    ]
    columns = (Column("system", "system", "text"), *_FIGURES)
    return Table(f"{scenario}_systems", f"{scenario}, each system", columns, tuple(rows), "lines")


def _steps(found: SystemComparison, scenario: str) -> Table:
    its = next(each for each in found.scenarios if each.name == scenario)
    rows: list[tuple[Cell, ...]] = []
    for name in found.systems[1:]:
        steps = {each.figure: each for each in found.differences if (each.scenario, each.system) == (scenario, name)}
        cells: list[Cell] = [name]
        for column in _FIGURES:
            step = steps[column.name]
            cells.append(Measurement(step.value, (step.low, step.high)) if its.shows(column.name) else UNRESOLVED)
        rows.append(tuple(cells))
    columns = (Column("system", "system", "text"), *_FIGURES)
    title = f"{scenario}, difference from {found.systems[0]} over the same draws of subjects"
    return Table(f"{scenario}_differences", title, columns, tuple(rows), "lines")


def text(found: SystemComparison) -> list[str]:
    """The lines that the command prints."""
    lines = conclusions.printed(tables(found), found.conclusions)
    return [*lines, *map(noted, found.notes)]


def write(found: SystemComparison, formats: Sequence[str]) -> None:
    """Writes the results into the folder of a comparison; each file replaces an earlier one of its name."""
    try:
        found.out.mkdir(parents=True, exist_ok=True)
        write_tables(tables(found), found.out)
        for scenario in found.scenarios:
            shown = {
                name: curves.curve(paired.counts_of(system))
                for name, system in zip(found.systems, scenario.pairs, strict=True)
            }
            save(plots.det(shown), found.out / f"det-{scenario.name}", formats)
        write_text(found.out / RESULT, json.dumps(found.as_json(), indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise MaskgenError(
            f"cannot write to {found.out} ({error.strerror or error}); make room or give another --out."
        ) from None
