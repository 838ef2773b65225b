"""Writers, commits and the reader: exact contents, equal bytes, and damage that is named."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import maskgen
from maskgen.dataset import markers, schema, tar
from maskgen.dataset.markers import marker_name
from maskgen.dataset.record import Row
from maskgen.dataset.verify import verify
from maskgen.dataset.writers import ROW_GROUP, WRITERS
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.variants import VARIANTS, masked_names
from maskgen.storage import files
from maskgen.storage.local import LocalStorage

COLUMNS = ["key", "source", "identity", "split", "label", "width", "height", "box", "landmarks"]


def sample(number: int, variants: str = "all", store: str = "rendered") -> Row:
    masks = masked_names(variants)
    return Row(
        key=f"{number:09d}",
        source=f"ann/ä {number}.jpg",
        identity="ann",
        split="train",
        label=2,
        width=31,
        height=17,
        box=np.array([1.5, 2, 30, 16], np.float32) + number,
        landmarks=np.arange(136, dtype=np.float32).reshape(68, 2) / 3 + number,
        variant="wide_low" if variants == "random" else None,
        colors={name: (number % 256, place, 255) for place, name in enumerate(masks)},
        pictures={name: f"{name} of {number}".encode() for name in schema.picture_names(variants, store)},
    )


def write(path: Path, samples: list[Row], variants: str = "all", store: str = "rendered") -> Path:
    with WRITERS[path.suffix[1:]](path, variants, store) as file:
        for one in samples:
            file.add(one)
    return path


def test_parquet_columns_are_the_contract(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [sample(0)])
    found = pq.read_schema(path)
    assert found.names == [*COLUMNS, "unmasked", *VARIANTS, *(f"{name}_color" for name in VARIANTS)]
    types = {name: found.field(name).type for name in found.names}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert {types[name] for name in ("unmasked", *VARIANTS)} == {image}
    assert {types[name] for name in ("key", "source", "identity", "split")} == {pa.string()}
    assert {types[name] for name in ("label", "width", "height")} == {pa.int32()}
    for name, kind, length in [
        ("box", pa.float32(), 4),
        ("landmarks", pa.float32(), 136),
        ("wide_low_color", pa.uint8(), 3),
    ]:
        assert (types[name].value_type, types[name].list_size) == (kind, length)


@pytest.mark.parametrize(("variants", "store"), [("random", "rendered"), ("wide_low,round_high", "recipe")])
def test_parquet_columns_of_other_settings(tmp_path: Path, variants: str, store: str) -> None:
    found = pq.read_schema(write(tmp_path / "a.parquet", [sample(0, variants, store)], variants, store)).names
    assert (
        found[9:]
        == {
            "random": ["unmasked", "masked", "variant", "masked_color"],
            "wide_low,round_high": ["unmasked", "wide_low_color", "round_high_color"],
        }[variants]
    )


def test_parquet_holds_every_value(tmp_path: Path) -> None:
    count = 2 * ROW_GROUP + 3
    path = write(tmp_path / "a.parquet", [sample(number) for number in range(count)])
    rows = pq.read_table(path).to_pylist()
    assert len(rows) == count
    for number, row in enumerate(rows):
        one = sample(number)
        assert [row[name] for name in COLUMNS[:7]] == [getattr(one, name) for name in COLUMNS[:7]]
        assert row["box"] == one.box.tolist()
        assert row["landmarks"] == one.landmarks.ravel().tolist()
        for name in ("unmasked", *VARIANTS):
            assert row[name] == {"bytes": one.pictures[name], "path": f"{one.key}.{name}.jpg"}
        for name in VARIANTS:
            assert row[f"{name}_color"] == list(one.colors[name])
    file = pq.ParquetFile(path)
    groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert groups == [ROW_GROUP, ROW_GROUP, 3]


def test_tar_holds_every_value_in_webdatasets_order_and_no_time_or_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [sample(7), sample(8)])
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        contents = {member.name: archive.extractfile(member).read() for member in members}
    kinds = [f"{name}.jpg" for name in ("unmasked", *VARIANTS)] + ["json"]
    assert [member.name for member in members] == [
        f"{key}.{kind}" for key in ("000000007", "000000008") for kind in kinds
    ]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    for number in (7, 8):
        one = sample(number)
        assert all(contents[f"{one.key}.{name}.jpg"] == data for name, data in one.pictures.items())
        row = json.loads(contents[f"{one.key}.json"])
        assert list(row) == [*COLUMNS, *(f"{name}_color" for name in VARIANTS)]
        assert row["source"] == f"ann/ä {number}.jpg"
        assert np.array_equal(np.array(row["landmarks"], np.float32), one.landmarks.ravel())
        assert row["wide_medium_color"] == [number, 1, 255]


@pytest.mark.parametrize("ending", ["parquet", "tar"])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, ending: str) -> None:
    samples = [sample(number) for number in range(70)]
    first, again = (write(tmp_path / f"{name}.{ending}", samples) for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    assert write(tmp_path / f"c.{ending}", samples[1:]).read_bytes() != first.read_bytes()


def test_pictures_are_not_compressed_a_second_time(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(50_000)
    one = dataclasses.replace(sample(0), pictures=dict.fromkeys(("unmasked", *VARIANTS), noise))
    group = pq.ParquetFile(write(tmp_path / "a.parquet", [one])).metadata.row_group(0)
    codecs = {group.column(place).path_in_schema: group.column(place).compression for place in range(group.num_columns)}
    assert {codecs[f"{name}.bytes"] for name in ("unmasked", *VARIANTS)} == {"UNCOMPRESSED"}


def test_a_temporary_name_is_gone_unless_it_was_published(tmp_path: Path) -> None:
    with files.temporary(tmp_path / "a.tar") as name:
        name.write_bytes(b"half")
        assert files.is_temporary(name.name)
        assert name.parent == tmp_path, "a rename must not cross file systems"
        assert files.leftovers(tmp_path) == [name]
    assert list(tmp_path.iterdir()) == []

    def fail() -> None:
        with files.temporary(tmp_path / "a.tar") as name:
            name.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with files.temporary(tmp_path / "a.tar") as name, files.temporary(tmp_path / "a.tar") as other:
        assert name != other
        name.write_bytes(b"whole")
        files.publish(name, tmp_path / "a.tar")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tar": b"whole"}
    assert not any(map(files.is_temporary, ("a.tar", ".maskgen-lock", "a.tmp", ".maskgen-0123.a.tar.tmp")))


def test_json_is_written_whole_and_equal_for_equal_values(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"b": 1, "a": ["ä"]})
    files.write_json(tmp_path / "b", {"a": ["ä"], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_bytes()) == {"a": ["ä"], "b": 1}


def test_a_marker_counts_when_it_is_of_this_data_set_and_its_files_have_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "__markers").mkdir()
    (tmp_path / "train/00003.tar").write_bytes(b"12345")
    fingerprint = "f" * 64
    tar = {"bytes": 5, "sha256": "0" * 64}
    marker = {"fingerprint": fingerprint, "photographs": 1, "rows": 1, "rejects": [], "files": {"00003.tar": tar}}
    files.write_json(tmp_path / marker_name("train", 3), marker)

    def read(shard: int = 3, fingerprint: str = fingerprint) -> Any:
        return next(markers.read_markers(LocalStorage(tmp_path), [("train", shard)], fingerprint))

    assert read() == marker
    assert read(fingerprint="e" * 64) is None
    assert read(4) is None
    (tmp_path / "train/00003.tar").write_bytes(b"1234")
    assert read() is None
    (tmp_path / "train/00003.tar").unlink()
    assert read() is None
    for damaged in (b"", b"{", b"[]", b'{"fingerprint": "f"}', b'{"fingerprint": "f", "files": 3}'):
        (tmp_path / marker_name("train", 3)).write_bytes(damaged)
        assert read() is None


def test_markers_describe_their_files(built: Path, tree_rejects: dict[str, str]) -> None:
    plan = pq.read_table(built / "plan.parquet").to_pylist()
    reasons: dict[str, str] = {}
    for path in sorted(built.glob("__markers/*.json")):
        marker = json.loads(path.read_bytes())
        split, number = path.stem.split("-")
        shard = [row for row in plan if row["split"] == split and row["shard"] == int(number)]
        assert marker["photographs"] == len(shard) == marker["rows"] + len(marker["rejects"])
        reasons |= {reject["source"]: reject["reason"] for reject in marker["rejects"]}
        assert set(marker["files"]) == {f"{number}.parquet", f"{number}.tar"}
        for name, file in marker["files"].items():
            data = (built / split / name).read_bytes()
            assert file == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert reasons == tree_rejects


@pytest.fixture(scope="module")
def stores(tree: Path, tmp_path_factory: pytest.TempPathFactory, make: Callable[..., Path]) -> dict[str, Path]:
    """Three people of the same tree in every format and store."""
    folder = tmp_path_factory.mktemp("stores")
    return {
        f"{format} {store} {variants}": make(
            tree,
            folder / f"{format}-{store}-{variants}",
            limit=18,
            format=format,
            store=store,
            variants=variants,
            quality=90,
        )
        for format in ("parquet", "webdataset")
        for store in ("rendered", "recipe")
        for variants in ("all", "random")
    }


def same_row(a: maskgen.Row, b: maskgen.Row) -> None:
    for name in (*COLUMNS[:7], "colors", "variant"):
        assert getattr(a, name) == getattr(b, name)
    np.testing.assert_array_equal(a.box, b.box)
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    assert (a.box.dtype, a.box.shape, a.landmarks.dtype, a.landmarks.shape) == (np.float32, (4,), np.float32, (68, 2))


@pytest.mark.parametrize("kind", ["rendered all", "recipe all", "rendered random", "recipe random"])
def test_both_formats_read_back_alike(stores: dict[str, Path], kind: str) -> None:
    parquet, tar = (list(maskgen.open(stores[f"{format} {kind}"])) for format in ("parquet", "webdataset"))
    assert len(parquet) == len(tar) == 15
    for a, b in zip(parquet, tar, strict=True):
        same_row(a, b)
        assert a.pictures == b.pictures
        assert set(a.pictures) == {"unmasked", *(a.colors if kind.startswith("rendered") else ())}


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
@pytest.mark.parametrize("variants", ["all", "random"])
def test_a_recipe_renders_the_pixels_that_rendered_encodes(stores: dict[str, Path], format: str, variants: str) -> None:
    import cv2

    recipe, rendered = (maskgen.open(stores[f"{format} {store} {variants}"]) for store in ("recipe", "rendered"))
    assert recipe.variants == rendered.variants == (VARIANTS if variants == "all" else ("masked",))
    for a, b in zip(recipe, rendered, strict=True):
        same_row(a, b)
        for name in ("unmasked", *recipe.variants):
            done, data = cv2.imencode(".jpg", a.image(name)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            assert done
            assert data.tobytes() == b.jpeg(name)
            np.testing.assert_array_equal(a.images()[name], a.image(name))
            np.testing.assert_array_equal(b.images((name,))[name], b.image(name))
        assert list(a.images()) == list(b.images()) == ["unmasked", *recipe.variants]
        with pytest.raises(UsageError, match=r"no stored picture .*; it has unmasked"):
            a.jpeg(recipe.variants[0])


def test_a_damaged_recipe_is_one_sentence(stores: dict[str, Path]) -> None:
    row = next(iter(maskgen.open(stores["parquet recipe all"])))
    row = dataclasses.replace(row, landmarks=row.landmarks * np.float32(np.nan))
    with pytest.raises(maskgen.MaskgenError, match=f"{row.key} in shard train/00000 is damaged"):
        row.image("wide_high")
    row.pictures["unmasked"] = b""
    with pytest.raises(maskgen.MaskgenError, match=f"{row.key} in shard train/00000 is damaged"):
        row.image("unmasked")


def test_random_shows_the_variant_it_names(stores: dict[str, Path]) -> None:
    drawn = {row.key: row for row in maskgen.open(stores["parquet rendered random"])}
    for row in maskgen.open(stores["parquet rendered all"]):
        assert drawn[row.key].variant in VARIANTS
        assert drawn[row.key].jpeg("masked") == row.jpeg(drawn[row.key].variant)
    assert len({row.variant for row in drawn.values()}) > 2


def test_a_reader_that_is_open_when_python_ends_says_nothing(built: Path) -> None:
    program = "import sys, maskgen; rows = iter(maskgen.open(sys.argv[1])); print(next(rows).key)"
    done = subprocess.run([sys.executable, "-c", program, built], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("000000000\n", "")


def test_rows_are_those_of_the_plan_in_key_order(built: Path, tree: Path, tree_rejects: dict[str, str]) -> None:
    dataset = maskgen.open(built)
    rows = list(dataset)
    plan = [row for row in pq.read_table(built / "plan.parquet").to_pylist() if row["source"] not in tree_rejects]
    names = ("key", "source", "identity", "split", "label")
    assert [[getattr(row, name) for name in names] for row in rows] == [[row[name] for name in names] for row in plan]
    assert len(dataset) == len(rows) == 27
    for split in dataset.splits:
        assert dataset.count(split) == len(list(dataset.rows(split))) == sum(row.split == split for row in rows)
    assert dataset.info["identities"] == sorted({row.identity for row in rows if row.split != "test"})
    for row in rows:
        with Image.open(io.BytesIO((tree / row.source).read_bytes())) as original:
            small = np.asarray(original.resize((96, 96), Image.Resampling.BOX)).astype(int)
        assert np.abs(row.image("unmasked").astype(int) - small).mean() < 6


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_only_the_pictures_asked_for_are_read(stores: dict[str, Path], format: str) -> None:
    rendered = maskgen.open(stores[f"{format} rendered all"])
    assert {tuple(row.pictures) for row in rendered.rows(images=["round_low"])} == {("round_low",)}
    assert {tuple(row.pictures) for row in rendered.rows(images=[])} == {()}
    recipe = maskgen.open(stores[f"{format} recipe all"])
    row = next(recipe.rows(images=["round_low"]))
    assert tuple(row.pictures) == ("unmasked",)
    assert row.image("round_low").shape == (96, 96, 3)
    with pytest.raises(UsageError, match=r"no pictures 'round_lower'; it has unmasked, wide_high"):
        list(rendered.rows(images=["round_lower"]))
    assert {tuple(row.pictures) for row in rendered.rows(images="round_low")} == {("round_low",)}
    with pytest.raises(UsageError, match="no split 'validation'; choose one of train, val, test"):
        list(rendered.rows("validation"))


def test_a_data_set_may_lie_behind_a_uri(built: Path) -> None:
    assert [row.key for row in maskgen.open(built.as_uri()).rows("test", images=())] == [
        row.key for row in maskgen.open(f"{built}/").rows("test", images=())
    ]
    with pytest.raises(UsageError, match="cannot open nothing://"):
        maskgen.open("nothing://here")


def test_other_photographs_of_the_same_names_and_sizes_are_other_content(
    tmp_path: Path, head: Any, encode: Callable[..., bytes], make: Callable[..., Path], write_tree: Callable[..., Path]
) -> None:
    """Uncompressed files of one size are of one length: the plan, and with it the fingerprint, cannot tell them."""
    sets = []
    for name, pixels in (("one", head), ("other", head[:, ::-1]), ("same", head)):
        data = encode(np.ascontiguousarray(pixels), "BMP")
        source = write_tree(tmp_path / name, {f"{who}/{n}.bmp": data for who in ("ann", "bob") for n in range(2)})
        sets.append(maskgen.open(make(source, tmp_path / f"{name}-set", test_identities=0)))
    one, other, same = sets
    assert len(one) == 4
    assert one.fingerprint == other.fingerprint
    assert one.content != other.content
    assert one.content == same.content
    info = json.loads((tmp_path / "one-set/dataset.json").read_bytes())
    (tmp_path / "one-set/dataset.json").write_text(json.dumps(info | {"content": other.content}))
    with pytest.raises(MaskgenError, match=r"dataset\.json has 'content' other than plan and shards"):
        verify(tmp_path / "one-set")
    del info["content"]
    (tmp_path / "one-set/dataset.json").write_text(json.dumps(info))
    with pytest.raises(MaskgenError, match="run the same `maskgen build` command again"):
        maskgen.open(tmp_path / "one-set")
    make(tmp_path / "one", tmp_path / "one-set", test_identities=0)
    assert maskgen.open(tmp_path / "one-set").content == one.content


def test_what_is_no_data_set_is_named(tmp_path: Path, built: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no data set in .*dataset\.json is missing"):
        maskgen.open(tmp_path)
    info = json.loads((built / "dataset.json").read_bytes())
    for change, words in [
        ({"complete": False}, "not finished; run its `maskgen build` command again"),
        ({"schema_version": 3}, "schema version 3; this maskgen reads 1 and 2: rebuild it"),
    ]:
        (tmp_path / "dataset.json").write_text(json.dumps(info | change))
        with pytest.raises(UsageError, match=words):
            maskgen.open(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(
            MaskgenError, match=r"dataset\.json is not as maskgen writes it .*delete that file and run the same"
        ):
            maskgen.open(tmp_path)


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * len(data)]
)
def test_a_damaged_shard_is_named(
    stores: dict[str, Path], tmp_path: Path, format: str, damage: Callable[[bytes], bytes]
) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(stores[f"{format} rendered all"], out)
    path = next((out / "train").glob(f"00000.{'tar' if format == 'webdataset' else 'parquet'}"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MaskgenError, match=rf"shard .*train/{path.name} .*maskgen verify"):
        list(maskgen.open(out))
    path.unlink()
    with pytest.raises(MaskgenError, match=rf"{path.name} .*maskgen verify"):
        list(maskgen.open(out))


@pytest.mark.parametrize("store", ["rendered", "recipe"])
def test_a_bit_that_flips_in_a_picture_is_seen_by_the_reader_of_a_store(
    stores: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    """Whatever the decoder makes of it: most such JPEGs are pictures still, only other ones."""
    monkeypatch.setattr(LocalStorage, "distant", True)
    out = tmp_path / "smfd"
    shutil.copytree(stores[f"parquet {store} all"], out)
    path = out / "train/00000.parquet"
    whole = path.read_bytes()
    jpeg = next(maskgen.open(out).rows("train")).jpeg("unmasked")
    for share in (0.3, 0.6, 0.9):
        damaged = bytearray(whole)
        damaged[whole.index(jpeg) + int(share * len(jpeg))] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(MaskgenError, match=r"shard .*train/00000\.parquet .*CRC.*maskgen verify"):
            list(maskgen.open(out).rows("train", images=("unmasked",)))


def test_a_missing_shard_and_a_foreign_one_are_told(stores: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(stores["parquet rendered all"], out)
    marker = out / marker_name("train", 1)
    kept: dict[str, Any] = json.loads(marker.read_bytes())
    marker.unlink()
    with pytest.raises(MaskgenError, match="train lacks shards; `maskgen verify"):
        list(maskgen.open(out))
    marker.write_text(json.dumps(kept | {"fingerprint": "0" * 64}))
    with pytest.raises(MaskgenError, match=r"train-00001\.json is of another data set"):
        list(maskgen.open(out))
    row = next(maskgen.open(stores["parquet rendered all"]).rows(images=["wide_low"]))
    row.pictures["wide_low"] = b"no jpeg"
    with pytest.raises(MaskgenError, match=f"{row.key} in shard train/00000 is damaged"):
        row.image("wide_low")


def tar_of(path: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path.read_bytes()


MEMBERS = {"0.a.jpg": b"a" * 700, "0.json": b"", "1.a.jpg": b"b" * 512, "1.json": b"{}"}


def test_tar_members_are_those_that_tarfile_reads(tmp_path: Path) -> None:
    data = tar_of(tmp_path / "x.tar", MEMBERS)
    assert dict(tar.members(io.BytesIO(data), lambda name: True)) == MEMBERS
    assert dict(tar.members(io.BytesIO(data), lambda name: name == "1.a.jpg")) == {"1.a.jpg": MEMBERS["1.a.jpg"]}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: 512 + 300], "cut short"),
        (lambda data: data[:512] + data[512 + 1024 :], "damaged"),
        (lambda data: b"9" + data[1:], "damaged"),
        (lambda data: data[:1536], "cut short"),
    ],
)
def test_a_damaged_tar_is_told(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    data = tar_of(tmp_path / "x.tar", MEMBERS)
    with pytest.raises(tarfile.TarError, match=said):
        list(tar.members(io.BytesIO(damage(data)), lambda name: True))
