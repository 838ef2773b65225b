"""Draws the triplets of stage 2: anchor unmasked, positive the same identity masked, negative another identity.

The text of the paper leaves two choices open, and both are settings. `positive`: `any` masked photograph of the
identity, including the anchor's own (the paper draws "at random", and identities with one photograph can then be
anchors), always an`other` photograph, or always the `same` one. `negative`: `any` picture, masked with probability
`masked_share`, always `masked`, or always `unmasked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import UsageError

Ints = npt.NDArray[np.int64]


class Triplets(NamedTuple):
    """Rows of the split, int64 (3, N), and which picture of each: 0 unmasked, 1.. the variants, int64 (3, N).

    Along the first axis: anchor, positive, negative.
    """

    rows: Ints
    pictures: Ints


@dataclass(frozen=True)
class Groups:
    """Rows by identity: `order` lists them label by label; row r's label has `count[r]` rows from `start[r]` on.

    `anchors` are the rows that may be anchors.
    """

    order: Ints
    place: Ints
    start: Ints
    count: Ints
    anchors: Ints


def group(labels: npt.NDArray[np.int32], positive: str = "any") -> Groups:
    """Groups rows by label. Raises `UsageError` if no triplet can be drawn."""
    order = np.argsort(labels, kind="stable").astype(np.int64)
    place = np.argsort(order).astype(np.int64)
    _, first, inverse, counts = np.unique(labels[order], return_index=True, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise UsageError(f"stage 2 needs two identities for its triplets and train has {len(counts)}; build more.")
    start, count = first[inverse][place], counts[inverse][place]
    anchors = np.flatnonzero(count > 1) if positive == "other" else np.arange(len(labels))
    if not len(anchors):
        raise UsageError("no identity has two photographs; choose --positive any.")
    return Groups(order, place, start, count, anchors)


def draw(
    groups: Groups,
    number: int,
    variants: int,
    masked_share: float,
    positive: str,
    negative: str,
    rng: np.random.Generator,
) -> Triplets:
    """Draws triplets: anchors uniformly over rows, negatives uniformly over the rows of all other identities."""
    anchor = groups.anchors[rng.integers(len(groups.anchors), size=number)]
    start, count, place = groups.start[anchor], groups.count[anchor], groups.place[anchor]
    if positive == "same":
        match = place
    elif positive == "any":
        match = start + rng.integers(count)
    else:
        match = start + (place - start + 1 + rng.integers(count - 1)) % count
    other = rng.integers(len(groups.order) - count)
    other += np.where(other >= start, count, 0)  # steps over the anchor's own identity
    share = {"any": masked_share, "masked": 1.0, "unmasked": 0.0}[negative]
    masks = 1 + rng.integers(variants, size=(2, number))
    masks[1] *= rng.random(number) < share
    return Triplets(
        np.stack([anchor, groups.order[match], groups.order[other]]), np.stack([np.zeros_like(anchor), *masks])
    )
