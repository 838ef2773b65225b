"""The plots of an evaluation: ROC and DET."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..figure import saved_figure
from .metrics import Floats, Rates

POINTS = 4000
"""Points of a plotted curve: thinned beyond, never at its ends."""

_SMALLEST = 1e-6


def plot_rates(curves: Mapping[str, Rates], out: Path) -> None:
    """Writes roc.png (verification rate against FMR) and det.png (FNMR against FMR, both logarithmic) to a folder."""
    lowest = max(_SMALLEST, min((_floor(curve) for curve in curves.values()), default=_SMALLEST))
    with saved_figure(out / "roc.png") as axes:
        for name, curve in curves.items():
            fmr, fnmr = _thinned(curve)
            axes.step(np.maximum(fmr, lowest / 2), 1 - fnmr, label=name, where="post")
        axes.set(xscale="log", xlim=(lowest, 1), ylim=(0, 1.005), xlabel="FMR", ylabel="1 - FNMR", title="ROC")
        axes.legend(loc="lower right")
    with saved_figure(out / "det.png") as axes:
        for name, curve in curves.items():
            fmr, fnmr = _thinned(curve)
            axes.step(np.maximum(fmr, lowest / 2), np.maximum(fnmr, _SMALLEST), label=name, where="post")
        axes.plot([lowest, 1], [lowest, 1], color="0.7", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(1e-4, 1), xlabel="FMR", ylabel="FNMR", title="DET")
        axes.legend(loc="lower left")


def _floor(curve: Rates) -> float:
    """The smallest FMR above 0, one false match; below 1, since one impostor alone gives an axis no length."""
    return min(float(curve.fmr[curve.fmr > 0].min()), 0.5)


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
