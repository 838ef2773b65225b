"""Tables as files: NAME.csv for each one, and tables.tex with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskgen.storage import files

from ..evaluation.table_formats import as_latex, csv_files
from ..evaluation.tables import Table

LATEX = "tables.tex"


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Writes tables into a folder and returns the files; each replaces an earlier one of its name, all or nothing."""
    contents = {**csv_files(tables), LATEX: as_latex(tables)}
    for name, content in contents.items():
        write_text(folder / name, content)
    return [folder / name for name in contents]


def write_text(path: Path, content: str) -> None:
    """Writes a text in UTF-8; bytes of file names that are not text are escaped."""
    files.write(path, content.encode("utf-8", "backslashreplace"))
