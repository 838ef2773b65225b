"""Members of a tar shard, in one pass that reads only what is wanted.

`tarfile` builds an object of each header, and its eight headers of a photograph cost as much as decoding a picture.
Our tars are plain: regular files, names within a header, sizes in octal. Anything else is damage.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from struct import Struct
from typing import Any

from ..imaging.limits import MAX_BYTES

BLOCK = 512

AHEAD = 1 << 20
"""Bytes read at once: few requests to an object store, and little memory for each open shard."""

_HEADER = Struct("100s 24x 12s 12x 8s 1s 100x 5s 250x")  # name, size, checksum, type, magic


def members(file: Any, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted members of a tar, in its order; those not wanted are passed over.

    `file` is open for reading bytes. Raises `tarfile.TarError` where the tar is damaged or cut short.
    """
    stream = io.BufferedReader(file, AHEAD)
    try:
        while True:
            header = stream.read(BLOCK)
            if len(header) < BLOCK:
                raise tarfile.TarError("it is cut short")
            raw, octal, checksum, kind, magic = _HEADER.unpack(header)
            if not raw[0]:
                return  # the empty block at the end
            # The checksum's own eight bytes count as spaces, and zeros add nothing.
            if sum(header.translate(None, b"\0")) - sum(checksum) + 256 != _number(checksum):
                raise tarfile.TarError("a header is damaged")
            if kind != b"0" or magic != b"ustar":
                raise tarfile.TarError("it holds something that is no file")
            name, size = raw.rstrip(b"\0").decode(), _number(octal)
            if size > MAX_BYTES:
                raise tarfile.TarError(f"{name} is larger than a picture")
            padding = -size % BLOCK
            if not wanted(name):
                stream.seek(size + padding, io.SEEK_CUR)
                continue
            content = stream.read(size + padding)
            if len(content) < size + padding:
                raise tarfile.TarError(f"{name} is cut short")
            yield name, content[:size]
    finally:
        stream.detach()  # the file is its owner's to close


def _number(octal: bytes) -> int:
    """A number of a header: digits alone, since `int` also takes signs, and a negative size would lead back."""
    digits = octal.strip(b" \0")
    try:
        if digits.isdigit():
            return int(digits, 8)
    except ValueError:  # 8 or 9
        pass
    raise tarfile.TarError("a header is damaged")
