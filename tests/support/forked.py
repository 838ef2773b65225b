"""Worker processes that are forked from one that has our packages loaded: as new Pythons, as joblib's loky starts them,
they would load them first, which takes longer than what they do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from joblib.externals.loky.backend import context

from maskgen.imaging.decode import decode_with_warnings
from maskgen.pipeline import sample
from maskgen.pipeline.time_limit import TimeLimit
from tests.support.preloaded import CONTEXT


class Forked:
    """What `maskgen.engines` uses of loky's context. Workers end with the process that they are forked from."""

    Pipe = CONTEXT.Pipe

    def __init__(self, prepare: Callable[[], object]) -> None:
        self.prepare = prepare
        self.processes: list[BaseProcess] = []
        """All that were made."""

    def Process(self, target: Callable[..., object], args: tuple[Any, ...]) -> BaseProcess:
        self.processes.append(CONTEXT.Process(target=_run, args=(self.prepare, target, args)))
        return self.processes[-1]


def _run(prepare: Callable[[], object], target: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    prepare()
    target(os.getppid(), *arguments[1:])  # the first is the process that waits for this one


def use_forked_workers(patch: pytest.MonkeyPatch, prepare: Callable[[], object] = str) -> Forked:
    """Until `patch` is undone, workers of this process are forked, and each calls `prepare` first."""
    forked = Forked(prepare)
    if CONTEXT.get_start_method() == "forkserver":
        forkserver.ensure_running()  # now, for signals are blocked where a build starts its first worker
    patch.setattr(context, "get_context", lambda _: forked)
    return forked


def have_a_third_of_the_time() -> None:
    """From now on, a photograph may take this process a third of the time that its build says."""
    pytest.MonkeyPatch().setattr(sample, "TimeLimit", lambda seconds: TimeLimit(seconds / 3))


def die_of_poison() -> None:
    """From now on, photographs kill this process if it decodes them, as with tests/poison on a new Python's path."""
    import resource  # Windows has none

    def poisoned(data: bytes, *arguments: Any) -> Any:
        if found := re.search(rb"poison:(\d+)", data):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.kill(os.getpid(), int(found[1]))
        return decode_with_warnings(data, *arguments)

    pytest.MonkeyPatch().setattr(sample, "decode_with_warnings", poisoned)
