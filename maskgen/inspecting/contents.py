"""What lies in a data set, finished or not: its plan, the state of every shard, its rejects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..dataset import markers, schema
from ..dataset.plan_file import opened_plan, shard_slices
from ..dataset.reader import Dataset, Shard
from ..errors import MaskgenError, short
from ..storage import files
from ..storage.base import Storage
from ..storage.opening import open_storage
from .spacing import spaced

WHOLE, NOT_BUILT = "whole", "not built yet"
"""States of a shard; any other one says what is wrong with it."""

PLAN = "plan.parquet"

_TEXTS = ("key", "source", "identity", "split", "problem")

_OTHER = "it has other columns or values than a plan"


@dataclass(frozen=True)
class Part:
    """A shard as it was planned, and what is there of it.

    `first` is the row of the plan at which it begins; `shard` is None if nothing can be read.
    """

    split: str
    index: int
    first: int
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
        plan: Split, identity and shard of every photograph of the source, rejects too. A plan may have hundreds of
            millions of rows, so the texts are dictionaries and the other columns stay in the file.
        parts: Its shards, in key order.
    """

    dataset: Dataset
    finished: bool
    plan: pa.Table
    parts: list[Part]

    @property
    def reasons(self) -> Counter[str]:
        """How many photographs were rejected for each reason."""
        return Counter(reject["reason"] for part in self.parts for reject in part.rejects)

    def examples(self, reasons: int, each: int) -> list[dict[str, Any]]:
        """Evenly spaced rejects of each of the most frequent reasons: rows of the plan with `reason` and `detail`.

        Raises `MaskgenError` if the plan cannot be read.
        """
        by_reason = defaultdict(list)
        for part in self.parts:
            for reject in part.rejects:
                by_reason[reject["reason"]].append(reject)
        ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))[:reasons]
        chosen = [found[place] for _, found in ordered for place in spaced(len(found), each)]
        rows = self._rows({_number(one["key"], self.plan.num_rows) for one in chosen} - {-1})
        return [{**rows[one["key"]], **_why(one)} for one in chosen if one["key"] in rows]

    def _rows(self, numbers: set[int]) -> dict[str, dict[str, Any]]:
        """Rows of the plan by their keys. A plan has a row group for each shard, and no other one is read."""
        found: dict[str, dict[str, Any]] = {}
        ascending = sorted(numbers)
        with _plan_errors(self.dataset.storage), self.dataset.storage.open(PLAN) as file:
            source = pq.ParquetFile(file)
            columns = [name for name in source.schema_arrow.names if name not in ("face", "color")]
            first = 0
            for group in range(source.num_row_groups):
                rows = source.metadata.row_group(group).num_rows
                inside = [number - first for number in ascending if first <= number < first + rows]
                if inside:
                    table = source.read_row_group(group, columns).take(inside)
                    if any(table[name].null_count for name in (*_TEXTS, "bytes")):
                        raise ValueError(_OTHER)
                    found |= {str(row["key"]): row for row in table.to_pylist()}
                first += rows
        return found

    def identities(self) -> Counter[tuple[str, str]]:
        """How many usable photographs each (split, identity) has in the shards that are there."""
        usable = np.zeros(self.plan.num_rows, bool)
        for part in self.parts:
            usable[part.first : part.first + part.photographs] = part.shard is not None
            rejected = [_number(reject["key"], len(usable)) for reject in part.rejects]
            usable[[number for number in rejected if number >= 0]] = False
        splits, people = (self.plan[name].chunk(0) for name in ("split", "identity"))
        codes = splits.indices.to_numpy().astype(np.int64) * len(people.dictionary) + people.indices.to_numpy()
        counts = np.bincount(codes[usable])
        names, wheres = people.dictionary.to_pylist(), splits.dictionary.to_pylist()
        there = ((divmod(int(code), len(names)), int(counts[code])) for code in np.flatnonzero(counts))
        return Counter({(wheres[split], names[person]): count for (split, person), count in there})

    def people(self) -> dict[str, set[str]]:
        """The identities that each split was planned with."""
        splits, people = (self.plan[name].chunk(0) for name in ("split", "identity"))
        codes, persons = splits.indices.to_numpy(), people.indices.to_numpy()
        return {
            split: set(people.dictionary.take(pa.array(np.unique(persons[codes == code]))).to_pylist())
            for code, split in enumerate(splits.dictionary.to_pylist())
        }


def contents(path: str) -> Contents:
    """What lies in the folder or URI of a data set.

    Raises `UsageError` if there is none, `MaskgenError` if its dataset.json or plan.parquet is damaged.
    """
    return contents_of(Dataset(open_storage(path), unfinished=True))


def contents_of(dataset: Dataset) -> Contents:
    """What lies in a data set. Raises `MaskgenError` if its plan.parquet is damaged."""
    plan, finished = _plan(dataset.storage, dataset.info["plan_sha256"]), bool(dataset.info.get("complete"))
    return Contents(dataset, finished, plan, list(_parts(dataset, plan, finished)))


@contextmanager
def _plan_errors(storage: Storage) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise MaskgenError(
            f"{storage}/{PLAN} cannot be read ({short(error)}); run the same `maskgen build` command again."
        ) from None


def _plan(storage: Storage, sha256: str) -> pa.Table:
    names = ("split", "identity", "shard")
    with _plan_errors(storage):
        with opened_plan(storage, sha256) as file:
            plan = pq.ParquetFile(file, read_dictionary=names[:2]).read(names)
        plan.validate(full=True)
        if plan.column_names != [*names] or not plan.num_rows or any(column.null_count for column in plan.columns):
            raise ValueError(_OTHER)
        kinds = (*[pa.dictionary(pa.int32(), pa.string())] * 2, pa.int32())
        plan = plan.cast(pa.schema(zip(names, kinds, strict=True))).unify_dictionaries().combine_chunks()
        if not set(plan["split"].chunk(0).dictionary.to_pylist()) <= set(schema.SPLITS):
            raise ValueError(_OTHER)
        return plan


def _parts(dataset: Dataset, plan: pa.Table, finished: bool) -> Iterator[Part]:
    """The shards of a plan with their states."""
    storage, slices = dataset.storage, shard_slices(plan)
    ending = "tar" if dataset.info["settings"]["format"] == "webdataset" else "parquet"
    sizes = {split: storage.entries(split) for split in {split for split, *_ in slices}}
    found = storage.read_many(markers.marker_name(split, shard, dataset.version) for split, shard, *_ in slices)
    for (split, index, first, photographs), data in zip(slices, found, strict=True):
        state, marker = _state(data, dataset.fingerprint, photographs, sizes[split], finished)
        shard = Shard(dataset, split, index, marker["rows"], ending, marker) if state == WHOLE else None
        yield Part(split, index, first, photographs, state, shard)


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


def _number(key: str, photographs: int) -> int:
    """The row of the plan that a key names; -1 if it names none."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 19 and int(key) < photographs else -1


def _why(reject: dict[str, str]) -> dict[str, str]:
    return {"reason": reject["reason"], "detail": reject["detail"]}
