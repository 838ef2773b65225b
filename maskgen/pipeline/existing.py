"""What lies in --out already: nothing, an earlier build, or what is somebody else's and never touched."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..dataset import identity, info, schema
from ..errors import UsageError
from ..storage import files
from ..storage.base import LOCK, Storage

_OURS = ("README.md", "plan.parquet", "rejects.parquet", "run.json", "dataset.json")
"""The files beside the shards; the last one makes them a data set."""

_SHARD_FILE = re.compile(r"\d{5,}\.(parquet|tar|json)")


def check(storage: Storage) -> None:
    """Raises `MaskgenError` where something lies there and nothing shows that maskgen made it.

    dataset.json does; where that was lost or removed, so does the plan.
    """
    there = storage.entries()
    if "dataset.json" in there:
        info.read(storage)
    elif not ("plan.parquet" in there and _holds_a_plan(storage)):
        for name, size in there.items():
            ours = name == LOCK or files.is_temporary(name)
            if not ours and not (name in schema.SPLITS and size is None and not storage.entries(name)):
                raise UsageError(
                    f"--out {storage} holds {name!r} and is no data set of maskgen; give an empty or new folder."
                )


def difference(storage: Storage, described: dict[str, Any]) -> str:
    """How the build there differs from the one described; empty where there is none, or it is the same.

    Raises `UsageError` where that cannot be said and shards of another build lie there.
    """
    try:
        there = info.read(storage)
    except FileNotFoundError:
        _check_shards(storage, described)
        return ""
    if there["schema_version"] != described["schema_version"]:
        return f"has schema version {there['schema_version']}"
    for part in ("settings", "versions"):
        old, new = there[part], described[part]
        different = [
            f"{name} {old.get(name)!r} there and {new.get(name)!r} here"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if different:
            return f"was built with other {part} ({'; '.join(different)})"
    if there["plan_sha256"] != described["plan_sha256"]:
        return "was planned from other photographs than --src holds now"
    return ""


def remove(storage: Storage) -> None:
    """Removes the files that an earlier build made, and no other file.

    Temporary files stay until a build ends: they may be in use. Raises where dataset.json does not show such a build;
    it goes last, so that a removal that was interrupted can be repeated.
    """
    info.read(storage)
    for split in schema.SPLITS:
        for name in sorted(storage.entries(split), reverse=True):
            if _SHARD_FILE.fullmatch(name):
                storage.remove(f"{split}/{name}")
        storage.remove_folder(split)
    there = storage.entries()
    for name in _OURS:
        if name in there:
            storage.remove(name)


def _holds_a_plan(storage: Storage) -> bool:
    try:
        with storage.open("plan.parquet") as file:
            found = pq.ParquetFile(file).schema_arrow
    except (OSError, pa.ArrowException):
        return False
    return found in (schema.PLAN, schema.PACKED_PLAN)


def _check_shards(storage: Storage, described: dict[str, Any]) -> None:
    """Raises `UsageError` where a plan or shards without a dataset.json are not those of the build described."""
    if not storage.exists("plan.parquet"):
        return
    markers = (f"{split}/{name}" for split in schema.SPLITS for name in storage.entries(split) if name[-5:] == ".json")
    found = {_fingerprint(marker) for marker in storage.read_many(markers)} - {""}
    if storage.sha256("plan.parquet") != described["plan_sha256"] or found - {identity.fingerprint(described)}:
        raise UsageError(
            f"--out {storage} has shards but no dataset.json, and they are of other photographs, settings or versions; "
            "repeat the command that made them, or give --out another folder."
        )


def _fingerprint(marker: bytes | None) -> str:
    """Which data set a shard's marker is of; empty where that cannot be read."""
    try:
        return str(files.parse_json(marker or b"")["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return ""
