"""One entry of a listing, and what all kinds of sources share: endings, official splits, names as UTF-8."""

from __future__ import annotations

import os
from typing import NamedTuple

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm")

OFFICIAL_SPLITS = ("train", "test")
"""A source whose folders are these is a VGGFace2 tree: the identities lie one level down and the split is given."""


class Photograph(NamedTuple):
    """One entry of a listing. `problem` is empty, or "reason: detail" where the entry can only be rejected.

    A photograph that lies in a container (tar, Parquet, RecordIO) also says which one, relative to --src, how many
    bytes that has, and where in it to read: the byte at which a tar member's data or a record begins, or the row.
    """

    source: str
    identity: str
    official_split: str
    bytes: int
    problem: str
    container: str = ""
    container_bytes: int = 0
    offset: int = 0


def utf8(name: str) -> str:
    """A name as valid UTF-8: bytes that are none are written as backslash escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
