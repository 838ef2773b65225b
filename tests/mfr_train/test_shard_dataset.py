"""Data sets for other training loops: each photograph once an epoch, for any processes, workers and interruptions."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import maskgen
import mfr_train
from maskgen.errors import UsageError
from mfr_train import MixedDataset, ShardDataset


def keys(samples: Any) -> list[tuple[str, str]]:
    return [(sample["key"], sample["picture"]) for sample in samples]


def first_only(batch: list[Any]) -> Any:
    return batch[0]


@pytest.fixture
def data(demo: Path) -> ShardDataset:
    return ShardDataset(demo, size=64, buffer=4, seed=3)


def test_a_sample_is_what_the_row_holds(demo: Path, data: ShardDataset) -> None:
    rows = {row.key: row for row in maskgen.open(demo).rows("train")}
    for sample in islice(data, 6):
        row = rows[sample["key"]]
        np.testing.assert_array_equal(sample["image"].permute(1, 2, 0), row.image(sample["picture"]))
        np.testing.assert_allclose(sample["landmarks"], row.landmarks, atol=1e-4)
        assert (sample["label"], sample["identity"]) == (row.label, row.identity)
        assert data.identities[row.label] == row.identity


def test_landmarks_move_with_a_picture_of_another_size(demo: Path) -> None:
    rows = {row.key: row for row in maskgen.open(demo).rows("train")}
    sample = next(iter(ShardDataset(demo, size=32)))
    assert sample["image"].shape == (3, 32, 32)
    np.testing.assert_allclose(sample["landmarks"], (rows[sample["key"]].landmarks + 0.5) / 2 - 0.5, atol=1e-4)


def test_each_photograph_is_given_once_an_epoch_in_another_order(demo: Path, data: ShardDataset) -> None:
    all_rows = {row.key for row in maskgen.open(demo).rows("train")}
    epochs = [keys(data) for _ in range(3)]  # each pass goes on with the next epoch
    for epoch in epochs:
        names = [key for key, _ in epoch]
        assert len(set(names)) == len(names) == len(data)
        assert set(names) <= all_rows
        assert len(all_rows) - len(names) < 64
    assert epochs[0] != epochs[1] != epochs[2]
    data.set_epoch(1)
    assert keys(data) == epochs[1]
    assert {name for epoch in epochs for _, name in epoch} == {"unmasked", *maskgen.VARIANTS}


@pytest.mark.parametrize(("share", "variants", "names"), [(0, None, {"unmasked"}), (1, ["wide_low"], {"wide_low"})])
def test_masked_share_and_variants(demo: Path, share: float, variants: Any, names: set[str]) -> None:
    assert {name for _, name in keys(ShardDataset(demo, masked_share=share, variants=variants))} == names


@pytest.mark.parametrize(("world", "workers"), [(1, 2), (2, 0), (2, 1)])
def test_processes_and_workers_share_the_photographs(demo: Path, data: ShardDataset, world: int, workers: int) -> None:
    alone = keys(data)
    shared: list[tuple[str, str]] = []
    for rank in range(world):
        part = ShardDataset(demo, size=64, buffer=4, seed=3, rank=rank, world=world)
        mine = keys(DataLoader(part, batch_size=1, num_workers=workers, collate_fn=first_only))
        assert len(mine) == len(part) == len(alone) // world
        shared += mine
    assert sorted(shared) == sorted(alone)


@pytest.mark.parametrize("given", [0, 1, 17, 31])
def test_state_resumes_where_it_was_saved(demo: Path, data: ShardDataset, given: int) -> None:
    data.set_epoch(2)
    stream = iter(data)
    seen = keys(islice(stream, given))
    state, rest = data.state_dict(), keys(stream)
    again = ShardDataset(demo, size=64, buffer=4, seed=3)
    again.load_state_dict(state)
    assert keys(again) == rest
    again.set_epoch(2)
    assert keys(again) == seen + rest


def test_a_stateful_data_loader_resumes_within_an_epoch(demo: Path, data: ShardDataset) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    whole = [batch["key"] for batch in stateful(data, batch_size=5, num_workers=2)]
    data.set_epoch(0)
    loader = stateful(data, batch_size=5, num_workers=2)
    stream = iter(loader)
    before = [batch["key"] for batch in islice(stream, 3)]
    state = loader.state_dict()
    resumed = stateful(ShardDataset(demo, size=64, buffer=4, seed=3), batch_size=5, num_workers=2)
    resumed.load_state_dict(state)
    assert before + [batch["key"] for batch in resumed] == whole


def test_torchvision_transforms_take_samples(demo: Path) -> None:
    flip = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.ToDtype(torch.float32, scale=True)])
    plain, flipped = (next(iter(ShardDataset(demo, size=64, transform=transform))) for transform in (None, flip))
    torch.testing.assert_close(flipped["image"], plain["image"].flip(2).float() / 255)
    torch.testing.assert_close(flipped["landmarks"][:, 0], 63 - plain["landmarks"][:, 0], atol=1.001, rtol=0)
    assert flipped["key"] == plain["key"]
    batch = next(iter(DataLoader(ShardDataset(demo, size=64, transform=flip), batch_size=4)))
    assert batch["image"].shape == (4, 3, 64, 64)
    assert batch["label"].dtype == torch.int64


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_a_recipe_draws_its_masks_when_it_is_read(
    demo_tree: Path, demo: Path, tmp_path: Path, make: Any, format: str
) -> None:
    settings = {"size": 64, "shard_size": 12, "test_identities": 0, "store": "recipe", "format": format}
    for person in sorted(demo_tree.iterdir())[-3:]:
        shutil.copytree(person, tmp_path / "photographs" / person.name)
    out = make(tmp_path / "photographs", tmp_path / "recipe", **settings)
    recipe = ShardDataset(out, size=64, masked_share=1, buffer=4)
    rows = {row.source: row for row in maskgen.open(demo)}
    sources = {row.key: row.source for row in maskgen.open(out).rows("train")}
    for sample in islice(recipe, 4):
        wanted = rows[sources[sample["key"]]].image(sample["picture"]).astype(int)
        difference = np.abs(sample["image"].permute(1, 2, 0).numpy().astype(int) - wanted)
        assert difference.mean() < 3, "those of the rendered set, but for one JPEG encoding"


def test_a_mix_draws_by_shares_and_moves_labels(demo: Path) -> None:
    one = ShardDataset(demo, size=64, masked_share=0, buffer=4)
    two = ShardDataset(demo, size=64, masked_share=1, buffer=4, seed=1)
    mix = MixedDataset([one, two], [1, 3], seed=5)
    samples = list(mix)
    from_two = [sample for sample in samples if sample["picture"] != "unmasked"]
    assert len(samples) - len(from_two) == len(one), "an epoch is one of the first data set"
    assert len(from_two) / len(samples) == pytest.approx(0.75, abs=0.08)
    assert mix.identities == one.identities * 2
    assert all(mix.identities[sample["label"]] == sample["identity"] for sample in samples)
    assert {sample["label"] >= len(one.identities) for sample in from_two} == {True}
    names = [sample["key"] for sample in from_two]
    cycles = [names[start : start + len(two)] for start in range(0, len(names), len(two))]
    assert all(len(set(cycle)) == len(cycle) for cycle in cycles), "the second starts again when it ends"
    assert len(cycles) > 2
    assert keys(mix) != keys(samples), "another epoch"


def test_a_mix_resumes(demo: Path) -> None:
    def mixed() -> MixedDataset:
        return MixedDataset([ShardDataset(demo, size=64), ShardDataset(demo, size=64, masked_share=1)], [2, 1])

    mix = mixed()
    stream = iter(mix)
    list(islice(stream, 23))
    state, rest = mix.state_dict(), keys(stream)
    again = mixed()
    again.load_state_dict(state)
    assert keys(again) == rest
    shared = [sample["key"] for sample in DataLoader(mixed(), batch_size=None, num_workers=2)]
    assert len(shared) > len(set(shared)) >= len(again.datasets[0]) // 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split": "dev"}, "has no photographs in 'dev'; its splits are train, val, test"),
        ({"variants": ["wide"]}, "has no masks 'wide'; it has wide_high"),
        ({"variants": []}, "has no masks ''"),
        ({"size": 0}, "size is 0; give a number from 1 to 8192"),
        ({"masked_share": 1.5}, "masked_share is 1.5"),
        ({"buffer": 0}, "buffer is 0"),
        ({"rank": 0}, "rank and world belong together"),
        ({"rank": 2, "world": 2}, "cannot be shared by process 2 of 2"),
        ({"rank": 0, "world": 3}, "process 0 of 3; use a power of two of processes"),
    ],
)
def test_wrong_settings_are_one_sentence(demo: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ShardDataset(demo, **settings)


def test_a_wrong_mix_is_one_sentence(data: ShardDataset) -> None:
    for datasets, shares in (([], []), ([data], [1, 2]), ([data, data], [1, 0])):
        with pytest.raises(UsageError, match="give a positive one for each"):
            MixedDataset(datasets, shares)


def test_it_is_loaded_lazily() -> None:
    assert {"ShardDataset", "MixedDataset"} <= set(dir(mfr_train))
