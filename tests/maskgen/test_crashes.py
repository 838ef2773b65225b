"""Photographs that kill the processes that open them: rejected, with their neighbours unharmed, by either engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.dataset.verify import verify
from maskgen.engines import crashes, dask_engine
from maskgen.engines.processes import Died, apart
from maskgen.errors import MaskgenError
from maskgen.pipeline.shard import Made, ShardTask
from tests.support.counting import numbers
from tests.support.forked import die_of_poison, use_forked_workers
from tests.support.processes import (
    ROOT,
    SHAPE,
    SMALL_PREDICTOR,
    all_gone,
    finish,
    needs_proc,
    needs_signals,
    reaped,
    shards,
    start,
)

pytestmark = needs_signals
POISON = Path(__file__).parents[1] / "poison"
REJECT = ("crashed_worker", "a process that made this photograph alone died of it, twice")


@pytest.fixture
def poisoned() -> dict[str, str]:
    """The environment in which photographs kill; see tests/poison."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (POISON, ROOT)))}


@pytest.fixture
def src(tree: Path, tmp_path: Path) -> Path:
    """`tree`, to be changed. What is added to the end of a JPEG file changes no pixel."""
    return Path(shutil.copytree(tree, tmp_path / "src"))


def poison(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(f"poison:{text}\n".encode() + b"\xff\xd9")


def rejects(out: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(out / "rejects.parquet").to_pylist()
    return {row["source"]: (row["reason"], row["detail"]) for row in rows}


def rows(out: Path) -> dict[str, tuple[Any, ...]]:
    return {row.source: (row.key, row.label, row.box.tolist(), row.pictures["wide_high"]) for row in maskgen.open(out)}


@pytest.fixture
def guilty(src: Path, tmp_path: Path) -> list[str]:
    """Two photographs of `src` in the same shard, as the undisturbed build in `safe` of this test's folder has it, that
    kill: one as where memory is short, one by a segmentation fault."""
    maskgen.build(src=src, out=tmp_path / "safe", engine="serial", **SHAPE)
    planned = pq.read_table(tmp_path / "safe/plan.parquet").to_pylist()
    shard = [row["source"] for row in planned if (row["split"], row["shard"]) == ("train", 1)]
    for source, number in zip((shard[0], shard[3]), (signal.SIGKILL, signal.SIGSEGV), strict=True):
        poison(src / source, str(int(number)))
    return [shard[0], shard[3]]


TRIED = "a process that made shard train/00001 alone died; its photographs are tried one by one."


def check_that_the_others_are_rows(out: Path, safe: Path, guilty: list[str]) -> None:
    found = rejects(out)
    assert {source for source, why in found.items() if why == REJECT} == set(guilty)
    expected = {source: row for source, row in rows(safe).items() if source not in guilty}
    assert rows(out) == expected
    assert len(expected) + len(found) == 30
    assert verify(out)["rejects"] == len(found)


def test_a_photograph_that_kills_is_rejected_and_its_neighbours_are_rows(
    src: Path, tmp_path: Path, guilty: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_forked_workers(monkeypatch, die_of_poison)
    maskgen.build(src=src, out=tmp_path / "smfd", workers=2, **SHAPE)
    assert TRIED in caplog.messages
    check_that_the_others_are_rows(tmp_path / "smfd", tmp_path / "safe", guilty)


@pytest.mark.slow
def test_by_either_engine_a_photograph_that_kills_is_rejected_and_its_neighbours_are_rows(
    src: Path, tmp_path: Path, guilty: list[str], hashes: Callable[[Path], dict[str, str]], poisoned: dict[str, str]
) -> None:
    """As the test above, which is quick, by commands whose workers are new Pythons."""
    for engine in ("joblib", "dask"):
        said = finish(start(src, tmp_path / engine, f"--engine={engine}", "--workers=2", env=poisoned))
        assert TRIED in said
        assert hashes(tmp_path / engine) == hashes(tmp_path / "joblib")
    check_that_the_others_are_rows(tmp_path / "joblib", tmp_path / "safe", guilty)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--workers=2",)])
def test_one_that_kills_in_the_only_shard_is_rejected(
    src: Path, tmp_path: Path, poisoned: dict[str, str], options: tuple[str, ...]
) -> None:
    poison(src / "ann/0001_01.jpg", "9")
    shape = {"size": 64, "limit": 5, "test_identities": 0, "predictor": SMALL_PREDICTOR}
    finish(start(src, tmp_path / "smfd", *options, shape=shape, env=poisoned))
    assert rejects(tmp_path / "smfd")["ann/0001_01.jpg"] == REJECT


def test_one_that_kills_ends_the_only_process_that_was_asked_for(
    src: Path, tmp_path: Path, poisoned: dict[str, str]
) -> None:
    poison(src / "ann/0001_01.jpg", "9")
    process = start(src, tmp_path / "smfd", "--workers=1", env=poisoned)
    with reaped(process):
        assert process.wait(120) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 5])
def test_a_photograph_that_stops_killing_is_a_row(
    src: Path, tmp_path: Path, hashes: Callable[[Path], dict[str, str]], poisoned: dict[str, str], times: int
) -> None:
    """It takes six deaths in a row to be rejected: two among others, two in its shard alone, two by itself."""
    [victim, *_] = sorted(src.rglob("0001_01.jpg"))
    poison(victim, f"9:{times}:{tmp_path / 'deaths'}:")
    maskgen.build(src=src, out=tmp_path / "serial", engine="serial", **SHAPE)
    finish(start(src, tmp_path / "smfd", "--workers=2", env=poisoned))
    assert (tmp_path / "deaths").stat().st_size == times
    assert hashes(tmp_path / "smfd") == hashes(tmp_path / "serial")
    assert REJECT not in rejects(tmp_path / "smfd").values()


@pytest.mark.slow
def test_workers_that_all_die_and_do_not_come_back_leave_their_shards_made(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poisoned: dict[str, str]
) -> None:
    """A worker without a nanny is gone after its first death: run after run, the next one would die of it too."""
    distributed = pytest.importorskip("distributed")
    for path in src.rglob("*.jpg"):
        if path.name != "0001_01.jpg":
            path.unlink()
    [victim, *_] = src.rglob("*.jpg")
    poison(victim, "9")
    monkeypatch.setenv("PYTHONPATH", poisoned["PYTHONPATH"])
    monkeypatch.setattr(dask_engine, "PATIENCE", 1.0)
    made: list[Made] = []
    with distributed.LocalCluster(n_workers=0, host="tcp://127.0.0.1", dashboard_address=None) as local:
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", local.scheduler_address]
        options = ["--nthreads=1", "--no-nanny", "--no-dashboard", f"--local-directory={tmp_path}"]
        with subprocess.Popen([*worker, *options], stderr=subprocess.DEVNULL) as process:
            try:
                local.wait_for_workers(1, timeout=120)
                build = maskgen.BuildSettings(
                    src=src, out=tmp_path / "smfd", engine="dask", address=local.scheduler_address, **SHAPE
                )
                with pytest.raises(MaskgenError, match="has had no worker for 1 s; start some"):
                    maskgen.build(build, progress=made.append)
                assert process.wait() == -signal.SIGKILL
            finally:
                process.kill()
    assert shards(build.out) == len(made) > 0
    markers = "".join(path.read_text() for path in build.out.glob("__markers/*.json"))
    assert markers.count('"crashed_worker"') == 1
    assert f'"source": "{victim.relative_to(src)}"' in markers


def test_no_photograph_is_blamed_where_every_process_dies(
    src: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that die as they load the model, as where memory is short, reject nothing."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(
        "import os, sys\n"
        "class Deadly:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'maskgen.imaging.landmarks':\n"
        "            os.kill(os.getpid(), 9)\n"
        "sys.meta_path.insert(0, Deadly())\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), str(ROOT)]))
    with pytest.raises(MaskgenError, match=r"^a worker process died .* before its first photograph; free some memory"):
        maskgen.build(src=src, out=tmp_path / "smfd", workers=2, **SHAPE)
    assert shards(tmp_path / "smfd") == 0


def test_a_generator_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    running = apart(numbers, 3)
    process, first = next(running)
    assert (first, process != os.getpid()) == (0, True)
    assert list(running) == [(process, 1), (process, 2)]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    use_forked_workers(monkeypatch)  # sooner there
    with pytest.raises(Died):
        list(apart(numbers, -1))
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        list(apart(numbers, 0))
    stopped = apart(numbers, 10**9)
    assert isinstance(stopped, Generator)
    process, _ = next(stopped)
    stopped.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@needs_proc
def test_a_process_of_its_own_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """It only waits, so no broken pipe tells it."""
    (tmp_path / "waits.py").write_text(
        "import os, time\n"
        "from maskgen.engines.processes import apart\n"
        "def wait():\n"
        "    yield os.getpid()\n"
        "    time.sleep(3600)\n"
        "def main():\n"
        "    for process in apart(wait):\n"
        "        print(process, flush=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))}
    command = [sys.executable, "-c", "import waits; waits.main()"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with reaped(process):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        assert all_gone([child], within=10)


def test_processes_that_die_of_no_photograph_in_particular_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    deaths: list[str] = []

    def dies(function: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
        deaths.append(function.__name__)
        raise Died
        yield

    monkeypatch.setattr(crashes, "apart", dies)
    monkeypatch.setattr(crashes, "_problems", lambda *_: {})
    task = ShardTask(maskgen.BuildSettings(src=Path("/s"), out=Path("/o")), "f", 0, "val", 7, 4)
    with pytest.raises(MaskgenError, match=r"^2 processes died making shard val/00007 .* no photograph alone does it;"):
        crashes.make_apart(task)
    assert deaths == ["_made", "_made"]


def test_a_process_starts_deaf_to_ctrl_c() -> None:
    """In a new Python, where starting the first worker also starts resource trackers, which may unblock SIGINT."""
    code = (
        "import functools, signal\n"
        "from maskgen.engines import processes\n"
        "blocked = functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK)\n"
        "[signals] = processes.apart(map, blocked, [()])\n"
        "assert signal.SIGINT in signals, signals\n"
        "assert signal.SIGINT not in blocked(())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
