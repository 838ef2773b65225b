"""What is compared: the test photographs of a data set, or the pictures of a protocol table, as embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

import maskgen
from maskgen.decode import Rejected, decode
from maskgen.errors import MaskgenError, UsageError

from . import scores
from .backbones import CHUNK, Floats
from .bootstrap import FEWEST
from .features import embed_rows, row_index
from .models import Model
from .scenarios import (
    MASKED,
    Choice,
    Indices,
    Pairing,
    Photographs,
    Protocol,
    groups,
    pairing,
    protocol_pairing,
    read_protocol,
)
from .scores import Comparison, Side

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Material:
    """Photographs (N,) with their subjects int (N,), below `subject_count`, and labels for people to read.

    `pairings` are the scenarios that can be measured, `parts` those of the breakdown by (scenario, group).
    `embedded` gives the embeddings of every photograph's picture of one name, float32 (N, d). `failures` counts the
    photographs that could not be used, by reason.
    """

    name: str
    labels: tuple[str, ...]
    subjects: Indices
    subject_count: int
    pairings: dict[str, Pairing]
    parts: dict[tuple[str, str], Pairing]
    embedded: Callable[[str], Floats]
    failures: dict[str, int]
    notes: list[str] = field(default_factory=list)

    def comparison(self, pairing: Pairing) -> tuple[Comparison, Choice, Choice]:
        """The pairing as embeddings, with the choices in the order of its sides."""
        reference, left = self._side(pairing.reference)
        if pairing.symmetric:
            return Comparison(reference, reference, True), left, left
        probe, right = self._side(pairing.probe)
        return Comparison(reference, probe, False), left, right

    def _side(self, choice: Choice) -> tuple[Side, Choice]:
        parts = {str(name): choice.names == name for name in np.unique(choice.names)}
        found = [(mask, self.embedded(name)) for name, mask in parts.items()]
        embeddings = np.empty((len(choice.rows), found[0][1].shape[1] if found else 0), np.float32)
        for mask, values in found:
            embeddings[mask] = values[choice.rows[mask]]
        side, order = scores.side(embeddings, self.subjects[choice.rows], choice.rows)
        return side, Choice(choice.rows[order], choice.names[order])


def from_dataset(
    path: str, split: str, seed: int, model: Model, cache: Path | None, workers: int | None, progress: Progress | None
) -> Material:
    """The photographs of a split. Pictures are embedded when they are first asked for, through the feature cache.

    Raises `UsageError` or `MaskgenError` for no data set, no such split, or fewer than two identities.
    """
    dataset = maskgen.open(path)
    if not dataset.count(split):
        advice = "build it with --test-identities above 0" if split == "test" else "choose another --split"
        raise MaskgenError(f"the data set {dataset} has no photographs in {split}; {advice}.")
    index = row_index(dataset, split)
    identities, subjects = np.unique(index.identities, return_inverse=True)
    if len(identities) < 2:
        raise MaskgenError(
            f"the {split} split of {dataset} has one identity, {identities[0]}, and so no impostor pairs; "
            "build it from more identities or with a larger --test-identities."
        )
    photographs = Photographs(index.keys, subjects, dataset.variants, index.variants)
    kept: dict[str, Floats] = {}

    def embedded(name: str) -> Floats:
        if name not in kept:
            features = embed_rows(dataset, model.backbone, split, (name,), cache, workers, progress)[name]
            kept[name] = model.project(features)
        return kept[name]

    notes = _singles(np.bincount(subjects))
    if len(identities) < FEWEST:
        notes.append(f"{len(identities)} subjects are too few for intervals, which need {FEWEST}.")
    if split != "test":
        notes.append(f"The identities of {split} are those of the training: this measures what was learned by heart.")
    parts = {}
    for group, masks in groups(photographs).items():
        for scenario in ("U-M", "M-M"):
            parts[scenario, group] = pairing(scenario, photographs, seed, masks)
    return Material(
        str(dataset),
        tuple(str(key) for key in index.keys),
        subjects,
        len(identities),
        {scenario: pairing(scenario, photographs, seed) for scenario in MASKED},
        parts,
        embedded,
        _rejects(dataset, split),
        notes,
    )


def from_protocol(path: Path, model: Model, predictor: Path | None, progress: Progress | None) -> Material:
    """The pictures of a protocol table as they are; only a backbone that aligns faces looks for landmarks in them.

    Pictures that cannot be read, or have no face to align, are failures: they take part in no comparison.
    """
    protocol = read_protocol(path)
    features, usable, failures = _protocol_features(protocol, model, predictor, progress)
    embeddings = np.zeros((len(features), model.dim), np.float32)
    embeddings[usable] = model.project(features[usable])
    found = {scenario: protocol_pairing(scenario, protocol, usable) for scenario in MASKED}
    pairings = {scenario: pairing for scenario, pairing in found.items() if pairing is not None}
    notes = [f"{path} has no pictures for {scenario}." for scenario in found if scenario not in pairings]
    return Material(
        str(path),
        tuple(str(picture.relative_to(path.parent)) for picture in protocol.paths),
        protocol.subjects,
        len(protocol.names),
        pairings,
        {},
        lambda name: embeddings,
        failures,
        notes,
    )


def _protocol_features(
    protocol: Protocol, model: Model, predictor: Path | None, progress: Progress | None
) -> tuple[Floats, npt.NDArray[np.bool_], dict[str, int]]:
    """Features float32 (N, D), whether each picture was usable (N,), and how many failed by reason."""
    landmarker = maskgen.Landmarker(predictor) if model.backbone.input_size is None else None
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
            face = landmarker.find(image) if landmarker else None
            if landmarker and face is None:
                failures["no_face"] += 1
                continue
            rows.append(row)
            images.append(image)
            landmarks.append(face.landmarks if face else np.zeros((68, 2), np.float32))
        if rows:
            usable[rows] = True
            features[rows] = model.backbone.features(images, np.stack(landmarks))
        if progress:
            progress(min(CHUNK, len(protocol.paths) - start))
    return features, usable, dict(sorted(failures.items()))


def _rejects(dataset: maskgen.Dataset, split: str) -> dict[str, int]:
    """The photographs of the split that the data set could not use, by reason."""
    try:
        with dataset.storage.open("rejects.parquet") as file:
            table = pq.read_table(file, columns=["split", "reason"]).to_pylist()
    except (OSError, ValueError) as error:
        raise MaskgenError(f"{dataset}/rejects.parquet cannot be read ({error}); run `maskgen verify`.") from None
    return dict(sorted(Counter(str(row["reason"]) for row in table if row["split"] == split).items()))


def _singles(counts: Indices) -> list[str]:
    single = int((counts == 1).sum())
    if not single:
        return []
    said = "identity has" if single == 1 else "identities have"
    return [f"{single} of {len(counts)} {said} one photograph only: it takes part in impostor pairs alone."]
