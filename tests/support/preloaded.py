"""Programs in processes of their own that begin with our packages loaded: that takes longer than what they do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from multiprocessing import util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mfr_train.training.train_settings import TrainSettings

ROOT = Path(__file__).parents[2]

CONTEXT: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
"""A process of Python that has loaded the modules below and done nothing else is forked for each program."""

PRELOADED = [
    *("maskgen.cli.console", "maskgen.exporting.export", "mfr_train.training.train"),
    *("torchvision.models", "torch._dynamo", "distributed"),
]
CONTEXT.set_forkserver_preload(PRELOADED)


class Program:
    """A program that runs. It has what the tests use of `subprocess.Popen`.

    It has this process's environment, with `environment` added. In a process group of its own (`group`) it is a command
    as a shell starts one.
    """

    def __init__(self, text: str, environment: dict[str, str] | None = None, *, group: bool = False) -> None:
        output, its_output = CONTEXT.Pipe(duplex=False)
        errors, its_errors = CONTEXT.Pipe(duplex=False)
        variables = {**os.environ, **(environment or {})}
        self.process = CONTEXT.Process(target=_run, args=(text, variables, group, its_output, its_errors))
        self.process.start()
        its_output.close()
        its_errors.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno())) for pipe in (output, errors))
        if group:  # a test may signal the group at once
            assert self.stdout.readline() == "started\n", self.stderr.read()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int | None:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("program", timeout or 0)
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits for its end; what it wrote and was not read yet. More than a pipe holds on stderr would block it."""
        if self.stdout.closed:
            return "", ""
        if timeout is not None:
            self.wait(timeout)
        with self.stdout, self.stderr:
            said = self.stdout.read(), self.stderr.read()
        self.wait()
        return said

    def end(self) -> None:
        self.process.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()


class Ended(NamedTuple):
    returncode: int | None
    stdout: str
    stderr: str


def ended(text: str, **names: object) -> Ended:
    """How a program ended in which `names` have these values."""
    program = Program("".join(f"{name} = {value!r}\n" for name, value in names.items()) + text)
    try:
        said = program.communicate()
        return Ended(program.returncode, *said)
    finally:
        program.end()


def training_program(settings: TrainSettings, text: str) -> str:
    """A program in which `text` finds `train` and `settings`, also for a file that torchrun starts.

    Its networks are narrow and its figures are not drawn.
    """
    return f"""
import signal
import sys
import pytest
import torch
from pathlib import Path, PosixPath
sys.path.insert(0, {str(ROOT)!r})
from maskgen.errors import MaskgenError
from mfr_train.training import checkpoint, classify, curve, embed
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings
from tests.support.narrow import use_narrow_networks
from tests.support.pictures import leave_undrawn
torch.set_num_threads(1)
use_narrow_networks(pytest.MonkeyPatch())
leave_undrawn(pytest.MonkeyPatch())
settings = {settings!r}
{text}
"""


def _run(text: str, environment: dict[str, str], group: bool, output: Connection, errors: Connection) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    if "dask" in sys.modules:  # it has read the environment as it was loaded
        sys.modules["dask"].config.refresh()
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    output.close()
    errors.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    if group:
        os.setsid()
        print("started")
    code = 0
    try:
        exec(compile(text, "program", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    if group:  # a command also runs what was registered for its end
        util._exit_function()  # type: ignore[attr-defined]
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
