"""`mfr compare`: two or more systems on the same pairs, with differences over the same draws of subjects."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError
from maskgen.progress import part, step

from ..defaults import RUNS, SCENARIOS
from ..evaluation import limits
from ..evaluation.drawn import Drawn
from ..evaluation.eval_settings import EvalSettings
from ..evaluation.evaluate import evaluate
from ..evaluation.metrics import FixedThreshold
from ..evaluation.report import REPORT, Report
from ..figure import chosen_formats
from ..keywords import AnyPath, settings_from
from ..networks.run_files import is_run
from . import comparison_files, paired
from .compare_settings import CompareSettings
from .conclusions import check_resamples, conclusion, corrected
from .paired import Difference
from .scored_pairs import ScoredPairs, common, read_scores

COMPARISONS = RUNS / "compare"


class CompareOptions(TypedDict, total=False):
    """The fields of `CompareSettings` as keywords; text or any path-like object is a path."""

    figure: str
    data: AnyPath
    protocol: AnyPath | None
    pairs: AnyPath | None
    seed: int
    bootstrap: int
    figures: str
    out: AnyPath | None


@dataclass(frozen=True)
class Scenario:
    """One scenario of a comparison: the pairs that every system scored, and the figures of each on them.

    Attributes:
        name: `U-U`, `U-M` or `M-M`.
        pairs: The pairs and scores of each system.
        left_out: How many pairs of each system are not among them, because another system did not score them.
        found: The figures of each system with their resamples.
    """

    name: str
    pairs: list[ScoredPairs]
    left_out: list[int]
    found: list[Drawn]

    @property
    def genuine(self) -> int:
        """How many genuine pairs the systems share."""
        return int(self.pairs[0].genuine.sum())

    @property
    def impostor(self) -> int:
        """How many impostor pairs the systems share."""
        return len(self.pairs[0].genuine) - self.genuine

    def shows(self, figure: str) -> bool:
        """Whether there are enough impostor pairs for a figure: for an FMR of 1 %, more than 100."""
        return limits.shows(figure, self.impostor)


@dataclass(frozen=True, repr=False)
class SystemComparison:
    """Several systems on the same pairs.

    Attributes:
        systems: The names of the systems. Every other one is compared with the first.
        reports: The folders of their evaluations.
        settings: The settings of the comparison.
        scenarios: The figures of each system, by scenario.
        differences: Each figure of each system minus that of the first one.
        conclusions: One sentence for each system and scenario: better, worse, or cannot be told.
        out: The folder that holds the results.
        notes: Sentences about what limits the comparison.
    """

    systems: list[str]
    reports: list[str]
    settings: CompareSettings
    scenarios: list[Scenario]
    differences: list[Difference]
    conclusions: list[str]
    out: Path
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The content of comparison.json."""
        return {
            "settings": declared.jsonable(self.settings),
            "systems": [
                {"name": name, "report": report} for name, report in zip(self.systems, self.reports, strict=True)
            ],
            "scenarios": {
                each.name: {
                    "genuine": each.genuine,
                    "impostor": each.impostor,
                    "pairs_left_out": dict(zip(self.systems, each.left_out, strict=True)),
                    "figures": {
                        name: {figure: _recorded(system, figure) for figure in system.values}
                        for name, system in zip(self.systems, each.found, strict=True)
                    },
                }
                for each in self.scenarios
            },
            "differences": [dataclasses.asdict(each) for each in self.differences],
            "conclusions": self.conclusions,
            "notes": self.notes,
        }

    def __repr__(self) -> str:
        return f"<SystemComparison of {', '.join(self.systems)}: {' '.join(self.conclusions)}>"


def compare(
    *systems: AnyPath | Report, settings: CompareSettings | None = None, **options: Unpack[CompareOptions]
) -> SystemComparison:
    """Compares systems on the pairs that all of them scored, each with the first one.

    The subjects are resampled once for all systems, so that what makes a draw of people hard or easy cancels out of
    the differences.

    Args:
        *systems: Reports of `evaluate`, folders of evaluations, run folders, or models such as `dlib`. A run or model
            is measured first.
        settings: The settings, or the same by name as `options`.
        **options: The fields of `CompareSettings`.

    Returns:
        The figures, differences and conclusions, which are also written to its folder, `out`.

    Raises:
        UsageError: If fewer than two systems are given, or one is no report, run or model.
        MaskgenError: If the systems share no scenario, pairs, or too few people.

    Example:
        >>> found = compare("runs/eval/tl", "runs/eval/tl-mse")  # doctest: +SKIP
        >>> print(*found.conclusions, sep="\\n")  # doctest: +SKIP
        U-M: tl-mse is better than tl: FMR100 is 2.10 points lower [0.80, 3.30], p = 0.004.
    """
    chosen = settings_from(CompareSettings, settings, options)
    declared.check(chosen)
    if len(systems) < 2:
        raise UsageError("a comparison needs two systems or more; give folders of evaluations, runs, or models.")
    reports = [_report(system, chosen) for system in systems]
    names = _names(reports)
    shared = [name for name in SCENARIOS if all(name in report for report in reports)]
    if not shared:
        there = "; ".join(
            f"{name}: {', '.join(row.scenario for row in r.rows)}" for name, r in zip(names, reports, strict=True)
        )
        raise MaskgenError(f"the systems share no scenario ({there}); measure them on the same ones.")
    check_resamples(chosen.bootstrap, len(shared) * (len(reports) - 1))
    scenarios = [_scenario(name, reports, chosen) for name in shared]
    found = [each for scenario in scenarios for each in paired.differences(scenario.name, names, scenario.found)]
    measurable = [each.name for each in scenarios if each.shows(chosen.figure)]
    if not measurable:
        raise MaskgenError(_too_few(scenarios[0], chosen.figure))
    found = corrected(found, chosen.figure, measurable)
    conclusions = [conclusion(each, names[0]) for each in found if each.adjusted_p is not None]
    out = chosen.out or COMPARISONS / _folder_name(names, reports, chosen)
    made = SystemComparison(
        names,
        [str(report.out) for report in reports],
        chosen,
        scenarios,
        found,
        conclusions,
        out,
        _notes(reports, names, scenarios, chosen.figure),
    )
    with step("drawing figures"):
        comparison_files.write(made, chosen_formats(chosen.figures))
    return made


def _recorded(system: Drawn, figure: str) -> list[float | None]:
    """A figure and the ends of its interval. Infinity, which JSON does not have, is None."""
    value = system.values[figure]
    return [value if math.isfinite(value) else None, *system.intervals.get(figure, ())]


def _report(system: AnyPath | Report, settings: CompareSettings) -> Report:
    if isinstance(system, Report):
        return system
    path = Path(system)
    if (path / REPORT).is_file() or path.suffix == ".json":
        return Report.load(path)
    if path.is_dir() and not is_run(path):
        raise UsageError(f"{path} is neither an evaluation nor a run: it holds no {REPORT}; give another folder.")
    measured = {"run": path} if path.is_dir() else {"model": str(system)}
    chosen = EvalSettings(
        data=settings.data,
        protocol=settings.protocol,
        pairs=settings.pairs,
        seed=settings.seed,
        breakdown=False,
        **measured,
    )
    with part(str(system)):
        return evaluate(chosen)


def _names(reports: Sequence[Report]) -> list[str]:
    """A name for each system: that of its model, with its folder if two models have one name."""
    folders = [report.out.resolve() for report in reports]
    for report, folder in zip(reports, folders, strict=True):
        if folders.count(folder) > 1:
            raise UsageError(f"{report.model} ({report.out}) is given twice; compare it with another system.")
    models = [report.model for report in reports]
    return [
        model if models.count(model) == 1 else f"{model} ({report.out})"
        for model, report in zip(models, reports, strict=True)
    ]


def _scenario(name: str, reports: Sequence[Report], settings: CompareSettings) -> Scenario:
    with step(f"{name}: reading scores"):
        every = [read_scores(report, name) for report in reports]
        pairs = common(every)
    if not len(pairs[0].scores):
        raise MaskgenError(
            f"the systems have no pair of {name} in common; measure them on the same data, with the same --seed."
        )
    thresholds: list[list[FixedThreshold]] = [list(report[name].drift) for report in reports]
    if len({tuple(each.name for each in fixed) for fixed in thresholds}) > 1:
        thresholds = [[] for _ in reports]
    try:
        with part(name):
            found = paired.drawn(pairs, settings.bootstrap, settings.seed, thresholds)
    except MaskgenError as error:
        raise MaskgenError(f"{name}: {error}") from None
    return Scenario(name, pairs, [len(each.scores) - len(pairs[0].scores) for each in every], found)


def _too_few(scenario: Scenario, figure: str) -> str:
    """That the impostor pairs of a scenario do not suffice for the chosen figure, and what to do."""
    return (
        f"{scenario.name}: {figure.upper()} takes more than {1 / limits.limit_of(figure):,.0f} impostor pairs, and the "
        f"systems share {scenario.impostor:,}; give --figure eer."
    )


def _notes(reports: Sequence[Report], names: Sequence[str], scenarios: Sequence[Scenario], figure: str) -> list[str]:
    notes = [_too_few(scenario, figure) for scenario in scenarios if not scenario.shows(figure)]
    data = {report.data for report in reports if report.settings.embeddings is None}  # each system has its own file
    if len(data) > 1:
        notes.append(f"The evaluations name different data: {', '.join(sorted(data))}.")
    for scenario in scenarios:
        for name, count in zip(names, scenario.left_out, strict=True):
            if count:
                notes.append(f"{scenario.name}: {count:,} pairs of {name} are left out; another system lacks them.")
    return notes


def _folder_name(names: Sequence[str], reports: Sequence[Report], settings: CompareSettings) -> str:
    told = "\n".join([*names, *(str(report.out.resolve()) for report in reports), repr(declared.jsonable(settings))])
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()[:12]
