"""Reads a data set back: rows with decoded pictures, from either format, either store and any file system."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarError
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import MaskgenError, UsageError, short
from ..storage import files
from ..storage.base import Storage
from ..storage.opening import open_storage
from . import info, schema, tar
from .record import Row


@dataclass(frozen=True)
class Shard:
    """One committed shard: `rows` usable photographs in files of one `format`, read in key order."""

    dataset: Dataset
    split: str
    index: int
    rows: int
    ending: str

    @property
    def name(self) -> str:
        """`train/00003`."""
        return f"{self.split}/{self.index:05d}"

    def read(
        self,
        images: Sequence[str] | None = None,
        numbers: Sequence[int] | None = None,
        only: Callable[[str], str] | None = None,
    ) -> Iterator[Row]:
        """Its rows with the pictures named in `images`: None for all of them, () for none.

        `numbers`, ascending, are the rows to read, by default all; `only(key)` names the one picture of `images` that a
        row shall have. Parquet reads only the columns and row groups that are asked for. Raises `MaskgenError`
        where the shard is damaged.
        """
        stored = self.dataset.stored_pictures(images)
        wanted = range(self.rows) if numbers is None else numbers

        def pictures(key: str) -> tuple[str, ...]:
            name = only(key) if only else None
            return stored if name is None else (name,) if name in stored else ("unmasked",)

        reader = _parquet_rows if self.ending == "parquet" else _tar_rows
        storage, name = self.dataset.storage, f"{self.name}.{self.ending}"
        path = f"{storage}/{name}"
        try:
            with storage.open(name) as file:
                yield from reader(file, self, stored, wanted, pictures)
        except (OSError, ValueError, KeyError, TypeError, IndexError, TarError, pa.ArrowException) as error:
            said = short(error)
            raise MaskgenError(
                f"shard {path} cannot be read ({said}); `maskgen verify` tells how to mend it."
            ) from None


class Dataset:
    """A built data set. Iterating yields every row of train, val and test in key order."""

    def __init__(self, storage: Storage) -> None:
        """Opens what lies in a storage. Raises `UsageError` where that is no finished data set."""
        self.storage = storage
        try:
            self.info: dict[str, Any] = info.read(storage)
        except FileNotFoundError:
            raise UsageError(
                f"there is no data set in {self} (dataset.json is missing); make one with `maskgen build`."
            ) from None
        version = self.info["schema_version"]
        if version != schema.SCHEMA_VERSION:
            raise UsageError(
                f"{self} has schema version {version!r}; this maskgen reads {schema.SCHEMA_VERSION}: rebuild it."
            )
        if not self.info.get("complete"):
            raise UsageError(f"the data set {self} is not finished; run its `maskgen build` command again.")
        if not info.is_sound(self.info):
            raise info.damaged(storage, "a part of it is missing or of another type")
        self.fingerprint: str = self.info["fingerprint"]
        self.content: str = self.info["content"]
        """Hash of the bytes of all shards: equal for equal data sets wherever they lie."""
        self.variants: tuple[str, ...] = tuple(self.info["variants"])
        self.store: str = self.info["store"]
        self.splits = tuple(split for split in schema.SPLITS if self.count(split))

    def __str__(self) -> str:
        """Where it lies; no credentials are in it."""
        return str(self.storage)

    def count(self, split: str) -> int:
        """Rows (usable photographs) of a split."""
        counts = self.info["counts"].get(split)
        return int(counts["rows"]) if counts else 0

    def __len__(self) -> int:
        return sum(self.count(split) for split in self.splits)

    def shards(self, split: str) -> list[Shard]:
        """The shards of a split that have rows, in key order.

        Raises `UsageError` for a split that no data set has, `MaskgenError` where a marker is missing.
        """
        if split not in schema.SPLITS:
            raise UsageError(f"there is no split {split!r}; choose one of {', '.join(schema.SPLITS)}.")
        ending = "tar" if self.info["settings"]["format"] == "webdataset" else "parquet"
        names = sorted(name for name in self.storage.entries(split) if name.endswith(".json"))
        shards = []
        for name, data in zip(names, self.storage.read_many(f"{split}/{name}" for name in names), strict=True):
            marker = self._marker(f"{split}/{name}", data)
            if marker.get("fingerprint") != self.fingerprint or not isinstance(marker.get("rows"), int):
                raise MaskgenError(
                    f"shard {split}/{name} is of another data set; `maskgen verify` tells how to mend it."
                )
            if marker["rows"]:
                shards.append(Shard(self, split, int(name.removesuffix(".json")), marker["rows"], ending))
        if sum(shard.rows for shard in shards) != self.count(split):
            raise MaskgenError(f"{self}/{split} lacks shards; `maskgen verify {self}` names them.")
        return shards

    def rows(self, split: str | None = None, images: Sequence[str] | None = None) -> Iterator[Row]:
        """Every row of a split, or of all; `images` names the pictures to read, as in `Shard.read`."""
        for name in self.splits if split is None else (split,):
            for shard in self.shards(name):
                yield from shard.read(images)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def stored_pictures(self, images: Sequence[str] | None) -> tuple[str, ...]:
        """The stored pictures behind the named ones: in a recipe they are all drawn on the unmasked one."""
        stored = schema.picture_names(self.info["settings"]["variants"], self.store)
        if images is None:
            return stored
        images = (images,) if isinstance(images, str) else images
        for name in images:
            if name not in ("unmasked", *self.variants):
                raise UsageError(f"{self} has no pictures {name!r}; it has unmasked, {', '.join(self.variants)}.")
        wanted = {name if name in stored else "unmasked" for name in images}
        return tuple(name for name in stored if name in wanted)

    def _marker(self, name: str, data: bytes | None) -> dict[str, Any]:
        try:
            value = files.parse_json(data or b"")
            if not isinstance(value, dict):
                raise ValueError("not a JSON object")
            return value
        except ValueError as error:
            raise MaskgenError(
                f"{self}/{name} cannot be read ({short(error)}); `maskgen verify` tells how to mend it."
            ) from None


def open(path: Path | str) -> Dataset:
    """Opens a data set: a local folder, or a URI such as s3://bucket/smfd that `pyarrow.fs` understands."""
    return Dataset(open_storage(path))


_HEAD = ("key", "source", "identity", "split", "label", "width", "height")


Choose = Callable[[str], tuple[str, ...]]
"""The stored pictures to read of the photograph with a key."""


def _parquet_rows(
    file: Any, shard: Shard, stored: tuple[str, ...], numbers: Sequence[int], pictures: Choose
) -> Iterator[Row]:
    distant = shard.dataset.storage.distant
    # Checking costs an eighth of decoding. A disk watches over its bits by itself; networks have been seen not to.
    source = pq.ParquetFile(file, pre_buffer=distant, page_checksum_verification=distant)
    if source.metadata.num_rows != shard.rows:
        raise ValueError(f"it has {source.metadata.num_rows} rows and its marker says {shard.rows}")
    variants = shard.dataset.variants
    colors = [f"{name}_color" for name in variants]
    head = [*_HEAD, "variant"] if "variant" in source.schema_arrow.names else _HEAD
    columns = [*head, "box", "landmarks", *colors, *(f"{name}.bytes" for name in stored)]
    first = 0
    for group in range(source.num_row_groups):
        following = first + source.metadata.row_group(group).num_rows
        chosen = numbers[bisect_left(numbers, first) : bisect_left(numbers, following)]
        if chosen:
            table = source.read_row_group(group, columns=columns, use_threads=False).combine_chunks()
            plain = list(zip(*(table[name].to_pylist() for name in head), strict=True))
            boxes = _values(table["box"], 4)
            landmarks = _values(table["landmarks"], 136).reshape(-1, 68, 2)
            shades = [_values(table[name], 3).tolist() for name in colors]
            data = {name: table[name].chunk(0).field("bytes") for name in stored}
            for i in (number - first for number in chosen):
                key, source_name, identity, split, label, width, height, *variant = plain[i]
                yield Row(
                    key,
                    source_name,
                    identity,
                    split,
                    label,
                    width,
                    height,
                    boxes[i],
                    landmarks[i],
                    {name: tuple(shade[i]) for name, shade in zip(variants, shades, strict=True)},
                    variant[0] if variant else None,
                    # Only these are made Python's: a row group holds every picture of 64 photographs.
                    {name: data[name][i].as_py() for name in pictures(key)},
                )
        first = following


def _values(column: pa.ChunkedArray, width: int) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.chunk(0).flatten().to_numpy().reshape(-1, width)
    return values


def _tar_rows(
    file: Any, shard: Shard, stored: tuple[str, ...], numbers: Sequence[int], pictures: Choose
) -> Iterator[Row]:
    chosen, number, current = set(numbers), -1, ""
    named: tuple[str, ...] = ()

    def wanted(member: str) -> bool:
        """Whether to read a member. The first one of a photograph decides for all of them."""
        nonlocal number, current, named
        key, _, kind = member.partition(".")
        if key != current:
            number, current = number + 1, key
            named = pictures(key) if number in chosen else ()
        return number in chosen and (kind == "json" or kind.removesuffix(".jpg") in named)

    found: dict[str, bytes] = {}
    for member, data in tar.members(file, wanted):
        key, _, kind = member.partition(".")
        if kind != "json":
            found[kind.removesuffix(".jpg")] = data
            continue
        row = files.parse_json(data)
        if row["key"] != key or len(found) != len(named):
            raise TarError(f"{key} is incomplete")
        yield Row(
            **{name: row[name] for name in _HEAD},
            box=np.array(row["box"], dtype=np.float32),
            landmarks=np.array(row["landmarks"], dtype=np.float32).reshape(68, 2),
            colors={name: tuple(row[f"{name}_color"]) for name in shard.dataset.variants},
            variant=row.get("variant"),
            pictures=found,
        )
        found = {}
        if number == numbers[-1] < shard.rows - 1:
            return
    if number + 1 != shard.rows:
        raise TarError(f"it ends after {number + 1} of {shard.rows} rows")
