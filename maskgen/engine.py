"""Where shards run: in this process, or in joblib's worker processes (loky). One shard is one task."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from .errors import MaskgenError
from .shards.commit import leftovers
from .work import ShardTask, in_worker_process, make_shard, make_shards

Marker = dict[str, Any]

WORTH_A_WORKER = 256
"""Photographs that one process makes in about the time in which another one starts and loads its model."""


def run(tasks: list[ShardTask], engine: str, workers: int | None) -> Iterator[tuple[ShardTask, Marker]]:
    """Makes every shard and yields each as it is committed, in any order.

    `workers` defaults to one a core, or fewer for a small set, which is made before a worker has
    started. Raises `MaskgenError` that names the unfinished shards where a worker dies.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + sum(task.photographs for task in tasks) // WORTH_A_WORKER)
    workers = min(workers, max(len(tasks), 1))
    if engine == "serial" or workers == 1:
        return make_shards(tasks)
    return _joblib(tasks, workers)


def _joblib(tasks: list[ShardTask], workers: int) -> Iterator[tuple[ShardTask, Marker]]:
    import joblib
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = {task.name for task in tasks}
    pool = joblib.Parallel(
        n_jobs=workers,
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch=2 * workers,
        backend="loky",
    )
    done = False
    try:
        with _interrupts_held():
            made = pool(joblib.delayed(_in_worker)(make_shard, task) for task in tasks)
        for task, marker in made:
            left.discard(task.name)
            yield task, marker
        done = True
    except TerminatedWorkerError:
        raise MaskgenError(
            f"a worker process died (killed, or out of memory) while making {_at_work(tasks, left)}; "
            "run the same command again, with fewer --workers if memory was short: it goes on from here."
        ) from None
    finally:
        if not done:
            get_reusable_executor().shutdown(wait=False, kill_workers=True)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back from this process until the end, and for good from the processes that it starts meanwhile.

    A worker that is still importing would else answer a terminal's Ctrl-C with a traceback of its own.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_worker(function: Callable[[ShardTask], Marker], task: ShardTask) -> tuple[ShardTask, Marker]:
    in_worker_process()
    return task, function(task)


def _at_work(tasks: list[ShardTask], left: set[str]) -> str:
    """The shards that had begun when a worker died: those whose temporary files it could not remove."""
    begun = {f"{path.parent.name}/{path.name.split('.')[2]}" for path in leftovers(tasks[0].build.out)} & left
    return f"shard {' or '.join(sorted(begun))}" if begun else f"one of the {len(left)} shards that are left"
