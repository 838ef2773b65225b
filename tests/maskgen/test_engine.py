"""The same bytes from every engine, and from runs that were killed, stopped or lost a worker."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import maskgen
from maskgen import engine
from maskgen.errors import MaskgenError, UsageError
from maskgen.shards.commit import leftovers
from maskgen.work import ShardTask

Hashes = Callable[[Path], dict[str, str]]
ROOT = Path(__file__).parents[2]
SHAPE = {"size": 64, "shard_size": 4, "format": "both", "test_identities": 0.4}
needs_signals = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes in /proc")


@pytest.fixture(scope="module")
def crowd(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tree` five times over: 150 photographs."""
    folder = tmp_path_factory.mktemp("crowd")
    for number in range(5):
        for path in tree.rglob("*.jpg"):
            place = folder / f"{path.parent.name}{number}"
            place.mkdir(exist_ok=True)
            (place / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def expected(crowd: Path, tmp_path_factory: pytest.TempPathFactory, hashes: Hashes) -> dict[str, str]:
    """The hashes of an undisturbed build in one process."""
    out = tmp_path_factory.mktemp("serial") / "smfd"
    maskgen.build(maskgen.BuildSettings(src=crowd, out=out, engine="serial", **SHAPE))
    found = hashes(out)
    assert len(found) > 3 * 30
    return found


@pytest.mark.parametrize("workers", [1, 2, None])
def test_workers_change_no_byte(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes, workers: int | None
) -> None:
    maskgen.build(maskgen.BuildSettings(src=crowd, out=tmp_path / "smfd", engine="joblib", workers=workers, **SHAPE))
    assert hashes(tmp_path / "smfd") == expected


def start(src: Path, out: Path, *options: object, shape: dict[str, Any] = SHAPE) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it."""
    shaping = [f"--{name.replace('_', '-')}={value}" for name, value in shape.items()]
    command = [sys.executable, "-m", "cli", "build", f"--src={src}", f"--out={out}", *shaping, *map(str, options)]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait(ready: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> bool:
    """Waits until something is so; false where the process ended before."""
    end = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)
    return True


@contextlib.contextmanager
def reaped(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever a test finds, its processes are gone afterwards."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@needs_signals
@pytest.mark.parametrize(
    ("stop", "whole_group", "options", "times"),
    [
        (signal.SIGKILL, True, ("--engine=serial",), 5),
        (signal.SIGKILL, False, ("--workers=2",), 2),  # the workers live on for a moment
        (signal.SIGINT, True, ("--workers=2",), 2),
        (signal.SIGTERM, False, ("--engine=serial",), 2),
    ],
)
def test_a_build_stopped_at_random_moments_ends_in_the_same_bytes(
    crowd: Path,
    expected: dict[str, str],
    tmp_path: Path,
    hashes: Hashes,
    stop: signal.Signals,
    whole_group: bool,
    options: tuple[str, ...],
    times: int,
) -> None:
    seed = random.randrange(2**32)
    chance, out, stopped = random.Random(seed), tmp_path / "smfd", 0
    for _ in range(times):
        done = len(list(out.glob("*/*.json")))
        target = done + chance.randrange(8)
        process = start(crowd, out, *options)
        with reaped(process):
            if wait(lambda target=target: len(list(out.glob("*/*.json"))) >= target, process):
                time.sleep(chance.random() * 0.05)
                (os.killpg if whole_group else os.kill)(process.pid, stop)
            code = process.wait(60)
            assert code in (0, -signal.SIGKILL if stop == signal.SIGKILL else 130), process.stderr.read()
            stopped += code != 0
            if stop == signal.SIGKILL and not whole_group:
                time.sleep(chance.random() * 0.2)  # its workers finish the shards they have, beside the next run
                resumed = start(crowd, out, *options)
                with reaped(resumed):
                    time.sleep(chance.random() * 3)
    assert stopped, "no run was stopped in its midst"
    process = start(crowd, out, *options)
    with reaped(process):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert hashes(out) == expected, f"random.Random({seed})"


def gone(group: int, within: float) -> bool:
    """Whether every process of a group ends in this many seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def workers_of(parent: int) -> list[int]:
    """Process ids of loky's workers below a process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if above == parent and b"popen_loky" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found


@needs_proc
@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_ctrl_c_while_workers_start_is_one_sentence(crowd: Path, tmp_path: Path, delay: float) -> None:
    process = start(crowd, tmp_path / "smfd", "--workers=2")
    with reaped(process):
        assert wait(lambda: len(workers_of(process.pid)) > 0, process)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert errors.strip().endswith("stopped; run the same command again and it goes on from here.")


@needs_signals
def test_ctrl_c_ends_within_two_seconds_though_shards_take_longer(tmp_path: Path) -> None:
    """The bound is 2 s on a machine where Python starts and imports maskgen in half a second; a slower or busier one
    has four times what that takes it."""
    noise, src, out = np.random.default_rng(0), tmp_path / "src", tmp_path / "smfd"
    for number in range(40):  # large and without a face: the search goes through all sizes, for most of a second
        (src / f"p{number % 2}").mkdir(parents=True, exist_ok=True)
        small = noise.integers(100, 140, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(src / f"p{number % 2}/{number}.png"), cv2.resize(small, (1400, 1400)))
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import maskgen"], check=True)
    bound = max(2.0, 4 * (time.monotonic() - began))

    process = start(src, out, "--workers=2", shape={"shard_size": 20, "test_identities": 0})
    with reaped(process):
        assert wait(lambda: sum(path.name.endswith(".parquet.tmp") for path in leftovers(out)) >= 2, process)
        time.sleep(0.3)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
        _, errors = process.communicate(timeout=120)
        seconds = time.monotonic() - began
        assert process.returncode == 130
        assert errors.strip().endswith("stopped; run the same command again and it goes on from here.")
        assert "Traceback" not in errors
        assert seconds <= bound, f"{seconds:.1f} s, and {bound:.1f} s were allowed"
        assert not list(out.glob("*/*.json")), "no shard was waited for"
        assert gone(process.pid, within=30), "its workers live on"


@needs_proc
def test_a_killed_worker_is_reported_by_shard_and_the_same_call_goes_on(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes
) -> None:
    build = maskgen.BuildSettings(src=crowd, out=tmp_path / "smfd", workers=2, **SHAPE)
    begun: list[str] = []

    def kill(marker: dict[str, Any]) -> None:
        while not (found := leftovers(build.out)):
            time.sleep(0.001)
        begun.extend(path.parent.name for path in found)
        for worker in workers_of(os.getpid()):
            os.kill(worker, signal.SIGKILL)

    with pytest.raises(MaskgenError) as caught:
        maskgen.build(build, progress=kill)
    assert begun
    said = str(caught.value)
    assert said.startswith("a worker process died (killed, or out of memory) while making ")
    assert "shard train/0" in said or "shards that are left" in said
    assert said.endswith("run the same command again, with fewer --workers if memory was short: it goes on from here.")
    stood: list[tuple[int, int]] = []
    maskgen.build(build, planned=lambda *counts: stood.append(counts))
    assert 0 < stood[0][1] < stood[0][0] == 150
    assert hashes(build.out) == expected


@needs_proc
def test_the_shard_that_kills_its_worker_is_named(tmp_path: Path) -> None:
    """A shard at which a worker always dies: the message names the very shard, from what it left behind."""
    (tmp_path / "train").mkdir()
    build = maskgen.BuildSettings(src=tmp_path, out=tmp_path)
    tasks = [ShardTask(build, "f", number, "train", number, 1) for number in range(4)]
    (tmp_path / "train/.maskgen-0123456789abcdef.00002.parquet.tmp").touch()
    assert engine._at_work(tasks, {"train/00001", "train/00002"}) == "shard train/00002"
    assert engine._at_work(tasks, {"train/00001", "train/00003"}) == "one of the 2 shards that are left"


def test_an_error_in_a_worker_is_the_same_sentence(crowd: Path, tmp_path: Path) -> None:
    src = tmp_path / "src"
    (src / "ann").mkdir(parents=True)
    for number, path in enumerate(sorted(crowd.rglob("0000_01.jpg"))[:8]):
        (src / f"ann/{number}.jpg").write_bytes(path.read_bytes())
    build = maskgen.BuildSettings(src=src, out=tmp_path / "smfd", workers=2, shard_size=2, test_identities=0)
    with pytest.raises(UsageError, match=r"ann/5\.jpg has 3 bytes but had \d+ when the build was planned"):
        maskgen.build(build, planned=lambda *_: (src / "ann/5.jpg").write_bytes(b"new"))


def test_small_sets_start_no_worker(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_joblib", lambda *_: pytest.fail("workers were started"))
    maskgen.build(maskgen.BuildSettings(src=tree, out=tmp_path / "smfd", **SHAPE))
    assert len(maskgen.open(tmp_path / "smfd")) == 27
