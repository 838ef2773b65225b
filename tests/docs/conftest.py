"""A folder as the snippets of the documentation expect it: photographs of the demo and a data set made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import maskgen
from maskgen.cli.demo import write_demo


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `photographs` (of six people, to save time) and `smfd`. Tests never write into them."""
    folder = tmp_path_factory.mktemp("docs")
    write_demo(folder / "photographs")
    for person in sorted((folder / "photographs").iterdir())[6:]:
        shutil.rmtree(person)
    maskgen.build(src=str(folder / "photographs"), out=folder / "smfd", test_identities=0.5, engine="serial")
    return folder
