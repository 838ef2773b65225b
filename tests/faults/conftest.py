"""A small tree and what an undisturbed build makes of it, for the tests of faults."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maskgen
from tests.support.fuzz import CASES, Cases, mutated
from tests.support.once import once
from tests.support.processes import SHAPE

Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """How often the faults strike: once in CI, `--soak N` times in `make soak`."""
    return int(request.config.getoption("--soak"))


@pytest.fixture
def cases(chance: random.Random, times: int) -> Cases:
    """`cases(data, reader)`: mutations of a file, as many as `CASES` has for its reader, divided among `parts`."""
    return lambda data, reader, parts=1: [mutated(data, chance) for _ in range(CASES[reader] // parts * times)]


MOST_MEMORY, MOST_SECONDS = 600 << 20, 120
"""What the cases of one fuzz target may take beyond what was there, and of the processor; times `--soak`."""

_writes: list[str] | None = None
"""While a fuzz test runs: where it writes, makes, moves or removes something."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _writes is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            _writes.append(os.fsdecode(path))
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate"):
        paths = [os.fsdecode(path) for path in arguments[:2] if isinstance(path, str | bytes | os.PathLike)]
        start = -1 if event == "os.truncate" else arguments[-1]  # an open folder that the paths start from
        _writes.extend(os.path.join(_folder_of(start), path) for path in paths)


def _folder_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 and sys.platform == "linux" else ""


sys.addaudithook(_watch)  # cannot be removed again


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest, times: int, tmp_path: Path) -> Iterator[None]:
    """A fuzz test writes in temporary folders only, and needs no more memory and time than a limit."""
    global _writes
    if not request.node.path.name.startswith("test_fuzz"):
        yield
        return
    resource = pytest.importorskip("resource")
    temporary = (os.path.realpath(tempfile.gettempdir()), os.path.realpath(tmp_path.parents[1]))
    for name in ("whole", "webdataset", "networks", "trained"):  # what is built before counts for nothing
        if name in request.fixturenames:
            request.getfixturevalue(name)
    memory, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    _writes = []
    yield
    writes, _writes = _writes, None
    ours = ("__pycache__", ".hypothesis", "/dev/", ".pyc")  # Python's, hypothesis's and the system's
    outside = [
        path
        for path in writes
        if not os.path.realpath(path).startswith(temporary) and not any(part in path for part in ours)
    ]
    assert not outside, outside
    scale = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * scale < MOST_MEMORY
    assert time.process_time() - seconds < MOST_SECONDS * times


@pytest.fixture(scope="session")
def shape() -> dict[str, Any]:
    """The settings of every build here: both formats, several shards in each split."""
    return SHAPE


@pytest.fixture(scope="session")
def whole(tree: Path, tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any]) -> Path:
    """`tree`, 30 photographs, built without any fault. Tests only read it."""
    folder = once(
        tmp_path_factory, "whole", lambda folder: maskgen.build(src=tree, out=folder / "smfd", engine="serial", **shape)
    )
    return folder / "smfd"


@pytest.fixture(scope="session")
def expected(whole: Path, hashes: Hashes) -> dict[str, str]:
    """The hash of each of its files."""
    return hashes(whole)
