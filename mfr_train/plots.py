"""Plots: ROC and DET of an evaluation, and the curves of a training."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskgen.errors import MaskgenError

from .metrics import Floats, Rates

POINTS = 4000
"""Points of a plotted curve: thinned beyond, never at its ends."""

_SMALLEST = 1e-6


def plot_rates(curves: Mapping[str, Rates], out: Path) -> None:
    """Writes roc.png (verification rate against FMR) and det.png (FNMR against FMR, both logarithmic) to a folder."""
    lowest = max(_SMALLEST, min((_floor(curve) for curve in curves.values()), default=_SMALLEST))
    with _figure(out / "roc.png") as axes:
        for name, curve in curves.items():
            fmr, fnmr = _thinned(curve)
            axes.step(np.maximum(fmr, lowest / 2), 1 - fnmr, label=name, where="post")
        axes.set(xscale="log", xlim=(lowest, 1), ylim=(0, 1.005), xlabel="FMR", ylabel="1 - FNMR", title="ROC")
        axes.legend(loc="lower right")
    with _figure(out / "det.png") as axes:
        for name, curve in curves.items():
            fmr, fnmr = _thinned(curve)
            axes.step(np.maximum(fmr, lowest / 2), np.maximum(fnmr, _SMALLEST), label=name, where="post")
        axes.plot([lowest, 1], [lowest, 1], color="0.7", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(1e-4, 1), xlabel="FMR", ylabel="FNMR", title="DET")
        axes.legend(loc="lower left")


def plot_curves(table: Path, picture: Path) -> None:
    """Draws a training: one panel for each stage with its loss and, on the right, its validation accuracy.

    `table` is a CSV with the columns stage, iteration, loss, lr, val_accuracy; blank cells are left out. Raises
    `MaskgenError` where it cannot be read or holds no number.
    """
    series = _read_curves(table)
    with _figure(picture, columns=max(len(series), 1)) as panels:
        for axes, (stage, columns) in zip(np.atleast_1d(panels), series.items(), strict=True):
            axes.set(title=stage, xlabel="iteration")
            axes.set_ylabel("loss", color="C0")
            axes.plot(*columns["loss"], linewidth=1, label="loss")
            for iteration in _drops(columns["lr"]):
                axes.axvline(iteration, color="0.7", linewidth=0.8, linestyle=":")
            if len(columns["val_accuracy"][0]):
                right = axes.twinx()
                right.plot(*columns["val_accuracy"], color="C1", marker=".", label="validation accuracy")
                right.set_ylabel("validation accuracy", color="C1")
                right.set_ylim(0, 1.02)


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


def _floor(curve: Rates) -> float:
    """The smallest FMR above 0: one false match."""
    return float(curve.fmr[curve.fmr > 0].min())


def _thinned(curve: Rates) -> tuple[Floats, Floats]:
    """FMR and FNMR from high to low thresholds, thinned evenly in FNMR and in the logarithm of FMR."""
    fmr, fnmr = curve.fmr[::-1], curve.fnmr[::-1]
    if len(fmr) <= POINTS:
        return fmr, fnmr
    shares = np.concatenate([np.geomspace(_SMALLEST**1.5, 1, POINTS // 2), [0, 1]])
    by_fmr = np.searchsorted(fmr, shares)
    by_fnmr = len(fnmr) - 1 - np.searchsorted(fnmr[::-1], np.linspace(0, 1, POINTS // 2))
    chosen = np.unique(np.clip(np.concatenate([by_fmr, by_fnmr, [0, len(fmr) - 1]]), 0, len(fmr) - 1))
    return fmr[chosen], fnmr[chosen]


class _figure:
    """`with _figure(path) as axes:` draws without a screen and saves a PNG; the pixels depend on the data alone."""

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
