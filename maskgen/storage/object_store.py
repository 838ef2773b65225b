"""An object store as the place of a data set: objects appear whole, and questions are put again where that helps."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa
import pyarrow.fs

from ..errors import MaskgenError
from . import files, lease
from .base import LOCK
from .filesystem import FINAL, filesystem_of, refusal, silence
from .local import LocalStorage
from .random_access import RandomAccess
from .uri import plain, redacted

T = TypeVar("T")

READ_AT_ONCE = 16
"""Small objects that are fetched side by side: each costs a round trip and hardly any bytes."""

PIECE = 8 << 20
"""Bytes that one request reads of a large object."""


@dataclass(frozen=True, repr=False)
class ObjectStorage:
    """A place in an object store. Files are written in a local folder of their own, then put there whole."""

    uri: str
    distant: ClassVar[bool] = True

    def __str__(self) -> str:
        return plain(self.uri)

    def __repr__(self) -> str:
        return f"ObjectStorage({str(self)!r})"

    @property
    def workplace(self) -> Path:
        # The same for all processes of a user that build this data set, so that one finds what a killed one left.
        digest = hashlib.sha256(redacted(self.uri).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"maskgen-{os.getuid() if hasattr(os, 'getuid') else 0}-{digest}"

    def prepare(self) -> None:
        with contextlib.suppress(FileExistsError):
            self.workplace.mkdir(mode=0o700)
        status = self.workplace.lstat()
        if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            raise MaskgenError(f"{self.workplace} is no folder of yours; remove it or set TMPDIR to another folder.")

    def read(self, name: str) -> bytes:
        # Twice, until two answers agree: where an answer ends in its headers, Arrow gives as many bytes as were asked
        # for, of whatever the memory held. Large files have checksums of their own: of pages, or in their markers.
        before, data = self.open(name).read(), self.open(name).read()
        while data != before:
            before, data = data, self.open(name).read()
        return data

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        def read(name: str) -> bytes | None:
            try:
                return self.read(name)
            except FileNotFoundError:
                return None

        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            yield from pool.map(read, names)

    def open(self, name: str) -> StoredFile:
        return StoredFile(self, self._path(name))

    def stream(self, name: str) -> Any:
        return io.BufferedReader(self.open(name), PIECE)

    def entries(self, folder: str = "") -> dict[str, int | None]:
        selector = pa.fs.FileSelector(self._path(folder), allow_not_found=True)
        found = self.ask(lambda filesystem: filesystem.get_file_info(selector), bool)
        return {info.base_name: info.size if info.is_file else None for info in found}

    def size(self, name: str) -> int:
        path = self._path(name)
        info = self.ask(lambda filesystem: filesystem.get_file_info(path), lambda info: info.size != 0)
        if not info.is_file:
            raise FileNotFoundError(f"{self}/{name} is missing")
        return int(info.size)

    def sha256(self, name: str) -> str:
        return str(self._read_back(name)["sha256"])

    def exists(self, name: str) -> bool:
        try:
            return self.size(name) >= 0
        except FileNotFoundError:
            return False

    def write(self, name: str, data: bytes) -> None:
        self._put(name, pa.py_buffer(data))

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        self.prepare()
        with LocalStorage(self.workplace).temporary(name) as written:
            yield written

    def publish(self, written: Path, name: str) -> dict[str, Any]:
        size, digest = written.stat().st_size, files.sha256(written)
        with pa.memory_map(str(written)) as file:
            self._put(name, file.read_buffer())
        found = self._read_back(name)
        if found != {"bytes": size, "sha256": digest}:
            raise MaskgenError(
                f"{self}/{name} came back with other bytes than were written; run the same command again."
            )
        return found

    def remove(self, name: str) -> None:
        self.ask(lambda filesystem: filesystem.delete_file(self._path(name)))

    def remove_folder(self, name: str) -> None:
        """A store has no folders. Arrow leaves an empty object in the place of one, which costs and hurts nothing;
        deleting it would delete whatever somebody puts beside it meanwhile."""

    def leftovers(self, inside: Iterable[str] = ()) -> list[Path]:
        return files.leftovers(self.workplace, inside)

    def clean(self, inside: Iterable[str] = ()) -> None:
        scratch, inside = LocalStorage(self.workplace), tuple(inside)
        scratch.clean(inside)
        for name in (*inside, ""):
            scratch.remove_folder(name)

    def lock(self) -> contextlib.AbstractContextManager[Callable[[], None]]:
        return lease.hold(self, LOCK)

    def _path(self, name: str) -> str:
        root = filesystem_of(self.uri)[1]
        return f"{root}/{name}" if name else root

    def _read_back(self, name: str) -> dict[str, Any]:
        file, digest = self.open(name), hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}

    def _put(self, name: str, data: pa.Buffer) -> None:
        # All the bytes are at hand before the stream is opened: leaving its context, on an error too, is a commit.
        # Arrow sends up to 10 MB in one PUT, more in parts; parts that did not all arrive are never put together.
        def put(filesystem: pa.fs.FileSystem) -> None:
            with filesystem.open_output_stream(self._path(name)) as file:
                file.write(data)

        self.ask(put)

    def ask(self, question: Callable[[pa.fs.FileSystem], T], likely: Callable[[T], bool] = lambda _: True) -> T:
        """Puts a question to the store: again where the client, which has patience of its own, was misled.

        It takes an answer that ends in its headers for a whole one, and so an upload without its receipt, an object
        without its size, a listing without names. An answer that is not `likely` is believed the third time.
        """
        for again in (True, True, False):
            try:
                answer = question(filesystem_of(self.uri)[0])
                if not again or likely(answer):
                    return answer
            except FileNotFoundError:
                raise
            except OSError as error:
                if not again or FINAL.search(str(error)):
                    raise (refusal(self.uri, error) or silence(self.uri, error)) from None
        raise AssertionError


class StoredFile(RandomAccess):
    """An object to read at any position. A read that Arrow finds short is asked for again.

    One that it takes for whole, though the answer was cut in its headers, is for callers to notice; see
    `ObjectStorage.read`.
    """

    def __init__(self, store: ObjectStorage, path: str) -> None:
        self._store = store
        self._file = store.ask(lambda filesystem: filesystem.open_input_file(path), lambda file: file.size() > 0)
        self.size = self._file.size()

    def at(self, offset: int, size: int) -> bytes:
        def read(_: pa.fs.FileSystem) -> bytes:
            data: bytes = self._file.read_at(size, offset)
            if len(data) != size:
                raise OSError(f"an answer ended after {len(data)} of {size} bytes")
            return data

        return self._store.ask(read)
