"""What makes a file count: written to a temporary name, flushed to the disk, renamed; a shard's marker comes last."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schema import SPLITS

if TYPE_CHECKING:
    from ..storage import Storage

_TEMPORARY = re.compile(r"^\.maskgen-[0-9a-f]{16}\..*\.tmp$")


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A new name beside `path`, unlike any other process's; removed on the way out if it is still there."""
    name = path.with_name(f".maskgen-{secrets.token_hex(8)}.{path.name}.tmp")
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary` makes: a killed process leaves such files behind."""
    return bool(_TEMPORARY.match(name))


def leftovers(out: Path) -> list[Path]:
    """Temporary files in a data set: those of a build at work, or of one that was killed."""
    folders = [out, *(out / split for split in SPLITS)]
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if is_temporary(path.name)]
    return sorted(found, key=lambda path: path.name.split(".", 2)[2])


def publish(written: Path, path: Path) -> None:
    """Moves a closed file to its final name, with its bytes and its name on the disk before this returns."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(written, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: Path, data: bytes) -> None:
    """Writes a small file whole or not at all."""
    with temporary(path) as name:
        name.write_bytes(data)
        publish(name, path)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A value as the bytes of a JSON file; equal values give equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON file that anyone may have written; `ValueError` also where it is nested beyond all sense."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sha256(path: Path) -> str:
    """The hash of a file's bytes as they are read back."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
