"""An object store as a place of files: an object appears whole or not at all."""

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
from typing import Any, ClassVar

from ..errors import MaskgenError
from . import files, lease
from .base import LOCK, OtherSize
from .client import ask, parse
from .local import LocalStorage
from .random_access import RandomAccess
from .uri import plain, redacted

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

    def read(self, name: str, size: int | None = None) -> bytes:
        path = self._path(name)

        def get(client: Any) -> bytes:
            answer = client.get(path)
            if size is not None and answer.meta["size"] != size:
                raise OtherSize(answer.meta["size"])
            return bytes(answer.bytes())

        return ask(self.uri, get)

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
        path = self._path(folder)
        found = ask(self.uri, lambda client: client.list_with_delimiter(path or None))
        names: dict[str, int | None] = {
            _base(item["path"]): item["size"] for item in self._objects(found["objects"], path)
        }
        return names | {_base(name): None for name in found["common_prefixes"]}

    def walk(self, folder: str = "") -> dict[str, int]:
        """Every object below a folder, at any depth, by its name relative to it, with its size."""
        path = self._path(folder)
        found = ask(self.uri, lambda client: [item for chunk in client.list(path or None) for item in chunk])
        return {item["path"][len(path) :].lstrip("/"): item["size"] for item in self._objects(found, path)}

    @staticmethod
    def _objects(found: Iterable[Any], folder: str) -> list[Any]:
        """Objects but those that some clients leave in the place of a folder: empty ones of its own name."""
        return [item for item in found if item["path"] != folder]

    def size(self, name: str) -> int:
        path = self._path(name)
        try:
            return int(ask(self.uri, lambda client: client.head(path))["size"])
        except FileNotFoundError:
            raise FileNotFoundError(f"{self}/{name} is missing") from None

    def sha256(self, name: str) -> str:
        return str(self._read_back(name)["sha256"])

    def exists(self, name: str) -> bool:
        try:
            return self.size(name) >= 0
        except FileNotFoundError:
            return False

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        ask(self.uri, lambda client: client.put(path, data))

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        self.prepare()
        with LocalStorage(self.workplace).temporary(name) as written:
            yield written

    def publish(self, written: Path, name: str) -> dict[str, Any]:
        size, digest = written.stat().st_size, files.sha256(written)
        path = self._path(name)
        ask(self.uri, lambda client: client.put(path, written))  # in parts if it is large, put together at the end
        found = self._read_back(name)
        if found != {"bytes": size, "sha256": digest}:
            raise MaskgenError(
                f"{self}/{name} came back with other bytes than were written; run the same command again."
            )
        return found

    def remove(self, name: str) -> None:
        path = self._path(name)
        ask(self.uri, lambda client: client.delete(path))

    def remove_folder(self, name: str) -> None:
        """A store has no folders."""

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
        return "/".join(filter(None, (parse(self.uri).prefix, name)))

    def _read_back(self, name: str) -> dict[str, Any]:
        file, digest = self.open(name), hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


class StoredFile(RandomAccess):
    """An object to read at any position; every read is of the object that was opened, or an error."""

    def __init__(self, store: ObjectStorage, path: str) -> None:
        self._uri, self._path = store.uri, path
        found = ask(store.uri, lambda client: client.head(path))
        self.size, self._tag = int(found["size"]), found["e_tag"]

    def at(self, offset: int, size: int) -> bytes:
        options: Any = {"range": (offset, offset + size)} | ({"if_match": self._tag} if self._tag else {})
        return ask(self._uri, lambda client: bytes(client.get(self._path, options=options).bytes()))


def _base(path: str) -> str:
    return path.rpartition("/")[2]
