"""Processes that this one starts: Ctrl-C is not theirs to answer, they end with it, and a generator may run in one."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ..errors import MaskgenError
from ..pipeline import time_limit
from ..pipeline.shard import with_one_thread

T = TypeVar("T")

AHEAD = 2
"""Shards that each worker has been given: the one it is making, and one more so that it need not wait."""


PARENT_CHECK_SECONDS = 0.5
"""Seconds between two looks of a worker process at whether its parent is still there."""


class Died(Exception):
    """A process ended without a word: killed, out of memory, or fallen over a broken library."""


class OutOfTime(Died):
    """The time limit of one photograph ended a process."""


def in_worker_process(parent: int) -> None:
    """Sets up a worker process: one thread each, Ctrl-C is the parent's to answer, and its end is this one's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with_one_thread()
    time_limit.make_expendable()
    threading.Thread(target=end_with, args=(parent,), name="maskgen-parent", daemon=True).start()


def end_with(parent: int) -> None:
    """Ends this process when its parent is gone, however it ended; the next build makes the unfinished shard again."""
    while os.getppid() == parent:  # an orphan gets another one (on Windows it does not, and lives on)
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back from this process until the end, and for good from the processes that it starts meanwhile.

    A worker that is still importing would else answer a terminal's Ctrl-C with a traceback of its own. Threads
    started meanwhile hold it back too, and so do the processes that they start later.
    """
    with interrupts_later():
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        _start_resource_trackers()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def interrupts_later() -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM at the end, where libraries would be left half way; in other threads, does nothing.

    Blocking them would not do: another thread, of any library, takes the signal and Python answers it here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _start_resource_trackers() -> None:
    """Starts the helpers that the first worker would start: up to Python 3.12 that unblocks SIGINT on its way."""
    from multiprocessing import resource_tracker

    from joblib.externals.loky.backend import resource_tracker as lokys_tracker

    resource_tracker.ensure_running()
    lokys_tracker.ensure_running()


def apart(function: Callable[..., Iterator[T]], *arguments: Any) -> Iterator[T]:
    """What a generator function yields, run in a new process of its own.

    Raises what it raises, and `Died` if the process ends before the generator does. The process is gone when
    this iterator is.
    """
    from joblib.externals.loky.backend.context import get_context  # needs no `if __name__ == "__main__":` of callers

    context = get_context("loky")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(os.getpid(), sending, function, arguments))
    try:
        with interrupts_held():  # an interrupt that was held is answered at its end
            process.start()
        sending.close()  # or the pipe would not end with the process
        while True:
            try:
                kind, value = receiving.recv()
            except (EOFError, OSError):
                process.join()
                out_of_time = time_limit.SIGNAL is not None and process.exitcode == -time_limit.SIGNAL
                raise (OutOfTime if out_of_time else Died) from None
            if kind == "raised":
                raise value
            if kind == "ended":
                return
            yield value
    finally:
        end(process)
        receiving.close()


def end(process: BaseProcess) -> None:
    """Ends a process and waits for it, if it was started."""
    if process.pid is not None:
        process.terminate()
        process.join()


def _send_all(
    parent: int, sending: Connection, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]
) -> None:
    in_worker_process(parent)
    try:
        for value in function(*arguments):
            sending.send(("yielded", value))
        sending.send(("ended", None))
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    except Exception as error:
        sending.send(("raised", sendable(error)))


def sendable(error: Exception) -> Exception:
    """An error that a pipe carries, with the place where it was raised; ours are sentences without one."""
    place = "".join(traceback.format_exception(error))
    if not isinstance(error, MaskgenError):
        error.add_note(place)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(place)
    return error
