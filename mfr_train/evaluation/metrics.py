"""Biometric figures from genuine and impostor scores: FNMR at limits on the FMR, EER, AUC, means and decidability.

They are computed from `Counts`, whether those hold exact scores or bins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import UsageError

from . import limits
from .bounds import moment_bounds, rate_bounds
from .counts import Counts, Floats, Rates, check_totals, deviation, from_scores, middles, rates

FMR1000, FMR100, FMR10 = 0.001, 0.01, 0.1
"""The FMR limits, as shares, of the figures of those names."""

LIMITS = (FMR100, FMR10)
"""The limits of the operating points if no others are asked for."""

FEW_ERRORS = 30
"""Doddington's rule of 30: a rate with fewer errors behind it is not known within 30 % with 90 % confidence."""


class Point(NamedTuple):
    """One operating point. `threshold` may be +inf: then no comparison matches. As a number it is its FNMR."""

    threshold: float
    fmr: float
    fnmr: float

    @property
    def value(self) -> float:
        """The FNMR, a share."""
        return self.fnmr

    @property
    def tar(self) -> float:
        """The true accept rate, 1 - FNMR: what is published as TAR at FAR, or as verification rate, at this FMR."""
        return 1 - self.fnmr

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
        return f"fnmr_at_uu_{limits.name(self.limit)}"

    @property
    def fmr_name(self) -> str:
        """The name of the FMR there: `fmr_at_uu_fmr100`."""
        return f"fmr_at_uu_{limits.name(self.limit)}"


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
        points: By limit, the operating point with the lowest FNMR at an FMR below it. The next five are None in a
            report made before they were measured.
        fmr1000: The same for an FMR below 0.1 %.
        zero_fmr: The lowest FNMR without any false match. It rests on the one highest impostor score, and so can only
            grow with more impostor pairs.
        gstd: Standard deviation of the genuine scores (divided by their number).
        istd: Standard deviation of the impostor scores.
        d_prime: The decidability, abs(gmean - imean) / sqrt((gstd^2 + istd^2) / 2) (Daugman, Proc. Royal Society B 267,
            2000).
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
    points: dict[float, Point] = field(default_factory=dict)
    fmr1000: Point | None = None
    zero_fmr: Point | None = None
    gstd: float | None = None
    istd: float | None = None
    d_prime: float | None = None

    def at(self, limit: float) -> Point:
        """The operating point with the lowest FNMR at an FMR below `limit`, one of those that were measured.

        Raises:
            UsageError: If it was not measured.
        """
        known = operating_points(self)
        if limit not in known:
            there = ", ".join(f"{value:g}" for value in sorted(known, reverse=True))
            raise UsageError(
                f"there is no operating point at an FMR of {limit}; there are {there}, and --fmr adds more."
            )
        return known[limit]


def fnmr_at_fmr(curve: Rates, limit: float) -> Point:
    """The lowest FNMR with FMR strictly below `limit`, a share above 0: FMR100 at 0.01.

    FNMR grows with the threshold, so this is the lowest threshold whose FMR is below the limit; +inf always is.
    """
    return _point(curve, _below(curve, limit))


def nearest_fmr(curve: Rates, target: float) -> int:
    """The index at which |FMR - target| is smallest, the lower of two: where many published scripts read the FNMR.

    The FMR may lie above the target, so this FNMR is never larger than an FMR100 allowed to reach the target.
    """
    return int(np.argmin(np.abs(curve.fmr - target)))


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


def figures(genuine: npt.ArrayLike, impostor: npt.ArrayLike, fmr: Sequence[float] = LIMITS) -> Figures:
    """Measures two sets of comparison scores; needs numpy only.

    FMR(t) is the share of impostor scores >= t, FNMR(t) the share of genuine scores < t (ISO/IEC 19795-1). FMR100 and
    FMR10 are the lowest FNMR with FMR below 1 % and 10 %, the EER is that of FVC2000 (Maio et al., IEEE TPAMI 24(3),
    2002), the AUC the Mann-Whitney statistic with ties counted half.

    Args:
        genuine: Similarity scores of pairs of one person: any shape and real dtype, finite. Higher means more alike.
        impostor: Scores of pairs of two people, likewise.
        fmr: Limits on the FMR, shares between 0 and 1, at which `at` gives the lowest FNMR.

    Returns:
        The figures. Rates are shares, so 0.01 is 1 %.

    Raises:
        MaskgenError: If a side has no scores, or a score is NaN or infinite.
        UsageError: If a limit is not between 0 and 1, or is given twice.

    Example:
        >>> found = figures(genuine=[0.9, 0.8, 0.7, 0.3], impostor=[0.4, 0.2, 0.1], fmr=[0.5])
        >>> found.auc, float(found.eer), found.fmr100.threshold
        (0.9166666666666666, 0.125, 0.7)
        >>> f"FMR100 {found.fmr100:.1%}"
        'FMR100 25.0%'
        >>> found.at(0.5).tar
        1.0
    """
    return figures_of(from_scores(genuine, impostor), limits.parsed(",".join(map(repr, map(float, fmr))), "fmr"))


def figures_of(counts: Counts, fmr: Sequence[float] = LIMITS) -> Figures:
    """All figures of one set of comparisons, with operating points at the limits `fmr`.

    Raises `MaskgenError` if a class has no scores.
    """
    genuine, impostor = float(counts.genuine.sum()), float(counts.impostor.sum())
    check_totals(genuine, impostor)
    curve = rates(counts)
    places = {limits.name(limit): _below(curve, limit) for limit in (FMR1000, FMR100, FMR10, *fmr)}
    places["zero_fmr"] = _below(curve, np.nextafter(0, 1))
    points = {name: _point(curve, place) for name, place in places.items()}
    nearest = nearest_fmr(curve, FMR100)
    bounds = {name: float(bound) for name, bound in rate_bounds(counts, curve, places, nearest).items()}
    (gmean, gstd), (imean, istd) = _moments(counts)
    return Figures(
        genuine,
        impostor,
        fmr100=points["fmr100"],
        fmr10=points["fmr10"],
        nearest_fmr100=_point(curve, nearest),
        eer=equal_error(curve),
        auc=auc(counts),
        gmean=gmean,
        imean=imean,
        bounds=bounds | moment_bounds(counts),
        points={limit: points[limits.name(limit)] for limit in fmr},
        fmr1000=points["fmr1000"],
        zero_fmr=points["zero_fmr"],
        gstd=gstd,
        istd=istd,
        d_prime=decidability(gmean, imean, gstd, istd),
    )


def _moments(counts: Counts) -> tuple[tuple[float, float], tuple[float, float]]:
    """The mean and the standard deviation of the genuine scores, and those of the impostor scores."""
    values = middles(counts)

    def of(weights: Floats) -> tuple[float, float]:
        mean = float(values @ weights / weights.sum())
        return mean, deviation(values, weights, mean)

    return of(counts.genuine), of(counts.impostor)


def decidability(gmean: float, imean: float, gstd: float, istd: float) -> float:
    """d': the distance of the means in units of the root mean square of the standard deviations.

    Scores without any spread have a decidability of infinity, or of 0 if the means are the same.
    """
    distance, spread = abs(gmean - imean), math.sqrt((gstd**2 + istd**2) / 2)
    if spread:
        return distance / spread
    return 0.0 if math.isclose(gmean, imean, rel_tol=1e-12, abs_tol=1e-12) else math.inf


def few_errors(found: Figures, drift: Mapping[FixedThreshold, Point] | None = None) -> dict[str, float]:
    """The figures, and rates at fixed thresholds, with fewer than 30 expected errors behind them, and how many.

    A rate at an operating point rests on FNMR * Ng false non-matches and FMR * Ni false matches: the smaller counts.
    At a limit on the FMR the false matches are those that the limit allows; ZeroFMR allows none, so that only its false
    non-matches count.
    """
    expected = {
        limits.name(limit): min(point.fnmr * found.genuine, limit * found.impostor)
        for limit, point in operating_points(found).items()
    }
    expected["nearest_fmr100"] = min(found.nearest_fmr100.fnmr * found.genuine, FMR100 * found.impostor)
    expected["eer"] = found.eer.eer * min(found.genuine, found.impostor)
    if found.zero_fmr:
        expected["zero_fmr"] = found.zero_fmr.fnmr * found.genuine
    for fixed, point in (drift or {}).items():
        expected[fixed.name], expected[fixed.fmr_name] = point.fnmr * found.genuine, point.fmr * found.impostor
    return {name: errors for name, errors in expected.items() if errors < FEW_ERRORS}


def operating_points(found: Figures) -> dict[float, Point]:
    """Every operating point at a limit on the FMR, by its limit: those of fixed names, and those asked for."""
    named = {FMR100: found.fmr100, FMR10: found.fmr10} | ({FMR1000: found.fmr1000} if found.fmr1000 else {})
    return found.points | named


def _below(curve: Rates, limit: float) -> int:
    """The lowest threshold whose FMR, which falls from 1 to 0, is below a limit above 0."""
    return len(curve.fmr) - int(np.searchsorted(curve.fmr[::-1], limit))


def _point(curve: Rates, index: int) -> Point:
    return Point(float(curve.thresholds[index]), float(curve.fmr[index]), float(curve.fnmr[index]))
