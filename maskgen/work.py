"""One shard from its slice of the plan to its committed files: the task that every engine runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
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
from .storage import Storage, open_storage


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
    try:
        return _make_shard(task)
    except OSError as error:
        raise MaskgenError(
            f"cannot write shard {task.name} in {open_storage(task.build.out).workplace}: {error.strerror or error}; "
            "make room or mend the folder and run the same command again: it goes on from here."
        ) from None


def in_worker_process() -> None:
    """Sets up a worker process: one thread each, and Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def _make_shard(task: ShardTask) -> dict[str, Any]:
    build = task.build
    storage = open_storage(build.out)
    planned = _planned(storage, task)
    endings = writers.endings(build.format)
    rejects, rows = [], 0
    with ExitStack() as stack:
        names = [commit.shard_name(task.split, task.shard, ending) for ending in endings]
        written = [stack.enter_context(storage.temporary(name)) for name in names]
        with ExitStack() as open_files:
            files: list[writers.ShardWriter] = [
                open_files.enter_context(writers.WRITERS[ending](path, build.variants, build.store))
                for ending, path in zip(endings, written, strict=True)
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
        if rows:  # readers choke on empty shards, so a shard of rejects only is a marker without files
            for path, name in zip(written, names, strict=True):
                marker["files"][name.rpartition("/")[2]] = storage.publish(path, name)
        storage.write(commit.shard_name(task.split, task.shard, "json"), commit.json_bytes(marker))
    return marker


def _planned(storage: Storage, task: ShardTask) -> list[dict[str, Any]]:
    """The shard's rows of the plan."""
    with storage.open("plan.parquet") as file:
        plan = pq.ParquetFile(file)
        rows = plan.read_row_group(task.row_group).to_pylist() if task.row_group < plan.num_row_groups else []
    if [(row["split"], row["shard"]) for row in rows] != [(task.split, task.shard)] * task.photographs:
        raise MaskgenError(
            f"the plan in {storage} became another one during the build, by a build of other settings; "
            "start anew with --overwrite, one build at a time."
        )
    return list(rows)


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
