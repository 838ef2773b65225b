"""Checks a finished data set: every hash, every count, the schema, and rows + rejects = plan."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import MaskgenError, short
from ..storage import files
from . import identity, markers, plan_file, schema, writers
from .reader import Dataset
from .reader import open as open_dataset
from .shard_files import parquet_file


def verify(out: Path | str, progress: Callable[[int], None] | None = None) -> dict[str, int]:
    """Checks a finished data set by its every byte.

    Args:
        out: The data set, a folder or a URI.
        progress: Called after each shard with the number of its photographs.

    Returns:
        The numbers of photographs, rows, rejects, shards, bytes.

    Raises:
        UsageError: There is no finished data set.
        MaskgenError: Something is broken. The message names the first broken shard or table, how many more are broken,
            and how to repair it.

    Example:
        >>> maskgen.verify("smfd")["rows"]
        93
    """
    dataset = open_dataset(out)
    table = _checked_plan(dataset)
    counts = {"photographs": table.num_rows, "rows": 0, "rejects": 0, "shards": 0, "bytes": 0}
    broken: list[tuple[str, str, str]] = []
    rejects: list[dict[str, str]] = []
    hashes: list[str] = []
    told: dict[str, dict[str, Any]] = {}
    promised: set[str] = set()
    for split, shard, first, rows in plan_file.shard_slices(table):
        try:
            marker = _checked_shard(dataset, split, shard, table["key"].slice(first, rows).to_pylist())
        except _Broken as error:
            marker_name = markers.marker_name(split, shard, dataset.version)
            broken.append((f"{split}/{shard:05d}", str(error), f"{dataset}/{marker_name}"))
        else:
            rejects += marker["rejects"]
            hashes += markers.file_hashes(marker)
            promised |= {
                markers.marker_name(split, shard, dataset.version),
                *(f"{split}/{name}" for name in marker["files"]),
            }
            _count(told.setdefault(split, {"rows": 0, "rejects": {}}), marker)
            counts["shards"] += 1
            counts["rows"] += marker["rows"]
            counts["rejects"] += len(marker["rejects"])
            counts["bytes"] += sum(file["bytes"] for file in marker["files"].values())
        if progress:
            progress(rows)
    if broken:
        name, what, _ = broken[0]
        more = f" ({len(broken) - 1} more shards are broken)" if len(broken) > 1 else ""
        names = ", ".join(marker for _, _, marker in broken[:5]) + (" ..." if len(broken) > 5 else "")
        raise MaskgenError(f"shard {name} is broken: {what}{more}; delete {names} and {_again(dataset)}")
    _check_strays(dataset, promised)
    _check_facts(dataset, table, told, markers.content(dataset.fingerprint, hashes))
    _check_tables(dataset, rejects)
    _ = dataset.style  # reads its textures
    return counts


def _again(dataset: Dataset) -> str:
    """How to repair a data set. Only the maskgen that built it resumes a build of an earlier version."""
    if dataset.version == schema.SCHEMA_VERSION:
        return "run the same `maskgen build` command again."
    return (
        f"run the same `maskgen build` command with the maskgen that built it (schema version {dataset.version}), or "
        "build it again with --overwrite."
    )


def _count(told: dict[str, Any], marker: dict[str, Any]) -> None:
    told["rows"] += marker["rows"]
    for reject in marker["rejects"]:
        told["rejects"][reject["reason"]] = told["rejects"].get(reject["reason"], 0) + 1


class _Broken(Exception):
    """What is wrong with a shard."""


def _checked_plan(dataset: Dataset) -> pa.Table:
    try:
        return plan_file.read_plan(dataset.storage, dataset.info["plan_sha256"])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MaskgenError(f"{dataset}/plan.parquet cannot be read ({short(error)}); {_again(dataset)}") from None


def _checked_shard(dataset: Dataset, split: str, shard: int, keys: list[str]) -> dict[str, Any]:
    """The marker of a shard all of whose promises hold. Raises `_Broken`."""
    try:
        marker: dict[str, Any] = files.parse_json(
            dataset.storage.read(markers.marker_name(split, shard, dataset.version))
        )
        if flaw := markers.flaw(marker):
            raise ValueError(flaw)
        rejected = [reject["key"] for reject in marker["rejects"]]
        listed = {name: (file["bytes"], file["sha256"]) for name, file in marker["files"].items()}
        same = marker["fingerprint"] == dataset.fingerprint
        rows = marker["rows"]
    except FileNotFoundError:
        raise _Broken("its marker is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Broken(f"its marker cannot be read ({error})") from None
    if not same or marker.get("photographs") != len(keys):
        raise _Broken("its marker is of another data set")
    usable = sorted(set(keys) - set(rejected))
    if rows != len(usable) or rows + len(rejected) != len(keys):
        raise _Broken(f"{rows} rows and {len(rejected)} rejects do not make {len(keys)} photographs")
    format = dataset.info["settings"]["format"]
    expected = {f"{shard:05d}.{ending}" for ending in writers.endings(format)} if rows else set()
    if set(listed) != expected:
        raise _Broken(f"its marker lists {sorted(listed)} and not {sorted(expected)}")
    for name, (size, digest) in listed.items():
        _check_file(dataset, f"{split}/{name}", size, digest, usable)
    return marker


def _check_file(dataset: Dataset, path: str, size: int, digest: str, keys: list[str]) -> None:
    storage, name = dataset.storage, path.rpartition("/")[2]
    try:
        if (found := storage.size(path)) != size:
            raise _Broken(f"{name} has {found} bytes and its marker says {size}")
        if storage.sha256(path) != digest:
            raise _Broken(f"{name} has other bytes than its marker says")
        there = _parquet_keys(dataset, path) if path.endswith(".parquet") else _tar_keys(dataset, path)
    except FileNotFoundError:
        raise _Broken(f"{name} is missing") from None
    except (OSError, ValueError, tarfile.TarError, pa.ArrowException) as error:
        raise _Broken(f"{name} cannot be read ({short(error)})") from None
    if there != keys:
        raise _Broken(f"{name} holds other photographs than the plan")


def _parquet_keys(dataset: Dataset, path: str) -> list[str]:
    with dataset.storage.open(path) as file:
        keys: list[str] = parquet_file(file, dataset).read(columns=["key"])["key"].to_pylist()
    return keys


def _tar_keys(dataset: Dataset, path: str) -> list[str]:
    members = {f"{name}.jpg" for name in dataset.stored_pictures(None)} | {"json"}
    found: dict[str, set[str]] = {}
    with dataset.storage.stream(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            key, _, kind = member.name.partition(".")
            found.setdefault(key, set()).add(kind)
    if any(kinds != members for kinds in found.values()):
        raise _Broken(f"{path.rpartition('/')[2]} has photographs with pictures missing")
    return list(found)


def _table(dataset: Dataset, name: str) -> pa.Table:
    with dataset.storage.open(name) as file:
        return pq.read_table(file)


def _check_strays(dataset: Dataset, promised: set[str]) -> None:
    """Raises if readers, or the card's pattern, would take a file for a shard's that no marker names."""
    there = (f"{folder}/{name}" for folder in markers.FOLDERS for name in dataset.storage.entries(folder))
    strays = sorted(name for name in there if name.endswith((".parquet", ".tar", ".json")) and name not in promised)
    if strays:
        names = ", ".join(f"{dataset}/{name}" for name in strays[:5]) + (" ..." if len(strays) > 5 else "")
        raise MaskgenError(
            f"no marker names {names}, and readers may take that for a shard; delete it, or move it elsewhere."
        )


def _check_facts(dataset: Dataset, table: pa.Table, counts: dict[str, Any], content: str) -> None:
    """Everything in dataset.json follows from its settings, the plan and the markers."""
    described = {name: dataset.info[name] for name in identity.DESCRIPTION}
    labels = pa.table({"label": table["label"], "identity": table["identity"]}).group_by(["label", "identity"])
    identities = [row["identity"] for row in labels.aggregate([]).sort_by("label").to_pylist() if row["label"] >= 0]
    expected = {**identity.facts(described, identities), "counts": counts, "content": content, "complete": True}
    for name in sorted(expected.keys() | dataset.info.keys()):
        if expected.get(name) != dataset.info.get(name):
            raise MaskgenError(f"{dataset}/dataset.json has {name!r} other than plan and shards; {_again(dataset)}")


def _check_tables(dataset: Dataset, rejects: list[dict[str, str]]) -> None:
    again = _again(dataset)
    try:
        if _table(dataset, "rejects.parquet").to_pylist() != rejects:
            raise MaskgenError(f"{dataset}/rejects.parquet is not what the shards rejected; {again}")
    except (OSError, ValueError, pa.ArrowException):
        raise MaskgenError(f"{dataset}/rejects.parquet cannot be read; {again}") from None
    if not dataset.storage.exists("README.md"):
        raise MaskgenError(f"{dataset}/README.md is missing; {again}")
