"""The plots of an evaluation: DET, ROC and histograms of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..figure import label, new_figure, save, style
from . import curve_files
from .counts import Floats
from .curves import Curve, Histogram, common
from .identification import Identification
from .metrics import FMR10, FMR100

DET, ROC, HISTOGRAM, CMC = "det", "roc", "histogram", "cmc"
"""The names of the files, without their endings."""

LIMITS = (FMR10, FMR100)
"""The limits of FMR whose operating points are marked if no others are given."""

_TICKS = tuple(
    percent / 100 for percent in (1e-4, 1e-3, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 98, 99, 99.9, 99.99)
)
_WIDEST = 0.2
"""No axis begins at a higher rate than this, however few pairs there are."""

_FMR, _GUIDE = "false match rate, FMR (%)", {"color": "0.6", "linewidth": 0.8, "linestyle": (0, (1, 2))}

Curves = Mapping[str, Curve]
"""Curves by the names that the legend shows."""


Plotted = dict[str, tuple[Curve, Histogram]]
"""By scenario, what its plots show."""


def write(
    plotted: Plotted, thresholds: Mapping[float, float], folder: Path, formats: Sequence[str],
    limits: Sequence[float] = LIMITS,
) -> None:  # fmt: skip
    """Writes curves.csv, histogram.csv and, in each format, the three plots.

    `thresholds` are those of U-U by their limit on the FMR; the curves are marked at all `limits`.
    """
    found = {name: curve for name, (curve, _) in plotted.items()}
    histograms = {name: scores for name, (_, scores) in plotted.items()}
    try:
        curve_files.write_curves(found, folder)
        curve_files.write_histograms(histograms, folder)
    except OSError as error:
        raise MaskgenError(f"cannot write the curves ({error.strerror}); make room or give another --out.") from None
    if formats:
        lines = {threshold_label(limit): thresholds[limit] for limit in sorted(thresholds, reverse=True)}
        save(det(found, limits), folder / DET, formats)
        save(roc(found, limits), folder / ROC, formats)
        save(histogram(histograms, lines), folder / HISTOGRAM, formats)


def threshold_label(limit: float) -> str:
    """What the legend says of a threshold of U-U by its limit on the FMR."""
    return f"threshold of U-U, FMR below {100 * limit:g} %"


def det(curves: Curves, limits: Sequence[float] = LIMITS) -> Any:
    """FNMR against FMR on normal-deviate axes (Martin et al., "The DET curve", Eurospeech 1997), with 95 % bands.

    The axes begin at the lowest rates that the numbers of pairs can show, 1/Ni and 1/Ng. A triangle there says that
    no error is left.
    """
    figure, axes = new_figure(height=5.6)
    left, bottom = _lowest(curves, "impostor"), _lowest(curves, "genuine")
    ended = False
    for number, (name, curve) in enumerate(curves.items()):
        look, (fmr, fnmr) = style(number), _steps(curve)
        zero = int(np.argmax(fnmr == 0))
        x, y = fmr[: zero + 1], np.append(fnmr[:zero], 1 / curve.genuine)
        _band(axes, curve, lambda fnmr: np.maximum(fnmr, bottom / 10), look["color"])
        axes.step(x, y, where="post", label=label(name), **look)
        if x[-1] <= 0.5:
            ended = True
            axes.plot(x[-1:], y[-1:], marker="v", markerfacecolor="white", clip_on=False, zorder=3, **look)
        _mark(axes, curve, limits, lambda fnmr: fnmr, look["color"])
    inside = [_steps(curve)[1][0] for curve in curves.values()]
    top = next((tick for tick in _TICKS if tick >= max(0.4, *inside)), _TICKS[-1])
    for axis, low, high in (("x", left, 0.5), ("y", bottom, top)):
        _deviates(axes, axis, low, high)
    for limit in limits:
        if left < limit:
            axes.axvline(limit, **_GUIDE)
    axes.plot([left, 0.5], [left, 0.5], label="FNMR = FMR", **_GUIDE | {"linestyle": "-"})
    axes.set(xlabel=_FMR, ylabel="false non-match rate, FNMR (%)")
    _legend(figure, axes, curves, limits, ended)
    return figure


def roc(curves: Curves, limits: Sequence[float] = LIMITS) -> Any:
    """1 - FNMR against FMR, which is logarithmic and begins at 1/Ni, with 95 % bands."""
    figure, axes = new_figure(height=5.0)
    left = _lowest(curves, "impostor")
    for number, (name, curve) in enumerate(curves.items()):
        look = style(number)
        _band(axes, curve, lambda fnmr: 1 - fnmr, look["color"])
        fmr, fnmr = _steps(curve)
        axes.step(np.append(fmr, 1), 1 - np.append(fnmr, 0), where="post", label=label(name), **look)
        _mark(axes, curve, limits, lambda fnmr: 1 - fnmr, look["color"])
    lowest = 1 - max(_steps(curve)[1][0] for curve in curves.values())
    bottom = max(0.0, np.floor(10 * lowest - 0.01) / 10)
    axes.set(xscale="log", xlim=(left, 1), ylim=(bottom, 1 + (1 - bottom) / 60))
    axes.set(xlabel=_FMR, ylabel="true match rate, 1 - FNMR (%)")
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    _legend(figure, axes, curves, limits, ended=False)
    return figure


def histogram(histograms: Mapping[str, Histogram], thresholds: Mapping[str, float]) -> Any:
    """Densities of the genuine and impostor scores, one panel for each histogram, with thresholds by their labels."""
    figure, panels = new_figure(height=0.9 + 1.7 * len(histograms), rows=len(histograms))
    drawn = list(zip(np.atleast_1d(panels), histograms, common(histograms.values()), strict=True))
    for axes, name, found in drawn:
        sides = (("genuine", found.genuine, "-"), ("impostor", found.impostor, "--"))
        for number, (kind, counts, line) in enumerate(sides, 1):
            look = style(number) | {"linestyle": line, "linewidth": 1}
            density = counts / max(counts.sum() * found.width, 1e-300)
            axes.stairs(density, found.edges, fill=True, color=look["color"], alpha=0.25)
            axes.stairs(density, found.edges, label=kind, **look)
        for number, (text, threshold) in enumerate(thresholds.items(), 1):
            if np.isfinite(threshold):
                dashes = (0, (2 * number - 1, 2))
                axes.axvline(threshold, color="black", linewidth=1.2, linestyle=dashes, label=label(text))
        pairs = f"{found.genuine.sum():,.0f} genuine and {found.impostor.sum():,.0f} impostor pairs"
        axes.set_title(f"{label(name)}: {pairs}", loc="left", fontsize="medium")
        axes.set(ylabel="density", ylim=(0, None))
    last = drawn[-1][0]
    last.set(xlabel="score")
    handles, labels = last.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def cmc(found: Mapping[str, Identification]) -> Any:
    """The hit rate at each rank (cumulative match characteristic), with 95 % bands."""
    figure, axes = new_figure(height=5.0)
    for number, (name, each) in enumerate(found.items()):
        look, ranks = style(number), np.arange(1, len(each.cmc) + 1)
        if each.cmc_intervals:
            low, high = np.transpose(each.cmc_intervals)
            axes.fill_between(ranks, low, high, facecolor=(look["color"], 0.12), edgecolor=(look["color"], 0.5))
        axes.plot(
            ranks, each.cmc, label=label(f"{name}: {each.probes:,} probes, {each.gallery:,} in the gallery"), **look
        )
    axes.set(xlabel="rank", ylabel="hit rate (%)", ylim=(None, 1.005))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(_percent)
    figure.legend(loc="outside lower center", ncols=1, frameon=False)
    return figure


def _lowest(curves: Curves, side: str) -> float:
    """The lowest rate above 0 that the pairs of a side can show."""
    return min(_WIDEST, *(1 / getattr(curve, side) for curve in curves.values()))


def _drawn_fmr(curve: Curve) -> Floats:
    """The FMR of a curve; no false match is drawn at the rate of one."""
    return np.maximum(curve.fmr, 1 / curve.impostor)


def _steps(curve: Curve) -> tuple[Floats, Floats]:
    """FMR and FNMR of a curve from the FMR of one false match on."""
    fmr = _drawn_fmr(curve)
    first = int(np.searchsorted(fmr, 1.0001 / curve.impostor)) - 1
    return fmr[first:], curve.fnmr[first:]


def _band(axes: Any, curve: Curve, shown: Any, color: str) -> None:
    if curve.low is not None and curve.high is not None:
        ends = shown(curve.low), shown(curve.high)
        axes.fill_between(
            _drawn_fmr(curve), *ends, step="post", facecolor=(color, 0.12), edgecolor=(color, 0.5), linewidth=0.5
        )


def _mark(axes: Any, curve: Curve, limits: Sequence[float], shown: Any, color: str) -> None:
    """Marks the lowest FNMR with FMR below each limit, if one false match is below it."""
    fmr = _drawn_fmr(curve)
    places = [int(np.searchsorted(curve.fmr, limit)) - 1 for limit in limits if limit > 1 / curve.impostor]
    places = [place for place in places if curve.fnmr[place] > 0]
    axes.plot(fmr[places], shown(curve.fnmr[places]), "o", color=color, markersize=5, zorder=3)


def _legend(figure: Any, axes: Any, curves: Curves, limits: Sequence[float], ended: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    percents = ", ".join(f"{100 * limit:g} %" for limit in sorted(limits, reverse=True))
    handles.append(Line2D([], [], color="0.3", marker="o", markersize=5, linestyle=""))
    labels.append(f"FMR below {percents}")
    if any(curve.low is not None for curve in curves.values()):
        handles.append(Patch(facecolor=("0.3", 0.12), edgecolor=("0.3", 0.5), linewidth=0.5))
        labels.append("95 % band over subjects")
    if ended:
        handles.append(Line2D([], [], color="0.3", marker="v", markerfacecolor="white", linestyle=""))
        labels.append("no false non-match from here on")
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)


def _deviates(axes: Any, axis: str, low: float, high: float) -> None:
    """Makes an axis one of normal deviates, with ticks at usual rates."""
    set_scale, set_limits, its = getattr(axes, f"set_{axis}scale"), getattr(axes, f"set_{axis}lim"), f"{axis}axis"
    set_scale("function", functions=(_deviate, _share))
    set_limits(low, high)
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    getattr(axes, its).set_ticks(ticks, [_percent(tick) for tick in ticks])
    getattr(axes, its).set_ticks([], minor=True)


def _percent(share: float, _: object = None) -> str:
    return f"{100 * share:.6g}"


def _deviate(shares: npt.ArrayLike) -> Floats:
    """The standard normal deviate of each share; 0 and 1 are far away."""
    return np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])(np.clip(shares, 1e-12, 1 - 1e-12))


def _share(deviates: npt.ArrayLike) -> Floats:
    return np.vectorize(NormalDist().cdf, otypes=[np.float64])(deviates)
