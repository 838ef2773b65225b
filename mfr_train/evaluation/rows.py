"""The figures of one scenario, or of one part of its breakdown, in Python and as JSON."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, TypeVar

from maskgen.errors import UsageError

from ..defaults import SCENARIOS
from . import limits, metrics
from .bootstrap import Intervals, plain
from .folds import FoldAccuracy
from .measurement import Measurement
from .metrics import EqualError, Figures, FixedThreshold, Point

T = TypeVar("T")

RATES = ("fmr100", "fmr10", "eer")
"""The figures that are printed in percent."""

COLUMNS = ("scenario", "group", "figure", "value", "low", "high", "threshold", "few_errors", "genuine", "impostor")


@dataclass(frozen=True)
class Row:
    """The figures of one scenario, or of one part of its breakdown.

    Attributes:
        scenario: `U-U`, `U-M` or `M-M`.
        group: '' for the whole scenario, else a variant, shape, coverage or colour such as `wide_high`, `wide`, `high`
            or `color_black`.
        figures: The figures with their operating points.
        intervals: Their 95 % intervals; None with fewer than three subjects or `bootstrap=0`.
        few: The figures with fewer than 30 expected errors behind them, and how many errors those are.
        drift: FMR and FNMR here at each threshold that was fixed on U-U.
        binned: Whether the scores were too many to keep and were counted in bins.
        accuracy: With `pairs`, the accuracy over folds of a whole scenario; None if there are no folds.
        lost_genuine: Genuine pairs that were not compared since a photograph of them could not be used.
    """

    scenario: str
    group: str
    figures: Figures
    intervals: Intervals | None
    few: dict[str, float]
    drift: dict[FixedThreshold, Point]
    binned: bool
    accuracy: FoldAccuracy | None = None
    lost_genuine: int = 0

    @property
    def fmr100(self) -> Measurement:
        """FMR100: the lowest FNMR with FMR below 1 %, a share."""
        return self.at(metrics.FMR100)

    @property
    def fmr10(self) -> Measurement:
        """FMR10: the lowest FNMR with FMR below 10 %, a share."""
        return self.at(metrics.FMR10)

    @property
    def fmr1000(self) -> Measurement:
        """FMR1000: the lowest FNMR with FMR below 0.1 %, a share."""
        return self.at(metrics.FMR1000)

    @property
    def zero_fmr(self) -> Measurement:
        """ZeroFMR: the lowest FNMR without any false match, a share. It has no interval."""
        point = self._known("zero_fmr", self.figures.zero_fmr)
        return self._measurement("zero_fmr", point.fnmr, point.threshold)

    @property
    def nearest_fmr100(self) -> Measurement:
        """The FNMR where FMR is nearest to 1 %, a share."""
        point = self.figures.nearest_fmr100
        return self._measurement("nearest_fmr100", point.fnmr, point.threshold)

    @property
    def eer(self) -> Measurement:
        """The equal error rate, a share."""
        return self._measurement("eer", self.figures.eer.eer, self.figures.eer.threshold)

    @property
    def auc(self) -> Measurement:
        """The area under the ROC curve, 0 to 1."""
        return self._measurement("auc", self.figures.auc)

    @property
    def gmean(self) -> Measurement:
        """The mean genuine score."""
        return self._measurement("gmean", self.figures.gmean)

    @property
    def imean(self) -> Measurement:
        """The mean impostor score."""
        return self._measurement("imean", self.figures.imean)

    @property
    def gstd(self) -> Measurement:
        """The standard deviation of the genuine scores."""
        return self._measurement("gstd", self._known("gstd", self.figures.gstd))

    @property
    def istd(self) -> Measurement:
        """The standard deviation of the impostor scores."""
        return self._measurement("istd", self._known("istd", self.figures.istd))

    @property
    def d_prime(self) -> Measurement:
        """The decidability: the distance of the means in units of the root mean square of the standard deviations."""
        return self._measurement("d_prime", self._known("d_prime", self.figures.d_prime))

    @property
    def limits(self) -> tuple[float, ...]:
        """The limits on the FMR that the evaluation was asked for; those of FMR100 and FMR10 in an old report."""
        return tuple(self.figures.points) or metrics.LIMITS

    def at(self, limit: float) -> Measurement:
        """The lowest FNMR with FMR below `limit`, a share.

        Args:
            limit: A limit that was measured, a share: 0.1, 0.01, 0.001, or one of `fmr` of the evaluation.

        Returns:
            The FNMR with its interval and threshold. If `resolved(limit)` is false it is ZeroFMR, without an interval.

        Raises:
            UsageError: If the limit was not measured.
        """
        point = self.figures.at(limit)
        return self._measurement(limits.name(limit), point.fnmr, point.threshold)

    def tar(self, limit: float) -> Measurement:
        """TAR at FAR: the true accept rate 1 - FNMR at the same operating point as `at(limit)`, a share."""
        found = self.at(limit)
        ends = found.interval and (1 - found.interval[1], 1 - found.interval[0])
        return Measurement(1 - found.value, ends, found.threshold, found.few_errors)

    def with_failures(self, limit: float) -> Measurement:
        """The FNMR of `at(limit)` if every genuine pair with a photograph that could not be used were a non-match.

        (FNMR * Ng + lost) / (Ng + lost), as NIST counts failures to enrol. The interval takes the lost pairs as given.
        """
        found = self.at(limit)
        pairs, lost = self.figures.genuine, self.lost_genuine

        def counted(fnmr: float) -> float:
            return (fnmr * pairs + lost) / (pairs + lost)

        ends = found.interval and (counted(found.interval[0]), counted(found.interval[1]))
        return Measurement(counted(found.value), ends, found.threshold, found.few_errors)

    def at_uu(self, limit: float) -> Measurement:
        """The FNMR here at the threshold that was fixed on U-U, as the lowest whose FMR there is below `limit`.

        Raises:
            UsageError: If there is no such threshold.
        """
        fixed = self._fixed(limit)
        return self._measurement(fixed.name, self.drift[fixed].fnmr, fixed.threshold)

    def fmr_at_uu(self, limit: float) -> Measurement:
        """The FMR here at the same threshold as `at_uu(limit)`.

        Raises:
            UsageError: If there is no such threshold.
        """
        fixed = self._fixed(limit)
        return self._measurement(fixed.fmr_name, self.drift[fixed].fmr, fixed.threshold)

    def resolved(self, limit: float) -> bool:
        """Whether the impostor pairs suffice for a limit: more than 1 / limit of them."""
        return limits.resolved(limit, self.figures.impostor)

    def measurements(self) -> dict[str, Measurement]:
        """Every figure by its name in `records` and data frames."""
        found: dict[str, Measurement] = {
            name: getattr(self, name) for name in plain(dataclasses.replace(self.figures, points={}))
        }
        for limit in self.limits:
            name = limits.name(limit)
            found[name] = self.at(limit)
            found[f"tar_at_{name}"] = self.tar(limit)
            if self.lost_genuine:
                found[f"{name}_with_failures"] = self.with_failures(limit)
        for fixed in self.drift:
            found[fixed.name], found[fixed.fmr_name] = self.at_uu(fixed.limit), self.fmr_at_uu(fixed.limit)
        if self.accuracy:
            found["accuracy"] = Measurement(self.accuracy.mean)
            found["accuracy_standard_error"] = Measurement(self.accuracy.standard_error)
        return found

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each figure, keyed by `COLUMNS`."""
        return [
            {
                "scenario": self.scenario,
                "group": self.group,
                "figure": name,
                "value": measured.value,
                "low": measured.interval[0] if measured.interval else math.nan,
                "high": measured.interval[1] if measured.interval else math.nan,
                "threshold": math.nan if measured.threshold is None else measured.threshold,
                "few_errors": measured.few_errors,
                "genuine": self.figures.genuine,
                "impostor": self.figures.impostor,
            }
            for name, measured in self.measurements().items()
        ]

    def _measurement(self, name: str, value: float, threshold: float | None = None) -> Measurement:
        ends = self.intervals.intervals.get(name) if self.intervals else None
        return Measurement(value, ends, threshold, name in self.few)

    def _known(self, name: str, value: T | None) -> T:
        if value is None:
            raise UsageError(f"the report has no {name}: it was made before that was measured; measure again.")
        return value

    def _fixed(self, limit: float) -> FixedThreshold:
        for fixed in self.drift:
            if fixed.limit == limit:
                return fixed
        there = ", ".join(f"{fixed.limit:g}" for fixed in self.drift) or "none"
        raise UsageError(f"{self.scenario} has no threshold of U-U at an FMR of {limit:g}; it has {there}.")


def row_facts(row: Row) -> dict[str, Any]:
    """A row for report.json; an infinite number is None."""
    figures = dataclasses.asdict(dataclasses.replace(row.figures, points={}))
    figures.pop("points")
    facts: dict[str, Any] = _finite(
        {
            "scenario": row.scenario,
            "group": row.group,
            "binned": row.binned,
            "figures": {name: value for name, value in figures.items() if value is not None},
            "operating_points": {limits.name(limit): _point_facts(row, limit) for limit in row.figures.points},
            "intervals": dataclasses.asdict(row.intervals) if row.intervals else None,
            "fewer_than_30_errors": row.few,
            "at_thresholds_of_uu": {fixed.name: point._asdict() for fixed, point in row.drift.items()},
            "lost_genuine": row.lost_genuine,
            **(_accuracy_facts(row.accuracy) if row.accuracy else {}),
        }
    )
    return facts


def _point_facts(row: Row, limit: float) -> dict[str, Any]:
    return {
        "limit": limit,
        **row.figures.points[limit]._asdict(),
        "tar": row.tar(limit).value,
        "fnmr_with_failures": row.with_failures(limit).value,
        "resolved": row.resolved(limit),
    }


def _accuracy_facts(found: FoldAccuracy) -> dict[str, Any]:
    computed = {"mean": found.mean, "standard_error": found.standard_error}
    return {"accuracy": computed | dataclasses.asdict(found)}


def _finite(value: Any) -> Any:
    """A value for JSON, which has no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return _finite(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def row_from_facts(facts: dict[str, Any]) -> Row:
    """The inverse of `row_facts`, also of what earlier versions wrote. Raises errors of the built-in kinds."""
    figures, intervals = facts["figures"], facts["intervals"]
    drift = {name: _point(point) for name, point in facts["at_thresholds_of_uu"].items()}
    points = {float(point["limit"]): _point(point) for point in facts.get("operating_points", {}).values()}
    pairs = (float(figures["genuine"]), float(figures["impostor"]))
    lost = int(facts.get("lost_genuine", 0))
    if facts["scenario"] not in SCENARIOS or not all(0 <= count < math.inf for count in (*pairs, lost)):
        raise ValueError("another scenario, or numbers of pairs that are none")
    if not all(0 < limit < 1 for limit in points):
        raise ValueError("limits that are not shares")
    optional = {name: _numbers({name: figures[name]})[name] for name in ("gstd", "istd", "d_prime") if name in figures}
    named = {name: _point(figures[name]) for name in ("fmr1000", "zero_fmr") if name in figures}
    return Row(
        str(facts["scenario"]),
        str(facts["group"]),
        Figures(
            *pairs,
            fmr100=_point(figures["fmr100"]),
            fmr10=_point(figures["fmr10"]),
            nearest_fmr100=_point(figures["nearest_fmr100"]),
            eer=EqualError(**_numbers(figures["eer"])),
            auc=float(figures["auc"]),
            gmean=float(figures["gmean"]),
            imean=float(figures["imean"]),
            bounds=_numbers(figures["bounds"]),
            points=points,
            fmr1000=named.get("fmr1000"),
            zero_fmr=named.get("zero_fmr"),
            gstd=optional.get("gstd"),
            istd=optional.get("istd"),
            d_prime=optional.get("d_prime"),
        ),
        Intervals(
            {name: (float(low), float(high)) for name, (low, high) in intervals["intervals"].items()},
            _numbers(intervals["bound"]),
            int(intervals["resamples"]),
        )
        if intervals
        else None,
        _numbers(facts["fewer_than_30_errors"]),
        {_fixed_threshold(name, point): point for name, point in drift.items()},
        bool(facts["binned"]),
        _accuracy(facts["accuracy"]) if "accuracy" in facts else None,
        lost,
    )


def _fixed_threshold(name: str, point: Point) -> FixedThreshold:
    return FixedThreshold(limits.limit_of(name.removeprefix("fnmr_at_uu_")), point.threshold)


def _accuracy(facts: dict[str, Any]) -> FoldAccuracy:
    found = FoldAccuracy(
        tuple(float(share) for share in facts["folds"]),
        tuple(math.inf if value is None else float(value) for value in facts["thresholds"]),
    )
    if not 2 <= len(found.folds) == len(found.thresholds) or not all(0 <= share <= 1 for share in found.folds):
        raise ValueError("accuracies that are not shares, one fold, or another number of thresholds")
    return found


def _point(facts: dict[str, Any]) -> Point:
    return Point(**_numbers({name: facts[name] for name in Point._fields}))


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {str(name): math.inf if value is None else float(value) for name, value in values.items()}
