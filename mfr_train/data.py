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
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import cycle
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

import maskgen
from maskgen import Row
from maskgen.errors import MaskgenError, UsageError

from .backbones import resized

Ints = npt.NDArray[np.int64]
Batch = tuple[Tensor, Tensor]
"""Pictures, uint8 (N, size, size, 3) RGB, and labels, int64 (N,)."""

MAX_LANES = 64

AHEAD = 2
"""Batches that a worker decodes before they are asked for."""


@dataclass(frozen=True)
class Feed:
    """What batches are made of. `batch` counts photographs over all processes, `size` is the pictures' side.

    Each photograph is drawn once an epoch: masked with probability `masked_share`, then as one of `variants`.
    """

    data: str
    batch: int
    size: int
    variants: tuple[str, ...]
    masked_share: float
    seed: int
    buffer: int
    split: str = "train"

    @property
    def lanes(self) -> int:
        """How many lanes an epoch has: as many processes x workers as divide it can share the work."""
        return math.gcd(self.batch, MAX_LANES)


def batches(
    feed: Feed, rank: int = 0, world: int = 1, workers: int = 0, start: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """Endless batches of one process from iteration `start` (0 is the first): its share of each global batch.

    With `workers` processes decoding; their number is lowered to one that divides this process's lanes. What went
    before `start` is skipped without decoding. `pin` puts batches into page-locked memory, from which a GPU fetches
    while this process goes on. Raises `UsageError` where the batch cannot be shared by `world`.
    """
    lanes = feed.lanes
    if lanes % world:
        raise UsageError(
            f"--batch {feed.batch} cannot be shared by {world} processes: make it a multiple of {world} "
            f"(up to {MAX_LANES} processes, a power of two)."
        )
    own = lanes // world
    dataset = maskgen.open(feed.data)
    rows = dataset.count(feed.split)
    if rows < lanes:
        raise UsageError(f"{dataset} has {rows} photographs in {feed.split} and needs {lanes}; lower --batch.")
    workers = max((number for number in range(1, workers + 1) if own % number == 0), default=0)
    return _batches(_Stream(feed, range(rank * own, (rank + 1) * own), start), workers, pin)


def _batches(stream: _Stream, workers: int, pin: bool) -> Iterator[Batch]:
    if not workers:
        alone = stream.batches()
        yield from ((images.pin_memory(), labels.pin_memory()) for images, labels in alone) if pin else alone
        return
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=AHEAD,
        worker_init_fn=_one_thread,
        multiprocessing_context="spawn",
    )
    pieces = iter(loader)
    while True:  # the workers' pieces come in turn, and side by side they are the batch
        images, labels = zip(*(_next(pieces) for _ in range(workers)), strict=True)
        yield _joined(images, pin), _joined(labels, pin)


def _joined(pieces: tuple[Tensor, ...], pin: bool) -> Tensor:
    """A copy in memory of its own: the workers fill theirs again."""
    shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
    return torch.cat(pieces, out=torch.empty(shape, dtype=pieces[0].dtype, pin_memory=pin))


@contextmanager
def worker_errors() -> Iterator[None]:
    """One sentence, `MaskgenError`, where a process that decodes was killed.

    PyTorch raises its own error wherever the main process is when it hears of that, so this goes around whatever is
    done with the batches, and not only around fetching them.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise MaskgenError(
            "a process that decodes was killed, perhaps for want of memory; give fewer --workers and run again."
        ) from None


def _next(pieces: Iterator[Batch | MaskgenError]) -> Batch:
    piece = next(pieces)
    if isinstance(piece, MaskgenError):
        raise piece
    return piece


class _Stream(IterableDataset[Any]):
    """The batches of some lanes; in a worker process, of that worker's part of them."""

    def __init__(self, feed: Feed, lanes: range, start: int) -> None:
        self.feed, self.lanes, self.start = feed, lanes, start

    def __iter__(self) -> Iterator[Batch | MaskgenError]:
        try:
            yield from self.batches()
        except MaskgenError as error:
            yield error  # raised here, it would reach the main process with a traceback for its message

    def batches(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        lanes = self.lanes
        if worker:
            share = len(lanes) // worker.num_workers
            lanes = lanes[worker.id * share : (worker.id + 1) * share]
        feed = self.feed
        each = feed.batch // feed.lanes
        shards = maskgen.open(feed.data).shards(feed.split)
        streams = [lane_rows(feed, lane, self.start * each, shards) for lane in lanes]
        shape = (each * len(lanes), feed.size, feed.size, 3)
        # The system clears memory when it is first touched, which takes a third of the time of decoding into it. So a
        # worker has as many batches as can be on their way, and the one that is being copied, and fills them again.
        ring = cycle(_shared(shape) for _ in range(AHEAD + 1)) if worker else None
        while True:
            images = next(ring) if ring else torch.from_numpy(np.empty(shape, np.uint8))
            labels = torch.empty(len(images), dtype=torch.int64)
            pixels = images.numpy()
            for number, (row, name) in enumerate(next(stream) for stream in streams for _ in range(each)):
                pixels[number] = resized(row.image(name), feed.size)
                labels[number] = row.label
            yield images, labels


def _shared(shape: tuple[int, ...]) -> Tensor:
    shared: Tensor = torch.empty(shape, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
    return shared


def lane_rows(
    feed: Feed, lane: int, start: int = 0, shards: Sequence[maskgen.Shard] | None = None
) -> Iterator[tuple[Row, str]]:
    """The endless rows of one lane from position `start`, each with the name of the picture to show.

    Shards whose rows were all taken before `start` are not opened. `shards` are the split's, where they are known:
    a store is asked for them once and not by each lane.
    """
    shards = maskgen.open(feed.data).shards(feed.split) if shards is None else shards
    length = sum(shard.rows for shard in shards) // feed.lanes
    names = [*feed.variants] if feed.masked_share == 1 else ["unmasked", *feed.variants]
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
    shown: dict[str, str] = {}

    def only(key: str) -> str:
        name = shown[key] = picture(key, epoch, feed)
        return name

    first = 0
    for index in np.random.default_rng([feed.seed, epoch]).permutation(len(shards)):
        shard = shards[index]
        low, high = max(begin - first, 0), min(end - first, shard.rows)
        if low < high:
            numbers = (low + np.flatnonzero(when[first + low - begin : first + high - begin] >= done)).tolist()
            if numbers:
                for number, row in zip(numbers, shard.read(names, numbers, only), strict=True):
                    yield first + number - begin, row, shown.pop(row.key)
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


def validation(feed: Feed, rank: int = 0, world: int = 1, chunk: int = 256) -> Iterator[Batch]:
    """Masked pictures of a split, one of each photograph and the same one each time: rank's share, in chunks."""
    chosen: list[tuple[Any, int]] = []
    only = partial(picture, epoch=0, feed=feed)
    for shard in maskgen.open(feed.data).shards(feed.split):
        for row in shard.read(feed.variants, range(rank, shard.rows, world), only):
            chosen.append((resized(row.image(only(row.key)), feed.size), row.label))
            if len(chosen) == chunk:
                yield _stacked(chosen)
                chosen = []
    if chosen:
        yield _stacked(chosen)


def _stacked(chosen: list[tuple[Any, int]]) -> Batch:
    images, labels = zip(*chosen, strict=True)
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def _one_thread(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
