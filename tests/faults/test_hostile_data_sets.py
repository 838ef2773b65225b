"""A data set from a stranger: what it says becomes no path outside the folders that were named, and no traceback."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.dataset import identity
from maskgen.dataset.tar import members
from maskgen.errors import MaskgenError
from maskgen.imaging.limits import jpeg_size
from mfr_train.cli.main import mfr as mfr_command
from tests.support.hostile import Change, change_row, forge


@pytest.fixture
def hostile(built: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of `built` whose dataset.json is changed by `change(facts)`, with a fingerprint to match if asked for."""

    def make(change: Callable[[dict[str, Any]], object], *, matching: bool = False) -> Path:
        out = tmp_path / "inside/smfd"
        shutil.copytree(built, out)
        facts = json.loads((out / "dataset.json").read_bytes())
        change(facts)
        if matching:
            facts["fingerprint"] = identity.fingerprint({name: facts[name] for name in identity.DESCRIPTION})
        (out / "dataset.json").write_text(json.dumps(facts))
        return out

    return make


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EVERYWHERE = "../../../../../x"

ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], object], bool, str]] = {
    "content is a path": (lambda facts: facts.update(content="/tmp/somewhere"), False, "a hash is not 64"),
    "content leads upwards": (lambda facts: facts.update(content=EVERYWHERE), False, "a hash is not 64"),
    "content is a number": (lambda facts: facts.update(content=7), False, "a hash is not 64"),
    "fingerprint leads upwards": (lambda facts: facts.update(fingerprint=EVERYWHERE), False, "a hash is not 64"),
    "plan hash in capitals": (lambda facts: facts.update(plan_sha256="A" * 64), True, "a hash is not 64"),
    "variant leads upwards": (lambda facts: facts["variants"].append(EVERYWHERE), False, "variants are not those"),
    "variants of the settings lead upwards": (
        lambda facts: (facts["settings"].update(variants=EVERYWHERE), facts.update(variants=[EVERYWHERE])),
        True,
        "variants are not those",
    ),
    "variant twice": (
        lambda facts: (
            facts["settings"].update(variants="wide_low,wide_low"),
            facts.update(variants=["wide_low", "wide_low"]),
        ),
        True,
        "variants are not those",
    ),
    "another size": (lambda facts: facts["settings"].update(size=97), False, "fingerprint is of other settings"),
    "other versions": (lambda facts: facts["versions"].update(numpy="0"), False, "fingerprint is of other settings"),
    "another store": (
        lambda facts: (facts["settings"].update(store="recipe"), facts.update(store="recipe")),
        False,
        "fingerprint is of other settings",
    ),
    "a split that leads upwards": (
        lambda facts: facts["counts"].update({EVERYWHERE: facts["counts"]["test"]}),
        False,
        "counts are not those of splits",
    ),
    "fewer rows than none": (lambda facts: facts["counts"]["test"].update(rows=-1), False, "counts are not those"),
    "true rows": (lambda facts: facts["counts"]["test"].update(rows=True), False, "counts are not those"),
    "identities that are no names": (lambda facts: facts.update(identities=[["x"]]), False, "not a list of names"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_command_refuses_what_another_one_refuses(
    hostile: Callable[..., Path], tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing is written: not in the folders named, and not beside them."""
    change, matching, words = ATTACKS[name]
    out = hostile(change, matching=matching)
    monkeypatch.chdir(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(MaskgenError, match=words):
        maskgen.open(out)
    evaluate = ["eval", "--data", str(out), "--model", "dlib", "--cache", "inside/cache", "--out", "inside/eval"]
    train = ["train", "--data", str(out), "--recipe", "small", "--cache", "inside/cache", "--out", "inside/run"]
    calls = [
        (maskgen_command, ["verify", str(out)]),
        (maskgen_command, ["inspect", str(out)]),
        (maskgen_command, ["inspect", str(out), "--html", "-o", "inside.html"]),
        (maskgen_command, ["preview", str(out), "-o", "inside/sheet.png"]),
        (mfr_command, evaluate),
        (mfr_command, train),
    ]
    for group, call in calls:
        result = CliRunner().invoke(group, call)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), (call, result.output)
        assert words in " ".join(result.output.split()), call
        assert "Traceback" not in result.output
    assert files_of(tmp_path) == before


def test_a_marker_of_another_name_is_passed_over(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(built, out)
    for name in ("abc.json", "test-x.json", "test-0.json", "other-00000.json"):
        (out / "__markers" / name).write_text("{}")
    assert len(maskgen.open(out)) == len(maskgen.open(built))
    result = CliRunner().invoke(maskgen_command, ["inspect", str(out)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3e38])
@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_landmarks_that_are_no_place_are_one_sentence_with_the_shard(
    formats: dict[str, Path], tmp_path: Path, format: str, value: float
) -> None:
    out = small(formats, tmp_path / "smfd", format)
    [shard] = maskgen.open(out).shards("test")
    path = out / f"{shard.name}.{shard.ending}"
    if format == "parquet":
        table = pq.read_table(path)
        points = np.array(table["landmarks"].to_pylist(), np.float32)
        points[3, 7] = value
        column = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), type=table.schema.field("landmarks").type)
        place = table.schema.get_field_index("landmarks")
        pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    else:
        path.write_bytes(with_landmark(path.read_bytes(), value))
    with pytest.raises(MaskgenError, match=rf"shard .*{path.name} cannot be read \(box or landmarks of photograph"):
        list(maskgen.open(out).rows("test"))
    result = CliRunner().invoke(
        mfr_command, ["eval", "--data", str(out), "--model", "dlib", "--cache", str(tmp_path / "c"), "--workers", "1"]
    )
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.output
    assert path.name in result.output.replace("\n", "")


def with_landmark(data: bytes, value: float) -> bytes:
    """A tar whose first .json has this number as a landmark."""
    written = io.BytesIO()
    done = False
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=written, mode="w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            body = content.read()
            if member.name.endswith(".json") and not done:
                facts, done = json.loads(body), True
                facts["landmarks"][7] = value
                body = json.dumps(facts).encode()
            header = tarfile.TarInfo(member.name)
            header.size = len(body)
            new.addfile(header, io.BytesIO(body))
    return written.getvalue()


def hostile_shard(out: Path, change: Change) -> Path:
    """Changes the first row of the test shard of a data set, whose hashes are forged to fit."""
    path = change_row(out, change)
    forge(out)
    return path


@pytest.fixture(scope="module")
def formats(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`tree` as a small data set of each format, with one shard a split. Tests only copy it."""
    folder = tmp_path_factory.mktemp("formats")
    shape = {"variants": "wide_low", "store": "recipe", "shard_size": 50}
    return {format: make(tree, folder / format, format=format, **shape) for format in ("parquet", "webdataset")}


def small(formats: dict[str, Path], out: Path, format: str) -> Path:
    return Path(shutil.copytree(formats[format], out))


def refused(out: Path, tmp_path: Path, words: str) -> None:
    """Reading the pictures, and `mfr eval` and `maskgen preview`, end in one sentence with these words."""
    dataset = maskgen.open(out)
    with pytest.raises(MaskgenError, match=words):
        deque((row.images() for row in dataset.rows("test")), maxlen=0)
    sheet, cache = str(tmp_path / "sheet.png"), str(tmp_path / "cache")
    calls = [
        (mfr_command, ["eval", "--data", str(out), "--model", "dlib", "--cache", cache, "--workers", "1"]),
        (maskgen_command, ["preview", str(out), "-o", sheet, "--limit", "1000"]),
    ]
    for group, call in calls:
        result = CliRunner().invoke(group, call)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), (call, result.output)
        assert re.search(words, " ".join(result.output.split())), result.output
    assert not list(tmp_path.glob("cache/**/*.npy"))


VALUES: dict[str, tuple[Change, str, str]] = {
    "a label beyond the identities": (lambda row: row.update(label=10**6), "both", "label"),
    "a label below -1": (lambda row: row.update(label=-9), "both", "label"),
    "a label of 40 bits": (lambda row: row.update(label=10**12), "tar", "label"),
    "a label that is text": (lambda row: row.update(label="1"), "tar", "label"),
    "the label of another identity": (lambda row: row.update(label=0), "both", "identity or label"),
    "a split that leads upwards": (lambda row: row.update(split=EVERYWHERE), "both", "split"),
    "a source that is a list": (lambda row: row.update(source=["x"]), "tar", "key, source or identity"),
    "an identity that is null": (lambda row: row.update(identity=None), "tar", "key, source or identity"),
    "a width of zero": (lambda row: row.update(width=0), "both", "width or height"),
    "a negative height": (lambda row: row.update(height=-5), "both", "width or height"),
    "more pixels than a photograph": (lambda row: row.update(width=50_000, height=50_000), "both", "width or height"),
    "a variant in a set of fixed ones": (lambda row: row.update(variant=EVERYWHERE), "tar", "variant"),
    "a color of words": (lambda row: row.update(wide_low_color=["a", "b", "c"]), "tar", "color"),
    "a color beyond 255": (lambda row: row.update(wide_low_color=[0, 0, 999]), "tar", "color"),
}


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_of_a_row_that_cannot_be_is_one_sentence_with_the_shard(
    formats: dict[str, Path], tmp_path: Path, name: str, format: str
) -> None:
    change, where, words = VALUES[name]
    if where == "tar" and format == "parquet":
        pytest.skip("the columns of Parquet have types")
    out = small(formats, tmp_path / "smfd", format)
    path = hostile_shard(out, change)
    refused(out, tmp_path, rf"shard .*{path.name} cannot be read \({words} of photograph")


def test_columns_of_other_types_are_refused_by_all(formats: dict[str, Path], tmp_path: Path) -> None:
    out = small(formats, tmp_path / "smfd", "parquet")
    path = out / "test/00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", table["label"].cast(pa.int64())), path)
    forge(out)
    refused(out, tmp_path, r"00000\.parquet cannot be read \(it has other columns than its data set\)")


def test_row_groups_that_stand_for_gigabytes_are_refused_by_all(
    formats: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column of equal values takes some bytes for any number of rows, and for texts of any length."""
    out = small(formats, tmp_path / "smfd", "parquet")
    path = out / "test/00000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("source")
    texts = pa.array(["x" * (1 << 20)] * len(table))
    pq.write_table(table.set_column(place, table.schema.field(place), texts), path, compression="zstd")
    assert path.stat().st_size < 1 << 18
    forge(out)
    monkeypatch.setattr("maskgen.dataset.shard_files.MAX_ROW_GROUP_BYTES", 10 << 20)
    refused(out, tmp_path, r"00000\.parquet cannot be read \(it has up to [0-9,]+ bytes in one row group\)")
    with pytest.raises(MaskgenError, match="bytes in one row group"):
        maskgen.open(out).to_pandas("test")
    pq.write_table(pa.concat_tables([table] * 10), path)
    with pytest.raises(MaskgenError, match=rf"it has {10 * len(table)} rows in one row group"):
        maskgen.open(out).to_pandas("test")


@pytest.mark.parametrize("size", [b"-0000001000\0", b"+0000000000\0", b"0_0000000000", b"77777777777\0"])
def test_a_tar_with_a_size_that_is_none_ends_at_once(size: bytes) -> None:
    """A negative size led back to the header that had it, for ever."""
    header = bytearray(tarfile.TarInfo("000000000.other").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    asked = 0

    def unwanted(name: str) -> bool:
        nonlocal asked
        asked += 1
        assert asked < 3, "read again and again"
        return False

    with pytest.raises(tarfile.TarError, match=r"a header is damaged|is larger than a picture"):
        list(members(io.BytesIO(bytes(header) + bytes(4096)), unwanted))


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_a_marker_that_promises_more_rows_than_its_shard_can_hold_takes_no_memory(
    formats: dict[str, Path], tmp_path: Path, format: str
) -> None:
    """Readers took memory for every row before the first was read, and there may be many markers."""
    out = small(formats, tmp_path / "smfd", format)
    facts = json.loads((out / "dataset.json").read_bytes())
    for split, count in facts["counts"].items():
        path = out / f"__markers/{split}-00000.json"
        marker = json.loads(path.read_bytes())
        marker |= {"rows": 10**6 - len(marker["rejects"]), "photographs": 10**6}
        path.write_text(json.dumps(marker))
        count["rows"] = marker["rows"]
    (out / "dataset.json").write_text(json.dumps(facts))
    train = ["train", "--data", str(out), "--recipe", "small", "--out", str(tmp_path / "run"), "--workers", "0"]
    evaluate = ["eval", "--data", str(out), "--model", "dlib", "--cache", str(tmp_path / "cache")]
    for call in (train, evaluate):
        result = CliRunner().invoke(mfr_command, call)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), (call, result.output)
        words = r"cannot be read \(it has [0-9,]+ bytes, too few for the [0-9,]+ rows of its marker\)"
        assert re.search(words, " ".join(result.output.split())), result.output


def header_of(jpeg: bytes, side: int) -> bytes:
    """A JPEG whose header gives another size: a few bytes that decode to as many pixels as the attacker likes."""
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + side.to_bytes(2, "big") * 2 + jpeg[place + 4 :]


def encoded(ending: str, height: int, width: int) -> bytes:
    return bytes(cv2.imencode(ending, np.zeros((height, width, 3), np.uint8))[1])


def replace_picture(row: dict[str, Any], change: Callable[[bytes], bytes]) -> None:
    row["unmasked"] = {"bytes": change(row["unmasked"]["bytes"]), "path": None}


def with_two_frames(jpeg: bytes, between: bytes) -> bytes:
    """A JPEG of 8,000 x 8,000 pixels for libjpeg, and of its own size for who takes `between` for a segment."""
    place = jpeg.index(b"\xff\xc0")
    frame = jpeg[place : place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")]
    data = b"\xff\xd8" + between + header_of(frame, 8_000) + jpeg[2:place] + jpeg[place + len(frame) :]
    return data.ljust(4 + int.from_bytes(data[4:6], "big"), b"\0") + frame + bytes(9)


PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda jpeg: b"",
    "no picture": lambda jpeg: b"junk" * 99,
    "a header alone": lambda jpeg: jpeg[: jpeg.index(b"\xff\xda")],
    "of other dimensions": lambda jpeg: encoded(".jpg", 50, 70),
    "a PNG": lambda jpeg: encoded(".png", 96, 96),
    "a bomb of 8,000 x 8,000 pixels": lambda jpeg: header_of(jpeg, 8_000),
    "a bomb of 65,500 x 65,500 pixels": lambda jpeg: header_of(jpeg, 65_500),
    "a bomb behind a fill byte": lambda jpeg: with_two_frames(jpeg, b"\xff"),
    "a bomb behind a restart marker": lambda jpeg: with_two_frames(jpeg, b"\xff\xd0"),
    "a bomb behind a TEM marker": lambda jpeg: with_two_frames(jpeg, b"\xff\x01"),
}


@pytest.mark.parametrize("between", [b"\xff", b"\xff\xd0", b"\xff\x01"])
def test_a_jpeg_with_a_frame_for_us_and_one_for_libjpeg_has_no_size(between: bytes) -> None:
    jpeg = encoded(".jpg", 96, 96)
    assert jpeg_size(jpeg) == (96, 96)
    data = with_two_frames(jpeg, between)
    eighth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_8)
    assert eighth is not None
    assert eighth.shape == (1_000, 1_000, 3), "what the few bytes become, an eighth as wide"
    assert jpeg_size(data) is None


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_is_not_what_its_row_says_is_one_sentence_with_the_shard(
    formats: dict[str, Path], tmp_path: Path, name: str, format: str
) -> None:
    out = small(formats, tmp_path / "smfd", format)
    hostile_shard(out, lambda row: replace_picture(row, PICTURES[name]))
    refused(out, tmp_path, r"picture unmasked of photograph [0-9]{9} in shard test/00000 is damaged")


MARKERS: dict[str, Change] = {
    "fewer rows than none": lambda marker: marker.update(rows=-1, photographs=-1),
    "rows that are true": lambda marker: marker.update(rows=True),
    "more photographs than a shard has": lambda marker: marker.update(
        rows=10**12, photographs=10**12 + len(marker["rejects"])
    ),
    "photographs that do not add up": lambda marker: marker.update(photographs=10**5),
    "files that lead upwards": lambda marker: marker["files"].update({EVERYWHERE: {"bytes": 1, "sha256": "0" * 64}}),
    "a file without a hash": lambda marker: marker["files"]["00000.parquet"].update(sha256=EVERYWHERE),
    "a file of negative size": lambda marker: marker["files"]["00000.parquet"].update(bytes=-1),
    "a reject without a reason": lambda marker: marker.update(rejects=[{"key": "000000000", "detail": ""}]),
}


@pytest.mark.parametrize("name", MARKERS)
def test_a_hostile_marker_is_refused_by_all(built: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(built, out)
    path = out / "__markers/test-00000.json"
    marker = json.loads(path.read_bytes())
    MARKERS[name](marker)
    path.write_text(json.dumps(marker))
    before = files_of(tmp_path)
    evaluate = ["eval", "--data", str(out), "--model", "dlib", "--cache", str(tmp_path / "cache")]
    for group, call in ((maskgen_command, ["verify", str(out)]), (mfr_command, evaluate)):
        result = CliRunner().invoke(group, call)
        assert (result.exit_code, type(result.exception)) == (1, SystemExit), (call, result.output)
        assert "cannot be read" in " ".join(result.output.split()), result.output
    assert files_of(tmp_path) == before
