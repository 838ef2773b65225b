"""plan.parquet: a row group for each shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..storage.base import Storage
from . import columns


def shard_slices(table: pa.Table) -> list[tuple[str, int, int, int]]:
    """(split, shard, first row, rows) of every shard of a plan, in key order."""
    split = table["split"].combine_chunks().dictionary_encode()
    code, shard = columns.to_numpy(split.indices), columns.to_numpy(table["shard"])
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(code) != 0) | (np.diff(shard) != 0)]))
    ends = np.append(starts[1:], len(code))
    names = split.dictionary.to_pylist()
    return [
        (names[code[first]], int(shard[first]), int(first), int(end - first))
        for first, end in zip(starts, ends, strict=True)
    ]


@contextmanager
def opened_plan(storage: Storage, sha256: str) -> Iterator[IO[bytes]]:
    """The file of the plan of the data set whose dataset.json gives this hash.

    Raises `OSError` or `ValueError` if it cannot be read or is another one.
    """
    if storage.sha256("plan.parquet") != sha256:
        raise ValueError("it is not the plan of this data set")
    with storage.open("plan.parquet") as file:
        yield file


def read_plan(storage: Storage, sha256: str) -> pa.Table:
    """All of the plan that `opened_plan` opens. Raises `pa.ArrowException`, too, if it cannot be read."""
    with opened_plan(storage, sha256) as file:
        return pq.read_table(file)


def write_plan(table: pa.Table, path: Path) -> None:
    """Writes a plan as Parquet, one row group a shard, so that a worker reads its own rows only."""
    with pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True) as writer:
        for _, _, first, rows in shard_slices(table):
            writer.write_table(table.slice(first, rows))
