"""The scores that an evaluation wrote: the pairs of a scenario, with pictures and subjects, read from Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from maskgen.errors import MaskgenError, short

from ..defaults import COSINE, NONE
from ..evaluation.report import Report

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

SIDES = ("reference", "probe")


class Picture(NamedTuple):
    """One picture of a photograph, such as `unmasked` or `wide_high`."""

    photograph: str
    name: str


@dataclass(frozen=True)
class ScoredPairs:
    """The pairs of one scenario, each once.

    `pictures` (N,) are all pictures, with their `subjects` (N,). A pair is two positions among them, `first` and
    `second` int (P,) with first < second; `genuine` bool (P,) and `scores` float64 (P,) of a `kind` belong to it.
    """

    pictures: tuple[Picture, ...]
    subjects: tuple[str, ...]
    first: Indices
    second: Indices
    genuine: npt.NDArray[np.bool_]
    scores: Floats
    kind: str = COSINE


def read_scores(report: Report, scenario: str) -> ScoredPairs:
    """Reads the scores of a scenario beside a report.

    Raises `MaskgenError` if there are none, or they are not those of the report.
    """
    found = [report.out / name for name in (f"{scenario}.parquet", scenario) if (report.out / name).exists()]
    if not found:
        wrote_none = report.settings.keep_scores == NONE
        advice = "without --keep-scores none" if wrote_none else "with --keep-scores all"
        raise MaskgenError(f"{report.out} holds no scores of {scenario}; measure again {advice}.")
    try:
        table = _table(found[0])
        figures = report[scenario].figures
        if table.num_rows != figures.genuine + figures.impostor:
            raise pa.ArrowInvalid(f"{table.num_rows:,} scores in place of {figures.genuine + figures.impostor:,.0f}")
        return replace(_pairs(table), kind=report.settings.score)
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise MaskgenError(
            f"{found[0]} does not hold the scores of its report ({short(error)}); measure again with `mfr eval`."
        ) from None


def _table(path: Path) -> pa.Table:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    columns = [f"{side}{part}" for side in SIDES for part in ("", "_picture", "_subject")]
    dataset = pads.dataset([str(file) for file in files], format="parquet")
    if missing := [name for name in (*columns, "genuine", "score") if name not in dataset.schema.names]:
        raise LookupError(f"it has no column {missing[0]}")
    return dataset.to_table([*columns, "genuine", "score"], use_threads=False).unify_dictionaries()


def _pairs(table: pa.Table) -> ScoredPairs:
    pictures: dict[Picture, int] = {}
    subjects: dict[int, str] = {}
    ends = []
    for side in SIDES:
        photographs, codes = _dictionary(table[side])
        names, name_codes = _dictionary(table[f"{side}_picture"])
        people, person_codes = _dictionary(table[f"{side}_subject"])
        size = max(len(names), 1) * max(len(people), 1)
        distinct, place = np.unique(
            (codes * max(len(names), 1) + name_codes) * max(len(people), 1) + person_codes, return_inverse=True
        )
        nodes = np.empty(len(distinct), np.intp)
        for number, code in enumerate(distinct.tolist()):
            photograph, (name, person) = code // size, divmod(code % size, len(people))
            picture = Picture(photographs[photograph], names[name])
            nodes[number] = pictures.setdefault(picture, len(pictures))
            if subjects.setdefault(int(nodes[number]), people[person]) != people[person]:
                raise ValueError(f"{picture.photograph} has two subjects")
        ends.append(nodes[place])
    first, second = np.minimum(*ends), np.maximum(*ends)
    genuine = table["genuine"].to_numpy()
    scores = table["score"].to_numpy().astype(np.float64)
    named = tuple(subjects[node] for node in range(len(pictures)))
    who = numbered(named)
    if genuine.dtype != bool or not np.array_equal(genuine, who[first] == who[second]):
        raise ValueError("a pair is called genuine that is of two subjects, or the reverse")
    if not np.isfinite(scores).all():
        raise ValueError("a score is no number")
    _, once = np.unique(first * len(pictures) + second, return_index=True)
    return ScoredPairs(tuple(pictures), named, first[once], second[once], genuine[once], scores[once])


def numbered(names: Sequence[str]) -> Indices:
    """The number of each name, int (N,): equal names have the same one, and they count up in the order of the names."""
    return np.unique(np.array(names, object).astype(str), return_inverse=True)[1]


def _dictionary(column: pa.ChunkedArray) -> tuple[list[str], Indices]:
    """The distinct texts of a column, and the number of each row's text."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if array.null_count:
        raise ValueError("a value is missing")
    return [str(text) for text in array.dictionary.to_pylist()], array.indices.to_numpy().astype(np.intp)


def common(found: Sequence[ScoredPairs]) -> list[ScoredPairs]:
    """The pairs that all systems scored, in one order, with the same numbers for pictures in each.

    Raises `MaskgenError` if the systems give a picture different subjects.
    """
    pictures: dict[Picture, int] = {}
    subjects: list[str] = []
    keys, ends = [], []
    for pairs in found:
        numbers = np.empty(len(pairs.pictures), np.intp)
        for node, (picture, subject) in enumerate(zip(pairs.pictures, pairs.subjects, strict=True)):
            numbers[node] = pictures.setdefault(picture, len(pictures))
            if numbers[node] == len(subjects):
                subjects.append(subject)
            elif subjects[numbers[node]] != subject:
                raise MaskgenError(
                    f"{picture.photograph} shows {subjects[numbers[node]]} in one evaluation and {subject} in another; "
                    "compare evaluations of the same data."
                )
        ends.append((numbers[pairs.first], numbers[pairs.second]))
    for first, second in ends:
        keys.append(np.minimum(first, second) * len(pictures) + np.maximum(first, second))
    shared = keys[0]
    for more in keys[1:]:
        shared = np.intersect1d(shared, more, assume_unique=True)
    made = []
    for pairs, own in zip(found, keys, strict=True):
        order = np.argsort(own)
        chosen = order[np.searchsorted(own[order], shared)]
        first, second = np.divmod(shared, len(pictures))
        genuine, scores = pairs.genuine[chosen], pairs.scores[chosen]
        made.append(ScoredPairs(tuple(pictures), tuple(subjects), first, second, genuine, scores, pairs.kind))
    return made
