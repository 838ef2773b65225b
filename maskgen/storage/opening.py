"""From a path or a URI to its storage."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import UsageError
from .base import Storage
from .client import parse
from .local import LocalStorage
from .object_store import ObjectStorage
from .uri import HALF_URI, is_uri


def open_storage(place: Path | str) -> Storage:
    """The storage of a folder or a URI. Raises `UsageError` for a URI that cannot be understood."""
    text = str(place)
    if not is_uri(text):
        if HALF_URI.match(text):
            raise UsageError(f"{text} lost a slash, as a Path does to a URI; give the URI as text.")
        return LocalStorage(Path(text))
    if text.lower().startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise UsageError(
                f"cannot open {text}: {parts.netloc!r} is a hostname; give a folder or a URI such as s3://bucket/smfd."
            )
        return LocalStorage(Path(url2pathname(parts.path)))
    parse(text)
    return ObjectStorage(text)


def located(place: Path | str) -> Path | str:
    """A place for other processes: an absolute folder, or the URI of a store."""
    storage = open_storage(place)
    return storage.folder.resolve() if isinstance(storage, LocalStorage) else str(place)
