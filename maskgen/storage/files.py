"""Durable local files: written to a temporary name, flushed to the disk, renamed; hashes and JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def leftovers(folder: Path, inside: Iterable[str] = ()) -> list[Path]:
    """Temporary files in a folder, and in the folders `inside` it that are named: those of a process at work, or of
    one that was killed."""
    folders = [folder, *(folder / name for name in inside)]
    found = [path for place in folders if place.is_dir() for path in place.iterdir() if is_temporary(path.name)]
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
