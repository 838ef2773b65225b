"""Biometric figures from genuine and impostor scores: FMR, FNMR, FMR100, FMR10, EER, AUC and the means.

A score is a similarity; a comparison matches where score >= threshold. The thresholds are every distinct score and
+inf. Exact scores and histograms are reduced to one table, `Counts`, and share every formula:

    FMR(t)  = #{impostor scores >= t} / Ni        FNMR(t) = #{genuine scores < t} / Ng

With bins [edge, next edge) both rates are exact at every edge; what a histogram loses is the thresholds between
edges, and `bounds` says how much that can change each figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

Floats = npt.NDArray[np.float64]

FMR100, FMR10 = 0.01, 0.1
"""The FMR limits, as shares, of the figures of those names."""

FEW_ERRORS = 30
"""Doddington's rule of 30: a rate with fewer errors behind it is not known within 30 % with 90 % confidence."""


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


class Point(NamedTuple):
    """One operating point. `threshold` may be +inf: then no comparison matches. As a number it is its FNMR."""

    threshold: float
    fmr: float
    fnmr: float

    @property
    def value(self) -> float:
        """The FNMR, a share."""
        return self.fnmr

    def __float__(self) -> float:
        return self.fnmr

    def __format__(self, spec: str) -> str:
        return format(self.fnmr, spec) if spec else str(self)


class EqualError(NamedTuple):
    """The equal error rate as an interval and its mean, and its threshold. As a number it is the mean."""

    eer: float
    low: float
    high: float
    threshold: float

    @property
    def value(self) -> float:
        """The EER, a share."""
        return self.eer

    def __float__(self) -> float:
        return self.eer

    def __format__(self, spec: str) -> str:
        return format(self.eer, spec) if spec else str(self)


@dataclass(frozen=True)
class FixedThreshold:
    """The lowest threshold with FMR below `limit` on U-U, as applied to another scenario."""

    limit: float
    threshold: float

    @property
    def name(self) -> str:
        """Its name in report.json: `fnmr_at_uu_fmr100` for a limit of 1 %."""
        return f"fnmr_at_uu_fmr{round(1 / self.limit)}"


@dataclass(frozen=True)
class Figures:
    """The figures of one set of comparisons. Rates are shares (0.01 is 1 %), not percent.

    Attributes:
        genuine: Number of genuine scores.
        impostor: Number of impostor scores.
        fmr100: The operating point with the lowest FNMR at an FMR below 1 %.
        fmr10: The same for an FMR below 10 %.
        nearest_fmr100: The operating point whose FMR is nearest to 1 %; it may be above.
        eer: The equal error rate.
        auc: The area under the ROC curve, 0 to 1.
        gmean: Mean of the genuine scores.
        imean: Mean of the impostor scores.
        bounds: By name, the most by which a figure can differ from that of the exact scores: zero unless the scores
            were counted in bins.
    """

    genuine: float
    impostor: float
    fmr100: Point
    fmr10: Point
    nearest_fmr100: Point
    eer: EqualError
    auc: float
    gmean: float
    imean: float
    bounds: dict[str, float]


def from_scores(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Counts:
    """Exact counts of scores, any shape, any real dtype. Raises `MaskgenError` for no scores, NaN or infinity."""
    sides = [np.asarray(side, dtype=np.float64).ravel() for side in (genuine, impostor)]
    for side, name in zip(sides, ("genuine", "impostor"), strict=True):
        if not np.isfinite(side).all():
            raise MaskgenError(f"{name} scores hold NaN or infinity; check the embeddings they come from.")
    _check_totals(sides[0].size, sides[1].size)
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
    _check_totals(float(sides[0].sum()), float(sides[1].sum()))
    return Counts(borders[:-1], sides[0], sides[1], borders[1:])


def rates(counts: Counts) -> Rates:
    """FMR and FNMR at every threshold and at +inf. FMR falls from 1 to 0, FNMR rises from 0 to 1."""
    genuine, impostor = np.cumsum(counts.genuine), np.cumsum(counts.impostor[::-1])
    return Rates(
        np.append(counts.scores, np.inf),
        np.append(impostor[::-1], 0.0) / impostor[-1],
        np.append(0.0, genuine) / genuine[-1],
    )


def fnmr_at_fmr(curve: Rates, limit: float) -> Point:
    """The lowest FNMR with FMR strictly below `limit`, a share above 0: FMR100 at 0.01.

    FNMR grows with the threshold, so this is the lowest threshold whose FMR is below the limit; +inf always is.
    """
    return _point(curve, int(np.argmax(curve.fmr < limit)))


def fnmr_nearest_fmr(curve: Rates, target: float) -> Point:
    """The FNMR where |FMR - target| is smallest, the lower threshold of two: what many published scripts compute.

    Its FMR may lie above the target, so it is never larger than an FMR100 allowed to reach the target.
    """
    return _point(curve, int(np.argmin(np.abs(curve.fmr - target))))


def fnmr_at_threshold(counts: Counts, threshold: float) -> float:
    """FNMR at a threshold fixed elsewhere; with bins it is exact if the threshold is one of their edges."""
    below = counts.genuine[: np.searchsorted(counts.scores, threshold, side="left")].sum()
    return float(below / counts.genuine.sum())


def fmr_at_threshold(counts: Counts, threshold: float) -> float:
    """FMR at a threshold fixed elsewhere; with bins it is exact if the threshold is one of their edges."""
    above = counts.impostor[np.searchsorted(counts.scores, threshold, side="left") :].sum()
    return float(above / counts.impostor.sum())


def equal_error(curve: Rates) -> EqualError:
    """EER as FVC2000 defines it (Maio et al., IEEE TPAMI 24(3), 2002).

    t1 is the highest threshold with FNMR <= FMR, t2 the lowest with FNMR >= FMR. The interval is [FNMR, FMR] at t1,
    or [FMR, FNMR] at t2 where the two rates have the smaller sum there; the EER is its middle.
    """
    last = int(np.flatnonzero(curve.fnmr <= curve.fmr)[-1])
    first = int(np.argmax(curve.fnmr >= curve.fmr))
    at_last, at_first = _point(curve, last), _point(curve, first)
    chosen = at_last if at_last.fnmr + at_last.fmr <= at_first.fnmr + at_first.fmr else at_first
    low, high = sorted((chosen.fmr, chosen.fnmr))
    return EqualError((low + high) / 2, low, high, chosen.threshold)


def auc(counts: Counts) -> float:
    """P(genuine > impostor) + P(genuine = impostor) / 2: the area under the ROC curve, ties counted half.

    The Mann-Whitney statistic (Hanley and McNeil, Radiology 143(1), 1982). Counts are added before anything is
    divided: of whole numbers every sum is exact up to 2^52 pairs. With more pairs rounding could exceed 1, which `min`
    prevents.
    """
    ordered = counts.genuine @ (np.cumsum(counts.impostor) - counts.impostor / 2)
    return min(float(ordered / (counts.genuine.sum() * counts.impostor.sum())), 1.0)


def figures(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Figures:
    """Measures two sets of comparison scores; needs numpy only.

    FMR(t) is the share of impostor scores >= t, FNMR(t) the share of genuine scores < t (ISO/IEC 19795-1). FMR100 and
    FMR10 are the lowest FNMR with FMR below 1 % and 10 %, the EER is that of FVC2000 (Maio et al., IEEE TPAMI 24(3),
    2002), the AUC the Mann-Whitney statistic with ties counted half.

    Args:
        genuine: Similarity scores of pairs of one person: any shape and real dtype, finite. Higher means more alike.
        impostor: Scores of pairs of two people, likewise.

    Returns:
        The figures. Rates are shares, so 0.01 is 1 %.

    Raises:
        MaskgenError: If a side has no scores, or a score is NaN or infinite.

    Example:
        >>> found = figures(genuine=[0.9, 0.8, 0.7, 0.3], impostor=[0.4, 0.2, 0.1])
        >>> found.auc, float(found.eer), found.fmr100.threshold
        (0.9166666666666666, 0.125, 0.7)
        >>> f"FMR100 {found.fmr100:.1%}"
        'FMR100 25.0%'
    """
    return figures_of(from_scores(genuine, impostor))


def figures_of(counts: Counts) -> Figures:
    """All figures of one set of comparisons. Raises `MaskgenError` if a class has no scores."""
    genuine, impostor = float(counts.genuine.sum()), float(counts.impostor.sum())
    _check_totals(genuine, impostor)
    curve = rates(counts)
    middles = counts.scores if counts.tops is None else (counts.scores + counts.tops) / 2
    return Figures(
        genuine,
        impostor,
        fmr100=fnmr_at_fmr(curve, FMR100),
        fmr10=fnmr_at_fmr(curve, FMR10),
        nearest_fmr100=fnmr_nearest_fmr(curve, FMR100),
        eer=equal_error(curve),
        auc=auc(counts),
        gmean=float(middles @ counts.genuine / genuine),
        imean=float(middles @ counts.impostor / impostor),
        bounds=bounds(counts, curve),
    )


def bounds(counts: Counts, curve: Rates) -> dict[str, float]:
    """The most by which each figure of binned counts can differ from that of the exact scores behind them.

    Let g and i be a bin's share of the genuine and of the impostor scores.
    FMR100, FMR10: the exact threshold lies in the bin below the one chosen, so FNMR is too high by at most its g.
    FNMR nearest to FMR 1 %: the exact threshold lies in that bin too, or above it up to where FMR passes the target.
    EER: FNMR and FMR cross inside one bin; both sums of rates lie within g + i of each other, the middles within half.
    AUC: only pairs inside one bin can be ordered otherwise, each changes by at most 1/2: sum of g * i / 2.
    Means: half a bin's width, averaged.
    """
    names = ("fmr100", "fmr10", "nearest_fmr100", "eer", "auc", "gmean", "imean")
    if counts.tops is None:
        return dict.fromkeys(names, 0.0)
    genuine, impostor = counts.genuine / counts.genuine.sum(), counts.impostor / counts.impostor.sum()
    halves = (counts.tops - counts.scores) / 2
    first = [int(np.argmax(curve.fmr < limit)) for limit in (FMR100, FMR10)]
    nearest = int(np.argmin(np.abs(curve.fmr - FMR100)))
    beyond = curve.fnmr[max(first[0], nearest)] - curve.fnmr[nearest]
    crossing = int(np.flatnonzero(curve.fnmr <= curve.fmr)[-1])
    met = curve.fnmr[crossing] == curve.fmr[crossing]
    values = (
        *(genuine[index - 1] for index in first),
        max(genuine[nearest - 1] if nearest else 0.0, beyond),
        0.0 if met else (genuine[crossing] + impostor[crossing]) / 2,
        genuine @ impostor / 2,
        halves @ genuine,
        halves @ impostor,
    )
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def few_errors(found: Figures) -> dict[str, float]:
    """The figures with fewer than 30 expected errors behind them, and how many those are.

    A rate at an operating point rests on FNMR * Ng false non-matches and FMR * Ni false matches: the smaller counts.
    For FMR100 and FMR10 the false matches are those that the limit allows.
    """
    expected = {
        "fmr100": min(found.fmr100.fnmr * found.genuine, FMR100 * found.impostor),
        "fmr10": min(found.fmr10.fnmr * found.genuine, FMR10 * found.impostor),
        "eer": found.eer.eer * min(found.genuine, found.impostor),
    }
    return {name: errors for name, errors in expected.items() if errors < FEW_ERRORS}


def _point(curve: Rates, index: int) -> Point:
    return Point(float(curve.thresholds[index]), float(curve.fmr[index]), float(curve.fnmr[index]))


def _check_totals(genuine: float, impostor: float) -> None:
    if genuine <= 0:
        raise MaskgenError("there are no genuine scores; give at least one identity two photographs.")
    if impostor <= 0:
        raise MaskgenError("there are no impostor scores; give photographs of at least two identities.")
