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

    def at(self, positions: Indices) -> Choice:
        """The pictures at these positions."""
        return Choice(self.rows[positions], self.names[positions])


@dataclass(frozen=True)
class Pairing:
    """The references and probes of a scenario; `symmetric` if both are the same pictures.

    `listed` are the pairs that are compared, as positions int (n,) on each side; None for all pairs. `in_list`, int
    (n,), are their places in the list. `lost_genuine` counts the genuine pairs that are not among them because a
    photograph could not be used.
    """

    reference: Choice
    probe: Choice
    symmetric: bool
    listed: tuple[Indices, Indices] | None = None
    lost_genuine: int = 0
    in_list: Indices | None = None


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
    return Pairing(pairing.reference, pairing.probe, symmetric=False, listed=listed, in_list=np.flatnonzero(there))


def measured(wanted: Sequence[str]) -> list[str]:
    """The scenarios to measure for the wanted ones: always with U-U, whose thresholds are needed."""
    return [scenario for scenario in MASKED if scenario in wanted or scenario == "U-U"]


def pictures_in(pairings: Iterable[Pairing]) -> dict[str, Indices]:
    """The pictures that are compared, the unmasked one first: by name, the photographs int (n,) ascending."""
    found: dict[str, list[Indices]] = {}
    for pairing in pairings:
        for number, side in enumerate((pairing.reference, pairing.probe)):
            used = side if pairing.listed is None else side.at(np.unique(pairing.listed[number]))
            for name in np.unique(used.names):
                found.setdefault(str(name), []).append(used.rows[used.names == name])
    ordered = sorted(found, key=lambda name: (name != UNMASKED, name))
    return {name: np.unique(np.concatenate(found[name])) for name in ordered}


def masked_choice(photographs: Photographs, seed: int, masks: Sequence[str] | None = None) -> Choice:
    """One masked picture of each photograph; with `masks`, of those variants only."""
    everyone = np.arange(len(photographs))
    if photographs.variants == (RANDOM,):
        chosen = everyone if masks is None else np.flatnonzero(np.isin(photographs.drawn, list(masks)))
        return Choice(chosen, np.full(len(chosen), RANDOM))
    names = photographs.variants if masks is None else tuple(name for name in photographs.variants if name in masks)
    if not names:
        return Choice(everyone[:0], np.empty(0, str))
    return Choice(everyone, np.array([names[draw(key, seed, len(names))] for key in photographs.keys], str))


def variants_worn(photographs: Photographs) -> tuple[str, ...]:
    """The variants that the masks have."""
    if photographs.variants == (RANDOM,):
        return tuple(sorted({str(name) for name in photographs.drawn}))
    return photographs.variants


def groups(variants: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The breakdown: each variant, and each shape and coverage that they have, by its name."""
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
    _, names = np.unique(np.concatenate([reference.names, probe.names]), return_inverse=True)
    size = int(names.max(initial=0)) + 1
    left, right = np.split(np.concatenate([reference.rows, probe.rows]) * size + names, [len(reference.rows)])
    both: Indices = np.unique(np.intersect1d(left, right) // size)
    return both


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


def draw(key: str, seed: int, count: int) -> int:
    """A number below `count` that depends on the seed and the photograph alone."""
    digest = hashlib.blake2b(f"eval/{seed}/{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count
