"""export(): a data set as image folders, as COCO, or as pictures of its masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import cv2

from ..dataset import identity
from ..dataset.reader import Dataset, Shard
from ..dataset.reader import open as open_dataset
from ..dataset.record import Row, covers, damaged
from ..dataset.schema import SPLITS
from ..errors import MaskgenError, UsageError
from ..imaging.limits import jpeg_size
from ..storage.local import LocalStorage
from ..storage.uri import HALF_URI, is_uri, plain
from .file_names import FileNames
from .lists import FileName, write_coco, write_pairs
from .target import Target, opened

To = Literal["folders", "coco", "masks"]
"""The forms of an export."""

BATCH = 64
"""Photographs that are written together."""

Progress = Callable[[int], None]
"""Called with the number of photographs that are done now."""

_Part = tuple[Shard, int]
"""A shard and how many of its rows, the first ones, are exported."""


@dataclass(frozen=True)
class Exported:
    """What `maskgen.export` wrote.

    Attributes:
        folder: Where it lies.
        photographs: Photographs of the data set that are part of it.
        files: Their pictures, or masks, in the folder.
        written: Files that this call wrote, lists included; the others were there before.
    """

    folder: Path
    photographs: int
    files: int
    written: int


def export(
    dataset: Dataset | Path | str,
    folder: Path | str,
    to: To = "folders",
    *,
    variants: str | Sequence[str] = "all",
    split: str | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Writes a data set as files that other tools read. The same call always ends in the same bytes.

    Files are `split/identity/photo_variant.jpg`, for example `train/ann/0001_01_wide_high.jpg`, and the unmasked
    counterpart is `train/ann/0001_01_unmasked.jpg`. `pairs.csv` has a line for each masked picture: its file, that of
    its unmasked counterpart, the mask with its colour and box, and the share of the face that it covers. Names of
    people and photographs that are no safe file names are changed so that no two become one; the page "Labels and
    exports" says how.

    Args:
        dataset: A data set, or the folder or URI of one.
        folder: A new or empty local folder, or one in which the same call was interrupted, which resumes.
        to: `folders` writes JPEG files. `coco` writes them, too, and `annotations/instances_SPLIT.json` with images,
            boxes and masks as COCO has them. `masks` writes `split/identity/photo_variant.png`, the coverage of each
            mask (grey, 0 to 255) without the photograph.
        variants: The masks to write: `all`, or names such as `wide_high` as a list or one text with commas; `masked`
            if the variants of the data set are random; `unmasked` alone for no mask. `folders` and `coco` always write
            the unmasked counterparts.
        split: `train`, `val` or `test`; by default all.
        limit: At most so many photographs, the first ones in key order.
        progress: Called with the number of photographs that are done, those of an earlier call first.

    Returns:
        What the folder holds, and what this call wrote.

    Raises:
        UsageError: An argument is wrong, or the folder holds something else. Nothing was written.
        MaskgenError: The data set is damaged, or a file cannot be written. The same call resumes the work.

    Example:
        >>> maskgen.export("smfd", "images", to="coco", split="test").files
        98
    """
    data = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    if to not in get_args(To):
        raise UsageError(f"there is no export to {to!r}; choose one of {', '.join(get_args(To))}.")
    masked = _masked(data, variants)
    if to == "masks" and not masked:
        raise UsageError("an export of masks needs a mask; give --variants all or names of masks.")
    if split is not None and split not in SPLITS:
        raise UsageError(f"there is no split {split!r}; choose one of {', '.join(SPLITS)}.")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise UsageError(f"--limit is {limit!r}; give a number of at least 1.")
    splits = [name for name in data.splits if split in (None, name)]
    if not splits:
        raise UsageError(f"{data} has no photographs{f' in {split}' if split else ''}; there is nothing to export.")
    place, done = _place(data, folder), progress or (lambda _: None)
    facts = {
        "maskgen_export": 1,
        "content": data.content,
        "to": to,
        "variants": list(masked),
        "splits": splits,
        "limit": limit,
        "versions": identity.versions(),
    }
    names = masked if to == "masks" else ("unmasked", *masked)
    with opened(place, facts) as target:
        parts = _parts(data, splits, limit)
        photographs = sum(rows for _, rows in parts)
        if not target.complete:
            stems = FileNames(data.rows(images=()))
            _write_pictures(target, data, parts, to, names, _file_names(stems, to), done)
            _write_lists(target, data, parts, to, names, stems)
        else:
            done(photographs)
        target.finish()
        return Exported(place, photographs, photographs * len(names), target.written)


def _masked(data: Dataset, variants: str | Sequence[str]) -> tuple[str, ...]:
    """The masks that are to be written, in the order of the data set."""
    chosen = [name.strip() for name in variants.split(",")] if isinstance(variants, str) else list(variants)
    if chosen == ["all"]:
        return data.variants
    for name in chosen:
        if name not in ("unmasked", *data.variants):
            raise UsageError(
                f"{data} has no pictures {name!r}; choose all, unmasked, or from {', '.join(data.variants)}."
            )
    if len(set(chosen)) < len(chosen) or not chosen:
        raise UsageError(f"--variants {'names a picture twice' if chosen else 'is empty'}; give each once.")
    return tuple(name for name in data.variants if name in chosen)


def _place(data: Dataset, folder: Path | str) -> Path:
    """The folder of the export as an absolute path, apart from that of the data set."""
    if is_uri(str(folder)) or HALF_URI.match(str(folder)):
        raise UsageError(f"an export is written into a local folder, and {plain(str(folder))} is a URI; give a folder.")
    if not str(folder):
        raise UsageError("the folder of the export is empty; give one.")
    place = Path(folder).expanduser().resolve()
    if isinstance(data.storage, LocalStorage):
        there = data.storage.folder.resolve()
        if place == there or there in place.parents or place in there.parents:
            raise UsageError(f"{place} and the data set {data} lie inside each other; give a folder of its own.")
    return place


def _parts(data: Dataset, splits: Sequence[str], limit: int | None) -> list[_Part]:
    """The shards to export, and how many rows of each: the first ones."""
    parts, left = list[_Part](), len(data) if limit is None else limit
    for split in splits:
        for shard in data.shards(split):
            if left > 0:
                parts.append((shard, min(shard.rows, left)))
                left -= shard.rows
    return parts


def _file_names(stems: FileNames, to: str) -> FileName:
    """The file of a picture, or of a mask, by its row and its name."""
    return lambda row, name: f"{stems.stem(row)}_{name}.{'png' if to == 'masks' else 'jpg'}"


def _write_pictures(
    target: Target, data: Dataset, parts: Sequence[_Part], to: str, names: Sequence[str], file: FileName, done: Progress
) -> None:
    """Writes the pictures of each shard that is not done."""
    for shard, rows in parts:
        if not target.is_done(shard.name):
            read = shard.read(() if to == "masks" else names, range(rows))
            while batch := list(islice(read, BATCH)):
                found = [(row, _masks(row, names) if to == "masks" else _jpegs(row, names, data)) for row in batch]
                target.write([(file(row, name), each[name]) for row, each in found for name in names])
            target.mark_done(shard.name)
        done(rows)


def _masks(row: Row, names: Sequence[str]) -> dict[str, bytes]:
    """The coverage of masks as PNG files."""
    found = covers(row, names).items()
    return {name: cv2.imencode(".png", cover.whole(row.width, row.height))[1].tobytes() for name, cover in found}


def _jpegs(row: Row, names: Sequence[str], data: Dataset) -> dict[str, bytes]:
    """Pictures as JPEG files: those of the data set, or, of recipes, the same bytes as in a rendered data set."""
    if data.store == "rendered":
        return {name: _stored(row, name) for name in names}
    quality = data.info["settings"].get("quality")
    if not isinstance(quality, int) or not 1 <= quality <= 100:
        raise MaskgenError(f"{data} has the JPEG quality {quality!r} in its settings; build it again.")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return {
        name: cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()
        for name, image in row.images(names).items()
    }


def _stored(row: Row, name: str) -> bytes:
    """A stored picture, whose header says that it is a JPEG of the size that the row has."""
    jpeg = row.jpeg(name)
    if not jpeg or jpeg_size(jpeg) != (row.width, row.height):
        raise damaged(row, name)
    return jpeg


def _write_lists(
    target: Target, data: Dataset, parts: Sequence[_Part], to: str, names: Sequence[str], stems: FileNames
) -> None:
    """Writes pairs.csv, and for COCO a JSON file of each split, whose file names start in the folder of the split."""
    pictures, file = _file_names(stems, "folders"), _file_names(stems, to)
    masked = [name for name in names if name != "unmasked"]
    with target.large("pairs.csv") as path:
        write_pairs(path, _rows(parts), masked, file, pictures)
    if to == "coco":
        for split in dict.fromkeys(shard.split for shard, _ in parts):
            about = {"description": f"masked faces of maskgen, {split}", "content": data.content}
            rows = _rows([part for part in parts if part[0].split == split])
            with target.large(f"annotations/instances_{split}.json") as path:
                write_coco(path, rows, names, lambda row, name: file(row, name).partition("/")[2], about)


def _rows(parts: Sequence[_Part]) -> Iterator[Row]:
    for shard, rows in parts:
        yield from shard.read((), range(rows))
