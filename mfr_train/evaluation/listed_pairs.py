"""The pairs of a list among the photographs of a data set: which can be compared, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskgen import Dataset
from maskgen.errors import MaskgenError, UsageError, short

from ..defaults import DAMAGED_ROW
from . import folds
from .pair_list import Name, Pair, PairCounts, PairList
from .scenarios import Indices, Names

ABSENT, OTHER_SPLIT = "absent", "other_split"
"""Why a pair cannot be compared, beside the reasons of rejects: the data set, or the split, lacks a photograph."""

PLAN, REJECTS = "plan.parquet", "rejects.parquet"


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
    `fold_count` of the list, counted from 0; None if the list is too short for folds. `failures` counts photographs,
    not pairs.
    """

    rows: Indices
    first: Indices
    second: Indices
    genuine: npt.NDArray[np.bool_]
    folds: Indices | None
    fold_count: int
    failed: tuple[FailedPair, ...]
    failures: dict[str, int]
    counts: PairCounts
    notes: list[str]


@dataclass(frozen=True)
class _Photograph:
    key: str
    source: str
    identity: str
    split: str


def find(listed: PairList, dataset: Dataset, split: str, keys: Names) -> ListedPairs:
    """Finds the photographs of a list in a data set, whose `split` has rows of these keys (N,).

    LFW's `name i` is the photograph of the identity `name` whose file is called `name_000i`; a table has sources or
    keys. Raises `UsageError` for a name that two photographs have, two names of one photograph in a pair, a pair that
    contradicts the identities, or if no genuine or no impostor pair can be compared.
    """
    known = _photographs(dataset, {name for pair in listed.pairs for name in (pair.first, pair.second)})
    rows = {str(key): row for row, key in enumerate(keys)}
    rejected = {str(row["key"]): str(row["reason"]) for row in _rows(dataset, REJECTS, ("key", "reason"))}
    reasons: dict[Name, str] = {}
    compared: list[tuple[int, int, int, bool]] = []
    failed: list[FailedPair] = []
    for number, pair in enumerate(listed.pairs):
        places = [_place(listed, pair, name, known, dataset) for name in (pair.first, pair.second)]
        _check_identities(listed, pair, places, dataset)
        found = [
            reasons.setdefault(name, _reason(place, split, rows, rejected))
            for name, place in zip((pair.first, pair.second), places, strict=True)
        ]
        if bad := [(name, why) for name, why in zip((pair.first, pair.second), found, strict=True) if why]:
            failed.append(FailedPair(pair, *bad[0]))
        else:
            first, second = (rows[place.key] for place in places if place)
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
                f"no {kind} pair of {listed.path} can be compared: they failed ({', '.join(counts.failed)}); its "
                f"photographs must be in the split {split} of {dataset} (--test-identities 1 puts all into test)."
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
        dict(sorted(Counter(filter(None, reasons.values())).items())),
        counts,
        notes,
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


def _photographs(dataset: Dataset, names: set[Name]) -> dict[Name, list[_Photograph]]:
    """The photographs of the plan, rejects too, that have these names."""
    found: dict[Name, list[_Photograph]] = {}
    by_stem = {(name.person, name.stem): name for name in names if name.person}
    for row in _rows(dataset, PLAN, ("key", "source", "identity", "split")):
        photograph = _Photograph(**row)
        stem = PurePosixPath(photograph.source).stem
        wanted = {Name("", photograph.key), Name("", photograph.source)} & names
        if (name := by_stem.get((photograph.identity, stem))) is not None:
            wanted.add(name)
        for name in wanted:
            found.setdefault(name, []).append(photograph)
    return found


def _rows(dataset: Dataset, file: str, columns: Sequence[str]) -> list[dict[str, str]]:
    texts = pa.schema([(column, pa.string()) for column in columns])
    try:
        with dataset.storage.open(file) as opened:
            table = pq.read_table(opened, columns=list(columns)).cast(texts)
            table.validate(full=True)
            if any(table[column].null_count for column in columns):
                raise pa.ArrowInvalid("a value is missing")
    except (OSError, pa.ArrowException, LookupError) as error:
        raise MaskgenError(
            f"{dataset}/{file} cannot be read ({short(error)}); `maskgen verify` says what to do."
        ) from None
    found: list[dict[str, str]] = table.to_pylist()
    return found


def _place(
    listed: PairList, pair: Pair, name: Name, known: Mapping[Name, Sequence[_Photograph]], dataset: Dataset
) -> _Photograph | None:
    places = known.get(name, ())
    if len(places) > 1:
        raise UsageError(
            f"line {pair.line} of {listed.path} names {name}, which is {places[0].source} and {places[1].source} in "
            f"{dataset}; give a CSV table of keys."
        )
    return places[0] if places else None


def _check_identities(listed: PairList, pair: Pair, places: Sequence[_Photograph | None], dataset: Dataset) -> None:
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
            f"line {pair.line} of {listed.path} is {kind} pair, but its photographs are of {who} in {dataset}; "
            "correct it."
        )


def _reason(place: _Photograph | None, split: str, rows: Mapping[str, int], rejected: Mapping[str, str]) -> str:
    """Why a photograph cannot be compared; '' if it can."""
    if place is None:
        return ABSENT
    if place.key in rejected:
        return rejected[place.key]
    if place.split != split:
        return OTHER_SPLIT
    return "" if place.key in rows else DAMAGED_ROW
