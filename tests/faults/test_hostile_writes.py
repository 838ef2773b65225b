"""Whoever writes outside a test's folder is seen, in this process and in those that it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import joblib

from tests.support.writes import outside, watched

PROGRAM = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "own/file").write_text("x")
(folder / "elsewhere").write_text("x")
os.replace(folder / "elsewhere", folder / "renamed")
os.mkdir(folder / "made")
"""


def write(path: Path) -> None:
    path.write_text("x")


def test_writes_of_this_process_and_of_others_are_seen(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with watched(tmp_path / "own/log") as told:
        write(tmp_path / "own/here")
        write(tmp_path / "aside")
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=True)
        paths = told()
    seen = outside(paths, tmp_path / "own", tmp_path)
    assert seen == [str(tmp_path / name) for name in ("aside", "elsewhere", "renamed", "made")]
    assert str(tmp_path / "own/here") in paths
    assert str(tmp_path / "own/file") in paths


def test_writes_of_workers_are_seen(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with watched(tmp_path / "own/log") as told:
        joblib.Parallel(n_jobs=2)(joblib.delayed(write)(tmp_path / f"worker{number}") for number in range(2))
        paths = told()
    assert sorted(outside(paths, tmp_path / "own", tmp_path)) == [
        str(tmp_path / f"worker{number}") for number in range(2)
    ]
