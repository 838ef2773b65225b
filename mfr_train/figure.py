"""The style of all figures, which are drawn without a screen and saved as files that depend on the data alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from maskgen.errors import MaskgenError, UsageError, short

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")

FORMATS = ("png", "svg", "pdf")

COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Colours that people with any colour vision can tell apart (Okabe and Ito, Color Universal Design, 2008)."""

COLUMN, PAGE = 3.5, 7.16
"""Inches: the width of one column, and of both, in the journals of the IEEE. Letters are as large as in print."""

DPI = 300
"""Pixels of a PNG to the inch."""

NOTE_SIZE, NOTE_COLOR = 6, "0.35"

LONGEST_LABEL = 46
"""Characters of a label; a longer one loses its middle."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same bytes on every machine
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
}
"""What all figures share."""

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


def styled(draw: Callable[_Given, _Made]) -> Callable[_Given, _Made]:
    """Gives everything that a function draws the style of all figures, whatever the settings of matplotlib are."""

    @functools.wraps(draw)
    def drawn(*args: _Given.args, **options: _Given.kwargs) -> _Made:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return drawn


@styled
def new_figure(
    width: float = COLUMN, height: float = 2.8, rows: int = 1, columns: int = 1, share_x: bool = False
) -> tuple[Any, Any]:
    """A figure of a size in inches with grids, and its axes: one, or an array of them."""
    # Figure, not pyplot: no global state, no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Any = figure.subplots(rows, columns, sharex=share_x)
    for each in np.atleast_1d(axes).flat:
        each.grid()
        # Ticks are made when a figure is saved, which may be by other hands.
        each.tick_params(labelsize=STYLE["xtick.labelsize"], width=0.6, length=2.5)
        each.tick_params(which="minor", width=0.4, length=1.5)
    return figure, axes


@styled
def note(axes: Any, text: str) -> None:
    """What the signs of a plot mean, in small letters above it."""
    if text:
        axes.set_title(text, loc="left", fontsize=NOTE_SIZE, color=NOTE_COLOR, linespacing=1.3)


def style(number: int) -> dict[str, Any]:
    """The colour and the style of line number `number` of a plot: no two of the first 28 are equal."""
    return {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}


def label(text: str) -> str:
    """A name as a label: no formula, not long, and never hidden as matplotlib hides those that begin with _."""
    if len(text) > LONGEST_LABEL:
        text = f"{text[: LONGEST_LABEL // 2]}\u2026{text[-LONGEST_LABEL // 2 + 1 :]}"
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped


def save(figure: Any, path: Path, formats: Sequence[str] = ("png",)) -> None:
    """Saves a figure as `path` with each format as its ending. The same figure gives the same bytes.

    Raises `MaskgenError` if a file cannot be written.
    """
    import matplotlib

    unnamed = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # A salt makes the identifiers of an SVG the same every time; type 42 embeds fonts as publishers ask for.
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "mfr", "pdf.fonttype": 42}):
        for ending in formats:
            file = path.with_suffix(f".{ending}")
            try:
                figure.savefig(file, dpi=DPI, metadata=unnamed[ending])
            except OSError as error:
                raise MaskgenError(f"cannot write {file} ({error.strerror}); make room for it.") from None
