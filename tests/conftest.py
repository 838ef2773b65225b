"""Shared fixtures: real faces, small source trees made of them, builds, and the hashes of what a build wrote."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image

import maskgen

ROOT = Path(__file__).parents[1]
HEAD = (slice(20, 200), slice(140, 320))
"""Eileen Collins's head in NASA's portrait (scikit-image's `astronaut`), with room around it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", default="1", help="strike with so many times the faults of a usual run (tests/faults)")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of trial data beside the repository, which is no part of it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the trial data of ../shared/data is not here")
    return folder


@pytest.fixture(scope="session")
def astronaut() -> npt.NDArray[np.uint8]:
    """A real photograph of a frontal face: uint8 (512, 512, 3) RGB."""
    from skimage import data

    return data.astronaut()


@pytest.fixture(scope="session")
def head(astronaut: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Its head alone: uint8 (180, 180, 3) RGB."""
    return np.ascontiguousarray(astronaut[HEAD])


@pytest.fixture(scope="session")
def landmarker() -> maskgen.Landmarker:
    return maskgen.Landmarker()


@pytest.fixture(scope="session")
def takes(head: npt.NDArray[np.uint8]) -> Callable[[int], bytes]:
    """JPEG files of the same face, each a little moved, scaled and lit: `takes(3)` is always the same bytes."""

    def take(number: int) -> bytes:
        generator = np.random.default_rng(number)
        move = cv2.getRotationMatrix2D((90, 90), generator.uniform(-4, 4), generator.uniform(0.95, 1.05))
        move[:, 2] += generator.uniform(-6, 6, 2)
        moved = cv2.warpAffine(head, move, (180, 180), borderMode=cv2.BORDER_REFLECT)
        lit = np.clip(moved * generator.uniform(0.8, 1.15), 0, 255).astype(np.uint8)
        return encoded(lit)

    return take


def encoded(image: npt.NDArray[np.uint8], format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **({"quality": 92} if format == "JPEG" else {}) | options)
    return file.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pixels as the bytes of an image file: `encode(image, "PNG")`."""
    return encoded


@pytest.fixture(scope="session")
def write_tree() -> Callable[..., Path]:
    """Writes files by their names: `write_tree(folder, {"ann/1.jpg": data})`."""

    def write(folder: Path, files: dict[str, bytes]) -> Path:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    return write


@pytest.fixture(scope="session")
def tree(
    tmp_path_factory: pytest.TempPathFactory, takes: Callable[[int], bytes], write_tree: Callable[..., Path]
) -> Path:
    """Five identities of six photographs; three photographs of them cannot be used. Tests only read it."""
    names = [
        f"{identity}/{number:04d}_01.jpg" for identity in ("ann", "bob", "cyd", "dee", "eva") for number in range(6)
    ]
    files = {name: takes(number) for number, name in enumerate(names)}
    files["ann/0002_01.jpg"] = b""
    files["bob/0003_01.jpg"] = b"this is a text\n"
    files["cyd/0004_01.jpg"] = encoded(np.full((90, 90, 3), 128, np.uint8))
    return write_tree(tmp_path_factory.mktemp("tree") / "photographs", files)


TREE_REJECTS = {"ann/0002_01.jpg": "empty", "bob/0003_01.jpg": "not_an_image", "cyd/0004_01.jpg": "no_face"}


@pytest.fixture(scope="session")
def tree_rejects() -> dict[str, str]:
    """The photographs of `tree` that cannot be used, and why."""
    return TREE_REJECTS


@pytest.fixture(scope="session")
def make() -> Callable[..., Path]:
    """Builds in this process with small pictures and shards: `make(src, out, variants="random")` returns `out`."""

    def build(src: Path, out: Path, **settings: Any) -> Path:
        chosen = {"engine": "serial", "size": 96, "shard_size": 5, "test_identities": 0.4} | settings
        maskgen.build(maskgen.BuildSettings(src=src, out=out, **chosen))
        return out

    return build


@pytest.fixture(scope="session")
def rejects() -> Callable[[Path], dict[str, str]]:
    """The reason of each rejected photograph of a data set, by source."""

    def read(out: Path) -> dict[str, str]:
        return {row["source"]: row["reason"] for row in pq.read_table(out / "rejects.parquet").to_pylist()}

    return read


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """sha256 of every file of a data set but run.json (its timings) and the empty lock, by name."""

    def read(out: Path) -> dict[str, str]:
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name not in ("run.json", ".maskgen-lock")
        }

    return read


@pytest.fixture(scope="session")
def built(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tree` as a data set in both formats, every picture rendered. Tests only read it."""
    return make(tree, tmp_path_factory.mktemp("built") / "smfd", format="both")


@pytest.fixture(scope="session")
def info() -> Callable[[Path], dict[str, Any]]:
    """dataset.json of a data set."""
    return lambda out: json.loads((out / "dataset.json").read_bytes())


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder for a test that must be refused by the system: while it runs, root acts as another user."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of this system are other ones")
    was, umask = os.geteuid(), os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        if was == 0:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(was)
            os.umask(umask)
            for path in Path(name).rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o755)
