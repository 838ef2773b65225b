"""A figure that is drawn without a screen and saved as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskgen.errors import MaskgenError


class saved_figure:
    """`with saved_figure(path) as axes:` draws without a screen and saves a PNG that depends on the data alone."""

    def __init__(self, path: Path, columns: int = 1) -> None:
        # Figure, not pyplot: no global state, no window system.
        from matplotlib.figure import Figure

        self.path = path
        self.figure = Figure(figsize=(6.4 * columns, 4.8), layout="constrained")
        self.axes: Any = self.figure.subplots(1, columns)

    def __enter__(self) -> Any:
        for axes in np.atleast_1d(self.axes):
            axes.grid(alpha=0.3)
        return self.axes

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.figure.savefig(self.path, dpi=120, metadata={"Software": None})
            except OSError as error:
                raise MaskgenError(f"cannot write {self.path} ({error.strerror}); make room for it.") from None
