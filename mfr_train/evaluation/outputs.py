"""The files of an evaluation: written to a folder of their own, and then put in place of those of an earlier one."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from maskgen.errors import MaskgenError
from maskgen.page.page import is_made_by
from maskgen.storage import files

from ..figure import FORMATS
from .curve_files import CURVES, HISTOGRAMS
from .failures import FAILURES
from .listed_pairs import FailedPair
from .plots import CMC, DET, HISTOGRAM, ROC
from .report import REPORT, Report
from .scenarios import MASKED
from .table_files import LATEX
from .table_formats import as_latex, csv_files, no_formula
from .tables import Table, tables

FAILED_PAIRS, TABLES, PAGE = "failed_pairs.csv", "tables", "report.html"

GENERATOR = "mfr report"
"""What a page of `mfr report` says that it was made by."""

_OURS = (
    *(FAILED_PAIRS, FAILURES, LATEX, CURVES, HISTOGRAMS, REPORT),
    *(f"{plot}.{ending}" for plot in (DET, ROC, HISTOGRAM, CMC) for ending in FORMATS),
    *(f"{scenario}.parquet" for scenario in MASKED),
)
"""The files of an evaluation by name; those in folders are listed in its report."""

_LISTED = re.compile(rf"{TABLES}/[A-Za-z0-9_-]+\.csv|({'|'.join(MASKED)})/\d{{5,}}\.parquet")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder inside `out` to write into; at the end its files replace those of an earlier evaluation.

    If the block ends in an error, the earlier files stay. Files of others stay in any case.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".mfr-", dir=out) as name:
            folder = Path(name)
            yield folder
            new = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
            for path in new:
                (out / path.parent).mkdir(exist_ok=True)
            for old in _earlier(out):
                (out / old).unlink(missing_ok=True)
            for path in sorted(new, key=lambda path: path.name == REPORT):  # last: it says which files there are
                (folder / path).replace(out / path)
            for inner in (TABLES, *MASKED):
                with suppress(OSError):  # not there, or not empty
                    (out / inner).rmdir()
    except OSError as error:
        raise MaskgenError(f"cannot write to {out} ({error.strerror or error}); give another --out.") from None


def _earlier(out: Path) -> list[str]:
    """The files of an earlier evaluation in a folder, if they are there."""
    try:
        listed = files.parse_json((out / REPORT).read_bytes())["files"]
        inner = [name for name in listed if isinstance(name, str) and _LISTED.fullmatch(name)]
    except (OSError, ValueError, LookupError, TypeError):
        inner = []
    page = [PAGE] if is_made_by(GENERATOR, out / PAGE) else []
    return [*_OURS, *page, *(name for name in inner if not (out / name).parent.is_symlink())]


def write_report(report: Report, folder: Path) -> None:
    """Writes the tables of a report, and report.json with the names of all files in the folder: call it last."""
    try:
        _write_tables(tables(report), folder)
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        facts = {**report.as_json(), "files": [*names, REPORT]}
        text = json.dumps(facts, indent=1, allow_nan=False)
        (folder / REPORT).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MaskgenError(f"cannot write {report.out / REPORT} ({error.strerror}); give another --out.") from None


def _write_tables(found: Sequence[Table], folder: Path) -> None:
    """Writes tables/NAME.csv for each table, and tables.tex with all of them."""
    (folder / TABLES).mkdir()
    for name, text in {
        **{f"{TABLES}/{name}": text for name, text in csv_files(found).items()},
        LATEX: as_latex(found),
    }.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_failed_pairs(failed: Sequence[FailedPair], folder: Path) -> None:
    """Writes the pairs of a list that could not be compared; nothing if there are none."""
    if not failed:
        return
    try:
        with (folder / FAILED_PAIRS).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("line", "a", "b", "genuine", "photograph", "reason"))
            for pair, name, reason in ((each.pair, each.name, each.reason) for each in failed):
                first, second, lost = (no_formula(str(each)) for each in (pair.first, pair.second, name))
                writer.writerow((pair.line, first, second, int(pair.genuine), lost, reason))
    except OSError as error:
        raise MaskgenError(f"cannot write {FAILED_PAIRS} ({error.strerror}); give another --out.") from None
