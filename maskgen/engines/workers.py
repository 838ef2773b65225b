"""Worker processes that make shards, forked from one process that has loaded the models: they share its memory."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, NoReturn, Self

from ..pipeline.build_settings import BuildSettings
from ..pipeline.sample import landmarker_of
from ..pipeline.shard import Made, ShardTask, make_shard, with_one_thread
from .processes import AHEAD, end, end_with, in_worker_process, interrupts_held, sendable

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
        self._theirs = [end for _, end in pipes]
        groups = [self._theirs] if CAN_FORK else [[end] for end in self._theirs]
        self._processes = [context.Process(target=_run, args=(os.getpid(), ends, build)) for ends in groups]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.push(self.__exit__)
            with interrupts_held():  # an interrupt that was held is answered at its end
                for process in self._processes:
                    process.start()
            self._close(self._theirs)  # or a pipe would not end with its worker
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close([*self._given, *self._theirs])  # a worker without a task ends
        for process in self._processes:
            if kind is None:
                process.join()
            else:
                end(process)

    @staticmethod
    def _close(connections: Iterable[Connection]) -> None:
        for connection in connections:
            connection.close()

    def make(self, tasks: deque[ShardTask]) -> Iterator[Made]:
        """Makes all shards, taken from `tasks`, and yields the counts of each as it is committed.

        Raises `WorkerDied` once a worker has, with the shards that were not made back in `tasks`, but for that one.
        """
        try:
            while True:
                self._hand_out(tasks)
                at_work = [connection for connection, given in self._given.items() if given]
                if not at_work:
                    return
                for connection in wait(at_work):
                    yield self._answer(connection)  # type: ignore[arg-type]
        except WorkerDied:
            self._take_back(tasks)
            raise

    def _answer(self, connection: Connection) -> Made:
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            raise WorkerDied(self._given[connection].popleft()) from None
        if kind == "raised":
            raise value
        self._given[connection].popleft()
        return value

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
            connection.send(("raised", sendable(error)))
        return
    if len(connections) == 1:
        in_worker_process(command)
        _serve(connections[0])
        return
    workers: set[int] = set()
    own_id = os.getpid()

    def end_all(*_: Any) -> NoReturn:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        for worker in workers:  # the command waits for this process: then nothing of its build is left
            with contextlib.suppress(ChildProcessError):
                os.waitpid(worker, 0)
        os._exit(1)

    signal.signal(signal.SIGTERM, end_all)
    gc.freeze()  # a collection would write to memory that they share
    for own in connections:
        if not (worker := os.fork()):
            _work_in_fork(own_id, own, connections)
        workers.add(worker)
    for connection in connections:
        connection.close()
    threading.Thread(target=end_with, args=(command,), name="maskgen-parent", daemon=True).start()
    while workers:
        workers.discard(os.wait()[0])


def _work_in_fork(parent: int, own: Connection, connections: list[Connection]) -> NoReturn:
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for connection in connections:
            if connection is not own:
                connection.close()
        in_worker_process(parent)  # asked of itself, it could be told of another one, if its own has just ended
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
                answer = ("raised", sendable(error))
            connection.send(answer)
