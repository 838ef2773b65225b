"""The feature cache: the same numbers as the backbone, and never those of other weights, data or bytes."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import maskgen
from maskgen.errors import MaskgenError
from mfr_train.data import feature_cache, one_pass
from mfr_train.networks.backbone import Backbone
from mfr_train.networks.resnet import Network, resnet_backbone


@dataclass
class FakeRow:
    key: str
    label: int
    identity: str
    split: str = "train"
    variant: str | None = None

    def image(self, name: str) -> np.ndarray:
        shade = 10 * int(self.key) + (1 if name == "unmasked" else 2)
        return np.full((4, 4, 3), shade, np.uint8)

    landmarks = np.zeros((68, 2), np.float32)
    pictures = ("unmasked", "wide_low", "wide_high")

    @property
    def colors(self) -> dict[str, tuple[int, int, int]]:
        return {"wide_high": (int(self.key), 1, 2), "wide_low": (3, 4, 5)}


@dataclass
class FakeDataset:
    size: int = 5
    content: str = "d" * 64
    variants: tuple[str, ...] = ("wide_low", "wide_high")

    def count(self, split: str) -> int:
        return self.size if split == "train" else 0

    def check_files(self, split: str) -> None:
        pass

    def rows(self, split: str, images=None):
        return (FakeRow(f"{i:09d}", i // 2, f"n{i // 2}") for i in range(self.count(split)))

    def shards(self, split: str):
        return [FakeShard(list(self.rows(split))[start : start + 2]) for start in range(0, self.count(split), 2)]


@dataclass
class FakeShard:
    photographs: list[FakeRow]

    @property
    def rows(self) -> int:
        return len(self.photographs)

    def read_chosen(self, images, choose, numbers):
        return ((self.photographs[number], choose(self.photographs[number].key)) for number in numbers)


calls: list[int] = []


def mean_backbone() -> Backbone:
    def run(images, landmarks):
        calls.append(len(images))
        return np.array([[image.mean(), 1] for image in images], np.float32)

    return Backbone("mean", 2, 4, "b" * 64, run)


def test_features_are_in_row_order_and_computed_once(tmp_path):
    told: list[int] = []
    first = feature_cache.embed_rows(
        FakeDataset(), mean_backbone(), "train", ("unmasked", "wide_high"), tmp_path, progress=told.append
    )
    np.testing.assert_array_equal(first["unmasked"], [[10 * i + 1, 1] for i in range(5)])
    np.testing.assert_array_equal(first["wide_high"][:, 0], [10 * i + 2 for i in range(5)])
    assert isinstance(first["unmasked"], np.memmap)
    assert sum(told) == 10
    calls.clear()
    again = feature_cache.embed_rows(FakeDataset(), mean_backbone(), "train", ("wide_high",), tmp_path)
    assert calls == []
    np.testing.assert_array_equal(again["wide_high"], first["wide_high"])
    kept_nowhere = feature_cache.embed_rows(FakeDataset(), mean_backbone(), "train", ("wide_high",), None)
    np.testing.assert_array_equal(kept_nowhere["wide_high"], first["wide_high"])


def chosen(tmp_path, told=None, **rows):
    """Features of the chosen rows of each picture, by name."""
    wanted = {name: np.array(numbers) for name, numbers in rows.items()}
    calls.clear()
    return dict(feature_cache.embed_chosen(FakeDataset(), mean_backbone(), "train", wanted, tmp_path, progress=told))


@pytest.mark.parametrize("aligns", [False, True])
def test_only_the_chosen_rows_are_embedded(tmp_path, aligns):
    told: list[int] = []
    backbone = replace(mean_backbone(), input_size=None) if aligns else mean_backbone()
    wanted = {"unmasked": np.array([0, 3, 4]), "wide_high": np.array([1])}
    for cache in (tmp_path, None):
        calls.clear()
        found = dict(feature_cache.embed_chosen(FakeDataset(), backbone, "train", wanted, cache, progress=told.append))
        np.testing.assert_array_equal(found["unmasked"], [[1, 1], [31, 1], [41, 1]])
        np.testing.assert_array_equal(found["wide_high"], [[12, 1]])
        assert sum(calls) == 4
    assert sum(told) == 8


def test_what_a_part_holds_is_not_computed_again(tmp_path):
    first = chosen(tmp_path, wide_high=[0, 3])["wide_high"]
    np.testing.assert_array_equal(first[:, 0], [2, 32])
    np.testing.assert_array_equal(chosen(tmp_path, wide_high=[0, 3])["wide_high"], first)
    assert calls == []
    np.testing.assert_array_equal(chosen(tmp_path, wide_high=[3])["wide_high"][:, 0], [32])
    assert calls == []
    np.testing.assert_array_equal(chosen(tmp_path, wide_high=[0, 1, 2])["wide_high"][:, 0], [2, 12, 22])
    assert sum(calls) == 2
    whole = chosen(tmp_path, wide_high=[0, 1, 2, 3, 4])["wide_high"]
    np.testing.assert_array_equal(whole[:, 0], [2, 12, 22, 32, 42])
    assert sum(calls) == 1, "row 4 alone: the others are in the two parts"
    assert isinstance(whole, np.memmap)
    np.testing.assert_array_equal(chosen(tmp_path, wide_high=[1, 4])["wide_high"][:, 0], [12, 42])
    rows = feature_cache.embed_rows(FakeDataset(), mean_backbone(), "train", ("wide_high",), tmp_path)["wide_high"]
    np.testing.assert_array_equal(rows, whole)
    assert calls == []


def test_parts_that_hold_a_row_twice_become_one_whole(tmp_path):
    """As two processes write them that start at the same time."""
    wanted = {}
    for place, rows in (("a", [0, 1, 2]), ("b", [2, 3, 4])):
        chosen(tmp_path / place, unmasked=rows)
        for path in (tmp_path / place).rglob("unmasked-*"):
            wanted[path.relative_to(tmp_path / place)] = path.read_bytes()
    assert len(wanted) == 4
    for path, data in wanted.items():
        (tmp_path / "c" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / path).write_bytes(data)
    np.testing.assert_array_equal(chosen(tmp_path / "c", unmasked=[1, 2, 3])["unmasked"][:, 0], [11, 21, 31])
    np.testing.assert_array_equal(chosen(tmp_path / "c", unmasked=range(5))["unmasked"][:, 0], [1, 11, 21, 31, 41])
    assert calls == []


@pytest.mark.parametrize(
    "damage", ["cut", "flip", "no array", "no JSON", "other rows", "more rows", "whole", "dataset"]
)
def test_a_damaged_part_is_refused(tmp_path, damage):
    chosen(tmp_path, unmasked=[0, 3])
    (path,) = tmp_path.rglob("unmasked-*.npy")
    note = path.with_suffix(".json")
    facts = json.loads(note.read_text())
    assert facts["rows"] == "90", "bits 1001 0, and 3 more"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-4])
    elif damage == "flip":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "no array":
        path.unlink()
    elif damage == "no JSON":
        note.write_text("{")
    elif damage == "whole":  # a part never passes for the whole
        path.rename(path.with_name("unmasked.npy"))
        note.rename(path.with_name("unmasked.json"))
    else:
        changed = {"other rows": {"rows": "a0"}, "more rows": {"rows": "91"}, "dataset": {"dataset": "e" * 64}}[damage]
        note.write_text(json.dumps({**facts, **changed}))
    for rows in ([0], range(5)):
        with pytest.raises(MaskgenError, match=r"remove the folder .* computed again"):
            chosen(tmp_path, unmasked=rows)


def test_a_part_without_its_note_was_cut_off_and_is_computed_again(tmp_path):
    chosen(tmp_path, unmasked=[0, 3])
    (note,) = tmp_path.rglob("unmasked-*.json")
    note.unlink()
    np.testing.assert_array_equal(chosen(tmp_path, unmasked=[0, 3])["unmasked"][:, 0], [1, 31])
    assert sum(calls) == 2
    assert note.is_file()


def test_what_is_missing_is_counted(tmp_path):
    def missing(**rows):
        wanted = {name: np.array(numbers) for name, numbers in rows.items()}
        return feature_cache.missing(FakeDataset(), mean_backbone(), "train", wanted, tmp_path)

    assert missing(unmasked=[0, 1], wide_high=[4]) == 3
    chosen(tmp_path, unmasked=[1, 2])
    assert missing(unmasked=[0, 1], wide_high=[4]) == 2
    assert feature_cache.missing(FakeDataset(), mean_backbone(), "train", {"unmasked": np.array([1])}, None) == 1


def test_an_empty_split_has_no_features(tmp_path):
    for cache in (tmp_path, tmp_path, None):
        found = feature_cache.embed_rows(FakeDataset(), mean_backbone(), "val", ("unmasked",), cache)
        assert found["unmasked"].shape == (0, 2)
    assert len(feature_cache.row_index(FakeDataset(), "val")) == 0


def test_other_weights_or_data_have_a_cache_of_their_own(tmp_path):
    backbone, dataset = mean_backbone(), FakeDataset()
    path = feature_cache.cache_path(tmp_path, dataset, backbone, "train", "unmasked")
    assert (
        feature_cache.cache_path(tmp_path, dataset, replace(backbone, fingerprint="c" * 64), "train", "unmasked")
        != path
    )
    assert feature_cache.cache_path(tmp_path, FakeDataset(content="e" * 64), backbone, "train", "unmasked") != path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("backbone", "c" * 64),
        ("dataset", "e" * 64),
        ("split", "val"),
        ("picture", "x"),
        ("shape", [4, 2]),
        ("version", 0),
    ],
)
def test_a_cache_of_anything_else_is_refused(tmp_path, field, value):
    dataset, backbone = FakeDataset(), mean_backbone()
    feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)
    note = feature_cache.cache_path(tmp_path, dataset, backbone, "train", "unmasked").with_suffix(".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), field: value}))
    with pytest.raises(MaskgenError, match=f"another {field}"):
        feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flip", "no array", "no JSON"])
def test_a_damaged_cache_is_refused(tmp_path, damage):
    dataset, backbone = FakeDataset(), mean_backbone()
    feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)
    path = feature_cache.cache_path(tmp_path, dataset, backbone, "train", "unmasked")
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-4])
    elif damage == "flip":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "no array":
        path.unlink()
    else:
        path.with_suffix(".json").write_text("{")
    with pytest.raises(MaskgenError, match=r"remove the folder .* computed again"):
        feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)


def test_an_array_without_its_note_was_cut_off_and_is_computed_again(tmp_path):
    dataset, backbone = FakeDataset(), mean_backbone()
    wanted = feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)["unmasked"].copy()
    path = feature_cache.cache_path(tmp_path, dataset, backbone, "train", "unmasked")
    path.with_suffix(".json").unlink()
    path.write_bytes(b"half")
    found = feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)["unmasked"]
    np.testing.assert_array_equal(found, wanted)
    assert path.with_suffix(".json").is_file()


def test_an_interrupted_pass_leaves_no_cache(tmp_path):
    def run(images, landmarks):
        raise KeyboardInterrupt

    broken = replace(mean_backbone(), run=run)
    with pytest.raises(KeyboardInterrupt):
        feature_cache.embed_rows(FakeDataset(), broken, "train", ("unmasked",), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    found = feature_cache.embed_rows(FakeDataset(), mean_backbone(), "train", ("unmasked",), tmp_path)
    assert found["unmasked"].shape == (5, 2)


def test_what_a_killed_pass_left_is_removed_unless_another_is_at_work(tmp_path):
    dataset, backbone = FakeDataset(), mean_backbone()
    folder = feature_cache.cache_path(tmp_path, dataset, backbone, "train", "unmasked").parent
    folder.mkdir(parents=True)
    left = folder / f".maskgen-{'0' * 16}.unmasked.npy.tmp"
    left.write_bytes(b"half")
    (folder / "own.txt").write_text("not ours")
    with feature_cache._writing_in(folder):  # as another process would be
        assert not left.exists()
        left.write_bytes(b"what that one is writing")
        feature_cache.embed_rows(dataset, backbone, "train", ("unmasked",), tmp_path)
        assert left.exists()
    feature_cache.embed_rows(dataset, backbone, "train", ("unmasked", "wide_high"), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "own.txt", "unmasked.json", "unmasked.npy", "wide_high.json", "wide_high.npy",
    ]  # fmt: skip


def test_a_network_that_aligns_faces_gets_every_row_with_its_landmarks(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "CHUNK", 2)
    shapes = []

    def run(images, landmarks):
        shapes.append((len(images), landmarks.shape))
        return np.array([[image.mean(), 1] for image in images], np.float32)

    aligning = replace(mean_backbone(), input_size=None, run=run)
    found = feature_cache.embed_rows(FakeDataset(), aligning, "train", ("unmasked",), tmp_path)
    np.testing.assert_array_equal(found["unmasked"], [[10 * i + 1, 1] for i in range(5)])
    assert shapes == [(2, (2, 68, 2)), (2, (2, 68, 2)), (1, (1, 68, 2))]


def test_the_threads_that_feed_a_gpu_change_no_feature(demo, monkeypatch):
    dataset = maskgen.open(demo)
    torch.manual_seed(0)
    backbone = resnet_backbone(Network("resnet18"), "resnet18", 32)
    names = ("unmasked", "round_low")
    one = feature_cache.embed_rows(dataset, backbone, "train", names, None)
    monkeypatch.setattr(Backbone, "on_gpu", True)
    monkeypatch.setattr(one_pass, "CHUNK", 8)
    threads = set()
    found = replace(backbone, run=lambda *given: threads.add(threading.get_ident()) or backbone.run(*given))
    two = feature_cache.embed_rows(dataset, found, "train", names, None)
    assert len(threads) > 1
    assert all(np.allclose(one[name], two[name], atol=1e-5) for name in names)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "open_memmap", full)
    with pytest.raises(MaskgenError, match="No space left on device"):
        feature_cache.embed_rows(FakeDataset(), mean_backbone(), "train", ("unmasked",), tmp_path)


def test_the_row_index_names_every_row():
    index = feature_cache.row_index(FakeDataset(3), "train")
    assert index.keys.tolist() == ["000000000", "000000001", "000000002"]
    assert index.labels.tolist() == [0, 0, 1]
    assert index.identities.tolist() == ["n0", "n0", "n1"]
    assert index.variants.tolist() == ["", "", ""]
    assert index.colors.tolist() == [[[3, 4, 5], [0, 1, 2]], [[3, 4, 5], [1, 1, 2]], [[3, 4, 5], [2, 1, 2]]]
