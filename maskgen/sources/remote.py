"""Identity folders and the VGGFace2 tree on a remote file system: listed as the local tree is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ..errors import UsageError
from .photograph import EXTENSIONS, OFFICIAL_SPLITS, Photograph
from .place import Entry, Place

AT_ONCE = 16
"""Identity folders whose listings are under way: one call each, and a call takes tens of milliseconds."""


def photographs(place: Place) -> Iterator[Photograph]:
    """Lists a source tree as `folders.photographs` does: the same entries in the same order.

    Raises `UsageError` where there is no such folder, `MaskgenError` where it cannot be listed.
    """
    try:
        top = place.entries()
    except FileNotFoundError:
        raise UsageError(
            f"cannot read --src {place.shown}: No such file or directory; give a folder of identity folders."
        ) from None
    folders = {entry.name for entry in top if entry.is_folder}
    if not folders or not folders <= set(OFFICIAL_SPLITS):
        yield from _listed(place, "", top)
        return
    for entry in top:
        if entry.is_folder:
            for found in _listed(place, f"{entry.name}/", place.entries(entry.name)):
                yield found._replace(official_split=entry.name)
        else:
            yield from _listed(place, "", [entry])


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
