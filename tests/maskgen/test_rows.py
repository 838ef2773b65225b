"""Rows as a notebook uses them: by position and key, as a table, as a sheet; and data sets of version 1."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet_of_reader
import pytest
from PIL import Image

import maskgen
from maskgen.dataset import identity, markers, together
from maskgen.imaging.render import coverage


@pytest.fixture(scope="module", params=["parquet", "webdataset", "both"])
def dataset(
    request: pytest.FixtureRequest,
    tree: Path,
    built: Path,
    make: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> maskgen.Dataset:
    if request.param == "both":
        return maskgen.open(built)
    return maskgen.open(make(tree, tmp_path_factory.mktemp("rows") / "smfd", format=request.param, store="recipe"))


@pytest.fixture(scope="module")
def plan_rows(built: Path, tree_rejects: dict[str, str]) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    plan = pq.read_table(built / "plan.parquet").to_pylist()
    return [row for row in plan if row["source"] not in tree_rejects]


def test_a_row_by_position(dataset: maskgen.Dataset, plan_rows: list[dict[str, Any]]) -> None:
    assert len(dataset) == 27
    for position, planned in enumerate(plan_rows):
        for row in (dataset[position], dataset[position - 27], dataset[np.int64(position)]):
            assert (row.key, row.source, row.split) == (planned["key"], planned["source"], planned["split"])
    assert dataset[-1].image("wide_low").shape == (96, 96, 3)
    for position in (27, -28, 10**30):
        with pytest.raises(IndexError, match="it has 27"):
            dataset[position]
    with pytest.raises(TypeError):
        dataset[1.0]  # type: ignore[call-overload]


def test_a_row_by_key(
    dataset: maskgen.Dataset, built: Path, plan_rows: list[dict[str, Any]], tree_rejects: dict[str, str]
) -> None:
    for planned in plan_rows:
        assert dataset[planned["key"]].source == planned["source"]
        assert planned["key"] in dataset
    rejected = sorted({f"{number:09d}" for number in range(30)} - {planned["key"] for planned in plan_rows})
    assert len(rejected) == 3
    for key in rejected:
        with pytest.raises(KeyError, match=f"photograph {key} was rejected as (empty|not_an_image|no_face): "):
            dataset[key]
        assert key not in dataset
    for key in ("000000030", "1", "", "-00000001", "٠٠٠٠٠٠٠٠١", "9" * 5000, "ann/0000_01.jpg"):
        with pytest.raises(KeyError, match="there is no photograph"):
            dataset[key]
        assert key not in dataset
    assert 3 not in dataset


@pytest.mark.parametrize(
    "which", [slice(3, 9), slice(None, None, 5), slice(-4, None), slice(20, 2, -3), slice(5, 5), slice(25, 99)]
)
def test_rows_of_a_slice(dataset: maskgen.Dataset, plan_rows: list[dict[str, Any]], which: slice) -> None:
    assert [row.key for row in dataset[which]] == [planned["key"] for planned in plan_rows[which]]


def test_a_row_is_read_from_its_own_shard_and_row_group_only(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, int]] = []
    original = parquet_of_reader.ParquetFile.read_row_group
    dataset = maskgen.open(built)
    opened: list[str] = []
    monkeypatch.setattr(
        parquet_of_reader.ParquetFile,
        "read_row_group",
        lambda self, group, **options: read.append(("group", group)) or original(self, group, **options),
    )
    open_file = type(dataset.storage).open
    monkeypatch.setattr(type(dataset.storage), "open", lambda self, name: opened.append(name) or open_file(self, name))
    row = dataset[20]
    assert len(opened) == 1
    assert opened[0].startswith(f"{row.split}/")
    assert read == [("group", 0)]


def test_a_table_without_pictures(dataset: maskgen.Dataset, plan_rows: list[dict[str, Any]]) -> None:
    pandas = pytest.importorskip("pandas")
    table = dataset.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["key"]) == [planned["key"] for planned in plan_rows]
    colors = [f"{name}_color" for name in maskgen.VARIANTS]
    head = ["key", "source", "identity", "split", "label", "width", "height", "box", "landmarks"]
    assert list(table.columns) == head + colors
    for row, (_, line) in zip(dataset, table.iterrows(), strict=True):
        assert (row.source, row.identity, row.label, row.width) == (
            line["source"],
            line["identity"],
            line["label"],
            line["width"],
        )
        np.testing.assert_array_equal(row.landmarks.ravel(), line["landmarks"])
        np.testing.assert_array_equal(row.box, line["box"])
        assert row.colors["round_low"] == tuple(line["round_low_color"])
    assert table["label"].dtype == np.int32
    assert len(dataset.to_pandas("val")) == dataset.count("val")
    with pytest.raises(maskgen.UsageError, match="there is no split 'dev'"):
        dataset.to_pandas("dev")


def test_without_pandas_it_is_one_sentence(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(maskgen.UsageError, match=r"^to_pandas needs pandas, .*; run pip install pandas\.$"):
        maskgen.open(built).to_pandas()


def test_a_sheet_shows_every_picture(dataset: maskgen.Dataset) -> None:
    row = dataset[4]
    sheet = row.show(size=96)
    assert sheet.size == (7 * 96, 96 + 14)
    for place, name in enumerate(("unmasked", *maskgen.VARIANTS)):
        shown = np.asarray(sheet)[14:, 96 * place : 96 * (place + 1)]
        np.testing.assert_array_equal(shown, row.image(name))
    assert row.show(["wide_low"], size=48).size == (48, 62)
    png = row._repr_png_()
    assert png is not None
    assert Image.open(io.BytesIO(png)).size == (7 * 224, 224 + 14)
    bare = next(dataset.rows(images=()))
    assert bare._repr_png_() is None
    with pytest.raises(maskgen.UsageError, match="was read without pictures"):
        bare.show()


def test_texts_are_short_and_rows_can_be_compared(dataset: maskgen.Dataset, landmarker: maskgen.Landmarker) -> None:
    row, again = dataset[0], dataset[0]
    assert row == row
    assert row != again
    assert len({row, again}) == 2
    assert repr(row).startswith(f"Row('000000000', source={row.source!r}, identity={row.identity!r}, split='train', ")
    assert len(repr(row)) < 300
    shard = dataset.shards("train")[0]
    assert repr(shard) == f"Shard('train/00000', rows={shard.rows})"
    assert repr(dataset) == f"Dataset({str(dataset)!r}, train={dataset.count('train')}, val=3, test=12)"
    face = maskgen.Face(np.array([1, 2, 3, 4.25], np.float32), np.zeros((68, 2), np.float32))
    assert face == face
    assert repr(face) == "Face(box=(1.0, 2.0, 3.0, 4.2), landmarks=68 points)"


def test_a_data_set_is_a_table_in_a_notebook(built: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(built, tmp_path / "<i>&"))
    html = maskgen.open(out)._repr_html_()
    assert "&lt;i&gt;&amp;: both, rendered, pictures unmasked, wide_high," in html
    assert "<i>" not in html
    count = maskgen.open(out).count("train")
    assert f'<td>train</td><td style="text-align: right">{count}</td>' in html


def test_rows_come_with_the_picture_that_was_chosen(dataset: maskgen.Dataset) -> None:
    def choose(key: str) -> str:
        return ("unmasked", *maskgen.VARIANTS)[int(key) % 7]

    for shard in dataset.shards("train"):
        whole = list(shard.read())
        numbers = range(0, shard.rows, 2)
        found = list(shard.read_chosen(("unmasked", *maskgen.VARIANTS), choose, numbers))
        assert [(row.key, name) for row, name in found] == [(row.key, choose(row.key)) for row in whole[::2]]
        for (row, name), other in zip(found, whole[::2], strict=True):
            assert len(row.pictures) == 1
            np.testing.assert_array_equal(row.image(name), other.image(name))


def test_a_data_set_travels_to_another_process(dataset: maskgen.Dataset) -> None:
    assert dataset[3].key
    assert pickle.loads(pickle.dumps(dataset))[3].source == dataset[3].source


@pytest.fixture
def old(built: Path, tmp_path: Path) -> Path:
    """`built` as version 1 had it: the markers beside the shards. The shards are the same bytes in both versions."""
    out = Path(shutil.copytree(built, tmp_path / "old"))
    facts = json.loads((out / "dataset.json").read_bytes()) | {"schema_version": 1}
    described = {name: facts[name] for name in identity.DESCRIPTION}
    fingerprint = identity.fingerprint(described)
    hashes = []
    for path in sorted((out / "__markers").iterdir(), key=lambda path: (path.name[1] == "e", path.name)):
        marker = json.loads(path.read_bytes()) | {"fingerprint": fingerprint}
        split, number = path.stem.split("-")
        (out / split / f"{number}.json").write_text(json.dumps(marker))
        path.unlink()
        hashes += markers.file_hashes(marker)
    (out / "__markers").rmdir()
    facts |= {"fingerprint": fingerprint, "content": markers.content(fingerprint, hashes)}
    (out / "dataset.json").write_text(json.dumps(facts))
    return out


def test_a_data_set_of_version_1_is_read_and_verified(old: Path, built: Path) -> None:
    for one, other in zip(maskgen.open(old), maskgen.open(built), strict=True):
        assert (one.key, one.source, one.pictures) == (other.key, other.source, other.pictures)
    assert maskgen.open(old)["000000021"].source == maskgen.open(built)["000000021"].source
    assert maskgen.verify(old) == maskgen.verify(built)
    (old / "train/00001.parquet").write_bytes(b"")
    said = r"shard train/00001 is broken: .*; delete .*/old/train/00001\.json and run the same `maskgen build` command "
    with pytest.raises(maskgen.MaskgenError, match=said + r"with the maskgen that built it \(schema version 1\)"):
        maskgen.verify(old)


def test_a_build_of_version_1_is_not_resumed_but_may_be_overwritten(
    old: Path, built: Path, tree: Path, make: Callable[..., Path], hashes: Callable[[Path], dict[str, str]]
) -> None:
    before = hashes(old)
    said = (
        r"old is a data set of schema version 1, which readers open as it is, and this maskgen builds version 2; give"
    )
    with pytest.raises(maskgen.UsageError, match=said):
        make(tree, old, format="both")
    assert hashes(old) == before
    make(tree, old, format="both", overwrite=True)
    assert hashes(old) == hashes(built)


def test_shards_of_version_1_without_dataset_json_are_not_taken_for_ours(
    old: Path, tree: Path, make: Callable[..., Path]
) -> None:
    (old / "dataset.json").unlink()
    with pytest.raises(maskgen.UsageError, match=r"has shards but no dataset\.json, and they are of other"):
        make(tree, old, format="both")


def test_pictures_drawn_together_are_those_drawn_alone(
    dataset: maskgen.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(
        together, "coverage", lambda outlines, *size: drawn.append(len(outlines)) or coverage(outlines, *size)
    )
    names = ("unmasked", *maskgen.VARIANTS)
    shown = [(row, names[number % len(names)]) for number, row in enumerate(dataset)]
    assert len(shown) > together.TOGETHER, "more than one group"
    pictures = list(together.images_of(shown))
    assert sum(drawn) == (sum(name != "unmasked" for _, name in shown) if dataset.store == "recipe" else 0)
    assert len(pictures) == len(shown)
    for (row, name), picture in zip(shown, pictures, strict=True):
        np.testing.assert_array_equal(picture, row.image(name))
