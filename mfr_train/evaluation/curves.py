"""What the plots of an evaluation show, as numbers: error curves with bands, and histograms of scores."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .counts import Counts, Floats, rates
from .metrics import FMR10, FMR100, FMR1000

POINTS = 1000
"""About how many points of a curve are kept: they are closest together where rates are small."""

_FINE, _COARSE = 4096, 40
"""Bins over the scores of one histogram while it is kept, and at least so many when it is drawn."""

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Curve:
    """An error curve as a staircase: `fnmr[k]` is the lowest FNMR with FMR <= x, for `fmr[k]` <= x < `fmr[k + 1]`.

    All float64 (K,); thresholds fall, FMR rises from 0 to 1 and FNMR falls. `low` and `high` are the 95 % band of the
    FNMR at each FMR, if there is one. `genuine` and `impostor` are the numbers of pairs.
    """

    thresholds: Floats
    fmr: Floats
    fnmr: Floats
    genuine: float
    impostor: float
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Histogram:
    """Genuine and impostor scores (K,) in the bins between `edges` (K + 1,), which are whole multiples of their width.

    The width is a power of two, so histograms of several widths have common edges.
    """

    edges: Floats
    genuine: Floats
    impostor: Floats

    @property
    def width(self) -> float:
        """The width of each bin."""
        return float(self.edges[1] - self.edges[0])


def curve(counts: Counts) -> Curve:
    """The curve of counts, thinned to about `POINTS` points, without a band."""
    found = rates(counts)
    thresholds, fmr, fnmr = (values[::-1] for values in found)
    # The corners of the staircase: the lowest FNMR of equal FMR, then the lowest FMR of equal FNMR.
    corners = np.flatnonzero(np.append(np.diff(fmr) > 0, True))
    corners = corners[np.insert(np.diff(fnmr[corners]) < 0, 0, True)]
    genuine, impostor = float(counts.genuine.sum()), float(counts.impostor.sum())
    if len(corners) > POINTS:
        corners = corners[_thinned(fmr[corners], fnmr[corners], genuine, impostor)]
    return Curve(thresholds[corners], fmr[corners], fnmr[corners], genuine, impostor)


def _thinned(fmr: Floats, fnmr: Floats, genuine: float, impostor: float) -> Indices:
    """Which points to keep: the ends, those at usual limits, and others at equal distances in each rate.

    Distances are those of the logarithm and of the rate, so that both ends of both axes are smooth.
    """
    some = POINTS // 4
    by_fmr = np.concatenate([np.geomspace(1 / impostor, 1, some), np.linspace(0, 1, some), [FMR1000, FMR100, FMR10]])
    by_fnmr = np.concatenate([np.geomspace(1 / genuine, 1, some), np.linspace(0, 1, some)])
    chosen = [
        np.searchsorted(fmr, by_fmr, side="right") - 1,
        np.searchsorted(fmr, [FMR1000, FMR100, FMR10], side="left") - 1,  # the points with FMR below the limit
        np.searchsorted(-fnmr, -by_fnmr),
        np.array([0, len(fmr) - 1]),
    ]
    return np.unique(np.clip(np.concatenate(chosen), 0, len(fmr) - 1))


def histogram(counts: Counts) -> Histogram:
    """A fine histogram of counts. Binned scores are taken at the lower edges of their bins, which are finer still."""
    there = np.flatnonzero(counts.genuine + counts.impostor)
    scores = counts.scores[there]
    largest = float(np.abs(scores[[0, -1]]).max())
    smallest_width = (largest or 1.0) * 2.0**-40  # also of one score alone; numbers of bins are then below 2^41
    width = _power_of_two(max((scores[-1] - scores[0]) / _FINE, smallest_width))
    return _summed(scores, counts.genuine[there], counts.impostor[there], width)


def common(histograms: Iterable[Histogram]) -> list[Histogram]:
    """The histograms with the same bins, wide enough to draw. They may have no bins in common."""
    found = list(histograms)
    low, high = min(each.edges[0] for each in found), max(each.edges[-1] for each in found)
    width = max(_power_of_two((high - low) / _COARSE / 2), *(each.width for each in found))
    return [_summed(each.edges[:-1], each.genuine, each.impostor, width, low, high) for each in found]


def _summed(
    scores: Floats, genuine: Floats, impostor: Floats, width: float, low: float | None = None, high: float | None = None
) -> Histogram:
    """Counts at scores, in bins of a width from the lowest to the highest score, or from `low` to `high`."""
    places = np.floor(scores / width).astype(np.intp)
    first = int(places[0] if low is None else math.floor(low / width))
    last = int(places[-1] if high is None else math.ceil(high / width) - 1)
    sums = [np.zeros(last - first + 1) for _ in range(2)]
    for total, side in zip(sums, (genuine, impostor), strict=True):
        np.add.at(total, places - first, side)
    return Histogram(np.arange(first, last + 2, dtype=np.float64) * width, *sums)


def _power_of_two(value: float) -> float:
    """The smallest power of two that is not below a positive value."""
    return 2.0 ** math.ceil(math.log2(value))
