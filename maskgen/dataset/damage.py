"""Shards that are no longer as they were built: found by their hashes, and read without the rows that are broken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from tarfile import TarError
from typing import TYPE_CHECKING

from ..errors import MaskgenError
from ..imaging import libjpeg_warnings
from ..storage.base import Storage
from . import markers, schema, tar

if TYPE_CHECKING:
    from .reader import Dataset, Shard


def check_files(dataset: Dataset, split: str) -> None:
    """Raises `MaskgenError` unless the shards of a split, as they are read, are those of the data set's `content`."""
    _check_content(dataset)
    for shard in dataset.all_shards(split):
        if _changed(shard):
            what = f"shard {_path(shard)} has other bytes than its marker says"
            raise MaskgenError(f"{what}; `maskgen verify {dataset}` says what to do.")


def without_broken_rows(dataset: Dataset, splits: Sequence[str]) -> Dataset:
    """The data set without the broken rows of the shards of these splits that are not as they were built.

    The rows are a function of the bytes of the shards. If any shard has other bytes than its marker says, `content` is
    another one, that of the bytes and of what is left out: nothing that is computed from them, such as features in a
    cache, passes for what the data set would give as it was built. Every byte of the splits is read.
    """
    _check_content(dataset)
    changed = {
        shard.name: (digest, broken_rows(shard))
        for split in splits
        for shard in dataset.all_shards(split)
        if (digest := _changed(shard))
    }
    if not changed:
        return dataset
    found = (f"{name} {digest} {' '.join(map(str, rows))}" for name, (digest, rows) in changed.items())
    return dataset.without({name: rows for name, (_, rows) in changed.items()}, markers.content(dataset.content, found))


def told(dataset: Dataset) -> list[str]:
    """A sentence about each shard that is not as it was built."""
    if not dataset.left_out:
        return []
    shards = {shard.name: shard.marker["rows"] for split in schema.SPLITS for shard in dataset.all_shards(split)}
    return [
        f"Shard {name} has other bytes than its marker says: {len(rows)} of its {shards[name]} rows are left out."
        for name, rows in dataset.left_out.items()
    ]


def broken_rows(shard: Shard) -> tuple[int, ...]:
    """The numbers of the rows of a shard that cannot be read, or that have a picture that is damaged."""
    reached = _reached(shard)
    broken: list[int] = []
    number = 0
    while number < reached:
        try:
            for row in shard.read(numbers=range(number, reached)):
                with libjpeg_warnings.caught() as said:
                    row.images()
                if said:  # our encoder's files give no cause for warnings
                    broken.append(number)
                number += 1
        except MaskgenError:
            if number == reached:  # what follows the last row is damaged
                break
            broken.append(number)
            number += 1
    return (*broken, *range(reached, shard.rows))


def _reached(shard: Shard) -> int:
    """How many rows a reader comes to: it goes through a tar header by header, and never past a damaged one."""
    if shard.ending != "tar":
        return shard.rows
    keys: dict[str, None] = {}
    with suppress(OSError, ValueError, TarError), shard.dataset.storage.open(_name(shard)) as file:
        for _ in tar.members(file, lambda name: keys.setdefault(name.partition(".")[0]) is not None):
            pass
    return min(len(keys), shard.rows)


def _check_content(dataset: Dataset) -> None:
    if not dataset.left_out and markers.content(dataset.fingerprint, _hashes(dataset)) != dataset.content:
        raise MaskgenError(
            f"{dataset}/dataset.json has another content than its markers; `maskgen verify {dataset}` says what to do."
        )


def _hashes(dataset: Dataset) -> Iterable[str]:
    for split in schema.SPLITS:
        for shard in dataset.all_shards(split):
            yield from markers.file_hashes(shard.marker)


def _changed(shard: Shard) -> str:
    """The hash of a shard's file if that is not what its marker says; "missing" if there is none; else empty."""
    if not shard.marker["rows"]:
        return ""
    storage: Storage = shard.dataset.storage
    listed = shard.marker["files"].get(_name(shard).rpartition("/")[2], {})
    try:
        found = storage.sha256(_name(shard))
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        if storage.distant:  # the network, and not what lies there
            raise MaskgenError(f"shard {_path(shard)} cannot be read ({error}); try again.") from None
        return "unreadable"
    return "" if found == listed.get("sha256") else found


def _name(shard: Shard) -> str:
    return markers.file_name(shard.split, shard.index, shard.ending)


def _path(shard: Shard) -> str:
    return f"{shard.dataset}/{_name(shard)}"
