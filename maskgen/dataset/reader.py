"""Reads a data set back: rows with decoded pictures, from either format, either store and any file system."""

from __future__ import annotations

import copy
import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from tarfile import TarError
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import pyarrow as pa

from ..errors import MaskgenError, UsageError, short
from ..imaging.styles import Style
from ..storage import files
from ..storage.base import Storage
from ..storage.opening import open_storage
from . import damage, info, markers, notebook, schema
from .record import Row
from .shard_files import Choose, parquet_file, parquet_rows, tar_rows
from .stored_style import stored_style

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Shard:
    """One committed shard of a data set.

    Attributes:
        dataset: The data set that it is part of.
        split: train, val or test.
        index: Its number in the split.
        rows: How many usable photographs it holds, in key order, without those that are left out.
        ending: `parquet` or `tar`, the file that is read.
        marker: What its marker says: `rows`, `photographs`, `rejects`, and the size and hash of each of its `files`.
        left_out: The numbers in its file of the rows that are left out, ascending (see `Dataset.left_out`).
    """

    dataset: Dataset
    split: str
    index: int
    rows: int
    ending: str
    marker: dict[str, Any] = field(default_factory=dict, compare=False)
    left_out: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Shard({self.name!r}, rows={self.rows})"

    @property
    def name(self) -> str:
        """`train/00003`."""
        return f"{self.split}/{self.index:05d}"

    def read(self, images: Sequence[str] | None = None, numbers: Sequence[int] | None = None) -> Iterator[Row]:
        """Its rows. Parquet reads only the columns and row groups that are asked for.

        Args:
            images: The pictures to read; None for all of them, () for none.
            numbers: The rows to read, ascending, from 0; by default all.

        Raises:
            UsageError: The data set has no such picture.
            MaskgenError: The shard is damaged.
        """
        stored = self.dataset.stored_pictures(images)
        for row, _ in self._rows(stored, numbers, lambda _: ("", stored)):
            yield row

    def read_chosen(
        self, images: Sequence[str], choose: Callable[[str], str], numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[Row, str]]:
        """Its rows with one picture each, and the name of that picture.

        Args:
            images: The pictures to choose from.
            choose: From the key of a row to the name of its picture, one of `images`.
            numbers: The rows to read, ascending, from 0; by default all.

        Raises:
            UsageError: The data set has no such picture.
            MaskgenError: The shard is damaged.
        """
        stored = self.dataset.stored_pictures(images)

        def chosen(key: str) -> tuple[str, tuple[str, ...]]:
            name = choose(key)
            return name, (name if name in stored else "unmasked",)

        return self._rows(stored, numbers, chosen)

    def table(self) -> pa.Table:
        """Its rows without the pictures, with the columns of the Parquet file. Raises `MaskgenError` on damage."""
        settings = self.dataset.info["settings"]
        columns = schema.plain_schema(settings["variants"], settings["store"])
        if self.ending == "tar" or self.left_out:
            return pa.Table.from_pylist([row.facts() for row in self.read(())], schema=columns)
        path = f"{self.name}.{self.ending}"
        with _read_errors(f"{self.dataset}/{path}"), self.dataset.storage.open(path) as file:
            return parquet_file(file, self.dataset).read(columns=columns.names).cast(columns)

    def _rows(
        self, stored: tuple[str, ...], numbers: Sequence[int] | None, choose: Choose
    ) -> Iterator[tuple[Row, str]]:
        wanted = range(self.rows) if numbers is None else numbers
        if self.left_out:
            there = sorted({*range(self.marker["rows"])}.difference(self.left_out))
            wanted = [there[number] for number in wanted]
        read = parquet_rows if self.ending == "parquet" else tar_rows
        path = f"{self.name}.{self.ending}"
        with _read_errors(f"{self.dataset}/{path}"), self.dataset.storage.open(path) as file:
            yield from read(file, self, stored, wanted, choose)


class Dataset:
    """A built data set, as `maskgen.open` returns it.

    Iterating yields every row of train, val and test in key order; `len` counts them. `dataset[7]` and `dataset[-1]`
    are rows by position, `dataset[2:5]` is a list of them, and `dataset["000000007"]` is the row of a key.

    Attributes:
        info: What dataset.json says: settings, versions, counts, hashes, the identity of each label.
        fingerprint: Hash of settings, versions and plan.
        content: Hash of the bytes of all shards: equal for equal data sets wherever they lie.
        variants: The names of the masked pictures.
        store: `rendered` or `recipe`.
        splits: The splits that have rows.
        left_out: The shards that are read without their broken rows, with the numbers of these rows (see
            `--on-damage skip` of mfr); usually none.

    Example:
        >>> dataset = maskgen.open("smfd")
        >>> dataset[0].identity
        'hopper'
    """

    def __init__(self, storage: Storage, unfinished: bool = False) -> None:
        """Opens what a storage holds. Raises `UsageError` if that is not a data set, or not a finished one.

        An `unfinished` one may be opened too: it has no counts, and not all of its shards may be read.
        """
        self.storage = storage
        try:
            self.info: dict[str, Any] = info.read(storage)
        except FileNotFoundError:
            raise UsageError(
                f"there is no data set in {self} (dataset.json is missing); make one with `maskgen build`."
            ) from None
        self.version: int = self.info["schema_version"]
        if self.version not in schema.READABLE_VERSIONS:
            raise UsageError(
                f"{self} has schema version {self.version!r}; this maskgen reads "
                f"{' and '.join(map(str, schema.READABLE_VERSIONS))}: rebuild it."
            )
        if not self.info.get("complete"):
            if not unfinished:
                raise UsageError(f"the data set {self} is not finished; run its `maskgen build` command again.")
            self.info |= {"counts": {}, "content": self.info["fingerprint"]}  # which are known at its end
        if flaw := info.flaw(self.info):
            raise info.damaged(storage, flaw)
        self.fingerprint: str = self.info["fingerprint"]
        self.content: str = self.info["content"]
        self.variants: tuple[str, ...] = tuple(self.info["variants"])
        self.store: str = self.info["store"]
        self.left_out: dict[str, tuple[int, ...]] = {}
        self.splits = tuple(split for split in schema.SPLITS if self.count(split))

    def without(self, left_out: dict[str, tuple[int, ...]], content: str) -> Dataset:
        """The same data set, read without some of its rows.

        Args:
            left_out: The numbers of these rows in the files of their shards, ascending, by the name of the shard.
            content: The hash that stands for what remains.
        """
        made = copy.copy(self)
        made.__dict__.pop("_found", None)
        made.left_out, made.content = left_out, content
        made.splits = tuple(split for split in schema.SPLITS if made.count(split))
        return made

    def check_files(self, split: str) -> None:
        """Hashes the shards of a split. If rows are left out, that was done when they were found.

        Args:
            split: train, val or test.

        Raises:
            MaskgenError: They are not those of `content`, or cannot be read.
        """
        if not self.left_out:
            damage.check_files(self, split)

    def __str__(self) -> str:
        """Where it lies, without credentials."""
        return str(self.storage)

    def __repr__(self) -> str:
        counts = "".join(f", {split}={self.count(split)}" for split in self.splits)
        return f"Dataset({str(self)!r}{counts})"

    def _repr_html_(self) -> str:
        made = self.info["settings"]
        pictures = ", ".join(("unmasked", *self.variants))
        about = f"{self}: {made['format']}, {self.store}, pictures {pictures}"
        counts = [
            (split, count["rows"], sum(count["rejects"].values())) for split, count in self.info["counts"].items()
        ]
        return notebook.html_table(about, ("split", "rows", "rejects"), counts)

    def count(self, split: str) -> int:
        """Rows (usable photographs) of a split."""
        counts = self.info["counts"].get(split)
        left_out = sum(len(rows) for name, rows in self.left_out.items() if name.startswith(f"{split}/"))
        return int(counts["rows"]) - left_out if counts else 0

    def __len__(self) -> int:
        return sum(self.count(split) for split in self.splits)

    def shards(self, split: str) -> list[Shard]:
        """The shards of a split that have rows, in key order.

        Raises:
            UsageError: There is no such split.
            MaskgenError: A marker is missing or damaged.
        """
        shards = [shard for shard in self.all_shards(split) if shard.rows]
        sizes = self.storage.entries(split)
        for shard in shards:
            file = markers.file_name(split, shard.index, shard.ending)
            size = sizes.get(file.rpartition("/")[2])  # a missing file is reported by who reads it
            if size is not None and size < shard.rows:  # memory is taken for the rows that a marker promises
                why = f"it has {size:,} bytes, too few for the {shard.rows:,} rows of its marker"
                raise _unreadable(f"{self}/{file}", why)
        return shards

    def rows(self, split: str | None = None, images: Sequence[str] | None = None) -> Iterator[Row]:
        """Every row of a split, or of all.

        Args:
            split: train, val or test; None for all three.
            images: The pictures to read; None for all of them, () for none.

        Raises:
            UsageError: There is no such split or picture.
            MaskgenError: A shard is damaged.
        """
        for name in self.splits if split is None else (split,):
            for shard in self.shards(name):
                yield from shard.read(images)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def __contains__(self, key: object) -> bool:
        """Whether a photograph of that key is in it, and was not rejected."""
        try:
            return isinstance(key, str) and self._place(key) is not None
        except KeyError:
            return False

    @overload
    def __getitem__(self, which: SupportsIndex | str) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> list[Row]: ...
    def __getitem__(self, which: SupportsIndex | str | slice) -> Row | list[Row]:
        """A row by its position or key, or the rows of a slice. Reads only the shards and row groups that hold them.

        Raises:
            IndexError: There are not so many rows.
            KeyError: There is no photograph of that key, or it was rejected.
            MaskgenError: A shard is damaged.
        """
        if isinstance(which, str):
            shard, number = self._place(which)
            row = next(shard.read(numbers=[number]), None)
            if row is None or row.key != which:
                raise MaskgenError(
                    f"shard {shard.name} of {self} lacks photograph {which}; run `maskgen verify {self}`."
                )
            return row
        if isinstance(which, slice):
            positions = range(*which.indices(len(self)))
            found = self._at(sorted(positions))
            return found if positions.step > 0 else found[::-1]
        position = operator.index(which)
        if not -len(self) <= position < len(self):
            raise IndexError(f"there is no row {position} in {self}: it has {len(self)}")
        return self._at([position % len(self)])[0]

    def to_pandas(self, split: str | None = None) -> pandas.DataFrame:
        """All rows without their pictures: a column for each column of the Parquet shards that is no picture.

        Args:
            split: train, val or test; None for all three.

        Raises:
            UsageError: There is no such split, or pandas is not installed.
            MaskgenError: A shard is damaged.
        """
        try:
            import pandas  # noqa: F401
        except ImportError:
            raise UsageError("to_pandas needs pandas, which is not installed; run pip install pandas.") from None
        made = self.info["settings"]
        names = self.splits if split is None else (split,)
        tables = [shard.table() for name in names for shard in self.shards(name)]
        empty = schema.plain_schema(made["variants"], made["store"]).empty_table()
        return pa.concat_tables([empty, *tables]).to_pandas()

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

    @cached_property
    def style(self) -> Style:
        """How its masks look.

        Raises:
            MaskgenError: A texture is missing or damaged.
        """
        return stored_style(self.storage, self.info["settings"])

    @cached_property
    def _found(self) -> tuple[list[Shard], list[int], list[int]]:
        """All shards in key order, and the numbers of rows and of photographs before each and in all."""
        shards = [shard for split in schema.SPLITS for shard in self.all_shards(split)]
        rows, photographs = [0], [0]
        for shard in shards:
            rows.append(rows[-1] + shard.rows)
            photographs.append(photographs[-1] + shard.marker["photographs"])
        return shards, rows, photographs

    def _at(self, positions: Sequence[int]) -> list[Row]:
        """The rows at ascending positions."""
        shards, firsts, _ = self._found
        found: list[Row] = []
        for place, group in groupby(positions, lambda position: bisect_right(firsts, position) - 1):
            found += shards[place].read(numbers=[position - firsts[place] for position in group])
        return found

    def _place(self, key: str) -> tuple[Shard, int]:
        """The shard of a key and the number of its row there. Raises `KeyError` if there is no such row."""
        shards, _, firsts = self._found
        position = int(key) if re.fullmatch("[0-9]{9}|[1-9][0-9]{9,17}", key) else firsts[-1]
        if position >= firsts[-1]:
            raise KeyError(f"there is no photograph {short(key)!r} in {self}")
        place = bisect_right(firsts, position) - 1
        rejects = shards[place].marker["rejects"]
        for reject in rejects:
            if reject["key"] == key:
                raise KeyError(f"photograph {key} was rejected as {reject['reason']}: {reject['detail']}")
        number = position - firsts[place] - sum(reject["key"] < key for reject in rejects)
        left_out = shards[place].left_out
        if number in left_out:
            raise KeyError(f"photograph {key} is damaged in shard {shards[place].name} and left out")
        return shards[place], number - bisect_left(left_out, number)

    def all_shards(self, split: str) -> list[Shard]:
        """The shards of a split as `shards` gives them, and those that have no rows.

        Raises:
            UsageError: There is no such split.
            MaskgenError: A marker is missing or damaged.
        """
        if split not in schema.SPLITS:
            raise UsageError(f"there is no split {split!r}; choose one of {', '.join(schema.SPLITS)}.")
        ending = "tar" if self.info["settings"]["format"] == "webdataset" else "parquet"
        names = markers.marker_names(self.storage, split, self.version)
        shards = []
        for (index, name), data in zip(names.items(), self.storage.read_many(names.values()), strict=True):
            marker = self._marker(name, data)
            left_out = self.left_out.get(f"{split}/{index:05d}", ())
            shards.append(Shard(self, split, index, marker["rows"] - len(left_out), ending, marker, left_out))
        if sum(shard.rows for shard in shards) != self.count(split):
            raise MaskgenError(f"{self}/{split} lacks shards; `maskgen verify {self}` names them.")
        return shards

    def _marker(self, name: str, data: bytes | None) -> dict[str, Any]:
        try:
            marker: dict[str, Any] = files.parse_json(data or b"")
            if flaw := markers.flaw(marker):
                raise ValueError(flaw)
        except ValueError as error:
            raise MaskgenError(
                f"{self}/{name} cannot be read ({short(error)}); `maskgen verify` says what to do."
            ) from None
        if marker["fingerprint"] != self.fingerprint:
            raise MaskgenError(f"the marker {self}/{name} is of another data set; `maskgen verify` says what to do.")
        return marker


@contextmanager
def _read_errors(path: str) -> Iterator[None]:
    """Turns what a damaged shard raises into one sentence."""
    try:
        yield
    except GeneratorExit:  # when Python ends, the names below may be gone before a reader is
        raise
    except (OSError, ValueError, LookupError, TypeError, OverflowError, TarError, pa.ArrowException) as error:
        raise _unreadable(path, short(error)) from None


def _unreadable(path: str, why: str) -> MaskgenError:
    return MaskgenError(f"shard {path} cannot be read ({why}); `maskgen verify` says what to do.")


def open(path: Path | str) -> Dataset:
    """Opens a data set.

    Args:
        path: A local folder, or a URI such as s3://bucket/smfd that `pyarrow.fs` understands.

    Raises:
        UsageError: There is no finished data set.
        MaskgenError: Its dataset.json is damaged or cannot be read.

    Example:
        >>> for row in maskgen.open("smfd"):
        ...     row.identity, row.image("wide_high")
    """
    return Dataset(open_storage(path))
