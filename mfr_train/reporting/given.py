"""The folders that a page is made of: each is recognised by the file that its command wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskgen.errors import MaskgenError, UsageError, shown
from maskgen.storage import files

from ..ablation.ablation_files import RESULT as ABLATION
from ..comparison.comparison_files import RESULT as COMPARISON
from ..defaults import EVALUATIONS
from ..evaluation.protocol_table import some_of
from ..evaluation.report import REPORT, Report
from ..explaining.explanation import SUMMARY as EXPLANATION
from ..keywords import AnyPath
from ..networks import run_files

LONGEST = 200
"""Characters of a folder's path in an error."""

MAX_RESULT = 64 * 2**20
"""Bytes of a JSON file that is read: ours have less than one megabyte."""


@dataclass(frozen=True)
class Evaluation:
    """A report, and the name under which the page shows it: no two have the same."""

    name: str
    report: Report


@dataclass(frozen=True)
class Result:
    """The JSON file of a comparison, an ablation or an explanation, and its folder."""

    folder: Path
    facts: dict[str, Any]


@dataclass
class Given:
    """What a page shows, by kind, in the order in which it was given."""

    evaluations: list[Evaluation] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    comparisons: list[Result] = field(default_factory=list)
    ablations: list[Result] = field(default_factory=list)
    explanations: list[Result] = field(default_factory=list)

    @property
    def reports(self) -> list[Report]:
        """The reports of the evaluations."""
        return [each.report for each in self.evaluations]


def recognised(folders: Sequence[AnyPath | Report]) -> Given:
    """What lies in these folders, with the evaluations of a run or a comparison and the runs of evaluations.

    Raises `UsageError` for none, or for a folder that no command of mfr wrote; `MaskgenError` for a damaged file.
    """
    if not folders:
        raise UsageError("nothing to show; give folders of evaluations, runs, comparisons, ablations or explanations.")
    found, reports = Given(), []
    for each in folders:
        reports += [each] if isinstance(each, Report) else _add(found, Path(each))
    for comparison in found.comparisons:
        reports += _compared(comparison)
    for run in list(found.runs):
        reports += _of_run(run)
    reports = _once(reports)
    found.runs += [report.settings.run for report in reports if report.settings.run and _has_run(report.settings.run)]
    found.runs = list({run.resolve(): run for run in found.runs}.values())
    found.evaluations = [Evaluation(name, report) for name, report in zip(_names(reports), reports, strict=True)]
    return found


def _add(found: Given, path: Path) -> list[Report]:
    """Adds what a folder holds; returns its reports."""
    folder = path.parent if path.is_file() else path
    kinds = {COMPARISON: found.comparisons, ABLATION: found.ablations, EXPLANATION: found.explanations}
    if path.is_file() and path.name not in (REPORT, *kinds):
        raise UsageError(
            f"{path} is a file; give the folder of an evaluation, run, comparison, ablation or explanation."
        )
    there = [name for name in kinds if (folder / name).is_file()]
    for name in there:
        kinds[name].append(Result(folder, _read(folder / name)))
    reports = [Report.load(folder)] if (folder / REPORT).is_file() else []
    run = _has_run(folder)
    if run:
        found.runs.append(folder)
    if not there and not reports and not run:
        if inner := [str(each) for each in sorted(folder.glob("*/")) if _has_result(each, kinds)]:
            named = some_of(inner, LONGEST)
            raise UsageError(f"{path} only holds folders of results; give the folders in it: {named}.")
        what = "does not exist" if not folder.exists() else "holds no result of mfr"
        raise UsageError(f"{path} {what}; give a folder that mfr train, eval, compare, ablate or explain wrote.")
    return reports


def _has_result(folder: Path, kinds: Iterable[str]) -> bool:
    return _has_run(folder) or any((folder / name).is_file() for name in (REPORT, *kinds))


def _has_run(folder: Path) -> bool:
    names = (run_files.CURVE, run_files.EMBEDDING, run_files.BACKBONE)
    return (folder / run_files.SETTINGS).is_file() and any((folder / name).is_file() for name in names)


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_RESULT:
            raise ValueError("too large")
        facts = files.parse_json(file.read_bytes())
    except (OSError, ValueError):
        raise damaged(file) from None
    if not isinstance(facts, dict):
        raise damaged(file)
    return facts


def damaged(file: Path) -> MaskgenError:
    """The error for a result that is not as it was written."""
    return MaskgenError(f"{file} is not as mfr writes it; make it again, or leave its folder out.")


def _compared(comparison: Result) -> Iterable[Report]:
    """The evaluations that a comparison names, as far as they are still there."""
    systems = comparison.facts.get("systems")
    for system in systems if isinstance(systems, list) else ():
        folder = Path(str(system.get("report", ""))) if isinstance(system, dict) else None
        if folder and (folder / REPORT).is_file():
            yield Report.load(folder)


def _of_run(run: Path) -> Iterable[Report]:
    """The evaluations of a run: those in its folder, beside it and under runs/eval that name it."""
    places = [run, run.parent, run.parent / EVALUATIONS.name, EVALUATIONS]
    for file in sorted({file.resolve() for place in places for file in place.glob(f"*/{REPORT}")}):
        try:
            report = Report.load(file)
        except MaskgenError:
            continue
        if report.settings.run and report.settings.run.resolve() == run.resolve():
            yield report


def _once(reports: Iterable[Report]) -> list[Report]:
    return list({report.out.resolve(): report for report in reports}.values())


def _names(reports: Sequence[Report]) -> list[str]:
    """A name for each: its model, with the data if two have one name, with the folder if that is not enough."""
    names = [shown(report.model) for report in reports]
    for more in ([Path(report.data).name for report in reports], [report.out for report in reports]):
        again = {name for name in names if names.count(name) > 1}
        names = [f"{name} ({shown(told)})" if name in again else name for name, told in zip(names, more, strict=True)]
    return names
