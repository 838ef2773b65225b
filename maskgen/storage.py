"""Where files lie: a local path or a URI as a file system and a path in it."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.fs

from .errors import UsageError


def filesystem_of(text: str) -> tuple[pa.fs.FileSystem, str]:
    """The file system that a local path or a URI (s3://bucket/prefix, gs://, file:///...) names, and the path in it.

    Raises `UsageError` where `pyarrow.fs` knows no such URI; the sentence repeats no keys that the URI holds.
    """
    if "://" not in text:
        return pa.fs.LocalFileSystem(), text
    try:
        filesystem, root = pa.fs.FileSystem.from_uri(text)
    except (pa.ArrowException, ValueError, OSError) as error:
        shown = re.sub(r"(?<=://).*@", "", text.partition("?")[0])
        said = " ".join(str(error).replace(text, shown).split()).rstrip(".")
        raise UsageError(f"cannot open {shown}: {said}; give a folder or a URI such as s3://bucket/folder.") from None
    return filesystem, root.rstrip("/") or "/"
