"""Identity folders and the VGGFace2 tree on the local disk: listed by os.scandir, read by path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import Rejected, UsageError
from .layout import OFFICIAL_SPLITS, is_split
from .photograph import EXTENSIONS, Photograph, is_hidden, utf8
from .place import changed, open_regular


def photographs(src: Path, follow_links: bool = False) -> Iterator[Photograph]:
    """Lists a source tree in a fixed order (names sorted folder by folder), without holding it in memory.

    Files with other endings than `EXTENSIONS`, and hidden files and folders, are passed over. A symbolic link, a
    folder that cannot be read, a file outside any identity folder: each is one entry with a problem, so that nothing
    disappears. Raises `UsageError` if `src` is no readable folder, or if it holds splits and people beside them.
    """
    try:
        top, place = _entries(src), _place(src.stat())
    except OSError as error:
        raise UsageError(f"cannot read --src {src}: {error.strerror}; give a folder of identity folders.") from None
    folders = {entry.name: entry for entry in top if _is_folder(entry, follow_links)}

    def holds_folders(name: str) -> bool:
        try:
            return any(_is_folder(entry, follow_links) for entry in _entries(folders[name]))
        except OSError:  # the listing reports it
            return False

    def first_in(name: str) -> str | None:
        found = next(_walk(_Level(iter([folders[name]]), place), follow_links), None)
        return found.source if found else None

    split = is_split(str(src), list(folders), holds_folders, first_in)
    if split:
        top = [entry for entry in top if entry.name in OFFICIAL_SPLITS or entry.name not in folders]
    yield from _walk(_Level(iter(top), place, of_splits=split), follow_links)


def read(src: Path, source: str, expected_bytes: int) -> bytes:
    """The bytes of one photograph. Raises `Rejected` (`unreadable`) if it cannot be read.

    A file whose size is no longer that of the plan means that the source changed after planning: `UsageError`.
    """
    try:
        with open_regular(src / source) as file:
            data = file.read(expected_bytes + 1)  # of a file that grew no more than shows it
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise Rejected("unreadable", error.strerror or str(error)) from None
    if len(data) != expected_bytes:
        raise changed(source, size, expected_bytes)
    return data


class _Level(NamedTuple):
    """A folder on the way down to the photographs, and what of it is still to be listed.

    `identity` is empty where its own folders are the people, or the splits (`of_splits`).
    """

    entries: Iterator[os.DirEntry[str]]
    place: tuple[int, int]
    prefix: str = ""
    identity: str = ""
    split: str = ""
    of_splits: bool = False


def _walk(top: _Level, follow: bool) -> Iterator[Photograph]:
    """The photographs at or below the entries of a folder. Folders may lie in each other as deep as they like."""
    levels = [top]
    while levels:
        level = levels[-1]
        entry = next(level.entries, None)
        if entry is None:
            levels.pop()
            continue
        source, identity, split, problem, size = level.prefix + entry.name, level.identity, level.split, "", 0
        try:
            folder, link = entry.is_dir(), entry.is_symlink()
            if not folder and not entry.name.lower().endswith(EXTENSIONS):
                continue
            if folder and level.of_splits:
                split = entry.name if entry.name in OFFICIAL_SPLITS else ""
            elif folder:
                identity = identity or entry.name
            if link and not follow:
                problem = "link: a symbolic link is not followed; --follow-links does"
            elif folder:
                place = _place(entry.stat())
                if all(place != above.place for above in levels):
                    levels.append(_Level(iter(_entries(entry)), place, f"{source}/", identity, split))
                    continue
                problem = "link: the link leads back to a folder above it"
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
        yield Photograph(text, utf8(identity), split, size, problem)


def _place(status: os.stat_result) -> tuple[int, int]:
    """What tells one folder from another, whatever the path that leads to it."""
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str], follow: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:  # a link that nobody can follow; the listing reports it
        return False


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What a folder shows, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
