"""Other people's libraries read what we write: pyarrow, pandas, polars, duckdb, datasets, webdataset, Pillow."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from PIL import Image

import maskgen
from maskgen.dataset import card
from maskgen.imaging.variants import VARIANTS
from tests.support.processes import SMALL_PREDICTOR

PICTURES = ("unmasked", *VARIANTS)
NAMES = {"train": "train", "validation": "val", "test": "test"}


@pytest.fixture(scope="module")
def rows(built: Path) -> dict[str, maskgen.Row]:
    return {row.key: row for row in maskgen.open(built)}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`datasets` asks no server and keeps its cache in the test's own folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"
        return np.asarray(picture.convert("RGB"))


def test_pillow_decodes_every_picture(rows: dict[str, maskgen.Row]) -> None:
    for row in rows.values():
        for name in PICTURES:
            ours, theirs = row.image(name), pixels(row.jpeg(name))
            assert theirs.shape == (row.height, row.width, 3)
            assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_pyarrow_reads_a_split_as_one_table(built: Path, rows: dict[str, maskgen.Row]) -> None:
    for split in ("train", "val", "test"):
        found = pyarrow.dataset.dataset(built / split, format="parquet", exclude_invalid_files=True).to_table()
        expected = [row for row in rows.values() if row.split == split]
        assert sorted(found["key"].to_pylist()) == [row.key for row in expected]
        for row in found.to_pylist():
            ours = rows[row["key"]]
            assert (row["source"], row["label"], row["wide_low_color"]) == (
                ours.source,
                ours.label,
                list(ours.colors["wide_low"]),
            )
            assert row["round_high"]["bytes"] == ours.jpeg("round_high")


@pytest.fixture(scope="module")
def parquet(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the default format: its split folders hold Parquet files and nothing else."""
    return make(tree, tmp_path_factory.mktemp("parquet") / "smfd")


@pytest.mark.parametrize("library", ["pyarrow", "pyarrow.dataset", "pandas", "polars", "duckdb"])
def test_a_splits_folder_is_read_as_one_table(parquet: Path, rows: dict[str, maskgen.Row], library: str) -> None:
    module = pytest.importorskip(library)
    for split in ("train", "val", "test"):
        place = str(parquet / split)
        if library == "pyarrow":
            found = pq.read_table(place).to_pylist()
        elif library == "pyarrow.dataset":
            found = module.dataset(place).to_table().to_pylist()
        elif library == "pandas":
            found = module.read_parquet(place).to_dict("records")
        elif library == "polars":
            found = module.read_parquet(place).to_dicts()
        else:
            table = module.connect().sql(f"select * from '{parquet}/*/*.parquet' where split = '{split}'")
            found = [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]
        expected = [row for row in rows.values() if row.split == split]
        assert sorted(row["key"] for row in found) == [row.key for row in expected]
        for row in found:
            ours = rows[row["key"]]
            assert (row["source"], row["label"]) == (ours.source, ours.label)
            assert row["round_high"]["bytes"] == ours.jpeg("round_high")


def test_datasets_reads_a_splits_folder_and_the_whole_folder_as_parquet(
    parquet: Path, rows: dict[str, maskgen.Row], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    counts = {name: sum(row.split == split for row in rows.values()) for name, split in NAMES.items()}
    for place, expected in ((parquet / "val", {"train": counts["validation"]}), (parquet, counts)):
        loaded = datasets.load_dataset("parquet", data_dir=str(place), cache_dir=str(tmp_path / place.name))
        assert {name: len(part) for name, part in loaded.items()} == expected
        for part in loaded.values():
            assert all(row["source"] == rows[row["key"]].source for row in part)


def test_duckdb_counts_and_reads(built: Path, rows: dict[str, maskgen.Row]) -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    found = connection.sql(
        f"select identity, count(*), min(label), sum(octet_length(unmasked.bytes)) "
        f"from read_parquet('{built}/*/*.parquet') group by identity order by identity"
    ).fetchall()
    expected = []
    for identity in ("ann", "bob", "cyd", "dee", "eva"):
        own = [row for row in rows.values() if row.identity == identity]
        expected.append((identity, len(own), own[0].label, sum(len(row.jpeg("unmasked")) for row in own)))
    assert found == expected
    reasons = connection.sql(f"select reason from read_parquet('{built}/rejects.parquet') order by reason").fetchall()
    assert reasons == [("empty",), ("no_face",), ("not_an_image",)]
    [(landmark,)] = connection.sql(
        f"select landmarks[3] from read_parquet('{built}/*/*.parquet') where key = '000000004'"
    ).fetchall()
    assert landmark == rows["000000004"].landmarks[1, 0]


def test_datasets_loads_the_folder_as_it_is(built: Path, rows: dict[str, maskgen.Row], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    assert datasets.get_dataset_config_names(str(built)) == ["default"], "every config that the card names loads"
    loaded = datasets.load_dataset(str(built), cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in loaded.items()} == {
        name: sum(row.split == split for row in rows.values()) for name, split in NAMES.items()
    }
    features = loaded["train"].features
    assert {name for name, kind in features.items() if isinstance(kind, datasets.Image)} == set(PICTURES)
    assert features["landmarks"] == datasets.List(datasets.Value("float32"), length=136)
    assert features["wide_high_color"] == datasets.List(datasets.Value("uint8"), length=3)
    for part in loaded.values():
        for row in part:
            ours = rows[row["key"]]
            assert isinstance(row["wide_medium"], Image.Image)
            np.testing.assert_array_equal(np.asarray(row["wide_medium"]), pixels(ours.jpeg("wide_medium")))
            assert (row["identity"], row["label"], row["width"]) == (ours.identity, ours.label, 96)
            np.testing.assert_array_equal(np.array(row["landmarks"], np.float32), ours.landmarks.ravel())


@pytest.mark.parametrize("settings", [{"variants": "random"}, {"store": "recipe"}])
def test_datasets_loads_the_other_kinds(
    tree: Path, make: Callable[..., Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    datasets = pytest.importorskip("datasets")
    out = make(tree, tmp_path / "smfd", **settings)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"), split="train")
    ours = {row.key: row for row in maskgen.open(out).rows("train")}
    assert len(loaded) == len(ours)
    for row in loaded:
        np.testing.assert_array_equal(np.asarray(row["unmasked"]), pixels(ours[row["key"]].jpeg("unmasked")))
        if "variants" in settings:
            assert row["variant"] == ours[row["key"]].variant
            assert tuple(row["masked_color"]) == ours[row["key"]].colors["masked"]
        else:
            assert "wide_high" not in row


def check_tar_rows(found: list[dict[str, Any]], rows: dict[str, maskgen.Row], split: str) -> None:
    assert [row["__key__"] for row in found] == [row.key for row in rows.values() if row.split == split]
    for row in found:
        ours = rows[row["__key__"]]
        assert row["json"]["source"] == ours.source
        assert row["json"]["label"] == ours.label
        np.testing.assert_array_equal(np.array(row["json"]["landmarks"], np.float32), ours.landmarks.ravel())
        np.testing.assert_array_equal(np.asarray(row["round_low.jpg"]), pixels(ours.jpeg("round_low")))


def test_datasets_loads_the_tars_of_a_data_set_of_both(
    built: Path, rows: dict[str, maskgen.Row], tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    files = {name: f"{built}/{split}/*.tar" for name, split in NAMES.items()}
    loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    for name, split in NAMES.items():
        check_tar_rows(list(loaded[name]), rows, split)


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_loads_a_data_set_of_tars_only(
    tree: Path, make: Callable[..., Path], tmp_path: Path, streaming: bool
) -> None:
    datasets = pytest.importorskip("datasets")
    out = make(tree, tmp_path / "smfd", format="webdataset")
    ours = {row.key: row for row in maskgen.open(out)}
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"), split="test", streaming=streaming)
    check_tar_rows(list(loaded), ours, "test")


def test_webdataset_reads_the_tars(built: Path, rows: dict[str, maskgen.Row]) -> None:
    webdataset = pytest.importorskip("webdataset")
    for split in ("train", "val", "test"):
        shards = sorted(map(str, (built / split).glob("*.tar")))
        found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("pil"))
        check_tar_rows(found, rows, split)
        assert set(found[0]) >= {f"{name}.jpg" for name in PICTURES} | {"json", "__key__"}


def test_the_card_names_every_split_and_the_counts(built: Path, info: Callable[[Path], dict[str, Any]]) -> None:
    text = (built / "README.md").read_text()
    counts = info(built)["counts"]
    for split, count in counts.items():
        assert f"| {split} | {count['rows']:,} | {sum(count['rejects'].values()):,} |" in text
    assert sum(count["rows"] for count in counts.values()) == 27
    assert info(built)["fingerprint"] in text


def test_the_hub_understands_the_cards_head(built: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.DatasetCard((built / "README.md").read_text()).data
    assert (data.license, data.license_name, data.size_categories) == (
        "other",
        "that-of-the-source-photographs",
        ["n<1K"],
    )


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (3_300_000, "1M<n<10M"), (10**12, "n>1T")],
)
def test_the_cards_size_category_is_one_of_the_hubs(rows: int, category: str) -> None:
    assert card._size_category(rows) == category


def test_pandas_reads_plan_and_rejects(built: Path) -> None:
    plan, rejects = (pq.read_table(built / f"{name}.parquet").to_pandas() for name in ("plan", "rejects"))
    assert len(plan) == 30
    assert set(rejects["key"]) <= set(plan["key"])
    assert dict(zip(rejects["source"], rejects["reason"], strict=True)) == {
        "ann/0002_01.jpg": "empty",
        "bob/0003_01.jpg": "not_an_image",
        "cyd/0004_01.jpg": "no_face",
    }


@pytest.mark.slow
def test_a_whole_build_runs_without_torch(tree: Path, tmp_path: Path) -> None:
    program = """
import json, sys
for name in ("torch", "torchvision", "webdataset", "datasets", "matplotlib"):
    sys.modules[name] = None  # import of it raises ImportError
import maskgen
from pathlib import Path
src, out, predictor = map(Path, sys.argv[1:])
maskgen.build(src=src, out=out, format="both", workers=2, shard_size=12, size=64, predictor=predictor)
rows = [row.image("wide_low").shape for row in maskgen.open(out)]
from maskgen import verify
loaded = {name for name, module in sys.modules.items() if module}
unwanted = [name for name in loaded if "torch" in name or name == "face_recognition_models"]
print(json.dumps([len(rows), verify(out)["rows"], unwanted]))
"""
    command = [sys.executable, "-c", program, tree, tmp_path / "smfd", SMALL_PREDICTOR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [27, 27, []]


def test_no_part_of_maskgen_or_its_command_imports_torch() -> None:
    program = """
import importlib, pkgutil, sys
import maskgen
for module in pkgutil.walk_packages(maskgen.__path__, "maskgen."):
    if not module.name.endswith("__main__"):  # importing that runs the command
        importlib.import_module(module.name)
print("torch" in sys.modules, "face_recognition_models" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split() == ["False", "False"]
