"""What an ablation writes and prints: the paper's table for each scenario, plots, and ablation.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from maskgen.terminal import noted

from ..comparison import conclusions, paired
from ..comparison.table_files import write_tables, write_text
from ..defaults import SCENARIOS
from ..evaluation import plots
from ..evaluation.measurement import Measurement
from ..evaluation.tables import Cell, Column, Table, figure_columns
from ..figure import COLORS, NOTE_COLOR, NOTE_SIZE, label, new_figure, save, styled
from .kinds import FIGURES, SCENARIO

if TYPE_CHECKING:
    from .ablate import Ablation, AblationRow
    from .choosing import Choice

RESULT, BY_ROW = "ablation.json", "by-row"

_FIGURES, _PLAIN = figure_columns(*FIGURES), figure_columns(*FIGURES, starred=False)

_ROW = Column("row", "row", "text")


def tables(found: Ablation) -> list[Table]:
    """For each scenario the figures of each row, their range over seeds, and what each row changes."""
    made = [_choice(found.choice)] if found.choice else []
    for scenario in SCENARIOS:
        made.append(_figures(found, scenario))
        if any(len(row.found) > 1 for row in found.rows):
            made.append(_seeds(found, scenario))
        if found.differences:
            made.append(_steps(found, scenario))
    return made


def _choice(choice: Choice) -> Table:
    """The figure of each candidate for lambda on held-out training identities."""
    column = next(each for each in _FIGURES if each.name == choice.figure)
    halves = [
        Column(f"{column.name}{name}", f"{column.label}{label}", column.kind, column.digits)
        for name, label in (("", ""), ("_half_0", ", one half"), ("_half_1", ", the other"))
    ]
    cells: list[tuple[Cell, ...]] = [
        (f"{weight:g}", sum(found) / 2, *found, "chosen" if weight == choice.weight else "")
        for weight, found in choice.values.items()
    ]
    columns = (Column("weight", "lambda", "text"), *halves, Column("chosen", "", "text"))
    return Table("choice", f"{SCENARIO} of held-out training identities, by lambda", columns, tuple(cells))


def _figures(found: Ablation, scenario: str) -> Table:
    columns = (_ROW, Column("runs", "runs", "count"), *_FIGURES)
    cells: list[tuple[Cell, ...]] = [
        (row.label, len(row.found), *(_measurement(row, scenario, column.name) for column in _FIGURES))
        for row in found.rows
    ]
    return Table(scenario, f"{scenario}, mean over the runs of each row", columns, tuple(cells), "lines")


def _measurement(row: AblationRow, scenario: str, figure: str) -> Measurement:
    few = any(figure in each.scenarios[scenario].few for each in row.found)
    return Measurement(row.drawn[scenario].values[figure], row.interval(scenario, figure), few_errors=few)


def _seeds(found: Ablation, scenario: str) -> Table:
    cells: list[tuple[Cell, ...]] = []
    for row in found.rows:
        for name, end in (("lowest", min), ("highest", max)) if len(row.found) > 1 else ():
            values = (end(row.values(scenario, column.name)) for column in _FIGURES)
            cells.append((f"{row.label}, {name}", *values))
    columns = (_ROW, *_PLAIN)
    return Table(f"{scenario}_seeds", f"{scenario}, range over seeds", columns, tuple(cells))


def _steps(found: Ablation, scenario: str) -> Table:
    cells: list[tuple[Cell, ...]] = []
    for above, row in pairwise(found.rows):
        steps = {
            each.figure: each for each in found.differences if (each.scenario, each.system) == (scenario, row.label)
        }
        chosen = (steps[column.name] for column in _FIGURES)
        values = (Measurement(each.value, (each.low, each.high)) for each in chosen)
        cells.append((row.label, above.label, *values))
    columns = (_ROW, Column("above", "less", "text"), *_PLAIN)
    title = f"{scenario}, difference from the row above over the same draws of subjects"
    return Table(f"{scenario}_differences", title, columns, tuple(cells), "lines")


def text(found: Ablation) -> list[str]:
    """The lines that the command prints."""
    lines = conclusions.printed(tables(found), found.conclusions)
    if any(few for row in found.rows for each in row.found for few in (s.few for s in each.scenarios.values())):
        lines.append("* fewer than 30 expected errors: too few for a precise figure.")
    return [*lines, f"Intervals are over the {found.subjects} test subjects.", *map(noted, found.notes)]


def write(found: Ablation, formats: Sequence[str]) -> None:
    """Writes the results into the folder; each file replaces an earlier one of its name."""
    write_tables(tables(found), found.out)
    for scenario in SCENARIOS if formats else ():
        first = {row.label: row.found[0].scenarios[scenario].curve for row in found.rows}
        save(plots.det(first), found.out / f"det-{scenario}", formats)
    if formats:
        save(by_row(found), found.out / BY_ROW, formats)
    write_text(found.out / RESULT, json.dumps(found.as_json(), indent=1, allow_nan=False) + "\n")


@styled
def by_row(found: Ablation) -> Any:
    """The figure of the conclusions by row, a panel for each scenario: mean, interval over subjects, and each run."""
    figure = found.settings.figure
    column = next(each for each in _FIGURES if each.name == figure)
    scale = 1.0 if figure in paired.HIGHER_IS_BETTER else 100.0
    height = 0.65 + len(SCENARIOS) * (0.35 + 0.16 * len(found.rows))
    shown, panels = new_figure(height=height, rows=len(SCENARIOS), share_x=True)
    places = range(len(found.rows))
    for axes, scenario in zip(panels, SCENARIOS, strict=True):
        for place, row in zip(places, found.rows, strict=True):
            mean = scale * row.drawn[scenario].values[figure]
            if ends := row.interval(scenario, figure):
                low, high = (scale * end for end in ends)
                axes.plot([low, high], [place, place], color=COLORS[1], solid_capstyle="butt")
            axes.plot([mean], [place], "o", color=COLORS[1])
            values = [scale * value for value in row.values(scenario, figure)]
            if len(values) > 1:
                axes.plot(values, [place] * len(values), "|", color=COLORS[0], markersize=6)
        axes.set_yticks(list(places), [label(row.label) for row in found.rows])
        axes.set_ylim(len(found.rows) - 0.5, -0.5)
        axes.set_title(scenario, loc="left")
    note = "\u25cf mean of the runs, 95 % interval over subjects   | each run"
    shown.suptitle(note, fontsize=NOTE_SIZE, color=NOTE_COLOR)
    panels[-1].set_xlabel(column.label)
    return shown
