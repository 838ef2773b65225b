"""The folder of an export: claimed once, written in steps that a kill cannot break, and nothing else is touched."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import MaskgenError, UsageError, short
from ..storage import files
from ..storage.base import LOCK
from ..storage.lock import exclusive

CLAIM = "maskgen-export.json"
"""Says what an export is of. It is the first file, and the last one to be changed: to `complete`."""

WORK = ".maskgen-export"
"""The folder of unfinished files and of the marks of finished shards; removed at the end."""

FLUSHERS = 16
"""Threads that wait for the disk."""

_OURS_IN_WORK = re.compile(r"(train|val|test)-[0-9]+|[0-9]+\.new")


class Target:
    """A folder that an export of these facts writes into. It exists, is locked, and is new or of the same export."""

    def __init__(self, folder: Path, facts: dict[str, Any], flushers: ThreadPoolExecutor) -> None:
        self.folder, self._facts, self._flushers = folder, facts, flushers
        self._work = folder / WORK
        self._made: set[Path] = set()
        self.complete = self._claim()
        self._work.mkdir(exist_ok=True)
        self.written = 0

    def is_done(self, shard: str) -> bool:
        """Whether all files of a shard, such as `train/00003`, were written."""
        return self.complete or self._mark(shard).exists()

    def mark_done(self, shard: str) -> None:
        files.write(self._mark(shard), b"")

    def write(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Writes files by their names in the folder, each whole or not at all; they are on the disk on return.

        The bytes of an export are always the same. So a file that is there already with the same bytes is ours, and
        one with other bytes is not: it is refused.
        """
        missing = [(self._path(name), data) for name, data in batch]
        missing = [(path, data) for path, data in missing if not _is_there(path, data)]
        staged = [self._work / f"{number}.new" for number in range(len(missing))]
        for place, (_, data) in zip(staged, missing, strict=True):
            place.write_bytes(data)
        self._flush_all(staged)
        for place, (path, _) in zip(staged, missing, strict=True):
            os.replace(place, path)
        self._flush_all({path.parent for path, _ in missing})
        self.written += len(missing)

    @contextlib.contextmanager
    def large(self, name: str) -> Iterator[Path]:
        """A place to write one large file to, which has its name after the block."""
        path, place = self._path(name), self._work / "0.new"
        yield place
        if path.is_symlink() or (path.exists() and (not path.is_file() or files.sha256(path) != files.sha256(place))):
            raise _foreign(path)
        _flush(place)
        os.replace(place, path)
        _flush(path.parent)
        self.written += 1

    def finish(self) -> None:
        """Says that the export is complete, and removes what helped to make it."""
        if not self.complete:
            files.write_json(self.folder / CLAIM, {**self._facts, "complete": True})
            self.complete = True
        for name in os.listdir(self._work):
            if _OURS_IN_WORK.fullmatch(name) or files.is_temporary(name):
                (self._work / name).unlink()
        with contextlib.suppress(OSError):  # something of the user's is in it
            self._work.rmdir()
        for path in files.leftovers(self.folder):
            path.unlink()

    def _claim(self) -> bool:
        """Writes the claim, or checks the one that is there. Returns whether that export is complete."""
        path = self.folder / CLAIM
        if not os.path.lexists(path):
            files.write_json(path, {**self._facts, "complete": False})
            return False
        try:
            there = files.parse_json(path.read_bytes())
            complete = there.pop("complete")
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise MaskgenError(
                f"{path} cannot be read ({short(error)}); give a new folder, or delete this export and repeat it."
            ) from None
        for name in self._facts:
            if there.get(name) != self._facts[name]:
                raise UsageError(
                    f"{self.folder} holds another export ({name} {there.get(name)!r} there and {self._facts[name]!r} "
                    "here); give a new folder."
                )
        return bool(complete)

    def _flush_all(self, paths: Iterable[Path]) -> None:
        """Flushes all at the same time, which takes a tenth of the time of one after the other."""
        for _ in self._flushers.map(_flush, paths):
            pass

    def _mark(self, shard: str) -> Path:
        return self._work / shard.replace("/", "-")

    def _path(self, name: str) -> Path:
        """The path of a file, whose folders exist on return."""
        path = self.folder / name
        if path.parent not in self._made:
            for folder in (path.parent.parent, path.parent):
                if folder != self.folder and self.folder in folder.parents:
                    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                        raise _foreign(folder)
                    folder.mkdir(exist_ok=True)
            self._made.add(path.parent)
        return path


@contextlib.contextmanager
def opened(folder: Path, facts: dict[str, Any]) -> Iterator[Target]:
    """A target, locked for the time of the block. Raises `UsageError` if the folder holds something else."""
    try:
        check(folder)
        folder.mkdir(parents=True, exist_ok=True)
        busy = f"another export is at work in {folder}; wait for it or stop it first."
        with exclusive(folder / LOCK, busy), ThreadPoolExecutor(FLUSHERS, "flush") as flushers:
            yield Target(folder, facts, flushers)
    except OSError as error:
        raise MaskgenError(
            f"cannot write the export in {folder}: {error.strerror or short(error)}; make room or fix the folder and "
            "run the same command again: it resumes from here."
        ) from None


def check(folder: Path) -> None:
    """Raises `UsageError` if this is a file, or a folder with files in it that no export made."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a new folder.")
    if not folder.is_dir() or os.path.lexists(folder / CLAIM):
        return
    for name in sorted(os.listdir(folder)):
        if name != LOCK and not files.is_temporary(name):
            raise UsageError(f"{folder} holds {name!r} and is no export of maskgen; give a new or an empty folder.")


def _is_there(path: Path, data: bytes) -> bool:
    """Whether a file is there with these bytes. Raises `MaskgenError` if something else is."""
    if not os.path.lexists(path):
        return False
    if path.is_symlink() or not path.is_file() or path.stat().st_size != len(data) or path.read_bytes() != data:
        raise _foreign(path)
    return True


def _foreign(path: Path) -> MaskgenError:
    return MaskgenError(
        f"{path} is not of this export, which would write it; move it away and run the same command again."
    )


def _flush(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
