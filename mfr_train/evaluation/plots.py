"""The plots of an evaluation: DET, ROC and histograms of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..direct_labels import name_lines
from ..figure import NOTE_SIZE, label, new_figure, note, save, style, styled
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

_LETTER, _GAP, _LINE = 0.0185, 0.01, 0.042
"""Shares of an axis: the width of a letter of a tick's label, the least room between two labels, the height of one."""

_FMR, _GUIDE = "false match rate, FMR (%)", {"color": "0.6", "linewidth": 0.8, "linestyle": (0, (1, 2))}

Curves = Mapping[str, Curve]
"""Curves by the names that stand beside them."""


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
    """The label of a threshold of U-U by its limit on the FMR."""
    return f"U-U, FMR {100 * limit:g} %"


@styled
def det(curves: Curves, limits: Sequence[float] = LIMITS) -> Any:
    """FNMR against FMR on normal-deviate axes (Martin et al., "The DET curve", Eurospeech 1997), with 95 % bands.

    The axes begin at the lowest rates that the numbers of pairs can show, 1/Ni and 1/Ng. A triangle there says that
    no error is left.
    """
    figure, axes = new_figure(height=3.1)
    lines, marks = {}, []
    left, bottom = _lowest(curves, "impostor"), _lowest(curves, "genuine")
    ended = False
    for number, (name, curve) in enumerate(curves.items()):
        look, (fmr, fnmr) = style(number), _steps(curve)
        zero = int(np.argmax(fnmr == 0))
        x, y = fmr[: zero + 1], np.append(fnmr[:zero], 1 / curve.genuine)
        _band(axes, curve, lambda fnmr: np.maximum(fnmr, bottom / 10), look["color"])
        lines[label(name)] = axes.step(x, y, where="post", label=label(name), **look)[0]
        if x[-1] <= 0.5:
            ended = True
            axes.plot(x[-1:], y[-1:], marker="v", markerfacecolor="white", clip_on=False, zorder=3, **look)
        marks.append(_mark(axes, curve, limits, lambda fnmr: fnmr, look["color"]))
    inside = [_steps(curve)[1][0] for curve in curves.values()]
    top = next((tick for tick in _TICKS if tick >= max(0.4, *inside)), _TICKS[-1])
    for axis, low, high in (("x", left, 0.5), ("y", bottom, top)):
        _deviates(axes, axis, low, high)
    for limit in limits:
        if left < limit:
            axes.axvline(limit, **_GUIDE)
    marks += axes.plot([left, 0.5], [left, 0.5], **_GUIDE | {"linestyle": "-"})
    axes.set(xlabel=_FMR, ylabel="false non-match rate, FNMR (%)")
    note(axes, _signs(curves, limits, ["\u25bd no false non-match beyond"] * ended + ["thin line: FNMR = FMR"]))
    name_lines(figure, axes, lines, marks)
    return figure


@styled
def roc(curves: Curves, limits: Sequence[float] = LIMITS) -> Any:
    """1 - FNMR against FMR, which is logarithmic and begins at 1/Ni, with 95 % bands."""
    figure, axes = new_figure()
    lines, marks = {}, []
    left = _lowest(curves, "impostor")
    for number, (name, curve) in enumerate(curves.items()):
        look = style(number)
        _band(axes, curve, lambda fnmr: 1 - fnmr, look["color"])
        fmr, fnmr = _steps(curve)
        x, y = np.append(fmr, 1), 1 - np.append(fnmr, 0)
        lines[label(name)] = axes.step(x, y, where="post", label=label(name), **look)[0]
        marks.append(_mark(axes, curve, limits, lambda fnmr: 1 - fnmr, look["color"]))
    lowest = 1 - max(_steps(curve)[1][0] for curve in curves.values())
    bottom = max(0.0, np.floor(10 * lowest - 0.01) / 10)
    axes.set(xscale="log", xlim=(left, 1), ylim=(bottom, 1 + (1 - bottom) / 60))
    axes.set(xlabel=_FMR, ylabel="true match rate, 1 - FNMR (%)")
    axes.xaxis.set_major_formatter(_percent)
    axes.yaxis.set_major_formatter(_percent)
    note(axes, _signs(curves, limits))
    name_lines(figure, axes, lines, marks)
    return figure


@styled
def histogram(histograms: Mapping[str, Histogram], thresholds: Mapping[str, float]) -> Any:
    """Densities of the genuine and impostor scores, one panel for each histogram, with thresholds by their labels."""
    figure, panels = new_figure(height=0.5 + 1.25 * len(histograms), rows=len(histograms), share_x=True)
    drawn = list(zip(np.atleast_1d(panels), histograms, common(histograms.values()), strict=True))
    for axes, name, found in drawn:
        title = axes.set_title(label(name), loc="left")
        sides = (("genuine", found.genuine, "-"), ("impostor", found.impostor, "--"))
        for number, (kind, counts, line) in enumerate(sides, 1):
            look = style(number) | {"linestyle": line, "linewidth": 1}
            density = counts / max(counts.sum() * found.width, 1e-300)
            axes.stairs(density, found.edges, fill=True, color=look["color"], alpha=0.25)
            axes.stairs(density, found.edges, **look)
            # The title names the pairs in the colours in which they are drawn.
            beside = {"xycoords": title, "xytext": (6, 0), "textcoords": "offset points", "va": "bottom"}
            title = axes.annotate(f"{counts.sum():,.0f} {kind} pairs", (1, 0), color=look["color"], **beside)
        axes.set(ylabel="density", ylim=(0, None))
        _thresholds(axes, thresholds, named=axes is drawn[0][0])
    drawn[-1][0].set(xlabel="score")
    return figure


def _thresholds(axes: Any, thresholds: Mapping[str, float], named: bool) -> None:
    """Lines at thresholds; in the first panel with their names, that of the highest at its right."""
    finite = [(text, threshold) for text, threshold in thresholds.items() if np.isfinite(threshold)]
    for number, (text, threshold) in enumerate(sorted(finite, key=lambda each: each[1]), 1):
        axes.axvline(threshold, color="black", linewidth=0.8, linestyle=(0, (2 * number - 1, 2)))
        if named:
            from matplotlib.patheffects import withStroke

            at_left = number < len(finite)
            axes.annotate(
                label(text),
                (threshold, 1.02 - 0.13 * number),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if at_left else 3, 0),
                textcoords="offset points",
                ha="right" if at_left else "left",
                va="center",
                fontsize=NOTE_SIZE,
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )


@styled
def cmc(found: Mapping[str, Identification]) -> Any:
    """The hit rate at each rank (cumulative match characteristic), with 95 % bands."""
    figure, axes = new_figure()
    lines, pairs = {}, []
    for number, (name, each) in enumerate(found.items()):
        look, ranks = style(number), np.arange(1, len(each.cmc) + 1)
        if each.cmc_intervals:
            low, high = np.transpose(each.cmc_intervals)
            axes.fill_between(ranks, low, high, facecolor=(look["color"], 0.12), edgecolor=(look["color"], 0.5))
        [lines[label(name)]] = axes.plot(ranks, each.cmc, label=label(name), **look)
        pairs.append(f"{label(name)}: {each.probes:,} probes, {each.gallery:,} in the gallery")
    axes.set(xlabel="rank", ylabel="hit rate (%)", ylim=(None, 1.005))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(_percent)
    note(axes, "\n".join(pairs))
    name_lines(figure, axes, lines)
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


def _mark(axes: Any, curve: Curve, limits: Sequence[float], shown: Any, color: str) -> Any:
    """Marks the lowest FNMR with FMR below each limit, if one false match is below it."""
    fmr = _drawn_fmr(curve)
    places = [int(np.searchsorted(curve.fmr, limit)) - 1 for limit in limits if limit > 1 / curve.impostor]
    places = [place for place in places if curve.fnmr[place] > 0]
    return axes.plot(fmr[places], shown(curve.fnmr[places]), "o", color=color, zorder=3)[0]


def _signs(curves: Curves, limits: Sequence[float], others: Sequence[str] = ()) -> str:
    """What the signs of a plot mean, in at most two lines."""
    percents = ", ".join(f"{100 * limit:g} %" for limit in sorted(limits, reverse=True))
    signs = [f"\u25cf FMR below {percents}"]
    signs += ["bands: 95 % over subjects"] if any(curve.low is not None for curve in curves.values()) else []
    signs += others
    return "\n".join(filter(None, ("   ".join(signs[:2]), "   ".join(signs[2:]))))


def _deviates(axes: Any, axis: str, low: float, high: float) -> None:
    """Makes an axis one of normal deviates, with ticks at usual rates."""
    set_scale, set_limits, its = getattr(axes, f"set_{axis}scale"), getattr(axes, f"set_{axis}lim"), f"{axis}axis"
    set_scale("function", functions=(_deviate, _share))
    set_limits(low, high)
    ticks = _apart([tick for tick in _TICKS if low <= tick <= high], low, high, wide=axis == "x")
    getattr(axes, its).set_ticks(ticks, [_percent(tick) for tick in ticks])
    getattr(axes, its).set_ticks([], minor=True)


def _apart(ticks: Sequence[float], low: float, high: float, *, wide: bool) -> list[float]:
    """The ticks whose labels do not touch, beside each other (`wide`) or above; of two, the lower is left out."""
    kept = list(ticks[-1:])
    for tick in reversed(ticks[:-1]):
        room = np.ptp(_deviate([tick, kept[-1]])) / np.ptp(_deviate([low, high]))
        letters = (len(_percent(tick)) + len(_percent(kept[-1]))) / 2
        if room > (_GAP + _LETTER * letters if wide else _LINE):
            kept.append(tick)
    return kept[::-1]


def _percent(share: float, _: object = None) -> str:
    return f"{100 * share:.6g}"


def _deviate(shares: npt.ArrayLike) -> Floats:
    """The standard normal deviate of each share; 0 and 1 are far away."""
    return np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])(np.clip(shares, 1e-12, 1 - 1e-12))


def _share(deviates: npt.ArrayLike) -> Floats:
    return np.vectorize(NormalDist().cdf, otypes=[np.float64])(deviates)
