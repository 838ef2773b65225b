"""Where shards run: in this process, in worker processes, or in Dask's. One shard is one task."""

from __future__ import annotations

import importlib.util
import logging
from collections import deque
from collections.abc import Generator, Iterator

from ..errors import UsageError, installing
from ..imaging.detectors import model_path
from ..imaging.landmarks import SHAPE_PREDICTOR
from ..pipeline.build_settings import BuildSettings
from ..pipeline.sample import landmarker_of
from ..pipeline.shard import Made, ShardTask, make_shards
from . import crashes
from .workers import CAN_FORK, WorkerDied, Workers

log = logging.getLogger(__name__)

WORTH_A_WORKER = 256
"""Photographs that one worker makes in about the time in which another one starts and loads its model."""

WORTH_A_FORK = 150
"""Photographs that are worth another worker if it is forked from a process that has loaded the model (measured:
docs/performance.md)."""


def check(build: BuildSettings) -> None:
    """Raises `UsageError` for an engine that is not installed, or settings of another engine."""
    if build.engine == "dask" and importlib.util.find_spec("distributed") is None:
        raise UsageError(f"--engine dask needs Dask, which is not installed; {installing('dask')}.")
    if build.address and build.engine != "dask":
        raise UsageError(f"--address {build.address} is a Dask scheduler; add --engine dask.")
    if build.address and build.workers:
        raise UsageError(
            "--workers starts processes on this machine, and with --address the scheduler's own workers make the "
            "shards; give one of the two."
        )


def try_out(build: BuildSettings) -> None:
    """Raises `MaskgenError` for what else is wrong with a call and would show at the first shard: a predictor that is
    none, a scheduler that is not there."""
    if _is_here(build) or build.predictor or build.detector_model:
        landmarker_of(build)
    else:  # the packaged model, which the workers load
        model_path(SHAPE_PREDICTOR)
    if build.address:
        from . import dask_engine

        dask_engine.check(build.address)


def run(tasks: list[ShardTask], build: BuildSettings) -> Iterator[Made]:
    """Makes every shard and yields the counts of each as it is committed, in any order.

    `build.workers` defaults to one for each core that this process may use, or fewer for a small set. Only where one
    is asked for are there none but this process, which then dies of a photograph that kills, and has no time limit. A
    shard over which workers died is made apart; see `crashes.make_apart`.
    """
    if not tasks:
        return
    if _is_here(build):
        yield from make_shards(tasks)
        return
    workers = min(build.workers or _worth(tasks, build.engine), len(tasks))
    if build.engine == "dask":
        from . import dask_engine

        lost = yield from dask_engine.run(tasks, workers, build.address)
    else:
        lost = yield from _joblib(tasks, workers)
    for task in lost:
        yield crashes.make_apart(task)


def _is_here(build: BuildSettings) -> bool:
    """Whether this process makes the shards."""
    return build.engine == "serial" or (build.engine == "joblib" and build.workers == 1)


def _worth(tasks: list[ShardTask], kind: str) -> int:
    """How many workers to start where nobody says: joblib knows of affinity and of a container's share of the cores."""
    from joblib import cpu_count

    each = WORTH_A_FORK if kind == "joblib" and CAN_FORK else WORTH_A_WORKER
    return min(cpu_count(), 1 + sum(task.photographs for task in tasks) // each)


def _joblib(tasks: list[ShardTask], workers: int) -> Generator[Made, None, list[ShardTask]]:
    """Yields what worker processes made; returns the shards over which workers died, twice.

    When one worker dies all are started anew. Its shard is made again at the end: a worker that was killed from outside
    is no loss then.
    """
    waiting, lost, suspects = deque(tasks), list[ShardTask](), set[str]()
    while waiting:
        try:
            with Workers(min(workers, len(waiting)), tasks[0].build) as pool:
                yield from pool.make(waiting)
        except WorkerDied as died:
            log.warning("a worker process died (killed, out of memory or time) making shard %s.", died.task.name)
            crashes.check_a_process_lives(tasks[0])
            (lost if died.task.name in suspects else waiting).append(died.task)
            suspects.add(died.task.name)
    return lost
