"""The same bytes from every engine, and from runs that were killed, stopped or lost a worker."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import maskgen
from maskgen.dataset.schema import SPLITS
from maskgen.engines import engine, workers
from maskgen.engines.processes import sendable
from maskgen.errors import UsageError
from maskgen.pipeline.shard import Made, ShardTask
from maskgen.storage.files import leftovers
from tests.support.forked import use_forked_workers
from tests.support.processes import SHAPE, STOPPED, all_gone, needs_proc, needs_signals, reaped, start, wait, workers_of

Hashes = Callable[[Path], dict[str, str]]


@pytest.mark.parametrize("workers", [1, 2, pytest.param(None, marks=pytest.mark.slow)])
def test_workers_change_no_byte(
    crowd: Path, expected: dict[str, str], tmp_path: Path, hashes: Hashes, workers: int | None
) -> None:
    maskgen.build(maskgen.BuildSettings(src=crowd, out=tmp_path / "smfd", engine="joblib", workers=workers, **SHAPE))
    assert hashes(tmp_path / "smfd") == expected


def _has_shards(out: Path, count: int) -> bool:
    return len(list(out.glob("*/*.json"))) >= count


@needs_signals
@pytest.mark.parametrize(
    ("stop", "whole_group", "options", "times"),
    [
        pytest.param(signal.SIGKILL, True, ("--engine=serial",), 2, marks=pytest.mark.slow),
        (signal.SIGKILL, False, ("--workers=2",), 1),  # the workers live on for a moment
        pytest.param(signal.SIGINT, True, ("--workers=2",), 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, False, ("--engine=serial",), 2, marks=pytest.mark.slow),
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
    chance: random.Random,
) -> None:
    out, stopped = tmp_path / "smfd", 0
    for _ in range(times):
        done = len(list(out.glob("*/*.json")))
        # A stop by hand is answered once the command has read its options; SIGKILL may come at any moment.
        target = done + chance.randrange(0 if stop == signal.SIGKILL else 1, 8)
        process = start(crowd, out, *options)
        with reaped(process):
            if wait(functools.partial(_has_shards, out, target), process):
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
    assert hashes(out) == expected


@needs_proc
@pytest.mark.parametrize(
    ("engine", "delay"),
    [
        ("joblib", 0.0),
        pytest.param("joblib", 0.1, marks=pytest.mark.slow),
        pytest.param("joblib", 0.3, marks=pytest.mark.slow),
        ("dask", 0.0),
        pytest.param("dask", 0.5, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_while_workers_start_is_one_sentence(crowd: Path, tmp_path: Path, engine: str, delay: float) -> None:
    process = start(crowd, tmp_path / "smfd", "--workers=2", f"--engine={engine}")
    with reaped(process):
        assert wait(lambda: len(workers_of(process.pid)) > 0, process)
        time.sleep(delay)
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.strip() == STOPPED
        assert all_gone(workers, within=30), "its workers live on"


@needs_proc
@pytest.mark.parametrize("engine", ["joblib", pytest.param("dask", marks=pytest.mark.slow)])
def test_ctrl_c_waits_for_no_shard(tmp_path: Path, engine: str) -> None:
    """The shards that are being made when it comes take many seconds more."""
    src, out = tmp_path / "src", tmp_path / "smfd"
    small = np.random.default_rng(0).integers(100, 140, (8, 8, 3), dtype=np.uint8)
    large = cv2.imencode(".png", cv2.resize(small, (1400, 1400)))[1].tobytes()
    for number in range(40):  # large and without a face: the search goes through all sizes, for most of a second
        (src / f"p{number % 2}").mkdir(parents=True, exist_ok=True)
        (src / f"p{number % 2}/{number}.png").write_bytes(large)
    process = start(src, out, "--workers=2", f"--engine={engine}", shape={"shard_size": 20, "test_identities": 0})
    with reaped(process):
        assert wait(lambda: sum(path.name.endswith(".parquet.tmp") for path in leftovers(out, SPLITS)) >= 2, process)
        time.sleep(0.3)
        workers = workers_of(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 130
        assert errors.strip() == STOPPED
        assert not list(out.glob("*/*.json")), "no shard was waited for"
        assert all_gone(workers, within=30), "its workers live on"


@needs_proc
def test_killed_workers_are_told_and_their_shards_made_anew(
    crowd: Path,
    expected: dict[str, str],
    tmp_path: Path,
    hashes: Hashes,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forked = use_forked_workers(monkeypatch)
    build = maskgen.BuildSettings(src=crowd, out=tmp_path / "smfd", workers=2, **SHAPE)
    begun: set[str] = set()

    def kill(_: Made) -> None:
        if begun:
            return
        while not (found := leftovers(build.out, SPLITS)):
            time.sleep(0.001)
        begun.update(f"{path.parent.name}/{path.name.split('.')[2]}" for path in found)
        [above] = [process.pid for process in forked.processes]
        for worker in workers_of(above, b"forkserver"):
            os.kill(worker, signal.SIGKILL)

    maskgen.build(build, progress=kill)
    assert begun
    [said] = [record.getMessage() for record in caplog.records]
    about = r"a worker process died \(killed, out of memory or time\) making shard (train|val|test)/\d{5}\."
    assert re.fullmatch(about, said)
    assert hashes(build.out) == expected


def test_an_error_in_a_worker_is_the_same_sentence(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_forked_workers(monkeypatch)
    src = tmp_path / "src"
    (src / "ann").mkdir(parents=True)
    for number, path in enumerate(sorted(crowd.rglob("0000_01.jpg"))[:8]):
        (src / f"ann/{number}.jpg").write_bytes(path.read_bytes())
    build = maskgen.BuildSettings(
        src=src, out=tmp_path / "smfd", workers=2, **SHAPE | {"shard_size": 2, "test_identities": 0}
    )
    with pytest.raises(UsageError, match=r"ann/5\.jpg has 3 bytes but had \d+ when the build was planned"):
        maskgen.build(build, planned=lambda *_: (src / "ann/5.jpg").write_bytes(b"new"))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="keeps itself to one core")
def test_workers_are_as_many_as_the_work_and_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def joblib(_: list[ShardTask], workers: int) -> Generator[Made, None, list[ShardTask]]:
        asked.append(workers)
        yield from ()
        return []

    monkeypatch.setattr(engine, "_joblib", joblib)
    build = maskgen.BuildSettings(src="/s", out="/o")
    large = [ShardTask(build, "f", number, "train", number, 1000) for number in range(64)]
    cores = os.sched_getaffinity(0)
    for tasks in (large, large[:1], [replace(large[0], photographs=5)] * 4):
        list(engine.run(tasks, build))
    assert 1 <= asked[0] <= len(cores)
    assert asked[1:] == [1, 1], "one shard; a few photographs"
    os.sched_setaffinity(0, {min(cores)})
    try:
        list(engine.run(large, build))
    finally:
        os.sched_setaffinity(0, cores)
    assert asked[-1] == 1


@needs_proc
def test_workers_end_with_a_killed_command(crowd: Path, tmp_path: Path) -> None:
    process = start(crowd, tmp_path / "smfd", "--workers=2")
    with reaped(process):
        assert wait(lambda: any(tmp_path.glob("smfd/*/*.json")), process)
        workers = workers_of(process.pid)
        assert len(workers) == 3, "two, and the process that they are forked from"
        process.kill()
        assert all_gone(workers, within=10), "its workers live on"


def test_an_interrupt_while_workers_start_leaves_no_process(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def interrupted() -> Generator[None]:
        yield
        raise KeyboardInterrupt  # came meanwhile, and is answered at the end

    monkeypatch.setattr(workers, "interrupts_held", interrupted)
    pool = workers.Workers(2, maskgen.BuildSettings(src=crowd, out=tmp_path / "smfd"))
    with pytest.raises(KeyboardInterrupt), pool:
        raise AssertionError("it was interrupted before")
    assert all(process.exitcode is not None for process in pool._processes)


def test_an_error_that_no_pipe_carries_is_told_as_text() -> None:
    def fail(value: object) -> Exception:
        try:
            raise ValueError("no number", value)
        except ValueError as error:
            return sendable(error)

    assert isinstance(plain := fail(3), ValueError)
    assert "in fail" in plain.__notes__[0]
    assert isinstance(odd := fail(lambda: 3), RuntimeError)
    assert "ValueError: ('no number'" in str(odd)
    assert isinstance(sendable(maskgen.UsageError("one sentence.")), maskgen.UsageError)
