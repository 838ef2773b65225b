"""A folder for one process at a time: a lock that the system releases when its holder ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import MaskgenError


@contextmanager
def exclusive(path: Path, busy: str) -> Iterator[None]:
    """Holds the lock file at `path`, which stays there, empty, for the time of the block.

    Raises `MaskgenError` with the sentence `busy` if another process holds it, `OSError` if the file system has no
    locks.
    """
    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise MaskgenError(busy) from None
    try:
        yield
    finally:
        lock.release()
