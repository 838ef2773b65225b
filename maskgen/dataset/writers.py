"""Samples -> the bytes of a shard: Parquet, and WebDataset tar. Both write the same bytes for the same samples."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from . import columns, schema
from .record import Row

ROW_GROUP = 64
"""Rows of a Parquet row group: what a writer holds in memory, and what a reader reads at once."""


ROW_GROUP_BYTES = 64 << 20
"""A row group ends early where its pictures reach this size: large ones fill no memory."""


class ShardWriter(Protocol):
    """Writes samples to one file. Leaving the context closes the file; only a marker says that it is whole."""

    def add(self, sample: Row) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None: ...


class ParquetShard:
    """A Parquet shard with images in `datasets`' struct<bytes, path>, written a row group at a time."""

    def __init__(self, path: Path, variants: str, store: str) -> None:
        self._schema = schema.row_schema(variants, store)
        self._samples: list[Row] = []
        self._size = 0
        jpegs = [f"{name}.{leaf}" for name in schema.picture_names(variants, store) for leaf in ("bytes", "path")]
        lists = {field.name: field.type for field in self._schema if pa.types.is_fixed_size_list(field.type)}
        plain = [field.name for field in self._schema if field.type != schema.IMAGE and field.name not in lists]
        floats = [f"{name}.list.element" for name, kind in lists.items() if kind.value_type == pa.float32()]
        self._file = pa.OSFile(os.fspath(path), "wb")
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression={  # JPEG does not compress
                **dict.fromkeys(jpegs, "none"),
                **dict.fromkeys([*plain, *(f"{name}.list.element" for name in lists)], "zstd"),
            },
            # The first bytes of all numbers together, then the second ones ...: coordinates compress by a third.
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            use_dictionary=["source", "identity", "split"],
            write_page_checksum=True,  # what a network makes of a page is seen by the reader
            write_statistics=["key", "source", "identity", "split", "label"],
        )

    def add(self, sample: Row) -> None:
        self._samples.append(sample)
        self._size += sum(map(len, sample.pictures.values()))
        if len(self._samples) == ROW_GROUP or self._size >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._samples:
            columns = [_column(field, self._samples) for field in self._schema]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
            self._samples.clear()
            self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:  # closed here: after a failed write the writer would keep it open
            try:
                if kind is None:
                    self._flush()
            finally:
                self._writer.close()


class TarShard:
    """A WebDataset shard: KEY.unmasked.jpg, KEY.<mask>.jpg ... and KEY.json, in uncompressed tar.

    The standard library writes it: importing the webdataset library imports torch, which a generator has no use for.
    """

    def __init__(self, path: Path, variants: str, store: str) -> None:
        self._tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)

    def add(self, sample: Row) -> None:
        for name, data in sample.pictures.items():
            self._member(f"{sample.key}.{name}.jpg", data)
        self._member(f"{sample.key}.json", json.dumps(sample.facts(), ensure_ascii=False).encode())

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)  # time 0, owner 0: the same bytes on every machine and day
        header.size = len(data)
        self._tar.addfile(header, io.BytesIO(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()


WRITERS: dict[str, Callable[[Path, str, str], ShardWriter]] = {"parquet": ParquetShard, "tar": TarShard}
"""Writer of each file ending."""


def endings(format: str) -> tuple[str, ...]:
    """The endings of a shard's files for the setting `--format`."""
    return {"parquet": ("parquet",), "webdataset": ("tar",), "both": ("parquet", "tar")}[format]


def _column(field: pa.Field, samples: list[Row]) -> pa.Array:
    """One column of a row group."""
    name, kind = field.name, field.type
    if kind == schema.IMAGE:
        data = [sample.pictures[name] for sample in samples]
        paths = [f"{sample.key}.{name}.jpg".encode() for sample in samples]
        parts = [columns.binary(part.type, values) for part, values in zip(kind, (data, paths), strict=True)]
        return pa.StructArray.from_arrays(parts, fields=list(kind))
    if kind == schema.COLOR:
        return columns.lists(kind, [sample.colors[name.removesuffix("_color")] for sample in samples])
    values = [getattr(sample, name) for sample in samples]
    if pa.types.is_fixed_size_list(kind):
        return columns.lists(kind, values)
    if pa.types.is_string(kind):
        return columns.texts(values)
    return columns.numbers(kind, values)
