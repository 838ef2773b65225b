"""Figures that are drawn without a screen and saved as files that depend on the data alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskgen.errors import MaskgenError, UsageError, short

FORMATS = ("png", "svg", "pdf")

COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people with any colour vision can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

LINES = ("-", "--", "-.", ":")
"""Styles of lines, for prints without colour."""


def chosen_formats(text: str) -> tuple[str, ...]:
    """The formats in a list such as `png,svg`; none of `none`. Raises `UsageError` for others."""
    if text == "none":
        return ()
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        if name not in FORMATS:
            raise UsageError(f"--figures is {short(text)!r}; give a list of {', '.join(FORMATS)}, or none.")
    return found


def new_figure(width: float = 6.4, height: float = 4.8, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """A figure of a size in inches with grids, and its axes: one, or an array of them."""
    # Figure, not pyplot: no global state, no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Any = figure.subplots(rows, columns, sharex=rows > 1)
    for each in np.atleast_1d(axes).flat:
        each.grid(alpha=0.3)
    return figure, axes


def style(number: int) -> dict[str, Any]:
    """The colour and the style of line number `number` of a plot: no two of the first 28 are equal."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}


def label(text: str) -> str:
    """A name as a label: no formula, and never hidden as matplotlib hides labels that begin with an underscore."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def save(figure: Any, path: Path, formats: Sequence[str] = ("png",)) -> None:
    """Saves a figure as `path` with each format as its ending. The same figure gives the same bytes.

    Raises `MaskgenError` if a file cannot be written.
    """
    import matplotlib

    unnamed = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # A salt makes the identifiers of an SVG the same every time; type 42 embeds fonts as publishers ask for.
    with matplotlib.rc_context({"svg.hashsalt": "mfr", "pdf.fonttype": 42}):
        for ending in formats:
            file = path.with_suffix(f".{ending}")
            try:
                figure.savefig(file, dpi=150, metadata=unnamed[ending])
            except OSError as error:
                raise MaskgenError(f"cannot write {file} ({error.strerror}); make room for it.") from None
