"""How far figures of scores that were counted in bins can be from those of the exact scores.

With bins both rates are exact at every edge. What bins lose is the thresholds between their edges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .counts import Counts, Floats, Rates, at, deviation, middles

Places = int | npt.NDArray[np.intp]
"""The index of a threshold, or one for each of several counts, (R,)."""


def rate_bounds(counts: Counts, curve: Rates, places: Mapping[str, Places], nearest: Places) -> dict[str, Floats]:
    """The most by which the rates and the AUC of binned counts can differ from those of the exact scores behind them.

    `places` are the indices of the thresholds of the FNMRs at limits on the FMR and of ZeroFMR by name, `nearest` is
    that of the nearest FMR100.

    Let g and i be a bin's share of the genuine and of the impostor scores.
    FNMR at a limit on the FMR, ZeroFMR: the exact threshold lies in the bin below the one chosen, so FNMR is too high
    by at most its g.
    FNMR nearest to FMR 1 %: the exact threshold lies in that bin too, or above it up to where FMR passes the target.
    EER: FNMR and FMR cross inside one bin; both sums of rates lie within g + i of each other, the middles within half.
    AUC: only pairs inside one bin can be ordered otherwise, each changes by at most 1/2: sum of g * i / 2.

    Of several counts at the same scores, (R, K), the indices and the bounds are (R,) each.
    """
    if counts.tops is None:
        return dict.fromkeys((*places, "nearest_fmr100", "eer", "auc"), np.zeros(curve.fmr.shape[:-1]))
    genuine, impostor = (side / side.sum(axis=-1, keepdims=True) for side in (counts.genuine, counts.impostor))
    beyond = at(curve.fnmr, np.maximum(places["fmr100"], nearest)) - at(curve.fnmr, nearest)
    below = np.where(nearest, at(genuine, np.maximum(nearest, 1) - 1), 0)
    crossing = np.count_nonzero(curve.fnmr <= curve.fmr, axis=-1) - 1
    met = at(curve.fnmr, crossing) == at(curve.fmr, crossing)
    return {name: at(genuine, index - 1) for name, index in places.items()} | {
        "nearest_fmr100": np.maximum(below, beyond),
        "eer": np.where(met, 0, (at(genuine, crossing) + at(impostor, crossing)) / 2),
        "auc": (genuine * impostor).sum(axis=-1) / 2,
    }


def moment_bounds(counts: Counts) -> dict[str, float]:
    """The same for figures that follow from the means and the standard deviations.

    Means: half a bin's width, averaged. Standard deviations: its root mean square, since the standard deviation of a
    sum is at most the sum of both. d': the largest quotient of a numerator and a denominator that are so far off.
    """
    names = ("gmean", "imean", "gstd", "istd", "d_prime")
    if counts.tops is None:
        return dict.fromkeys(names, 0.0)
    halves = (counts.tops - counts.scores) / 2
    sides = (counts.genuine / counts.genuine.sum(), counts.impostor / counts.impostor.sum())
    means = [float(halves @ side) for side in sides]
    deviations = [math.sqrt(float(halves**2 @ side)) for side in sides]
    ratio = _decidability_bound(counts, sum(means), math.hypot(*deviations) / math.sqrt(2))
    return dict(zip(names, (*means, *deviations, ratio), strict=True))


def _decidability_bound(counts: Counts, distance_error: float, spread_error: float) -> float:
    values = middles(counts)
    sides = [side / side.sum() for side in (counts.genuine, counts.impostor)]
    gmean, imean = (float(values @ side) for side in sides)
    deviations = [deviation(values, side, mean) for side, mean in zip(sides, (gmean, imean), strict=True)]
    spread = math.hypot(*deviations) / math.sqrt(2)
    if spread <= spread_error:
        return math.inf
    return (abs(gmean - imean) + distance_error) / (spread - spread_error) - abs(gmean - imean) / spread
