"""How far figures of scores that were counted in bins can be from those of the exact scores.

With bins both rates are exact at every edge. What bins lose is the thresholds between their edges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .counts import Counts, Rates, deviation, middles


def binning_bounds(counts: Counts, curve: Rates, places: Mapping[str, int], nearest: int) -> dict[str, float]:
    """The most by which each figure of binned counts can differ from that of the exact scores behind them.

    `places` are the indices of the thresholds of the FNMRs at limits on the FMR and of ZeroFMR by name, `nearest` is
    that of the nearest FMR100.

    Let g and i be a bin's share of the genuine and of the impostor scores.
    FNMR at a limit on the FMR, ZeroFMR: the exact threshold lies in the bin below the one chosen, so FNMR is too high
    by at most its g.
    FNMR nearest to FMR 1 %: the exact threshold lies in that bin too, or above it up to where FMR passes the target.
    EER: FNMR and FMR cross inside one bin; both sums of rates lie within g + i of each other, the middles within half.
    AUC: only pairs inside one bin can be ordered otherwise, each changes by at most 1/2: sum of g * i / 2.
    Means: half a bin's width, averaged. Standard deviations: its root mean square, since the standard deviation of a
    sum is at most the sum of both. d': the largest quotient of a numerator and a denominator that are so far off.
    """
    others = ("nearest_fmr100", "eer", "auc", "gmean", "imean", "gstd", "istd", "d_prime")
    if counts.tops is None:
        return dict.fromkeys((*places, *others), 0.0)
    genuine, impostor = counts.genuine / counts.genuine.sum(), counts.impostor / counts.impostor.sum()
    halves = (counts.tops - counts.scores) / 2
    beyond = curve.fnmr[max(places["fmr100"], nearest)] - curve.fnmr[nearest]
    crossing = int(np.flatnonzero(curve.fnmr <= curve.fmr)[-1])
    met = curve.fnmr[crossing] == curve.fmr[crossing]
    means = [float(halves @ side) for side in (genuine, impostor)]
    deviations = [math.sqrt(float(halves**2 @ side)) for side in (genuine, impostor)]
    values = (
        max(genuine[nearest - 1] if nearest else 0.0, beyond),
        0.0 if met else (genuine[crossing] + impostor[crossing]) / 2,
        genuine @ impostor / 2,
        *means,
        *deviations,
        _decidability_bound(counts, sum(means), math.hypot(*deviations) / math.sqrt(2)),
    )
    found = {name: float(genuine[index - 1]) for name, index in places.items()}
    return found | {name: float(value) for name, value in zip(others, values, strict=True)}


def _decidability_bound(counts: Counts, distance_error: float, spread_error: float) -> float:
    values = middles(counts)
    sides = [side / side.sum() for side in (counts.genuine, counts.impostor)]
    gmean, imean = (float(values @ side) for side in sides)
    deviations = [deviation(values, side, mean) for side, mean in zip(sides, (gmean, imean), strict=True)]
    spread = math.hypot(*deviations) / math.sqrt(2)
    if spread <= spread_error:
        return math.inf
    return (abs(gmean - imean) + distance_error) / (spread - spread_error) - abs(gmean - imean) / spread
