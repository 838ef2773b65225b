"""Where shards run: in this process, in joblib's worker processes (loky), or in Dask's. One shard is one task."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait

from ..errors import UsageError, installing
from ..pipeline.build_settings import BuildSettings
from ..pipeline.sample import landmarker_of
from ..pipeline.shard import Made, ShardTask, make_shard, make_shards
from . import crashes
from .processes import AHEAD, in_worker_process, interrupts_held

log = logging.getLogger(__name__)

WORTH_A_WORKER = 256
"""Photographs that one worker makes in about the time in which another one starts and loads its model."""


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
    landmarker_of(build)
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
    if build.engine == "serial" or (build.engine == "joblib" and build.workers == 1):
        yield from make_shards(tasks)
        return
    workers = min(build.workers or _worth(tasks), len(tasks))
    if build.engine == "dask":
        from . import dask_engine

        lost = yield from dask_engine.run(tasks, workers, build.address)
    else:
        lost = yield from _joblib(tasks, workers)
    for task in lost:
        yield crashes.make_apart(task)


def _worth(tasks: list[ShardTask]) -> int:
    """How many workers to start where nobody says: joblib knows of affinity and of a container's share of the cores."""
    from joblib import cpu_count

    return min(cpu_count(), 1 + sum(task.photographs for task in tasks) // WORTH_A_WORKER)


def _joblib(tasks: list[ShardTask], workers: int) -> Generator[Made, None, list[ShardTask]]:
    """Yields what loky's workers made; returns the shards that were at work when workers died, twice.

    When one worker dies loky ends them all, so the guilty shard and its neighbours are not told apart. They are made
    again at the end, among themselves: a worker that was killed from outside is no loss then.
    """
    from joblib.externals.loky.process_executor import BrokenProcessPool

    waiting, lost, suspects = deque(tasks), list[ShardTask](), set[str]()
    while waiting:
        at_work: dict[Future[Made], ShardTask] = {}
        with contextlib.suppress(BrokenProcessPool), _pool(workers) as pool:
            while waiting or at_work:
                while waiting and len(at_work) < AHEAD * workers:
                    at_work[_submit(pool, waiting[0])] = waiting[0]
                    waiting.popleft()
                for future in wait(at_work, return_when=FIRST_COMPLETED).done:
                    made = future.result()
                    del at_work[future]
                    yield made
        if at_work or waiting:
            names = ", ".join(task.name for task in at_work.values())
            log.warning("a worker process died (killed, out of memory or time) with shards %s at work.", names)
            crashes.check_a_process_lives(tasks[0])
            for task in at_work.values():
                (lost if task.name in suspects else waiting).append(task)
                suspects.add(task.name)
    return lost


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """loky's worker processes; where the work is given up they are ended at once, in the midst of their shards."""
    from joblib.externals.loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, initializer=in_worker_process, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, kill_workers=True)
        raise
    pool.shutdown()


def _submit(pool: Executor, task: ShardTask) -> Future[Made]:
    with interrupts_held():  # the first task starts the workers
        return pool.submit(make_shard, task)
