"""Markers: a shard counts once its marker is written, which gives its files, their hashes and its rejects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..storage.files import parse_json
from .schema import MAX_SHARD_SIZE, REJECTS, SCHEMA_VERSION, SPLITS

if TYPE_CHECKING:
    from ..storage.base import Storage

FOLDER = "__markers"
"""Where markers lie since version 2. Arrow, pandas and `datasets` pass over files beside the shards if their names
begin with the right character; Polars accepts no file there that is not Parquet. `datasets` searches every folder whose
name does not begin with a dot or two underscores, and copying `smfd/*` would leave out one that begins with a dot."""

TEXTURES = "__textures"
"""Where the pictures lie that masks of the style `texture` show; a name that readers pass over, too."""

FOLDERS = (*SPLITS, FOLDER, TEXTURES)
"""The folders of a data set, of any version."""

_MARKER = {1: re.compile(r"(?P<shard>[0-9]{5,})\.json"), 2: re.compile(r"(?P<split>[a-z]+)-(?P<shard>[0-9]{5,})\.json")}
"""The names of markers in their folder, by version."""

_TEXTURE = re.compile(r"[0-9a-f]{64}\.png")
"""The names of textures: the hashes of their files."""

_DATA_FILE = re.compile(r"[0-9]{5,}\.(parquet|tar)")
"""The names of the files of shards."""


def file_name(split: str, shard: int, ending: str) -> str:
    """The name of a shard's data file in its data set."""
    return f"{split}/{shard:05d}.{ending}"


def marker_name(split: str, shard: int, version: int = SCHEMA_VERSION) -> str:
    """The name of a shard's marker in a data set of that version."""
    return f"{split}/{shard:05d}.json" if version == 1 else f"{FOLDER}/{split}-{shard:05d}.json"


def is_ours(folder: str, name: str) -> bool:
    """Whether a file of that name, in one of `FOLDERS`, is one that a build of any version writes there."""
    if folder == TEXTURES:
        return _TEXTURE.fullmatch(name) is not None
    if folder == FOLDER:
        return _MARKER[2].fullmatch(name) is not None
    return _MARKER[1].fullmatch(name) is not None or _DATA_FILE.fullmatch(name) is not None


def marker_names(storage: Storage, split: str, version: int = SCHEMA_VERSION) -> dict[int, str]:
    """The markers of a split that exist: their names in the data set by the number of the shard, in order."""
    folder = split if version == 1 else FOLDER
    found = {}
    for name in storage.entries(folder):
        match = _MARKER[version].fullmatch(name)
        if match and match.groupdict().get("split", split) == split:
            found[int(match["shard"])] = f"{folder}/{name}"
    return dict(sorted(found.items()))


def flaw(marker: Any) -> str:
    """What is wrong with a marker; empty if all in it is what it must be. It may come from anyone."""
    if not isinstance(marker, dict) or not is_hash(marker.get("fingerprint")):
        return "it has no fingerprint"
    if not _is_number(marker.get("rows")) or not _is_number(marker.get("photographs")):
        return "its rows or photographs are not a number"
    if marker["photographs"] > MAX_SHARD_SIZE:
        return f"it has more photographs than --shard-size allows, {MAX_SHARD_SIZE:,}"
    rejects, listed = marker.get("rejects"), marker.get("files")
    if not isinstance(rejects, list) or not all(map(_is_reject, rejects)):
        return "its rejects are not photographs with reasons"
    if marker["rows"] + len(rejects) != marker["photographs"]:
        return f"{marker['rows']} rows and {len(rejects)} rejects do not make {marker['photographs']} photographs"
    if not isinstance(listed, dict) or not all(_DATA_FILE.fullmatch(name) for name in listed):
        return "its files are not those of a shard"
    if not all(
        isinstance(file, dict) and _is_number(file.get("bytes")) and is_hash(file.get("sha256"))
        for file in listed.values()
    ):
        return "its files have no sizes and hashes"
    return ""


def is_hash(value: Any) -> bool:
    """Whether this is a SHA-256 as we write it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_reject(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in REJECTS.names)


def file_hashes(marker: dict[str, Any]) -> list[str]:
    """The hashes that a marker gives of its files, in the order of their names."""
    return [file["sha256"] for _, file in sorted(marker["files"].items())]


def content(fingerprint: str, hashes: Iterable[str]) -> str:
    """The hash of a data set's bytes, from its fingerprint and the hashes of all its shards' files in order.

    The fingerprint alone knows a photograph by name and size: another one of the same name and size has the same.
    """
    return hashlib.sha256("\n".join([fingerprint, *hashes]).encode()).hexdigest()


def read_markers(
    storage: Storage, shards: Iterable[tuple[str, int]], fingerprint: str
) -> Iterator[dict[str, Any] | None]:
    """The marker of each shard (split, number) of a build; None if the shard is not done.

    A shard is done if its marker is of this data set and its files have the sizes that the marker gives.
    """
    shards = list(shards)
    sizes = {split: storage.entries(split) for split in {split for split, _ in shards}}
    found = storage.read_many(marker_name(split, shard) for split, shard in shards)
    for (split, _), data in zip(shards, found, strict=True):
        try:
            marker: dict[str, Any] = parse_json(data or b"")
        except ValueError:
            marker = {}
        done = not flaw(marker) and marker["fingerprint"] == fingerprint
        if done:
            files = {name: file["bytes"] for name, file in marker["files"].items()}
            done = files == {name: sizes[split].get(name, -1) for name in files}
        yield marker if done else None
