"""docs/architecture.md is true: its tree names what exists, and every module. Benchmarks import what exists."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tree() -> set[str]:
    """The paths of the tree, from its indentation: `maskgen/cli/main.py`, folders with a slash at the end."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"```text\n(cli\.py.*?)```", page, re.S)
    assert block, "the page has no tree"
    paths: set[str] = set()
    folders: list[str] = []
    for line in block[1].splitlines():
        name, _, purpose = line.strip().partition(" ")
        assert purpose.strip(), f"{name} has no description"
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        paths.add("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def test_every_path_of_the_tree_exists() -> None:
    missing = [path for path in tree() if not (ROOT / path).exists() or (ROOT / path).is_dir() != path.endswith("/")]
    assert not missing


def test_every_module_is_in_the_tree() -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in ("maskgen", "mfr_train")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" or path.parent.name == package
    }
    assert len(modules) > 80
    assert modules <= tree(), f"add to docs/architecture.md: {sorted(modules - tree())}"


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda file: file.stem)
def test_benchmarks_import_what_exists(file: Path) -> None:
    """Also in the programs that a benchmark keeps as text for a process of its own."""
    for package, names in re.findall(r"^from ((?:maskgen|mfr_train)[\w.]*) import ([\w, ]+)$", file.read_text(), re.M):
        for name in names.split(", "):
            name = name.split(" as ")[0]
            found = importlib.import_module(package)
            assert hasattr(found, name) or importlib.util.find_spec(f"{package}.{name}"), f"{package} has no {name}"
