"""The learning curves of a run as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..figure import COLORS, FORMATS, STYLE, new_figure, save, styled

Floats = npt.NDArray[np.float64]


@styled
def plot_curves(table: Path, plot: Path, formats: Sequence[str]) -> None:
    """Draws a training: one panel for each stage with its loss and, on the right, its validation accuracy.

    `table` is a CSV with the columns stage, iteration, loss, lr, val_accuracy; blank cells are left out. Files of
    earlier steps in other formats are deleted. Raises `MaskgenError` if it cannot be read or holds no number.
    """
    for ending in FORMATS:
        if ending not in formats:
            plot.with_suffix(f".{ending}").unlink(missing_ok=True)
    if not formats:
        return
    series = _read_curves(table)
    panels = max(len(series), 1)
    figure, found = new_figure(height=0.2 + 1.9 * panels, rows=panels)
    for axes, (stage, columns) in zip(np.atleast_1d(found), series.items(), strict=True):
        axes.set(title=stage, xlabel="iteration")
        axes.set_ylabel("loss", color=COLORS[1])
        axes.plot(*columns["loss"], color=COLORS[1])
        for iteration in _drops(columns["lr"]):
            axes.axvline(iteration, color="0.6", linewidth=0.8, linestyle=":")
        if len(columns["val_accuracy"][0]):
            right = axes.twinx()
            right.plot(*columns["val_accuracy"], color=COLORS[2], linestyle="--", marker=".")
            right.set_ylabel("validation accuracy", color=COLORS[2])
            right.set_ylim(0, 1.02)
            right.tick_params(labelsize=STYLE["ytick.labelsize"], width=0.6, length=2.5)
            right.spines["right"].set_visible(True)
    save(figure, plot, formats)


def _read_curves(table: Path) -> dict[str, dict[str, tuple[Floats, Floats]]]:
    """For each stage and column the iterations and the values, without blanks."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                stage = found.setdefault(row["stage"], {"loss": [], "lr": [], "val_accuracy": []})
                for name, points in stage.items():
                    if row[name]:
                        points.append((float(row["iteration"]), float(row[name])))
    except (OSError, KeyError, ValueError) as error:
        raise MaskgenError(f"cannot read the training curve {table} ({error}); train again to write it.") from None
    if not any(stage["loss"] for stage in found.values()):
        raise MaskgenError(f"the training curve {table} holds no loss yet; train for longer.")
    return {stage: {name: _columns(points) for name, points in columns.items()} for stage, columns in found.items()}


def _columns(points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    array = np.array(points, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def _drops(rates: tuple[Floats, Floats]) -> Floats:
    """The iterations at which the learning rate fell."""
    iterations, values = rates
    return iterations[1:][np.diff(values) < 0]
