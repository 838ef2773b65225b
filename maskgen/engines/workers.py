"""Worker processes that make shards, forked from one process that has loaded the models: they share its memory."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, NoReturn, Self

from ..errors import MaskgenError
from ..pipeline.build_settings import BuildSettings
from ..pipeline.sample import landmarker_of
from ..pipeline.shard import Made, ShardTask, make_shard, with_one_thread
from .processes import AHEAD, end_with, in_worker_process, interrupts_held

CAN_FORK = sys.platform.startswith("linux")
"""Elsewhere the system's own libraries may not survive a fork, and each worker is started and loads the models."""


class WorkerDied(Exception):
    """A worker process ended while it was making `task`: killed, out of memory or out of time."""

    def __init__(self, task: ShardTask) -> None:
        super().__init__(task.name)
        self.task = task


class Workers:
    """So many worker processes. They end with the context, at once if it is left by an exception.

    The command's own process is not forked: it may have threads, of any library. A process without any is started for
    that, which loads the models once. A face's landmarks read 4 MB of a model of 65 MB, so that workers who share it
    also share it in the processor's cache.
    """

    def __init__(self, count: int, build: BuildSettings) -> None:
        from joblib.externals.loky.backend.context import (
            get_context,
        )  # needs no `if __name__ == "__main__":` of callers

        context = get_context("loky")
        pipes = [context.Pipe() for _ in range(count)]
        self._given: dict[Connection, deque[ShardTask]] = {ours: deque() for ours, _ in pipes}
        theirs = [end for _, end in pipes]
        groups = [theirs] if CAN_FORK else [[end] for end in theirs]
        self._started = [context.Process(target=_run, args=(os.getpid(), ends, build)) for ends in groups]
        with interrupts_held():
            for process in self._started:
                process.start()
        for end in theirs:
            end.close()  # or a pipe would not end with its worker

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._given:
            connection.close()  # a worker without a task ends
        for process in self._started:
            if kind is not None:
                process.terminate()
            process.join()

    def make(self, tasks: deque[ShardTask]) -> Iterator[Made]:
        """Makes all shards, taken from `tasks`, and yields the counts of each as it is committed.

        Raises `WorkerDied` once a worker has, with the shards that were not made back in `tasks`, but for that one.
        """
        while True:
            try:
                self._hand_out(tasks)
                at_work = [connection for connection, given in self._given.items() if given]
                if not at_work:
                    return
                ready = set(wait(at_work))
            except WorkerDied:
                self._take_back(tasks)
                raise
            for connection in [one for one in at_work if one in ready]:
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):
                    died = WorkerDied(self._given[connection].popleft())
                    self._take_back(tasks)
                    raise died from None
                if kind == "raised":
                    raise value
                self._given[connection].popleft()
                yield value

    def _hand_out(self, tasks: deque[ShardTask]) -> None:
        for many in range(1, AHEAD + 1):  # one for each worker before any has two
            for connection, given in self._given.items():
                if tasks and len(given) < many:
                    given.append(tasks.popleft())
                    try:
                        connection.send(given[-1])
                    except OSError:
                        raise WorkerDied(given.popleft()) from None

    def _take_back(self, tasks: deque[ShardTask]) -> None:
        for given in self._given.values():
            tasks.extendleft(reversed(given))
            given.clear()


def _run(command: int, connections: list[Connection], build: BuildSettings) -> None:
    """Loads the models and becomes a worker, or forks one for each connection and waits for them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with_one_thread()
    try:
        landmarker_of(build).load()
    except Exception as error:
        for connection in connections:
            connection.send(("raised", _sendable(error)))
        return
    if len(connections) == 1:
        in_worker_process(command)
        _serve(connections[0])
        return
    workers: set[int] = set()

    def end_all(*_: Any) -> NoReturn:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, end_all)
    gc.freeze()  # a collection would write to memory that they share
    for own in connections:
        if not (worker := os.fork()):
            _work_in_fork(own, connections)
        workers.add(worker)
    for connection in connections:
        connection.close()
    threading.Thread(target=end_with, args=(command,), name="maskgen-parent", daemon=True).start()
    while workers:
        workers.discard(os.wait()[0])


def _work_in_fork(own: Connection, connections: list[Connection]) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for connection in connections:
            if connection is not own:
                connection.close()
        in_worker_process(os.getppid())
        _serve(own)
        status = 0
    finally:
        os._exit(status)


def _serve(connection: Connection) -> None:
    """Makes the shards that come through a pipe until it is closed."""
    with contextlib.suppress(EOFError, OSError):  # the command has ended
        while True:
            task = connection.recv()
            try:
                answer: tuple[str, Made | Exception] = ("made", make_shard(task))
            except Exception as error:
                answer = ("raised", _sendable(error))
            connection.send(answer)


def _sendable(error: Exception) -> Exception:
    """An error with the place where it was raised, which a pipe does not carry; ours are sentences without one."""
    if not isinstance(error, MaskgenError):
        error.add_note("".join(traceback.format_exception(error)))
    return error
