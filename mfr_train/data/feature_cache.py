"""Features of every picture of a split, computed once by a frozen backbone and stored in memory-mapped files.

A file lies at CACHE/<backbone>/<data set>/<split>/<picture>.npy, float32 (rows, dim) in the data set's own row
order, beside a JSON note with its description and hash. A file that does not match its note and the request exactly is
refused: it is never used in a training or an evaluation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from maskgen import Dataset
from maskgen.errors import MaskgenError
from maskgen.storage import files

from ..defaults import CACHE
from ..hardware import cores
from ..networks.backbone import CHUNK, Backbone, Floats
from .decoders import MAX_DEFAULT_WORKERS, worker_errors
from .one_pass import sweep

VERSION = 1
"""Version of how pictures become features; another number makes every earlier cache stale."""

NO_LANDMARKS = np.empty((0, 68, 2), np.float32)
"""Networks that see the whole picture do not use landmarks."""

Piece = tuple[npt.NDArray[np.int64], Floats]
"""Row numbers (n,) and their features (n, dim)."""

Progress = Callable[[int], object]
"""Called with the number of pictures that have just been done."""


@dataclass(frozen=True)
class RowIndex:
    """The rows of a split in the order of their features: keys (N,), labels int32 (N,), identities (N,).

    `variants` names the variant of the picture `masked` in a data set of random variants; elsewhere it holds empty
    strings. `colors` uint8 (N, number of variants, 3) are the RGB colours of the masks.
    """

    keys: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int32]
    identities: npt.NDArray[np.str_]
    variants: npt.NDArray[np.str_]
    colors: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.keys)


def row_index(dataset: Dataset, split: str) -> RowIndex:
    """Reads keys, labels, identities and colours of a split; no picture is read from Parquet shards."""
    rows = [
        (row.key, row.label, row.identity, row.variant or "", [row.colors[name] for name in dataset.variants])
        for row in dataset.rows(split, images=())
    ]
    keys, labels, identities, variants, colors = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return RowIndex(
        np.array(keys, str),
        np.array(labels, np.int32),
        np.array(identities, str),
        np.array(variants, str),
        np.array(colors, np.uint8).reshape(len(rows), len(dataset.variants), 3),
    )


def embed_rows(
    dataset: Dataset,
    backbone: Backbone,
    split: str,
    names: Sequence[str],
    cache: Path | None = CACHE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """Features of the pictures called `names` ('unmasked', 'wide_high', ...) of a split: name -> float32 (rows, dim).

    What `cache` already holds is mapped from there; the rest is computed, saved there, and mapped. `cache=None` saves
    nothing. `workers` processes decode for networks that see the whole picture (by default up to
    `MAX_DEFAULT_WORKERS`); the features are the same for any number. Raises
    `MaskgenError` if the cache is damaged, truncated, or of other weights or data, or if features are to be computed of
    shards that are not those of `dataset.content`, under which they are kept.
    """
    if missing(dataset, backbone, split, names, cache):
        dataset.check_files(split)
    found: dict[str, Floats] = {}
    for name in names:
        pieces = _reported(partial(_pieces, dataset, backbone, split, name, workers), progress)
        shape = (dataset.count(split), backbone.dim)
        if cache is None:
            found[name] = np.empty(shape, np.float32)
            _fill(found[name], pieces)
            continue
        path = cache_path(cache, dataset, backbone, split, name)
        note = _note(dataset, backbone, split, name)
        if not _kept(path):
            _write(path, note, pieces)
        found[name] = _open(path, note)
    return found


def cache_path(cache: Path, dataset: Dataset, backbone: Backbone, split: str, name: str) -> Path:
    """Where the features of one picture of a split are kept."""
    folder = f"{backbone.name}-{backbone.fingerprint[:16]}"
    return Path(cache) / folder / dataset.content[:16] / split / f"{name}.npy"


def missing(
    dataset: Dataset, backbone: Backbone, split: str, names: Sequence[str], cache: Path | None = CACHE
) -> list[str]:
    """Those of the pictures called `names` whose features are not in the cache: `embed_rows` would compute them."""
    return [name for name in names if cache is None or not _kept(cache_path(cache, dataset, backbone, split, name))]


def _kept(path: Path) -> bool:
    return path.with_suffix(".json").exists()  # an array without its note is incomplete and does not count


def _note(dataset: Dataset, backbone: Backbone, split: str, name: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "backbone": backbone.fingerprint,
        "dataset": dataset.content,
        "split": split,
        "picture": name,
        "shape": [dataset.count(split), backbone.dim],
    }


def _pieces(dataset: Dataset, backbone: Backbone, split: str, name: str, workers: int | None) -> Iterator[Piece]:
    if backbone.input_size is None:  # it aligns faces
        yield from _aligned_pieces(dataset, backbone, split, name)
        return
    decoders = min(cores(), MAX_DEFAULT_WORKERS) if workers is None else workers
    only = partial(_named, name)
    for numbers, images, _ in sweep(dataset, split, (name,), only, backbone.input_size, decoders):
        yield numbers.numpy(), backbone.run(list(images.numpy()), NO_LANDMARKS)


def _named(name: str, key: str) -> str:
    return name


def _aligned_pieces(dataset: Dataset, backbone: Backbone, split: str, name: str) -> Iterator[Piece]:
    """For networks that align faces by their landmarks, which use all cores by threads."""
    rows = dataset.rows(split, images=(name,))
    first = 0
    while group := list(islice(rows, CHUNK)):
        images, landmarks = [row.image(name) for row in group], np.stack([row.landmarks for row in group])
        yield np.arange(first, first + len(group)), backbone.features(images, landmarks)
        first += len(group)


def _reported(pieces: Callable[[], Iterator[Piece]], progress: Progress | None) -> Iterator[Piece]:
    with worker_errors():
        for numbers, found in pieces():
            yield numbers, found
            if progress:
                progress(len(found))


def _fill(array: Floats, pieces: Iterable[Piece]) -> int:
    """Writes pieces into their rows; returns how many rows there were."""
    rows = 0
    for numbers, found in pieces:
        array[numbers] = found
        rows += len(found)
    return rows


def _write(path: Path, note: dict[str, Any], pieces: Iterable[Piece]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writing_in(path.parent):
            with files.temporary(path) as name:
                _write_array(name, path, note["shape"], pieces)
                sha256 = files.sha256(name)
                files.publish(name, path)
            # The note comes last and commits.
            files.write_json(path.with_suffix(".json"), {**note, "sha256": sha256})
    except OSError as error:
        raise MaskgenError(
            f"cannot keep features in {path} ({error.strerror or error}); make room or give --cache another folder."
        ) from None


def _write_array(name: Path, path: Path, shape: tuple[int, int], pieces: Iterable[Piece]) -> None:
    rows, dim = shape
    if rows:
        array = open_memmap(name, "w+", np.float32, (rows, dim))
        done = _fill(array, pieces)
        array.flush()
        if done != rows:
            raise MaskgenError(f"{path} got {done} of {rows} rows; run `maskgen verify` on the data set.")
    else:  # an empty file cannot be mapped
        with name.open("wb") as file:
            np.save(file, np.empty((0, dim), np.float32))


@contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    """Holds a shared lock on a folder while this process writes in it; others may write there too.

    If no other process does, temporary files in the folder were left by a killed process, perhaps gigabytes, and are
    removed.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # another process writes here, or the file system has no locks
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in folder.iterdir():
                if files.is_temporary(path.name):
                    path.unlink(missing_ok=True)
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_SH)
        yield
    finally:
        os.close(place)


def _open(path: Path, note: dict[str, Any]) -> Floats:
    advice = f"remove the folder {path.parent}, and its features are computed again."
    try:
        there = files.parse_json(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        raise MaskgenError(f"features {path} have no readable note; {advice}") from None
    for field, value in note.items():
        if there.get(field) != value:
            raise MaskgenError(f"features {path} belong to another {field}; {advice}")
    try:
        if files.sha256(path) != there.get("sha256"):
            raise MaskgenError(f"features {path} are damaged or truncated; {advice}")
        array: Floats = np.load(path, mmap_mode="r" if there["shape"][0] else None)
    except (OSError, ValueError):
        raise MaskgenError(f"features {path} cannot be read; {advice}") from None
    return array
