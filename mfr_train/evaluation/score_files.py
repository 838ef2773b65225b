"""The scores of every pair of a scenario: one Parquet file or, if they are too many to keep, a folder of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from maskgen.errors import MaskgenError

from . import scores
from .material import Material
from .measure import Measured
from .scenarios import Choice, Indices
from .scores import Comparison, Scores

GROUP, SHARD = 2**20, 2**24
"""Pairs of a row group, about, and of a file of a folder: about 90 MB."""

ROWS = GROUP // scores.COLUMNS
"""Rows of a block, so that it has as many pairs as a row group."""

BYTES = 8
"""Bytes of a pair in a folder, at most: 4 of the score, and positions of the two pictures, which compress well."""


Columns = dict[str, tuple[Any, Indices]]
"""The columns that name pictures: by name, the distinct values and the value of each picture of its side, int (n,)."""


def write(path: Path, material: Material, found: Measured, left: Choice, right: Choice) -> None:
    """Writes the scores that were kept as one table; nothing if they were too many to keep.

    Columns: reference and probe (keys, or paths of the protocol table), reference_picture and probe_picture (names),
    reference_subject and probe_subject, genuine (bool), score (float64).
    """
    if found.scores is None:
        return
    genuine, impostor = found.scores
    pairs = _joined([genuine, impostor])
    kinds = np.arange(len(pairs.values)) < len(genuine.values)
    try:
        pq.write_table(_table(_columns(material, left, right), pairs, kinds), path, compression="zstd")
    except OSError as error:
        raise _unwritable(path, error) from None


def write_folder(
    folder: Path, material: Material, comparison: Comparison, left: Choice, right: Choice
) -> tuple[int, int]:
    """Writes every score of a comparison to FOLDER/00000.parquet and so on; returns how many, and how many bytes.

    Scores are computed once more, block by block, so memory does not grow with their number. The columns are those of
    `write`, but scores are float32. Genuine pairs come first. Raises `MaskgenError` before the first file if the disk
    has too little room, and later if it is full.
    """
    needed, free = comparison.pairs * BYTES, shutil.disk_usage(folder.parent).free
    if needed > free:
        raise MaskgenError(
            f"the {comparison.pairs:,} scores of {folder.name} can take {size(needed)}, and {size(free)} are free; "
            "give another --out, or --keep-scores auto."
        )
    columns, count = _columns(material, left, right), 0
    shard: pq.ParquetWriter | None = None
    try:
        folder.mkdir()
        for pairs, genuine in _groups(comparison):
            table = _table(columns, pairs, genuine, np.float32)
            if shard is None or count // SHARD != (count + len(table)) // SHARD:
                if shard:
                    shard.close()
                shard = pq.ParquetWriter(
                    folder / f"{len(os.listdir(folder)):05}.parquet", table.schema, compression="zstd"
                )
            shard.write_table(table, row_group_size=len(table))
            count += len(table)
        if shard:
            shard.close()
        return count, sum(path.stat().st_size for path in folder.iterdir())
    except OSError as error:
        with suppress(OSError):
            if shard:
                shard.close()
        raise _unwritable(folder, error) from None


def size(count: float) -> str:
    """A number of bytes for readers."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _groups(comparison: Comparison) -> Iterator[tuple[Scores, bool]]:
    """The scores, genuine ones first, in parts of `GROUP` to twice as many, and whether they are genuine."""
    for genuine, blocks in ((True, scores.genuine_blocks), (False, scores.impostor_blocks)):
        kept: list[Scores] = []
        count = 0
        for pairs in scores.streamed(comparison, blocks(comparison, ROWS)):
            kept.append(pairs)
            count += len(pairs.values)
            if count >= GROUP:
                yield _joined(kept), genuine
                kept, count = [], 0
        if count:
            yield _joined(kept), genuine


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _columns(material: Material, left: Choice, right: Choice) -> Columns:
    columns: Columns = {}
    labels = np.array(material.labels)
    for name, side in (("reference", left), ("probe", right)):
        columns[name] = labels, side.rows
        columns[f"{name}_picture"] = np.unique(side.names, return_inverse=True)
        columns[f"{name}_subject"] = np.array(material.names), material.subjects[side.rows]
    return columns


def _table(columns: Columns, pairs: Scores, genuine: Any, precision: Any = np.float64) -> pa.Table:
    named = {
        name: _named(values, codes[pairs.reference if name.startswith("reference") else pairs.probe])
        for name, (values, codes) in columns.items()
    }
    kinds = np.full(len(pairs.values), genuine) if isinstance(genuine, bool) else genuine
    return pa.table({**named, "genuine": kinds, "score": pairs.values.astype(precision)})


def _named(values: Any, codes: Indices) -> pa.DictionaryArray:
    """A column whose dictionary holds the values that occur in it: a part of many scores names few pictures."""
    there = np.zeros(len(values), bool)
    there[codes] = True
    places = (np.cumsum(there) - 1).astype(np.int32)
    return pa.DictionaryArray.from_arrays(places[codes], pa.array([str(value) for value in values[there]]))


def _unwritable(path: Path, error: OSError) -> MaskgenError:
    return MaskgenError(f"cannot write {path} ({error.strerror or error}); make room or give another --out.")
