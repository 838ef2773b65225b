"""A folder as the snippets of the documentation expect it: the demo's photographs and a data set made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import maskgen
from maskgen.cli.demo import write_demo


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `photographs` and `smfd`. Tests link to them and never write into them."""
    folder = tmp_path_factory.mktemp("docs")
    write_demo(folder / "photographs")
    maskgen.build(src=str(folder / "photographs"), out=folder / "smfd", test_identities=0.5, engine="serial")
    return folder
