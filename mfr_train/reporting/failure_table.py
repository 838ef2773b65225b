"""Photographs that could not be used, by reason."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from maskgen.page.page import Table, Value
from maskgen.page.text import clip

from ..evaluation.failures import COLUMNS, FAILURES
from .given import Evaluation

EXAMPLES = 3
"""Names of photographs that are given of each reason."""


def failure_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """The reasons of each evaluation with their numbers and examples; None if no photograph failed."""
    rows: list[list[Value]] = []
    for each in evaluations:
        lines = _lines(each.report.out)
        for reason, number in each.report.failures.items():
            names = dict.fromkeys(line["photograph"] for line in lines if line["reason"] == reason)
            masks = [
                f"{variant.replace('_', ' ')} {reasons[reason]:,}"
                for variant, reasons in each.report.failures_by_variant.items()
                if reason in reasons
            ]
            examples = ", ".join(clip(name, 48) for name in list(names)[:EXAMPLES])
            rows.append([each.name, reason, number, ", ".join(masks), examples])
    heads = ("model", "reason", "photographs", "by the mask they would have worn", "examples")
    return Table("Photographs that could not be used", heads, rows) if rows else None


def _lines(folder: Path) -> list[dict[str, str]]:
    """The lines of failures.csv; none if there is no such file, or it is not ours."""
    with suppress(OSError, ValueError, csv.Error), (folder / FAILURES).open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) == COLUMNS:
            return [{name: str(line[name]) for name in COLUMNS} for line in lines]
    return []
