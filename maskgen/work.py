"""One shard from its slice of the plan to its committed files: the task that every engine runs."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from .decode import Rejected
from .errors import MaskgenError
from .landmarks import Landmarker
from .plan import BuildSettings
from .sample import make_samples
from .shards import commit, writers
from .sources import read


@dataclass(frozen=True)
class ShardTask:
    """What a worker is told: where the plan lies and which shard of it to make. Photographs never travel."""

    build: BuildSettings
    fingerprint: str
    row_group: int
    split: str
    shard: int
    photographs: int

    @property
    def name(self) -> str:
        return f"{self.split}/{self.shard:05d}"


def make_shard(task: ShardTask) -> dict[str, Any]:
    """Makes and commits one shard; returns its marker.

    Rows + rejects = plan is checked here. Raises `MaskgenError` where the disk is full or a file cannot be written.
    """
    return _commit(task, _draw(task))


def make_shards(tasks: Iterable[ShardTask]) -> Iterator[tuple[ShardTask, dict[str, Any]]]:
    """Makes shards one after the other in this process; yields each with its marker once it is committed.

    A thread waits for the disk and commits a shard while the next one is drawn: on a slow disk, flushing small shards
    takes an eighth of the time of making them.
    """
    with ThreadPoolExecutor(1, "commit") as committer:
        before: Future[tuple[ShardTask, dict[str, Any]]] | None = None
        for task in tasks:
            drawn = _draw(task)
            try:
                if before:
                    yield before.result()
            except BaseException:
                drawn.close()  # and with it go its files
                raise
            before = committer.submit(lambda task, drawn: (task, _commit(task, drawn)), task, drawn)
        if before:
            yield before.result()


def in_worker_process() -> None:
    """Sets up a worker process: one thread each, and Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


_Steps = Generator[None, None, dict[str, Any]]
"""A shard being made: it stops once, when its files are written and closed and not yet flushed; returns its marker."""


def _draw(task: ShardTask) -> _Steps:
    steps = _make_shard(task)
    try:
        next(steps)
    except OSError as error:
        raise _cannot_write(task, error) from None
    return steps


def _commit(task: ShardTask, drawn: _Steps) -> dict[str, Any]:
    try:
        next(drawn)
    except StopIteration as done:
        marker: dict[str, Any] = done.value
        return marker
    except OSError as error:
        raise _cannot_write(task, error) from None
    raise AssertionError(f"shard {task.name} stopped twice")


def _cannot_write(task: ShardTask, error: OSError) -> MaskgenError:
    return MaskgenError(
        f"cannot write shard {task.name} in {task.build.out}: {error.strerror or error}; "
        "make room or mend the folder and run the same command again: it goes on from here."
    )


def _make_shard(task: ShardTask) -> _Steps:
    build = task.build
    planned = pq.ParquetFile(build.out / "plan.parquet").read_row_group(task.row_group).to_pylist()
    paths = [commit.shard_path(build.out, task.split, task.shard, ending) for ending in writers.endings(build.format)]
    paths[0].parent.mkdir(exist_ok=True)
    rejects, rows = [], 0
    with ExitStack() as stack:
        names = [stack.enter_context(commit.temporary(path)) for path in paths]
        with ExitStack() as open_files:
            files: list[writers.ShardWriter] = [
                open_files.enter_context(writers.WRITERS[path.suffix[1:]](name, build.variants, build.store))
                for path, name in zip(paths, names, strict=True)
            ]
            for row, made in make_samples(_photographs(planned, build), build, _landmarker(build.predictor)):
                if isinstance(made, Rejected):
                    rejects.append(_reject(row, made))
                    continue
                for file in files:
                    file.add(made)
                rows += 1
        if rows + len(rejects) != len(planned):
            raise MaskgenError(
                f"shard {task.name} lost photographs: {rows} + {len(rejects)} of {len(planned)}; report this."
            )
        marker: dict[str, Any] = {
            "fingerprint": task.fingerprint,
            "photographs": len(planned),
            "rows": rows,
            "rejects": rejects,
            "files": {},
        }
        yield  # all is written; what follows waits for the disk, and may do so in another thread
        if rows:  # readers choke on empty shards, so a shard of rejects only is a marker without files
            for path, name in zip(paths, names, strict=True):
                commit.publish(name, path)
                marker["files"][path.name] = {"bytes": path.stat().st_size, "sha256": commit.sha256(path)}
        commit.write_json(commit.shard_path(build.out, task.split, task.shard, "json"), marker)
    return marker


def _photographs(
    planned: list[dict[str, Any]], build: BuildSettings
) -> Iterator[tuple[dict[str, Any], bytes | Rejected]]:
    """Each row of the plan with its file's bytes, or with why there are none."""
    for row in planned:
        try:
            if row["problem"]:
                raise Rejected(*row["problem"].split(": ", 1))
            data: bytes | Rejected = read(build.src, row["source"], row["bytes"])
        except Rejected as rejected:
            data = rejected
        yield row, data


def _reject(row: dict[str, Any], rejected: Rejected) -> dict[str, str]:
    place = {name: row[name] for name in ("key", "source", "identity", "split")}
    return {**place, "reason": rejected.reason, "detail": rejected.detail}


@lru_cache(maxsize=1)
def _landmarker(predictor: Path | None) -> Landmarker:
    return Landmarker(predictor)
