"""One entry of a listing, and what all kinds of sources share: endings, hidden names, names as UTF-8."""

from __future__ import annotations

import os
from typing import NamedTuple

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm")


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


def is_hidden(name: str) -> bool:
    """Whether a part of a path begins with a dot. Such files are leftovers of programs (.ipynb_checkpoints, macOS's
    ._x.jpg) and no source's photographs."""
    if "/." not in name and not name.startswith("."):
        return False
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
