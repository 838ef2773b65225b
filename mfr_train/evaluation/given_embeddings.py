"""`--embeddings`: the pictures of a file of embeddings, in the same scenarios as those of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from maskgen.errors import UsageError
from maskgen.imaging.variants import VARIANTS
from maskgen.storage import files

from . import listed_pairs
from .bootstrap import MIN_SUBJECTS
from .embeddings_file import EmbeddingTable, read_embeddings
from .inputs import singles
from .listed_pairs import Catalogue, ListedPairs
from .material import Embedded, Material
from .pair_list import read_pairs
from .planned import Planned
from .scenarios import MASKED, RANDOM, UNMASKED, Choice, Indices, Pairing, draw, groups, measured, only_listed

if TYPE_CHECKING:
    from .eval_settings import EvalSettings

MAX_VARIANTS = 100
"""Of a breakdown: each one is measured by itself."""

ROLES = ("reference", "probe")


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a file, in the order of photograph and name.

    `photographs` int (n,) are positions in `keys` and `subjects`, `names` (n,) index `known`, whose first is the
    unmasked picture. `roles` int (n,) index `ROLES`; None if every picture is both. `rows` (n,) are those of the file.
    """

    keys: tuple[str, ...]
    subjects: Indices
    photographs: Indices
    names: Indices
    known: tuple[str, ...]
    roles: Indices | None
    rows: Indices


def from_embeddings(path: Path, settings: EvalSettings, wanted: Sequence[str]) -> Material:
    """The pictures of a file of embeddings. Nothing is embedded.

    Raises `UsageError` for a file that cannot be read, rows that contradict each other, a single subject, or if it has
    no pictures for the `wanted` scenarios.
    """
    table = read_embeddings(path)
    pictures = _pictures(table)
    notes, fingerprint = [], files.sha256(path)
    listed: ListedPairs | None = None
    if settings.pairs is not None:
        listed = _listed(settings.pairs, table, pictures)
        pictures = _only(pictures, listed.rows)
        fingerprint += f" {files.sha256(settings.pairs)}"
        if table.roles is not None:
            notes.append(f"The pairs are those of {settings.pairs}: the roles of {path} are not used.")
    subjects, people = np.unique(pictures.subjects, return_inverse=True)
    names = tuple(table.subjects.values[subject] for subject in subjects)
    if len(names) < 2:
        raise UsageError(f"{path} has one subject, {names[0]}, and so no impostor pairs; give two or more.")
    found = {scenario: _pairing(scenario, pictures, settings.seed, listed) for scenario in measured(wanted)}
    pairings = {scenario: pairing for scenario, pairing in found.items() if pairing is not None}
    if not set(pairings).intersection(wanted):
        raise UsageError(f"{path} has no pictures for {settings.scenario}; choose another --scenario.")
    parts = _parts(path, settings, pictures, [scenario for scenario in wanted if scenario in pairings], listed)
    notes += _lengths(table) + [f"{path} has no pictures for {scenario}." for scenario in found if not found[scenario]]
    notes += _not_listed(pairings, listed)
    notes += listed.notes if listed else singles(np.bincount(people))
    if len(names) < MIN_SUBJECTS:
        notes.append(f"{len(names)} subjects are too few for intervals, which need {MIN_SUBJECTS}.")
    return Material(
        str(path),
        fingerprint,
        pictures.keys,
        people,
        names,
        pairings,
        parts,
        {name: _embedded(table, pictures, number) for number, name in enumerate(pictures.known)},
        listed.failures if listed else (),
        notes,
        listed,
    )


def _pictures(table: EmbeddingTable) -> _Pictures:
    """What the rows are pictures of, checked: one subject for an image, and each picture once."""
    path, rows = table.path, np.arange(len(table))
    photographs = rows if table.images is None else table.images.codes
    count = len(rows) if table.images is None else len(table.images.values)
    first = np.full(count, len(rows))
    np.minimum.at(first, photographs, rows)  # the first row of each photograph
    subjects = table.subjects.codes
    if (other := subjects != subjects[first[photographs]]).any():
        row = int(np.argmax(other))
        raise UsageError(
            f"rows {first[photographs[row]]} and {row} of {path} give the image {_image(table, row)} two subjects; "
            "correct one."
        )
    roles = _roles(table)
    known, names = _names(table)
    order = np.lexsort((rows, names, photographs))
    same = (np.diff(photographs[order]) == 0) & (np.diff(names[order]) == 0)
    if same.any():
        one, two = order[int(np.argmax(same)) :][:2]
        what = "the unmasked picture" if not names[one] else f"the picture {known[names[one]]}"
        advice = "leave out the column role if every picture is both" if roles is not None else "leave one out"
        raise UsageError(f"rows {one} and {two} of {path} both hold {what} of {_image(table, int(one))}; {advice}.")
    keys = tuple(f"row {row}" for row in rows) if table.images is None else table.images.values
    return _Pictures(
        keys,
        subjects[first],
        photographs[order],
        names[order],
        known,
        None if roles is None else roles[order],
        order,
    )


def _image(table: EmbeddingTable, row: int) -> str:
    return repr(table.images[row]) if table.images else f"row {row}"


def _roles(table: EmbeddingTable) -> Indices | None:
    if table.roles is None:
        return None
    places = np.array([ROLES.index(role) if role in ROLES else -1 for role in table.roles.values], np.intp)
    found: Indices = places[table.roles.codes]
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise UsageError(f"row {row} of {table.path} has role {table.roles[row]!r}; give reference or probe.")
    return found


def _names(table: EmbeddingTable) -> tuple[tuple[str, ...], Indices]:
    """The names of pictures, the unmasked one first, and that of each row as a position: the variant, or `masked`."""
    if table.variants is None:
        return (UNMASKED, RANDOM), table.masked.astype(np.intp)
    worn = np.unique(table.variants.codes[table.masked])
    variants = {table.variants.values[code] or RANDOM: code for code in worn}
    if UNMASKED in variants:
        row = int(np.argmax(table.masked & (table.variants.codes == variants[UNMASKED])))
        raise UsageError(f"row {row} of {table.path} is masked and has the variant {UNMASKED!r}; correct one.")
    if RANDOM in variants and "" in table.variants.values and RANDOM in table.variants.values:
        raise UsageError(f"{table.path} has masked pictures of the variant {RANDOM!r} and of none; give both one name.")
    ordered = sorted(variants, key=lambda name: (VARIANTS.index(name) if name in VARIANTS else len(VARIANTS), name))
    places = np.zeros(len(table.variants.values), np.intp)
    places[[variants[name] for name in ordered]] = np.arange(1, len(ordered) + 1)
    return (UNMASKED, *ordered), np.where(table.masked, places[table.variants.codes], 0)


def _listed(path: Path, table: EmbeddingTable, pictures: _Pictures) -> ListedPairs:
    """The pairs of a list among the images of the file."""
    if table.images is None:
        raise UsageError(f"{table.path} has no column 'image', by which --pairs names its pictures; add it.")
    people = [table.subjects.values[subject] for subject in pictures.subjects]
    among = [Planned(key, key, who, "") for key, who in zip(pictures.keys, people, strict=True)]
    rows = {key: row for row, key in enumerate(pictures.keys)}
    advice = f"its photographs must be images of {table.path}"
    return listed_pairs.find(read_pairs(path), Catalogue(str(table.path), among, rows, {}, "", advice))


def _only(pictures: _Pictures, kept: Indices) -> _Pictures:
    """The pictures of some photographs, int (m,) ascending, which are counted anew."""
    there = np.isin(pictures.photographs, kept)
    return replace(
        pictures,
        keys=tuple(pictures.keys[row] for row in kept),
        subjects=pictures.subjects[kept],
        photographs=np.searchsorted(kept, pictures.photographs[there]),
        names=pictures.names[there],
        roles=None,
        rows=pictures.rows[there],
    )


def _pairing(
    scenario: str, pictures: _Pictures, seed: int, listed: ListedPairs | None, masks: Sequence[str] | None = None
) -> Pairing | None:
    """The pictures of a scenario; with `masks`, masked ones of these variants alone. None if a side has none."""
    allowed = np.array([number > 0 and (masks is None or name in masks) for number, name in enumerate(pictures.known)])
    sides = []
    for role, masked in enumerate(MASKED[scenario]):
        chosen = allowed[pictures.names] if masked else pictures.names == 0
        if pictures.roles is not None:
            chosen &= pictures.roles == role
        elif masked:
            chosen = _one_each(pictures, chosen, seed)
        if not chosen.any():
            return None
        names = np.array(pictures.known)[pictures.names[chosen]]
        sides.append(Choice(pictures.photographs[chosen], names))
    same = pictures.roles is None and MASKED[scenario][0] == MASKED[scenario][1]
    found = Pairing(sides[0], sides[0] if same else sides[1], symmetric=same)
    return only_listed(found, listed.first, listed.second) if listed else found


def _one_each(pictures: _Pictures, chosen: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.bool_]:
    """One of the chosen pictures of each photograph: drawn as for a data set, by seed and key."""
    places = np.flatnonzero(chosen)
    photographs, first, counts = np.unique(pictures.photographs[places], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    first[several] += np.array([draw(pictures.keys[photographs[n]], seed, int(counts[n])) for n in several], np.intp)
    drawn = np.zeros(len(chosen), bool)
    drawn[places[first]] = True
    return drawn


def _parts(
    path: Path, settings: EvalSettings, pictures: _Pictures, wanted: Sequence[str], listed: ListedPairs | None
) -> dict[tuple[str, str], Pairing]:
    variants = [name for name in pictures.known[1:] if name != RANDOM]
    if not settings.breakdown or not variants:
        return {}
    if len(variants) > MAX_VARIANTS:
        raise UsageError(
            f"{path} has {len(variants):,} variants, and a breakdown has at most {MAX_VARIANTS}; give --no-breakdown."
        )
    parts = {}
    for group, masks in groups(variants).items():
        for scenario in wanted:
            if any(MASKED[scenario]) and (found := _pairing(scenario, pictures, settings.seed, listed, masks)):
                parts[scenario, group] = found
    return parts


def _embedded(table: EmbeddingTable, pictures: _Pictures, number: int) -> Embedded:
    there = pictures.names == number
    return Embedded(pictures.photographs[there], table.embeddings[pictures.rows[there]])


def _lengths(table: EmbeddingTable) -> list[str]:
    low, high = table.lengths
    if abs(low - 1) < 1e-3 and abs(high - 1) < 1e-3:
        return []
    return [f"The embeddings had lengths from {low:.4g} to {high:.4g} and were scaled to length 1."]


def _not_listed(pairings: dict[str, Pairing], listed: ListedPairs | None) -> list[str]:
    """Notes about listed pairs whose images lack the picture that a scenario compares."""
    if listed is None:
        return []
    absent = {name: len(listed.first) - len(found.listed[0]) for name, found in pairings.items() if found.listed}
    return [
        f"{count:,} of the {len(listed.first):,} pairs are not compared in {scenario}: the file has no such picture of "
        "their images."
        for scenario, count in absent.items()
        if count
    ]
