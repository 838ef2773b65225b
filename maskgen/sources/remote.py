"""Identity folders and the VGGFace2 tree on a remote file system: listed as the local tree is."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import UsageError
from .layout import OFFICIAL_SPLITS, is_split
from .photograph import EXTENSIONS, Photograph
from .place import Entry, Place

AT_ONCE = 16
"""Identity folders whose listings are under way: one call each, and a call takes tens of milliseconds."""


def photographs(place: Place) -> Iterator[Photograph]:
    """Lists a source tree as `folders.photographs` does: the same entries in the same order.

    Raises `UsageError` if there is no such folder, or if it holds splits and people beside them, `MaskgenError`
    if it cannot be listed.
    """
    try:
        top = place.entries()
    except FileNotFoundError:
        raise UsageError(
            f"cannot read --src {place}: No such file or directory; give a folder of identity folders."
        ) from None
    inside = functools.cache(place.entries)

    def holds_folders(name: str) -> bool:
        return any(entry.is_folder for entry in inside(name))

    folders = [entry.name for entry in top if entry.is_folder]
    if not is_split(str(place), folders, holds_folders, lambda name: _first_in(place, name)):
        yield from _listed(place, "", top)
        return
    for entry in top:
        if not entry.is_folder:
            yield from _listed(place, "", [entry])
        elif entry.name in OFFICIAL_SPLITS:
            for found in _listed(place, f"{entry.name}/", inside(entry.name)):
                yield found._replace(official_split=entry.name)


def _first_in(place: Place, name: str) -> str | None:
    """A photograph at any depth of a folder, by as few listings as find one."""
    folders = [name]
    while folders:
        above = folders.pop()
        for entry in place.entries(above):
            path = f"{above}/{entry.name}"
            if entry.is_folder:
                folders.append(path)
            elif entry.name.lower().endswith(EXTENSIONS):
                return path
    return None


def _listed(place: Place, above: str, entries: Iterable[Entry]) -> Iterator[Photograph]:
    """The photographs at and below entries at the level of the identity folders; a few are listed ahead."""
    pool = ThreadPoolExecutor(AT_ONCE)
    waiting: deque[tuple[Entry, Future[list[Entry]] | None]] = deque()

    def next_ones() -> Iterator[Photograph]:
        entry, future = waiting.popleft()
        name = f"{above}{entry.name}"
        if future is None:
            if entry.name.lower().endswith(EXTENSIONS):
                yield Photograph(name, "", "", 0, "no_identity: the file lies in no identity folder")
            return
        for file in future.result():
            if file.name.lower().endswith(EXTENSIONS):
                yield Photograph(f"{name}/{file.name}", entry.name, "", file.bytes, "")

    def listing(name: str) -> list[Entry]:
        return place.entries(name, recursive=True)

    try:
        for entry in entries:
            waiting.append((entry, pool.submit(listing, above + entry.name) if entry.is_folder else None))
            if len(waiting) > AT_ONCE:
                yield from next_ones()
        while waiting:
            yield from next_ones()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
