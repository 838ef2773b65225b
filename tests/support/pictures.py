"""Figures that no test looks at are not drawn: matplotlib takes longer for one than a small training or evaluation."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from mfr_train.evaluation import plots

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A picture of one pixel."""


_draw, _lay_out, _write = Figure.savefig, Figure.draw_without_rendering, plots.write


def leave_undrawn(patch: pytest.MonkeyPatch) -> None:
    """Until `patch` is undone, a figure is saved as a picture of one pixel, whatever its format, and not laid out.

    An evaluation writes its curves, and leaves its plots empty.
    """
    patch.setattr(Figure, "savefig", _save)
    patch.setattr(Figure, "draw_without_rendering", lambda figure: None)
    patch.setattr(plots, "write", _write_empty)


@contextmanager
def drawn() -> Iterator[None]:
    """Draws the figures of the block, whatever is said outside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _draw)
        patch.setattr(Figure, "draw_without_rendering", _lay_out)
        patch.setattr(plots, "write", _write)
        yield


def _save(figure: Any, path: str | Path, **options: Any) -> None:
    Path(path).write_bytes(PNG)


def _write_empty(*arguments: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("det", "roc", "histogram"):
            patch.setattr(plots, name, lambda *_: Figure())
        _write(*arguments)
