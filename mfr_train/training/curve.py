"""The learning curve of a run: a CSV always, tensorboard where asked for."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from maskgen.errors import UsageError
from maskgen.storage import files

from . import checkpoint

COLUMNS = ("stage", "iteration", "loss", "lr", "val_accuracy")


class Curve:
    """Appends rows to RUN/curve.csv; `path=None` keeps none (all ranks but the first)."""

    def __init__(self, path: Path | None, stage: str, start: int = 0, tensorboard: bool = False) -> None:
        """Opens the curve of a stage that goes on after iteration `start`; later rows of that stage are dropped."""
        self.path, self.stage = path, stage
        self._board: Any = None
        if path is None:
            return
        kept = [row for row in read(path) if row["stage"] != stage or int(row["iteration"]) <= start]
        lines = [",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in kept)]
        with checkpoint.disk_errors(path):
            files.write(path, ("\n".join(lines) + "\n").encode())
        if tensorboard:
            self._board = _board(path.parent / "tensorboard" / stage, start)

    def add(self, iteration: int, loss: float, lr: float, accuracy: float | None = None) -> None:
        """One row: mean loss since the row before, learning rate, and validation accuracy (0..1) where measured."""
        if self.path is None:
            return
        shown = "" if accuracy is None else f"{accuracy:.6f}"
        with checkpoint.disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{self.stage},{iteration},{loss:.9g},{lr:.9g},{shown}\n")
        if self._board:
            self._board.add_scalar("loss", loss, iteration)
            self._board.add_scalar("lr", lr, iteration)
            if accuracy is not None:
                self._board.add_scalar("val_accuracy", accuracy, iteration)

    def close(self) -> None:
        """Ends the tensorboard file; what is in it is on the disk then."""
        if self._board:
            self._board.close()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a curve, oldest first; none where there is no file. A line cut off by a crash is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]


def _board(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--tensorboard needs a package; install it with: pip install tensorboard") from None
    return SummaryWriter(str(folder), purge_step=start + 1)
