"""What is compared: photographs and their subjects, the pictures of each scenario, and their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..networks.backbone import Floats
from . import scores
from .failures import Failure
from .listed_pairs import ListedPairs
from .scenarios import Choice, Indices, Pairing, on_both_sides
from .scores import Comparison, Side


@dataclass(frozen=True)
class Embedded:
    """The embeddings, float32 (n, d), of one picture of the photographs `rows`, int (n,) ascending."""

    rows: Indices
    values: Floats

    def of(self, rows: Indices) -> Floats:
        """The embeddings of these photographs, which must be among its own."""
        return self.values[np.searchsorted(self.rows, rows)]


@dataclass(frozen=True)
class Material:
    """Photographs (N,) with their subjects int (N,), positions in `names`, and labels for people to read.

    `pairings` are the scenarios that are measured, `parts` those of the breakdown by (scenario, group).
    `pictures` holds, by the name of a picture, its embeddings of the photographs that need it. `failed` are the
    photographs that could not be used; they are not among the N. `fingerprint` is a hash of the data set or
    table. `pairs` are those of a list, if only they are compared.
    """

    name: str
    fingerprint: str
    labels: tuple[str, ...]
    subjects: Indices
    names: tuple[str, ...]
    pairings: dict[str, Pairing]
    parts: dict[tuple[str, str], Pairing]
    pictures: dict[str, Embedded]
    failed: Sequence[Failure] = ()
    notes: list[str] = field(default_factory=list)
    pairs: ListedPairs | None = None

    def comparison(self, pairing: Pairing) -> tuple[Comparison, Choice, Choice]:
        """The pairing as embeddings, with the choices in the order of its sides."""
        if pairing.listed is not None:
            return self._listed(pairing, *pairing.listed)
        reference, left = self._side(pairing.reference)
        if pairing.symmetric:
            return Comparison(reference, reference, True), left, left
        probe, right = self._side(pairing.probe)
        return Comparison(reference, probe, False, both=on_both_sides(left, right)), left, right

    def _listed(self, pairing: Pairing, first: Indices, second: Indices) -> tuple[Comparison, Choice, Choice]:
        """Only pictures that occur in listed pairs are on the sides: others have no embedding."""
        left, one = np.unique(first, return_inverse=True)
        right, other = np.unique(second, return_inverse=True)
        reference, of_reference = self._sorted(pairing.reference.at(left))
        probe, of_probe = self._sorted(pairing.probe.at(right))
        listed = np.argsort(of_reference)[one], np.argsort(of_probe)[other]  # argsort inverts an order
        return (
            Comparison(reference, probe, False, listed),
            pairing.reference.at(left[of_reference]),
            pairing.probe.at(right[of_probe]),
        )

    def _side(self, choice: Choice) -> tuple[Side, Choice]:
        side, order = self._sorted(choice)
        return side, choice.at(order)

    def _sorted(self, choice: Choice) -> tuple[Side, Indices]:
        parts = {str(name): choice.names == name for name in np.unique(choice.names)}
        found = [(mask, self.pictures[name].of(choice.rows[mask])) for name, mask in parts.items()]
        embeddings = np.empty((len(choice.rows), found[0][1].shape[1] if found else 0), np.float32)
        for mask, values in found:
            embeddings[mask] = values
        return scores.side(embeddings, self.subjects[choice.rows], choice.rows)
