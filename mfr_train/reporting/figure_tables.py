"""The tables of figures: scenarios, operating points, accuracy over folds, identification and fixed thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from maskgen.page.page import Cell, Table, Value

from ..evaluation import metrics
from ..evaluation.identification import FPIR_LIMITS, RANKS
from ..evaluation.limits import resolved
from ..evaluation.measurement import Measurement
from ..evaluation.metrics import FMR10, FMR100
from ..evaluation.report import Report, Row
from . import cells
from .given import Evaluation


def scenarios(evaluations: Sequence[Evaluation]) -> Table:
    """One line for each scenario and model."""
    heads = ("scenario", "model", "FMR100 %", "FMR10 %", "EER %", "AUC", "GMean", "IMean", "d′", "Ng", "Ni")
    rows: list[list[Value]] = []
    for each, row in _rows(evaluations):
        spread = [cells.number(row.d_prime, 3)] if row.figures.d_prime is not None else [Cell("")]
        rows.append(
            [
                row.scenario,
                each.name,
                *(
                    cells.percent(row.at(limit)) if row.resolved(limit) else cells.unresolved()
                    for limit in (FMR100, FMR10)
                ),
                cells.percent(row.eer),
                *(cells.number(measured) for measured in (row.auc, row.gmean, row.imean)),
                *spread,
                cells.count(row.figures.genuine),
                cells.count(row.figures.impostor),
            ]
        )
    told = ", with 95 % intervals over people" if has_intervals(evaluations) else ""
    return Table(f"Each scenario and model{told}", heads, rows)


def has_intervals(evaluations: Sequence[Evaluation]) -> bool:
    """Whether any of them has resamples, and so intervals."""
    return any(row.intervals is not None for _, row in _rows(evaluations))


def operating_points(evaluations: Sequence[Evaluation]) -> Table:
    """TAR at FAR, with the thresholds, and the FNMR that counts failures as non-matches if there were any."""
    lost = any(row.lost_genuine for _, row in _rows(evaluations))
    heads = ("scenario", "model", "FAR below %", "TAR %", "threshold", *(["FNMR with failures %"] if lost else []))
    rows: list[list[Value]] = []
    for each, row in _rows(evaluations):
        for limit in row.limits:
            known = row.resolved(limit)
            tar = row.tar(limit)
            found = [cells.percent(tar), cells.threshold(tar.threshold)] if known else [cells.unresolved(), Cell("")]
            counted = [cells.percent(row.with_failures(limit)) if known else cells.unresolved()] if lost else []
            rows.append([row.scenario, each.name, Cell(f"{100 * limit:g}", limit), *found, *counted])
    return Table("TAR at FAR: 1 − FNMR where the FMR is below a limit", heads, rows)


def accuracies(evaluations: Sequence[Evaluation]) -> Table | None:
    """Accuracy over the folds of a list of pairs; None if there is none."""
    rows: list[list[Value]] = [
        [
            row.scenario,
            each.name,
            cells.share(found.mean),
            cells.share(found.standard_error),
            len(found.folds),
            cells.share(min(found.folds)),
            cells.share(max(found.folds)),
        ]
        for each, row in _rows(evaluations)
        if (found := row.accuracy)
    ]
    heads = ("scenario", "model", "accuracy %", "standard error %", "folds", "lowest %", "highest %")
    return Table("Accuracy over folds, each at the threshold that is best on the others", heads, rows) if rows else None


def identification(evaluations: Sequence[Evaluation]) -> Table | None:
    """Hit rates by rank, and FNIR at limits on the FPIR; None if nothing was searched."""
    heads = (
        *("scenario", "model"),
        *(f"rank {rank} %" for rank in RANKS),
        *(f"FNIR at FPIR {100 * limit:g} %" for limit in FPIR_LIMITS),
        *("gallery", "probes"),
    )
    rows: list[list[Value]] = [
        [
            found.scenario,
            each.name,
            *(cells.percent(found.hits(rank)) for rank in RANKS),
            *(
                cells.percent(found.fnir_at(limit)) if resolved(limit, found.probes) else cells.unresolved()
                for limit in FPIR_LIMITS
            ),
            found.gallery,
            found.probes,
        ]
        for name in dict.fromkeys(its.scenario for each in evaluations for its in each.report.identification)
        for each in evaluations
        for found in each.report.identification
        if found.scenario == name
    ]
    return (
        Table("Each probe searched in a gallery of one reference of each person (1:N)", heads, rows) if rows else None
    )


def fixed_thresholds(evaluations: Sequence[Evaluation]) -> Table | None:
    """FNMR and FMR of each scenario at thresholds that were fixed on unmasked faces; None if there are none."""
    heads = ("scenario", "model", "fixed at U-U FMR below %", "threshold", "FNMR %", "FMR %", "FMR, times that of U-U")
    rows: list[list[Value]] = []
    for each, row in _rows(evaluations):
        if row.scenario == "U-U":
            continue
        base = next((other.figures for other in each.report.rows if other.scenario == "U-U"), None)
        for fixed in row.drift:
            fnmr, fmr = row.at_uu(fixed.limit), row.fmr_at_uu(fixed.limit)
            there = base.at(fixed.limit).fmr if base and fixed.limit in metrics.operating_points(base) else math.nan
            times = Cell(f"{fmr / there:.2f}", fmr / there) if there > 0 else Cell("")
            limit = Cell(f"{100 * fixed.limit:g}", fixed.limit)
            threshold = cells.threshold(fixed.threshold)
            rows.append([row.scenario, each.name, limit, threshold, cells.percent(fnmr), cells.percent(fmr, 3), times])
    return Table("At thresholds fixed on unmasked faces", heads, rows) if rows else None


def main_figure(reports: Sequence[Report], scenario: str) -> str:
    """The figure that a summary gives: FNMR at an FMR of 1 % if all can show it, else the EER."""
    rows = [report[scenario] for report in reports if scenario in report]
    return "fmr100" if all(row.resolved(FMR100) for row in rows) else "eer"


def value(row: Row, figure: str) -> Measurement:
    """A figure of a row by its name."""
    found: Measurement = getattr(row, figure)
    return found


def _rows(evaluations: Sequence[Evaluation]) -> Iterator[tuple[Evaluation, Row]]:
    """The rows of all scenarios: those of one scenario beside each other."""
    names = dict.fromkeys(row.scenario for each in evaluations for row in each.report.rows)
    for name in names:
        for each in evaluations:
            if name in each.report:
                yield each, each.report[name]
