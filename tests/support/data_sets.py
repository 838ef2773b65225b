"""Source trees, small builds of them, and what a build wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import maskgen

TREE_REJECTS = {"ann/0002_01.jpg": "empty", "bob/0003_01.jpg": "not_an_image", "cyd/0004_01.jpg": "no_face"}
UNHASHED = ("run.json", ".maskgen-lock")


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    """Writes files by their names: `write_tree(folder, {"ann/1.jpg": data})`."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def make(src: Path, out: Path, **settings: Any) -> Path:
    """Builds in this process with small pictures and shards: `make(src, out, variants="random")` returns `out`."""
    chosen = {"engine": "serial", "size": 96, "shard_size": 5, "test_identities": 0.4} | settings
    maskgen.build(maskgen.BuildSettings(src=src, out=out, **chosen))
    return out


def rejects(out: Path) -> dict[str, str]:
    """The reason of each rejected photograph of a data set, by source."""
    return {row["source"]: row["reason"] for row in pq.read_table(out / "rejects.parquet").to_pylist()}


def hashes(out: Path) -> dict[str, str]:
    """sha256 of every file of a data set but run.json (its timings) and the empty lock, by name."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in UNHASHED
    }
