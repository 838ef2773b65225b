"""Data sets that were changed after they were built, by an accident or by someone who also forged the markers."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import maskgen
from maskgen.dataset import markers

Change = Callable[[dict[str, Any]], object]
"""Changes the facts of a row, and its pictures as `{"bytes": ...}`."""


def change_row(out: Path, change: Change, split: str = "test", number: int = 0) -> Path:
    """Changes one row of the first shard of a split, and returns the shard's file. Its marker stays as it was."""
    shard = maskgen.open(out).shards(split)[0]
    path = out / f"{shard.name}.{shard.ending}"
    if shard.ending == "parquet":
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows[number])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
        return path
    with tarfile.open(path) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]
    key = list(dict.fromkeys(name.partition(".")[0] for name, _ in members))[number]
    first = {name.partition(".")[2]: data for name, data in members if name.startswith(key)}
    facts = json.loads(first.pop("json"))
    facts |= {name.removesuffix(".jpg"): {"bytes": data} for name, data in first.items()}
    change(facts)
    first = {name: facts.pop(name.removesuffix(".jpg"))["bytes"] for name in first}
    first["json"] = json.dumps(facts).encode()
    with tarfile.open(path, mode="w") as new:
        for name, data in members:
            data = first[name.partition(".")[2]] if name.startswith(key) else data
            header = tarfile.TarInfo(name)
            header.size = len(data)
            new.addfile(header, io.BytesIO(data))
    return path


def forge(out: Path, *, content: bool = True) -> None:
    """Makes markers, and the content in dataset.json, fit the shards as they are now."""
    facts = json.loads((out / "dataset.json").read_bytes())
    hashes = []
    for split in ("train", "val", "test"):
        for name in sorted(path.name for path in (out / "__markers").glob(f"{split}-*.json")):
            marker = json.loads((out / "__markers" / name).read_bytes())
            for file in sorted(marker["files"]):
                data = (out / split / file).read_bytes()
                marker["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                hashes.append(marker["files"][file]["sha256"])
            (out / "__markers" / name).write_text(json.dumps(marker))
    if content:
        facts["content"] = markers.content(facts["fingerprint"], hashes)
        (out / "dataset.json").write_text(json.dumps(facts))
