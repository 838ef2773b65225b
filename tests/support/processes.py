"""The maskgen command as a process of its own, as a shell starts it: to be watched, stopped and cleared away."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import writes
from tests.support.preloaded import ROOT, Program

SMALL_PREDICTOR = Path(__file__).with_name("small_predictor.dat")
"""A model of landmarks that loads at once, see small_predictor.py; the packaged one takes a second in each process."""

SHAPE: dict[str, Any] = {
    "size": 64,
    "shard_size": 4,
    "format": "both",
    "test_identities": 0.4,
    "predictor": SMALL_PREDICTOR,
}
STOPPED = "maskgen: stopped; run the same command again to resume."
needs_signals = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")


Command = subprocess.Popen[str] | Program


def start(
    src: Path, out: Path | str, *options: object, shape: dict[str, Any] = SHAPE, env: dict[str, str] | None = None
) -> Command:
    """The command in a process group of its own, as a shell starts it.

    With an environment `env`, or watched for its writes, it is a new Python; else one that has our packages loaded.
    """
    shaping = [f"--{name.replace('_', '-')}={value}" for name, value in shape.items()]
    arguments = ["build", f"--src={src}", f"--out={out}", *shaping, *map(str, options)]
    if env is None and writes.LOG not in os.environ:
        return Program(COMMAND.format(root=str(ROOT), arguments=arguments), group=True)
    return subprocess.Popen(
        [sys.executable, "-m", "maskgen", *arguments],
        cwd=ROOT,
        env=env,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


COMMAND = """
import os
from maskgen.cli.main import maskgen
os.chdir({root!r})
maskgen({arguments!r}, prog_name="maskgen")
"""


def wait(ready: Callable[[], bool], process: Command, seconds: float = 120) -> bool:
    """Waits until something is so; false where the process ended before."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)
    return True


@contextlib.contextmanager
def reaped(process: Command) -> Iterator[None]:
    """Whatever a test finds, its processes are gone afterwards."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def workers_of(parent: int, kinds: bytes = rb"popen_loky|dask_worker") -> list[int]:
    """Process ids of loky's and Dask's workers below a process, at any depth; `kinds` matches their command lines."""
    above, workers = {}, []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                above[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if re.search(kinds, (folder / "cmdline").read_bytes()):
                    workers.append(int(folder.name))

    def is_below(process: int) -> bool:
        return process == parent or (process in above and is_below(above[process]))

    return [worker for worker in workers if is_below(worker)]


def all_gone(processes: list[int], within: float) -> bool:
    """Whether processes end in this many seconds; one that is only waiting to be reaped has ended."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not any(map(_is_alive, processes)):
            return True
        time.sleep(0.05)
    return False


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finish(process: Command) -> str:
    """Waits for a build that must succeed; returns what it wrote to stderr."""
    with reaped(process):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return errors


def shards(out: Path) -> int:
    """How many shards are committed."""
    return len(list(out.glob("__markers/*.json")))
