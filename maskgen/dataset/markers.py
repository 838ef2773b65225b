"""What makes a file count: written to a temporary name, flushed to the disk, renamed; a shard's marker comes last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..storage.files import parse_json

if TYPE_CHECKING:
    from ..storage.base import Storage


def shard_name(split: str, shard: int, ending: str) -> str:
    """The name of a shard's file in its data set; the ending `json` is its marker."""
    return f"{split}/{shard:05d}.{ending}"


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
    """The marker of each shard (split, number) that is done: it is of this data set and the files have its sizes."""
    shards = list(shards)
    sizes = {split: storage.entries(split) for split in {split for split, _ in shards}}
    found = storage.read_many(shard_name(split, shard, "json") for split, shard in shards)
    for (split, _), data in zip(shards, found, strict=True):
        try:
            marker: dict[str, Any] = parse_json(data or b"")
            files = {name: file["bytes"] for name, file in marker["files"].items()}
            hashed = all(isinstance(sha256, str) for sha256 in file_hashes(marker))
            there = {name: sizes[split].get(name, -1) for name in files}
            done = marker["fingerprint"] == fingerprint and files == there and hashed
        except (ValueError, KeyError, TypeError, AttributeError):
            done = False
        yield marker if done else None
