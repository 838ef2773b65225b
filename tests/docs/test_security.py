"""SECURITY.md is true: the tests that it names exist, and its numbers of cases are those of the fuzz targets."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.fuzz import CASES, QUICK

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text()


def functions() -> set[str]:
    """The names of all test functions."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 20
    assert named <= functions(), named - functions()


def test_every_line_of_what_is_not_trusted_names_a_test() -> None:
    lines = PAGE.split("| what | what holds | tests |\n")[1].split("\n\n")[0].splitlines()[1:]
    assert len(lines) > 8
    assert all(line.rstrip("| ").endswith("`") and "`test_" in line for line in lines)


def test_numbers_of_cases() -> None:
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|$", PAGE, re.M)
    expected = CASES | {"together": sum(CASES.values())}
    assert {name: (int(few.replace(",", "")), int(many.replace(",", ""))) for name, few, many in rows} == {
        name: (cases, 20 * cases) for name, cases in expected.items()
    }
    assert f"`make test` on one in {QUICK} of these" in PAGE
    assert "--soak 20" in (ROOT / "Makefile").read_text()


def test_every_reader_has_a_target() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "tests" / "faults").glob("test_fuzz*.py"))
    used = {name for name in CASES if f'"{name}"' in sources}
    assert used == set(CASES)
