"""The photographs of a data set one by one, for training loops of others: torch `IterableDataset`s over shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info
from torchvision import tv_tensors

import maskgen
from maskgen.errors import UsageError

from ..networks.resizing import resized
from .batches import MAX_LANES, Feed, lane_rows

Sample = dict[str, Any]

EPOCH_OF_A_MIX = 1_000_000
"""A data set of a mix starts its own epochs at this multiple of the epoch of the mix, so that none is repeated."""


class _Resumable(IterableDataset[Any]):
    """A stream of samples in epochs that knows its place."""

    def __init__(self) -> None:
        self._epoch, self._given = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Starts an epoch, counted from 0, from its beginning: each has an order and masks of its own.

        Call it before each pass over a `DataLoader`, whose workers are new and know nothing of the last pass.
        """
        self._epoch, self._given = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """How far this process or worker is; torchdata's `StatefulDataLoader` saves it for each worker."""
        return {"epoch": self._epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continues after the samples that were given when `state_dict` was called, with as many workers as then."""
        self._epoch, self._given = state["epoch"], state["given"]


class ShardDataset(_Resumable):
    """The photographs of one split of a data set, each once an epoch, masked or not, in a seeded order.

    Shards are read in a shuffled order, 64 places of them at once, and each place is shuffled by a buffer: reading
    stays sequential, also from an object store. Each process of `torch.distributed` and each worker of a `DataLoader`
    gets other photographs; what is drawn for a photograph depends on the seed and the epoch alone. Of the photographs
    that the processes cannot share equally, fewer than 64 are left out, others in each epoch.

    A sample is a dictionary that torchvision's v2 transforms take as it is:

    - `image`: `tv_tensors.Image`, uint8 (3, size, size), RGB
    - `landmarks`: `tv_tensors.KeyPoints`, float32 (68, 2), x and y in pixels of `image`
    - `label`: int, from 0 to the number of `identities` - 1; -1 in the split `test`
    - `identity`, `key`: text; the key is that of the row
    - `picture`: text, `unmasked` or the name of the mask

    Args:
        data: The data set: a folder or a URI.
        split: `train`, `val` or `test`.
        size: Side of the pictures in pixels.
        masked_share: The probability that a photograph is shown with a mask, from 0 to 1.
        variants: The masks to draw from; by default all of the data set.
        seed: Seed of the order and of what is drawn.
        buffer: Photographs in the shuffle buffer of each of the 64 places.
        transform: Called with each sample; what it returns is given instead.
        rank: Which of the processes this is; by default that of `torch.distributed`, else 0.
        world: How many processes there are, a power of two up to 64; by default those of `torch.distributed`, else 1.

    Raises:
        UsageError: If the data set has no such split or variant, too few photographs, or a number is out of range.

    Example:
        >>> data = mfr_train.ShardDataset("smfd", size=112)  # doctest: +SKIP
        >>> loader = torch.utils.data.DataLoader(data, batch_size=64, num_workers=2)  # doctest: +SKIP
        >>> for epoch in range(10):  # doctest: +SKIP
        ...     data.set_epoch(epoch)
        ...     for batch in loader:
        ...         batch["image"], batch["label"]
    """

    def __init__(
        self,
        data: str | Path,
        split: str = "train",
        *,
        size: int = 224,
        masked_share: float = 0.5,
        variants: Sequence[str] | None = None,
        seed: int = 0,
        buffer: int = 256,
        transform: Callable[[Sample], Any] | None = None,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        super().__init__()
        dataset = maskgen.open(data)
        rows = dataset.count(split) if split in dataset.splits else 0
        if not rows:
            raise UsageError(f"{dataset} has no photographs in {split!r}; its splits are {', '.join(dataset.splits)}.")
        chosen = tuple(variants) if variants is not None else dataset.variants
        if not set(chosen) <= set(dataset.variants) or not chosen:
            raise UsageError(f"{dataset} has no masks {', '.join(chosen)!r}; it has {', '.join(dataset.variants)}.")
        for name, value, low, high in (
            ("size", size, 1, 8192),
            ("masked_share", masked_share, 0, 1),
            ("seed", seed, 0, 2**63 - 1),
            ("buffer", buffer, 1, 1_000_000),
        ):
            if not low <= value <= high:
                raise UsageError(f"{name} is {value}; give a number from {low} to {high}.")
        self.rank, self.world = _process(rank, world)
        lanes = 1 << min(MAX_LANES.bit_length(), rows.bit_length()) - 1
        if lanes % self.world or not 0 <= self.rank < self.world:
            raise UsageError(
                f"{rows} photographs cannot be shared by process {self.rank} of {self.world}; use a power of two of "
                f"processes, at most {lanes}."
            )
        self.identities: tuple[str, ...] = tuple(dataset.info["identities"])
        """The identity that each label means."""
        self._feed = Feed(str(data), lanes, size, chosen, masked_share, seed, buffer, split)
        self._shards = dataset.shards(split)
        self._length = rows // lanes
        self._transform = transform

    def __len__(self) -> int:
        """The samples that this process gets in an epoch, from all of its workers."""
        return self._length * len(self._lanes(0, 1))

    def __iter__(self) -> Iterator[Any]:
        lanes = self._lanes(*_worker())
        total, count = self._length * len(lanes), len(lanes)
        taken = [(self._given - place + count - 1) // count for place in range(count)]
        streams = [
            lane_rows(self._feed, lane, self._epoch * self._length + before, self._shards)
            for lane, before in zip(lanes, taken, strict=True)
        ]
        while self._given < total:
            row, name = next(streams[self._given % count])
            self._given += 1
            yield self._sample(row, name)
        self._epoch, self._given = self._epoch + 1, 0

    def share(self) -> int:
        """The samples that this worker gets in an epoch."""
        return self._length * len(self._lanes(*_worker()))

    def _lanes(self, worker: int, workers: int) -> range:
        own = self._feed.lanes // self.world
        return range(self.rank * own, (self.rank + 1) * own)[worker::workers]

    def _sample(self, row: maskgen.Row, name: str) -> Any:
        size = self._feed.size
        picture = np.ascontiguousarray(resized(row.image(name), size).transpose(2, 0, 1))
        points = (row.landmarks + 0.5) * (size / row.width, size / row.height) - 0.5
        sample = {
            "image": tv_tensors.Image(torch.from_numpy(picture)),
            "landmarks": tv_tensors.KeyPoints(points.astype(np.float32), canvas_size=(size, size)),
            "label": row.label,
            "identity": row.identity,
            "key": row.key,
            "picture": name,
        }
        return self._transform(sample) if self._transform else sample


class MixedDataset(_Resumable):
    """Several data sets in one stream: each sample comes from one of them, drawn by the given shares.

    An epoch ends with that of the first data set; the others start again when they end. Labels are moved, so that those
    of different data sets differ: the identities of the second come after those of the first, and so on.

    Args:
        datasets: What to mix.
        shares: The share of each in the stream; they are divided by their sum.
        seed: Seed of the draws.

    Raises:
        UsageError: If there is not one positive share for each.

    Example:
        >>> mixed = mfr_train.MixedDataset([real, synthetic], [1, 3])  # doctest: +SKIP
    """

    def __init__(self, datasets: Sequence[ShardDataset], shares: Sequence[float], seed: int = 0) -> None:
        super().__init__()
        if not datasets or len(datasets) != len(shares) or not all(0 < share < float("inf") for share in shares):
            raise UsageError(f"{len(datasets)} data sets have the shares {list(shares)}; give a positive one for each.")
        self.datasets = list(datasets)
        self.identities: tuple[str, ...] = tuple(name for part in datasets for name in part.identities)
        """The identity that each label means; one that several data sets know has a label for each."""
        self._shares = np.asarray(shares, float) / sum(shares)
        self._seed = seed

    def __iter__(self) -> Iterator[Any]:
        first = self.datasets[0]
        draws = np.random.default_rng([self._seed, self._epoch, first.rank, _worker()[0]])
        sizes, counts = [part.share() for part in self.datasets], [0] * len(self.datasets)
        if not all(sizes):
            return  # more workers than places to read from: the others give all
        for _ in range(self._given):
            counts[self._draw(draws)] += 1
        streams = [self._endless(*pair) for pair in zip(self.datasets, sizes, counts, strict=True)]
        offsets = np.cumsum([0, *(len(part.identities) for part in self.datasets)]).tolist()
        while (drawn := self._draw(draws)) != 0 or counts[0] < sizes[0]:
            counts[drawn] += 1
            self._given += 1
            yield _moved(next(streams[drawn]), offsets[drawn])
        self._epoch, self._given = self._epoch + 1, 0

    def _draw(self, draws: np.random.Generator) -> int:
        return int(np.searchsorted(np.cumsum(self._shares)[:-1], draws.random(), side="right"))

    def _endless(self, part: ShardDataset, size: int, start: int) -> Iterator[Any]:
        epoch, given = divmod(start, size)
        while True:
            part.load_state_dict({"epoch": self._epoch * EPOCH_OF_A_MIX + epoch, "given": given})
            yield from part
            epoch, given = epoch + 1, 0


def _moved(sample: Any, offset: int) -> Any:
    """The sample with its label moved; one that a transform has made something else of stays as it is."""
    if isinstance(sample, dict) and sample.get("label", -1) >= 0:
        return {**sample, "label": sample["label"] + offset}
    return sample


def _worker() -> tuple[int, int]:
    """The number of this worker of a DataLoader, and how many there are."""
    info = get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)


def _process(rank: int | None, world: int | None) -> tuple[int, int]:
    if (rank is None) != (world is None):
        raise UsageError("rank and world belong together; give both or neither.")
    if rank is not None and world is not None:
        return rank, world
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
