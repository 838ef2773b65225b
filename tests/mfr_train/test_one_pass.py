"""One picture of each photograph, once: the same pieces for any number of workers, each row in one process's share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskgen
from mfr_train.data import feature_cache, one_pass
from mfr_train.data.batches import Feed, picture
from mfr_train.data.decoders import decoded
from mfr_train.networks.resizing import resized
from mfr_train.networks.resnet import Network, resnet_backbone

Pieces = dict[int, tuple[bytes, int]]


@pytest.fixture
def only(demo: Path) -> partial[str]:
    """The masked picture of each photograph that validation shows."""
    return partial(picture, epoch=0, feed=Feed(str(demo), 8, 64, maskgen.VARIANTS, 1.0, seed=3, buffer=4))


def pieces(demo: Path, only: partial[str], workers: int = 0, rank: int = 0, world: int = 1) -> list[Pieces]:
    """Each piece as pixels and label by row number."""
    found = one_pass.sweep(maskgen.open(demo), "train", maskgen.VARIANTS, only, 48, workers, rank, world)
    return [by_number(piece) for piece in found]


def by_number(piece: Any) -> Pieces:
    return {int(number): (image.numpy().tobytes(), int(label)) for number, image, label in zip(*piece, strict=True)}


def test_each_photograph_shows_the_chosen_mask(demo: Path, only: partial[str]) -> None:
    rows = list(maskgen.open(demo).rows("train"))
    seen = {number: shown for piece in pieces(demo, only) for number, shown in piece.items()}
    assert sorted(seen) == list(range(len(rows)))
    for number, row in enumerate(rows):
        image = resized(row.image(only(row.key)), 48)
        assert seen[number] == (image.tobytes(), row.label)


def test_few_photographs_are_not_worth_a_process(
    demo: Path, only: partial[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pieces(demo, only)
    assert len(alone) == len(maskgen.open(demo).shards("train")) > 3
    started = []
    monkeypatch.setattr(
        one_pass, "decoded", lambda decoder, workers: started.append(workers) or decoded(decoder, workers)
    )
    assert pieces(demo, only, workers=2) == alone
    assert started == [0]


def test_processes_share_the_rows(demo: Path, only: partial[str]) -> None:
    shares = [[number for piece in pieces(demo, only, 0, rank, 3) for number in piece] for rank in range(3)]
    assert sorted(number for share in shares for number in share) == list(range(maskgen.open(demo).count("train")))
    assert max(map(len, shares)) - min(map(len, shares)) <= len(maskgen.open(demo).shards("train"))


def test_only_some_rows_are_read(demo: Path, only: partial[str]) -> None:
    whole = {number: shown for piece in pieces(demo, only) for number, shown in piece.items()}
    rows = np.array([0, 2, *range(13, 24, 5), len(whole) - 1])
    for world in (1, 2):
        found: Pieces = {}
        for rank in range(world):
            share = (demo_set := maskgen.open(demo), "train", maskgen.VARIANTS, only, 48, 0, rank, world)
            for piece in one_pass.sweep(*share, rows=rows):
                found.update(by_number(piece))
        assert found == {number: whole[number] for number in rows.tolist()}
    opened = {int(row.shard.rpartition("/")[2]) for row in (list(demo_set.rows("train", images=()))[n] for n in rows)}
    assert len(opened) < len(demo_set.shards("train")), "some shards have none of the rows"


def test_pieces_and_features_are_the_same_for_any_number_of_workers(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None, narrow: None
) -> None:
    backbone = resnet_backbone(Network("resnet18"), "resnet18", 32)
    dataset = maskgen.open(demo)
    seen: list[Pieces] = []

    def watched(*arguments: Any, **options: Any) -> Iterator[Any]:
        for piece in one_pass.sweep(*arguments, **options):
            seen.append(by_number(piece))
            yield piece

    monkeypatch.setattr(feature_cache, "sweep", watched)
    alone = feature_cache.embed_rows(dataset, backbone, "train", ("wide_high",), None, workers=0)["wide_high"]
    assert len(np.unique(alone.sum(axis=1))) > len(alone) // 2, "each photograph has features of its own"
    of_one, seen = seen, []
    started = []
    monkeypatch.setattr(
        one_pass, "decoded", lambda decoder, workers: started.append(workers) or decoded(decoder, workers)
    )
    monkeypatch.setattr(one_pass, "ROWS_PER_WORKER", 1)
    shared = feature_cache.embed_rows(dataset, backbone, "train", ("wide_high",), tmp_path, workers=2)["wide_high"]
    assert started == [2]
    assert sorted(seen, key=min) == of_one
    np.testing.assert_array_equal(shared, alone)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_damaged_shard_is_named(
    demo: Path,
    tmp_path: Path,
    only: partial[str],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    monkeypatch.setattr(one_pass, "ROWS_PER_WORKER", 1)
    out = shutil.copytree(demo, tmp_path / "smfd")
    shard = out / "train/00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(maskgen.MaskgenError, match=r"train/00001\.parquet cannot be read .*maskgen verify"):
        pieces(out, only, workers)
