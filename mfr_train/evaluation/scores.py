"""All comparisons of two sets of embeddings, in blocks of matrix products: as scores, or as counts on a fine grid.

A score must not depend on the size of a block, the number of threads or the BLAS, or ties and figures would change
with them. So every coordinate is rounded to a multiple of 2^-24, which float32 holds: products are then multiples of
2^-48, their sums stay below 2, and float64 holds every partial sum without rounding, in whatever order it is formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..defaults import COSINE
from .similarity import scored

Floats = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

BINS = 2**20
"""Of the grid over the cosines -1 to 1: a bin is 1.9e-6 wide, and its edges are exact in binary."""

ROWS, COLUMNS = 1024, 4096
"""Pictures in a block: 32 MiB of scores, whatever the number of pairs."""

_STEP = 2.0**24


@dataclass(frozen=True)
class Side:
    """The pictures of one side, sorted by subject: embeddings float32 (N, d), subjects and photographs int (N,).

    Made by `side`: the embeddings have length 1 and are rounded.

    Two pictures with one photograph number are the same photograph, masked or not, and are never compared.
    """

    embeddings: Embeddings
    subjects: Indices
    photographs: Indices

    def __len__(self) -> int:
        return len(self.subjects)

    def at(self, chosen: Mask) -> Side:
        """The chosen pictures, bool (N,)."""
        return Side(self.embeddings[chosen], self.subjects[chosen], self.photographs[chosen])


@dataclass(frozen=True)
class Comparison:
    """Every reference against every probe; `symmetric` if both are one side and a pair has no order.

    With `listed`, only the pairs at these positions int (P,) on the two sides. `both` are the photograph numbers of
    the pictures that are on both sides if the sides differ: a pair of two of them has no order either. `score` is the
    kind of score.
    """

    reference: Side
    probe: Side
    symmetric: bool
    listed: tuple[Indices, Indices] | None = None
    score: str = COSINE
    both: Indices | None = None

    @property
    def pairs(self) -> int:
        """An upper bound of the number of pairs that are compared."""
        if self.listed is not None:
            return len(self.listed[0])
        pairs = len(self.reference) * len(self.probe)
        return pairs // 2 if self.symmetric else pairs


class Block(NamedTuple):
    """A rectangle of pairs, and which of its pairs count; None for all."""

    rows: slice
    columns: slice
    keep: Mask | None


class Scores(NamedTuple):
    """The scores of one class, float64 (N,), with the positions of their pictures on the two sides, int (N,)."""

    values: Floats
    reference: Indices
    probe: Indices


def side(embeddings: Embeddings, subjects: npt.ArrayLike, photographs: npt.ArrayLike) -> tuple[Side, Indices]:
    """A side in the order of its subjects, and that order. Raises `MaskgenError` for an unusable embedding."""
    bad = ~(np.isfinite(embeddings).all(axis=1) & embeddings.any(axis=1))
    if bad.any():
        raise MaskgenError(f"{bad.sum()} embeddings are zero, NaN or infinite; train the model again.")
    subject, photograph = np.asarray(subjects, np.intp), np.asarray(photographs, np.intp)
    order = np.argsort(subject, kind="stable")
    vectors = np.empty(embeddings.shape, np.float32)
    for part in _slices(0, len(order), COLUMNS):
        vectors[part] = rounded(embeddings[order[part]])
    return Side(vectors, subject[order], photograph[order]), order


def rounded(embeddings: Embeddings) -> Embeddings:
    """Embeddings (N, d) scaled to length 1 and rounded to multiples of 2^-24, 3e-8 off at most."""
    vectors = embeddings.astype(np.float64)
    # einsum without optimisation adds each row by itself: a row's length cannot depend on the rows beside it.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, optimize=False))
    return (np.rint(vectors / lengths[:, None] * _STEP) / _STEP).astype(np.float32)


def genuine_blocks(comparison: Comparison, rows: int = ROWS, columns: int = COLUMNS) -> Iterator[Block]:
    """The pairs of one subject, subject by subject."""
    left, right = comparison.reference, comparison.probe
    ranks = _ranks(comparison)
    for subject in np.intersect1d(left.subjects, right.subjects):
        top, bottom = np.searchsorted(left.subjects, [subject, subject + 1])
        first, last = np.searchsorted(right.subjects, [subject, subject + 1])
        for r in _slices(int(top), int(bottom), rows):
            for c in _slices(int(first), int(last), columns):
                keep = left.photographs[r, None] != right.photographs[None, c]
                if ranks:
                    keep &= ranks[0][r, None] < ranks[1][None, c]
                if keep.any():
                    yield Block(r, c, keep)


def impostor_blocks(comparison: Comparison, rows: int = ROWS, columns: int = COLUMNS) -> Iterator[Block]:
    """The pairs of two subjects. Blocks need a mask if a subject is on both sides, or pairs that count elsewhere."""
    left, right = comparison.reference, comparison.probe
    ranks = _ranks(comparison)
    for r in _slices(0, len(left), rows):
        for c in _slices(r.start if comparison.symmetric else 0, len(right), columns):
            keep: Mask | None = None
            ours, theirs = left.subjects[r], right.subjects[c]
            if ours[0] <= theirs[-1] and theirs[0] <= ours[-1]:
                keep = ours[:, None] != theirs[None, :]
            if ranks and ranks[0][r].max() >= ranks[1][c].min():
                once = ranks[0][r, None] < ranks[1][None, c]
                keep = once if keep is None else keep & once
            if keep is None or keep.any():
                yield Block(r, c, keep)


def exact(comparison: Comparison) -> tuple[Scores, Scores]:
    """All genuine and all impostor scores; listed pairs keep their order. Memory: 24 bytes for each pair."""
    if comparison.listed is not None:
        return _listed_scores(comparison, *comparison.listed)
    return _scores(comparison, genuine_blocks(comparison)), _scores(comparison, impostor_blocks(comparison))


def streamed(comparison: Comparison, blocks: Iterator[Block]) -> Iterator[Scores]:
    """The scores of each block."""
    for block in blocks:
        products = _products(comparison, block)
        keep = np.ones(products.shape, bool) if block.keep is None else block.keep
        row, column = np.nonzero(keep)
        yield Scores(scored(comparison.score, products[keep]), row + block.rows.start, column + block.columns.start)


Tally = Callable[[Block, npt.NDArray[np.intp]], None]
"""Called with each block and the bin of each of its pairs, int (rows, columns); pairs not kept are in bin BINS."""


def histogram(comparison: Comparison, blocks: Iterator[Block], tally: Tally | None = None) -> npt.NDArray[np.int64]:
    """How many scores of the blocks' pairs lie in each bin, int64 (BINS,); the bins are those of `grid`.

    Scores beyond 1 (by rounding) are in the last bin.
    """
    counts = np.zeros(BINS + 1, np.int64)
    for block, bins in _binned(comparison, blocks):
        if bins.size < BINS // 8:  # bincount would clear more bins than it fills: small subjects have small blocks
            np.add.at(counts, bins.ravel(), 1)
        else:
            counts += np.bincount(bins.ravel(), minlength=BINS + 1)
        if tally:
            tally(block, bins)
    return counts[:BINS]


def grid(score: str = COSINE) -> Floats:
    """The edges of the bins as scores of a kind, float64 (BINS + 1,), strictly increasing: cosines from -1 to 1."""
    return scored(score, np.arange(BINS + 1) / (BINS / 2) - 1)


def _products(comparison: Comparison, block: Block, scale: float = 1) -> Floats:
    left = comparison.reference.embeddings[block.rows].astype(np.float64) * scale
    return left @ comparison.probe.embeddings[block.columns].astype(np.float64).T


def _binned(comparison: Comparison, blocks: Iterator[Block]) -> Iterator[tuple[Block, npt.NDArray[np.intp]]]:
    for block in blocks:
        # (score + 1) * BINS / 2, exact in float64 like the score itself: cutting it off gives the bin.
        products = _products(comparison, block, BINS / 2)
        products += BINS / 2
        bins = products.astype(np.intp)
        np.minimum(bins, BINS - 1, out=bins)
        if block.keep is not None:
            bins[~block.keep] = BINS
        yield block, bins


def _scores(comparison: Comparison, blocks: Iterator[Block]) -> Scores:
    nothing = Scores(np.empty(0), np.empty(0, np.intp), np.empty(0, np.intp))
    parts = [nothing, *streamed(comparison, blocks)]
    return Scores(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _listed_scores(comparison: Comparison, rows: Indices, columns: Indices) -> tuple[Scores, Scores]:
    left, right = comparison.reference, comparison.probe
    values = np.empty(len(rows))
    for part in _slices(0, len(rows), COLUMNS):
        one, other = left.embeddings[rows[part]], right.embeddings[columns[part]]
        values[part] = np.einsum("ij,ij->i", one.astype(np.float64), other.astype(np.float64))
    values = scored(comparison.score, values)
    same = left.subjects[rows] == right.subjects[columns]
    genuine, impostor = (Scores(values[keep], rows[keep], columns[keep]) for keep in (same, ~same))
    return genuine, impostor


def _slices(start: int, stop: int, step: int) -> Iterator[slice]:
    for first in range(start, stop, step):
        yield slice(first, min(first + step, stop))


def _ranks(comparison: Comparison) -> tuple[Indices, Indices] | None:
    """Ranks int (N,) of the pictures of each side, by which an unordered pair counts once; None if every pair counts.

    A pair counts if the rank of its reference is below that of its probe. Of the pairs (i, j) and (j, i) of pictures
    on both sides that is one; a picture on one side only has a rank below, or above, all others.
    """
    left, right = comparison.reference, comparison.probe
    if comparison.symmetric:
        return np.arange(len(left)), np.arange(len(right))
    if comparison.both is None or not len(comparison.both):
        return None
    first, last = -1, np.iinfo(np.intp).max
    return (
        np.where(np.isin(left.photographs, comparison.both), left.photographs, first),
        np.where(np.isin(right.photographs, comparison.both), right.photographs, last),
    )
