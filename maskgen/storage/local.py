"""Where a data set lies: a local folder, or an object store that `pyarrow.fs` speaks to. Files there appear whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.fs

from ..errors import MaskgenError
from . import files
from .base import LOCK, OtherSize
from .lock import exclusive


@dataclass(frozen=True)
class LocalStorage:
    """A folder. Files are written beside their place, flushed, and renamed."""

    folder: Path
    distant: ClassVar[bool] = False

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def workplace(self) -> Path:
        return self.folder

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str, size: int | None = None) -> bytes:
        with (self.folder / name).open("rb") as file:
            if size is not None and (found := os.fstat(file.fileno()).st_size) != size:
                raise OtherSize(found)
            return file.read()

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        for name in names:
            try:
                yield self.read(name)
            except OSError:
                yield None

    def open(self, name: str) -> Any:
        return pa.fs.LocalFileSystem().open_input_file(str(self.folder / name))

    def stream(self, name: str) -> Any:
        return self.open(name)

    def entries(self, folder: str = "") -> dict[str, int | None]:
        try:
            with os.scandir(self.folder / folder) as entries:
                return {entry.name: _size(entry) for entry in entries}
        except FileNotFoundError:
            return {}

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def sha256(self, name: str) -> str:
        return files.sha256(self.folder / name)

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        files.write(path, data)

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with files.temporary(path) as written:
            yield written

    def publish(self, written: Path, name: str) -> dict[str, Any]:
        files.publish(written, self.folder / name)
        return {"bytes": self.size(name), "sha256": self.sha256(name)}

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def remove_folder(self, name: str) -> None:
        with contextlib.suppress(OSError):  # something of the user's is in it
            (self.folder / name).rmdir()

    def leftovers(self, inside: Iterable[str] = ()) -> list[Path]:
        return files.leftovers(self.folder, inside)

    def clean(self, inside: Iterable[str] = ()) -> None:
        for path in self.leftovers(inside):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        with contextlib.ExitStack() as stack:
            busy = f"another build is at work in {self}; wait for it or stop it first."
            try:
                stack.enter_context(exclusive(self.folder / LOCK, busy))
            except OSError as error:
                if error.filename is not None:  # it is about the file, not about its lock
                    raise
                raise MaskgenError(
                    f"{self} cannot be locked against other builds ({error.strerror}); give --out a folder on a disk "
                    "of this machine, or fix the locks of that file system."
                ) from None
            yield lambda: None


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return None if entry.is_dir() else entry.stat().st_size
    except OSError:  # a link to nothing, or gone since
        return -1
