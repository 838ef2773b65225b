"""Tables as text, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from maskgen.terminal import aligned

from .measurement import Measurement
from .tables import FEW_NOTE, Cell, Column, Table


def as_text(table: Table) -> list[str]:
    """The lines of a table with aligned columns: heads, and a line for each row and for each end of its intervals."""
    if table.intervals == "brackets":
        return _bracketed(table)
    rows = [list(_heads(table, [column.label for column in table.columns], table.ends))]
    for row in table.rows:
        pairs = list(zip(table.columns, row, strict=True))
        rows.append(
            [
                text
                for column, cell in pairs
                for text in (shown(column, cell), *(_ends(column, cell) if _has_columns(table, column) else ()))
            ]
        )
        if table.intervals == "lines" and any(_interval(cell) for cell in row):
            for position, label in enumerate(table.ends):
                rows.append([f"  {label}", *(_ends(column, cell)[position] for column, cell in pairs[1:])])
    return _aligned(rows)


def as_csv(table: Table) -> str:
    """A table as CSV (RFC 4180): shares and numbers in full precision, no percent and no stars.

    After a column of measurements come its 95 % interval, NAME_low and NAME_high. The last column, few_errors, names
    the columns whose figure has fewer than 30 expected errors behind it.
    """
    measured = [column for column in table.columns if _is_measured(table, column)]
    file = io.StringIO()
    writer = csv.writer(file)
    heads = []
    for column in table.columns:
        heads += [column.name, *((f"{column.name}_low", f"{column.name}_high") if column in measured else ())]
    starred = any(column.starred for column in table.columns)
    writer.writerow([*heads, *(["few_errors"] if starred else [])])
    for row in table.rows:
        cells: list[str] = []
        for column, cell in zip(table.columns, row, strict=True):
            cells.append(_plain(column, cell))
            if column in measured:
                cells += (_plain(column, end) for end in _interval(cell) or (None, None))
        few = (column.name for column, cell in zip(table.columns, row, strict=True) if _is_few(column, cell))
        writer.writerow([*cells, *([" ".join(few)] if starred else [])])
    return file.getvalue()


def csv_files(tables: Iterable[Table]) -> dict[str, str]:
    """File names and contents of tables as CSV."""
    found: dict[str, str] = {}
    for table in tables:
        number, name = 1, _simple(table.name)
        while f"{name}.csv" in found:
            number += 1
            name = f"{_simple(table.name)}-{number}"
        found[f"{name}.csv"] = as_csv(table)
    return found


def as_latex(tables: Sequence[Table]) -> str:
    """Tables as LaTeX with booktabs, for `\\input` in a document: one `table` environment each."""
    return "\n".join(["% \\usepackage{booktabs}", *(line for table in tables for line in _latex(table))]) + "\n"


def shown(column: Column, cell: Cell) -> str:
    """A cell for readers, as the kind of its column says."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if column.kind == "count":
        return short(cell)
    value = 100 * cell if column.kind == "percent" else cell
    mark = ("*" if _is_few(column, cell) else " ") if column.starred else ""
    return (f"{float(value):g}" if column.digits is None else f"{float(value):.{column.digits}f}") + mark


def short(count: float) -> str:
    """A count in at most five characters: 99999, 123k, 1.23M."""
    for unit in ("", "k", "M", "G", "T"):
        if round(count) < (100_000 if not unit else 1000):
            return f"{count:.3g}{unit}" if unit else f"{count:.0f}"
        count /= 1000
    return f"{count:.0f}P"


def _latex(table: Table) -> Iterator[str]:
    yield from ("", "\\begin{table}", "\\centering", f"\\caption{{{latex_escaped(table.title)}}}")
    yield f"\\label{{tab:{_simple(table.name)}}}"
    yield f"\\begin{{tabular}}{{{''.join('l' if column.kind == 'text' else 'r' for column in table.columns)}}}"
    yield "\\toprule"
    yield " & ".join(latex_escaped(column.label) for column in table.columns) + " \\\\"
    yield "\\midrule"
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        yield " & ".join(_latex_cell(column, cell) for column, cell in cells) + " \\\\"
        if table.intervals != "hidden" and any(_interval(cell) for cell in row):
            cells = zip(table.columns, row, strict=True)
            ends = ((_interval(cell) and [end.strip() for end in _ends(column, cell)]) for column, cell in cells)
            yield " & ".join(f"{{\\scriptsize [{', '.join(each)}]}}" if each else "" for each in ends) + " \\\\"
    yield from ("\\bottomrule", "\\end{tabular}")
    if notes := " ".join(_notes(table)):
        yield from ("", f"{{\\footnotesize {notes}}}")
    yield "\\end{table}"


def _notes(table: Table) -> Iterator[str]:
    """What the signs of a table mean."""
    cells = [(column, cell) for row in table.rows for column, cell in zip(table.columns, row, strict=True)]
    if table.intervals != "hidden" and any(_interval(cell) for _, cell in cells):
        yield table.bracket_note
    if any(_is_few(column, cell) for column, cell in cells):
        yield FEW_NOTE


def _latex_cell(column: Column, cell: Cell) -> str:
    text = latex_escaped(shown(column, cell).strip())
    return f"${text}$" if column.kind in ("percent", "number") and text.startswith("-") else text


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "[": "{[}",
    "]": "{]}",
    **{letter: f"\\{letter}" for letter in "#$%&_"},
}


def latex_escaped(text: str) -> str:
    """Text that LaTeX sets as it is: no command, no comment, no argument of the row above, one line."""
    escaped = "".join(_LATEX.get(letter, letter if letter.isprintable() else " ") for letter in text)
    return f"{{*}}{escaped[1:]}" if escaped.startswith("*") else escaped


def _simple(name: str) -> str:
    """A name of a table for file names and labels."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)[:80]


def no_formula(text: str) -> str:
    """Text of strangers as a cell of CSV that no spreadsheet takes for a formula.

    An apostrophe before = + - @ and control characters makes text of a formula (OWASP, CSV injection).
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _plain(column: Column, cell: Cell) -> str:
    """A cell for CSV: a number so that reading it gives the same number, or text that is no formula."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return no_formula(cell)
    return f"{cell:.0f}" if column.kind == "count" else repr(float(cell))


def _heads(table: Table, labels: Sequence[str], ends: Sequence[str]) -> Iterator[str]:
    for column, label in zip(table.columns, labels, strict=True):
        yield label
        if _has_columns(table, column):
            yield from ends


def _has_columns(table: Table, column: Column) -> bool:
    return table.intervals == "columns" and _is_measured(table, column)


def _is_measured(table: Table, column: Column) -> bool:
    place = table.columns.index(column)
    return any(isinstance(row[place], Measurement) for row in table.rows)


def _is_few(column: Column, cell: Cell) -> bool:
    return column.starred and isinstance(cell, Measurement) and cell.few_errors


def _interval(cell: Cell) -> tuple[float, float] | None:
    return cell.interval if isinstance(cell, Measurement) else None


def _ends(column: Column, cell: Cell) -> tuple[str, str]:
    low, high = _interval(cell) or (None, None)
    return shown(column, low), shown(column, high)


def _bracketed(table: Table) -> list[str]:
    """The lines of a table with each interval beside its figure: `0.67* [0.14, 3.21]`."""
    cells = [
        [_with_interval(column, cell) for column, cell in zip(table.columns, row, strict=True)] for row in table.rows
    ]
    figures = [max(len(row[place][0]) for row in cells) for place in range(len(table.columns))]
    rows = [[f"{c.label} [95 %]" if _is_measured(table, c) else c.label for c in table.columns]]
    for row in cells:
        rows.append(
            [f"{figure.rjust(most)} {ends}".rstrip() for (figure, ends), most in zip(row, figures, strict=True)]
        )
        rows[-1][0] = row[0][0]
    return aligned(rows, [False] * len(table.columns))


def _with_interval(column: Column, cell: Cell) -> tuple[str, str]:
    """A figure and its interval in brackets, each number of at most five characters: `100.0` and not `100.00`."""
    figure = shown(column, cell).replace("100.00", "100.0")
    ends = ", ".join(end.strip().replace("100.00", "100.0") for end in _ends(column, cell)) if _interval(cell) else ""
    return figure, f"[{ends}]" if ends else ""


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    return aligned(rows, [False, *[True] * (len(rows[0]) - 1)])
