"""A flipped bit, a tar cut at a member's boundary, a lost file: `verify` sees each of them, and readers the cuts."""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.cli.console import inspection, verify_with_progress
from maskgen.dataset.verify import verify
from tests.support.fuzz import examples

Hashes = Callable[[Path], dict[str, str]]
UNCHECKED = ("run.json", "README.md", ".maskgen-lock")
"""Timings, a text for people, and an empty file."""


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "smfd"))


def test_an_undamaged_data_set_is_whole(copy: Path) -> None:
    counts = verify(copy)
    assert (counts["photographs"], counts["rows"], counts["rejects"]) == (30, 27, 3)


def test_verify_sees_every_flipped_bit(copy: Path, times: int, chance: random.Random) -> None:
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.name not in UNCHECKED)
    small = [path for path in files if path.suffix == ".json"]
    for number in range(examples(100) if times == 1 else 300 * times):
        path = chance.choice(small if number % 2 else files)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        if not _harmless(path, whole, damaged):
            with pytest.raises(maskgen.MaskgenError) as caught:
                verify(copy)
            assert str(copy) in str(caught.value) or "shard " in str(caught.value)
            assert "\n" not in str(caught.value), f"at {number}"
        path.write_bytes(whole)
    verify(copy)


def _harmless(path: Path, one: bytes, other: bytearray) -> bool:
    """Whether a flipped bit changed only the white space of a JSON file, or what no reader of the rejects reads."""
    try:
        if path.suffix == ".json":
            return json.loads(one) == json.loads(bytes(other))
        tables = [pq.read_table(pa.BufferReader(bytes(data))) for data in (one, other)]
        return path.name == "rejects.parquet" and tables[0].to_pylist() == tables[1].to_pylist()
    except (ValueError, OSError, pa.ArrowException):
        return False


def test_what_verify_advises_mends_a_shard(
    tree: Path, copy: Path, shape: dict[str, Any], expected: dict[str, str], hashes: Hashes
) -> None:
    for name in ("train/00001.parquet", "train/00001.tar"):
        path = copy / name
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        with pytest.raises(
            maskgen.MaskgenError, match=r"shard train/00001 is broken.*delete .*__markers/train-00001\.json"
        ):
            verify(copy)
        (copy / "__markers/train-00001.json").unlink()
        maskgen.build(maskgen.BuildSettings(src=tree, out=copy, engine="serial", **shape))
        assert hashes(copy) == expected


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"", lambda data: data.replace(b"95", b"94")])
def test_what_is_advised_mends_dataset_json(
    tree: Path,
    copy: Path,
    shape: dict[str, Any],
    expected: dict[str, str],
    hashes: Hashes,
    damage: Callable[[bytes], bytes],
) -> None:
    path = copy / "dataset.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(maskgen.MaskgenError, match=r"delete that file and run the same `maskgen build` command again"):
        verify(copy)
    path.unlink()
    (copy / "notes.txt").write_text("mine")  # beside a data set other files are tolerated
    assert maskgen.build(maskgen.BuildSettings(src=tree, out=copy, engine="serial", **shape)).made == 0
    (copy / "notes.txt").unlink()
    assert hashes(copy) == expected
    verify(copy)


@pytest.mark.parametrize("change", [{"quality": 50}, {"limit": 20}])
def test_shards_without_dataset_json_are_not_taken_for_others(
    tree: Path, copy: Path, shape: dict[str, Any], hashes: Hashes, change: dict[str, Any]
) -> None:
    (copy / "dataset.json").unlink()
    before = hashes(copy)
    for overwrite in (False, True):
        build = maskgen.BuildSettings(src=tree, out=copy, engine="serial", overwrite=overwrite, **shape | change)
        with pytest.raises(maskgen.UsageError, match=r"has shards but no dataset\.json, and they are of other"):
            maskgen.build(build)
        assert hashes(copy) == before


def test_dataset_json_without_a_part_is_one_sentence(copy: Path) -> None:
    path = copy / "dataset.json"
    whole = json.loads(path.read_bytes())
    parts: list[tuple[str, ...]] = [(name,) for name in whole if name != "complete"]
    parts += [("counts", "train", name) for name in ("rows", "rejects")]
    parts += [("settings", name) for name in ("variants", "format", "store", "fit")]
    for *above, name in parts:
        for other in (None, 3.5, {"a": None}):
            damaged = json.loads(json.dumps(whole))
            inner = damaged
            for step in above:
                inner = inner[step]
            del inner[name]
            if other is not None:
                inner[name] = other
            path.write_text(json.dumps(damaged))
            for command in (inspection, verify_with_progress):
                with pytest.raises(maskgen.MaskgenError, match=r"dataset\.json is not as maskgen writes it"):
                    command(str(copy))


@pytest.mark.parametrize(
    "name",
    ["train/00007.parquet", "test/more.parquet", "val/notes.json", "train/00099.tar", "__markers/val-00077.json"],
)
def test_a_file_that_readers_take_for_a_shard_is_named(
    tree: Path, copy: Path, shape: dict[str, Any], name: str
) -> None:
    shutil.copy(copy / "train/00000.parquet", copy / name)
    maskgen.build(maskgen.BuildSettings(src=tree, out=copy, engine="serial", **shape))
    with pytest.raises(maskgen.MaskgenError, match=rf"^no marker names {copy / name}, and readers may .* delete it"):
        verify(copy)
    (copy / name).unlink()
    verify(copy)


def test_a_lost_file_is_named(copy: Path) -> None:
    for name in ("plan.parquet", "rejects.parquet", "README.md", "train/00000.tar", "__markers/val-00000.json"):
        (copy / name).rename(copy / "elsewhere")
        with pytest.raises(maskgen.MaskgenError, match=name.rpartition("/")[2].partition(".")[0]):
            verify(copy)
        (copy / "elsewhere").rename(copy / name)


def test_a_tar_cut_at_a_members_boundary_is_seen_by_reader_and_verify(
    tree: Path, shape: dict[str, Any], tmp_path: Path
) -> None:
    """Common libraries read such a tar without a word, only shorter."""
    out = tmp_path / "smfd"
    maskgen.build(maskgen.BuildSettings(src=tree, out=out, engine="serial", **shape | {"format": "webdataset"}))
    path = out / "train/00000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive.getmembers()]
    assert len(starts) == 4 * 8 or len(starts) == 3 * 8
    for cut in (*starts, len(whole) - 1024, len(whole) - 512):
        path.write_bytes(whole[:cut])
        with pytest.raises(maskgen.MaskgenError, match=r"shard train/00000 is broken: 00000\.tar has"):
            verify(out)
        if cut <= starts[-1]:
            with pytest.raises(maskgen.MaskgenError, match=r"cannot be read|ends after"):
                list(maskgen.open(out).rows("train"))
    path.write_bytes(whole)
    verify(out)
