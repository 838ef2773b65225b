"""What lies in a data set, finished or not: its plan, the state of every shard, its rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..dataset import markers, schema
from ..dataset.plan_file import read_plan, shard_slices
from ..dataset.reader import Dataset, Shard
from ..errors import MaskgenError, short
from ..storage import files
from ..storage.opening import open_storage

WHOLE, NOT_BUILT = "whole", "not built yet"
"""States of a shard; any other one says what is wrong with it."""

_TEXTS = ("key", "source", "identity", "split", "problem")


@dataclass(frozen=True)
class Part:
    """A shard as it was planned, and what is there of it. `shard` is None if nothing can be read."""

    split: str
    index: int
    photographs: int
    state: str
    shard: Shard | None = None

    @property
    def name(self) -> str:
        return f"{self.split}/{self.index:05d}"

    @property
    def rows(self) -> int:
        return self.shard.rows if self.shard else 0

    @property
    def rejects(self) -> list[dict[str, str]]:
        return self.shard.marker["rejects"] if self.shard else []

    @property
    def bytes(self) -> int:
        """Of its files, as its marker says."""
        return sum(file["bytes"] for file in self.shard.marker["files"].values()) if self.shard else 0


@dataclass(frozen=True)
class Contents:
    """A data set with its plan and its shards.

    Attributes:
        dataset: Of an unfinished build it has no counts; only the shards of `parts` may be read.
        finished: Whether its build has ended.
        plan: Every photograph of the source, rejects too.
        parts: Its shards, in key order.
    """

    dataset: Dataset
    finished: bool
    plan: pa.Table
    parts: list[Part]

    @cached_property
    def rejects(self) -> list[dict[str, Any]]:
        """Rows of the plan of the rejected photographs of all whole shards, with `reason` and `detail`."""
        found = [reject for part in self.parts for reject in part.rejects]
        numbers = [int(reject["key"]) if _is_number(reject["key"], self.plan.num_rows) else -1 for reject in found]
        rows = self.plan.take(pa.array([number for number in numbers if number >= 0], pa.int64())).to_pylist()
        by_key = {row["key"]: row for row in rows}
        return [{**by_key[one["key"]], **_why(one)} for one in found if one["key"] in by_key]

    @property
    def reasons(self) -> Counter[str]:
        """How many photographs were rejected for each reason."""
        return Counter(reject["reason"] for part in self.parts for reject in part.rejects)

    def identities(self) -> Counter[tuple[str, str]]:
        """How many usable photographs each (split, identity) has in the shards that are there."""
        there = pa.array([part.name for part in self.parts if part.shard], pa.string())
        shard = pc.binary_join_element_wise(
            self.plan["split"], pc.utf8_lpad(self.plan["shard"].cast(pa.string()), 5, "0"), "/"
        )
        rejected = pa.array([reject["key"] for part in self.parts for reject in part.rejects], pa.string())
        usable = pc.and_(pc.is_in(shard, there), pc.invert(pc.is_in(self.plan["key"], rejected)))
        counted = self.plan.filter(usable).group_by(["split", "identity"]).aggregate([([], "count_all")])
        return Counter({(row["split"], row["identity"]): row["count_all"] for row in counted.to_pylist()})


def contents(path: str) -> Contents:
    """What lies in the folder or URI of a data set.

    Raises `UsageError` if there is none, `MaskgenError` if its dataset.json or plan.parquet is damaged.
    """
    dataset = Dataset(open_storage(path), unfinished=True)
    plan, finished = _plan(dataset), bool(dataset.info.get("complete"))
    return Contents(dataset, finished, plan, list(_parts(dataset, plan, finished)))


def _plan(dataset: Dataset) -> pa.Table:
    try:
        # Its boxes are large, and nothing here needs them.
        plan = read_plan(dataset.storage, dataset.info["plan_sha256"], without=("face", "color")).combine_chunks()
        plan.validate(full=True)
        wrong = [name for name in (*_TEXTS, "shard") if name not in plan.column_names or plan[name].null_count]
        if wrong or not set(pc.unique(plan["split"]).to_pylist()) <= set(schema.SPLITS) or not plan.num_rows:
            raise ValueError("it has other columns or values than a plan")
        return plan.cast(pa.schema([_typed(field) for field in plan.schema]))
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise MaskgenError(
            f"{dataset}/plan.parquet cannot be read ({short(error)}); run the same `maskgen build` command again."
        ) from None


def _typed(field: pa.Field) -> pa.Field:
    kind = pa.string() if field.name in _TEXTS else pa.int32() if field.name == "shard" else field.type
    return pa.field(field.name, kind)


def _parts(dataset: Dataset, plan: pa.Table, finished: bool) -> Iterator[Part]:
    """The shards of a plan with their states."""
    storage, slices = dataset.storage, shard_slices(plan)
    ending = "tar" if dataset.info["settings"]["format"] == "webdataset" else "parquet"
    sizes = {split: storage.entries(split) for split in {split for split, *_ in slices}}
    found = storage.read_many(markers.marker_name(split, shard, dataset.version) for split, shard, *_ in slices)
    for (split, index, _, photographs), data in zip(slices, found, strict=True):
        state, marker = _state(data, dataset.fingerprint, photographs, sizes[split], finished)
        shard = Shard(dataset, split, index, marker["rows"], ending, marker) if state == WHOLE else None
        yield Part(split, index, photographs, state, shard)


def _state(
    data: bytes | None, fingerprint: str, photographs: int, sizes: dict[str, int | None], finished: bool
) -> tuple[str, dict[str, Any]]:
    if data is None:
        return ("its marker is missing" if finished else NOT_BUILT), {}
    try:
        marker = files.parse_json(data)
    except ValueError as error:
        return f"its marker is damaged ({short(error)})", {}
    if flaw := markers.flaw(marker):
        return f"its marker is damaged ({flaw})", {}
    if marker["fingerprint"] != fingerprint:
        return "its marker is of another data set", {}
    if marker["photographs"] != photographs:
        return f"its marker says {marker['photographs']:,} photographs and the plan {photographs:,}", {}
    for name, file in marker["files"].items():
        if name not in sizes:
            return f"its file {name} is missing", {}
        if sizes[name] != file["bytes"]:
            return f"its file {name} has {sizes[name] or 0:,} bytes instead of {file['bytes']:,}", {}
        if file["bytes"] < marker["rows"]:  # memory is taken for the rows that a marker promises
            return f"its file {name} is too small for {marker['rows']:,} rows", {}
    return WHOLE, marker


def _is_number(key: str, photographs: int) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 19 and int(key) < photographs


def _why(reject: dict[str, str]) -> dict[str, str]:
    return {"reason": reject["reason"], "detail": reject["detail"]}
