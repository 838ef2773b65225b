"""One picture of each photograph of a split, once: what validation and the feature cache read.

Every process takes whole shards, so pieces come in no fixed order, and each says which rows it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from maskgen import Dataset, Row
from maskgen.dataset.together import images_of

from ..networks.backbone import CHUNK
from ..networks.resizing import resized
from .decoders import Decoder, decoded

Ints = npt.NDArray[np.int64]
Piece = tuple[Tensor, Tensor, Tensor]
"""Row numbers in the split, int64 (n,); pictures, uint8 (n, size, size, 3) RGB; labels, int64 (n,)."""

ROWS_PER_WORKER = 4096
"""Photographs for each process that is started: starting takes seconds, in which this one decodes as many."""


def sweep(
    dataset: Dataset,
    split: str,
    names: Sequence[str],
    only: Callable[[str], str],
    size: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    rows: Ints | None = None,
) -> Iterator[Piece]:
    """The picture called `only(key)`, one of `names`, of every `world`-th row of each shard from `rank`.

    With `rows`, int64 (n,) ascending, only these rows of the split; shards without any are not opened. A piece has
    `CHUNK` rows at most. Up to `workers` processes decode, if there are enough photographs for them; the pieces are the
    same for any number. Raises `MaskgenError` if a shard is damaged.
    """
    decoder = _Sweep(dataset, split, names, only, size, rank, world, rows)
    count = dataset.count(split) if rows is None else len(rows)
    return decoded(decoder, min(workers, len(decoder.shards), count // world // ROWS_PER_WORKER))


class _Sweep(Decoder):
    """The pieces of every `num_workers`-th shard."""

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        names: Sequence[str],
        only: Callable[[str], str],
        size: int,
        rank: int,
        world: int,
        rows: Ints | None,
    ) -> None:
        self.shards, self.rows = dataset.shards(split), rows
        self.names, self.only, self.size, self.rank, self.world = names, only, size, rank, world

    def pieces(self) -> Iterator[Piece]:
        worker = get_worker_info()
        ends = accumulate(shard.rows for shard in self.shards)
        own = slice(worker.id, None, worker.num_workers) if worker else slice(None)
        for shard, end in list(zip(self.shards, ends, strict=True))[own]:
            numbers = self._numbers(end - shard.rows, end)
            if not numbers:
                continue
            rows = shard.read_chosen(self.names, self.only, numbers)
            for start in range(0, len(numbers), CHUNK):
                chosen = numbers[start : start + CHUNK]
                yield self._piece(list(islice(rows, len(chosen))), np.array(chosen) + end - shard.rows)
            for _ in rows:  # past its last row the reader checks that the shard was complete
                pass

    def _numbers(self, first: int, end: int) -> Sequence[int]:
        """The rows to read of the shard that holds these rows of the split, counted from its own first one."""
        if self.rows is None:
            return range(self.rank, end - first, self.world)
        low, high = np.searchsorted(self.rows, [first, end])
        chosen: list[int] = (self.rows[low:high] - first).tolist()
        return chosen[self.rank :: self.world]

    def _piece(self, rows: list[tuple[Row, str]], numbers: Ints) -> Piece:
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for image, picture in zip(images, images_of(rows), strict=True):
            image[:] = resized(picture, self.size)
        return torch.from_numpy(numbers), torch.from_numpy(images), torch.tensor([row.label for row, _ in rows])
