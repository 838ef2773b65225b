"""Shared fixtures: real faces, small source trees made of them, builds, and the hashes of what a build wrote."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import signal
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from PIL import Image

import maskgen

ROOT = Path(__file__).parents[1]
HEAD = (slice(20, 200), slice(140, 320))
"""Eileen Collins's head in NASA's portrait (scikit-image's `astronaut`), with room around it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", default="1", help="strike with so many times the faults of a usual run (tests/faults)")
    parser.addoption("--seed", help="draw what this seed gives, in every test that draws at random")


def pytest_configure(config: pytest.Config) -> None:
    """`make test` draws the same each time and judges the code alone; `make soak` draws anew and looks for more."""
    settings.register_profile("same", derandomize=True)
    settings.load_profile("same" if config.getoption("--soak") == "1" else "default")
    # Ctrl-C reaches the processes that tests start: a script's background ignores it, and so would all below it.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random draws of a test: the same each time in `make test`, other ones each time in `make soak`.

    The seed is printed where a test fails; `--soak 1 --seed N` draws the same again.
    """
    given, soak = request.config.getoption("--seed"), request.config.getoption("--soak")
    seed = given or (request.node.name if soak == "1" else str(random.randrange(2**32)))
    print(f"drawn with --seed {seed}")
    return random.Random(seed)


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


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """Writes a tar of named members: `write_tar(folder / "x.tar", {"ann/1.jpg": data})`."""

    def write(path: Path, members: dict[str, bytes], format: int = tarfile.GNU_FORMAT) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=format) as archive:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path

    return write


class RecordWriter:
    """Writes a RecordIO pack as MXNet does: a record is split wherever its data has the magic number at a multiple
    of 4. `lines` is the index; `close` writes it."""

    MAGIC = struct.pack("<I", 0xCED7230A)

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._data, self.lines = path, bytearray(), list[str]()

    def add(self, key: int, labels: float | list[float], image: bytes = b"") -> int:
        """Adds one record of an image, with one label or an array of them; returns its offset."""
        if isinstance(labels, list):
            data = struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0, key, 0, *labels) + image
        else:
            data = struct.pack("<IfQQ", 0, labels, key, 0) + image
        return self.add_data(key, data)

    def add_data(self, key: int, data: bytes) -> int:
        offset = len(self._data)
        cuts = [at for at in range(0, len(data) - 3, 4) if data[at : at + 4] == self.MAGIC]
        starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(data)]
        for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
            role = 0 if not cuts else 1 if number == 0 else 3 if number == len(cuts) else 2
            self._data += self.MAGIC + struct.pack("<I", role << 29 | end - start) + data[start:end]
            self._data += bytes(-(end - start) % 4)
        self.lines.append(f"{key}\t{offset}\n")
        return offset

    def close(self) -> Path:
        self._path.write_bytes(self._data)
        self._path.with_suffix(".idx").write_text("".join(self.lines))
        return self._path


@pytest.fixture(scope="session")
def record_writer() -> type[RecordWriter]:
    """A writer of RecordIO packs: `writer = record_writer(folder / "train.rec")`."""
    return RecordWriter


@pytest.fixture(scope="session")
def write_pack() -> Callable[[Path, list[tuple[float, bytes]]], Path]:
    """Writes an insightface pack of (person, image) sorted by person: record 0, images, a record for each person."""

    def write(folder: Path, photographs: list[tuple[float, bytes]]) -> Path:
        writer, people = RecordWriter(folder / "train.rec"), sorted({person for person, _ in photographs})
        after = len(photographs) + 1
        writer.add(0, [after, after + len(people)])
        for key, (person, image) in enumerate(photographs, 1):
            writer.add(key, [person, 0.0] if key % 2 else person, image)
        for number, person in enumerate(people):
            keys = [key for key, (whose, _) in enumerate(photographs, 1) if whose == person]
            writer.add(after + number, [keys[0], keys[-1] + 1])
        writer.close()
        (folder / "property").write_text(f"{len(people)},112,112\n")
        return folder

    return write


class S3:
    """An S3 server on loopback, as its users see it: a URI for Arrow, boto3's client to look behind our back."""

    def __init__(self, port: int, client: Any) -> None:
        self.port, self.client, self.buckets = port, client, 0

    def bucket(self) -> str:
        """The name of a new, empty bucket."""
        self.buckets += 1
        self.client.create_bucket(Bucket=f"bucket-{self.buckets}")
        return f"bucket-{self.buckets}"

    def uri(self, place: str, port: int | None = None) -> str:
        """A bucket, or a place in one, as a URI with keys and endpoint; `port` is a proxy's."""
        return (
            f"s3://test-key:test-secret@{place}?scheme=http&region=us-east-1"
            f"&endpoint_override=127.0.0.1:{port or self.port}"
        )

    def objects(self, place: str) -> dict[str, bytes]:
        """Every object at a place by its name there."""
        bucket, _, prefix = place.partition("/")
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{prefix}/" if prefix else ""
        )
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return {
            name.removeprefix(f"{prefix}/"): self.client.get_object(Bucket=bucket, Key=name)["Body"].read()
            for name in names
        }

    def hashes(self, place: str) -> dict[str, str]:
        """What the fixture `hashes` gives for a folder."""
        found = self.objects(place).items()
        return {
            name: hashlib.sha256(data).hexdigest() for name, data in found if name not in ("run.json", ".maskgen-lock")
        }


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A store that tests may fill; each takes a bucket of its own."""
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "test-key", "aws_secret_access_key": "test-secret", "region_name": "us-east-1"}
    yield S3(port, boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys))
    running.stop()
