"""RecordIO packs as insightface ships MS1MV3, Glint360K and others: NAME.rec with its index NAME.idx.

A .rec is a row of parts. A part is the magic number, a word whose upper 3 bits are the part's role and whose lower 29
its length, the data, and zeros up to a multiple of 4 bytes (all numbers little-endian). A record is one part of role 0;
or, where its data held the magic number at a multiple of 4, parts of role 1, 2 ..., 3 with that number between them.
A record's data is a header (flag, label, id, id2: uint32, float32, 2 x uint64), `flag` labels as float32 where flag is
not 0, then the image file. The .idx has a line `KEY<tab>OFFSET` for each record.

Record 0 may be no photograph: flag 2 or more and no image. Its first label is then the number after the last
photograph's key, and the records from there on, without images too, say which photographs are whose.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from .photograph import Photograph
from .place import Container, Place

MAGIC = 0xCED7230A

_MAGIC = struct.pack("<I", MAGIC)
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_CHUNK = 65_536
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)

_LINES = pa.csv.ReadOptions(use_threads=False, column_names=["key", "offset"])
_COLUMNS = pa.csv.ParseOptions(delimiter="\t", quote_char=False)
_NUMBERS = pa.csv.ConvertOptions(column_types={"key": pa.int64(), "offset": pa.int64()})

MAX_INDEX = 1 << 31
"""Bytes of an index at most; Glint360K's has 0.3 GB."""


def photographs(place: Place, name: str) -> Iterator[Photograph]:
    """The photographs of one pack, in the order in which they lie in the .rec.

    The index must name every record: the records, laid end to end, must be the file. Raises `MaskgenError` if they
    are not, or if a record is no record; a label that names nobody is a problem of its photograph.
    """
    with Container(place, name) as container:
        keys, offsets = _index(place, name, container)
        first, last = _photograph_keys(container, keys, offsets)
        width = max(7, len(str(keys.max())))
        ends = np.append(offsets[1:], container.size)
        for key, offset, end in _rows(keys, offsets, ends):
            length, head, stop = _scan(container, offset)
            if stop != end:
                raise container.damaged(
                    f"the record at byte {offset} ends at byte {stop}, and its index has the next one at byte {end}"
                )
            size, identity, problem = _described(length, head)
            if first <= key and (key < last or size > 0):
                yield Photograph(f"{name}/{key:0{width}d}", identity, "", size, problem, name, container.size, offset)


def read(container: Container, offset: int, size: int) -> bytes:
    """The image of the record at `offset`; `MaskgenError` if there is no record, or one of another size."""
    data = b"".join(_parts(container, offset))
    image_size, _, _ = _described(len(data), data)
    if image_size != size:
        raise container.not_planned(f"the record at byte {offset} has an image of {image_size} bytes and not {size}")
    return data[len(data) - size :]


def _index(place: Place, name: str, container: Container) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Keys and offsets of a pack's index, sorted by offset, once every offset is known to lie in the pack."""
    with Container(place, f"{name[:-4]}.idx") as index:
        if index.size > MAX_INDEX:
            raise index.damaged(f"it has {index.size} bytes, more than an index can have")
        text = index.at(0, index.size)
        if not text.endswith(b"\n"):
            raise index.damaged("its last line has no end: it was cut short")
        try:
            lines = pa.csv.read_csv(pa.BufferReader(text), _LINES, _COLUMNS, _NUMBERS)
            keys, offsets = (lines[name].to_numpy() for name in ("key", "offset"))
        except (pa.ArrowException, ValueError):
            raise index.damaged("a line is not KEY<tab>OFFSET in whole numbers") from None
        if not len(keys) or lines["key"].null_count or lines["offset"].null_count or keys.min() < 0:
            raise index.damaged("it names no record, or a line is not KEY<tab>OFFSET in whole numbers")
        order = np.argsort(offsets, kind="stable")
        keys, offsets = keys[order], offsets[order]
        if len(np.unique(keys)) != len(keys) or (np.diff(offsets) == 0).any():
            raise index.damaged("it names a record twice")
        if offsets[-1] + _PART.size > container.size:
            raise index.damaged(f"it points to byte {offsets[-1]}, and the .rec ends at byte {container.size}")
        if offsets[0] != 0:
            raise index.damaged(f"its first record is at byte {offsets[0]} and not at 0: lines are missing")
        return keys, offsets


def _rows(*columns: npt.NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    """The rows of columns as plain numbers, some at a time: Glint360K has 17 million."""
    for first in range(0, len(columns[0]), _CHUNK):
        yield from zip(*(column[first : first + _CHUNK].tolist() for column in columns), strict=True)


def _photograph_keys(
    container: Container, keys: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> tuple[int, int]:
    """The first key of a photograph and the one after the last, as record 0 says; else every key.

    Labels are float32, exact to 2**24 only. From there on the last key is taken as low as rounding allows, and
    whatever has an image is a photograph.
    """
    place = np.flatnonzero(keys == 0)
    if not len(place):
        return 0, int(keys.max()) + 1
    data = b"".join(_parts(container, int(offsets[place[0]])))
    if len(data) < _HEADER.size:
        return 0, int(keys.max()) + 1
    flag = _HEADER.unpack_from(data)[0]
    if flag < 2 or len(data) != _HEADER.size + 4 * flag:
        return 0, int(keys.max()) + 1
    label = np.frombuffer(data, "<f4", 2, _HEADER.size)[0]
    if not (np.isfinite(label) and label >= 1 and label == np.floor(label)):
        raise container.damaged(f"record 0 says that photographs end at {label}")
    after = int(label) - (int(np.spacing(label)) if label >= 2**24 else 0)
    known = np.count_nonzero((keys >= 1) & (keys < after))
    if known != after - 1:
        raise container.damaged(f"record 0 promises {after - 1} photographs and the index has {known} of them")
    return 1, after


def _scan(container: Container, offset: int) -> tuple[int, bytes, int]:
    """Length of a record's data, as much of its beginning as its labels need, and the byte after it.

    A record in one part, which nearly all are, is not read to its end.
    """
    role, length = _part(container, offset)
    if role != _WHOLE:
        pieces = list(_parts(container, offset))  # part, magic number, part ...
        data = b"".join(pieces)
        return len(data), data, offset + sum(_PART.size + _padded(len(part)) for part in pieces[::2])
    head = container.at(offset + _PART.size, min(length, _HEADER.size + 4))
    return length, head, offset + _PART.size + _padded(length)


def _parts(container: Container, offset: int) -> Iterator[bytes]:
    """The data of a record: part, magic number, part ... Raises `MaskgenError` if the parts make no record."""
    role, length = _part(container, offset)
    if role not in (_WHOLE, _FIRST):
        raise container.damaged(f"the record at byte {offset} begins in its middle")
    yield container.at(offset + _PART.size, length)
    while role not in (_WHOLE, _LAST):
        offset += _PART.size + _padded(length)
        role, length = _part(container, offset)
        if role not in (_MIDDLE, _LAST):
            raise container.damaged(f"the record before byte {offset} has no end")
        yield _MAGIC
        yield container.at(offset + _PART.size, length)


def _part(container: Container, offset: int) -> tuple[int, int]:
    """Role and length of the part at `offset`, which lies in the file."""
    magic, word = _PART.unpack(container.at(offset, _PART.size))
    role, length = word >> 29, word & (1 << 29) - 1
    if magic != MAGIC or role > _LAST:
        raise container.damaged(f"no record begins at byte {offset}")
    if offset + _PART.size + _padded(length) > container.size:
        raise container.damaged(
            f"the record at byte {offset} claims {length} bytes, and the file ends at byte {container.size}"
        )
    return role, length


def _padded(length: int) -> int:
    return length + -length % 4


def _described(length: int, head: bytes) -> tuple[int, str, str]:
    """Bytes of the image, the person and the problem, from a record's length and its beginning."""
    if length < _HEADER.size:
        return 0, "", f"damaged: the record has {length} bytes and no header"
    flag, label, _, _ = _HEADER.unpack_from(head)
    size = length - _HEADER.size - 4 * flag
    if size < 0:
        return 0, "", f"damaged: the record claims {flag} labels and has {length} bytes"
    if flag:
        label = struct.unpack_from("<f", head, _HEADER.size)[0]
    if not (np.isfinite(label) and label == np.floor(label)):
        return size, "", f"no_identity: the label is {label}"
    return size, str(int(label)), ""
