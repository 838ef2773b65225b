"""The files of an evaluation: report.json, and the scores of each scenario."""

from __future__ import annotations

import csv
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

from .listed_pairs import FailedPair
from .material import Material
from .measure import Measured
from .report import REPORT, Report
from .scenarios import MASKED, Choice

ROC, DET, FAILED_PAIRS = "roc.png", "det.png", "failed_pairs.csv"


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
