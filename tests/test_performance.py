"""docs/performance.md has a part for every benchmark that prints figures, and each is one that its script wrote."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PART = re.compile(r"<!-- begin: benchmarks/(\w+)\.py -->\n(.*?)<!-- end: benchmarks/\1\.py -->\n", re.S)
FIRST_LINE = re.compile(
    r"\d{4}-\d\d-\d\d, Python [\d.]+, \d+ cores, \d+% busy before( \(\*\*provisional\*\*: [\w ]+\))?\n"
)


def test_every_part_is_of_a_script_and_says_when_it_was_measured() -> None:
    parts = dict(PART.findall((ROOT / "docs" / "performance.md").read_text()))
    assert {"build", "floor", "store", "hotspots", "landmarks", "plan", "memory"} <= set(parts)
    for name, text in parts.items():
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name
        assert FIRST_LINE.match(text), name


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the recorder with a page of two parts and a benchmark of its own."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "benchmarks" / "record.py", tmp_path / "benchmarks")
    part = "<!-- begin: benchmarks/{0}.py -->\nold\n<!-- end: benchmarks/{0}.py -->\n"
    page = "# Page\n\n" + part.format("one") + "\nbetween\n" + part.format("two") + "after\n"
    (tmp_path / "docs" / "performance.md").write_text(page)
    return tmp_path


def record(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(copy / "benchmarks" / "record.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_record_replaces_its_own_part_only(copy: Path) -> None:
    page = copy / "docs" / "performance.md"
    (copy / "benchmarks" / "two.py").write_text("import sys; print('new', *sys.argv[1:])")
    before = page.read_text()
    done = record(copy, "two", "--rounds", "5")
    assert (done.returncode, done.stdout) == (0, "new --rounds 5\n")
    assert page.read_text() == before.replace(
        "py -->\nold\n<!-- end: benchmarks/two", "py -->\nnew --rounds 5\n<!-- end: benchmarks/two"
    )


def test_record_leaves_the_page_where_a_benchmark_fails_or_is_none(copy: Path) -> None:
    page = copy / "docs" / "performance.md"
    (copy / "benchmarks" / "one.py").write_text("print('half'); raise SystemExit(3)")
    before = page.read_text()
    for arguments, said in (
        (["one"], "one.py failed"),
        (["three"], "no part for benchmarks/three.py"),
        (["--rounds", "5"], "name a benchmark before its options"),
    ):
        done = record(copy, *arguments)
        assert done.returncode == 1
        assert said in done.stderr
        assert page.read_text() == before


def test_without_a_name_all_are_recorded_but_those_that_fail(copy: Path) -> None:
    page = copy / "docs" / "performance.md"
    (copy / "benchmarks" / "one.py").write_text("print('half'); raise SystemExit(3)")
    (copy / "benchmarks" / "two.py").write_text("print('new')")
    before = page.read_text()
    done = record(copy)
    assert done.returncode == 1
    assert "one failed; those parts stay as they were." in done.stderr
    assert page.read_text() == before.replace(
        "py -->\nold\n<!-- end: benchmarks/two", "py -->\nnew\n<!-- end: benchmarks/two"
    )
