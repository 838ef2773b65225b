"""What a place of files can do, whether a folder or an object store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

LOCK = ".maskgen-lock"
"""What tells two builds of one data set from each other: held by the system in a folder, a lease in a store."""


class OtherSize(Exception):
    """A file has another size than the one that was asked for; `size` is what it has."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it has {size} bytes")
        self.size = size


class Storage(Protocol):
    """The files of one data set by their names in it ("train/00000.parquet"); `str` of it is for sentences.

    A value that travels to workers. Reading raises `FileNotFoundError` for a file that is not there. Where a store
    refuses or does not answer, every method raises the `MaskgenError` that says so.
    """

    distant: ClassVar[bool]
    """Whether each read is a request over a network, so that few large ones are better than many small ones."""

    @property
    def workplace(self) -> Path:
        """The local folder where files are written before they are published."""

    def prepare(self) -> None:
        """Makes what must be there before the first file."""

    def read(self, name: str, size: int | None = None) -> bytes:
        """A whole file. Raises `OtherSize` if `size` is given and the file has another one."""

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Small files in the order of their names; None for one that cannot be read."""

    def open(self, name: str) -> Any:
        """A file to read at any position."""

    def stream(self, name: str) -> Any:
        """A file to read from front to back, with few requests."""

    def entries(self, folder: str = "") -> dict[str, int | None]:
        """The names in a folder with the sizes of files, None for a folder; nothing for one that is not there."""

    def size(self, name: str) -> int: ...
    def sha256(self, name: str) -> str:
        """The hash of a file's bytes as they are read back."""

    def exists(self, name: str) -> bool: ...
    def write(self, name: str, data: bytes) -> None:
        """Writes a small file whole or not at all."""

    def temporary(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A local path on which to write a file; what was not published from it is removed on the way out."""

    def publish(self, written: Path, name: str) -> dict[str, Any]:
        """Gives a closed file its name. Returns its `bytes` and `sha256` as they are read back from there."""

    def remove(self, name: str) -> None: ...
    def remove_folder(self, name: str) -> None:
        """Removes a folder if nothing is in it."""

    def leftovers(self, inside: Iterable[str] = ()) -> list[Path]:
        """Temporary files, in the place and the folders `inside` it that are named, of a build at work on this
        machine, or of one that was killed."""

    def clean(self, inside: Iterable[str] = ()) -> None:
        """Removes the leftovers, when all is done."""

    def lock(self) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """Holds the data set for this process. What it gives raises `MaskgenError` if the hold was lost."""
