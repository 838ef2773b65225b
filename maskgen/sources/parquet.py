"""Parquet files with a column of images (a struct of bytes and path, as `datasets` writes, or bytes) and of people."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import UsageError, short
from .photograph import Photograph
from .place import Container, Place

IDENTITY_COLUMNS = ("identity", "label", "class")
IMAGE_COLUMNS = ("image", "img", "jpg", "picture", "photo")
"""Names that decide where several columns hold bytes."""

_BATCH = 16
_BUFFER = 1 << 20
_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, OverflowError)
"""What a damaged file makes pyarrow raise. A network's errors are `MaskgenError` by then."""


def photographs(place: Place, name: str, identity_field: str | None, image_column: str | None) -> Iterator[Photograph]:
    """The rows of one Parquet file, in their order. Every page is read, so a damaged one is found before work begins.

    Raises `UsageError` if a column is missing or several could be meant, `MaskgenError` if the file is damaged.
    """
    with Container(place, name) as container:
        file = _opened(container)
        schema = file.schema_arrow
        image = _image_column(container.name, schema, image_column)
        identity = _identity_column(container.name, schema, identity_field)
        names = _class_names(schema, identity)
        row = 0
        for batch in _batches(container, file, range(file.metadata.num_row_groups), [_leaf(schema, image), identity]):
            try:
                sizes = pc.binary_length(_bytes(batch.column(image))).to_pylist()
                people = batch.column(identity).to_pylist()
            except _DAMAGE as error:
                raise container.damaged(f"rows from {row} cannot be read ({_said(error)})") from None
            for size, person in zip(sizes, people, strict=True):
                who, problem = _person(person, names), ""
                if size is None:
                    problem = "unreadable: the row has no image bytes"
                elif not who:
                    problem = "no_identity: the row names no person"
                yield Photograph(f"{name}/{row:06d}", who, "", size or 0, problem, name, container.size, row)
                row += 1


class Rows:
    """The images of a Parquet file by row number. Rising numbers read every row group once."""

    def __init__(self, container: Container, image_column: str | None) -> None:
        self._container, self._file = container, _opened(container)
        self._image = _image_column(container.name, self._file.schema_arrow, image_column)
        groups = self._file.metadata
        rows = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        self._starts = [0, *np.cumsum(rows, dtype=np.int64).tolist()]
        self._group, self._row = -1, 0
        self._batches: Iterator[Any] = iter(())
        self._images: Any = []

    def read(self, row: int, size: int) -> bytes:
        """The image of a row; `MaskgenError` if it cannot be read or has another size."""
        group = bisect.bisect_right(self._starts, row) - 1
        if not 0 <= row < self._starts[-1]:
            raise self._container.not_planned(f"it has {self._starts[-1]} rows, and none of number {row}")
        if group != self._group or row < self._row:
            self._group, self._row, self._images = group, self._starts[group], []
            leaf = _leaf(self._file.schema_arrow, self._image)
            self._batches = _batches(self._container, self._file, [group], [leaf])
        while row >= self._row + len(self._images):
            self._row += len(self._images)
            self._images = _bytes(next(self._batches).column(self._image))
        data = self._images[row - self._row].as_py()
        if data is None or len(data) != size:
            has = "none" if data is None else len(data)
            raise self._container.not_planned(f"row {row} has {has} bytes of image and not {size}")
        return bytes(data)


def _opened(container: Container) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(container, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True)
    except _DAMAGE as error:
        raise container.damaged(_said(error)) from None


def _batches(container: Container, file: pq.ParquetFile, groups: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of row groups, some at a time; a group that is damaged or short of rows is `MaskgenError`."""
    for group in groups:
        left = file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(_BATCH, row_groups=[group], columns=columns, use_threads=False):
                left -= batch.num_rows
                yield batch
        except _DAMAGE as error:
            raise container.damaged(f"row group {group} cannot be read ({_said(error)})") from None
        if left:
            raise container.damaged(f"row group {group} is {left} rows short")


def _said(error: Exception) -> str:
    return short(error).rstrip(".") or type(error).__name__


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_binary(kind.field(place).type)
    return _is_binary(kind)


def _leaf(schema: pa.Schema, image: str) -> str:
    """The column to ask Parquet for: of a struct the bytes alone."""
    return f"{image}.bytes" if pa.types.is_struct(schema.field(image).type) else image


def _bytes(column: pa.Array) -> pa.Array:
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _image_column(file: str, schema: pa.Schema, wanted: str | None) -> str:
    images = [field.name for field in schema if _is_image(field.type)]
    if wanted is not None:
        if wanted not in images:
            raise UsageError(
                f"{file} has no column of images {wanted!r}; "
                f"--image-column may be {' or '.join(images) or 'none of this file'}."
            )
        return wanted
    chosen = images if len(images) == 1 else [name for name in IMAGE_COLUMNS if name in images][:1]
    if not chosen:
        what = (
            f"several columns of images ({', '.join(images)}); name one with" if images else "no column of images for"
        )
        raise UsageError(f"{file} has {what} --image-column.")
    return chosen[0]


def _identity_column(file: str, schema: pa.Schema, wanted: str | None) -> str:
    names = (wanted,) if wanted is not None else IDENTITY_COLUMNS
    for name in names:
        if schema.names.count(name) == 1:
            kind = schema.field(name).type
            value = kind.value_type if pa.types.is_dictionary(kind) else kind
            if pa.types.is_integer(value) or pa.types.is_string(value) or pa.types.is_large_string(value):
                return name
            raise UsageError(f"{file} has {kind} in column {name!r}; --identity-field needs text or whole numbers.")
    raise UsageError(
        f"{file} has no column {' or '.join(names)}; name the people's column with --identity-field: "
        f"it has {', '.join(schema.names)}."
    )


def _class_names(schema: pa.Schema, identity: str) -> list[str]:
    """The names behind the numbers of a `datasets.ClassLabel` column, where it is one."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][identity]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
        return [name.encode("utf-8", "backslashreplace").decode().strip() for name in names]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []


def _person(value: str | int | None, names: list[str]) -> str:
    if isinstance(value, int) and names and 0 <= value < len(names):
        return names[value]
    return "" if value is None else str(value).strip()
