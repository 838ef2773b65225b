"""Batches from shards: the same ones whatever the format, store, processes, workers and interruptions."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections import Counter
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import maskgen
from maskgen.errors import UsageError
from mfr_train.data import batches, decoders
from mfr_train.data.batches import Feed
from mfr_train.data.decoders import START_METHOD
from tests.support.preloaded import Program
from tests.support.processes import all_gone, needs_proc


@pytest.fixture
def feed(demo: Path) -> Feed:
    return Feed(str(demo), 8, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4)


def first(stream, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(images.numpy().copy(), labels.numpy().copy()) for images, labels in islice(stream, count)]


def assert_same(a, b) -> None:
    assert len(a) == len(b)
    for (images, labels), (others, other_labels) in zip(a, b, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


@given(length=st.integers(1, 300), buffer=st.integers(1, 400), lane=st.integers(0, 3))
def test_a_lane_takes_every_row_once_and_none_before_its_time(length, buffer, lane):
    turn = batches.order(1, 0, lane, length, buffer)
    assert sorted(turn) == list(range(length))
    # A buffer of b rows cannot give at position p what lies beyond row p + b - 1.
    assert all(row <= position + buffer - 1 for position, row in enumerate(turn))


def test_an_epoch_shows_each_photograph_once(demo, feed):
    dataset = maskgen.open(demo)
    rows = dataset.count("train")
    length = rows // feed.lanes
    keys = []
    for epoch in range(3):
        seen = [
            row.key
            for lane in range(feed.lanes)
            for row, _ in islice(batches.lane_rows(feed, lane, epoch * length), length)
        ]
        assert len(set(seen)) == len(seen) == length * feed.lanes
        assert rows - len(seen) < feed.lanes
        keys.append(seen)
    assert keys[0] != keys[1] != keys[2]


def test_pixels_and_labels_are_those_of_the_row(demo, feed):
    rows = {row.key: row for row in maskgen.open(demo).rows("train")}
    images, labels = first(batches.batches(feed), 1)[0]
    each = feed.batch // feed.lanes
    drawn = [pair for lane in range(feed.lanes) for pair in islice(batches.lane_rows(feed, lane), each)]
    for image, label, (row, name) in zip(images, labels, drawn, strict=True):
        np.testing.assert_array_equal(image, rows[row.key].image(name))
        assert label == rows[row.key].label


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_each_batch_exactly(feed, world):
    alone = first(batches.batches(feed), 20)
    shares = [first(batches.batches(feed, rank, world), 20) for rank in range(world)]
    joined = [tuple(np.concatenate(part) for part in zip(*pieces, strict=True)) for pieces in zip(*shares, strict=True)]
    assert_same(joined, alone)


@pytest.mark.parametrize("method", [START_METHOD, pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_change_nothing(feed, monkeypatch, method):
    monkeypatch.setattr(decoders, "START_METHOD", method)
    alone = first(batches.batches(feed, workers=0), 12)
    before = set(multiprocessing.active_children())
    # Three do not divide eight lanes: two are taken.
    with closing(batches.batches(feed, workers=3, start=2)) as stream:  # type: ignore[type-var]
        assert_same(first(stream, 10), alone[2:])
        assert len(set(multiprocessing.active_children()) - before) == 2, "two processes decoded them"


@pytest.mark.parametrize("start", [1, 7, 8, 20])
def test_going_on_at_an_iteration_gives_what_was_due(feed, start):
    assert_same(first(batches.batches(feed, start=start), 5), first(batches.batches(feed), start + 5)[start:])


def test_going_on_decodes_nothing_and_opens_no_finished_shard(feed, monkeypatch):
    read = []
    original = maskgen.Shard.read_chosen
    monkeypatch.setattr(
        maskgen.Shard, "read_chosen", lambda shard, *chosen: read.append(shard.index) or original(shard, *chosen)
    )
    monkeypatch.setattr(maskgen.Row, "image", lambda row, name: pytest.fail("decoded"))
    one = replace(feed, batch=1)
    length = maskgen.open(feed.data).count("train")
    list(islice(batches.lane_rows(one, 0), length))
    every = len(read)
    read.clear()
    list(islice(batches.lane_rows(one, 0, length - 2), 2))
    assert len(read) < every


def test_formats_and_stores_give_the_same_batches(demo_tree, feed, make, tmp_path):
    few = {"size": 64, "shard_size": 12, "limit": 32, "test_identities": 0}
    stored, tar, drawn = (
        first(batches.batches(replace(feed, data=str(make(demo_tree, tmp_path / name, **few, **given)))), 6)
        for name, given in (("set", {}), ("tar", {"format": "webdataset"}), ("recipe", {"store": "recipe"}))
    )
    assert_same(tar, stored)
    for (images, labels), (others, other_labels) in zip(drawn, stored, strict=True):
        np.testing.assert_array_equal(labels, other_labels)
        # Masked pictures differ by what JPEG does to a rendered one.
        assert np.abs(images.astype(int) - others).mean() < 4


def test_random_variants(demo_tree, make, tmp_path):
    folder = make(demo_tree, tmp_path / "random", size=64, variants="random", limit=24)
    images, labels = first(batches.batches(Feed(str(folder), 4, 32, ("masked",), 1.0, 0, 8)), 1)[0]
    assert images.shape == (4, 32, 32, 3)
    assert (labels >= 0).all()


def test_masked_share_and_variants_are_drawn_evenly(feed):
    drawn = Counter(batches.picture(f"{key:09d}", epoch, feed) for key in range(3000) for epoch in range(4))
    assert abs(drawn.pop("unmasked") / 12_000 - 0.5) < 0.02
    assert set(drawn) == set(maskgen.VARIANTS)
    assert all(abs(count / 12_000 - 1 / 12) < 0.01 for count in drawn.values())
    assert {batches.picture(f"{key}", 0, replace(feed, masked_share=0.0)) for key in range(50)} == {"unmasked"}
    assert "unmasked" not in {batches.picture(f"{key}", 0, replace(feed, masked_share=1.0)) for key in range(50)}


def test_only_wanted_columns_are_read(feed, monkeypatch):
    asked = set()
    original = maskgen.Dataset.stored_pictures
    monkeypatch.setattr(
        maskgen.Dataset, "stored_pictures", lambda self, images: asked.add(tuple(images)) or original(self, images)
    )
    first(batches.batches(replace(feed, variants=("round_low",), masked_share=1.0)), 1)
    assert asked == {("round_low",)}
    asked.clear()
    first(batches.batches(replace(feed, masked_share=0.0)), 1)
    assert asked == {("unmasked",)}
    asked.clear()
    first(batches.batches(replace(feed, variants=("round_low",))), 1)
    assert asked == {("unmasked", "round_low")}


def test_what_cannot_be_shared_is_refused(feed):
    with pytest.raises(UsageError, match="cannot be shared by 3 processes"):
        next(batches.batches(feed, 0, 3))
    with pytest.raises(UsageError, match="lower --batch"):
        next(batches.batches(replace(feed, batch=64)))


def test_a_damaged_shard_is_named(demo, tmp_path, feed):
    folder = shutil.copytree(demo, tmp_path / "set")
    shard = folder / "train" / "00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(maskgen.MaskgenError, match=r"train/00001\.parquet .*maskgen verify"):
        first(batches.batches(replace(feed, data=str(folder))), 20)


def test_batches_are_uint8_tensors(feed):
    images, labels = next(batches.batches(feed))
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64


KILLED = "a process that decodes was killed, perhaps for lack of memory; give fewer --workers and run again."


@pytest.mark.parametrize("method", [START_METHOD, pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_that_are_killed_are_one_sentence(feed, monkeypatch, method):
    """Not where this process is when they end: there PyTorch raises its own error unless it is kept from it."""
    monkeypatch.setattr(decoders, "START_METHOD", method)
    before = set(multiprocessing.active_children())
    stream = batches.batches(feed, workers=2)
    next(stream)
    workers = set(multiprocessing.active_children()) - before
    for process in workers:
        os.kill(process.pid, signal.SIGKILL)
    for process in workers:
        process.join()
    with pytest.raises(maskgen.MaskgenError) as error, decoders.worker_errors():
        list(stream)
    assert str(error.value) == KILLED


ORPHANS = """
import multiprocessing, time
import maskgen
from mfr_train.data import batches
stream = batches.batches(batches.Feed(data, 8, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4), workers=1)
next(stream)
print(*[process.pid for process in multiprocessing.active_children()], flush=True)
time.sleep(100)
"""


@needs_proc
def test_workers_end_with_a_killed_process(demo):
    program = Program(f"data = {str(demo)!r}" + ORPHANS)
    try:
        workers = [int(number) for number in program.stdout.readline().split()]
        assert len(workers) == 1
        assert not all_gone(workers, within=0.1)
    finally:
        program.end()
    assert all_gone(workers, within=10), "its workers live on"


@pytest.mark.parametrize("settings", [{}, {"format": "webdataset"}, {"store": "recipe"}])
def test_single_rows_and_pictures_of_a_shard_are_those_of_the_whole(demo_tree, make, tmp_path, settings):
    folder = make(
        demo_tree, tmp_path / "set", size=64, shard_size=90, limit=24, variants="wide_high,round_low", **settings
    )
    (shard,) = maskgen.open(folder).shards("train")
    every = list(shard.read())
    numbers = [1, 5, shard.rows - 2]
    names = {
        every[number].key: name for number, name in zip(numbers, ("unmasked", "round_low", "wide_high"), strict=True)
    }
    pairs = list(shard.read_chosen(("unmasked", "wide_high", "round_low"), names.__getitem__, numbers))
    assert [name for _, name in pairs] == list(names.values())
    some = [row for row, _ in pairs]
    assert [row.key for row in some] == list(names)
    for row, number in zip(some, numbers, strict=True):
        assert len(row.pictures) == 1
        assert (row.label, row.identity, row.colors) == tuple(
            getattr(every[number], field) for field in ("label", "identity", "colors")
        )
        np.testing.assert_array_equal(row.landmarks, every[number].landmarks)
        np.testing.assert_array_equal(row.image(names[row.key]), every[number].image(names[row.key]))
