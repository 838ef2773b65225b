"""The pairs of a list among the photographs that there are: which can be compared, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from maskgen import Dataset
from maskgen.errors import UsageError

from ..defaults import DAMAGED_ROW
from . import folds, planned
from .failures import Failure
from .pair_list import Name, Pair, PairCounts, PairList
from .planned import Planned
from .scenarios import Indices, Names

ABSENT, OTHER_SPLIT = "absent", "other_split"
"""Why a pair cannot be compared, beside the reasons of rejects: the data set, or the split, lacks a photograph."""


@dataclass(frozen=True)
class FailedPair:
    """A pair that could not be compared, the first photograph that is to blame, and the reason."""

    pair: Pair
    name: Name
    reason: str


@dataclass(frozen=True)
class ListedPairs:
    """The pairs of a list that can be compared.

    `rows` int (N,) are the rows of the split that occur in them, ascending. `first` and `second` int (P,) are the
    photographs of each pair as positions in `rows`, `genuine` bool (P,) its kind, `folds` int (P,) its fold of the
    `fold_count` of the list, counted from 0; None if the list is too short for folds. `failures` are the
    photographs of the list that cannot be used. `lost` are the variants of both photographs of each genuine pair that
    failed ones prevented: pairs of photographs that the split does not have are not among them.
    """

    rows: Indices
    first: Indices
    second: Indices
    genuine: npt.NDArray[np.bool_]
    folds: Indices | None
    fold_count: int
    failed: tuple[FailedPair, ...]
    failures: tuple[Failure, ...]
    counts: PairCounts
    notes: list[str]
    lost: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The photographs in which the names of a list are looked up.

    `rows` has the row of each usable one by its key, `rejected` the reasons of others. `split` is the measured one;
    `advice` ends the message if no pair can be compared.
    """

    name: str
    photographs: Sequence[Planned]
    rows: Mapping[str, int]
    rejected: Mapping[str, str]
    split: str
    advice: str


def catalogue(dataset: Dataset, split: str, keys: Names) -> Catalogue:
    """The photographs of a data set, whose `split` has rows of these keys (N,)."""
    rows = {str(key): row for row, key in enumerate(keys)}
    advice = f"its photographs must be in the split {split} of {dataset} (--test-identities 1 puts all into test)"
    return Catalogue(str(dataset), planned.photographs(dataset), rows, planned.rejects(dataset), split, advice)


def find(listed: PairList, among: Catalogue) -> ListedPairs:
    """Finds the photographs of a list.

    LFW's `name i` is the photograph of the identity `name` whose file is called `name_000i`; a table has sources or
    keys. Raises `UsageError` for a name that two photographs have, two names of one photograph in a pair, a pair that
    contradicts the identities, or if no genuine or no impostor pair can be compared.
    """
    known = _photographs(among, {name for pair in listed.pairs for name in (pair.first, pair.second)})
    reasons: dict[Name, str] = {}
    compared: list[tuple[int, int, int, bool]] = []
    failed: list[FailedPair] = []
    photographs: dict[Name, Failure] = {}
    lost: list[tuple[str, str]] = []
    for number, pair in enumerate(listed.pairs):
        places = [_place(listed, pair, name, known, among) for name in (pair.first, pair.second)]
        _check_identities(listed, pair, places, among)
        found = [
            reasons.setdefault(name, _reason(place, among))
            for name, place in zip((pair.first, pair.second), places, strict=True)
        ]
        if bad := [(name, why) for name, why in zip((pair.first, pair.second), found, strict=True) if why]:
            failed.append(FailedPair(pair, *bad[0]))
            for (name, why), place in zip(zip((pair.first, pair.second), found, strict=True), places, strict=True):
                if why:
                    photographs[name] = _failure(name, place, why)
            if pair.genuine and not {ABSENT, OTHER_SPLIT}.intersection(found):
                first_place, second_place = (place for place in places if place)
                lost.append((first_place.variant, second_place.variant))
        else:
            first, second = (among.rows[place.key] for place in places if place)
            compared.append((number, first, second, pair.genuine))
    kinds = Counter(pair.genuine for pair in listed.pairs)
    counts = PairCounts(
        str(listed.path),
        kinds[True],
        kinds[False],
        dict(sorted(Counter(each.reason for each in failed).items())),
        sum(each.pair.genuine for each in failed),
    )
    for kind, wanted in (("genuine", True), ("impostor", False)):
        if not any(genuine == wanted for *_, genuine in compared):
            raise UsageError(
                f"no {kind} pair of {listed.path} can be compared: they failed ({', '.join(counts.failed)}); "
                f"{among.advice}."
            )
    numbers, one, other, genuine = (np.array(column) for column in zip(*compared, strict=True))
    used, positions = np.unique(np.concatenate([one, other]), return_inverse=True)
    assigned, notes = _folds(listed)
    unordered = {(min(pair), max(pair)) for pair in zip(one.tolist(), other.tolist(), strict=True)}
    if repeated := len(one) - len(unordered):
        notes.append(f"Pairs that are listed again, in the same or the other order, count again: {repeated:,}.")
    return ListedPairs(
        used,
        positions[: len(one)],
        positions[len(one) :],
        genuine,
        None if assigned is None else assigned[numbers],
        0 if assigned is None else int(assigned.max()) + 1,
        tuple(failed),
        tuple(photographs.values()),
        counts,
        notes,
        tuple(lost),
    )


def _folds(listed: PairList) -> tuple[Indices | None, list[str]]:
    """The fold of every pair of the list, failed ones too, and what to say about folds and balance."""
    genuine = [pair.genuine for pair in listed.pairs]
    notes = []
    if listed.folds is not None:
        found: Indices | None = np.array(listed.folds, np.intp)
    elif min(sum(genuine), len(genuine) - sum(genuine)) < folds.DEFAULT_FOLDS:
        found = None
        notes.append(f"{listed.path} has no folds, and too few pairs to make {folds.DEFAULT_FOLDS}: no accuracy.")
    else:
        found = folds.contiguous(genuine)
        notes.append(
            f"{listed.path} has no folds: accuracy is over {folds.DEFAULT_FOLDS} parts of it in its order, each with a "
            "tenth of the genuine and of the impostor pairs."
        )
    if found is not None and 2 * sum(genuine) != len(genuine):
        notes.append(
            "The list has unequal numbers of genuine and impostor pairs, and accuracy counts every pair alike."
        )
    return found, notes


def _photographs(among: Catalogue, names: set[Name]) -> dict[Name, list[Planned]]:
    """The photographs, rejects too, that have these names."""
    found: dict[Name, list[Planned]] = {}
    by_stem = {(name.person, name.stem): name for name in names if name.person}
    for photograph in among.photographs:
        stem = PurePosixPath(photograph.source).stem
        wanted = {Name("", photograph.key), Name("", photograph.source)} & names
        if (name := by_stem.get((photograph.identity, stem))) is not None:
            wanted.add(name)
        for name in wanted:
            found.setdefault(name, []).append(photograph)
    return found


def _place(
    listed: PairList, pair: Pair, name: Name, known: Mapping[Name, Sequence[Planned]], among: Catalogue
) -> Planned | None:
    places = known.get(name, ())
    if len(places) > 1:
        raise UsageError(
            f"line {pair.line} of {listed.path} names {name}, which is {places[0].source} and {places[1].source} in "
            f"{among.name}; give a CSV table of keys."
        )
    return places[0] if places else None


def _check_identities(listed: PairList, pair: Pair, places: Sequence[Planned | None], among: Catalogue) -> None:
    first, second = places
    if first is None or second is None:
        return
    if first.key == second.key:
        raise UsageError(
            f"line {pair.line} of {listed.path} compares {first.source} with itself; give two photographs."
        )
    if pair.genuine != (first.identity == second.identity):
        kind = "a genuine" if pair.genuine else "an impostor"
        who = f"{first.identity} and {second.identity}" if pair.genuine else f"both {first.identity}"
        raise UsageError(
            f"line {pair.line} of {listed.path} is {kind} pair, but its photographs are of {who} in {among.name}; "
            "correct it."
        )


def _failure(name: Name, place: Planned | None, reason: str) -> Failure:
    if place is None:
        return Failure(str(name), name.person, reason)
    return Failure(place.source, place.identity, reason, place.key, variant=place.variant)


def _reason(place: Planned | None, among: Catalogue) -> str:
    """Why a photograph cannot be compared; '' if it can."""
    if place is None:
        return ABSENT
    if place.key in among.rejected:
        return among.rejected[place.key]
    if place.split != among.split:
        return OTHER_SPLIT
    return "" if place.key in among.rows else DAMAGED_ROW
