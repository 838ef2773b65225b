"""The photographs of a data set that its page measures: all, or as many evenly spaced ones as cost a bounded time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from ..dataset.reader import Shard
from ..dataset.record import Row, covers_and_face
from ..errors import MaskgenError
from ..imaging import labels
from ..progress import step
from .contents import Contents
from .spacing import runs_of, spaced

SAMPLE = 20_000
"""Photographs that are measured by default: quantiles of shares are then right to a percent, in seconds."""

SHARDS = 100
"""Shards that they are read from at most: each is opened, which takes several requests in an object store, and a tar is
gone through header by header."""

COVERED = 400
"""Photographs on which the share of the face is measured, pixel by pixel."""


@dataclass
class Sample:
    """The rows that were read, without their pictures, with their numbers in their shards.

    Attributes:
        total: Photographs in the shards that are whole.
        rows: Those measured, in key order.
        places: The shard of each, and its number there.
        broken: What is wrong with shards that could not be read, by name.
    """

    total: int
    rows: list[Row] = field(default_factory=list)
    places: list[tuple[Shard, int]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def landmarks(self) -> npt.NDArray[np.float32]:
        """Of all rows, float32 (n, 68, 2)."""
        return np.array([row.landmarks for row in self.rows], np.float32).reshape(-1, 68, 2)

    def read(self, numbers: Sequence[int], images: Sequence[str]) -> Iterator[tuple[int, Row]]:
        """Rows by their numbers in this sample, ascending, with pictures; those that are damaged are left out.

        A shard is opened once.
        """
        for shard, group in groupby(numbers, lambda number: self.places[number][0]):
            chosen = list(group)
            if shard.name not in self.broken:
                try:
                    rows = shard.read(images, [self.places[number][1] for number in chosen])
                    yield from zip(chosen, rows, strict=False)
                except MaskgenError as error:
                    self.broken[shard.name] = str(error)


def sample(contents: Contents, most: int) -> Sample:
    """Reads at most so many photographs, evenly spaced; the same ones each time."""
    shards = [part.shard for part in contents.parts if part.shard and part.rows]
    total = sum(shard.rows for shard in shards)
    if total > most:
        shards = [shards[place] for place in spaced(len(shards), SHARDS)]
    found, there = Sample(total), sum(shard.rows for shard in shards)
    read = 0
    with step("reading landmarks", there) as bar:
        for shard in shards:
            # Of the first `read` rows, as many are taken as their share of `most` is, to the nearest.
            wanted = shard.rows
            if there > most:
                wanted = round((read + shard.rows) * most / there) - round(read * most / there)
            numbers = runs_of(shard.rows, wanted)
            try:
                for number, row in zip(numbers, shard.read((), numbers) if numbers else (), strict=False):
                    found.rows.append(row)
                    found.places.append((shard, number))
            except MaskgenError as error:
                found.broken[shard.name] = str(error)
            read += shard.rows
            bar.update(shard.rows)
    return found


def covered(rows: Sequence[Row]) -> dict[str, list[float]]:
    """The share of the face that each mask covers, by its kind, on evenly spaced rows."""
    chosen = [rows[number] for number in spaced(len(rows), COVERED)]
    found: dict[str, list[float]] = {}
    with step("measuring masks", len(chosen)) as bar:
        for row in chosen:
            bar.update()
            try:
                covers, face = covers_and_face(row, tuple(row.colors))
            except MaskgenError:
                continue  # its landmarks are no face; it is among the unusual ones
            for name, cover in covers.items():
                found.setdefault(row.variant or name, []).append(labels.covered(cover, face))
    return dict(sorted(found.items()))
