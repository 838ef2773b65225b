"""The result of an evaluation: figures of each scenario and of each part of its breakdown, in Python and as JSON."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError, shown
from maskgen.storage import files

from ..defaults import SCENARIOS
from ..keywords import AnyPath, settings_from
from ..networks.preprocessing import Preprocessing, described
from ..notebook import data_frame, html_table
from . import metrics
from .bootstrap import Intervals, plain
from .eval_settings import EvalSettings
from .folds import FoldAccuracy
from .measurement import Measurement
from .metrics import EqualError, Figures, FixedThreshold, Point
from .pair_list import PairCounts

REPORT = "report.json"

RATES = ("fmr100", "fmr10", "eer")
"""The figures that are printed in percent."""

COLUMNS = ("scenario", "group", "figure", "value", "low", "high", "threshold", "few_errors", "genuine", "impostor")


@dataclass(frozen=True)
class Row:
    """The figures of one scenario, or of one part of its breakdown.

    Attributes:
        scenario: `U-U`, `U-M` or `M-M`.
        group: '' for the whole scenario, else a variant, shape or coverage such as `wide_high`, `wide` or `high`.
        figures: The figures with their operating points.
        intervals: Their 95 % intervals; None with fewer than three subjects or `bootstrap=0`.
        few: The figures with fewer than 30 expected errors behind them, and how many errors those are.
        drift: FMR and FNMR here at each threshold that was fixed on U-U.
        binned: Whether the scores were too many to keep and were counted in bins.
        accuracy: With `pairs`, the accuracy over folds of a whole scenario; None if there are no folds.
    """

    scenario: str
    group: str
    figures: Figures
    intervals: Intervals | None
    few: dict[str, float]
    drift: dict[FixedThreshold, Point]
    binned: bool
    accuracy: FoldAccuracy | None = None

    @property
    def fmr100(self) -> Measurement:
        """FMR100: the lowest FNMR with FMR below 1 %, a share."""
        return self._measurement("fmr100", self.figures.fmr100.fnmr, self.figures.fmr100.threshold)

    @property
    def fmr10(self) -> Measurement:
        """FMR10: the lowest FNMR with FMR below 10 %, a share."""
        return self._measurement("fmr10", self.figures.fmr10.fnmr, self.figures.fmr10.threshold)

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

    def records(self) -> list[dict[str, Any]]:
        """One dictionary for each figure, keyed by `COLUMNS`, with the rates at thresholds of U-U and the accuracy."""
        found: dict[str, Measurement] = {name: getattr(self, name) for name in plain(self.figures)}
        for fixed, point in self.drift.items():
            found[fixed.name] = self._measurement(fixed.name, point.fnmr, point.threshold)
            found[f"fmr{fixed.name.removeprefix('fnmr')}"] = Measurement(point.fmr, threshold=point.threshold)
        if self.accuracy:
            found["accuracy"] = Measurement(self.accuracy.mean)
            found["accuracy_standard_error"] = Measurement(self.accuracy.standard_error)
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
            for name, measured in found.items()
        ]

    def _measurement(self, name: str, value: float, threshold: float | None = None) -> Measurement:
        ends = self.intervals.intervals.get(name) if self.intervals else None
        return Measurement(value, ends, threshold, name in self.few)


@dataclass(frozen=True, repr=False)
class Report:
    """What an evaluation measured: `report["U-M"].eer`, `report["U-M", "wide_high"].eer.interval`.

    Attributes:
        settings: The settings of the evaluation.
        model: The name of the model.
        fingerprint: A hash of every number that shapes its embeddings.
        data: The data set, or the protocol table.
        out: The folder that holds the report, the scores and the plots.
        subjects: How many people were compared.
        photographs: How many photographs were compared.
        failures: How many photographs could not be used, by reason.
        rows: The scenarios.
        breakdown: Their parts by variant, shape and coverage of the mask.
        notes: Sentences about what limits these figures.
        pairs: With `pairs`, how many pairs the list has and how many failed.
        preprocessing: How pictures were given to the network: the fields of `Preprocessing`, as far as they are known.

    Example:
        >>> report = Report.load("runs/eval/dlib-smfd")  # doctest: +SKIP
        >>> report["U-M"].eer  # doctest: +SKIP
        0.2917 [0.2101, 0.3622]
    """

    settings: EvalSettings
    model: str
    fingerprint: str
    data: str
    out: Path
    subjects: int
    photographs: int
    failures: dict[str, int]
    rows: list[Row]
    breakdown: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: PairCounts | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: AnyPath) -> Report:
        """Reads a report that an earlier evaluation wrote.

        Args:
            path: The folder of the evaluation, or its report.json.

        Returns:
            The report, equal to the one that was written. Credentials in `settings` are hidden.

        Raises:
            UsageError: If there is no such file.
            MaskgenError: If the file is not a report.
        """
        file = Path(path) / REPORT if Path(path).is_dir() else Path(path)
        try:
            return _report(files.parse_json(file.read_bytes()), file.parent)
        except OSError as error:
            raise UsageError(
                f"cannot read the report {file}: {error.strerror}; give the folder of an evaluation, or its {REPORT}."
            ) from None
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, UsageError):
            raise MaskgenError(f"{file} is not a report that `mfr eval` wrote; measure again.") from None

    def __getitem__(self, key: str | tuple[str, str]) -> Row:
        """The row of a scenario, or of a scenario and a group of its breakdown."""
        wanted = (key, "") if isinstance(key, str) else tuple(key)
        for row in self:
            if (row.scenario, row.group) == wanted:
                return row
        there = ", ".join(" ".join(filter(None, (row.scenario, row.group))) for row in self)
        raise UsageError(f"the report has no row {' '.join(map(str, wanted)).strip()!r}; it has {there}.")

    def __contains__(self, key: object) -> bool:
        wanted = (key, "") if isinstance(key, str) else key
        return any((row.scenario, row.group) == wanted for row in self)

    def __iter__(self) -> Iterator[Row]:
        return iter([*self.rows, *self.breakdown])

    def to_pandas(self) -> Any:
        """A tidy pandas DataFrame: one row for each figure of each scenario and group.

        Returns:
            Columns scenario, group ('' for a whole scenario), figure, value, low and high (the 95 % interval),
            threshold, few_errors, genuine and impostor (numbers of pairs). NaN where there is no interval or threshold.

        Raises:
            UsageError: If pandas is not installed.
        """
        return data_frame([record for row in self for record in row.records()], COLUMNS)

    def as_json(self) -> dict[str, Any]:
        """The content of report.json; an infinite threshold is None."""
        return {
            "settings": declared.jsonable(self.settings),
            "model": {"name": self.model, "fingerprint": self.fingerprint, "preprocessing": self.preprocessing},
            "data": {
                "name": self.data,
                "subjects": self.subjects,
                "photographs": self.photographs,
                "failures": self.failures,
            },
            "scenarios": [_row_facts(row) for row in self.rows],
            "breakdown": [_row_facts(row) for row in self.breakdown],
            "notes": self.notes,
            **({"pairs": dataclasses.asdict(self.pairs)} if self.pairs else {}),
        }

    def __repr__(self) -> str:
        rates = ", ".join(f"{row.scenario} EER {100 * row.eer.value:.2f} %" for row in self.rows)
        return f"<Report {self.model!r} on {self.data!r}: {rates}>"

    def _repr_html_(self) -> str:
        title = f"{self.model} on {self.data}"
        counts = f"{self.subjects} subjects, {self.photographs} photographs, {sum(self.failures.values())} failures"
        head = ["scenario", "FMR100 %", "FMR10 %", "EER %", "AUC", "GMean", "IMean", "genuine", "impostor"]
        rows = [
            [
                row.scenario,
                *(_cell(name, getattr(row, name)) for name in (*RATES, "auc", "gmean", "imean")),
                f"{row.figures.genuine:,.0f}",
                f"{row.figures.impostor:,.0f}",
            ]
            for row in self.rows
        ]
        notes = list(self.notes)
        if any(row.few for row in self.rows):
            notes.append(f"* fewer than {metrics.FEW_ERRORS} expected errors: take the figure as a hint.")
        return "".join(
            (
                f"<p><b>{html.escape(shown(title))}</b>: {html.escape(counts)}; 95 % intervals over subjects</p>",
                html_table(head, rows),
                *(f"<p>{html.escape(shown(note))}</p>" for note in notes),
            )
        )


def _cell(name: str, measured: Measurement) -> str:
    def shown(value: float) -> str:
        return f"{100 * value:.2f}" if name in RATES else f"{value:.4f}"

    star = "*" if measured.few_errors else ""
    ends = f" [{', '.join(map(shown, measured.interval))}]" if measured.interval else ""
    return f"{shown(measured.value)}{star}{ends}"


def _row_facts(row: Row) -> dict[str, Any]:
    facts: dict[str, Any] = _finite(
        {
            "scenario": row.scenario,
            "group": row.group,
            "binned": row.binned,
            "figures": dataclasses.asdict(row.figures),
            "intervals": dataclasses.asdict(row.intervals) if row.intervals else None,
            "fewer_than_30_errors": row.few,
            "at_thresholds_of_uu": {fixed.name: point._asdict() for fixed, point in row.drift.items()},
            **(_accuracy_facts(row.accuracy) if row.accuracy else {}),
        }
    )
    return facts


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


def _report(facts: dict[str, Any], folder: Path) -> Report:
    """The inverse of `Report.as_json`."""
    model, data = facts["model"], facts["data"]
    return Report(
        _settings(facts["settings"]),
        str(model["name"]),
        str(model["fingerprint"]),
        str(data["name"]),
        folder,
        int(data["subjects"]),
        int(data["photographs"]),
        {str(reason): int(count) for reason, count in data["failures"].items()},
        [_row(row) for row in facts["scenarios"]],
        [_row(row) for row in facts["breakdown"]],
        [str(note) for note in facts["notes"]],
        _pairs(facts["pairs"]) if "pairs" in facts else None,
        _preprocessing(model.get("preprocessing", {})),
    )


def _preprocessing(facts: dict[str, Any]) -> dict[str, Any]:
    made = settings_from(Preprocessing, None, {name.replace("-", "_"): value for name, value in facts.items()})
    declared.check(made)
    return described(made)


def _pairs(facts: dict[str, Any]) -> PairCounts:
    return PairCounts(
        str(facts["file"]),
        int(facts["genuine"]),
        int(facts["impostor"]),
        {str(reason): int(count) for reason, count in facts["failed"].items()},
        int(facts["failed_genuine"]),
    )


def _accuracy(facts: dict[str, Any]) -> FoldAccuracy:
    found = FoldAccuracy(
        tuple(float(share) for share in facts["folds"]),
        tuple(math.inf if value is None else float(value) for value in facts["thresholds"]),
    )
    if not 2 <= len(found.folds) == len(found.thresholds) or not all(0 <= share <= 1 for share in found.folds):
        raise ValueError("accuracies that are not shares, one fold, or another number of thresholds")
    return found


def _settings(values: dict[str, Any]) -> EvalSettings:
    known = {field.name: declared.option_name(field) for field in dataclasses.fields(EvalSettings)}
    given = {name: values[option] for name, option in known.items() if option in values}
    made = settings_from(EvalSettings, None, given)
    declared.check(made)
    return made


def _row(facts: dict[str, Any]) -> Row:
    figures, intervals = facts["figures"], facts["intervals"]
    limits = {FixedThreshold(limit, 0.0).name: limit for limit in (metrics.FMR100, metrics.FMR10)}
    drift = {name: Point(**_numbers(point)) for name, point in facts["at_thresholds_of_uu"].items()}
    pairs = (float(figures["genuine"]), float(figures["impostor"]))
    if facts["scenario"] not in SCENARIOS or not all(0 <= count < math.inf for count in pairs):
        raise ValueError("another scenario, or numbers of pairs that are none")
    return Row(
        str(facts["scenario"]),
        str(facts["group"]),
        Figures(
            *pairs,
            fmr100=Point(**_numbers(figures["fmr100"])),
            fmr10=Point(**_numbers(figures["fmr10"])),
            nearest_fmr100=Point(**_numbers(figures["nearest_fmr100"])),
            eer=EqualError(**_numbers(figures["eer"])),
            auc=float(figures["auc"]),
            gmean=float(figures["gmean"]),
            imean=float(figures["imean"]),
            bounds=_numbers(figures["bounds"]),
        ),
        Intervals(
            {name: (float(low), float(high)) for name, (low, high) in intervals["intervals"].items()},
            _numbers(intervals["bound"]),
            int(intervals["resamples"]),
        )
        if intervals
        else None,
        _numbers(facts["fewer_than_30_errors"]),
        {FixedThreshold(limits[name], point.threshold): point for name, point in drift.items()},
        bool(facts["binned"]),
        _accuracy(facts["accuracy"]) if "accuracy" in facts else None,
    )


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {str(name): math.inf if value is None else float(value) for name, value in values.items()}
