"""Where a data set lies: a local folder, or an object store that `pyarrow.fs` speaks to. Files there appear whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import pyarrow as pa
import pyarrow.fs

from . import lease
from .errors import MaskgenError, UsageError
from .shards import commit, schema

T = TypeVar("T")

LOCK = ".maskgen-lock"
"""What tells two builds of one data set from each other: held by the system in a folder, a lease in a store."""

ATTEMPTS = 6
"""How often a request to a store is tried, with pauses that double: about 20 s where nobody answers the door."""

TIMEOUT = 10.0
"""Seconds of silence, or until a connection stands, after which an attempt is given up."""

READ_AT_ONCE = 16
"""Small objects that are fetched side by side: each costs a round trip and hardly any bytes."""

PIECE = 8 << 20
"""Bytes that one request reads of a large object."""

_URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_HALF_URI = re.compile(r"(s3|gs|gcs|file):/", re.IGNORECASE)
_SECRET = re.compile(
    r"(?<=[?&])([^=&#]*(?:key|secret|token|password|credential|signature)[^=&#]*)=[^&#]*", re.IGNORECASE
)


def is_uri(text: str) -> bool:
    """Whether a text is a URI such as s3://bucket/smfd, and not a path."""
    return bool(_URI.match(text))


def redacted(text: str) -> str:
    """A path, or a URI without the credentials in it: what may stand in a file, a sentence or a log."""
    if not is_uri(text):
        return text
    scheme, rest = text.split("://", 1)
    place, mark, query = rest.partition("?")
    host = place.partition("/")[0]
    if "@" in place and ("@" in host or ":" in host):  # a secret that was not percent-encoded may hold a slash
        place = f"***@{place.rpartition('@')[2] if '@' not in host else host.rpartition('@')[2] + place[len(host) :]}"
    return f"{scheme}://{place}{mark}" + _SECRET.sub(r"\1=***", f"?{query}")[1:]


@lru_cache(maxsize=64)
def filesystem_of(text: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system of a path or a URI, and the place in it: the one way from a text to `pyarrow.fs`.

    Requests to S3 and GCS are repeated with growing pauses where they fail for a passing reason. Raises `UsageError`
    for a URI that cannot be understood, `MaskgenError` where its store refuses or does not answer.
    """
    if not is_uri(text):
        return pa.fs.LocalFileSystem(), text
    try:
        filesystem, root = pa.fs.FileSystem.from_uri(text)
    except (pa.ArrowException, ValueError, OSError) as error:
        if told := refusal(text, error):
            raise told from None
        said = _short(str(error).replace(text, redacted(text)))
        raise UsageError(
            f"cannot open {redacted(text)}: {said}; give a folder or a URI such as s3://bucket/smfd."
        ) from None
    # A URI cannot say how patient to be, so the file system is made again with what it would be pickled by.
    if isinstance(filesystem, pa.fs.S3FileSystem):
        options = filesystem.__reduce__()[1][0]
        strategy = pa.fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS)
        options |= {"retry_strategy": strategy, "request_timeout": TIMEOUT, "connect_timeout": TIMEOUT}
        filesystem = pa.fs.S3FileSystem(**options | {"allow_delayed_open": True})  # a small file is one PUT
    elif filesystem.type_name == "gcs":
        options = filesystem.__reduce__()[1][0]
        if options["retry_time_limit"] is None:
            filesystem = pa.fs.GcsFileSystem(**options | {"retry_time_limit": timedelta(seconds=60)})
    return filesystem, root.rstrip("/") or "/"


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

    def read(self, name: str) -> bytes:
        """A small file."""

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

    def leftovers(self) -> list[Path]:
        """Temporary files of a build at work on this machine, or of one that was killed."""

    def clean(self) -> None:
        """Removes the leftovers, when all is done."""

    def lock(self) -> contextlib.AbstractContextManager[Callable[[], None]]:
        """Holds the data set for this process. What it gives raises `MaskgenError` where the hold was lost."""


def open_storage(place: Path | str) -> Storage:
    """The storage of a folder or a URI. Raises `UsageError` for a URI that cannot be understood."""
    text = str(place)
    if not is_uri(text):
        if _HALF_URI.match(text):
            raise UsageError(f"{text} lost a slash, as a Path does to a URI; give the URI as text.")
        return LocalStorage(Path(text))
    if text.lower().startswith("file://"):
        return LocalStorage(Path(filesystem_of(text)[1]))
    return ObjectStorage(text)


def located(place: Path | str) -> Path | str:
    """A place for other processes: an absolute folder, or the URI of a store."""
    storage = open_storage(place)
    return storage.folder.resolve() if isinstance(storage, LocalStorage) else str(place)


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

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

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
                return {entry.name: None if entry.is_dir() else entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def sha256(self, name: str) -> str:
        return commit.sha256(self.folder / name)

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def write(self, name: str, data: bytes) -> None:
        commit.write(self.folder / name, data)

    @contextlib.contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        with commit.temporary(path) as written:
            yield written

    def publish(self, written: Path, name: str) -> dict[str, Any]:
        commit.publish(written, self.folder / name)
        return {"bytes": self.size(name), "sha256": self.sha256(name)}

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def remove_folder(self, name: str) -> None:
        with contextlib.suppress(OSError):  # something of the user's is in it
            (self.folder / name).rmdir()

    def leftovers(self) -> list[Path]:
        return commit.leftovers(self.folder)

    def clean(self) -> None:
        for path in self.leftovers():
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Callable[[], None]]:
        """The system lets go of it when the process ends, however it ends."""
        try:
            import fcntl
        except ImportError:  # Windows has no flock; markers and atomic names still keep the data whole
            yield lambda: None
            return
        with (self.folder / LOCK).open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise MaskgenError(f"another build is at work in {self}; wait for it or stop it first.") from None
            yield lambda: None


@dataclass(frozen=True, repr=False)
class ObjectStorage:
    """A place in an object store. Files are written in a local folder of their own, then put there whole."""

    uri: str
    distant: ClassVar[bool] = True

    def __str__(self) -> str:
        return _plain(self.uri)

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
        return self.open(name).read()

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
        found = self.ask(lambda filesystem: filesystem.get_file_info(selector))
        return {info.base_name: info.size if info.is_file else None for info in found}

    def size(self, name: str) -> int:
        info = self.ask(lambda filesystem: filesystem.get_file_info(self._path(name)))
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
        size, digest = written.stat().st_size, commit.sha256(written)
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

    def leftovers(self) -> list[Path]:
        return commit.leftovers(self.workplace)

    def clean(self) -> None:
        scratch = LocalStorage(self.workplace)
        scratch.clean()
        for name in (*schema.SPLITS, ""):
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

    def ask(self, question: Callable[[pa.fs.FileSystem], T]) -> T:
        """Puts a question to the store: once more where the client, which has patience of its own, was misled.

        It takes an answer that ends in its headers for a whole one, and so an upload without its receipt, or an
        object without its size.
        """
        for again in (True, False):
            try:
                return question(filesystem_of(self.uri)[0])
            except FileNotFoundError:
                raise
            except OSError as error:
                if not again or _FINAL.search(str(error)):
                    raise (refusal(self.uri, error) or _silent(self.uri, error)) from None
        raise AssertionError


class StoredFile(io.RawIOBase):
    """An object to read at any position. Every read is whole: one that was cut short is asked for again."""

    def __init__(self, store: ObjectStorage, path: str) -> None:
        def opened(filesystem: pa.fs.FileSystem) -> Any:
            file = filesystem.open_input_file(path)
            if not file.size():  # we write no empty file
                raise OSError("an answer came without the size of the object")
            return file

        self._store, self._file, self._position = store, store.ask(opened), 0
        self._size: int = self._file.size()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)

        def read(_: pa.fs.FileSystem) -> bytes:
            data: bytes = self._file.read_at(wanted, self._position)
            if len(data) != wanted:
                raise OSError(f"an answer ended after {len(data)} of {wanted} bytes")
            return data

        data = self._store.ask(read) if wanted else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_STORE = re.compile(r"AWS Error|google::cloud::Status|Azure Error|HTTP status", re.IGNORECASE)
_MISSING = re.compile(r"NO_SUCH_KEY|NoSuchKey")
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist", re.IGNORECASE)
_FORBIDDEN = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|"
    r"ExpiredToken|PERMISSION_DENIED|UNAUTHENTICATED|status:? 40[13]",
    re.IGNORECASE,
)

_FINAL = re.compile(f"{_NO_BUCKET.pattern}|{_FORBIDDEN.pattern}|NETWORK_CONNECTION", re.IGNORECASE)
"""Errors that another try does not mend: the client has tried often, or the store means it."""


def refusal(uri: str, error: BaseException) -> MaskgenError | None:
    """What to say where a store refuses or does not answer; None where the error is not a store's."""
    said = str(error)
    if not _STORE.search(said) or _MISSING.search(said):
        return None
    place = _plain(uri)
    if _NO_BUCKET.search(said):
        return UsageError(f"there is no bucket of {place}; make it first or mend the name.")
    if _FORBIDDEN.search(said):
        return MaskgenError(
            f"{place} is refused ({_reason(said)}); give credentials that may list, read and write there and run the "
            "same command again."
        )
    return _silent(uri, error)


def _silent(uri: str, error: BaseException) -> MaskgenError:
    return MaskgenError(
        f"the store of {_plain(uri)} does not answer ({_reason(str(error))}); run the same command again: it goes on "
        "from here."
    )


def _plain(uri: str) -> str:
    """A URI for sentences: no credentials, no options, and a name can be set behind it."""
    return redacted(uri).partition("?")[0].replace("***@", "", 1).rstrip("/")


def _reason(said: str) -> str:
    """The part of a store's message that tells: without the request it was and without numbers that change."""
    found = re.search(r"(?:AWS Error|Azure Error|google::cloud::Status)\W*(.*)", said, re.DOTALL)
    return _short(re.sub(r"\s*\(Request ID.*?\)|;? ?Details:.*", "", found[1] if found else said, flags=re.DOTALL))


def _short(said: str) -> str:
    return " ".join(said.split())[:120].rstrip(" .")
