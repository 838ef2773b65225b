"""SIGKILL at every step of a commit and at random moments, SIGTERM, clock jumps, races: the same bytes in the end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import maskgen
from maskgen.dataset.markers import FOLDERS
from maskgen.dataset.verify import verify
from maskgen.storage.files import leftovers
from tests.support.once import once
from tests.support.preloaded import Ended, ended
from tests.support.processes import SHAPE, SMALL_PREDICTOR, shards, start

Hashes = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def shape() -> dict[str, Any]:
    """Both formats and several shards in train and test, of 18 photographs of three people."""
    return SHAPE | {"limit": 18}


@pytest.fixture(scope="module")
def expected(
    tree: Path, tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any], hashes: Hashes
) -> dict[str, str]:
    """The hash of each file of an undisturbed build."""
    folder = once(tmp_path_factory, "undisturbed", lambda folder: goes_on(tree, folder / "smfd", shape))
    return hashes(folder / "smfd")


KILLED_AT_A_STEP = """
import os, signal
import maskgen

steps = 0

def counted(call):
    def step(*arguments, **options):
        global steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return step

os.fsync, os.replace, os.unlink = counted(os.fsync), counted(os.replace), counted(os.unlink)
maskgen.build(src=src, out=out, engine="serial", **shape)
print(steps)
"""


def goes_on(src: Path, out: Path, shape: dict[str, Any]) -> None:
    """The same call again, in this process."""
    maskgen.build(maskgen.BuildSettings(src=src, out=out, engine="serial", **shape))


def test_a_build_killed_before_any_step_of_any_commit_goes_on(
    tree: Path, expected: dict[str, str], shape: dict[str, Any], tmp_path: Path, hashes: Hashes, times: int
) -> None:
    def run(out: Path, last: int) -> Ended:
        settings = shape | {"predictor": str(SMALL_PREDICTOR)}
        return ended(KILLED_AT_A_STEP, src=str(tree), out=str(out), shape=settings, last=last)

    undisturbed = run(tmp_path / "all", -1)
    steps = int(undisturbed.stdout)
    assert hashes(tmp_path / "all") == expected
    assert steps >= 3 * 3 * shards(tmp_path / "all") >= 3 * 3 * 5, (
        "each shard has two data files and a marker: flush, rename, flush the folder"
    )
    chosen = range(1, steps + 1, max(1, steps // (5 if times == 1 else 25 * times)))
    for last in chosen:
        out = tmp_path / str(last)
        killed = run(out, last)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        try:
            maskgen.open(out)
        except maskgen.UsageError as error:
            opened = "not finished" not in str(error) and "no data set" not in str(error)
        else:
            opened = True
            verify(out)
        assert not opened or last > steps - 8, "dataset.json says so last; only run.json comes after it"
        goes_on(tree, out, shape)
        assert hashes(out) == expected, f"killed before step {last} of {steps}"
        assert not leftovers(out, FOLDERS)


def test_a_build_killed_again_and_again_at_random_moments_ends_in_the_same_bytes(
    tree: Path,
    expected: dict[str, str],
    shape: dict[str, Any],
    tmp_path: Path,
    hashes: Hashes,
    times: int,
    chance: random.Random,
) -> None:
    kills, finished, number = 0, 0, 0
    began = time.monotonic()
    process = start(tree, tmp_path / "first", "--engine=serial", shape=shape)
    assert process.wait(300) == 0
    process.communicate()
    usual = time.monotonic() - began
    while kills < (2 if times == 1 else 25 * times):
        out = tmp_path / f"{number}"
        engine = chance.choice((("--engine=serial",), ("--engine=serial",), ("--workers=2",)))
        process = start(tree, out, *engine, shape=shape)
        time.sleep(usual * chance.uniform(0.2, 1.0))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        if process.returncode == 0:
            assert hashes(out) == expected
            finished, number = finished + 1, number + 1
    goes_on(tree, tmp_path / f"{number}", shape)
    assert hashes(tmp_path / f"{number}") == expected


def test_sigterm_is_one_sentence_and_the_same_command_goes_on(
    tree: Path, expected: dict[str, str], shape: dict[str, Any], tmp_path: Path, hashes: Hashes, times: int
) -> None:
    for number in range(2 * times):
        out = tmp_path / str(number)
        process = start(tree, out, "--engine=serial", shape=shape)
        for_shards = number % 2 == 0  # or for the plan alone
        while not (shards(out) if for_shards else (out / "plan.parquet").exists()) and process.poll() is None:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 130), errors
        if process.returncode:
            assert errors.strip().splitlines()[-1].endswith("run the same command again to resume.")
            assert "Traceback" not in errors
        goes_on(tree, out, shape)
        assert hashes(out) == expected


def test_two_builds_race_on_one_output_and_one_of_them_wins(
    tree: Path, expected: dict[str, str], shape: dict[str, Any], tmp_path: Path, hashes: Hashes, times: int
) -> None:
    for number in range(1 if times == 1 else 2 * times):
        out = tmp_path / str(number)
        processes = [start(tree, out, "--engine=serial", shape=shape) for _ in range(2)]
        said = [process.communicate(timeout=300)[1] for process in processes]
        codes = [process.returncode for process in processes]
        assert 0 in codes, said
        for code, errors in zip(codes, said, strict=True):
            # The slower one may come when the winner is done: then it finds everything there.
            assert code == 0 or errors == f"maskgen: another build is at work in {out}; wait for it or stop it first.\n"
        assert hashes(out) == expected


def test_the_lock_of_a_killed_build_holds_nobody_up(
    tree: Path, expected: dict[str, str], shape: dict[str, Any], tmp_path: Path, hashes: Hashes
) -> None:
    out = tmp_path / "smfd"
    process = start(tree, out, "--engine=serial", shape=shape)
    while not (out / ".maskgen-lock").exists() and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (out / ".maskgen-lock").exists()
    goes_on(tree, out, shape)
    assert hashes(out) == expected


@pytest.mark.parametrize("jump", [-3.0e8, 3.0e8])
def test_a_clock_that_jumps_changes_no_byte_and_makes_nothing_anew(
    tree: Path, expected: dict[str, str], shape: dict[str, Any], tmp_path: Path, hashes: Hashes, jump: float
) -> None:
    out = tmp_path / "smfd"
    with pytest.raises(KeyboardInterrupt):
        maskgen.build(maskgen.BuildSettings(src=tree, out=out, engine="serial", **shape), progress=_Stop(3))
    made = sorted(out.glob("*/*"))
    assert made
    for path in out.rglob("*"):
        os.utime(path, (time.time() + jump,) * 2)
    before = {path: path.stat().st_mtime_ns for path in made}
    goes_on(tree, out, shape)
    assert {path: path.stat().st_mtime_ns for path in made} == before
    assert hashes(out) == expected


class _Stop:
    """A progress callback that stops the build after some shards, as Ctrl-C does."""

    def __init__(self, shards: int) -> None:
        self.left = shards

    def __call__(self, made: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
