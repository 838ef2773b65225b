"""Where a data set lies: a local folder, or an object store that `pyarrow.fs` speaks to. Files there appear whole."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.fs

from .errors import MaskgenError, UsageError, short
from .shards import commit

LOCK = ".maskgen-lock"
"""What tells two builds of one data set from each other: held by the system in a folder, a lease in a store."""

ATTEMPTS = 6
"""How often a request to a store is tried, with random pauses that grow: up to 30 s where nobody answers the door."""

TIMEOUT = 10.0
"""Seconds of silence, or until a connection stands, after which an attempt is given up."""

_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
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


_STORE = re.compile(r"AWS Error|google::cloud::Status|Azure Error|HTTP status", re.IGNORECASE)
_MISSING = re.compile(r"NO_SUCH_KEY|NoSuchKey")
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist", re.IGNORECASE)
_FORBIDDEN = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|"
    r"ExpiredToken|PERMISSION_DENIED|UNAUTHENTICATED|status:? 40[13]",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"status:? 301|PermanentRedirect|AuthorizationHeaderMalformed", re.IGNORECASE)
FINAL = re.compile(
    "|".join(known.pattern for known in (_NO_BUCKET, _FORBIDDEN, _ELSEWHERE)) + "|NETWORK_CONNECTION", re.IGNORECASE
)
"""Errors that another try does not mend: the client has tried often, or the store means it."""


def refusal(uri: str, error: BaseException) -> MaskgenError | None:
    """What to say where a store refuses or does not answer; None where the error is not a store's."""
    said = str(error)
    if not _STORE.search(said) or _MISSING.search(said):
        return None
    place = plain(uri)
    if _NO_BUCKET.search(said):
        return UsageError(f"there is no bucket of {place}; make it first or mend the name.")
    if _FORBIDDEN.search(said):
        return MaskgenError(
            f"{place} is refused ({_reason(said)}); give credentials that may list, read and write there and run the "
            "same command again."
        )
    if _ELSEWHERE.search(said):
        return UsageError(f"the bucket of {place} lies in another region; add ?region=NAME to the URI.")
    return silence(uri, error)


def silence(uri: str, error: BaseException) -> MaskgenError:
    """What to say where a store does not answer."""
    return MaskgenError(
        f"the store of {plain(uri)} does not answer ({_reason(str(error))}); run the same command again: it goes on "
        "from here."
    )


def plain(uri: str) -> str:
    """A path, or a URI for sentences and records: no credentials, no options, and a name can be set behind it."""
    if not is_uri(uri):
        return uri
    return redacted(uri).partition("?")[0].replace("***@", "", 1).rstrip("/")


def _reason(said: str) -> str:
    """The part of a store's message that tells: without the request it was and without numbers that change."""
    found = re.search(r"(?:AWS Error|Azure Error|google::cloud::Status)\W*(.*)", said, re.DOTALL)
    return _short(re.sub(r"\s*\(Request ID.*?\)|;? ?Details:.*", "", found[1] if found else said, flags=re.DOTALL))


def _short(said: str) -> str:
    return short(said).rstrip(" .")


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
    from .object_store import ObjectStorage  # here, since it stands on this module

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
                return {entry.name: _size(entry) for entry in entries}
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
            except BlockingIOError:
                raise MaskgenError(f"another build is at work in {self}; wait for it or stop it first.") from None
            except OSError as error:
                raise MaskgenError(
                    f"{self} cannot be locked against other builds ({error.strerror}); give --out a folder on a disk "
                    "of this machine, or mend the locks of that file system."
                ) from None
            yield lambda: None


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return None if entry.is_dir() else entry.stat().st_size
    except OSError:  # a link to nothing, or gone since
        return -1
