"""The output of an evaluation: report.json, the scores of each scenario, and the printed table."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from maskgen.errors import MaskgenError, shown_lines

from .bootstrap import plain
from .listed_pairs import FailedPair
from .material import Material
from .measure import Measured
from .pair_list import PairCounts
from .report import RATES, REPORT, Report, Row
from .scenarios import MASKED, Choice

ROC, DET, FAILED_PAIRS = "roc.png", "det.png", "failed_pairs.csv"

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
            for old in (REPORT, ROC, DET, FAILED_PAIRS, *(f"{scenario}.parquet" for scenario in MASKED)):
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


def write_failed_pairs(failed: Sequence[FailedPair], folder: Path) -> None:
    """Writes the pairs of a list that could not be compared; nothing if there are none."""
    if not failed:
        return
    try:
        with (folder / FAILED_PAIRS).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("line", "a", "b", "genuine", "photograph", "reason"))
            for pair, name, reason in ((each.pair, each.name, each.reason) for each in failed):
                writer.writerow((pair.line, pair.first, pair.second, int(pair.genuine), name, reason))
    except OSError as error:
        raise MaskgenError(f"cannot write {FAILED_PAIRS} ({error.strerror}); give another --out.") from None


def table(report: Report) -> str:
    """The report as text, in tables of at most 80 columns: figures and intervals of each scenario, and notes."""
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
    if report.pairs:
        lines[1:1] = [_pairs_line(report.pairs)]
    if any(row.accuracy for row in report.rows):
        lines += ["", "Accuracy over folds, each at the threshold that is best on the others:"]
        lines += _aligned(_accuracy_rows(report.rows))
    drifting = [row for row in report.rows if row.drift]
    for scenario, rows in groupby(report.breakdown, lambda row: row.scenario):
        parts = [dataclasses.replace(row, intervals=None) for row in rows]
        lines += ["", f"{scenario} by mask (intervals are in {REPORT}):", *_aligned(_table_rows(parts))]
    if drifting:
        lines += ["", "At thresholds fixed on U-U, by their FMR there:", *_aligned(_drift_rows(drifting))]
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
    return shown_lines([*lines, *(["", *report.notes] if report.notes else [])])


def _table_rows(rows: Sequence[Row]) -> list[list[str]]:
    found = [["scenario", *(title for title, _ in _FIGURES), "Ng", "Ni"]]
    for row in rows:
        values = plain(row.figures)
        counts = (_short(row.figures.genuine), _short(row.figures.impostor))
        cells = [_shown(name, values[name], "*" if name in row.few else " ") for _, name in _FIGURES]
        found.append([row.group or row.scenario, *cells, *counts])
        if row.intervals and row.intervals.intervals:
            ends = row.intervals.intervals
            for label, end in (("  95 % from", 0), ("  95 % to", 1)):
                cells = [_shown(name, ends[name][end]) if name in ends else "" for _, name in _FIGURES]
                found.append([label, *cells, "", ""])
    return found


def _pairs_line(pairs: PairCounts) -> str:
    failed = sum(pairs.failed.values())
    why = ", ".join(f"{count:,} {reason}" for reason, count in pairs.failed.items())
    listed = f"{pairs.file}: {pairs.genuine:,} genuine and {pairs.impostor:,} impostor pairs, {failed:,} failed"
    return listed + (f" ({why}; {pairs.failed_genuine:,} of them genuine)" if failed else "")


def _accuracy_rows(rows: Sequence[Row]) -> list[list[str]]:
    found = [["scenario", "accuracy %", "standard error %", "folds", "lowest %", "highest %"]]
    for row in rows:
        if row.accuracy:
            values = (row.accuracy.mean, row.accuracy.standard_error)
            ends = (min(row.accuracy.folds), max(row.accuracy.folds))
            shown = [f"{100 * value:.2f}" for value in (*values, *ends)]
            found.append([row.scenario, *shown[:2], str(len(row.accuracy.folds)), *shown[2:]])
    return found


def _drift_rows(rows: Sequence[Row]) -> list[list[str]]:
    found = [["scenario", "U-U FMR %", "FNMR %", "95 % from", "95 % to", "FMR %"]]
    for row in rows:
        for fixed, point in row.drift.items():
            ends = row.intervals.intervals.get(fixed.name) if row.intervals else None
            shown = [f"{100 * end:.2f}" for end in ends] if ends else ["", ""]
            fnmr, fmr = f"{100 * point.fnmr:.2f}", f"{100 * point.fmr:.3f}"
            found.append([row.scenario, f"{100 * fixed.limit:g}", fnmr, *shown, fmr])
    return found


def _short(count: float) -> str:
    """A count in at most five characters: 99999, 123k, 1.23M."""
    for unit in ("", "k", "M", "G", "T"):
        if round(count) < (100_000 if not unit else 1000):
            return f"{count:.3g}{unit}" if unit else f"{count:.0f}"
        count /= 1000
    return f"{count:.0f}P"


def _shown(name: str, value: float, mark: str = " ") -> str:
    """A figure as text. A rate is in percent, with its mark."""
    return f"{100 * value:.2f}{mark}" if name in RATES else f"{value:.4f}"


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
