"""`mfr eval`: embed each picture once, compare all pairs of each scenario, and write what was found."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError

from .. import hardware
from ..defaults import EVALUATIONS, MIN_RESAMPLES
from ..networks import model as models
from ..networks.model import Model
from . import inputs, metrics, outputs, plots
from .eval_settings import ALL, EvalSettings
from .inputs import Material
from .measure import Measured, measure
from .report import Report, Row
from .scenarios import MASKED, Pairing

Progress = Callable[[int], object]
"""Called with a number of pictures: those to embed, or those that have just been."""


def evaluate(settings: EvalSettings, progress: Progress | None = None, planned: Progress | None = None) -> Report:
    """Measures a model on the scenarios of a data set or a protocol table, and writes report, scores and plots.

    `planned` is called once, with the number of pictures that will be embedded, `progress` as they are. An earlier
    report in the same folder stays until everything is measured. Raises `UsageError` for settings, data or a model
    that do not fit, `MaskgenError` where there are no genuine or no impostor pairs.
    """
    declared.check(settings)
    if 0 < settings.bootstrap < MIN_RESAMPLES:
        raise UsageError(f"--bootstrap is {settings.bootstrap}; give at least {MIN_RESAMPLES}, or 0 for none.")
    model = models.load_model(settings.run, settings.model, hardware.device(settings.device))
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
    if settings.protocol is not None:
        return inputs.from_protocol(settings.protocol, settings, wanted, model, planned, progress)
    return inputs.from_dataset(settings, wanted, model, planned, progress)


def _scenarios(
    settings: EvalSettings, material: Material, wanted: list[str], folder: Path
) -> tuple[list[Row], dict[str, metrics.Rates], dict[str, float]]:
    """The rows and curves of the wanted scenarios, whose scores it writes, and the thresholds of U-U."""
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
