"""The result of an evaluation: figures of each scenario and of each part of its breakdown, in Python and as JSON."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError, shown
from maskgen.storage import files

from ..keywords import AnyPath, settings_from
from ..networks.preprocessing import Preprocessing, described
from ..notebook import data_frame, html_table
from . import identification
from .eval_settings import EvalSettings
from .identification import Identification
from .measurement import Measurement
from .pair_list import PairCounts
from .rows import COLUMNS as COLUMNS
from .rows import RATES as RATES
from .rows import Row as Row
from .rows import row_facts, row_from_facts
from .table_files import write_csv
from .table_formats import as_latex
from .tables import FEW_NOTE, tables

REPORT = "report.json"

TRAINED_ON = "have names that the model was trained on"
"""What a note says of identities if the model may know them."""


def is_leak(note: str) -> bool:
    """Whether a note of a report says that the model may know people whom it was measured on."""
    return TRAINED_ON in note


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
        failures: How many photographs could not be used, by reason. failures.csv names them.
        rows: The scenarios.
        breakdown: Their parts by variant, shape and coverage of the mask.
        notes: Sentences about what limits these figures.
        pairs: With `pairs`, how many pairs the list has and how many failed.
        preprocessing: How pictures were given to the network: the fields of `Preprocessing`, as far as they are known.
        failures_by_variant: The same by the variant that the photograph would have worn, where the build drew one.
        date: When it was made, in UTC (ISO 8601). SOURCE_DATE_EPOCH sets it.
        versions: The versions of maskgen, Python, NumPy and, if they were loaded, PyTorch and onnxruntime.
        identification: With the scenario `identify`, the figures of searches in a gallery (1:N), by scenario.

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
    failures_by_variant: dict[str, dict[str, int]] = field(default_factory=dict)
    date: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    identification: list[Identification] = field(default_factory=list)

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

    def to_csv(self, folder: AnyPath) -> list[Path]:
        """Writes each table as CSV: shares and numbers in full precision, after each figure its 95 % interval.

        Args:
            folder: Where the files go; made if it is not there. `mfr eval` writes the same to `tables/`.

        Returns:
            The files, named after the tables: `scenarios.csv`, `U-M_by_mask.csv`, `fixed_thresholds.csv`.

        Raises:
            MaskgenError: If a file cannot be written.
        """
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            return write_csv(tables(self), Path(folder))
        except OSError as error:
            raise MaskgenError(f"cannot write to {folder} ({error.strerror}); give another folder.") from None

    def to_latex(self) -> str:
        """All tables as LaTeX: `table` environments with booktabs, rates in percent, intervals in brackets."""
        return as_latex(tables(self))

    def as_json(self) -> dict[str, Any]:
        """The content of report.json; an infinite threshold is None."""
        return {
            **({"date": self.date, "versions": self.versions} if self.date else {}),
            "settings": declared.jsonable(self.settings),
            "model": {"name": self.model, "fingerprint": self.fingerprint, "preprocessing": self.preprocessing},
            "data": {
                "name": self.data,
                "subjects": self.subjects,
                "photographs": self.photographs,
                "failures": self.failures,
                **({"failures_by_variant": self.failures_by_variant} if self.failures_by_variant else {}),
            },
            "scenarios": [row_facts(row) for row in self.rows],
            "breakdown": [row_facts(row) for row in self.breakdown],
            **({"identification": [each.as_json() for each in self.identification]} if self.identification else {}),
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
            notes.append(FEW_NOTE)
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
        [row_from_facts(row) for row in facts["scenarios"]],
        [row_from_facts(row) for row in facts["breakdown"]],
        [str(note) for note in facts["notes"]],
        _pairs(facts["pairs"]) if "pairs" in facts else None,
        _preprocessing(model["preprocessing"]) if model.get("preprocessing") else {},
        {
            str(variant): {str(reason): int(count) for reason, count in reasons.items()}
            for variant, reasons in data.get("failures_by_variant", {}).items()
        },
        str(facts.get("date", "")),
        {str(name): str(version) for name, version in facts.get("versions", {}).items()},
        [identification.from_json(each) for each in facts.get("identification", [])],
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


def _settings(values: dict[str, Any]) -> EvalSettings:
    known = {field.name: declared.option_name(field) for field in dataclasses.fields(EvalSettings)}
    given = {name: values[option] for name, option in known.items() if option in values}
    made = settings_from(EvalSettings, None, given)
    declared.check(made)
    return made
