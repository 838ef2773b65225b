"""The photographs that are explained: of as many people as possible, each with one mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskgen import Dataset, Row
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.variants import VARIANTS

from ..data.feature_cache import row_index
from ..evaluation.scenarios import UNMASKED, Photographs, masked_choice
from .explain_settings import ANY_MASK, ExplainSettings

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Chosen:
    """Photographs of a split, by their places among its rows, ascending.

    `masks` (N,) names the masked picture of each, `ranks` int (N,) is the order in which they were drawn: the first
    ones show different people.
    """

    rows: Indices
    masks: tuple[str, ...]
    ranks: Indices


def choose(dataset: Dataset, settings: ExplainSettings) -> Chosen:
    """Draws the photographs. Raises `UsageError` or `MaskgenError` if there are none."""
    split = settings.split
    if not dataset.count(split):
        advice = "build it with --test-identities above 0" if split == "test" else "choose another --split"
        raise MaskgenError(f"the data set {dataset} has no photographs in {split}; {advice}.")
    if settings.mask not in (ANY_MASK, *VARIANTS):
        raise UsageError(f"--mask is {settings.mask!r}; choose {ANY_MASK} or one of {', '.join(VARIANTS)}.")
    index = row_index(dataset, split)
    masks = None if settings.mask == ANY_MASK else (settings.mask,)
    photographs = Photographs(index.keys, np.zeros(len(index), np.intp), dataset.variants, index.variants)
    worn = masked_choice(photographs, settings.seed, masks)
    if not len(worn.rows):
        raise UsageError(f"the {split} split of {dataset} has no mask {settings.mask}; choose another --mask.")
    drawn = order(index.identities[worn.rows], settings.seed)[: settings.photographs or None]
    ranks = np.argsort(worn.rows[drawn])
    places = drawn[ranks]
    return Chosen(worn.rows[places], tuple(str(name) for name in worn.names[places]), ranks)


def order(identities: npt.NDArray[np.str_], seed: int) -> Indices:
    """An order of photographs, int (N,): one of each person in random order, then a second one of each, and so on."""
    draw = np.random.default_rng(seed)
    shuffled = draw.permutation(len(identities))
    _, people = np.unique(identities[shuffled], return_inverse=True)
    person_order = draw.permutation(people.max() + 1)
    turns = np.empty(len(people), np.intp)
    seen = np.zeros(len(person_order), np.intp)
    for place, person in enumerate(people):
        turns[place] = seen[person]
        seen[person] += 1
    return shuffled[np.lexsort((person_order[people], turns))]


def read(dataset: Dataset, split: str, rows: Indices, masks: Sequence[str]) -> Iterator[Row]:
    """The rows at these places of a split, with their unmasked pictures and all that `masks` name."""
    names, first = (UNMASKED, *sorted(set(masks))), 0
    for shard in dataset.shards(split):
        numbers = [int(row) - first for row in rows if first <= row < first + shard.rows]
        if numbers:
            yield from shard.read(names, numbers)
        first += shard.rows
