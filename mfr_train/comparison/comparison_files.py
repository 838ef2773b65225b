"""What a comparison writes: its tables as text, CSV and LaTeX, the DET curves over each other, and comparison.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from maskgen.errors import MaskgenError
from maskgen.terminal import noted

from ..evaluation import curves, plots
from ..evaluation.table_files import write_tables, write_text
from ..evaluation.tables import UNRESOLVED, Cell, Column, Table, figure_columns
from ..figure import save
from . import conclusions, paired

if TYPE_CHECKING:
    from .compare import Scenario, SystemComparison

RESULT = "comparison.json"

_FIGURES = figure_columns("fmr100", "fmr10", "eer", "auc", starred=False)

_COLUMNS = (Column("system", "system", "text"), *_FIGURES)


def tables(found: SystemComparison) -> list[Table]:
    """For each scenario the figures of every system, and their differences from the first one."""
    return [table for each in found.scenarios for table in (_figures(found, each), _steps(found, each))]


def _figures(found: SystemComparison, scenario: Scenario) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, *(system.measurement(each.name) if scenario.shows(each.name) else UNRESOLVED for each in _FIGURES))
        for name, system in zip(found.systems, scenario.found, strict=True)
    ]
    return Table(f"{scenario.name}_systems", f"{scenario.name}, each system", _COLUMNS, tuple(rows), "lines")


def _steps(found: SystemComparison, scenario: Scenario) -> Table:
    steps = {(each.system, each.figure): each for each in found.differences if each.scenario == scenario.name}
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(steps[name, each.name].measurement if scenario.shows(each.name) else UNRESOLVED for each in _FIGURES),
        )
        for name in found.systems[1:]
    ]
    title = f"{scenario.name}, difference from {found.systems[0]} over the same draws of subjects"
    return Table(f"{scenario.name}_differences", title, _COLUMNS, tuple(rows), "lines")


def text(found: SystemComparison) -> list[str]:
    """The lines that the command prints."""
    lines = conclusions.printed(tables(found), found.conclusions)
    return [*lines, *map(noted, found.notes)]


def write(found: SystemComparison, formats: Sequence[str]) -> None:
    """Writes the results into the folder of a comparison; each file replaces an earlier one of its name."""
    try:
        found.out.mkdir(parents=True, exist_ok=True)
        write_tables(tables(found), found.out)
        for scenario in found.scenarios if formats else ():
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
