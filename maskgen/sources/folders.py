"""Identity folders and the VGGFace2 tree on the local disk: listed by os.scandir, read by path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..decode import Rejected
from ..errors import UsageError
from .photograph import EXTENSIONS, OFFICIAL_SPLITS, Photograph, utf8


def photographs(src: Path, follow_links: bool = False) -> Iterator[Photograph]:
    """Lists a source tree in a fixed order (names sorted folder by folder), without holding it in memory.

    Files with other endings than `EXTENSIONS` are passed over. A symbolic link, a folder that cannot be read, a
    file outside any identity folder: each is one entry with a problem, so that nothing disappears. Raises
    `UsageError` where `src` is no readable folder.
    """
    try:
        top, above = _sorted(src), (_place(src.stat()),)
    except OSError as error:
        raise UsageError(f"cannot read --src {src}: {error.strerror}; give a folder of identity folders.") from None
    folders = {entry.name for entry in top if entry.is_dir(follow_symlinks=follow_links)}
    official = bool(folders) and folders <= set(OFFICIAL_SPLITS)
    for entry in top:
        if official and entry.name in folders:
            try:
                for found in _walk_children(entry, entry.name, follow_links, above):
                    yield found._replace(official_split=entry.name)
            except OSError as error:
                yield Photograph(entry.name, "", entry.name, 0, f"unreadable: {error.strerror}")
        else:
            yield from _walk(entry, entry.name, "", follow_links, above)


def read(src: Path, source: str, expected_bytes: int) -> bytes:
    """The bytes of one photograph. Raises `Rejected` (`unreadable`) where it cannot be read.

    A file whose size is no longer that of the plan means that the source changed after planning: `UsageError`.
    """
    try:
        data = (src / source).read_bytes()
    except OSError as error:
        raise Rejected("unreadable", error.strerror or str(error)) from None
    if len(data) != expected_bytes:
        raise UsageError(
            f"{source} has {len(data)} bytes but had {expected_bytes} when the build was planned; "
            "put the old file back, or start anew with --overwrite."
        )
    return data


_Above = tuple[tuple[int, int], ...]


def _walk(entry: os.DirEntry[str], source: str, identity: str, follow: bool, above: _Above) -> Iterator[Photograph]:
    """The photographs at or below an entry. `identity` is empty at the level of the identity folders themselves."""
    problem, size = "", 0
    try:
        folder, link = entry.is_dir(), entry.is_symlink()
        if not folder and not entry.name.lower().endswith(EXTENSIONS):
            return
        if link and not follow:
            problem = "link: a symbolic link is not followed; --follow-links does"
        elif folder:
            yield from _walk_children(entry, source, follow, above, identity or entry.name)
            return
        elif not identity:
            problem = "no_identity: the file lies in no identity folder"
        elif not entry.is_file():
            problem = "unreadable: neither a file nor a folder, or a link to nothing"
        else:
            size = entry.stat().st_size
    except OSError as error:
        problem = f"unreadable: {error.strerror}"
    text = source if source.isascii() else utf8(source)
    if text != source:
        problem = problem or "bad_name: the file's name is not UTF-8; rename it"
    yield Photograph(text, utf8(identity or (entry.name if folder else "")), "", size, problem)


def _walk_children(
    folder: os.DirEntry[str], source: str, follow: bool, above: _Above, identity: str = ""
) -> Iterator[Photograph]:
    place = _place(folder.stat())
    if place in above:
        yield Photograph(utf8(source), utf8(identity), "", 0, "link: the link leads back to a folder above it")
        return
    for entry in _sorted(folder):
        yield from _walk(entry, f"{source}/{entry.name}", identity, follow, (*above, place))


def _place(status: os.stat_result) -> tuple[int, int]:
    """What tells one folder from another, whatever the path that leads to it."""
    return status.st_dev, status.st_ino


def _sorted(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
