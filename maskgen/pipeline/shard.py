"""One shard from its slice of the plan to its committed files: the task that every engine runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from ..dataset import markers, writers
from ..dataset.stored_style import stored_style
from ..errors import MaskgenError, Rejected, short
from ..imaging.framing import Framing
from ..imaging.styles import Style
from ..sources.reader import Reader
from ..storage import files
from ..storage.base import Storage
from ..storage.opening import open_storage
from . import time_limit
from .build_settings import BuildSettings
from .sample import landmarker_of, make_samples

CRASHED = "crashed_worker: a process that made this photograph alone died of it, twice"
"""The problem of a photograph that kills processes, as in the plan's column of that name. It says nothing of the
signal, which may differ from run to run."""


def too_slow(build: BuildSettings) -> str:
    """The problem of a photograph for which processes were ended by the limit of time."""
    seconds = f"{build.photograph_seconds:g} s of processor time"
    return f"too_slow: it took more than {seconds}, the time limit (--photograph-seconds)"


@dataclass(frozen=True)
class ShardTask:
    """What a worker gets: where the plan lies and which shard of it to make. Photographs are not sent."""

    build: BuildSettings
    fingerprint: str
    row_group: int
    split: str
    shard: int
    photographs: int
    textures: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.split}/{self.shard:05d}"

    @property
    def style(self) -> Style:
        """How its masks look; the textures are read from the data set, once in a process."""
        made = {"style": self.build.style, "seed": self.build.seed, "textures": self.textures}
        return stored_style(open_storage(self.build.out), made)


@dataclass(frozen=True)
class Made:
    """What a worker answers about a shard: counts only. The rejects themselves stay in the shard's marker."""

    photographs: int
    rows: int

    @property
    def rejects(self) -> int:
        return self.photographs - self.rows


def make_shard(task: ShardTask, problems: Mapping[str, str] = MappingProxyType({})) -> Made:
    """Makes and commits one shard; photographs whose keys have `problems` are rejected without being opened.

    Rows + rejects = plan is checked here. Raises `MaskgenError` if the disk is full or a file cannot be written.
    """
    return _commit(_draw(task, problems))


def make_shards(tasks: Iterable[ShardTask]) -> Iterator[Made]:
    """Makes shards one after the other in this process; yields the counts of each once it is committed.

    A thread waits for the disk and commits a shard while the next one is drawn: with small shards the disk takes a
    sixth of the time of drawing them.
    """
    with ThreadPoolExecutor(1, "commit") as committer:
        before: Future[Made] | None = None
        for task in tasks:
            drawn = _draw(task)
            try:
                if before:
                    yield before.result()
            except BaseException:
                drawn.files.close()  # removes them: nobody will commit them
                raise
            before = committer.submit(_commit, drawn)
        if before:
            yield before.result()


def with_one_thread() -> None:
    """Keeps the libraries from starting threads of their own: every core has a process already."""
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def try_photographs(task: ShardTask, keys: frozenset[str] | None = None) -> Iterator[str]:
    """Makes photographs of a shard, those of `keys` or all, one by one and keeps nothing of them.

    Yields the key of each before it is opened: if this process dies, the last key is that of its photograph.
    """
    landmarker, framing = landmarker_of(task.build), Framing()  # searched as in the shard
    for row in planned_rows(task):
        if keys is None or row["key"] in keys:
            yield row["key"]
            with _memory_errors(task):
                for _ in make_samples(_photographs([row], task.build), task.build, landmarker, task.style, framing):
                    pass


def planned_rows(task: ShardTask, storage: Storage | None = None) -> list[dict[str, Any]]:
    """The shard's slice of the plan. Raises `MaskgenError` if it cannot be read or has become another one."""
    storage = storage or open_storage(task.build.out)
    try:
        with storage.open("plan.parquet") as file:
            plan = pq.ParquetFile(file, page_checksum_verification=True)
            rows = plan.read_row_group(task.row_group).to_pylist() if task.row_group < plan.num_row_groups else []
    except (OSError, pa.ArrowException) as error:
        said = short(error).rstrip(".")
        raise MaskgenError(
            f"the plan in {storage} cannot be read ({said}); run the same command again: it resumes from here."
        ) from None
    if [(row["split"], row["shard"]) for row in rows] != [(task.split, task.shard)] * task.photographs:
        raise MaskgenError(
            f"the plan in {storage} became another one during the build, by a build of other settings; "
            "run the same command again, one build at a time."
        )
    return list(rows)


@dataclass(frozen=True)
class _Drawn:
    """A shard that is written and not yet committed: its marker, and its files by their names in the data set.

    `files` removes from the disk what was not published of them.
    """

    task: ShardTask
    storage: Storage
    marker: dict[str, Any]
    written: dict[str, Path]
    files: ExitStack


def _draw(task: ShardTask, problems: Mapping[str, str] = MappingProxyType({})) -> _Drawn:
    """Makes the photographs of a shard and writes its files, under temporary names and unflushed."""
    build, storage = task.build, open_storage(task.build.out)
    with _disk_errors(task, storage), _memory_errors(task), ExitStack() as files:
        planned = [{**row, "problem": problems.get(row["key"], row["problem"])} for row in planned_rows(task, storage)]
        written = {
            ending: files.enter_context(storage.temporary(markers.file_name(task.split, task.shard, ending)))
            for ending in writers.endings(build.format)
        }
        rejects, rows = [], 0
        with ExitStack() as open_files:
            shards: list[writers.ShardWriter] = [
                open_files.enter_context(writers.WRITERS[ending](path, build.variants, build.store))
                for ending, path in written.items()
            ]
            photographs, landmarker = _photographs(planned, build), landmarker_of(build)
            for row, made in make_samples(photographs, build, landmarker, task.style):
                if isinstance(made, Rejected):
                    rejects.append(_reject(row, made))
                    continue
                for shard in shards:
                    shard.add(made)
                rows += 1
        if rows + len(rejects) != len(planned):
            raise MaskgenError(
                f"shard {task.name} lost photographs: {rows} + {len(rejects)} of {len(planned)}; report this."
            )
        marker = {"fingerprint": task.fingerprint, "photographs": len(planned), "rows": rows, "rejects": rejects}
        return _Drawn(task, storage, marker, written, files.pop_all())


def _commit(drawn: _Drawn) -> Made:
    """Publishes the files of a shard, and then the marker that makes them count."""
    task, marker, storage = drawn.task, drawn.marker, drawn.storage
    published = {}
    with _disk_errors(task, storage), drawn.files:
        if marker["rows"]:  # readers choke on empty shards, so a shard of rejects only is a marker without files
            for ending, path in drawn.written.items():
                name = markers.file_name(task.split, task.shard, ending)
                published[name.rpartition("/")[2]] = storage.publish(path, name)
        name = markers.marker_name(task.split, task.shard)
        storage.write(name, files.json_bytes({**marker, "files": published}))
    return Made(marker["photographs"], marker["rows"])


@contextmanager
def _disk_errors(task: ShardTask, storage: Storage) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MaskgenError(
            f"cannot write shard {task.name} in {storage.workplace}: {error.strerror or error}; "
            "make room or fix the folder and run the same command again: it resumes from here."
        ) from None


@contextmanager
def _memory_errors(task: ShardTask) -> Iterator[None]:
    """Ends a worker process that has no memory left, as the system may do too: then the photograph is found by which
    processes die. The command's own process ends in a sentence."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        if time_limit.is_expendable():
            os._exit(1)
        raise MaskgenError(
            f"out of memory making shard {task.name}; free some memory, or reject large photographs with "
            "--photograph-megabytes, and run the same command again: it resumes."
        ) from None


def _photographs(
    planned: list[dict[str, Any]], build: BuildSettings
) -> Iterator[tuple[dict[str, Any], bytes | Rejected]]:
    """Each row of the plan with its file's bytes, or with why there are none."""
    with Reader(build.src, build.image_column) as reader:
        yield from reader.each(planned)


def _reject(row: dict[str, Any], rejected: Rejected) -> dict[str, str]:
    place = {name: row[name] for name in ("key", "source", "identity", "split")}
    return {**place, "reason": rejected.reason, "detail": rejected.detail}
