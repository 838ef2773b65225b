"""Parquet files of photographs, by `datasets` and by pyarrow: columns found and named, damage, data sets built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.sources.listing import photographs
from maskgen.sources.reader import Reader

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, table: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), path, **options)
    return path


def listed(src: Path, **options: Any) -> list[tuple[str, str, str]]:
    return [(found.source, found.identity, found.problem.partition(":")[0]) for found in photographs(src, **options)]


def test_rows_are_photographs_and_what_lacks_is_told(tmp_path: Path) -> None:
    images = pa.array(
        [{"bytes": b"one", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None, {"bytes": b""}], IMAGE
    )
    write(tmp_path / "part-0.parquet", {"image": images, "label": pa.array([3, 3, 4, None])})
    write(tmp_path / "part-1.parquet", {"image": pa.array([b"plain"]), "label": pa.array([5])})
    assert [found[:5] for found in photographs(tmp_path)] == [
        ("part-0.parquet/000000", "3", "", 3, ""),
        ("part-0.parquet/000001", "3", "", 0, "unreadable: the row has no image bytes"),
        ("part-0.parquet/000002", "4", "", 0, "unreadable: the row has no image bytes"),
        ("part-0.parquet/000003", "", "", 0, "no_identity: the row names no person"),
        ("part-1.parquet/000000", "5", "", 5, ""),
    ]
    found = [found._asdict() for found in photographs(tmp_path)]
    with Reader(str(tmp_path)) as reader:
        assert [reader.read(found[number]) for number in (0, 4, 0)] == [b"one", b"plain", b"one"]


@pytest.mark.parametrize(
    "people",
    [
        pa.array(["ann", "bob"]),
        pa.array(["ann", "bob"], pa.large_string()),
        pa.array(["ann", "bob"]).dictionary_encode(),
        pa.array([" ann", "bob "]),
    ],
)
def test_people_as_text_of_every_kind(tmp_path: Path, people: pa.Array) -> None:
    write(tmp_path / "x.parquet", {"identity": people, "label": [1.5, 2.5], "jpeg": [b"1", b"2"]})
    assert [person for _, person, _ in listed(tmp_path)] == ["ann", "bob"]


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", {"who": [7], "thumb": [b"t"], "image": [b"image"], "label": [1]})
    assert [found[1:4] for found in photographs(path)] == [("1", "", 5)]
    named = [found[1:4] for found in photographs(path, identity_field="who", image_column="thumb")]
    assert named == [("7", "", 1)]
    with Reader(str(path), "thumb") as reader:
        assert reader.read(next(photographs(path, image_column="thumb"))._asdict()) == b"t"


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        (
            {"image": [b"1"], "name": ["ann"]},
            {},
            "no column identity or label or class; .* --identity-field.*image, name",
        ),
        ({"image": [b"1"], "label": [1.5]}, {}, "double in column 'label'"),
        ({"label": [1], "text": ["t"]}, {}, "no column of images"),
        (
            {"label": [1], "a": [b"1"], "b": [b"2"]},
            {},
            r"several columns of images \(a, b\); name one with --image-column",
        ),
        (
            {"label": [1], "a": [b"1"]},
            {"image_column": "label"},
            "no column of images 'label'; --image-column may be a",
        ),
        ({"label": [1], "a": [b"1"]}, {"identity_field": "who"}, "no column who"),
    ],
)
def test_columns_that_cannot_be_are_one_sentence(
    tmp_path: Path, table: dict[str, Any], options: dict[str, str], words: str
) -> None:
    path = write(tmp_path / "x.parquet", table)
    with pytest.raises(UsageError, match=words) as caught:
        list(photographs(path, **options))
    assert "x.parquet" in str(caught.value)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """300 rows in three row groups of several pages, with checksums, of bytes that do not compress."""
    import numpy as np

    images = [np.random.default_rng(number).bytes(3000) for number in range(300)]
    table = {"image": images, "label": list(range(300))}
    return write(tmp_path / "x.parquet", table, row_group_size=100, data_page_size=20_000, write_page_checksum=True)


def test_rows_are_read_in_any_order(noise: Path) -> None:
    images = pq.read_table(noise)["image"].to_pylist()
    found = [found._asdict() for found in photographs(noise)]
    with Reader(str(noise)) as reader:
        for row in (0, 1, 5, 99, 100, 250, 299, 298, 70, 64, 63, 128):
            assert reader.read(found[row]) == images[row]


@pytest.mark.parametrize("place", [0.0, 0.1, 0.45, 0.8])
def test_a_damaged_page_is_found_while_planning(noise: Path, place: float) -> None:
    data = bytearray(noise.read_bytes())
    at = 100 + int(place * len(data))
    data[at] ^= 0x10
    noise.write_bytes(data)
    with pytest.raises(
        MaskgenError, match=r"x\.parquet is damaged: row group \d cannot be read .*fetch it again"
    ) as caught:
        list(photographs(noise))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, 0.99])
def test_a_file_cut_short_is_one_sentence(noise: Path, keep: float) -> None:
    data = noise.read_bytes()
    noise.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(MaskgenError, match=r"x\.parquet is damaged"):
        list(photographs(noise))


def test_a_file_that_changed_after_the_plan_stops_the_build(noise: Path) -> None:
    found = [found._asdict() for found in photographs(noise)]
    data = bytearray(noise.read_bytes())
    data[len(data) // 2] ^= 1
    noise.write_bytes(data)  # the size is the same: the page's checksum tells
    with Reader(str(noise)) as reader:
        reader.read(found[99])
        with pytest.raises(MaskgenError, match="row group 1 cannot be read"):
            [reader.read(row) for row in found]
    noise.write_bytes(data[:-1])
    with Reader(str(noise)) as reader, pytest.raises(UsageError, match="bytes but had"):
        reader.read(found[0])


def test_a_file_that_the_datasets_library_wrote(tmp_path: Path, takes: Callable[[int], bytes]) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["ann", "bob"])})
    rows = {"image": [{"bytes": takes(number), "path": None} for number in range(4)], "label": [0, 1, 1, 0]}
    table = datasets.Dataset.from_dict(rows, features=features)
    (tmp_path / "data").mkdir()
    table.to_parquet(str(tmp_path / "data/train-00000-of-00001.parquet"))
    (tmp_path / "README.md").write_text("a card")
    name = "data/train-00000-of-00001.parquet"
    assert listed(tmp_path) == [(f"{name}/{n:06d}", ("ann", "bob", "bob", "ann")[n], "") for n in range(4)]
    assert {found.official_split for found in photographs(tmp_path)} == {""}  # train alone is no split to go by
    with Reader(str(tmp_path)) as reader:
        assert [reader.read(found._asdict()) for found in photographs(tmp_path)] == [takes(n) for n in range(4)]
    table.to_parquet(str(tmp_path / "data/test-00000-of-00001.parquet"))
    assert [found.official_split for found in photographs(tmp_path)] == ["test"] * 4 + ["train"] * 4


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_data_set_from_parquet_has_the_photographs_of_the_folder(
    tree: Path,
    tree_rejects: dict[str, str],
    make: Callable[..., Path],
    rejects: Callable[[Path], dict[str, str]],
    hashes: Callable[[Path], dict[str, str]],
    built: Path,
    tmp_path: Path,
    workers: int,
) -> None:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.jpg"))
    images = [{"bytes": (tree / name).read_bytes(), "path": name} for name in names]
    table = pa.table({"image": pa.array(images, IMAGE), "identity": [name.split("/")[0] for name in names]})
    for part in range(2):
        (tmp_path / "src").mkdir(exist_ok=True)
        pq.write_table(table.slice(part * 15, 15), tmp_path / f"src/part-{part}.parquet", row_group_size=4)
    out = make(tmp_path / "src", tmp_path / "out")

    def name_of(source: str) -> str:
        part, row = source.removeprefix("part-").split(".parquet/")
        return names[int(part) * 15 + int(row)]

    assert {name_of(source): reason for source, reason in rejects(out).items()} == tree_rejects
    same = {row.source: row.jpeg("unmasked") for row in maskgen.open(built)}
    rows = list(maskgen.open(out))
    assert len(rows) == len(same) == 27
    assert all(row.jpeg("unmasked") == same[name_of(row.source)] for row in rows)
    again = make(tmp_path / "src", tmp_path / "again", workers=workers, engine="joblib")
    assert hashes(again) == hashes(out)


def test_boxes_need_names(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = write(tmp_path / "x.parquet", {"image": [b"1"], "label": [1]})
    (tmp_path / "boxes.csv").write_text("NAME_ID,X,Y,W,H\na/1,1,2,3,4\n")
    with pytest.raises(UsageError, match="Parquet and RecordIO sources have no such names"):
        make(path, tmp_path / "out", boxes=(tmp_path / "boxes.csv",))
