"""Lambda, the weight of MSE, chosen on training identities alone: half of them train and the other half is measured,
then the reverse. No picture of the split that the ablation measures is used."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from maskgen.errors import UsageError
from maskgen.progress import part

from ..comparison import paired
from ..defaults import EXACT_PAIRS
from ..evaluation import bootstrap, measure, metrics, scenarios
from ..evaluation.counts import Counts
from ..evaluation.material import Embedded, Material
from ..evaluation.scenarios import UNMASKED, Indices, Pairing, Photographs
from ..networks.backbone import Floats
from ..networks.run_files import CHECKPOINTS, disk_errors
from ..training import checkpoint, embed
from ..training.embed import Pictures
from ..training.train import Frozen, checked, frozen
from ..training.train_settings import TrainSettings, compared
from .kinds import SCENARIO

MOST_PHOTOGRAPHS = 10_000
"""How many photographs of each half are measured: people are taken until there are as many."""

FEWEST_PEOPLE = 4
"""Two in each half, since a triplet needs two."""


@dataclass(frozen=True)
class Choice:
    """How lambda was chosen.

    Attributes:
        weight: The chosen lambda.
        figure: The figure that it was chosen by.
        values: For each candidate, the figure of U-M on each half, by a layer that was trained on the other half.
        identities: How many training identities were cut into halves.
        photographs: How many of their photographs were measured.
        genuine: How many pairs of the same person, in both halves together.
        impostor: How many pairs of two people.
    """

    weight: float
    figure: str
    values: dict[float, tuple[float, float]]
    identities: int
    photographs: int
    genuine: int
    impostor: int

    def sentence(self) -> str:
        """What was done, for a reader of the table."""
        return (
            f"Lambda {self.weight:g} was chosen by {self.figure.upper()} of {SCENARIO} on the {self.identities:,} "
            f"training identities, half of whom were held out in turn: {self.photographs:,} photographs, "
            f"{self.genuine:,} genuine and {self.impostor:,} impostor pairs. No test identity was used."
        )

    def as_json(self) -> dict[str, Any]:
        """What ablation.json holds of it."""
        candidates = [
            {"weight": weight, "mean": float(np.mean(halves)), "halves": list(halves)}
            for weight, halves in self.values.items()
        ]
        counts = {name: getattr(self, name) for name in ("identities", "photographs", "genuine", "impostor")}
        return {"weight": self.weight, "figure": self.figure, "candidates": candidates, **counts}


@dataclass(frozen=True)
class Half:
    """The photographs of half of the people: rows by split, and those that are measured."""

    rows: dict[str, Indices]
    measured: dict[str, Indices]


def choose(given: TrainSettings, weights: Sequence[float], folder: Path, figure: str, seed: int) -> Choice:
    """Trains stage 2 with each weight of MSE on each half, and returns the weight with the best figure.

    `seed` draws the halves and the masks that are measured. The trainings lie in `folder`, where the same call resumes.
    Raises `UsageError` if the training identities are too few to be cut into halves.
    """
    full, dataset = checked(given)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return chosen_on(frozen(full, dataset, folder), dataset.content, full, weights, folder, figure, seed)


def chosen_on(
    there: Frozen, content: str, full: TrainSettings, weights: Sequence[float], folder: Path, figure: str, seed: int
) -> Choice:
    """The same on features that are there; `content` is the hash of their data set."""
    identities = {split: rows.identities for split, rows in there.rows.items()}
    halves = cut_in_halves(identities, seed)
    compared_pairs = [_compared(half, full, there, seed) for half in halves]
    values: dict[float, tuple[float, float]] = {}
    for weight in weights:
        found = []
        for number, half in enumerate(halves):
            run = folder / f"{weight:g}-{full.seed}-half-{number}"
            with part(f"lambda {weight:g}, half {number + 1} of 2"):
                layer = _trained(replace(full, mse_weight=weight, out=run), run, half, content, there)
            found.append(bootstrap.plain(metrics.figures_of(compared_pairs[1 - number].counts(layer)))[figure])
        values[weight] = found[0], found[1]
    return Choice(
        best(values, figure),
        figure,
        values,
        identities=len(np.unique(np.concatenate(list(identities.values())))),
        photographs=sum(len(each.material.labels) for each in compared_pairs),
        genuine=sum(each.pairs[0] for each in compared_pairs),
        impostor=sum(each.pairs[1] for each in compared_pairs),
    )


def best(values: dict[float, tuple[float, float]], figure: str) -> float:
    """The weight with the best mean over the halves; of equal ones the smallest."""
    sign = -1 if figure in paired.HIGHER_IS_BETTER else 1
    return min(values, key=lambda weight: (sign * sum(values[weight]), weight))


def cut_in_halves(identities: dict[str, npt.NDArray[np.str_]], seed: int, most: int = MOST_PHOTOGRAPHS) -> list[Half]:
    """The people of all splits in two halves, by a hash of the seed and their names.

    `identities` (N,) are those of the photographs of each split. Raises `UsageError` for fewer than four people.
    """
    names, counts = np.unique(np.concatenate(list(identities.values())), return_counts=True)
    if len(names) < FEWEST_PEOPLE:
        raise UsageError(
            f"--choose-mse-weight holds half of the training identities out, and there are {len(names)}; it needs "
            f"{FEWEST_PEOPLE}: build a data set with fewer --test-identities, or leave it out."
        )
    order = sorted(range(len(names)), key=lambda place: hashlib.sha256(f"{seed} {names[place]}".encode()).digest())
    halves = []
    for start in (0, 1):
        people = np.array(order[start::2])
        enough = np.cumsum(counts[people]) - counts[people] < most
        halves.append(Half(_rows_of(names[people], identities), _rows_of(names[people[enough]], identities)))
    return halves


def _rows_of(names: npt.NDArray[np.str_], identities: dict[str, npt.NDArray[np.str_]]) -> dict[str, Indices]:
    return {split: np.flatnonzero(np.isin(found, names)) for split, found in identities.items()}


def _trained(full: TrainSettings, run: Path, half: Half, content: str, there: Frozen) -> nn.Module:
    """The layer that was trained on half of the people; if it was trained before, it is read from its checkpoint."""
    with disk_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    pictures = {split: _restricted(there, split, rows) for split, rows in half.rows.items()}
    people = "\n".join(sorted(set(there.rows["train"].identities[half.rows["train"]].tolist())))
    backbone = checkpoint.discard_unless(run / CHECKPOINTS, "embed", "backbone", there.backbone.fingerprints)
    facts = {
        "stage": "embed",
        "dataset": content,
        "backbone": backbone,
        "people": hashlib.sha256(people.encode()).hexdigest(),
        "settings": compared(full),
    }
    return embed.train_embedding(full, pictures["train"], pictures["val"], there.backbone.dim, run, facts)


def _restricted(there: Frozen, split: str, rows: Indices) -> Pictures:
    """The pictures of some rows alone."""
    whole = embed.cached(there.features[split], there.rows[split].labels)
    return Pictures(whole.labels[rows], whole.variants, lambda chosen, pictures: whole.gather(rows[chosen], pictures))


@dataclass(frozen=True)
class _Compared:
    """The pairs of U-M of the people of a half, and the features of their pictures. `pairs` are the numbers of both
    kinds: of the same person, and of two."""

    material: Material
    pairing: Pairing
    features: dict[str, tuple[Indices, Floats]]
    pairs: tuple[int, int]

    def counts(self, layer: nn.Module) -> Counts:
        """Their scores, counted, if the layer gives the embeddings."""
        pictures = {name: Embedded(rows, _embedded(layer, found)) for name, (rows, found) in self.features.items()}
        comparison = replace(self.material, pictures=pictures).comparison(self.pairing)[0]
        units = bootstrap.units(len(self.material.names))
        return measure.counted(comparison, units, (), EXACT_PAIRS, False)[1]


def _compared(half: Half, full: TrainSettings, there: Frozen, seed: int) -> _Compared:
    rows = half.measured
    keys, identities, drawn = (
        np.concatenate([getattr(there.rows[split], name)[chosen] for split, chosen in rows.items()])
        for name in ("keys", "identities", "variants")
    )
    names, subjects = np.unique(identities, return_inverse=True)
    pairing = scenarios.pairing(SCENARIO, Photographs(keys, subjects, full.variants, drawn), seed)
    pairs = scenarios.pair_counts(pairing, subjects)
    if not all(pairs):
        raise UsageError(
            "--choose-mse-weight compares two photographs of a person, and half of the training identities have one "
            "each; build a data set of more photographs, or leave it out."
        )
    features = {}
    for name, wanted in scenarios.pictures_in([pairing]).items():
        number = (UNMASKED, *full.variants).index(name)
        found = np.concatenate([there.features[split][number][chosen] for split, chosen in rows.items()])
        features[name] = wanted, found[wanted]
    material = Material(SCENARIO, "", tuple(map(str, keys)), subjects, tuple(map(str, names)), {}, {}, {})
    return _Compared(material, pairing, features, pairs)


@torch.inference_mode()
def _embedded(layer: nn.Module, features: Floats) -> Floats:
    found: Floats = functional.normalize(layer(torch.from_numpy(features))).numpy()
    return found
