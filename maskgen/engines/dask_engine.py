"""Shards in the worker processes of a Dask cluster: a scheduler's at an address, or one started on this machine.

What crosses the scheduler is where the plan lies and a shard's number, and two counts on the way back.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError

from distributed import Client, Future, KilledWorker, Security, wait

from ..dataset import identity
from ..errors import MaskgenError, UsageError
from ..pipeline import time_limit
from ..pipeline.shard import Made, ShardTask, make_shard, with_one_thread
from . import crashes, dask_cluster
from .processes import AHEAD, interrupts_later

log = logging.getLogger(__name__)

POLL = 2.0
"""Seconds after which a quiet scheduler is asked for its workers: that shows whether it lives."""

CONNECT, CONNECT_TIMES = 5.0, 4
"""Seconds within which a scheduler must answer at first, and how often it is tried."""

PATIENCE = 120.0
"""Seconds for which a cluster may have no worker before the build stops with a sentence."""

_ONE_AT_A_TIME = threading.Lock()

_versions = functools.cache(identity.versions)


def run(tasks: list[ShardTask], workers: int, address: str | None) -> Generator[Made, None, list[ShardTask]]:
    """Yields what Dask's workers made; returns the shards that were blamed for the death of workers.

    Dask makes a shard again if its worker dies. At last it blames the shard, and whatever waited at the same workers.
    Raises `MaskgenError` if the scheduler, or every worker, is lost.
    """
    waiting, blamed = deque(tasks), list[ShardTask]()
    at_work: dict[Future[Made], ShardTask] = {}
    versions = _versions()
    with _client(workers, address) as client:
        last_seen, ever_seen = time.monotonic(), False
        while waiting or at_work:
            with _sentences(address):
                threads = sum(client.nthreads().values())
                while waiting and len(at_work) < AHEAD * max(threads, 1):
                    # Not pure: its key is of this build only.
                    future = client.submit(_in_worker, waiting[0], versions, _this_process(), pure=False)
                    at_work[future] = waiting.popleft()
                finished = _finished(at_work)
            for future in finished:
                try:
                    with _sentences(address):
                        made = _answer(future)
                except KilledWorker:
                    task = at_work.pop(future)
                    log.warning("worker processes died over shard %s, or beside it; it is made apart.", task.name)
                    if not blamed:
                        crashes.check_a_process_lives(task)
                    blamed.append(task)
                    continue
                if made is not None:  # else its worker died before it could say, and Dask makes the shard again
                    del at_work[future]
                    yield made
            if threads:
                last_seen, ever_seen = time.monotonic(), True
            elif time.monotonic() - last_seen > PATIENCE:
                if ever_seen:  # a shard in flight may have killed them all, and would again
                    for task in [*blamed, *at_work.values()]:
                        yield crashes.make_apart(task)
                raise MaskgenError(
                    f"the Dask scheduler {_place(address)} has had no worker for {PATIENCE:.0f} s; "
                    + (f"start some ('dask worker {address} --nthreads 1')" if address else "free some memory")
                    + " and run the same command again: it resumes from here."
                )
    return blamed


def check(address: str) -> None:
    """Raises `MaskgenError` if no scheduler answers at an address."""
    with _client(0, address):
        pass


def _finished(at_work: dict[Future[Made], ShardTask]) -> set[Future[Made]]:
    try:
        return wait(list(at_work), timeout=POLL, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        return set()


def _answer(future: Future[Made]) -> Made | None:
    try:
        return future.result(timeout=POLL)
    except TimeoutError:
        return None


@contextlib.contextmanager
def _sentences(address: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError):
        raise MaskgenError(
            f"lost the Dask scheduler {_place(address)}; start it and its workers again and run the same command: "
            "it resumes from here."
        ) from None
    except ImportError as error:
        raise MaskgenError(
            f"a Dask worker cannot load maskgen ({error}); install the same version of it on every worker "
            "and run the same command again."
        ) from None


def _place(address: str | None) -> str:
    return f"at {address}" if address else "on this machine"


def _this_process() -> str:
    return f"{socket.gethostname()} {os.getpid()}"


def _in_worker(task: ShardTask, versions: dict[str, str], command: str) -> Made:
    if others := [f"{name} {version}" for name, version in _versions().items() if version != versions[name]]:
        raise MaskgenError(
            f"a Dask worker on {socket.gethostname()} has {', '.join(others)}, other than the build; "
            "install the same versions there and run the same command again: it resumes from here."
        )
    with _ONE_AT_A_TIME:  # dlib holds the GIL, and the threads of a worker share one model
        with_one_thread()
        if _this_process() != command:  # as workers in threads of the command are
            time_limit.make_expendable()
        return make_shard(task)


@contextlib.contextmanager
def _client(workers: int, address: str | None) -> Iterator[Client]:
    with _quiet(), contextlib.ExitStack() as stack:
        client = _connect(address or stack.enter_context(_cluster(workers)))
        try:
            with client.as_current():
                yield client
        finally:
            with contextlib.suppress(TimeoutError), interrupts_later():
                client.close(timeout=POLL)


def _connect(address: str) -> Client:
    """A client of a scheduler; TLS takes its certificates from Dask's own configuration."""
    if address.startswith("tls://") and not Security().get_connection_args("client").get("ssl_context"):
        raise UsageError(
            f"--address {address} needs certificates; set distributed.comm.tls (ca-file, client.cert, client.key) in "
            "Dask's configuration."
        )
    if not re.fullmatch(r"([a-z]+://)?\S+:\d+", address):  # a client of it would wait, and complain when it is gone
        raise UsageError(f"--address {address} is not a valid address; give one such as tcp://10.0.0.1:8786.")
    for attempt in range(CONNECT_TIMES):
        try:
            with interrupts_later():  # a client that is left half made waits long before it goes
                return Client(address, timeout=CONNECT, set_as_default=False)
        except OSError as error:
            if attempt == CONNECT_TIMES - 1:
                raise MaskgenError(
                    f"cannot reach a Dask scheduler at {address} ({error}); start one with 'dask scheduler', "
                    "or leave --address out for workers on this machine."
                ) from None
        except ValueError as error:
            raise UsageError(
                f"--address {address} is not a valid address ({error}); give one such as tcp://10.0.0.1:8786."
            ) from None
    raise AssertionError


@contextlib.contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """The address of a scheduler with workers on this machine, one thread each; none of it is left at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="maskgen-dask-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            [sys.executable, "-m", dask_cluster.__name__, str(workers), folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is not for it
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not (address := process.stdout.readline().strip()):
                raise MaskgenError(
                    "cannot start a Dask cluster on this machine; "
                    f"'python -m {dask_cluster.__name__} {workers} FOLDER' shows why."
                )
            yield address
        finally:
            process.stdin.close()  # on which it ends its workers and itself


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Dask's own log messages back: what a user must know is said in our sentences."""
    names = [
        name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("asyncio", "distributed", "tornado")
    ]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
