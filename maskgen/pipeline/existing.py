"""What --out holds already: nothing, an earlier build, or files that maskgen did not make and never touches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..dataset import identity, info, markers, plan_file, schema
from ..errors import UsageError
from ..storage import files
from ..storage.base import LOCK, Storage

_OURS = ("README.md", "plan.parquet", "rejects.parquet", "run.json", "dataset.json")
"""The files beside the shards; the last one makes them a data set."""


def check(storage: Storage) -> None:
    """Raises `MaskgenError` if files lie there and nothing shows that maskgen made them.

    dataset.json shows it, or the plan if dataset.json was lost or removed.
    """
    there = storage.entries()
    if "dataset.json" in there:
        info.read(storage)
    elif not ("plan.parquet" in there and _holds_a_plan(storage)):
        for name, size in there.items():
            ours = name == LOCK or files.is_temporary(name)
            if not ours and not (name in markers.FOLDERS and size is None and not storage.entries(name)):
                raise UsageError(
                    f"--out {storage} holds {name!r} and is not a data set of maskgen; give an empty or new folder."
                )


def difference(storage: Storage, described: dict[str, Any], planned: Path) -> str:
    """How the build there differs from the one described, whose plan is in the file `planned`.

    Empty if nothing is there or the build is the same. Raises `UsageError` if shards of another build lie there without
    a dataset.json.
    """
    try:
        there = info.read(storage)
    except FileNotFoundError:
        _check_shards(storage, described)
        return ""
    if there["schema_version"] != described["schema_version"]:
        return (
            f"is a data set of schema version {there['schema_version']!r}, which readers open as it is, and this "
            f"maskgen builds version {described['schema_version']}"
        )
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
        return f"was planned from other photographs than --src holds now{_changes(storage, there, planned)}"
    return ""


def remove(storage: Storage) -> None:
    """Removes the files that an earlier build made, and no other file.

    Temporary files stay until a build ends: they may be in use. Raises an error if dataset.json does not show such a
    build; that file is removed last, so that an interrupted removal can be repeated.
    """
    info.read(storage)
    for folder in markers.FOLDERS:
        for name in sorted(storage.entries(folder), reverse=True):
            if markers.is_ours(folder, name):
                storage.remove(f"{folder}/{name}")
        storage.remove_folder(folder)
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
    return any(found == schema.plan_schema(packed, drawn) for packed in (False, True) for drawn in (False, True))


def _check_shards(storage: Storage, described: dict[str, Any]) -> None:
    """Raises `UsageError` if a plan or shards without a dataset.json are not those of the build described."""
    if not storage.exists("plan.parquet"):
        return
    names = [
        name
        for version in schema.READABLE_VERSIONS
        for split in schema.SPLITS
        for name in markers.marker_names(storage, split, version).values()
    ]
    found = {_fingerprint(marker) for marker in storage.read_many(names)} - {""}
    if storage.sha256("plan.parquet") != described["plan_sha256"] or found - {identity.fingerprint(described)}:
        raise UsageError(
            f"--out {storage} has shards but no dataset.json, and they are of other photographs, settings or versions; "
            "repeat the command that made them, or give --out another folder."
        )


def _fingerprint(marker: bytes | None) -> str:
    """The fingerprint in a shard's marker; empty if that cannot be read."""
    try:
        return str(files.parse_json(marker or b"")["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return ""


def _changes(storage: Storage, there: dict[str, Any], planned: Path) -> str:
    """Which photographs differ between the plan there and a new one, with examples; empty if the plan is damaged."""
    try:
        old, new = plan_file.read_plan(storage, there["plan_sha256"]), pq.read_table(planned)
    except (OSError, ValueError, pa.ArrowException):
        return ""
    places = pc.index_in(new["source"], value_set=old["source"])
    gone = old["source"].filter(pc.invert(pc.is_in(old["source"], value_set=new["source"])))
    added = new["source"].filter(pc.is_null(places))
    differs = pa.chunked_array([pa.repeat(False, new.num_rows)])
    for name in ("bytes", "identity", "problem"):
        differs = pc.or_(differs, pc.fill_null(pc.not_equal(new[name], old[name].take(places)), False))
    changed = new["source"].filter(differs)
    parts = [
        f"{len(names):,} {what} ({', '.join(map(repr, names[:2].to_pylist()))}{', ...' if len(names) > 2 else ''})"
        for names, what in ((added, "new"), (gone, "missing"), (changed, "changed"))
        if len(names)
    ]
    if parts:
        return f": {', '.join(parts)}"
    return ": the same names, in other files, in other splits or with other boxes or draws"
