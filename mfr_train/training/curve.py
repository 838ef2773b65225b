"""The learning curve of a run: written as a CSV and, on request, for tensorboard; read back as numbers."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, NamedTuple

from maskgen.errors import MaskgenError, UsageError, installing
from maskgen.storage import files

from ..networks import run_files
from ..notebook import data_frame

_NUMBER = r"(?:-?[0-9.]+(?:e[-+]?[0-9]+)?|nan|-?inf)"
_ROW = re.compile(rf"[a-z]+,[0-9]+,{_NUMBER},{_NUMBER},(?:{_NUMBER})?")

COLUMNS = ("stage", "iteration", "loss", "lr", "val_accuracy")


class CurveRow(NamedTuple):
    """One row of a learning curve: the mean loss since the row before; `val_accuracy` is a share, or None."""

    stage: str
    iteration: int
    loss: float
    lr: float
    val_accuracy: float | None


class LearningCurve(tuple[CurveRow, ...]):
    """The learning curve of a run, oldest row first: a tuple of `CurveRow`.

    Example:
        >>> curve = LearningCurve([CurveRow("classify", 5, 1.5, 0.1, None), CurveRow("embed", 5, 0.2, 0.01, 0.75)])
        >>> curve.stage("embed").column("val_accuracy")
        [0.75]
        >>> curve[0].loss
        1.5
    """

    __slots__ = ()

    def stage(self, name: str) -> LearningCurve:
        """The rows of one stage: `classify` or `embed`."""
        return LearningCurve(row for row in self if row.stage == name)

    def column(self, name: str) -> list[Any]:
        """One column as a list: stage, iteration, loss, lr or val_accuracy (None where it was not measured)."""
        if name not in COLUMNS:
            raise UsageError(f"a curve has no column {name!r}; choose one of {', '.join(COLUMNS)}.")
        return [getattr(row, name) for row in self]

    def to_pandas(self) -> Any:
        """The curve as a pandas DataFrame. Raises `UsageError` if pandas is not installed."""
        return data_frame([row._asdict() for row in self], COLUMNS)

    def __repr__(self) -> str:
        stages = ", ".join(
            f"{name} to step {self.stage(name)[-1].iteration}" for name in dict.fromkeys(self.column("stage"))
        )
        return f"<LearningCurve of {len(self)} rows: {stages or 'empty'}>"


class Curve:
    """Appends rows to RUN/curve.csv; `path=None` writes nothing (all ranks but the first)."""

    def __init__(self, path: Path | None, stage: str, start: int = 0, tensorboard: bool = False) -> None:
        """Opens the curve of a stage that resumes after iteration `start`; later rows of that stage are dropped."""
        self.path, self.stage = path, stage
        self._board: Any = None
        if path is None:
            return
        kept = [
            row for row in read(path) if _is_ours(row) and (row["stage"] != stage or int(row["iteration"]) <= start)
        ]
        lines = [",".join(COLUMNS), *(",".join(row[name] for name in COLUMNS) for row in kept)]
        with run_files.disk_errors(path):
            files.write(path, ("\n".join(lines) + "\n").encode())
        if tensorboard:
            self._board = _board(path.parent / run_files.TENSORBOARD / stage, start)

    def add(self, iteration: int, loss: float, lr: float, accuracy: float | None = None) -> None:
        """One row: mean loss since the row before, learning rate, and validation accuracy (0..1) if measured."""
        if self.path is None:
            return
        shown = "" if accuracy is None else f"{accuracy:.6f}"
        with run_files.disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{self.stage},{iteration},{loss:.9g},{lr:.9g},{shown}\n")
        if self._board:
            self._board.add_scalar("loss", loss, iteration)
            self._board.add_scalar("lr", lr, iteration)
            if accuracy is not None:
                self._board.add_scalar("val_accuracy", accuracy, iteration)

    def close(self) -> None:
        """Closes the tensorboard file, which writes it to the disk."""
        if self._board:
            self._board.close()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a curve as text, oldest first; none if there is no file. A line cut off by a crash is left out.

    Raises `MaskgenError` if the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    except (UnicodeDecodeError, csv.Error):
        raise _damaged(path) from None
    if rows and not rows[0].keys() >= set(COLUMNS):
        raise _damaged(path)
    return rows


def _is_ours(row: dict[str, str]) -> bool:
    """Whether a row is what `Curve.add` writes: a word, and numbers. A spreadsheet takes other cells for formulas."""
    return _ROW.fullmatch(",".join(row.get(name, "") for name in COLUMNS)) is not None


def learning_curve(path: Path) -> LearningCurve:
    """The curve in a file as numbers. Raises `UsageError` if there is no file, `MaskgenError` if it is damaged."""
    if not path.is_file():
        raise UsageError(f"there is no learning curve {path}; give the folder of a run that has trained.")
    try:
        return LearningCurve(
            CurveRow(
                row["stage"],
                int(row["iteration"]),
                float(row["loss"]),
                float(row["lr"]),
                float(row["val_accuracy"]) if row["val_accuracy"] else None,
            )
            for row in read(path)
        )
    except (KeyError, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> MaskgenError:
    return MaskgenError(f"the learning curve {path} is damaged; delete it, or train the run again.")


def check_tensorboard() -> Any:
    """The writer class of tensorboard files. Raises `UsageError` if the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            f"--tensorboard needs tensorboard, which is not installed; {installing('tensorboard')}."
        ) from None
    return SummaryWriter


def _board(folder: Path, start: int) -> Any:
    return check_tensorboard()(str(folder), purge_step=start + 1)
