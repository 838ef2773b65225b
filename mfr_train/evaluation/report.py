"""The result of an evaluation: a row of figures for each scenario and each part of its breakdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from . import metrics
from .bootstrap import Intervals
from .eval_settings import EvalSettings


@dataclass(frozen=True)
class Row:
    """One line of the table. `group` is '' for a scenario, else a variant, shape or coverage of its breakdown.

    `drift` is FNMR and FMR here at the thresholds that give FMR100 and FMR10 in U-U, by those names. `few` are the
    figures with fewer than 30 expected errors behind them, and how many those are.
    """

    scenario: str
    group: str
    figures: metrics.Figures
    intervals: Intervals | None
    few: dict[str, float]
    drift: dict[str, metrics.Point]
    binned: bool


@dataclass(frozen=True)
class Report:
    """What was measured: on what, by which model, with which result. `out` is where it was written."""

    settings: EvalSettings
    model: str
    fingerprint: str
    data: str
    out: Path
    subjects: int
    photographs: int
    failures: dict[str, int]
    rows: list[Row]
    breakdown: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
