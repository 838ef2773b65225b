"""A folder as the snippets of the documentation expect it: photographs of the demo and a data set made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import maskgen
from maskgen.cli.demo import write_demo


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `photographs` (of six people, three each, to save time) and `smfd`. Tests never write into them."""
    folder = tmp_path_factory.mktemp("docs")
    write_demo(folder / "photographs")
    people = sorted(path for path in (folder / "photographs").iterdir())
    for person in people[6:]:
        shutil.rmtree(person)
    for photograph in (path for person in people[:6] for path in sorted(person.iterdir())[3:]):
        photograph.unlink()
    maskgen.build(src=str(folder / "photographs"), out=folder / "smfd", test_identities=0.5, engine="serial")
    return folder
