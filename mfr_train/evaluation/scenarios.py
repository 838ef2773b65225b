"""Which pictures are compared: the scenarios U-U, U-M and M-M over test identities, or listed pairs.

U-M is an unmasked reference and a masked probe. In a built data set every photograph is a reference and a probe; it
is never compared with itself or with its own masked picture, which would measure the mask and not the face. In U-U and
M-M both sides are the same pictures, so each unordered pair counts once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..defaults import SCENARIOS

Indices = npt.NDArray[np.intp]
Names = npt.NDArray[np.str_]

MASKED = {name: (name[0] == "M", name[2] == "M") for name in SCENARIOS}
"""Whether the reference and the probe of each scenario wear masks."""

UNMASKED, RANDOM = "unmasked", "masked"
"""Names of pictures: the photograph itself; one in a mask, be it of `--variants random` or of a protocol table."""


@dataclass(frozen=True)
class Choice:
    """One picture of each chosen photograph: `rows` int (n,) are photographs, `names` (n,) say which picture."""

    rows: Indices
    names: Names


@dataclass(frozen=True)
class Pairing:
    """The references and probes of a scenario; `symmetric` if both are the same pictures.

    `listed` are the pairs that are compared, as positions int (n,) on each side; None for all pairs. `lost_genuine`
    counts the genuine pairs that are not among them because a photograph could not be used.
    """

    reference: Choice
    probe: Choice
    symmetric: bool
    listed: tuple[Indices, Indices] | None = None
    lost_genuine: int = 0


@dataclass(frozen=True)
class Photographs:
    """The test photographs of a data set: `keys` (N,), `subjects` int (N,), and the masks each one has.

    `variants` are the names of the masked pictures. With `--variants random` that is `masked` alone, and `drawn`
    (N,) names the variant that it shows; otherwise `drawn` holds empty strings. `colors` (N, number of variants) names
    the colour of each mask, None if there are no colours to tell apart.
    """

    keys: Names
    subjects: Indices
    variants: tuple[str, ...]
    drawn: Names
    colors: Names | None = None

    def __len__(self) -> int:
        return len(self.keys)


def pairing(
    scenario: str,
    photographs: Photographs,
    seed: int,
    masks: Sequence[str] | None = None,
    color: str | None = None,
) -> Pairing:
    """The pictures of a scenario. The mask of each photograph is drawn once by a hash of the seed and its key, as the
    paper draws one mask for each; `masks` restricts the draw to some variants, and `color` what was drawn to masks of
    that colour."""
    everyone = np.arange(len(photographs))
    plain = Choice(everyone, np.full(len(photographs), UNMASKED))
    worn = masked_choice(photographs, seed, masks)
    if color is not None:
        worn = _of_color(photographs, worn, color)
    reference, probe = (worn if masked else plain for masked in MASKED[scenario])
    return Pairing(reference, probe, symmetric=reference is probe)


def only_listed(pairing: Pairing, first: Indices, second: Indices) -> Pairing:
    """The pairs of photographs `first` and `second`, int (P,), whose pictures are in the pairing, in their order.

    The first picture is the reference, so in U-M the second one wears the mask.
    """
    left, right = pairing.reference.rows, pairing.probe.rows  # both ascend
    there = np.isin(first, left) & np.isin(second, right)
    listed = np.searchsorted(left, first[there]), np.searchsorted(right, second[there])
    return Pairing(pairing.reference, pairing.probe, symmetric=False, listed=listed)


def measured(wanted: Sequence[str]) -> list[str]:
    """The scenarios to measure for the wanted ones: always with U-U, whose thresholds are needed."""
    return [scenario for scenario in MASKED if scenario in wanted or scenario == "U-U"]


def names_in(pairings: Iterable[Pairing]) -> list[str]:
    """The names of all pictures that are compared, the unmasked one first."""
    sides = (side for pairing in pairings for side in (pairing.reference, pairing.probe))
    found = {str(name) for side in sides for name in np.unique(side.names)}
    return sorted(found, key=lambda name: (name != UNMASKED, name))


def masked_choice(photographs: Photographs, seed: int, masks: Sequence[str] | None = None) -> Choice:
    """One masked picture of each photograph; with `masks`, of those variants only."""
    everyone = np.arange(len(photographs))
    if photographs.variants == (RANDOM,):
        chosen = everyone if masks is None else np.flatnonzero(np.isin(photographs.drawn, list(masks)))
        return Choice(chosen, np.full(len(chosen), RANDOM))
    names = photographs.variants if masks is None else tuple(name for name in photographs.variants if name in masks)
    if not names:
        return Choice(everyone[:0], np.empty(0, str))
    return Choice(everyone, np.array([names[_draw(key, seed, len(names))] for key in photographs.keys], str))


def groups(photographs: Photographs) -> dict[str, tuple[str, ...]]:
    """The breakdown: each variant, each shape and each coverage that the masks have, by its name."""
    variants = photographs.variants
    if variants == (RANDOM,):
        variants = tuple(sorted({str(name) for name in photographs.drawn}))
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in variants}
    for part in ("wide", "round", "high", "medium", "low"):
        members = tuple(name for name in variants if part in name.split("_"))
        if members:
            found[part] = members
    return found


def colors_of(photographs: Photographs) -> list[str]:
    """The names of the colours of masks, sorted; none if all are the same."""
    found = [] if photographs.colors is None else [str(name) for name in np.unique(photographs.colors)]
    return found if len(found) > 1 else []


def _of_color(photographs: Photographs, choice: Choice, color: str) -> Choice:
    """The pictures of a choice of masked ones whose mask has a colour."""
    if photographs.colors is None:
        return Choice(choice.rows[:0], choice.names[:0])
    places = {name: place for place, name in enumerate(photographs.variants)}
    columns = np.array([places[str(name)] for name in choice.names], np.intp)
    kept = photographs.colors[choice.rows, columns] == color
    return Choice(choice.rows[kept], choice.names[kept])


def on_both_sides(reference: Choice, probe: Choice) -> Indices:
    """The photographs, int (n,), of which the same picture is a reference and a probe: a pair of two of them is one
    comparison, whichever of them is the reference."""
    rows, left, right = np.intersect1d(reference.rows, probe.rows, assume_unique=True, return_indices=True)
    return rows[reference.names[left] == probe.names[right]]


def pair_counts(pairing: Pairing, subjects: Indices) -> tuple[int, int]:
    """How many genuine and impostor pairs a pairing has; `subjects` int (N,) are those of all photographs."""
    reference, probe = pairing.reference.rows, pairing.probe.rows
    if pairing.listed is not None:
        same = subjects[reference[pairing.listed[0]]] == subjects[probe[pairing.listed[1]]]
        return int(same.sum()), int((~same).sum())
    itself = np.intersect1d(reference, probe)
    unordered = on_both_sides(pairing.reference, pairing.probe)
    size = int(subjects.max(initial=0)) + 1
    left, right, same, both = (
        np.bincount(subjects[rows], minlength=size).astype(object) for rows in (reference, probe, itself, unordered)
    )
    genuine = int(sum(left * right - same - both * (both - 1) // 2))
    every = len(reference) * len(probe) - len(itself) - len(unordered) * (len(unordered) - 1) // 2
    return genuine, every - genuine


def _draw(key: str, seed: int, count: int) -> int:
    """A number below `count` that depends on the seed and the photograph alone."""
    digest = hashlib.blake2b(f"eval/{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count
