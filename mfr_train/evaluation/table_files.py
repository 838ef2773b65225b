"""Tables as files: NAME.csv for each one, and tables.tex with all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from maskgen.storage import files

from .table_formats import as_latex, csv_files
from .tables import Table

LATEX = "tables.tex"


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Writes tables as CSV and LaTeX into a folder and returns the files."""
    return _write({**csv_files(tables), LATEX: as_latex(tables)}, folder)


def write_csv(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Writes tables as CSV into a folder and returns the files."""
    return _write(csv_files(tables), folder)


def write_text(path: Path, content: str) -> None:
    """Writes a text in UTF-8, all or nothing; bytes of file names that are not text are escaped."""
    files.write(path, content.encode("utf-8", "backslashreplace"))


def _write(contents: Mapping[str, str], folder: Path) -> list[Path]:
    for name, content in contents.items():
        write_text(folder / name, content)
    return [folder / name for name in contents]
