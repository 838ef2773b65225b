"""Features of the pictures of a split, computed once by a frozen backbone and stored in memory-mapped files.

A file lies at CACHE/<backbone>/<data set>/<split>/<picture>.npy, float32 (rows, dim) in the data set's own row
order, beside a JSON note with its description and hash. Features of some rows alone are a part: <picture>-<hash>.npy,
whose note says which rows they are. A part is never changed: a request for rows that no part holds writes another one,
and a request for all rows writes the whole file, with what the parts hold. A file that does not match its note and the
request exactly is refused: it is never used in a training or an evaluation.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from maskgen import Dataset, Row
from maskgen.dataset.together import images_of
from maskgen.errors import MaskgenError
from maskgen.storage import files

from ..defaults import CACHE
from ..networks.backbone import CHUNK, Backbone, Floats, Image
from .decoders import decoding_workers, worker_errors
from .one_pass import Piece as DecodedPiece
from .one_pass import sweep
from .overlap import ahead, in_threads

VERSION = 1
"""Version of how pictures become features; another number makes every earlier cache stale."""

GPU_THREADS = 2
"""Threads that feed a GPU: one copies the next pictures to it while it works on those of the other."""

NO_LANDMARKS = np.empty((0, 68, 2), np.float32)
"""Networks that see the whole picture do not use landmarks."""

Rows = npt.NDArray[np.int64]
"""Numbers of rows, (n,)."""

Piece = tuple[Rows, Floats]
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

    See `embed_chosen`, of which this is the case of all rows: what is in the cache is mapped and not read.
    """
    rows = np.arange(dataset.count(split))
    return dict(embed_chosen(dataset, backbone, split, dict.fromkeys(names, rows), cache, workers, progress))


def embed_chosen(
    dataset: Dataset,
    backbone: Backbone,
    split: str,
    chosen: Mapping[str, Rows],
    cache: Path | None = CACHE,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[str, Floats]]:
    """Features of the chosen rows, int (n,) ascending, of each picture of a split: its name and float32 (n, dim).

    What `cache` does not hold is computed and saved there; `cache=None` saves nothing. `workers` processes decode for
    networks that see the whole picture (see `decoding_workers`); the features are the same for any
    number. Raises `MaskgenError` if the cache is damaged, truncated, or of other weights or data, or if features are to
    be computed of shards that are not those of `dataset.content`, under which they are kept.
    """
    if missing(dataset, backbone, split, chosen, cache):
        dataset.check_files(split)

    def pieces(name: str, rows: Rows) -> Iterator[Piece]:
        return _reported(partial(_pieces, dataset, backbone, split, name, rows, workers), progress)

    for name, rows in chosen.items():
        if cache is None:
            found = np.empty((len(rows), backbone.dim), np.float32)
            _fill(found, rows, pieces(name, rows))
            yield name, found
        else:
            kept = _Kept(cache, dataset, backbone, split, name)
            kept.add(rows, partial(pieces, name))
            yield name, kept.features(rows)


class _Kept:
    """What the cache holds of one picture of a split: the whole file, or else parts."""

    def __init__(self, cache: Path, dataset: Dataset, backbone: Backbone, split: str, name: str) -> None:
        self.whole = cache_path(cache, dataset, backbone, split, name)
        self.note = _note(dataset, backbone, split, name)
        self.rows, self.dim = dataset.count(split), backbone.dim
        self.parts = self._found()

    def _found(self) -> dict[Path, Rows]:
        """The rows of each file. An array without its note is incomplete and does not count."""
        if self.whole.with_suffix(".json").exists():
            return {self.whole: np.arange(self.rows)}
        notes = sorted(self.whole.parent.glob(f"{self.whole.stem}-*.json"))
        return {note.with_suffix(".npy"): self._rows_of(note) for note in notes}

    def _rows_of(self, note: Path) -> Rows:
        """The rows of a part by its note, whose name is their hash."""
        try:
            bits = bytes.fromhex(files.parse_json(note.read_bytes())["rows"])
        except (OSError, ValueError, LookupError, TypeError):
            bits = b""
        rows = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8)))
        if (
            not len(rows)
            or rows[-1] >= self.rows
            or _bits(rows, self.rows) != bits
            or self._part(rows).stem != note.stem
        ):
            raise MaskgenError(f"features {note.with_suffix('.npy')} have no readable note; {_advice(note)}")
        return rows

    def _part(self, rows: Rows) -> Path:
        digest = hashlib.sha256(_bits(rows, self.rows)).hexdigest()
        return self.whole.with_name(f"{self.whole.stem}-{digest[:16]}.npy")

    def _note_of(self, path: Path, rows: Rows) -> dict[str, Any]:
        if path == self.whole:
            return self.note
        return {**self.note, "shape": [len(rows), self.dim], "rows": _bits(rows, self.rows).hex()}

    def without(self, rows: Rows) -> Rows:
        """Those of the rows that are not kept."""
        kept = np.zeros(self.rows, bool)
        for part in self.parts.values():
            kept[part] = True
        left: Rows = rows[~kept[rows]]
        return left

    def add(self, rows: Rows, pieces: Callable[[Rows], Iterator[Piece]]) -> None:
        """Computes those of the rows that are not kept, and saves them as a part; the whole file if all are wanted."""
        left = self.without(rows)
        if len(rows) == self.rows and self.whole not in self.parts:
            parts = ((part, _open(path, self._note_of(path, part))) for path, part in self.parts.items())
            computed = pieces(left) if len(left) else iter(())
            _write(self.whole, self.note, rows, chain(_without_twice(parts, self.rows), computed))
        elif len(left):
            path = self._part(left)
            _write(path, self._note_of(path, left), left, pieces(left))
        else:
            return
        self.parts = self._found()

    def features(self, rows: Rows) -> Floats:
        """The features of kept rows, float32 (n, dim); all of them are mapped."""
        if self.whole in self.parts:
            whole = _open(self.whole, self.note)
            return whole if len(rows) == self.rows else whole[rows]
        found = np.empty((len(rows), self.dim), np.float32)
        for path, part in self.parts.items():
            wanted = np.isin(rows, part)
            if wanted.any():
                found[wanted] = _open(path, self._note_of(path, part))[np.searchsorted(part, rows[wanted])]
        return found


def _without_twice(parts: Iterable[Piece], rows: int) -> Iterator[Piece]:
    """Pieces without the rows of earlier ones: two processes may have kept the same row."""
    done = np.zeros(rows, bool)
    for numbers, features in parts:
        fresh = ~done[numbers]
        done[numbers] = True
        yield numbers[fresh], features[fresh]


def _bits(rows: Rows, count: int) -> bytes:
    """Which of `count` rows are chosen, a bit each."""
    chosen = np.zeros(count, bool)
    chosen[rows] = True
    return np.packbits(chosen).tobytes()


def cache_path(cache: Path, dataset: Dataset, backbone: Backbone, split: str, name: str) -> Path:
    """Where the features of one picture of a split are kept."""
    folder = f"{backbone.name}-{backbone.fingerprint[:16]}"
    return Path(cache) / folder / dataset.content[:16] / split / f"{name}.npy"


def missing(
    dataset: Dataset, backbone: Backbone, split: str, chosen: Mapping[str, Rows], cache: Path | None = CACHE
) -> int:
    """How many of the chosen pictures are not in the cache: `embed_chosen` would compute them."""
    if cache is None:
        return sum(map(len, chosen.values()))
    kept = {name: _Kept(cache, dataset, backbone, split, name) for name in chosen}
    return sum(len(kept[name].without(rows)) for name, rows in chosen.items())


def _note(dataset: Dataset, backbone: Backbone, split: str, name: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "backbone": backbone.fingerprint,
        "dataset": dataset.content,
        "split": split,
        "picture": name,
        "shape": [dataset.count(split), backbone.dim],
    }


def _pieces(
    dataset: Dataset, backbone: Backbone, split: str, name: str, rows: Rows, workers: int | None
) -> Iterator[Piece]:
    if backbone.input_size is None:  # it aligns faces
        yield from _aligned_pieces(dataset, backbone, split, name, rows)
        return
    decoders = decoding_workers(workers)
    only, chosen = partial(_named, name), None if len(rows) == dataset.count(split) else rows
    read = sweep(dataset, split, (name,), only, backbone.input_size, decoders, rows=chosen)

    def run(piece: DecodedPiece) -> Piece:
        numbers, images, _ = piece
        return numbers.numpy(), backbone.run(images.numpy(), NO_LANDMARKS)

    yield from in_threads(run, read, GPU_THREADS) if backbone.on_gpu else map(run, read)


def _named(name: str, key: str) -> str:
    return name


def _aligned_pieces(dataset: Dataset, backbone: Backbone, split: str, name: str, rows: Rows) -> Iterator[Piece]:
    """For networks that align faces by their landmarks."""
    first = 0
    for images, landmarks in ahead(_groups(dataset, split, name, rows)):
        yield rows[first : first + len(images)], backbone.features(images, landmarks)
        first += len(images)


def _groups(dataset: Dataset, split: str, name: str, rows: Rows) -> Iterator[tuple[list[Image], Floats]]:
    """One picture of each chosen row of a split, and its landmarks (n, 68, 2); `CHUNK` rows at most at once."""
    read = _read(dataset, split, name, rows)
    while group := list(islice(read, CHUNK)):
        yield list(images_of(group)), np.stack([row.landmarks for row, _ in group])


def _read(dataset: Dataset, split: str, name: str, rows: Rows) -> Iterator[tuple[Row, str]]:
    """The chosen rows of a split, with one picture each, and its name."""
    first = 0
    for shard in dataset.shards(split):
        low, high = np.searchsorted(rows, [first, first + shard.rows])
        if low < high:
            yield from shard.read_chosen((name,), partial(_named, name), (rows[low:high] - first).tolist())
        first += shard.rows


def _reported(pieces: Callable[[], Iterator[Piece]], progress: Progress | None) -> Iterator[Piece]:
    with worker_errors():
        for numbers, found in pieces():
            yield numbers, found
            if progress:
                progress(len(found))


def _fill(array: Floats, rows: Rows, pieces: Iterable[Piece]) -> int:
    """Writes the pieces of these rows; returns how many rows there were."""
    done = 0
    for numbers, found in pieces:
        array[np.searchsorted(rows, numbers)] = found
        done += len(found)
    return done


def _write(path: Path, note: dict[str, Any], rows: Rows, pieces: Iterable[Piece]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writing_in(path.parent):
            with files.temporary(path) as name:
                _write_array(name, path, note["shape"][1], rows, pieces)
                sha256 = files.sha256(name)
                files.publish(name, path)
            # The note comes last and commits.
            files.write_json(path.with_suffix(".json"), {**note, "sha256": sha256})
    except OSError as error:
        raise MaskgenError(
            f"cannot keep features in {path} ({error.strerror or error}); make room or give --cache another folder."
        ) from None


def _write_array(name: Path, path: Path, dim: int, rows: Rows, pieces: Iterable[Piece]) -> None:
    if len(rows):
        array = open_memmap(name, "w+", np.float32, (len(rows), dim))
        done = _fill(array, rows, pieces)
        array.flush()
        if done != len(rows):
            raise MaskgenError(f"{path} got {done} of {len(rows)} rows; run `maskgen verify` on the data set.")
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
    advice = _advice(path)
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


def _advice(path: Path) -> str:
    return f"remove the folder {path.parent}, and its features are computed again."
