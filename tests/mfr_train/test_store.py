"""Training and evaluation read a data set in an object store as they read it from a folder."""

from __future__ import annotations

import dataclasses
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskgen
from maskgen.errors import MaskgenError
from mfr_train.cli.console import train_with_summary
from mfr_train.data import batches, feature_cache
from mfr_train.data.batches import Feed
from mfr_train.data.one_pass import sweep
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.networks.backbone import Backbone
from mfr_train.training.train import TrainSettings, train
from tests.support.data_sets import make


def copied(s3: Any, folder: Path) -> str:
    """The URI of a data set, copied into the store."""
    bucket = s3.bucket()
    for path in folder.rglob("*"):
        if path.is_file():
            s3.put(f"{bucket}/smfd/{path.relative_to(folder)}", path.read_bytes())
    return str(s3.uri(f"{bucket}/smfd"))


@pytest.fixture(scope="module")
def stored(s3: Any, demo: Path) -> str:
    """The URI of `demo`, copied into the store."""
    return copied(s3, demo)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_are_those_of_the_folder(demo: Path, stored: str, workers: int) -> None:
    here = Feed(str(demo), 8, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4)
    there = dataclasses.replace(here, data=stored)
    pairs = zip(batches.batches(here, start=5), batches.batches(there, workers=workers, start=5), strict=False)
    for (images, labels), (others, other_labels) in islice(pairs, 6):
        np.testing.assert_array_equal(images.numpy(), others.numpy())
        np.testing.assert_array_equal(labels.numpy(), other_labels.numpy())
    sweeps = (
        sweep(maskgen.open(place), "val", maskgen.VARIANTS, lambda key: maskgen.VARIANTS[int(key) % 6], 64)
        for place in (demo, stored)
    )
    for one, other in zip(*sweeps, strict=True):
        for values, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(values.numpy(), others.numpy())


def test_the_markers_are_asked_for_once_and_not_by_each_lane(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    original = maskgen.open
    monkeypatch.setattr(maskgen, "open", lambda path: opened.append(path) or original(path))
    next(batches.batches(Feed(stored, 8, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4)))
    assert len(opened) == 1, "for all rows of the split, and for its eight lanes"


def test_rows_and_features_are_those_of_the_folder(demo: Path, stored: str, tmp_path: Path) -> None:
    here, there = maskgen.open(demo), maskgen.open(stored)
    for split in here.splits:
        ours, theirs = (feature_cache.row_index(dataset, split) for dataset in (here, there))
        for field in dataclasses.fields(feature_cache.RowIndex):
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))

    def means(images: Any, landmarks: Any) -> Any:
        return np.array([[image.mean(), image.std()] for image in images], np.float32)

    backbone = Backbone("mean", 2, 64, "b" * 64, means)
    names = ("unmasked", "wide_high")
    one = feature_cache.embed_rows(here, backbone, "train", names, None)
    other = feature_cache.embed_rows(there, backbone, "train", names, tmp_path)
    for name in names:
        np.testing.assert_array_equal(one[name], other[name])
    cached = feature_cache.embed_rows(here, backbone, "train", names, tmp_path)["unmasked"]
    assert isinstance(cached, np.memmap), "one cache serves both"


def test_training_and_evaluation_give_the_same_figures_and_keep_no_secret(
    demo_tree: Path, s3: Any, tmp_path: Path, narrow: None, undrawn: object
) -> None:
    few = make(demo_tree, tmp_path / "smfd", size=64, shard_size=12, limit=40, variants="wide_low,round_high")
    stored = copied(s3, few)
    reports = {}
    for place in (str(few), stored):
        run = tmp_path / ("store" if place == stored else "folder")
        settings = TrainSettings(
            data=place,
            out=run / "run",
            cache=run / "cache",
            recipe="small",
            input_size=32,
            iterations=2,
            embed_iterations=2,
            triplets=20,
            variants=("wide_low",),
            batch=8,
            workers=0,
            device="cpu",
        )
        said = train_with_summary(settings)
        assert "Hint: next, run mfr eval" in said
        assert "test-secret" not in said
        measured = EvalSettings(
            data=place, run=run / "run", out=run / "eval", cache=run / "cache", bootstrap=0, breakdown=False
        )
        evaluate(measured)
        reports[place] = json.loads((run / "eval/report.json").read_bytes())
    assert (tmp_path / "store/run/curve.csv").read_text() == (tmp_path / "folder/run/curve.csv").read_text()
    named = reports[stored]["data"].pop("name")
    reports[str(few)]["data"].pop("name")
    assert named == stored.partition("?")[0].replace("test-key:test-secret@", "")
    assert reports[stored]["data"] == reports[str(few)]["data"]
    assert reports[stored]["scenarios"] == reports[str(few)]["scenarios"]
    assert len(reports[stored]["scenarios"]) == 3
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"test-secret" not in path.read_bytes(), path
    kept = json.loads((tmp_path / "store/run/settings.json").read_bytes())
    assert kept["settings"]["data"].startswith("s3://***@")


def test_a_data_set_that_cannot_be_trained_on_is_named_without_its_secret(s3: Any, stored: str) -> None:
    for failing in (
        lambda: next(batches.batches(Feed(stored, 64 * 64, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4))),
        lambda: train(TrainSettings(data=stored, variants=("huge",))),
        lambda: train(TrainSettings(data=s3.uri("no-such-bucket/smfd"))),
        lambda: evaluate(EvalSettings(data=s3.uri("no-such-bucket/smfd"), model="dlib")),
    ):
        with pytest.raises(MaskgenError, match=r"s3://[a-z0-9-]*/smfd[ ;]") as caught:
            failing()
        assert "test-secret" not in str(caught.value)
