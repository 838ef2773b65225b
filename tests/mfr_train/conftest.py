"""The demo's photographs as data sets, for the tests that train."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maskgen.demo import write_demo


@pytest.fixture(scope="session")
def demo_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 photographs of 12 people."""
    folder = tmp_path_factory.mktemp("demo") / "photographs"
    write_demo(folder)
    return folder


@pytest.fixture(scope="session")
def demo(demo_tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """They as a small Parquet data set of rendered pictures. Tests only read it."""
    return make(demo_tree, tmp_path_factory.mktemp("demo_set") / "smfd", size=64, shard_size=12)
