"""Reads a data set back: rows with decoded pictures, from either format, either store and any file system."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from ..errors import MaskgenError, UsageError
from ..render import Image, draw
from . import schema
from .writers import ROW_GROUP


@dataclass(slots=True)
class Row:
    """One photograph of a data set. Coordinates are pixels of the stored picture.

    `box` is float32 (4,) x0, y0, x1, y1, `landmarks` float32 (68, 2). `label` is the index of the identity among
    the training identities, -1 in test. `colors` are the masks' RGB; `variant` is what `masked` shows in a data
    set of `--variants random`, else None.
    """

    key: str
    source: str
    identity: str
    split: str
    label: int
    width: int
    height: int
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    colors: dict[str, tuple[int, int, int]]
    variant: str | None
    pictures: dict[str, bytes]

    def jpeg(self, name: str) -> bytes:
        """The stored JPEG of a picture. Raises `UsageError` where the store carries none or it was not read."""
        try:
            return self.pictures[name]
        except KeyError:
            raise UsageError(
                f"photograph {self.key} has no stored picture {name!r}; it has {', '.join(self.pictures) or 'none'}."
            ) from None

    def image(self, name: str) -> Image:
        """A picture as uint8 (h, w, 3) RGB: decoded, or from a recipe drawn on the unmasked one."""
        if name in self.pictures or name not in self.colors or "unmasked" not in self.pictures:
            return self._decoded(name)
        return draw(self._decoded("unmasked"), self.landmarks, self.variant or name, self.colors[name])

    def _decoded(self, name: str) -> Image:
        image = cv2.imdecode(np.frombuffer(self.jpeg(name), np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise MaskgenError(
                f"picture {name} of photograph {self.key} is damaged; `maskgen verify` tells what to mend."
            )
        return image


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

    def read(self, images: Sequence[str] | None = None) -> Iterator[Row]:
        """Its rows with the pictures named in `images`: None for all of them, () for none.

        Parquet reads only the columns that are asked for. Raises `MaskgenError` where the shard is damaged.
        """
        stored = self.dataset.stored_pictures(images)
        reader = _parquet_rows if self.ending == "parquet" else _tar_rows
        path = f"{self.dataset.root}/{self.name}.{self.ending}"
        count = 0
        try:
            with self.dataset.filesystem.open_input_file(path) as file:
                for row in reader(file, stored, self.dataset):
                    count += 1
                    yield row
        except (OSError, ValueError, KeyError, TypeError, tarfile.TarError, pa.ArrowException) as error:
            said = " ".join(str(error).split())[:120]
            raise MaskgenError(
                f"shard {path} cannot be read ({said}); `maskgen verify` tells how to mend it."
            ) from None
        if count != self.rows:
            raise MaskgenError(
                f"shard {path} ends after {count} of {self.rows} rows; `maskgen verify` tells how to mend it."
            )


class Dataset:
    """A built data set. Iterating yields every row of train, val and test in key order."""

    def __init__(self, filesystem: pa.fs.FileSystem, root: str) -> None:
        """Opens the folder `root` of a file system. Raises `UsageError` where no finished data set lies there."""
        self.filesystem, self.root = filesystem, root
        self.info: dict[str, Any] = self._json("dataset.json")
        version = self.info.get("schema_version")
        if version != schema.SCHEMA_VERSION:
            raise UsageError(
                f"{root} has schema version {version!r}; this maskgen reads {schema.SCHEMA_VERSION}: rebuild it."
            )
        if not self.info.get("complete"):
            raise UsageError(f"the data set {root} is not finished; run its `maskgen build` command again.")
        if not _sound(self.info):
            raise MaskgenError(f"{root}/dataset.json is damaged; `maskgen verify` tells how to mend it.")
        self.fingerprint: str = self.info["fingerprint"]
        self.variants: tuple[str, ...] = tuple(self.info["variants"])
        self.store: str = self.info["store"]
        self.splits = tuple(split for split in schema.SPLITS if self.count(split))

    def count(self, split: str) -> int:
        """Rows (usable photographs) of a split."""
        counts = self.info["counts"].get(split)
        return int(counts["rows"]) if counts else 0

    def __len__(self) -> int:
        return sum(self.count(split) for split in self.splits)

    def shards(self, split: str) -> list[Shard]:
        """The shards of a split that have rows, in key order. Raises `MaskgenError` where a marker is missing."""
        ending = "tar" if self.info["settings"]["format"] == "webdataset" else "parquet"
        selector = pa.fs.FileSelector(f"{self.root}/{split}", allow_not_found=True)
        markers = sorted(info.base_name for info in self.filesystem.get_file_info(selector) if info.extension == "json")
        shards = []
        for name in markers:
            marker = self._json(f"{split}/{name}")
            if marker.get("fingerprint") != self.fingerprint or not isinstance(marker.get("rows"), int):
                raise MaskgenError(
                    f"shard {split}/{name} is of another data set; `maskgen verify` tells how to mend it."
                )
            if marker["rows"]:
                shards.append(Shard(self, split, int(name.removesuffix(".json")), marker["rows"], ending))
        if sum(shard.rows for shard in shards) != self.count(split):
            raise MaskgenError(f"{self.root}/{split} lacks shards; `maskgen verify {self.root}` names them.")
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
        for name in images:
            if name not in ("unmasked", *self.variants):
                raise UsageError(f"{self.root} has no pictures {name!r}; it has unmasked, {', '.join(self.variants)}.")
        wanted = {name if name in stored else "unmasked" for name in images}
        return tuple(name for name in stored if name in wanted)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            with self.filesystem.open_input_file(f"{self.root}/{name}") as file:
                value = json.loads(file.read())
                if not isinstance(value, dict):
                    raise ValueError("not a JSON object")
                return value
        except FileNotFoundError:
            raise UsageError(
                f"there is no data set in {self.root} ({name} is missing); make one with `maskgen build`."
            ) from None
        except (OSError, ValueError) as error:
            raise MaskgenError(
                f"{self.root}/{name} cannot be read ({error}); `maskgen verify` tells how to mend it."
            ) from None


def open(path: Any) -> Dataset:
    """Opens a data set: a local folder, or a URI such as s3://bucket/smfd that `pyarrow.fs` understands."""
    text = str(path)
    try:
        if "://" in text:
            filesystem, root = pa.fs.FileSystem.from_uri(text)
        else:
            filesystem, root = pa.fs.LocalFileSystem(), text
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UsageError(f"cannot open {text}: {' '.join(str(error).split())}; give a folder or a URI.") from None
    return Dataset(filesystem, root.rstrip("/") or "/")


def _sound(info: dict[str, Any]) -> bool:
    """Whether dataset.json has what reading relies on, in the types it should have."""
    made, counts = info.get("settings"), info.get("counts")
    lists = [info.get("variants"), info.get("identities")]
    return (
        isinstance(made, dict)
        and isinstance(counts, dict)
        and made.get("format") in ("parquet", "webdataset", "both")
        and made.get("store") == info.get("store")
        and all(isinstance(items, list) and all(isinstance(item, str) for item in items) for items in lists)
        and all(isinstance(made.get(name), str) for name in ("variants", "fit"))
        and isinstance(info.get("fingerprint"), str)
        and all(isinstance(count, dict) and isinstance(count.get("rows"), int) for count in counts.values())
    )


_HEAD = ("key", "source", "identity", "split", "label", "width", "height")


def _parquet_rows(file: Any, pictures: tuple[str, ...], dataset: Dataset) -> Iterator[Row]:
    source = pq.ParquetFile(file)
    colors = [f"{name}_color" for name in dataset.variants]
    drawn = ["variant"] if "variant" in source.schema_arrow.names else []
    columns = [*_HEAD, "box", "landmarks", *drawn, *colors, *(f"{name}.bytes" for name in pictures)]
    for batch in source.iter_batches(ROW_GROUP, columns=columns, use_threads=False):
        plain = [batch.column(name).to_pylist() for name in _HEAD]
        boxes = _floats(batch.column("box"), 4)
        landmarks = _floats(batch.column("landmarks"), 136).reshape(-1, 68, 2)
        variants = batch.column("variant").to_pylist() if drawn else [None] * batch.num_rows
        shades = [batch.column(name).to_pylist() for name in colors]
        data = [batch.column(name).field("bytes").to_pylist() for name in pictures]
        for i, place in enumerate(zip(*plain, strict=True)):
            yield Row(
                **dict(zip(_HEAD, place, strict=True)),
                box=boxes[i],
                landmarks=landmarks[i],
                colors={name: tuple(shade[i]) for name, shade in zip(dataset.variants, shades, strict=True)},
                variant=variants[i],
                pictures={name: values[i] for name, values in zip(pictures, data, strict=True)},
            )


def _floats(column: pa.Array, width: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = column.flatten().to_numpy().reshape(-1, width)
    return values


def _tar_rows(file: Any, pictures: tuple[str, ...], dataset: Dataset) -> Iterator[Row]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            key, _, kind = member.name.partition(".")
            name = kind.removesuffix(".jpg")
            if kind != "json" and name not in pictures:
                continue
            content = archive.extractfile(member)
            if content is None:
                raise tarfile.TarError(f"{member.name} is no file")
            data = content.read()
            if len(data) != member.size:
                raise tarfile.TarError(f"{member.name} is cut short")
            if kind != "json":
                found[name] = data
                continue
            row = json.loads(data)
            if row["key"] != key or len(found) != len(pictures):
                raise tarfile.TarError(f"{key} is incomplete")
            yield Row(
                **{name: row[name] for name in _HEAD},
                box=np.array(row["box"], dtype=np.float32),
                landmarks=np.array(row["landmarks"], dtype=np.float32).reshape(68, 2),
                colors={name: tuple(row[f"{name}_color"]) for name in dataset.variants},
                variant=row.get("variant"),
                pictures=found,
            )
            found = {}
