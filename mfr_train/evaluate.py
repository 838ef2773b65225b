"""`mfr eval`: embed each picture once, compare all pairs of each scenario, and write what was found."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError
from maskgen.settings import setting

from . import metrics
from .bootstrap import FEWEST_RESAMPLES, Intervals
from .choices import CACHE, DEVICES, EVALUATIONS
from .measure import EXACT_PAIRS, Measured, measure
from .scenarios import MASKED, Pairing

if TYPE_CHECKING:
    from .material import Material
    from .models import Model

ALL = "all"

Progress = Callable[[int], object]
"""Called with a number of pictures: those to embed, or those that have just been."""


@dataclass(frozen=True)
class EvalSettings:
    """What `mfr eval` is told."""

    data: str = setting("smfd", help="Data set that `maskgen build` wrote: a folder or a URI.", metavar="DIR")
    scenario: str = setting(
        ALL,
        help="What is compared: unmasked with unmasked (U-U), unmasked references with masked probes (U-M), masked "
        "with masked (M-M), or all three.",
        choices=(*MASKED, ALL),
    )
    run: Path | None = setting(
        None, help="Run folder to measure; by default the newest finished one in runs/.", metavar="DIR"
    )
    model: str | None = setting(
        None,
        help="Measure this model instead of a run: dlib, a weights file, or an ONNX face network.",
        metavar="dlib|FILE",
    )
    protocol: Path | None = setting(
        None, help="Table of pictures to compare instead of --data (subject,role,masked,path).", metavar="CSV"
    )
    split: str = setting("test", help="Split of the data set to measure on.", choices=("test", "val", "train"))
    seed: int = setting(0, help="Seed of the mask drawn for each photograph and of the bootstrap.", low=0)
    bootstrap: int = setting(
        1000,
        help=f"Resamples of the subjects for the 95 % intervals, at least {FEWEST_RESAMPLES}; 0 for none.",
        low=0,
        high=1_000_000,
    )
    breakdown: bool = setting(True, help="Also measure each mask variant, shape and coverage by itself.")
    exact_pairs: int = setting(
        EXACT_PAIRS, help="Up to this many pairs, keep every score; beyond, count them in 2^20 bins.", low=0
    )
    out: Path | None = setting(
        None, help="Folder for the report, scores and plots; by default runs/eval/MODEL-DATA-HASH.", metavar="DIR"
    )
    cache: Path = setting(CACHE, help="Folder where features of pictures are kept.", metavar="DIR", run_only=True)
    predictor: Path | None = setting(
        None, help="dlib shape predictor for aligning the pictures of --protocol.", metavar="FILE"
    )
    workers: int | None = setting(
        None,
        help="Processes that run dlib's network, or decode for another; by default by cores.",
        low=0,
        high=4096,
        run_only=True,
    )
    device: str = setting("auto", help="Where other networks run.", choices=DEVICES, run_only=True)


@dataclass(frozen=True)
class Row:
    """One line of the table. `group` is '' for a scenario, else a variant, shape or coverage of its breakdown.

    `drift` is FNMR and FMR here at the thresholds that give FMR100 and FMR10 in U-U, by those names. `few` are the
    figures with fewer than 30 expected errors behind them, and how many those are.
    """

    scenario: str
    group: str
    figures: metrics.Figures
    intervals: Intervals | None
    few: dict[str, float]
    drift: dict[str, metrics.Point]
    binned: bool


@dataclass(frozen=True)
class Report:
    """What was measured: on what, by which model, with which result. `out` is where it was written."""

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


def evaluate(settings: EvalSettings, progress: Progress | None = None, planned: Progress | None = None) -> Report:
    """Measures a model on the scenarios of a data set or a protocol table, and writes report, scores and plots.

    `planned` is called once, with the number of pictures that will be embedded, `progress` as they are. An earlier
    report in the same folder stays until everything is measured. Raises `UsageError` for settings, data or a model
    that do not fit, `MaskgenError` where there are no genuine or no impostor pairs.
    """
    # Here, not above: the command line reads the settings without loading PyTorch.
    from . import hardware, outputs, plots
    from .models import load_model

    declared.check(settings)
    if 0 < settings.bootstrap < FEWEST_RESAMPLES:
        raise UsageError(f"--bootstrap is {settings.bootstrap}; give at least {FEWEST_RESAMPLES}, or 0 for none.")
    model = load_model(settings.run, settings.model, hardware.device(settings.device))
    wanted = list(MASKED) if settings.scenario == ALL else [settings.scenario]
    material = _material(settings, wanted, model, planned or _ignore, progress or _ignore)
    if model.unfinished:
        material.notes.insert(0, model.unfinished)
    out = settings.out or EVALUATIONS / _folder_name(model, material)
    with outputs.replacing(out) as folder:
        rows, curves, thresholds = _scenarios(settings, material, wanted, folder)
        breakdown = _breakdown(settings, material, wanted, thresholds)
        report = Report(
            settings,
            model.name,
            model.fingerprint,
            material.name,
            out,
            material.subject_count,
            len(material.labels),
            material.failures,
            rows,
            breakdown,
            material.notes,
        )
        outputs.write_report(report, folder)
        plots.plot_rates(curves, folder)
    return report


def _ignore(pictures: int) -> None:
    pass


def _folder_name(model: Model, material: Material) -> str:
    """MODEL-DATA-HASH, the hash being of the model's numbers and of the data: names alone may be those of others."""
    data = os.path.basename(os.path.abspath(material.name)).removesuffix(".csv")
    digest = hashlib.sha256(f"{model.fingerprint} {material.fingerprint}".encode()).hexdigest()
    return f"{model.name}-{data}-{digest[:8]}"


def _material(
    settings: EvalSettings, wanted: list[str], model: Model, planned: Progress, progress: Progress
) -> Material:
    from . import material

    if settings.protocol is not None:
        return material.from_protocol(settings.protocol, settings, wanted, model, planned, progress)
    return material.from_dataset(settings, wanted, model, planned, progress)


def _scenarios(
    settings: EvalSettings, material: Material, wanted: list[str], folder: Path
) -> tuple[list[Row], dict[str, metrics.Rates], dict[str, float]]:
    """The rows and curves of the wanted scenarios, whose scores it writes, and the thresholds of U-U."""
    from . import outputs

    thresholds: dict[str, float] = {}
    rows, curves = [], {}
    for scenario, pairing in material.pairings.items():
        comparison, left, right = material.comparison(pairing)
        try:
            found = measure(
                comparison, material.subject_count, settings.bootstrap, settings.seed, thresholds, settings.exact_pairs
            )
        except MaskgenError as error:
            if scenario in wanted:
                raise type(error)(f"{scenario} on {material.name}: {error}") from None
            material.notes.append(f"No thresholds of U-U: {error}")
            continue
        if scenario == "U-U":
            thresholds = {
                "fnmr_at_uu_fmr100": found.figures.fmr100.threshold,
                "fnmr_at_uu_fmr10": found.figures.fmr10.threshold,
            }
        if scenario in wanted:
            rows.append(_row(scenario, "", found, {} if scenario == "U-U" else thresholds))
            curves[scenario] = metrics.rates(found.counts)
            outputs.write_scores(folder / f"{scenario}.parquet", material, found, left, right)
    return rows, curves, thresholds


def _breakdown(
    settings: EvalSettings, material: Material, wanted: list[str], thresholds: dict[str, float]
) -> list[Row]:
    rows = []
    for (scenario, group), pairing in material.parts.items():
        try:
            rows.append(_row(scenario, group, _part(settings, material, pairing, thresholds), thresholds))
        except MaskgenError as error:
            material.notes.append(f"{scenario} {group} is not measured: {error}")
    return sorted(rows, key=lambda row: wanted.index(row.scenario))


def _part(settings: EvalSettings, material: Material, pairing: Pairing, thresholds: dict[str, float]) -> Measured:
    comparison, _, _ = material.comparison(pairing)
    return measure(
        comparison, material.subject_count, settings.bootstrap, settings.seed, thresholds, settings.exact_pairs
    )


def _row(scenario: str, group: str, found: Measured, thresholds: dict[str, float]) -> Row:
    drift = {
        name: metrics.Point(
            threshold,
            metrics.fmr_at_threshold(found.counts, threshold),
            metrics.fnmr_at_threshold(found.counts, threshold),
        )
        for name, threshold in thresholds.items()
    }
    few = metrics.few_errors(found.figures)
    return Row(scenario, group, found.figures, found.intervals, few, drift, found.scores is None)
