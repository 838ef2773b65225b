"""SIGKILL before steps of an export: the same call resumes it, and ends in the same bytes."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import maskgen
from tests.support.preloaded import Ended, ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

KILLED_AT_A_STEP = """
import os, signal, threading
import maskgen

steps, lock = 0, threading.Lock()

def counted(call):
    def step(*arguments, **options):
        global steps
        with lock:  # files are flushed by threads
            steps += 1
            if steps == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return step

os.fsync, os.replace, os.unlink, os.mkdir = map(counted, (os.fsync, os.replace, os.unlink, os.mkdir))
maskgen.export(data, out, to="coco", variants="wide_high")
print(steps)
"""


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_export_killed_before_any_step_resumes(
    tree: Path, make: Callable[..., Path], tmp_path: Path, times: int
) -> None:
    built = make(tree, tmp_path / "smfd", limit=18)

    def run(out: Path, last: int) -> Ended:
        return ended(KILLED_AT_A_STEP, data=str(built), out=str(out), last=last)

    steps = int(run(tmp_path / "whole", -1).stdout)
    expected = bytes_of(tmp_path / "whole")
    assert len(expected) == 15 * 2 + 3 + 3, "pictures; JSON of three splits; pairs, claim and the lock"
    assert steps > 2 * 15 * 2
    finished = 0
    chosen = {1, 2, steps - 8, steps - 1, *range(3, steps, max(1, steps // (5 if times == 1 else 25 * times)))}
    for last in sorted(chosen):
        out = tmp_path / str(last)
        killed = run(out, last)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        pictures = {name: data for name, data in bytes_of(out).items() if name.endswith(".jpg")}
        assert pictures.items() <= expected.items(), "whole files only"
        exported = maskgen.export(built, out, to="coco", variants="wide_high")
        assert exported.files == 15 * 2
        assert bytes_of(out) == expected, f"killed before step {last} of {steps}"
        finished += exported.written < 15 * 2
    assert finished, "some were resumed and not begun anew"
