"""`mfr table`: reports side by side, and those that differ only by a seed as their mean and range."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError, shown_lines
from maskgen.terminal import noted

from ..defaults import SCENARIOS
from ..evaluation.measurement import Measurement
from ..evaluation.report import REPORT, Report
from ..evaluation.table_files import write_tables
from ..evaluation.table_formats import as_text
from ..evaluation.tables import FEW_NOTE, FIGURES, Cell, Column, Table
from ..networks.run_files import SETTINGS, is_run, record_of
from ..training.train_settings import TrainSettings, recorded

NOT_COMPARED = ("seed", "run", "out")
"""Settings of an evaluation in which the reports of one line may differ."""

MAX_DEPTH = 8
"""So many runs, each on the weights of the one before, are looked at."""

RANGE = "In brackets: the range over seeds; of a single evaluation the 95 \\% interval over subjects."


@dataclass(frozen=True)
class Line:
    """The reports of one line of the tables: one, or several that differ by a seed."""

    name: str
    reports: tuple[Report, ...]


def lines(paths: Sequence[str | Path]) -> list[Line]:
    """The reports in these folders, grouped, in the order in which they were given.

    Raises `UsageError` if one is not the folder of an evaluation, or a report is given twice.
    """
    groups: dict[str, list[Report]] = {}
    for report in map(_report, paths):
        same = groups.setdefault(json.dumps(_what(report), sort_keys=True), [])
        if any((each.settings.seed, each.fingerprint) == (report.settings.seed, report.fingerprint) for each in same):
            raise UsageError(f"{report.out} has the same model, settings and seed as another report; give it once.")
        same.append(report)
    names = [_name(reports) for reports in groups.values()]
    return [
        Line(name if names.count(name) == 1 else f"{name} ({reports[0].out.name})", tuple(reports))
        for name, reports in zip(names, groups.values(), strict=True)
    ]


def _report(path: str | Path) -> Report:
    folder = Path(path)
    if is_run(folder) and not (folder / REPORT).is_file():
        raise UsageError(f"{folder} is a run; measure it with mfr eval --run {folder}, and give the report's folder.")
    return Report.load(folder)


def _what(report: Report) -> list[Any]:
    """What was measured and how, but for seeds."""
    made = declared.jsonable(report.settings, run_only=False)
    run = report.settings.run
    model = _trained(run, report.settings.stage) if run else None
    return [{name: made[name] for name in made if name not in NOT_COMPARED}, report.data, model or report.fingerprint]


def _trained(run: Path, stage: str | None, depth: int = 0) -> dict[str, Any] | None:
    """How a run was trained, but for its seed; None if that is not known."""
    record = record_of(run)
    there = record.get("settings")
    if not isinstance(there, dict) or depth > MAX_DEPTH:
        return None
    there, names = recorded(there), declared.jsonable(TrainSettings(), run_only=False)
    found = {name: there.get(name) for name in names if name not in ("seed", "weights")}
    weights: Any = record.get("weights_sha256")
    if isinstance(there.get("weights"), str) and (Path(there["weights"]) / SETTINGS).is_file():
        weights = _trained(Path(there["weights"]), None, depth + 1) or weights
    return {**found, "data": record.get("dataset"), "weights": weights, "measured": stage}


def _name(reports: Sequence[Report]) -> str:
    """The name of the model; of several the part that does not number them."""
    name = reports[0].model
    if len({report.model for report in reports}) == 1:
        return name
    return re.sub(r"[-_. ]*(seed)?[-_. ]*[0-9]+$", "", name) or name


def tables(found: Sequence[Line]) -> list[Table]:
    """A table of each scenario that at least one report has."""
    several = any(len(line.reports) > 1 for line in found)
    columns = (Column("system", "system", "text"), *([Column("seeds", "seeds", "count")] * several), *FIGURES)
    made = []
    for scenario in SCENARIOS:
        rows: list[tuple[Cell, ...]] = []
        for line in found:
            reports = [report for report in line.reports if scenario in report]
            cells = [_cell([getattr(report[scenario], column.name) for report in reports]) for column in FIGURES]
            rows.append((line.name, *([float(len(reports))] * several), *cells))
        if any(cell is not None for row in rows for cell in row[1 + several :]):
            own: dict[str, Any] = {"ends": ("from", "to"), "bracket_note": RANGE} if several else {}
            made.append(Table(scenario, f"{scenario}, side by side", columns, tuple(rows), "lines", **own))
    if not made:
        raise MaskgenError("the reports have no scenario U-U, U-M or M-M; measure one.")
    return made


def _cell(values: Sequence[Measurement]) -> Cell:
    """One measurement with its interval, or the mean of several with their range."""
    if len(values) < 2:
        return values[0] if values else None
    few = any(value.few_errors for value in values)
    return Measurement(fmean(values), (min(values).value, max(values).value), few_errors=few)


def text(found: Sequence[Line]) -> str:
    """The tables as the command prints them."""
    printed: list[str] = []
    for table in tables(found):
        printed += [f"{table.title}:", *as_text(table), ""]
    for line in found:
        if len(line.reports) > 1:
            printed.append(f"{line.name}: mean and range of {', '.join(each.out.name for each in line.reports)}.")
    every = [report for line in found for report in line.reports]
    if len(data := sorted({report.data for report in every})) > 1:
        printed.append(noted(f"the reports name different data: {', '.join(data)}."))
    if any(row.few for report in every for row in report.rows):
        printed.append(FEW_NOTE)
    return shown_lines(printed).rstrip()


def write(found: Sequence[Line], folder: Path) -> list[Path]:
    """Writes the tables as CSV, one file each, and as LaTeX. Raises `MaskgenError` if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return write_tables(tables(found), folder)
    except OSError as error:
        raise MaskgenError(f"cannot write to {folder} ({error.strerror or error}); give another --out.") from None
