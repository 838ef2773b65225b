"""Tar shards of photographs in WebDataset's layout: members of one sample lie together and share a key.

A sample's key is its path up to the first dot of the base name. Its person is the field `identity`, `label` or
`class` of its .json (or the one that is asked for); else what its .cls says; else the folder that the member lies in.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from typing import Any

from .photograph import EXTENSIONS, Photograph, is_hidden, utf8
from .place import Container, Place

IDENTITY_FIELDS = ("identity", "label", "class")

MAX_NOTE = 1 << 20
"""Bytes of a .json or .cls at most: a larger one is not read."""

_BLOCK = tarfile.BLOCKSIZE
_DAMAGE = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError, EOFError)
"""What `tarfile` lets out on damaged archives."""


class _Headers(Container):
    """A container as `tarfile` reads it: headers only, so a long read is a length that a damaged one claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_NOTE:
            raise self.damaged(f"a header claims {size} bytes for itself")
        return super().read(size)


def photographs(place: Place, name: str, identity_field: str | None) -> Iterator[Photograph]:
    """The photographs of one tar, in its order. Raises `MaskgenError` if it is damaged or has no end.

    Hidden members are passed over. One that is no plain file, a name that is not UTF-8 or comes twice, a sample
    without a person: each is an entry with a problem.
    """
    fields = (identity_field,) if identity_field else IDENTITY_FIELDS
    sample: list[tarfile.TarInfo] = []
    key, seen = "", set[bytes]()
    with _Headers(place, name) as container:
        for member in _members(container):
            if is_hidden(member.name):
                continue
            stem = _key(member.name)
            if stem != key:
                yield from _sample(container, name, sample, fields, seen)
                sample, key = [], stem
            sample.append(member)
        yield from _sample(container, name, sample, fields, seen)


def read(container: Container, offset: int, size: int) -> bytes:
    """The bytes of the member whose data begin at `offset`; `UsageError` if no member of that size is there."""
    block = container.at(offset - _BLOCK, _BLOCK + size)
    try:
        header = tarfile.TarInfo.frombuf(block[:_BLOCK], "utf-8", "surrogateescape")
    except _DAMAGE as error:
        raise container.not_planned(f"no member begins at byte {offset - _BLOCK}: {error}") from None
    if header.size != size:
        raise container.not_planned(f"the member at byte {offset - _BLOCK} has {header.size} bytes and not {size}")
    return block[_BLOCK:]


def _members(container: _Headers) -> Iterator[tarfile.TarInfo]:
    """Every member but folders, once its data is known to lie in the file; then the end of the archive is checked.

    `tarfile` takes a bad header in the middle, or no more bytes, for the end. A tar ends with two zero blocks.
    """
    try:
        with tarfile.open(fileobj=container, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            last = -1
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # or a large tar's members fill the memory
                if member.offset <= last or member.size < 0 or member.offset_data + member.size > container.size:
                    raise container.damaged(f"{utf8(member.name)!r} claims {member.size} bytes, more than follow it")
                last = member.offset
                if not member.isdir():
                    yield member
            end = archive.offset
    except _DAMAGE as error:
        raise container.damaged(" ".join(str(error).split()) or type(error).__name__) from None
    if end + 2 * _BLOCK > container.size:
        raise container.damaged(
            f"it ends at byte {container.size} without the two zero blocks of a tar: it was cut short"
        )
    while end < container.size:
        length = min(MAX_NOTE, container.size - end)
        if container.at(end, length).count(0) != length:
            raise container.damaged(f"what follows its last member, near byte {end}, is neither a member nor the end")
        end += length


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _sample(
    container: Container, tar: str, members: list[tarfile.TarInfo], fields: tuple[str, ...], seen: set[bytes]
) -> Iterator[Photograph]:
    pictures = [member for member in members if member.name.lower().endswith(EXTENSIONS)]
    if not pictures:
        return
    notes = {member.name.rpartition(".")[2].lower(): member for member in members if member.isreg()}
    identity, problem = _identity(container, pictures[0].name, notes, fields)
    for member in pictures:
        name = member.name.removeprefix("./")
        source, wrong = f"{tar}/{utf8(name)}", problem
        if not member.isreg() or member.issparse():
            wrong = "link: the member is a link" if member.islnk() or member.issym() else "unreadable: not a plain file"
        elif utf8(name) != name:
            wrong = "bad_name: the member's name is not UTF-8; pack it under another"
        digest = hashlib.blake2b(source.encode(), digest_size=16).digest()  # names would need three times the memory
        if digest in seen:  # whatever unpacks the tar, only the last of them stays
            source, wrong = f"{source}@{member.offset}", "duplicate: the tar has an earlier member of this name"
        seen.add(digest)
        size = member.size if member.isreg() else 0
        yield Photograph(source, identity, "", size, wrong, tar, container.size, member.offset_data)


def _identity(
    container: Container, picture: str, notes: dict[str, tarfile.TarInfo], fields: tuple[str, ...]
) -> tuple[str, str]:
    """The person of a sample, and the problem where it names none."""
    if "json" in notes:
        try:
            described = json.loads(_note(container, notes["json"]))
            if not isinstance(described, dict):
                raise ValueError
        except (ValueError, RecursionError):
            return "", "no_identity: the sample's .json cannot be read"
        for field in fields:
            if identity := _text(described.get(field)):
                return identity, ""
    if "cls" in notes:
        try:
            identity = _note(container, notes["cls"]).decode().strip()
        except ValueError:
            return "", "no_identity: the sample's .cls cannot be read"
        if identity:
            return identity, ""
    folder = picture.removeprefix("./").rpartition("/")[0].rpartition("/")[2]
    return utf8(folder), "" if folder else "no_identity: no .json, .cls or folder names the person"


def _note(container: Container, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_NOTE:
        raise ValueError("too long")
    return container.at(member.offset_data, member.size)


def _text(value: Any) -> str:
    """An identity as text: a string or a whole number; anything else names nobody."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return ""
    return str(value).strip().encode("utf-8", "backslashreplace").decode()  # JSON may hold half a character
