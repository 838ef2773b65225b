"""`mfr eval`: embeds each picture once, compares all pairs of each scenario, and writes the results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging import search
from maskgen.progress import part, quiet, step
from maskgen.progress import planned as set_total
from maskgen.storage import files

from .. import figure, hardware
from ..defaults import CLASSIFY, EVALUATIONS, MIN_RESAMPLES, NONE
from ..keywords import AnyPath, settings_from
from ..networks import model as models
from ..networks import preprocessing
from ..networks.model import STAGE_1, Model
from ..networks.preprocessing import InputOptions, described
from . import (
    curves,
    failures,
    folds,
    given_embeddings,
    identification,
    inputs,
    limits,
    metrics,
    outputs,
    plots,
    provenance,
    score_files,
)
from .bootstrap import MIN_SUBJECTS
from .eval_settings import ALL, IDENTIFY, EvalSettings
from .folds import FoldAccuracy
from .identification import Identification
from .material import Material
from .measure import Measured, measure
from .metrics import FixedThreshold
from .plots import Plotted
from .report import Report, Row
from .scenarios import MASKED, Choice, Pairing
from .scores import Comparison

Progress = Callable[[int], object]
"""Called with a number of pictures: those to embed, or those that were just embedded."""


NOT_WITH_EMBEDDINGS = (
    *("run", "stage", "model", "protocol", "data", "split", "on_damage"),
    *("face", "detector", "detector_model", "predictor"),
    *InputOptions.__annotations__,
)
"""Settings that say which pictures are embedded, and how."""


NAMED_BY_HASH = ("data", "run", "stage", "model", "protocol", "pairs", "embeddings", "out")
"""Settings that say what is measured, which is known by its content, and where the report goes."""


class EvalOptions(InputOptions, total=False):
    """The fields of `EvalSettings` as keywords; text or any path-like object is a path."""

    data: AnyPath
    scenario: str
    run: AnyPath | None
    stage: str | None
    model: str | None
    protocol: AnyPath | None
    embeddings: AnyPath | None
    pairs: AnyPath | None
    split: str
    seed: int
    bootstrap: int
    fmr: str
    score: str
    breakdown: bool
    exact_pairs: int
    keep_scores: str
    figures: str
    out: AnyPath | None
    cache: AnyPath
    face: str
    detector: str
    detector_model: AnyPath | None
    predictor: AnyPath | None
    on_damage: str
    workers: int | None
    device: str


def evaluate(
    settings: EvalSettings | None = None,
    /,
    progress: Progress | None = None,
    planned: Progress | None = None,
    **options: Unpack[EvalOptions],
) -> Report:
    """Measures a model on the scenarios of a data set or a protocol table, and writes report, tables, scores and plots.

    An earlier report in the same folder stays until everything is measured. A progress bar shows in a notebook or a
    terminal unless `progress` is given.

    Args:
        settings: The settings, or the same by name as `options`, such as `data="smfd", model="dlib"`. By default the
            newest run under runs/ is measured on `smfd`, on all scenarios. `run` can be a `Run`.
        progress: Called with the number of pictures that were just embedded.
        planned: Called once, before, with the number of pictures that will be embedded.
        **options: The fields of `EvalSettings`.

    Returns:
        The report, which is also written to its folder, `report.out`.

    Raises:
        UsageError: If a setting, the data or the model does not fit.
        MaskgenError: If there are no genuine or no impostor pairs, or a file is damaged or cannot be written.

    Example:
        >>> report = evaluate(data="smfd", model="dlib", scenario="U-M")  # doctest: +SKIP
        >>> report["U-M"].eer.interval  # doctest: +SKIP
        (0.2101, 0.3622)
    """
    settings = settings_from(EvalSettings, settings, options)
    if progress is None:
        return _evaluate(settings, None, planned or _ignore)
    with quiet():
        return _evaluate(settings, progress, planned or _ignore)


def _check_search(settings: EvalSettings) -> None:
    """Raises `UsageError` for settings of the search for faces that are wrong or would not be used."""
    search.check(settings.face, search.names_of(settings.detector), settings.detector_model)
    if settings.protocol is None and (settings.face, settings.detector) != ("central", search.HOG):
        raise UsageError("--face and --detector find faces in pictures of --protocol; leave them out.")


def _evaluate(settings: EvalSettings, progress: Progress | None, planned: Progress) -> Report:
    declared.check(settings)
    if 0 < settings.bootstrap < MIN_RESAMPLES:
        raise UsageError(f"--bootstrap is {settings.bootstrap}; give at least {MIN_RESAMPLES}, or 0 for none.")
    limits.parsed(settings.fmr)
    _check_search(settings)
    figure.chosen_formats(settings.figures)
    if settings.pairs is not None and settings.protocol is not None:
        raise UsageError("--pairs lists photographs of --data, not of --protocol; give one of them.")
    if settings.pairs is not None and settings.scenario == IDENTIFY:
        raise UsageError("--scenario identify searches all photographs, not listed pairs; leave --pairs out.")
    given, made = preprocessing.of(settings), provenance.date()
    wanted = list(MASKED) if settings.scenario in (ALL, IDENTIFY) else [settings.scenario]
    if settings.embeddings is not None:
        _check_alone(settings)
        material = given_embeddings.from_embeddings(settings.embeddings, settings, wanted)
        name, fingerprint = settings.embeddings.stem, files.sha256(settings.embeddings)
        preprocessed = {}
    else:
        device = hardware.device(settings.device)
        with step("loading the model"):
            model = models.chosen_model(settings.run, settings.model, device, given, settings.stage)
        material = _material(settings, wanted, model, planned, progress)
        name, fingerprint = model.name, model.fingerprint
        preprocessed = described(model.preprocessing)
        if model.unfinished:
            material.notes.insert(0, model.unfinished)
    out = settings.out or EVALUATIONS / _folder_name(settings, name, fingerprint, material)
    with outputs.replacing(out) as folder:
        rows, plotted, thresholds = _scenarios(settings, material, wanted, folder)
        breakdown = _breakdown(settings, material, wanted, thresholds)
        identified = _identified(settings, material, wanted) if settings.scenario == IDENTIFY else []
        report = Report(
            settings,
            name,
            fingerprint,
            material.name,
            out,
            len(material.names),
            len(material.labels),
            failures.by_reason(material.failed),
            rows,
            breakdown,
            material.notes,
            material.pairs.counts if material.pairs else None,
            preprocessed,
            failures.by_variant(material.failed),
            made,
            provenance.versions(),
            identified,
        )
        failures.write(material.failed, folder)
        if material.pairs:
            outputs.write_failed_pairs(material.pairs.failed, folder)
        if identified and (formats := figure.chosen_formats(settings.figures)):
            figure.save(plots.cmc({each.scenario: each for each in identified}), folder / plots.CMC, formats)
        lines = {each.limit: each.threshold for each in thresholds}
        with step("drawing figures"):
            plots.write(plotted, lines, folder, figure.chosen_formats(settings.figures), limits.parsed(settings.fmr))
        outputs.write_report(report, folder)
    return report


def _ignore(pictures: int) -> None:
    pass


def _check_alone(settings: EvalSettings) -> None:
    """Raises `UsageError` for settings of data sets, models and pictures beside --embeddings, which needs none."""
    by_default = EvalSettings()
    for name in NOT_WITH_EMBEDDINGS:
        if getattr(settings, name) != getattr(by_default, name):
            raise UsageError(f"--{name.replace('_', '-')} is not used with --embeddings; leave one of them out.")


def _folder_name(settings: EvalSettings, name: str, fingerprint: str, material: Material) -> str:
    """MODEL-DATA-HASH, with the stage, the scenario and the split between them if they are not the default.

    The hash is of the weights, the data and every setting that changes the result: names alone are not unique.
    """
    data = os.path.basename(os.path.abspath(material.name)).removesuffix(".csv")
    first = [name.removesuffix(STAGE_1), CLASSIFY] if settings.stage == CLASSIFY else [name]
    parts = [*first, "embeddings" if settings.embeddings is not None else data]
    parts += [settings.scenario] * (settings.scenario != ALL) + [settings.split] * (settings.split != "test")
    values = declared.jsonable(settings, run_only=False)
    chosen = {option: value for option, value in values.items() if option not in NAMED_BY_HASH}
    text = f"{fingerprint} {material.fingerprint} {json.dumps(chosen, sort_keys=True)}"
    return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:8]])


def _material(
    settings: EvalSettings, wanted: list[str], model: Model, planned: Progress, progress: Progress | None
) -> Material:
    with step("embedding pictures", to_plan=True) as bar:

        def plan(pictures: int) -> None:
            set_total(bar)(pictures)
            planned(pictures)

        if settings.protocol is not None:
            return inputs.from_protocol(settings.protocol, settings, wanted, model, plan, progress or bar.update)
        return inputs.from_dataset(settings, wanted, model, plan, progress or bar.update)


def _scenarios(
    settings: EvalSettings, material: Material, wanted: list[str], folder: Path
) -> tuple[list[Row], Plotted, tuple[FixedThreshold, ...]]:
    """The rows and plots of the wanted scenarios, whose scores it writes, and the thresholds of U-U."""
    thresholds: tuple[FixedThreshold, ...] = ()
    rows: list[Row] = []
    plotted: Plotted = {}
    for scenario, pairing in material.pairings.items():
        try:
            if nothing := failures.what_happened(scenario, pairing, material.failed):
                raise MaskgenError(nothing)
            comparison, left, right = _compared(settings, material, pairing)
            with part(scenario):
                found = _measured(settings, material, comparison, thresholds, with_curve=scenario in wanted)
        except MaskgenError as error:
            if scenario in wanted:
                raise type(error)(f"{scenario} on {material.name}: {error}") from None
            material.notes.append(f"No thresholds of U-U: {error}")
            continue
        if scenario == "U-U":
            thresholds = tuple(
                FixedThreshold(limit, point.threshold)
                for limit, point in found.figures.points.items()
                if limits.resolved(limit, found.figures.impostor)
            )
        if scenario in wanted:
            row = _row(scenario, "", found, () if scenario == "U-U" else thresholds, pairing.lost_genuine)
            rows.append(dataclasses.replace(row, accuracy=_accuracy(scenario, material, found)))
            if found.curve:
                plotted[scenario] = found.curve, curves.histogram(found.counts)
            if settings.keep_scores == ALL and found.scores is None:
                count, size = score_files.write_folder(folder / scenario, material, comparison, left, right)
                material.notes.append(f"{scenario}/ holds {count:,} scores in {score_files.size(size)}.")
            elif settings.keep_scores != NONE:
                score_files.write(folder / f"{scenario}.parquet", material, found, left, right)
    return rows, plotted, thresholds


def _accuracy(scenario: str, material: Material, found: Measured) -> FoldAccuracy | None:
    """Accuracy over the folds of listed pairs; None, with a note, if a fold has nothing to measure."""
    listed = material.pairs
    if listed is None or listed.folds is None or found.scores is None:
        return None
    genuine, impostor = (side.values for side in found.scores)
    compared = material.pairings[scenario].in_list
    kinds, numbers = listed.genuine[compared], listed.folds[compared]
    of_genuine, of_impostor = numbers[kinds], numbers[~kinds]
    try:
        return folds.accuracy(genuine, impostor, of_genuine, of_impostor, listed.fold_count)
    except MaskgenError as error:
        material.notes.append(f"No accuracy of {scenario}: {error}")
        return None


def _breakdown(
    settings: EvalSettings, material: Material, wanted: list[str], thresholds: Sequence[FixedThreshold]
) -> list[Row]:
    rows = []
    with step("measuring parts of the breakdown", len(material.parts)) as bar:
        for (scenario, group), pairing in material.parts.items():
            try:
                comparison, _, _ = _compared(settings, material, pairing)
                found = _measured(settings, material, comparison, thresholds)
                rows.append(_row(scenario, group, found, thresholds, pairing.lost_genuine))
            except MaskgenError as error:
                material.notes.append(f"{scenario} {group} is not measured: {error}")
            bar.update()
    return sorted(rows, key=lambda row: wanted.index(row.scenario))


def _identified(settings: EvalSettings, material: Material, wanted: list[str]) -> list[Identification]:
    """Each scenario as identification: probes are searched in a gallery of one reference of each subject."""
    found = []
    for scenario in wanted:
        if scenario not in material.pairings:  # of a protocol table without one of the sides
            continue
        comparison, left, _ = material.comparison(material.pairings[scenario])
        try:
            keys = [material.labels[row] for row in left.rows]
            gallery = comparison.reference.at(
                identification.enrolled(keys, comparison.reference.subjects, settings.seed)
            )
            with step(f"{scenario}: searching the gallery"):
                searches = identification.search(gallery, comparison.probe, settings.score)
                one = identification.measure(scenario, len(gallery), searches, settings.bootstrap, settings.seed)
            found.append(one)
        except MaskgenError as error:
            material.notes.append(f"{scenario} is not measured as identification: {error}")
    return found


def _compared(settings: EvalSettings, material: Material, pairing: Pairing) -> tuple[Comparison, Choice, Choice]:
    """A pairing with its kind of score, and the choices in the order of its sides."""
    comparison, left, right = material.comparison(pairing)
    return dataclasses.replace(comparison, score=settings.score), left, right


def _measured(
    settings: EvalSettings,
    material: Material,
    comparison: Comparison,
    thresholds: Sequence[FixedThreshold],
    with_curve: bool = False,
) -> Measured:
    few = len(np.unique(comparison.probe.subjects)) < MIN_SUBJECTS  # a group of one or two people has no interval
    return measure(
        comparison,
        len(material.names),
        0 if few else settings.bootstrap,
        settings.seed,
        thresholds,
        settings.exact_pairs,
        limits.parsed(settings.fmr),
        with_curve,
    )


def _row(scenario: str, group: str, found: Measured, thresholds: Sequence[FixedThreshold], lost_genuine: int) -> Row:
    drift = {
        fixed: metrics.Point(
            fixed.threshold,
            metrics.fmr_at_threshold(found.counts, fixed.threshold),
            metrics.fnmr_at_threshold(found.counts, fixed.threshold),
        )
        for fixed in thresholds
    }
    few = metrics.few_errors(found.figures, drift)
    return Row(
        scenario, group, found.figures, found.intervals, few, drift, found.scores is None, lost_genuine=lost_genuine
    )
