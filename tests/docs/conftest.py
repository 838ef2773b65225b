"""A folder as the snippets of the documentation expect it: photographs of the demo and a data set made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import maskgen
import mfr_train
from maskgen.cli.demo import write_demo
from maskgen.pipeline.plan import make_plan
from mfr_train.data.feature_cache import embed_rows
from tests.support.once import once

TESTED = 3
"""Photographs of each test identity: seven pictures of each go through dlib's network, 0.2 s each."""


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `photographs` (of six people, to save time), `smfd`, and the `features` of its test photographs from dlib's
    network. Tests never write into them."""
    return once(tmp_path_factory, "docs", _prepare)


def _prepare(folder: Path) -> None:
    photographs = folder / "photographs"
    write_demo(photographs)
    for person in sorted(photographs.iterdir())[6:]:
        shutil.rmtree(person)
    settings = maskgen.BuildSettings(src=photographs, out=folder / "smfd", test_identities=0.5, engine="serial")
    plan, _ = make_plan(settings)
    for row in plan.select(["source", "split"]).to_pylist():  # the split of a person depends on the names alone
        if row["split"] == "test" and int(Path(row["source"]).name[:4]) > TESTED:
            (photographs / row["source"]).unlink()
    maskgen.build(settings)
    dataset = maskgen.open(folder / "smfd")
    backbone = mfr_train.load_model("dlib").backbone
    embed_rows(dataset, backbone, "test", ("unmasked", *dataset.variants), folder / "features", workers=1)
