"""A small tree and what an undisturbed build makes of it, for the tests of faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskgen
from tests.support.once import once
from tests.support.processes import SHAPE

Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """How often the faults strike: once in CI, `--soak N` times in `make soak`."""
    return int(request.config.getoption("--soak"))


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
