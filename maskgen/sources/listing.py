"""Lists a source, whatever kind it is of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from . import folders, remote
from .containers import CONTAINERS
from .detect import Found, find
from .photograph import Photograph


def photographs(
    src: str | Path,
    follow_links: bool = False,
    *,
    kind: str = "auto",
    identity_field: str | None = None,
    image_column: str | None = None,
) -> Iterator[Photograph]:
    """Lists a source in a fixed order, streaming: every photograph in it, and every entry that can only be rejected.

    `kind` forces what `src` is taken for; `identity_field` and `image_column` are the settings of those names.
    Raises `UsageError` if `src` is no source, `MaskgenError` if a container is damaged or cannot be read.
    """
    found = find(str(src), kind)
    if found.kind == "folders":
        if found.place.is_local:
            return folders.photographs(Path(str(found.place)), follow_links)
        return remote.photographs(found.place)
    return _contained(found, identity_field, image_column)


def _contained(found: Found, identity_field: str | None, image_column: str | None) -> Iterator[Photograph]:
    for name, split in found.containers:
        listing = CONTAINERS[found.kind].photographs(found.place, name, identity_field, image_column)
        for photograph in listing:
            yield photograph._replace(official_split=split) if split else photograph
