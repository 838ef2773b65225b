"""Where a source lies: a local folder or a place in an object store, listed and read through the same few calls.

A store's error is never a photograph's fault: `storage` repeats the request, and then it ends the build with a
sentence, so that the same command resumes later and ends in the same bytes.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import MaskgenError, UsageError
from ..storage.base import OtherSize
from ..storage.local import LocalStorage
from ..storage.object_store import ObjectStorage
from ..storage.opening import open_storage
from ..storage.random_access import RandomAccess
from .photograph import is_hidden

_AHEAD = {True: 1 << 16, False: 1 << 22}
"""Bytes that one read of a container fetches at least, by whether it is local."""


def changed(name: str, now: int, planned: int) -> UsageError:
    """The error of a file that is no longer the one that was planned."""
    return UsageError(
        f"{name} has {now} bytes but had {planned} when the build was planned; "
        "put the old file back, or start again with --overwrite."
    )


def open_regular(path: str | Path) -> BinaryIO:
    """A local file, open for reading. Raises `OSError` for anything else: reading a pipe might never end."""
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
    """A folder or a place in a store; names of files in it are relative, '/' separated."""

    storage: LocalStorage | ObjectStorage

    def __str__(self) -> str:
        return str(self.storage)

    @property
    def is_local(self) -> bool:
        return isinstance(self.storage, LocalStorage)

    def path(self, name: str = "") -> str:
        """The name of a file for messages, and for the system if it is local."""
        return f"{str(self).rstrip('/')}/{name}" if name else str(self)

    def entries(self, name: str = "", *, recursive: bool = False) -> list[Entry]:
        """What lies in a folder and is not hidden, sorted name by name at each level; of a recursive listing, which
        only stores have, the files.

        Raises `FileNotFoundError` if nothing is there, and other errors of the local system as they are.
        """
        if isinstance(self.storage, LocalStorage):
            with os.scandir(self.path(name)) as found:
                return sorted(Entry(entry.name, entry.is_dir(), 0) for entry in found if not is_hidden(entry.name))
        listed = self.storage.walk(name) if recursive else self.storage.entries(name)
        if not listed:  # a store has no empty folders
            raise FileNotFoundError(self.path(name))
        entries = [Entry(file, size is None, size or 0) for file, size in listed.items() if not is_hidden(file)]
        return sorted(entries, key=lambda entry: entry.name.split("/"))

    def is_folder(self) -> bool:
        """Whether a folder lies here, and not a file or nothing."""
        return os.path.isdir(self.path()) if self.is_local else bool(self.storage.entries())

    def read(self, name: str, planned_bytes: int) -> bytes:
        """A whole file. Raises `UsageError` if it is gone or has another size than planned."""
        try:
            return self.storage.read(name, planned_bytes)
        except OtherSize as other:
            raise changed(self.path(name), other.size, planned_bytes) from None
        except FileNotFoundError:
            raise gone(self.path(name)) from None


def gone(name: str) -> UsageError:
    return UsageError(
        f"{name} was planned and is no longer there; put it back, or start again with --overwrite, which plans again."
    )


def place_of(folder: str) -> Place:
    """The place of a folder given as a local path or a URI. Raises `UsageError` for a URI that is not one."""
    storage = open_storage(folder)
    assert isinstance(storage, LocalStorage | ObjectStorage)
    return Place(storage)


class Container(RandomAccess):
    """One file of a place that holds many photographs, read at any offset, as bytes or as a file object.

    Every read is checked against the file's size, so a length that a damaged file claims is never believed.
    """

    def __init__(self, place: Place, name: str, planned_bytes: int | None = None) -> None:
        """Opens it. Raises `UsageError` if it is missing or has another size than planned, else `MaskgenError`."""
        super().__init__()
        self._place = place
        self.name = place.path(name)
        self._window, self._start = b"", 0
        try:
            if place.is_local:
                self._file: Any = open_regular(self.name)
                self.size = os.fstat(self._file.fileno()).st_size
            else:
                self._file = place.storage.open(name)
                self.size = self._file.size
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
        """The `size` bytes at `offset`. Raises `MaskgenError` if the file has none there, or cannot be read."""
        end = offset + size
        if offset < 0 or size < 0 or end > self.size:
            raise self.damaged(f"it ends at byte {self.size}, and {size} bytes should be at byte {offset}")
        if offset < self._start or end > self._start + len(self._window):
            length = min(max(size, _AHEAD[self._place.is_local]), self.size - offset)
            try:
                self._window = self._read(offset, length)
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
            f"{self.name} is not the file that was planned ({what}); put the old file back, or start again with "
            "--overwrite."
        )

    def _unreadable(self, error: OSError) -> MaskgenError:
        said = error.strerror or " ".join(str(error).split())
        return MaskgenError(f"cannot read {self.name} ({said}); fix that and run the same command again.")

    def _read(self, offset: int, length: int) -> bytes:
        if not self._place.is_local:
            return bytes(self._file.at(offset, length))
        self._file.seek(offset)
        data: bytes = self._file.read(length)
        if len(data) != length:
            raise OSError(f"{len(data)} of {length} bytes came at byte {offset}")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:
            raise self.damaged("it points before its own beginning") from None

    def close(self) -> None:
        self._file.close()
        super().close()
