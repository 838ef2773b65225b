"""Shards -> batches of pixels, in an order that is a function of (data set, seed, batch size) alone.

An epoch is the shards in a shuffled order, laid end to end and cut into equal LANES; each lane is shuffled again
by a buffer, and every batch takes the same number of photographs from each lane. Processes and workers own lanes:
however many there are, batch i holds the same photographs in the same order. A lane runs on into its next epoch
without a pause, so each photograph is seen once an epoch; only the remainder of rows / lanes (fewer than
`MAX_LANES` photographs, others each epoch) is left out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

import maskgen
from maskgen import Row
from maskgen.dataset.together import images_of
from maskgen.errors import UsageError

from ..networks.resizing import resized
from .augment import augmented
from .decoders import PREFETCHED_PIECES, Decoder, decoded

Ints = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
"""Pictures, uint8 (N, size, size, 3) RGB, and labels, int64 (N,)."""

MAX_LANES = 64


@dataclass(frozen=True)
class Feed:
    """The source of batches. `batch` counts photographs over all processes, `size` is the side of the pictures.

    Each photograph is drawn once an epoch: masked with probability `masked_share`, then as one of `variants`. It is
    changed by each of `augment`.
    """

    data: str
    batch: int
    size: int
    variants: tuple[str, ...]
    masked_share: float
    seed: int
    buffer: int
    split: str = "train"
    augment: tuple[str, ...] = ()

    @property
    def lanes(self) -> int:
        """How many lanes an epoch has: processes x workers must divide it."""
        return math.gcd(self.batch, MAX_LANES)


def batches(
    feed: Feed,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    start: int = 0,
    pin: bool = False,
    dataset: maskgen.Dataset | None = None,
) -> Iterator[Batch]:
    """Endless batches of one process from iteration `start` (0 is the first): its share of each global batch.

    `workers` processes decode; their number is lowered to one that divides this process's lanes. Earlier batches are
    skipped without decoding. `pin` puts batches into page-locked memory, from which a GPU copies in the background.
    `dataset` is that of the feed if it is open already. Raises `UsageError` if the batch cannot be shared by `world`
    processes.
    """
    lanes = feed.lanes
    if lanes % world:
        raise UsageError(
            f"--batch {feed.batch} cannot be shared by {world} processes: make it a multiple of {world} "
            f"(up to {MAX_LANES} processes, a power of two)."
        )
    own = lanes // world
    dataset = dataset or maskgen.open(feed.data)
    rows = dataset.count(feed.split)
    if rows < lanes:
        raise UsageError(f"{dataset} has {rows} photographs in {feed.split} and needs {lanes}; lower --batch.")
    lanes_here = range(rank * own, (rank + 1) * own)
    return _batches(_Stream(feed, lanes_here, start, dataset.shards(feed.split)), shared_by(feed, world, workers), pin)


def shared_by(feed: Feed, world: int, workers: int) -> int:
    """How many of `workers` processes decode for each of `world`: they own equal numbers of its lanes."""
    own = feed.lanes // world
    return max((number for number in range(1, workers + 1) if own % number == 0), default=0)


def _batches(stream: _Stream, workers: int, pin: bool) -> Iterator[Batch]:
    pieces = decoded(stream, workers)
    if not workers:
        yield from ((images.pin_memory(), labels.pin_memory()) for images, labels in pieces) if pin else pieces
    while workers:  # their pieces come in turn and together are the batch
        images, labels = zip(*islice(pieces, workers), strict=True)
        yield _joined(images, pin), _joined(labels, pin)


def _joined(pieces: tuple[Tensor, ...], pin: bool) -> Tensor:
    """A copy in separate memory: the workers reuse theirs."""
    shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
    return torch.cat(pieces, out=torch.empty(shape, dtype=pieces[0].dtype, pin_memory=pin))


class _Stream(Decoder):
    """The batches of some lanes; in a worker process, of that worker's part of them."""

    def __init__(self, feed: Feed, lanes: range, start: int, shards: Sequence[maskgen.Shard]) -> None:
        self.feed, self.lanes, self.start, self.shards = feed, lanes, start, shards

    def pieces(self) -> Iterator[Batch]:
        worker = get_worker_info()
        lanes = self.lanes
        if worker:
            share = len(lanes) // worker.num_workers
            lanes = lanes[worker.id * share : (worker.id + 1) * share]
        feed = self.feed
        each = feed.batch // feed.lanes
        streams = [lane_rows(feed, lane, self.start * each, self.shards) for lane in lanes]
        length = sum(shard.rows for shard in self.shards) // feed.lanes
        taken = self.start * each  # of each lane
        shape = (each * len(lanes), feed.size, feed.size, 3)
        # The system clears memory when it is first touched, which takes a third of the time of decoding into it. So a
        # worker reuses a ring of buffers: those that are prefetched, and the one that is being copied.
        ring = cycle(_shared(shape) for _ in range(PREFETCHED_PIECES + 1)) if worker else None
        while True:
            images = next(ring) if ring else torch.from_numpy(np.empty(shape, np.uint8))
            labels = torch.empty(len(images), dtype=torch.int64)
            pixels = images.numpy()
            shown = [next(stream) for stream in streams for _ in range(each)]
            for number, ((row, _), picture) in enumerate(zip(shown, images_of(shown), strict=True)):
                pixels[number] = resized(picture, feed.size)
                labels[number] = row.label
                if feed.augment:
                    epoch = (taken + number % each) // length
                    pixels[number] = augmented(pixels[number], feed.augment, feed.seed, epoch, row.key)
            taken += each
            yield images, labels


def _shared(shape: tuple[int, ...]) -> Tensor:
    shared: Tensor = torch.empty(shape, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
    return shared


def lane_rows(
    feed: Feed, lane: int, start: int = 0, shards: Sequence[maskgen.Shard] | None = None
) -> Iterator[tuple[Row, str]]:
    """The endless rows of one lane from position `start`, each with the name of the picture to show.

    Shards whose rows were all taken before `start` are not opened. `shards` are the split's, if they are known
    already: the store is then listed once, not once for each lane.
    """
    shards = maskgen.open(feed.data).shards(feed.split) if shards is None else shards
    length = sum(shard.rows for shard in shards) // feed.lanes
    names = ["unmasked"] * (feed.masked_share < 1) + [*feed.variants] * (feed.masked_share > 0)
    epoch, done = divmod(start, length)
    while True:
        turn = order(feed.seed, epoch, lane, length, feed.buffer)
        when = np.argsort(turn)  # at which position of the lane each of its rows is taken
        waiting: dict[int, tuple[Row, str]] = {}
        rows = _numbered(shards, feed, epoch, lane, length, names, when, done)
        for position in range(done, length):
            while turn[position] not in waiting:
                number, row, name = next(rows)
                waiting[number] = row, name
            yield waiting.pop(int(turn[position]))
        epoch, done = epoch + 1, 0


def _numbered(
    shards: Sequence[maskgen.Shard],
    feed: Feed,
    epoch: int,
    lane: int,
    length: int,
    names: Sequence[str],
    when: Ints,
    done: int,
) -> Iterator[tuple[int, Row, str]]:
    """The rows of a lane as they lie in the shards, and which picture to show; those done before are left out.

    A row comes with its number in the lane, and has that one picture: the buffers of all lanes hold many rows.
    """
    begin, end = lane * length, (lane + 1) * length

    def choose(key: str) -> str:
        return picture(key, epoch, feed)

    first = 0
    for index in np.random.default_rng([feed.seed, epoch]).permutation(len(shards)):
        shard = shards[index]
        low, high = max(begin - first, 0), min(end - first, shard.rows)
        if low < high:
            numbers = (low + np.flatnonzero(when[first + low - begin : first + high - begin] >= done)).tolist()
            if numbers:
                for number, (row, name) in zip(numbers, shard.read_chosen(names, choose, numbers), strict=True):
                    yield first + number - begin, row, name
        first += shard.rows


@lru_cache(maxsize=MAX_LANES)
def order(seed: int, epoch: int, lane: int, length: int, buffer: int) -> Ints:
    """The order in which a shuffle buffer of that size gives the rows 0..length-1 of a lane: a permutation."""
    picks = np.random.default_rng([seed, epoch, lane]).random(length)
    held = list(range(min(buffer, length)))
    turn = np.empty(length, np.int64)
    for position, pick in enumerate(picks):
        place = int(pick * len(held))
        turn[position] = held[place]
        following = position + buffer
        if following < length:
            held[place] = following
        else:
            held[place] = held[-1]
            held.pop()
    return turn


def picture(key: str, epoch: int, feed: Feed) -> str:
    """Which picture of a photograph an epoch shows: a draw by seed, epoch and key, so that no worker matters."""
    digest = hashlib.blake2b(f"{feed.seed} {epoch} {key}".encode(), digest_size=16).digest()
    masked, which = (int.from_bytes(part, "little") / 2**64 for part in (digest[:8], digest[8:]))
    return feed.variants[int(which * len(feed.variants))] if masked < feed.masked_share else "unmasked"
