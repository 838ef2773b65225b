"""From a path or a URI to its storage."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from .base import Storage
from .filesystem import filesystem_of
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
        return LocalStorage(Path(filesystem_of(text)[1]))
    return ObjectStorage(text)


def located(place: Path | str) -> Path | str:
    """A place for other processes: an absolute folder, or the URI of a store."""
    storage = open_storage(place)
    return storage.folder.resolve() if isinstance(storage, LocalStorage) else str(place)
