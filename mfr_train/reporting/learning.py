"""Learning curves of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskgen.errors import MaskgenError, shown
from maskgen.page.page import Cell, Table, Value
from maskgen.page.text import clip

from ..networks import run_files
from ..training.curve import learning_curve

MAX_POINTS = 400
"""Points of a line; of longer curves every second, third ... row is drawn."""


def learning(runs: Sequence[Path]) -> tuple[list[dict[str, Any]], Table | None]:
    """The charts of losses and of accuracies by stage, and what each stage of each run reached."""
    panels: dict[tuple[str, str], dict[str, Any]] = {}
    rows: list[list[Value]] = []
    for color, (name, run) in enumerate(zip(_names(runs), runs, strict=True)):
        for stage, found in _stages(run).items():
            for column, label in (("loss", "loss"), ("val_accuracy", "validation accuracy (%)")):
                points = [
                    [row.iteration, value]
                    for row in found
                    if (value := getattr(row, column)) is not None and math.isfinite(value)
                ]
                if column == "val_accuracy":
                    points = [[iteration, 100 * value] for iteration, value in points]
                if points:
                    title = f"Stage {'1, classifier' if stage == 'classify' else '2, embedding'}: {label}"
                    panel = panels.setdefault(
                        (stage, column), {"id": f"curve-{stage}-{column}", "title": title, "label": label, "lines": []}
                    )
                    panel["lines"].append({"name": name, "color": color, "points": _thinned(points)})
            accuracies = [row.val_accuracy for row in found if row.val_accuracy is not None]
            best = Cell(f"{100 * max(accuracies):.1f}", 100 * max(accuracies)) if accuracies else Cell("")
            losses = [Cell(f"{row.loss:.4g}", row.loss) for row in (found[0], found[-1])]
            rows.append([name, stage, found[-1].iteration, *losses, best])
    heads = ("run", "stage", "steps", "first loss", "last loss", "best validation accuracy %")
    return list(panels.values()), Table("Each stage of each run", heads, rows) if rows else None


def _stages(run: Path) -> dict[str, list[Any]]:
    if not (run / run_files.CURVE).is_file():
        return {}
    try:
        curve = learning_curve(run / run_files.CURVE)
    except MaskgenError:
        return {}
    return {shown(name): list(curve.stage(name)) for name in dict.fromkeys(curve.column("stage"))}


def _names(runs: Sequence[Path]) -> list[str]:
    names = [run.name for run in runs]
    return [clip(run.name if names.count(run.name) == 1 else run, 40) for run in runs]


def _thinned(points: Sequence[list[float]]) -> list[list[float]]:
    step = -(-len(points) // MAX_POINTS)
    kept = [*points[:-1:step], points[-1]] if step > 1 else list(points)
    return [[x, float(f"{y:.5g}")] for x, y in kept]
