"""The pictures that are compared: test photographs of a data set, or those of a protocol table, as embeddings."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import maskgen
from maskgen.dataset import damage
from maskgen.errors import MaskgenError, Rejected, UsageError
from maskgen.imaging.decode import decode
from maskgen.storage import files

from ..data.feature_cache import embed_rows, missing, row_index
from ..defaults import DAMAGED_ROW, SKIP
from ..networks.backbone import CHUNK, Floats
from ..networks.model import Model
from . import listed_pairs, mask_colors, scores
from .bootstrap import MIN_SUBJECTS
from .listed_pairs import ListedPairs
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
from .scenarios import (
    MASKED,
    RANDOM,
    UNMASKED,
    Choice,
    Indices,
    Pairing,
    Photographs,
    colors_of,
    groups,
    measured,
    names_in,
    on_both_sides,
    only_listed,
    pairing,
)
from .scores import Comparison, Side

if TYPE_CHECKING:
    from .eval_settings import EvalSettings

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Material:
    """Photographs (N,) with their subjects int (N,), below `subject_count`, and labels for people to read.

    `pairings` are the scenarios that are measured, `parts` those of the breakdown by (scenario, group).
    `embeddings` holds, by the name of a picture, that picture of every photograph, float32 (N, d). `failures` counts
    the photographs that could not be used, by reason; they are not among the N. `fingerprint` is a hash of the data
    set or table. `pairs` are those of a list, if only they are compared.
    """

    name: str
    fingerprint: str
    labels: tuple[str, ...]
    subjects: Indices
    subject_count: int
    pairings: dict[str, Pairing]
    parts: dict[tuple[str, str], Pairing]
    embeddings: dict[str, Floats]
    failures: dict[str, int]
    notes: list[str] = field(default_factory=list)
    pairs: ListedPairs | None = None

    def comparison(self, pairing: Pairing) -> tuple[Comparison, Choice, Choice]:
        """The pairing as embeddings, with the choices in the order of its sides."""
        reference, left, order = self._side(pairing.reference)
        if pairing.symmetric:
            return Comparison(reference, reference, True), left, left
        probe, right, other = self._side(pairing.probe)
        listed = None
        if pairing.listed is not None:  # argsort inverts an order
            listed = np.argsort(order)[pairing.listed[0]], np.argsort(other)[pairing.listed[1]]
        return Comparison(reference, probe, False, listed, both=on_both_sides(left, right)), left, right

    def _side(self, choice: Choice) -> tuple[Side, Choice, Indices]:
        parts = {str(name): choice.names == name for name in np.unique(choice.names)}
        found = [(mask, self.embeddings[name]) for name, mask in parts.items()]
        embeddings = np.empty((len(choice.rows), found[0][1].shape[1] if found else 0), np.float32)
        for mask, values in found:
            embeddings[mask] = values[choice.rows[mask]]
        side, order = scores.side(embeddings, self.subjects[choice.rows], choice.rows)
        return side, Choice(choice.rows[order], choice.names[order]), order


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
        advice = "build it with --test-identities above 0" if split == "test" else "choose another --split"
        raise MaskgenError(f"the data set {dataset} has no photographs in {split}; {advice}.")
    index = row_index(dataset, split)
    listed: ListedPairs | None = None
    used: Indices | slice = slice(None)
    fingerprint = dataset.content
    if settings.pairs is not None:
        listed = listed_pairs.find(read_pairs(settings.pairs), dataset, split, index.keys)
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

    def compared(scenario: str, masks: Sequence[str] | None = None, color: str | None = None) -> Pairing:
        found = pairing(scenario, photographs, settings.seed, masks, color)
        return only_listed(found, listed.first, listed.second) if listed else found

    pairings = {scenario: compared(scenario) for scenario in measured(wanted)}
    parts = {
        (scenario, group): compared(scenario, masks)
        for group, masks in (groups(photographs).items() if settings.breakdown else ())
        for scenario in wanted
        if any(MASKED[scenario])
    } | {
        (scenario, f"color_{color}"): compared(scenario, color=color)
        for color in (colors_of(photographs) if settings.breakdown else ())
        for scenario in wanted
        if any(MASKED[scenario])
    }
    names = names_in([*pairings.values(), *parts.values()])
    planned(len(index) * len(missing(dataset, model.backbone, split, names, settings.cache)))
    features = embed_rows(dataset, model.backbone, split, names, settings.cache, settings.workers, progress)
    notes = listed.notes if listed else _singles(np.bincount(subjects))
    notes += _seen([str(name) for name in identities], model)
    if len(identities) < MIN_SUBJECTS:
        notes.append(f"{len(identities)} subjects are too few for intervals, which need {MIN_SUBJECTS}.")
    return Material(
        str(dataset),
        fingerprint,
        tuple(str(key) for key in photographs.keys),
        subjects,
        len(identities),
        pairings,
        parts,
        {name: model.project(features[name][used], masked=name != UNMASKED) for name in names},
        listed.failures if listed else _failures(dataset, split),
        notes + damage.told(dataset),
        listed,
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
    features, usable, failures = _protocol_features(whole, model, settings, progress)
    protocol = restricted(whole, usable)
    embeddings = model.project(features[usable], protocol.masked)
    found = {scenario: protocol_pairing(scenario, protocol) for scenario in measured(wanted)}
    pairings = {scenario: pairing for scenario, pairing in found.items() if pairing is not None}
    notes = [f"{path} has no pictures for {scenario}." for scenario in found if scenario not in pairings]
    notes += single_notes(protocol) + (column_notes(protocol) if settings.breakdown else [])
    notes += _seen(protocol.names, model)
    return Material(
        str(path),
        files.sha256(path),
        protocol.labels,
        protocol.subjects,
        len(protocol.names),
        pairings,
        protocol_parts(protocol, wanted) if settings.breakdown else {},
        dict.fromkeys((UNMASKED, RANDOM), embeddings),
        failures,
        notes,
    )


def _protocol_features(
    protocol: Protocol, model: Model, settings: EvalSettings, progress: Progress
) -> tuple[Floats, npt.NDArray[np.bool_], dict[str, int]]:
    """Features float32 (N, D), whether each picture was usable (N,), and how many failed by reason."""
    landmarker = (
        maskgen.Landmarker(
            settings.predictor,
            face=settings.face,
            detector=settings.detector,
            detector_model=settings.detector_model,
        )
        if model.backbone.aligns_faces
        else None
    )
    features = np.zeros((len(protocol.paths), model.backbone.dim), np.float32)
    usable = np.zeros(len(features), bool)
    failures: Counter[str] = Counter()
    for start in range(0, len(protocol.paths), CHUNK):
        rows, images, landmarks = [], [], []
        for row, path in enumerate(protocol.paths[start : start + CHUNK], start):
            try:
                image = decode(path.read_bytes())
            except Rejected as rejected:
                failures[rejected.reason] += 1
                continue
            except OSError as error:
                raise UsageError(f"cannot read {path} of the protocol table: {error.strerror}; check it.") from None
            [face] = landmarker.find_all([image], [None]) if landmarker else [None]
            if isinstance(face, Rejected):
                failures[face.reason] += 1
                continue
            rows.append(row)
            images.append(image)
            landmarks.append(face.landmarks if face else np.zeros((68, 2), np.float32))
        if rows:
            usable[rows] = True
            features[rows] = model.backbone.features(images, np.stack(landmarks))
        progress(min(CHUNK, len(protocol.paths) - start))
    return features, usable, dict(sorted(failures.items()))


def _failures(dataset: maskgen.Dataset, split: str) -> dict[str, int]:
    """The rejected photographs of the split by reason, and the rows that are left out since they are broken."""
    rejects = {str(reason): int(count) for reason, count in dataset.info["counts"][split]["rejects"].items()}
    left_out = {DAMAGED_ROW: rows} if (rows := sum(map(len, dataset.left_out.values()))) else {}
    return dict(sorted((rejects | left_out).items()))


def _seen(names: Sequence[str], model: Model) -> list[str]:
    """A note if the model is known to have been trained on people of these names."""
    seen = len(model.identities.intersection(names))
    if not seen:
        return []
    known = f"{seen} of {len(names)} identities have names that the model was trained on"
    return [f"{known}: if they are the same people, this measures what was memorised in training."]


def _singles(counts: Indices) -> list[str]:
    single = int((counts == 1).sum())
    if not single:
        return []
    have = "identity has" if single == 1 else "identities have"
    return [f"{single} of {len(counts)} {have} only one photograph, which is compared in impostor pairs alone."]
