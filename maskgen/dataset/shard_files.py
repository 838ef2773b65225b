"""The rows of one shard, from its Parquet file or its tar."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from tarfile import TarError
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import short
from ..imaging.limits import MAX_PIXELS, MAX_SIDE
from ..imaging.outline import MAX_COORDINATE
from ..imaging.styles import FLAT, Style
from ..imaging.variants import VARIANTS
from ..storage import files
from . import tar
from .columns import to_numpy
from .record import HEAD, Row
from .schema import is_row_schema
from .writers import ROW_GROUP

if TYPE_CHECKING:
    from .reader import Dataset, Shard

Choose = Callable[[str], tuple[str, tuple[str, ...]]]
"""From the key of a photograph to the picture that was chosen for it ("" if there was no choice), and the stored
pictures to read."""

MAX_ROW_GROUP_BYTES = 1 << 30
"""Of a row group in memory. A kilobyte of Parquet can stand for gigabytes of equal values."""

_ONE_BY_ONE = {"PLAIN", "RLE", "BIT_PACKED", "BYTE_STREAM_SPLIT"}
"""Encodings that hold each value of a row by itself; others may hold it once for all rows of the group."""


def parquet_rows(
    file: Any, shard: Shard, stored: tuple[str, ...], numbers: Sequence[int], choose: Choose
) -> Iterator[tuple[Row, str]]:
    """Rows of a Parquet shard with what `choose` chose for each; reads the row groups of `numbers` only."""
    source, variants = parquet_file(file, shard.dataset), shard.dataset.variants
    if source.metadata.num_rows != (rows := shard.marker["rows"]):
        raise ValueError(f"it has {source.metadata.num_rows} rows and its marker says {rows}")
    colors = [f"{name}_color" for name in variants]
    head = [*HEAD, "variant"] if "variant" in source.schema_arrow.names else [*HEAD]
    columns = [*head, "box", "landmarks", *colors, *(f"{name}.bytes" for name in stored)]
    first, style = 0, _style(shard, stored)
    for group in range(source.num_row_groups):
        following = first + source.metadata.row_group(group).num_rows
        chosen = numbers[bisect_left(numbers, first) : bisect_left(numbers, following)]
        if chosen:
            table = source.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
            if empty := [name for name in table.column_names if table[name].null_count]:
                raise ValueError(f"values of {empty[0]} are missing")
            plain = list(zip(*(table[name].to_pylist() for name in head), strict=True))
            boxes = _values(table["box"], 4)
            landmarks = _values(table["landmarks"], 136).reshape(-1, 68, 2)
            near = (_near(boxes) & _near(landmarks)).tolist()
            shades = [_values(table[name], 3).tolist() for name in colors]
            data = {name: table[name].chunk(0).field("bytes") for name in stored}
            for i in (number - first for number in chosen):
                fields = dict(zip(head, plain[i], strict=True))
                name, pictures = choose(fields["key"])
                row = Row(
                    **{"variant": None, **fields},
                    box=boxes[i],
                    landmarks=landmarks[i],
                    colors={name: tuple(shade[i]) for name, shade in zip(variants, shades, strict=True)},
                    # Only these are converted to Python: a row group holds every picture of 64 photographs.
                    pictures={name: data[name][i].as_py() for name in pictures},
                    shard=shard.name,
                    style=style,
                )
                _check(row, shard, near[i])
                yield row, name
        first = following


def parquet_file(file: Any, dataset: Dataset) -> pq.ParquetFile:
    """A Parquet shard, opened. Raises `ValueError` if its footer shows other columns or larger row groups than ours."""
    distant, made = dataset.storage.distant, dataset.info["settings"]
    # Checking costs an eighth of decoding. A disk watches over its bits itself; networks have been seen not to.
    source = pq.ParquetFile(file, pre_buffer=distant, page_checksum_verification=distant)
    if not is_row_schema(source.schema_arrow, made["variants"], made["store"]):
        raise ValueError("it has other columns than its data set")
    for group in map(source.metadata.row_group, range(source.num_row_groups)):
        if group.num_rows > ROW_GROUP or (size := _unpacked_bytes(group)) > MAX_ROW_GROUP_BYTES:
            many = f"{group.num_rows:,} rows" if group.num_rows > ROW_GROUP else f"up to {size:,} bytes"
            raise ValueError(f"it has {many} in one row group")
    return source


def _unpacked_bytes(group: pq.RowGroupMetaData) -> int:
    """How much memory the values of a row group take at most, by the footer of its file."""
    columns = map(group.column, range(group.num_columns))
    return sum(
        column.total_uncompressed_size * (1 if set(column.encodings) <= _ONE_BY_ONE else group.num_rows)
        for column in columns
    )


def _style(shard: Shard, stored: tuple[str, ...]) -> Style:
    """How to draw the masks of its rows, if they are not stored."""
    return shard.dataset.style if stored and shard.dataset.store == "recipe" else FLAT


def _values(column: pa.ChunkedArray, width: int) -> npt.NDArray[Any]:
    return to_numpy(column.chunk(0).flatten()).reshape(-1, width)


def _near(places: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether the coordinates of each row, (n, ...), are possible: what is made of others has no end or no value."""
    found: npt.NDArray[np.bool_] = (np.abs(places.reshape(len(places), -1)) <= MAX_COORDINATE).all(axis=1)
    return found


def _check(row: Row, shard: Shard, near: bool) -> None:
    """Raises `ValueError` if a value is not what it must be: those who read rows index, divide and draw with them."""
    names = shard.dataset.info["identities"]
    sides, shades = (row.width, row.height), [*chain.from_iterable(row.colors.values())]
    if {type(row.key), type(row.source), type(row.identity)} != {str} or not _is_key(row.key):
        wrong = "key, source or identity"
    elif row.split != shard.split:
        wrong = "split"
    elif type(row.label) is not int or not -1 <= row.label < len(names):
        wrong = "label"
    elif row.label >= 0 and names[row.label] != row.identity:
        wrong = "identity or label"
    elif {*map(type, sides)} != {int} or min(sides) < 1 or max(sides) > MAX_SIDE or row.width * row.height > MAX_PIXELS:
        wrong = "width or height"
    elif row.variant not in (VARIANTS if shard.dataset.variants == ("masked",) else (None,)):
        wrong = "variant"
    elif (
        {*map(len, row.colors.values())} != {3}
        or {*map(type, shades)} != {int}
        or not 0 <= min(shades) <= max(shades) <= 255
    ):
        wrong = "color"
    elif not near:
        wrong = "box or landmarks"
    else:
        return
    raise ValueError(f"{wrong} of photograph {short(repr(row.key))} is not what it must be")


def _is_key(text: str) -> bool:
    return len(text) >= 9 and text.isascii() and text.isdigit()


def tar_rows(
    file: Any, shard: Shard, stored: tuple[str, ...], numbers: Sequence[int], choose: Choose
) -> Iterator[tuple[Row, str]]:
    """Rows of a tar shard with what `choose` chose for each; other members are passed over."""
    chosen = numbers if isinstance(numbers, range) else set(numbers)
    rows, number, current = shard.marker["rows"], -1, ""
    name, named = "", tuple[str, ...]()

    def wanted(member: str) -> bool:
        """Whether to read a member. The first one of a photograph decides for all of them."""
        nonlocal number, current, name, named
        key, _, kind = member.partition(".")
        if key != current:
            number, current = number + 1, key
            name, named = choose(key) if number in chosen else ("", ())
        return number in chosen and (kind == "json" or kind.removesuffix(".jpg") in named)

    found: dict[str, bytes] = {}
    style = _style(shard, stored)
    for member, data in tar.members(file, wanted):
        key, _, kind = member.partition(".")
        if kind != "json":
            found[kind.removesuffix(".jpg")] = data
            continue
        row = files.parse_json(data)
        if row["key"] != key or len(found) != len(named):
            raise TarError(f"{key} is incomplete")
        made = Row(
            **{name: row[name] for name in HEAD},
            box=np.array(row["box"], dtype=np.float32).reshape(4),
            landmarks=np.array(row["landmarks"], dtype=np.float32).reshape(68, 2),
            colors={name: tuple(row[f"{name}_color"]) for name in shard.dataset.variants},
            variant=row.get("variant"),
            pictures=found,
            shard=shard.name,
            style=style,
        )
        _check(made, shard, bool(_near(made.box[None])) and bool(_near(made.landmarks[None])))
        yield made, name
        found = {}
        if number == numbers[-1] < rows - 1:
            return
    if number + 1 != rows:
        raise TarError(f"it ends after {number + 1} of {rows} rows")
