"""File names for people and photographs: readable, safe on any system, and never the same for two of them.

Names come from strangers. Only letters, digits, marks and signs that every file system takes stay as they are. Every
other character becomes `%XX` for each byte of its UTF-8, as in a URL. Long names are cut. Where two names would then be
one, also on a system that takes `Ann` and `ann` for one, each gets `~` and a number that no other has.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import unicodedata
from collections.abc import Iterable

from ..dataset.record import Row
from ..errors import shown

MAX_NAME_BYTES = 100
"""Bytes of a name before `~` and its number, the variant and the ending: with them it fits everywhere."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)", re.IGNORECASE)
"""Names of devices on Windows, also with an ending."""

_UNSAFE = frozenset('<>:"/\\|?*%~')


def safe(name: str) -> str:
    """A name as one component of a path that every system takes. Two names may become one if they are long."""
    text = "".join(char if char not in _UNSAFE and shown(char) == char else _escaped(char) for char in name)
    if text[:1] in ("", ".", " ") or _RESERVED.match(text):  # hidden, or a folder above, or no name
        text = _escaped(text[:1]) + text[1:]
    if len(text.encode()) > MAX_NAME_BYTES:
        text = re.sub("%[0-9A-F]?$", "", text.encode()[:MAX_NAME_BYTES].decode(errors="ignore"))
    if text[-1] in ". ":  # Windows drops them
        text = text[:-1] + _escaped(text[-1])
    return text


def _escaped(char: str) -> str:
    """A character as `%XX` for each of its bytes; no character as `%`."""
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass")) or "%"


def _folded(name: str) -> str:
    """What a file system that ignores case and the composition of letters takes a name for."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


class FileNames:
    """The file names of a data set: a function of all its rows, so a part of it gets the same names as the whole."""

    def __init__(self, rows: Iterable[Row]) -> None:
        identities: set[str] = set()
        self._last: tuple[Row | None, str] = None, ""
        seen, self._twice = set[bytes](), set[bytes]()
        for row in rows:
            identities.add(row.identity)
            place = _place(row)
            (self._twice if place in seen else seen).add(place)
        groups: dict[str, list[str]] = {}
        for identity in sorted(identities):
            groups.setdefault(_folded(safe(identity)), []).append(identity)
        self._folders = {
            identity: safe(identity) + (f"~{number}" if len(group) > 1 else "")
            for group in groups.values()
            for number, identity in enumerate(group, 1)
        }

    def stem(self, row: Row) -> str:
        """`split/identity/photograph`, to which the name of a picture and an ending are added."""
        if self._last[0] is not row:  # asked once for each picture of a row
            number = f"~{row.key}" if _place(row) in self._twice else ""
            self._last = row, f"{row.split}/{self._folders[row.identity]}/{safe(_photograph(row))}{number}"
        return self._last[1]


def _photograph(row: Row) -> str:
    return posixpath.splitext(posixpath.basename(row.source))[0]


def _place(row: Row) -> bytes:
    """The person and the folded name of a photograph, hashed: of millions only so many bytes are kept."""
    parts = (row.split, row.identity, _folded(safe(_photograph(row))))
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
