"""The output of an evaluation: report.json, the scores of each scenario, and the printed table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from maskgen.errors import MaskgenError

from .bootstrap import plain
from .inputs import Material
from .measure import Measured
from .report import RATES, REPORT, Report, Row
from .scenarios import MASKED, Choice

ROC, DET = "roc.png", "det.png"

_FIGURES = (("FMR100 %", "fmr100"), ("FMR10 %", "fmr10"), ("EER %", "eer"), ("AUC", "auc"), ("GMean", "gmean"),
            ("IMean", "imean"))  # fmt: skip


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder inside `out` to write into; at the end its files replace those of an earlier evaluation.

    If the block ends in an error, the earlier files stay.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".mfr-", dir=out) as name:
            folder = Path(name)
            yield folder
            for old in (REPORT, ROC, DET, *(f"{scenario}.parquet" for scenario in MASKED)):
                (out / old).unlink(missing_ok=True)
            for path in folder.iterdir():
                path.replace(out / path.name)
    except OSError as error:
        raise MaskgenError(f"cannot write to {out} ({error.strerror or error}); give another --out.") from None


def write_scores(path: Path, material: Material, found: Measured, left: Choice, right: Choice) -> None:
    """Every pair and its score as a Parquet table; nothing if the scores were too many to keep.

    Columns: reference and probe (keys, or paths of the protocol table), reference_picture and probe_picture (names),
    genuine (bool), score (float64).
    """
    if found.scores is None:
        return
    genuine, impostor = found.scores
    reference = np.concatenate([genuine.reference, impostor.reference])
    probe = np.concatenate([genuine.probe, impostor.probe])
    labels = pa.array(material.labels)
    table = pa.table(
        {
            "reference": pa.DictionaryArray.from_arrays(left.rows[reference].astype(np.int32), labels),
            "reference_picture": _named(left.names, reference),
            "probe": pa.DictionaryArray.from_arrays(right.rows[probe].astype(np.int32), labels),
            "probe_picture": _named(right.names, probe),
            "genuine": np.arange(len(reference)) < len(genuine.values),
            "score": np.concatenate([genuine.values, impostor.values]),
        }
    )
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        raise MaskgenError(f"cannot write {path} ({error}); make room or give another --out.") from None


def _named(names: Any, positions: Any) -> pa.DictionaryArray:
    values, codes = np.unique(names, return_inverse=True)
    return pa.DictionaryArray.from_arrays(codes[positions].astype(np.int32), pa.array([str(name) for name in values]))


def write_report(report: Report, folder: Path) -> None:
    """Writes report.json into a folder: settings, model, data, and every figure with its interval."""
    try:
        text = json.dumps(report.as_json(), indent=1, allow_nan=False)
        (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MaskgenError(f"cannot write {report.out / REPORT} ({error.strerror}); give another --out.") from None


def table(report: Report) -> str:
    """The report as text: a line of figures for each scenario, a line of 95 % intervals below it, notes at the end."""
    failed, count = (
        ", ".join(f"{count} {reason}" for reason, count in report.failures.items()),
        sum(report.failures.values()),
    )
    lines = [
        f"{report.model} on {report.data}: {report.subjects} subjects, {report.photographs} photographs, "
        f"{count} failure{'' if count == 1 else 's'}{f' ({failed})' if failed else ''}",
        "",
        *_aligned(_table_rows(report.rows)),
    ]
    drifting = [row for row in report.rows if row.drift]
    if report.breakdown:
        lines += ["", f"By mask (intervals: {REPORT}):"]
        lines += _aligned(_table_rows([dataclasses.replace(row, intervals=None) for row in report.breakdown]))
    if drifting:
        lines += ["", "At the thresholds fixed on U-U (FMR 1 % and 10 % there):", *_aligned(_drift_rows(drifting))]
    marked = [row for row in report.rows + report.breakdown if row.few]
    if marked:
        lines += ["", "* fewer than 30 expected errors behind this figure: take it as a hint."]
    for row in report.rows:
        if row.binned:
            said = ", ".join(f"{name} {value:.1e}" for name, value in row.figures.bounds.items())
            lines += ["", f"{row.scenario} was counted in bins; a figure is that of the exact scores within: {said}."]
    coarse = max(
        (row.intervals.bound.get(name, 0) for row in report.rows if row.intervals for name in RATES), default=0
    )
    if coarse:
        lines += [
            "",
            f"Resamples were counted in bins: the ends of an interval of a rate are within {100 * coarse:.2f} %.",
        ]
    return "\n".join([*lines, *(["", *report.notes] if report.notes else [])])


def _table_rows(rows: Sequence[Row]) -> list[list[str]]:
    found = [["scenario", *(title for title, _ in _FIGURES), "Ng", "Ni"]]
    for row in rows:
        values = plain(row.figures)
        cells = [_shown(name, values[name]) + ("*" if name in row.few else " ") for _, name in _FIGURES]
        found.append([f"{row.scenario} {row.group}".strip(), *cells, *_counts(row)])
        if row.intervals and row.intervals.intervals:
            found.append(["", *(_interval(name, row.intervals.intervals[name]) for _, name in _FIGURES), "", ""])
    return found


def _drift_rows(rows: Sequence[Row]) -> list[list[str]]:
    thresholds = list(rows[0].drift)
    found = [["scenario"]]
    for fixed in thresholds:
        found[0] += [f"FNMR % at U-U {100 * fixed.limit:g} %", "95 %", "FMR %"]
    for row in rows:
        cells = [f"{row.scenario} {row.group}".strip()]
        for fixed in thresholds:
            ends = row.intervals.intervals.get(fixed.name) if row.intervals else None
            point = row.drift[fixed]
            cells += [f"{100 * point.fnmr:.2f}", _interval("fmr100", ends) if ends else "", f"{100 * point.fmr:.3f}"]
        found.append(cells)
    return found


def _counts(row: Row) -> list[str]:
    return [f"{row.figures.genuine:.0f}", f"{row.figures.impostor:.0f}"]


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.2f}" if name in RATES else f"{value:.4f}"


def _interval(name: str, ends: tuple[float, float]) -> str:
    return f"[{_shown(name, ends[0])}, {_shown(name, ends[1])}]"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = (
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *others]).rstrip())
    return lines
