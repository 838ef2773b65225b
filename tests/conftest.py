"""Shared fixtures: real faces, small source trees made of them, builds, and the hashes of what a build wrote."""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

import maskgen
from tests.support import containers, data_sets, faces, fuzz, pictures, writes
from tests.support.browser import Browser, chromium
from tests.support.once import once
from tests.support.s3 import S3, running_server

ROOT = Path(__file__).parents[1]

# pytest-xdist gives each core a process; more threads, here or in the processes that tests start, would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", default="1", help="strike with so many times the faults of a usual run (tests/faults)")
    parser.addoption("--seed", help="draw what this seed gives, in every test that draws at random")


def pytest_configure(config: pytest.Config) -> None:
    """`make test` and `make test-all` draw the same each time and judge the code alone, the first by fewer cases;
    `make soak` draws anew and looks for more.

    Neither fails a test for taking long on a busy machine.
    """
    patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("same", derandomize=True, **patient)
    settings.register_profile("new", **patient)
    fewer = settings.get_profile("same").max_examples // fuzz.QUICK
    settings.register_profile("quick", derandomize=True, max_examples=fewer, **patient)
    quick = config.getoption("markexpr") == "not slow"
    fuzz.TIMES, fuzz.PARTS = int(config.getoption("--soak")), fuzz.QUICK if quick else 1
    settings.load_profile("new" if fuzz.TIMES > 1 else "quick" if quick else "same")
    # Ctrl-C reaches the processes that tests start: a script's background ignores it, and so would all below it.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


HOSTILE = ("test_fuzz", "test_hostile", "test_time_bombs", "test_damage")
"""How the files of tests begin in which nothing may be written outside a test's own folder."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What a hostile test writes, in this process and in others, is in its own folder or the system's temporary one."""
    if not item.path.name.startswith(HOSTILE) or not isinstance(item, pytest.Function):
        return (yield)
    base: Path = item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    own = Path(str(item.funcargs.get("tmp_path", base / "none")))
    with writes.watched(base / "writes.log") as told:
        result = yield
        paths = told()
    assert not (found := writes.outside(paths, own, base)), found
    return result


@pytest.fixture(scope="session", autouse=True)
def models_loaded_once() -> Iterator[None]:
    """The model of landmarks has 100 MB, which each build in this process would load again."""

    @functools.lru_cache(maxsize=2)
    def load(path: str, size: int, changed: int) -> Any:
        return shape_predictor(path)

    def loaded(path: str) -> Any:
        if not os.path.isfile(path):
            return shape_predictor(path)
        found = os.stat(path)
        return load(path, found.st_size, found.st_mtime_ns)

    shape_predictor = dlib.shape_predictor
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib, "shape_predictor", loaded)
        yield


@pytest.fixture(scope="session", autouse=True)
def faces_searched_once() -> Iterator[None]:
    """The same photographs are searched in build after build: the second time dlib's detector is not asked again."""
    opened = dlib.fhog_object_detector

    @functools.lru_cache(maxsize=500)
    def remembered(path: str, pixels: bytes, shape: tuple[int, ...]) -> Any:
        return opened(path)(np.frombuffer(pixels, np.uint8).reshape(shape), 0)

    def detector(path: str) -> Callable[[npt.NDArray[np.uint8], int], Any]:
        whole = opened(path)

        def found(image: npt.NDArray[np.uint8], upsampled: int = 0) -> Any:
            if upsampled or image.size > 1 << 18:  # rare, and much memory
                return whole(image, upsampled)
            return remembered(path, image.tobytes(), image.shape)

        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib, "fhog_object_detector", detector)
        yield


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
    return np.ascontiguousarray(astronaut[faces.HEAD])


@pytest.fixture(scope="session")
def landmarker() -> maskgen.Landmarker:
    return maskgen.Landmarker()


@pytest.fixture(scope="session")
def takes(head: npt.NDArray[np.uint8]) -> Callable[[int], bytes]:
    """JPEG files of the same face, each a little moved, scaled and lit: `takes(3)` is always the same bytes."""
    return lambda number: faces.take(head, number)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pixels as the bytes of an image file: `encode(image, "PNG")`."""
    return faces.encoded


@pytest.fixture(scope="session")
def write_tree() -> Callable[..., Path]:
    """Writes files by their names: `write_tree(folder, {"ann/1.jpg": data})`."""
    return data_sets.write_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, takes: Callable[[int], bytes]) -> Path:
    """Five identities of six photographs; three photographs of them cannot be used. Tests only read it."""

    def write(folder: Path) -> None:
        identities = ("ann", "bob", "cyd", "dee", "eva")
        names = [f"{identity}/{number:04d}_01.jpg" for identity in identities for number in range(6)]
        files = {name: takes(number) for number, name in enumerate(names)}
        files["ann/0002_01.jpg"] = b""
        files["bob/0003_01.jpg"] = b"this is a text\n"
        files["cyd/0004_01.jpg"] = faces.encoded(np.full((90, 90, 3), 128, np.uint8))
        data_sets.write_tree(folder / "photographs", files)

    return once(tmp_path_factory, "tree", write) / "photographs"


@pytest.fixture(scope="session")
def tree_rejects() -> dict[str, str]:
    """The photographs of `tree` that cannot be used, and why."""
    return data_sets.TREE_REJECTS


@pytest.fixture(scope="session")
def make() -> Callable[..., Path]:
    """Builds in this process with small pictures and shards: `make(src, out, variants="random")` returns `out`."""
    return data_sets.make


@pytest.fixture(scope="session")
def rejects() -> Callable[[Path], dict[str, str]]:
    """The reason of each rejected photograph of a data set, by source."""
    return data_sets.rejects


@pytest.fixture(scope="session")
def hashes() -> Callable[[Path], dict[str, str]]:
    """sha256 of every file of a data set but run.json (its timings) and the empty lock, by name."""
    return data_sets.hashes


@pytest.fixture(scope="session")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tree` as a data set in both formats, every picture rendered. Tests only read it."""
    folder = once(tmp_path_factory, "built", lambda folder: data_sets.make(tree, folder / "smfd", format="both"))
    return folder / "smfd"


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


@pytest.fixture(scope="session", autouse=True)
def figures_left_undrawn() -> Iterator[None]:
    """Drawing takes longer than what most tests check: figures are saved as a picture of one pixel."""
    with pytest.MonkeyPatch.context() as patch:
        pictures.leave_undrawn(patch)
        yield


@pytest.fixture
def drawn() -> Iterator[None]:
    """Draws the figures of this test."""
    with pictures.drawn():
        yield


@pytest.fixture
def undrawn() -> Iterator[pytest.MonkeyPatch]:
    """After `undrawn.undo()` the figures of this test are drawn."""
    with pictures.drawn(), pytest.MonkeyPatch.context() as patch:
        pictures.leave_undrawn(patch)
        yield patch


@pytest.fixture(scope="session")
def write_tar() -> Callable[..., Path]:
    """Writes a tar of named members: `write_tar(folder / "x.tar", {"ann/1.jpg": data})`."""
    return containers.write_tar


@pytest.fixture(scope="session")
def record_writer() -> type[containers.RecordWriter]:
    """A writer of RecordIO packs: `writer = record_writer(folder / "train.rec")`."""
    return containers.RecordWriter


@pytest.fixture(scope="session")
def write_pack() -> Callable[[Path, list[tuple[float, bytes]]], Path]:
    """Writes an insightface pack of (person, image) sorted by person: record 0, images, a record for each person."""
    return containers.write_pack


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window, started once a process; `with browser.page(file, 360, dark=True) as page`."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = Browser(driver, path)
        try:
            yield started
        finally:
            started.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A store that tests may fill; each takes a bucket of its own."""
    with running_server() as server:
        yield server
