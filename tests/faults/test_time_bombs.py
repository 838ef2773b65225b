"""Photographs that are made to cost time or memory: rejected by the work they are, or else by the time they took."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.errors import Rejected, UsageError
from maskgen.imaging import limits
from maskgen.imaging.decode import decode
from tests.support.forked import have_a_third_of_the_time, use_forked_workers
from tests.support.processes import ROOT, SMALL_PREDICTOR, finish, needs_signals, reaped, start


@pytest.fixture(scope="module")
def hostile() -> Iterator[Any]:
    """The module of benchmarks/ that writes such photographs."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import _hostile  # type: ignore[import-not-found]

        yield _hostile
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def rejected(data: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        decode(data)
    assert caught.value.reason == "too_large"
    return caught.value.detail


def test_scans_times_pixels_are_limited(hostile: Any) -> None:
    assert rejected(hostile.scans(2_000, 900)) == "905 scans of 2000 x 2000 pixels; the limit is 715 at this size"
    assert decode(hostile.scans(2_000, 20)).shape == (2_000, 2_000, 3)
    np.testing.assert_array_equal(decode(hostile.scans(64, 1_000)), decode(hostile.scans(64, 1)))


def test_only_the_scans_of_the_picture_count(hostile: Any, encode: Callable[..., bytes], head: np.ndarray) -> None:
    """Not those of a preview in its header, nor what lies behind it."""
    plain, progressive = encode(head), encode(head, progressive=True)
    preview = plain[:2] + hostile.segment(0xE1, b"Exif\0\0" + progressive) + plain[2:]
    assert [limits.count_scans(data) for data in (plain, preview, plain + progressive)] == [1, 1, 1]
    assert limits.count_scans(progressive) == progressive.count(b"\xff\xda") == 10


def test_segments_header_and_exif_of_a_jpeg_are_limited(hostile: Any) -> None:
    empty, comment = hostile.segment(0xFE, b""), hostile.segment(0xFE, bytes(65_000))
    for many in (empty, b"\xff", b"."):
        detail = rejected(hostile.with_header(empty, many * 66_000))
        assert detail == "more than 65,536 segments or fill bytes, which is the limit"
    assert (
        rejected(hostile.with_header(comment * 520))
        == "more than 33,554,432 bytes before the pixels, which is the limit"
    )
    assert rejected(hostile.exif_parts(17)) == "more than 1,048,576 bytes of EXIF data, which is the limit"
    assert rejected(hostile.exif_rationals(200_000)) == "more than 1,048,576 bytes of EXIF data, which is the limit"
    flat = decode(hostile.jpeg(64, 64))
    for harmless in (empty * 60_000, comment * 500):
        np.testing.assert_array_equal(decode(hostile.with_header(harmless)), flat)
    np.testing.assert_array_equal(decode(hostile.exif_parts(15)), flat)
    png = hostile.png(64, 64, hostile.chunk(b"eXIf", b"MM\0\x2a" + bytes(1 << 20)))
    assert rejected(png) == "more than 1,048,576 bytes of EXIF data, which is the limit"


STEPS = {
    "PNG, chunks before the pixels": lambda attack: attack.png(64, 64, attack.chunk(b"teSt", b"") * 30_000),
    "PNG, chunks behind the pixels": lambda attack: attack.png(64, 64, after=attack.chunk(b"teSt", b"") * 30_000),
    "PPM, comments in the header": lambda attack: b"P6\n" + b"#\n" * 30_000 + b"8 8 255\n" + bytes(192),
    "PPM, 254 grades": lambda attack: b"P6 300 300 254\n" + bytes(270_000),
    "BMP, ends of line": lambda attack: attack.bmp(8, 8, b"\0\0" * 30_000, compression=1),
    "BMP, runs of no pixel": lambda attack: attack.bmp(8, 8, b"\x09\x07" * 30_000, compression=1),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_in_python_are_limited(name: str, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_READS", 50_000)
    assert rejected(STEPS[name](hostile)) == "it takes more than 50,000 steps to read, which is the limit"
    small = {"PPM, 254 grades": b"P6 3 2 254\n" + bytes(18), "BMP, runs": hostile.bmp(2, 1, b"\2\7", compression=1)}
    assert [decode(data).shape for data in small.values()] == [(2, 3, 3), (1, 2, 3)]


def test_the_longer_side_is_limited(hostile: Any) -> None:
    assert rejected(hostile.png(1, 100_001)) == "1 x 100001 pixels; the limit is 100,000 a side"
    assert decode(hostile.png(1, 100_000)).shape == (100_000, 1, 3)


def test_numbers_and_comments_of_a_plain_pnm_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rejected(b"P2 8 8 255\n" + b"#\n" * 2_000 + b"7 " * 64) == "2,000 comments; the limit is 1,000"
    assert rejected(b"P3 9000 9000 255\n7") == "243,000,000 numbers written out; the limit is 8,388,608"
    commented = b"P2 # a comment\n8 8 255\n" + b"7 # another\n" * 64
    assert (decode(commented) == 7).all()


def test_photographs_of_too_much_work_leave_their_neighbours_alone(
    tree: Path,
    hostile: Any,
    tmp_path: Path,
    hashes: Callable[[Path], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process or two: the same bytes."""
    use_forked_workers(monkeypatch)
    fewer = shutil.ignore_patterns("eva", "0004_01.jpg", "0005_01.jpg")
    src = Path(shutil.copytree(tree, tmp_path / "src", ignore=fewer))
    shape = {
        "size": 64,
        "shard_size": 5,
        "test_identities": 0.4,
        "predictor": SMALL_PREDICTOR,
        "photograph_megabytes": 110,
    }
    usual = rows(maskgen.build(src=src, out=tmp_path / "usual", engine="serial", **shape).out)
    attacks = {
        "ann/0000_01.jpg": (hostile.scans(2_000, 900), "905 scans of 2000 x 2000 pixels"),
        "bob/0001_01.jpg": (hostile.exif_parts(17), "more than 1,048,576 bytes of EXIF data"),
        "cyd/0002_01.jpg": (b"P2 8 8 255\n" + b"#\n" * 2_000 + b"7 " * 64, "2,000 comments"),
        "dee/0003_01.jpg": (hostile.jpeg(2_200, 2_200), "2200 x 2200 pixels take up to 121 MB; the limit is 110 MB"),
    }
    for name, (data, _) in attacks.items():
        (src / name).write_bytes(data)
    for workers in (1, 2):
        maskgen.build(src=src, out=tmp_path / str(workers), workers=workers, **shape)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")
    found = details(tmp_path / "1")
    for name, (_, detail) in attacks.items():
        assert found[name][0] == "too_large"
        assert found[name][1].startswith(detail)
    assert rows(tmp_path / "1") == {name: row for name, row in usual.items() if name not in attacks}


def details(out: Path) -> dict[str, tuple[str, str]]:
    found = pq.read_table(out / "rejects.parquet").to_pylist()
    return {row["source"]: (row["reason"], row["detail"]) for row in found}


def rows(out: Path | str) -> dict[str, Any]:
    return {row.source: (row.box.tolist(), row.pictures["wide_high"]) for row in maskgen.open(out)}


def test_the_limit_of_memory_shapes_a_data_set_and_its_absence_does_not(
    tree: Path, tmp_path: Path, make: Callable[..., Path], info: Callable[[Path], dict[str, Any]]
) -> None:
    usual = make(tree, tmp_path / "usual", limit=3)
    assert "photograph-megabytes" not in info(usual)["settings"], "data sets of before have the same fingerprint"
    assert (
        info(make(tree, tmp_path / "limited", limit=3, photograph_megabytes=99))["settings"]["photograph-megabytes"]
        == 99
    )
    assert make(tree, usual, limit=3, photograph_seconds=9.0) == usual
    with pytest.raises(UsageError, match="photograph-megabytes None there and 1 here"):
        make(tree, usual, limit=3, photograph_megabytes=1)


@needs_signals
def test_a_photograph_that_takes_too_long_is_rejected(
    tree: Path, hostile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlib searches it for some seconds and holds Python's lock all the while."""
    use_forked_workers(monkeypatch, have_a_third_of_the_time)
    src = Path(shutil.copytree(tree, tmp_path / "src"))
    (src / "ann/0003_01.jpg").write_bytes(hostile.jpeg(3_000, 3_000))
    shape = {"size": 64, "shard_size": 6, "test_identities": 0, "limit": 6, "predictor": SMALL_PREDICTOR}
    maskgen.build(src=src, out=tmp_path / "limited", engine="joblib", workers=2, photograph_seconds=1, **shape)
    reject = ("too_slow", "it took more than 1 s of processor time, the time limit (--photograph-seconds)")
    assert details(tmp_path / "limited")["ann/0003_01.jpg"] == reject
    usual = rows(maskgen.build(src=tree, out=tmp_path / "usual", engine="serial", **shape).out)
    assert rows(tmp_path / "limited") == {name: row for name, row in usual.items() if name != "ann/0003_01.jpg"}
    assert len(usual) == 5


@needs_signals
@pytest.mark.slow
def test_by_either_engine_a_photograph_that_takes_too_long_is_rejected_and_its_neighbours_are_rows(
    tree: Path, hostile: Any, tmp_path: Path, hashes: Callable[[Path], dict[str, str]]
) -> None:
    """dlib searches it for some seconds and holds Python's lock all the while."""
    src = Path(shutil.copytree(tree, tmp_path / "src"))
    (src / "dee/0003_01.jpg").write_bytes(hostile.jpeg(6_000, 6_000))
    shape = {"size": 64, "shard_size": 15, "test_identities": 0, "limit": 30}
    for engine in ("joblib", "dask"):
        options = [f"--engine={engine}", "--workers=2", "--photograph-seconds=1"]
        said = finish(start(src, tmp_path / engine, *options, shape=shape))
        assert "ran out of time; its photographs are tried one by one." in said
    assert hashes(tmp_path / "joblib") == hashes(tmp_path / "dask")
    reject = ("too_slow", "it took more than 1 s of processor time, the time limit (--photograph-seconds)")
    assert details(tmp_path / "joblib")["dee/0003_01.jpg"] == reject
    maskgen.build(src=src, out=tmp_path / "serial", engine="serial", photograph_seconds=1, **shape)
    assert details(tmp_path / "serial")["dee/0003_01.jpg"][0] == "no_face", "no other process could resume"
    assert rows(tmp_path / "joblib") == rows(tmp_path / "serial")


@needs_signals
@pytest.mark.slow
def test_a_process_without_memory_ends_in_a_reject_or_a_sentence(tree: Path, tmp_path: Path) -> None:
    src = Path(shutil.copytree(tree, tmp_path / "src"))
    with (src / "dee/0003_01.jpg").open("ab") as file:
        file.write(b"poison:0\n\xff\xd9")
    poisoned = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests/poison", ROOT)))}
    shape = {"size": 64, "test_identities": 0}
    finish(start(src, tmp_path / "two", "--workers=2", shape=shape, env=poisoned))
    assert details(tmp_path / "two")["dee/0003_01.jpg"][0] == "crashed_worker"
    process = start(src, tmp_path / "one", "--workers=1", shape=shape, env=poisoned)
    with reaped(process):
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("maskgen: out of memory making shard train/00000; free some memory, or reject large")
    assert errors.count("\n") == 1
