"""Plain-text tables for the end of a command: words aligned left, numbers right."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import shown
from ..terminal import aligned


def table(header: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "  ") -> list[str]:
    """The lines of aligned columns under a header; integers have thousands separators."""
    cells = [[f"{value:,}" if isinstance(value, int) else shown(value) for value in row] for row in rows]
    titles = [shown(title) for title in header]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    return aligned([titles, *cells], numeric, indent, ruled=True)
