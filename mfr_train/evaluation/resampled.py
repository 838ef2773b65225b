"""The figures of many resamples at once. `metrics` has their definitions, and measures one set of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import limits, metrics
from .bounds import rate_bounds
from .counts import Counts, Floats, at, rates
from .metrics import FixedThreshold


class Moments(NamedTuple):
    """The scores of a class in each bin, float64 (K,): their mean, and their mean squared distance from `centre`."""

    mean: Floats
    square: Floats
    centre: float

    def weighed(self, counts: Floats) -> tuple[Floats, Floats]:
        """The mean and the standard deviation of resamples that have so many scores in each bin (R, K): (R,) each."""
        total = counts.sum(axis=1)
        mean = (self.mean * counts).sum(axis=1) / total
        variance = (self.square * counts).sum(axis=1) / total - (mean - self.centre) ** 2
        return mean, np.sqrt(np.maximum(variance, 0))


def figures(
    counts: Counts, fmr: Sequence[float], moments: tuple[Moments, Moments], thresholds: Sequence[FixedThreshold] = ()
) -> tuple[dict[str, Floats], dict[str, float]]:
    """The figures of each resample, and the most by which binning can have moved one in any of them.

    Args:
        counts: `genuine` and `impostor` are whole numbers (R, K): resamples of the same scores. No row is all zeros.
        fmr: Limits of operating points, besides 0.1, 1 and 10 %.
        moments: Those of the genuine and of the impostor scores.
        thresholds: Where both rates are measured.

    Returns:
        Float64 (R,) by name, all of `bootstrap.plain` but ZeroFMR, and both rates at the thresholds; and the bounds by
        name, of which only those of `bounds.rate_bounds` are known.
    """
    curve = rates(counts)
    places = {
        limits.name(limit): np.count_nonzero(curve.fmr >= limit, axis=1)
        for limit in (metrics.FMR1000, metrics.FMR100, metrics.FMR10, *fmr)
    }
    nearest = np.argmin(np.abs(curve.fmr - metrics.FMR100), axis=1)
    # FNMR rises and FMR falls: they meet between these two thresholds, or at both.
    last, first = (np.count_nonzero(meets, axis=1) for meets in (curve.fnmr <= curve.fmr, curve.fnmr < curve.fmr))
    sums = [at(curve.fmr, place) + at(curve.fnmr, place) for place in (last - 1, first)]
    genuine, impostor = counts.genuine.sum(axis=1), counts.impostor.sum(axis=1)
    ordered = (counts.genuine * (np.cumsum(counts.impostor, axis=1) - counts.impostor / 2)).sum(axis=1)
    (gmean, gstd), (imean, istd) = (
        of.weighed(side) for of, side in zip(moments, (counts.genuine, counts.impostor), strict=True)
    )
    values = {name: at(curve.fnmr, place) for name, place in places.items()} | {
        "nearest_fmr100": at(curve.fnmr, nearest),
        "eer": np.minimum(*sums) / 2,
        "auc": np.minimum(ordered / (genuine * impostor), 1),
        "gmean": gmean,
        "imean": imean,
        "gstd": gstd,
        "istd": istd,
        "d_prime": np.array([metrics.decidability(*each) for each in zip(gmean, imean, gstd, istd, strict=True)]),
    }
    for fixed in thresholds:
        place = np.searchsorted(counts.scores, fixed.threshold)
        values[fixed.name], values[fixed.fmr_name] = curve.fnmr[:, place], curve.fmr[:, place]
    bounds = rate_bounds(counts, curve, places, nearest)
    return values, {name: float(bound.max()) for name, bound in bounds.items()}
