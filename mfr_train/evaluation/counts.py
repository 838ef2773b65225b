"""Genuine and impostor scores as counts at thresholds, and the error rates at every threshold.

A score is a similarity; a comparison matches where score >= threshold. The thresholds are every distinct score and
+inf. Exact scores and histograms are reduced to one table, `Counts`, and share every formula:

    FMR(t)  = #{impostor scores >= t} / Ni        FNMR(t) = #{genuine scores < t} / Ng

With bins [edge, next edge) both rates are exact at every edge.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

Floats = npt.NDArray[np.float64]


class Counts(NamedTuple):
    """How many genuine and impostor scores lie at each threshold.

    `scores` float64 (K,) strictly increasing; `genuine` and `impostor` float64 (K,), whole numbers or weights, at
    `scores[k]` or, with bins, in [scores[k], tops[k]). `tops` is float64 (K,), or None for exact scores.
    """

    scores: Floats
    genuine: Floats
    impostor: Floats
    tops: Floats | None = None


class Rates(NamedTuple):
    """The error rates at every threshold, float64 (K + 1,) each; thresholds increase and end with +inf."""

    thresholds: Floats
    fmr: Floats
    fnmr: Floats


def from_scores(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Counts:
    """Exact counts of scores, any shape, any real dtype. Raises `MaskgenError` for no scores, NaN or infinity."""
    sides = [np.asarray(side, dtype=np.float64).ravel() for side in (genuine, impostor)]
    for side, name in zip(sides, ("genuine", "impostor"), strict=True):
        if not np.isfinite(side).all():
            raise MaskgenError(f"{name} scores hold NaN or infinity; check the embeddings they come from.")
    check_totals(sides[0].size, sides[1].size)
    scores, index = np.unique(np.concatenate(sides), return_inverse=True)
    counts = [np.bincount(part, minlength=scores.size) for part in np.split(index, [sides[0].size])]
    return Counts(scores, counts[0].astype(np.float64), counts[1].astype(np.float64))


def from_histogram(edges: npt.ArrayLike, genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Counts:
    """Counts in the bins [edges[k], edges[k + 1]): `edges` (K + 1,) strictly increasing, counts or weights (K,).

    Raises `MaskgenError` for edges that do not increase, negative or non-finite counts, or an empty class.
    """
    borders = np.asarray(edges, dtype=np.float64)
    sides = [np.asarray(side, dtype=np.float64) for side in (genuine, impostor)]
    if not (np.isfinite(borders).all() and (np.diff(borders) > 0).all()):
        raise MaskgenError("the edges of a score histogram must be finite and increase; check the grid.")
    for side in sides:
        if side.shape != (borders.size - 1,) or not np.isfinite(side).all() or (side < 0).any():
            raise MaskgenError("a score histogram needs one count, zero or more, for each bin; check its arrays.")
    check_totals(float(sides[0].sum()), float(sides[1].sum()))
    return Counts(borders[:-1], sides[0], sides[1], borders[1:])


def rates(counts: Counts) -> Rates:
    """FMR and FNMR at every threshold and at +inf. FMR falls from 1 to 0, FNMR rises from 0 to 1.

    Of several counts at the same scores, (R, K), both rates are (R, K + 1).
    """
    genuine, impostor = np.cumsum(counts.genuine, axis=-1), np.cumsum(counts.impostor[..., ::-1], axis=-1)
    nothing = np.zeros((*genuine.shape[:-1], 1))
    return Rates(
        np.append(counts.scores, np.inf),
        np.concatenate([impostor[..., ::-1], nothing], axis=-1) / impostor[..., -1:],
        np.concatenate([nothing, genuine], axis=-1) / genuine[..., -1:],
    )


def at(rows: npt.NDArray[Any], place: npt.ArrayLike) -> npt.NDArray[Any]:
    """The value at a place of a row (K,), or at one place of each row (R, K): the places are int (R,)."""
    found: npt.NDArray[Any] = np.take_along_axis(rows, np.asarray(place)[..., None], axis=-1)[..., 0]
    return found


def middles(counts: Counts) -> Floats:
    """The score at which each count is taken to lie, float64 (K,): itself, or the middle of its bin."""
    return counts.scores if counts.tops is None else (counts.scores + counts.tops) / 2


def deviation(values: Floats, weights: Floats, mean: float) -> float:
    """The standard deviation of weighted values, divided by their number."""
    if np.count_nonzero(weights) == 1:  # rounding of the mean would give equal scores a spread
        return 0.0
    return math.sqrt(float((values - mean) ** 2 @ weights / weights.sum()))


def check_totals(genuine: float, impostor: float) -> None:
    """Raises `MaskgenError` if a class has no scores."""
    if genuine <= 0:
        raise MaskgenError("there are no genuine scores; give at least one identity two photographs.")
    if impostor <= 0:
        raise MaskgenError("there are no impostor scores; give photographs of at least two identities.")
