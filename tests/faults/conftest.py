"""A small tree and what an undisturbed build makes of it, for the tests of faults."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maskgen
from tests.support.fuzz import Cases, cases_of, mutated
from tests.support.once import once
from tests.support.processes import SHAPE

Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """How often the faults strike: once in CI, `--soak N` times in `make soak`."""
    return int(request.config.getoption("--soak"))


@pytest.fixture
def cases(chance: random.Random) -> Cases:
    """`cases(data, reader)`: mutations of a file, as many as its reader has in this run, divided among `parts`."""
    return lambda data, reader, parts=1: [mutated(data, chance) for _ in range(max(cases_of(reader) // parts, 1))]


MOST_MEMORY, MOST_SECONDS = 600 << 20, 120
"""What the cases of one fuzz target may take beyond what was there, and of the processor; times `--soak`."""


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest, times: int) -> Iterator[None]:
    """A fuzz test needs no more memory and time than a limit."""
    if not request.node.path.name.startswith("test_fuzz"):
        yield
        return
    resource = pytest.importorskip("resource")
    for name in ("whole", "webdataset", "networks", "trained"):  # what is built before counts for nothing
        if name in request.fixturenames:
            request.getfixturevalue(name)
    memory, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    yield
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
