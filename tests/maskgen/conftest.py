"""A tree that is worth interrupting, what an undisturbed build makes of it, and a bad network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import maskgen
from tests.support.fault_proxy import FaultProxy, faults
from tests.support.once import once
from tests.support.processes import SHAPE


@pytest.fixture(scope="session")
def crowd(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tree`, and two of its people twice: 42 photographs."""

    def write(folder: Path) -> None:
        for number in range(2):
            for path in tree.glob("*/*.jpg" if not number else "[ab]*/*.jpg"):
                place = folder / f"{path.parent.name}{number}"
                place.mkdir(exist_ok=True)
                (place / path.name).write_bytes(path.read_bytes())

    return once(tmp_path_factory, "crowd", write)


@pytest.fixture(scope="session")
def expected(
    crowd: Path, tmp_path_factory: pytest.TempPathFactory, hashes: Callable[[Path], dict[str, str]]
) -> dict[str, str]:
    """The hashes of an undisturbed build in one process."""
    whole = once(
        tmp_path_factory,
        "crowd-built",
        lambda folder: maskgen.build(src=crowd, out=folder / "smfd", engine="serial", **SHAPE),
    )
    found = hashes(whole / "smfd")
    assert len(found) > 3 * 10
    return found


@pytest.fixture
def proxy(s3: Any) -> Iterator[Callable[..., FaultProxy]]:
    """`proxy(choose)` or `proxy(seed=1, rate=0.2, kinds=(...))`: a proxy in front of the store."""
    made: list[FaultProxy] = []

    def start(choose: Callable[[bytes], Any] | None = None, **schedule: Any) -> FaultProxy:
        made.append(FaultProxy(s3.port, choose or faults(**schedule)))
        return made[-1]

    yield start
    for one in made:
        one.close()
