"""Draws files: which mask in which colour each photograph of a published masked set wears."""

from __future__ import annotations

import csv
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import UsageError, short
from ..imaging.variants import VARIANTS

LETTERS = {
    "a": "wide_high",
    "b": "round_high",
    "c": "wide_medium",
    "d": "round_medium",
    "e": "wide_low",
    "f": "round_low",
}
"""The masks as Boutros et al. name them in the draws that they published with self-restrained triplet loss (2021)."""

_HEADER = {"path": "path", "mask": "mask", "type": "mask", "variant": "mask", "r": "r", "g": "g", "b": "b"}
"""The columns of a draws file in CSV, by the names that they may have, in upper or lower case."""

_FORM = "give lines of `path mask r g b`, or a CSV file with the header path,mask,r,g,b"
_NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]*)?(e-[0-9]{1,3})?", re.ASCII | re.IGNORECASE)


class Draws(NamedTuple):
    """The draws of a file in its order: paths (string), masks (string) and RGB colours, uint8 (n, 3)."""

    paths: pa.Array
    masks: pa.Array
    colors: npt.NDArray[np.uint8]


def read_draws(path: Path) -> Draws:
    """Reads a draws file, in the text form `path mask r g b` or as CSV with a header.

    A mask is one of `VARIANTS` or one of `LETTERS`. Raises `UsageError` that names the file and the line.
    """
    lines: dict[str, int] = {}
    masks, colors = [], bytearray()
    try:
        with path.open("rb") as file:
            for line, values in _records(_text(file)):
                name = posixpath.normpath(values[0])
                if name in lines:
                    raise _Wrong(
                        line, f"it has a second draw for {short(repr(name))}, after line {lines[name]}; leave one"
                    )
                lines[name] = line
                masks.append(_mask(line, values[1]))
                colors += bytes(_channel(line, value) for value in values[2:])
    except OSError as error:
        raise UsageError(f"cannot read --draws {path}: {os.strerror(error.errno or 0)}; check its path.") from None
    except _Wrong as wrong:
        raise UsageError(f"line {wrong.line} of --draws {path} cannot be used: {wrong}.") from None
    if not lines:
        raise UsageError(f"--draws {path} is empty; {_FORM}.")
    return Draws(
        pa.array(lines, pa.string()), pa.array(masks, pa.string()), np.frombuffer(colors, np.uint8).reshape(-1, 3)
    )


def draw_names(sources: pa.ChunkedArray, containers: pa.ChunkedArray | None) -> pa.ChunkedArray:
    """The names that draws files have for photographs: their paths in the source folder, or in their tar."""
    if containers is None:
        return sources
    lengths = pc.add(pc.utf8_length(containers), 1)
    in_tar = pc.ends_with(containers, ".tar", ignore_case=True)
    names = [
        source[length:] if tar else source
        for source, length, tar in zip(sources.to_pylist(), lengths.to_pylist(), in_tar.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(names, pa.string())])


class _Wrong(Exception):
    """What is wrong with a line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def _text(file: Iterator[bytes]) -> Iterator[str]:
    """The lines of a file as text."""
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _Wrong(number, f"it is not text in UTF-8; {_FORM}") from None


def _records(lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """The number of each line and its five values: path, mask, r, g, b."""
    first = next(lines, "")
    columns = _columns(first)
    if "path" in columns:
        yield from _csv_records(columns, lines)
        return
    for number, line in enumerate(_chain(first, lines), 1):
        if line.strip():
            values = line.strip().rsplit(maxsplit=4)  # a path may have blanks in it
            if len(values) != 5:
                raise _Wrong(number, f"it is not a draw; {_FORM}")
            yield number, values


def _columns(line: str) -> list[str]:
    """What the columns of a CSV file hold, from its header; an empty text for a column that we do not know."""
    try:
        return [_HEADER.get(name.strip().lower(), "") for name in next(csv.reader([line]), [])]
    except csv.Error:
        return []


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _csv_records(columns: list[str], lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    wanted = ("path", "mask", "r", "g", "b")
    for name in wanted:
        if columns.count(name) != 1:
            raise _Wrong(1, f"it needs the column {name} once; {_FORM}")
    places = [columns.index(name) for name in wanted]
    reader = csv.reader(lines, strict=True)
    try:
        for values in reader:
            if not values:
                continue
            number = reader.line_num + 1
            if len(values) != len(columns):
                raise _Wrong(number, f"it has {len(values)} values and the header has {len(columns)}")
            found = [values[place].strip() for place in places]
            if not found[0]:
                raise _Wrong(number, "it has no path")
            yield number, found
    except csv.Error as error:
        raise _Wrong(reader.line_num + 1, f"it is not CSV ({short(error)})") from None


def _mask(line: int, text: str) -> str:
    name = LETTERS.get(text.lower(), text.lower())
    if name not in VARIANTS:
        raise _Wrong(
            line, f"there is no mask {short(repr(text))}; choose from {', '.join(VARIANTS)} or the letters a to f"
        )
    return name


def _channel(line: int, text: str) -> int:
    """A value of a colour. Published draws have fractions, which OpenCV rounded, halves to even, as it drew them."""
    if not _NUMBER.fullmatch(text) or not 0 <= float(text) <= 255:
        raise _Wrong(line, f"its colour has {short(repr(text))}; give three numbers from 0 to 255")
    return round(float(text))
