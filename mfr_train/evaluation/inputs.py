"""The pictures that are compared: test photographs of a data set, or those of a protocol table, as embeddings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import maskgen
from maskgen.dataset import damage
from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import files

from ..data.feature_cache import embed_chosen, missing, row_index
from ..defaults import SKIP
from ..networks.model import Model
from . import failures, listed_pairs, mask_colors, protocol_pictures
from . import planned as planned_photographs
from .bootstrap import MIN_SUBJECTS
from .failures import Failure
from .listed_pairs import ListedPairs
from .material import Embedded, Material
from .pair_list import read_pairs
from .protocol_table import (
    Protocol,
    column_notes,
    protocol_pairing,
    protocol_parts,
    read_protocol,
    restricted,
    single_notes,
)
from .report import TRAINED_ON
from .scenarios import (
    MASKED,
    RANDOM,
    UNMASKED,
    Indices,
    Names,
    Pairing,
    Photographs,
    colors_of,
    groups,
    measured,
    only_listed,
    pair_counts,
    pairing,
    pictures_in,
    variants_worn,
)

if TYPE_CHECKING:
    from .eval_settings import EvalSettings

Progress = Callable[[int], object]


def from_dataset(
    settings: EvalSettings, wanted: Sequence[str], model: Model, planned: Progress, progress: Progress
) -> Material:
    """The photographs of a split. The pictures that the `wanted` scenarios need are embedded through the feature cache.

    `planned` is called with the number of pictures that are not in the cache, `progress` as they are done. Raises
    `UsageError` or `MaskgenError` for no data set, no such split, or fewer than two identities.
    """
    dataset, split = maskgen.open(settings.data), settings.split
    if settings.on_damage == SKIP:
        dataset = damage.without_broken_rows(dataset, (split,))
    if not dataset.count(split):
        if rejects := dataset.info["counts"].get(split, {}).get("rejects"):
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(rejects.items()))
            raise MaskgenError(f"every photograph in {split} of {dataset} was rejected ({why}); build it from others.")
        advice = "build it with --test-identities above 0" if split == "test" else "choose another --split"
        raise MaskgenError(f"the data set {dataset} has no photographs in {split}; {advice}.")
    index = row_index(dataset, split)
    listed: ListedPairs | None = None
    used = np.arange(len(index))
    fingerprint = dataset.content
    if settings.pairs is not None:
        listed = listed_pairs.find(read_pairs(settings.pairs), listed_pairs.catalogue(dataset, split, index.keys))
        used = listed.rows
        fingerprint += f" {files.sha256(settings.pairs)}"
    identities, subjects = np.unique(index.identities[used], return_inverse=True)
    if len(identities) < 2:
        raise MaskgenError(
            f"the {split} split of {dataset} has one identity, {identities[0]}, and so no impostor pairs; "
            "build it from more identities or with a larger --test-identities."
        )
    printed = dataset.info["settings"].get("style") == "texture"  # which hides the colour of the mask
    shown = None if printed else mask_colors.color_names(index.colors[used])
    photographs = Photographs(index.keys[used], subjects, dataset.variants, index.variants[used], shown)

    failed = listed.failures if listed else _failures(dataset, split, index.keys)
    whole = failures.with_failed(photographs, identities.tolist(), failed)

    def compared(scenario: str, masks: Sequence[str] | None = None, color: str | None = None) -> Pairing:
        found = pairing(scenario, photographs, settings.seed, masks, color)
        if listed:
            found = only_listed(found, listed.first, listed.second)
        if color is not None:  # failed photographs have none
            return found
        lost = (
            failures.lost_of_list(listed.lost, scenario, masks)
            if listed
            else failures.lost_genuine(scenario, found, photographs, whole, settings.seed, masks)
        )
        return replace(found, lost_genuine=lost)

    pairings = {scenario: compared(scenario) for scenario in measured(wanted)}
    parts = {
        (scenario, group): compared(scenario, masks)
        for group, masks in (groups(variants_worn(photographs)).items() if settings.breakdown else ())
        for scenario in wanted
        if any(MASKED[scenario])
    } | {
        (scenario, f"color_{color}"): compared(scenario, color=color)
        for color in (colors_of(photographs) if settings.breakdown else ())
        for scenario in wanted
        if any(MASKED[scenario])
    }
    pictures = pictures_in([*pairings.values(), *parts.values()])
    chosen = {name: used[rows] for name, rows in pictures.items()}  # nothing else is embedded
    planned(missing(dataset, model.backbone, split, chosen, settings.cache))
    features = embed_chosen(dataset, model.backbone, split, chosen, settings.cache, settings.workers, progress)
    embedded = {name: Embedded(pictures[name], model.project(found, name != UNMASKED)) for name, found in features}
    notes = listed.notes if listed else singles(np.bincount(subjects))
    notes += _seen([str(name) for name in identities], model)
    if len(identities) < MIN_SUBJECTS:
        notes.append(f"{len(identities)} subjects are too few for intervals, which need {MIN_SUBJECTS}.")
    return Material(
        str(dataset),
        fingerprint,
        tuple(str(key) for key in photographs.keys),
        subjects,
        tuple(str(name) for name in identities),
        pairings,
        parts,
        embedded,
        failed,
        notes + damage.told(dataset),
        listed,
    )


def _landmarker(settings: EvalSettings) -> maskgen.Landmarker:
    return maskgen.Landmarker(
        settings.predictor, face=settings.face, detector=settings.detector, detector_model=settings.detector_model
    )


def from_protocol(
    path: Path, settings: EvalSettings, wanted: Sequence[str], model: Model, planned: Progress, progress: Progress
) -> Material:
    """The pictures of a protocol table, unchanged; landmarks are found only for a backbone that aligns faces.

    Pictures that cannot be decoded, or have no face to align, are failures: they are not compared, and subjects
    without any other picture are left out. Raises `UsageError` for a file that is not such a table, that has nothing
    for the `wanted` scenarios, or that names a missing file.
    """
    whole = read_protocol(path)
    if not any(protocol_pairing(scenario, whole) for scenario in wanted):
        raise UsageError(f"{path} has no pictures for {settings.scenario}; choose another --scenario.")
    for picture in whole.paths:
        if not os.path.isfile(picture):
            raise UsageError(f"cannot read {picture} of the protocol table: there is no such file; check it.")
    planned(len(whole.paths))
    landmarker = _landmarker(settings) if model.backbone.aligns_faces else None
    features, reasons = protocol_pictures.features(whole.paths, model.backbone, landmarker, settings.workers, progress)
    usable = np.array([not reason for reason in reasons])
    protocol = restricted(whole, usable)
    pairings = _with_lost(_protocol_pairings(protocol, measured(wanted)), protocol, whole)
    parts = protocol_parts(protocol, wanted) if settings.breakdown else {}
    every = protocol_parts(whole, wanted)
    parts = {
        name: replace(part, lost_genuine=_lost(part, protocol, every[name], whole)) for name, part in parts.items()
    }
    notes = [f"{path} has no pictures for {scenario}." for scenario in measured(wanted) if scenario not in pairings]
    notes += single_notes(protocol) + (column_notes(protocol) if settings.breakdown else [])
    notes += _seen(protocol.names, model)
    return Material(
        str(path),
        files.sha256(path),
        protocol.labels,
        protocol.subjects,
        protocol.names,
        pairings,
        parts,
        {
            name: Embedded(np.arange(usable.sum()), model.project(features[usable], masked))
            for name, masked in ((UNMASKED, False), (RANDOM, True))
        },
        _protocol_failures(whole, reasons),
        notes,
    )


def _protocol_pairings(protocol: Protocol, scenarios: Sequence[str]) -> dict[str, Pairing]:
    found = {scenario: protocol_pairing(scenario, protocol) for scenario in scenarios}
    return {scenario: pairing for scenario, pairing in found.items() if pairing is not None}


def _with_lost(found: dict[str, Pairing], protocol: Protocol, whole: Protocol) -> dict[str, Pairing]:
    every = _protocol_pairings(whole, [*found])
    return {name: replace(part, lost_genuine=_lost(part, protocol, every[name], whole)) for name, part in found.items()}


def _lost(found: Pairing, protocol: Protocol, every: Pairing, whole: Protocol) -> int:
    """The genuine pairs of the whole table that those of the usable pictures lack."""
    return pair_counts(every, whole.subjects)[0] - pair_counts(found, protocol.subjects)[0]


def _protocol_failures(whole: Protocol, reasons: Sequence[str]) -> list[Failure]:
    return [
        Failure(whole.labels[row], whole.names[whole.subjects[row]], reasons[row], role=role, masked=masked)
        for (role, masked), rows in whole.sides.items()
        for row in rows.tolist()
        if reasons[row]
    ]


def _failures(dataset: maskgen.Dataset, split: str, keys: Names) -> list[Failure]:
    """The rejected photographs of the split, and the rows that are left out since they are broken."""
    found = planned_photographs.unusable(dataset, split, keys)
    return [Failure(each.source, each.identity, why, each.key, variant=each.variant) for each, why in found]


def _seen(names: Sequence[str], model: Model) -> list[str]:
    """A note if the model is known to have been trained on people of these names."""
    seen = len(model.identities.intersection(names))
    if not seen:
        return []
    known = f"{seen} of {len(names)} identities {TRAINED_ON}"
    return [f"{known}: if they are the same people, this measures what was memorised in training."]


def singles(counts: Indices) -> list[str]:
    """A note about subjects with one photograph, by the number of photographs of each."""
    single = int((counts == 1).sum())
    if not single:
        return []
    have = "has" if single == 1 else "have"
    return [
        f"{single} of {len(counts)} identities {have} only one photograph, which is compared in impostor pairs alone."
    ]
