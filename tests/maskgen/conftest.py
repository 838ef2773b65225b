"""A tree that is worth interrupting, and what an undisturbed build makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import maskgen
from runs import SHAPE


@pytest.fixture(scope="session")
def crowd(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tree` five times over: 150 photographs."""
    folder = tmp_path_factory.mktemp("crowd")
    for number in range(5):
        for path in tree.rglob("*.jpg"):
            place = folder / f"{path.parent.name}{number}"
            place.mkdir(exist_ok=True)
            (place / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def expected(
    crowd: Path, tmp_path_factory: pytest.TempPathFactory, hashes: Callable[[Path], dict[str, str]]
) -> dict[str, str]:
    """The hashes of an undisturbed build in one process."""
    out = tmp_path_factory.mktemp("serial") / "smfd"
    maskgen.build(maskgen.BuildSettings(src=crowd, out=out, engine="serial", **SHAPE))
    found = hashes(out)
    assert len(found) > 3 * 30
    return found
