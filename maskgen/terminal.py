"""Text for a terminal: its width, lines and tables that fit it, and the mark of hints."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

HINT = "Hint: "
"""A line that begins with this says what to do next. It goes to standard error, so that results have none."""

NARROWEST = 12
"""A column of text is not folded to fewer characters than this."""


def noted(note: str) -> str:
    """A sentence about what limits results, as it stands below them."""
    return f"Note: {note}"


def width(err: bool = False) -> int | None:
    """The columns of the terminal, or None if output goes elsewhere: there, lines stay whole for other programs."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def wrapped(line: str, columns: int | None) -> list[str]:
    """A line as lines of at most so many columns. A longer word, such as a path to be copied, stays whole."""
    if columns is None or len(line) <= columns:
        return [line]
    indent = " " * (len(HINT) if line.startswith(HINT) else len(line) - len(line.lstrip()))
    return textwrap.wrap(
        line,
        columns,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def aligned(
    rows: Sequence[Sequence[str]], right: Sequence[bool], indent: str = "", gap: str = "  ", ruled: bool = False
) -> list[str]:
    """The lines of a table whose columns are aligned at the right or left; with `ruled` a line below the heads.

    If it is wider than the terminal, its widest columns of text are folded.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(right))]
    columns = width()
    excess = len(indent) + sum(widths) + len(gap) * (len(widths) - 1) - columns if columns else 0
    while excess > 0:
        widest = max((at for at, number in enumerate(right) if not number), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    lines = []
    for row in rows:
        folded = [
            [cell] if len(cell) <= most else textwrap.wrap(cell, most) or [""]
            for cell, most in zip(row, widths, strict=True)
        ]
        for cells in zip_longest(*folded, fillvalue=""):
            padded = (
                cell.rjust(most) if number else cell.ljust(most)
                for cell, most, number in zip(cells, widths, right, strict=True)
            )
            lines.append((indent + gap.join(padded)).rstrip())
        if ruled and row is rows[0]:
            lines.append((indent + gap.join("-" * most for most in widths)).rstrip())
    return lines
