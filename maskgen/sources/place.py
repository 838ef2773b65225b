"""Where a source lies, on any file system: listing a folder, reading a file, and trying again where a network fails.

A remote file system's error is never a photograph's fault: it is tried again, and then it ends the build with a
sentence, so that the same command goes on later and ends in the same bytes.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.fs

from ..errors import MaskgenError, UsageError
from ..storage.filesystem import filesystem_of
from ..storage.random_access import RandomAccess
from ..storage.uri import plain
from .photograph import is_hidden

T = TypeVar("T")

TRIES = 4
PAUSE = 0.25
"""Seconds before the second try; each further pause is twice as long."""

_AHEAD = {True: 1 << 16, False: 1 << 22}
"""Bytes that one read of a container fetches at least, by whether it is local."""


def changed(name: str, now: int, planned: int) -> UsageError:
    """The error of a file that is no longer the one that was planned."""
    return UsageError(
        f"{name} has {now} bytes but had {planned} when the build was planned; "
        "put the old file back, or start anew with --overwrite."
    )


def open_regular(path: str | Path) -> BinaryIO:
    """A local file, open for reading. Raises `OSError` for what is none: a pipe would be waited for without end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is a folder, a pipe, a socket or a device and no file", str(path))
    return open(path, "rb")


class Entry(NamedTuple):
    """A file or folder in a folder."""

    name: str
    is_folder: bool
    bytes: int


@dataclass(frozen=True)
class Place:
    """A folder on a file system; names of files in it are relative, '/' separated. `shown` is how messages call it."""

    filesystem: pa.fs.FileSystem
    root: str
    shown: str

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pa.fs.LocalFileSystem)

    def path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}" if name else self.root

    def call(self, name: str) -> str:
        """A file's name for messages."""
        return f"{self.shown.rstrip('/')}/{name}" if name else self.shown

    def entries(self, name: str = "", *, recursive: bool = False) -> list[Entry]:
        """What lies in a folder and is not hidden, sorted name by name at each level; of a recursive listing only the
        files.

        Raises `FileNotFoundError` and other errors of the local system as they are, `MaskgenError` of a remote one.
        """
        if self.is_local and not recursive:
            with os.scandir(self.path(name)) as found:
                return sorted(Entry(entry.name, entry.is_dir(), 0) for entry in found if not is_hidden(entry.name))
        base = self.path(name)
        selector = pa.fs.FileSelector(base, recursive=recursive)
        infos = self.retrying(name, lambda: self.filesystem.get_file_info(selector))
        entries = [
            Entry(info.path[len(base.rstrip("/")) + 1 :], info.type == pa.fs.FileType.Directory, info.size or 0)
            for info in infos
        ]
        shown = [entry for entry in entries if not is_hidden(entry.name) and not (recursive and entry.is_folder)]
        return sorted(shown, key=lambda entry: entry.name.split("/"))

    def is_folder(self) -> bool:
        """Whether a folder lies here, and not a file or nothing."""
        if self.is_local:
            return os.path.isdir(self.root)
        info = self.retrying("", lambda: self.filesystem.get_file_info(self.root))
        return bool(info.type == pa.fs.FileType.Directory)

    def read(self, name: str, planned_bytes: int) -> bytes:
        """A whole file of a remote file system. `UsageError` where it is gone or has another size than planned."""

        def action() -> bytes:
            with self.filesystem.open_input_file(self.path(name)) as file:
                size = file.size()
                if size != planned_bytes:
                    raise changed(self.call(name), size, planned_bytes)
                data: bytes = file.read(size)
            if len(data) != size:
                raise OSError(f"{len(data)} of {size} bytes came")
            return data

        try:
            return self.retrying(name, action)
        except FileNotFoundError:
            raise gone(self.call(name)) from None

    def retrying(self, name: str, action: Callable[[], T]) -> T:
        """What `action` returns. On a remote file system it is tried again where it fails, but not where a file is
        missing, which is an answer; in the end `MaskgenError`."""
        for count in range(1, TRIES + 1):
            try:
                return action()
            except FileNotFoundError:
                raise
            except (OSError, pa.ArrowException) as error:
                if self.is_local:
                    raise
                if count == TRIES:
                    said = " ".join(str(error).split())[:200].rstrip(".")
                    raise MaskgenError(
                        f"cannot read {self.call(name)} after {TRIES} tries ({said}); see to the network or the "
                        "rights and run the same command again: it goes on from here."
                    ) from None
                time.sleep(PAUSE * 2 ** (count - 1))
        raise AssertionError("not reached")


def gone(name: str) -> UsageError:
    return UsageError(
        f"{name} was planned and is there no more; put it back, or start anew with --overwrite, which plans again."
    )


def place_of(folder: str) -> Place:
    """The place of a folder given as a local path or a URI."""
    filesystem, root = filesystem_of(folder)
    local = isinstance(filesystem, pa.fs.LocalFileSystem)
    return Place(filesystem, root, root if local else plain(folder))


class Container(RandomAccess):
    """One file of a place that holds many photographs, read at any offset, as bytes or as a file object.

    Every read is checked against the file's size, so a length that a damaged file claims is never believed.
    """

    def __init__(self, place: Place, name: str, planned_bytes: int | None = None) -> None:
        """Opens it. Raises `UsageError` where it is missing or has another size than planned, else `MaskgenError`."""
        super().__init__()
        self._place, self._path = place, name
        self._file: Any = None
        self.name = place.call(name)
        self._window, self._start = b"", 0
        try:
            self.size = place.retrying(name, self._open)
        except FileNotFoundError:
            raise (
                UsageError(f"there is no file {self.name}; check --src.") if planned_bytes is None else gone(self.name)
            ) from None
        except OSError as error:
            raise self._unreadable(error) from None
        if planned_bytes is not None and self.size != planned_bytes:
            self.close()
            raise changed(self.name, self.size, planned_bytes)

    def at(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`. Raises `MaskgenError` where the file has none there, or cannot be read."""
        end = offset + size
        if offset < 0 or size < 0 or end > self.size:
            raise self.damaged(f"it ends at byte {self.size}, and {size} bytes should be at byte {offset}")
        if offset < self._start or end > self._start + len(self._window):
            length = min(max(size, _AHEAD[self._place.is_local]), self.size - offset)
            try:
                self._window = self._place.retrying(self._path, lambda: self._read(offset, length))
            except OSError as error:
                raise self._unreadable(error) from None
            self._start = offset
        return self._window[offset - self._start : end - self._start]

    def damaged(self, what: str) -> MaskgenError:
        """The error of a container whose own structure is broken."""
        return MaskgenError(f"{self.name} is damaged: {what}; fetch it again, or take it out of --src.")

    def not_planned(self, what: str) -> UsageError:
        """The error of a container that has the planned size and yet is another one."""
        return UsageError(
            f"{self.name} is not the file that was planned ({what}); put the old file back, or start anew with "
            "--overwrite."
        )

    def _unreadable(self, error: OSError) -> MaskgenError:
        said = error.strerror or " ".join(str(error).split())
        return MaskgenError(f"cannot read {self.name} ({said}); mend that and run the same command again.")

    def _open(self) -> int:
        if self._place.is_local:
            self._file = open_regular(self._place.path(self._path))
            return os.fstat(self._file.fileno()).st_size
        self._file = self._place.filesystem.open_input_file(self._place.path(self._path))
        return int(self._file.size())

    def _read(self, offset: int, length: int) -> bytes:
        try:
            if self._file is None:
                self._open()
            self._file.seek(offset)
            data: bytes = self._file.read(length)
            if len(data) != length:
                raise OSError(f"{len(data)} of {length} bytes came at byte {offset}")
        except (OSError, pa.ArrowException):
            if not self._place.is_local:
                self._file = None  # a new connection for the next try
            raise
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            raise self.damaged("it points before its own beginning") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()
