"""Exports: the stored bytes as files, COCO by its own library, masks, pairs; folders of others are left alone."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.dataset.record import Row
from maskgen.exporting import export as export_module

Make = Callable[..., Path]
HELPERS = {".maskgen-lock"}


def written(folder: Path) -> dict[str, str]:
    """sha256 of every file of an export but the empty lock, by name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in HELPERS
    }


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_folders_hold_the_stored_bytes(built: Path, tmp_path: Path) -> None:
    exported = maskgen.export(built, tmp_path / "out")
    rows = list(maskgen.open(built))
    expected = {
        f"{row.split}/{row.source[:-4]}_{name}.jpg": row.jpeg(name)
        for row in rows
        for name in ("unmasked", *maskgen.VARIANTS)
    }
    found = {name for name in written(tmp_path / "out") if name.endswith(".jpg")}
    assert found == set(expected)
    assert "train/ann/0001_01_wide_high.jpg" in found or "val/ann/0001_01_wide_high.jpg" in found
    assert all((tmp_path / "out" / name).read_bytes() == data for name, data in expected.items())
    assert (exported.photographs, exported.files, exported.written) == (27, 27 * 7, 27 * 7 + 1)
    assert set(written(tmp_path / "out")) - found == {"pairs.csv", "maskgen-export.json"}


def test_pairs_link_masked_pictures_with_unmasked_ones(built: Path, tmp_path: Path) -> None:
    maskgen.export(str(built), tmp_path / "out", variants=["round_low", "wide_high"])
    rows = {row.key: row for row in maskgen.open(built)}
    found = lines(tmp_path / "out")
    assert [(line["key"], line["variant"]) for line in found] == [
        (key, name) for key in sorted(rows) for name in ("wide_high", "round_low")
    ]
    for line in found:
        row, name = rows[line["key"]], line["variant"]
        assert (tmp_path / "out" / line["masked"]).read_bytes() == row.jpeg(name)
        assert (tmp_path / "out" / line["unmasked"]).read_bytes() == row.jpeg("unmasked")
        assert (line["split"], line["masked"].split("/")[:2]) == (row.split, [row.split, row.identity])
        assert tuple(int(line[color]) for color in ("red", "green", "blue")) == row.colors[name]
        assert tuple(int(line[side]) for side in ("x0", "y0", "x1", "y1")) == row.mask_box(name)
        assert float(line["covered"]) == pytest.approx(row.covered(name), abs=1e-6)


@pytest.mark.parametrize("variants", ["all", "random"])
def test_both_stores_and_formats_give_the_same_files(tree: Path, tmp_path: Path, make: Make, variants: str) -> None:
    found = []
    for store, format in (("rendered", "parquet"), ("recipe", "parquet"), ("recipe", "webdataset")):
        out = make(tree, tmp_path / f"{store}-{format}", store=store, format=format, variants=variants, limit=6)
        maskgen.export(out, tmp_path / f"{store}-{format}-files")
        found.append(written(tmp_path / f"{store}-{format}-files"))
        del found[-1]["maskgen-export.json"]  # says of which data set it is
    assert found[0] == found[1] == found[2]
    names = {"masked"} if variants == "random" else set(maskgen.VARIANTS)
    assert {line["masked"].rpartition("01_")[2] for line in lines(tmp_path / "recipe-parquet-files")} == {
        f"{name}.jpg" for name in names
    }


def test_masks_are_the_coverage_as_png(built: Path, tmp_path: Path) -> None:
    exported = maskgen.export(built, tmp_path / "out", to="masks", variants="wide_low,round_high", split="test")
    rows = list(maskgen.open(built).rows("test"))
    assert (exported.photographs, exported.files) == (len(rows), 2 * len(rows))
    for row in rows:
        for name in ("wide_low", "round_high"):
            with Image.open(tmp_path / "out" / f"test/{row.source[:-4]}_{name}.png") as picture:
                assert picture.mode == "L"
                np.testing.assert_array_equal(np.asarray(picture), row.mask(name))
    assert len(list((tmp_path / "out").rglob("*.png"))) == exported.files
    assert not list((tmp_path / "out").rglob("*.jpg"))
    assert {line["masked"].rpartition(".")[2] for line in lines(tmp_path / "out")} == {"png"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own, with numpy 2
@pytest.mark.parametrize("variants", ["all", "random"])
def test_coco_as_its_own_library_reads_it(tree: Path, tmp_path: Path, make: Make, variants: str) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    coding = pytest.importorskip("pycocotools.mask")
    data = maskgen.open(make(tree, tmp_path / "smfd", variants=variants, limit=12, store="recipe"))
    maskgen.export(data, tmp_path / "out", to="coco")
    masks = 0
    for split in data.splits:
        found = coco.COCO(tmp_path / "out" / "annotations" / f"instances_{split}.json")
        assert {one["id"]: one["name"] for one in found.loadCats(found.getCatIds())} == dict(
            enumerate(maskgen.VARIANTS, 1)
        )
        rows = {f"{row.source[:-4]}_{name}.jpg": (row, name) for row in data.rows(split) for name in _pictures(data)}
        assert {image["file_name"] for image in found.imgs.values()} == set(rows)
        for image in found.imgs.values():
            row, name = rows[image["file_name"]]
            with Image.open(tmp_path / "out" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"]) == (96, 96)
            annotations = found.loadAnns(found.getAnnIds([image["id"]]))
            assert len(annotations) == (name != "unmasked")
            for one in annotations:
                masks += 1
                decoded = found.annToMask(one)
                np.testing.assert_array_equal(decoded, row.mask(name) >= 128)
                coded = coding.encode(np.asfortranarray(decoded))
                assert one["area"] == coding.area(coded)
                assert one["bbox"] == coding.toBbox(coded).tolist()
                assert maskgen.VARIANTS[one["category_id"] - 1] == (row.variant or name)
                assert one["iscrowd"] == 0
    assert masks == len(data) * len(data.variants)


def _pictures(data: maskgen.Dataset) -> tuple[str, ...]:
    return ("unmasked", *data.variants)


def test_coco_has_no_annotation_for_a_mask_outside_the_picture(built: Path, tmp_path: Path) -> None:
    from maskgen.exporting.lists import write_coco

    row = next(maskgen.open(built).rows("test", images=()))
    far = dataclasses.replace(row, landmarks=row.landmarks + 500)
    write_coco(tmp_path / "x.json", iter([far]), ("unmasked", "wide_high"), lambda row, name: name, {})
    found = json.loads((tmp_path / "x.json").read_bytes())
    assert ([one["file_name"] for one in found["images"]], found["annotations"]) == (["unmasked", "wide_high"], [])


def test_numbers_of_a_part_are_those_of_the_whole(built: Path, tmp_path: Path) -> None:
    maskgen.export(built, tmp_path / "whole", to="coco")
    maskgen.export(built, tmp_path / "part", to="coco", split="test", limit=3, variants="wide_low")
    whole, part = (
        json.loads((tmp_path / name / "annotations/instances_test.json").read_bytes()) for name in ("whole", "part")
    )
    assert [path.name for path in (tmp_path / "part/annotations").iterdir()] == ["instances_test.json"]
    assert len(part["images"]) == 6
    assert all(image in whole["images"] for image in part["images"])
    assert all(one in whole["annotations"] for one in part["annotations"])
    assert {one["category_id"] for one in part["annotations"]} == {3}
    for name in ("whole", "part"):
        assert lines(tmp_path / name)
    assert all(line in lines(tmp_path / "whole") for line in lines(tmp_path / "part"))


def test_a_limit_takes_the_first_photographs(built: Path, tmp_path: Path) -> None:
    rows = list(maskgen.open(built))
    assert maskgen.export(built, tmp_path / "out", limit=18, variants="unmasked").photographs == 18
    names = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.jpg")}
    assert names == {f"{row.split}/{row.source[:-4]}_unmasked.jpg" for row in rows[:18]}
    assert len({row.split for row in rows[:18]}) == 3
    assert lines(tmp_path / "out") == []
    assert maskgen.export(built, tmp_path / "all", limit=10**9, variants="unmasked").photographs == 27


def test_a_finished_export_is_not_written_again(built: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    maskgen.export(built, tmp_path / "out", progress=steps.append)
    before = written(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    assert sum(steps) == 27
    assert maskgen.export(built, tmp_path / "out", progress=steps.append).written == 0
    assert sum(steps) == 2 * 27
    assert written(tmp_path / "out") == before
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}


def test_an_interrupted_export_is_resumed_and_files_of_others_stay(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maskgen.export(built, tmp_path / "whole")
    calls = 0
    original = export_module._jpegs

    def broken(*arguments: Any) -> dict[str, bytes]:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    out = tmp_path / "out"
    monkeypatch.setattr(export_module, "_jpegs", broken)
    with pytest.raises(maskgen.MaskgenError, match=r"No space left on device; make room .* run the same command again"):
        maskgen.export(built, out)
    assert 0 < len(list(out.rglob("*.jpg"))) < 27 * 7
    monkeypatch.undo()
    missing = sorted(set(written(tmp_path / "whole")) - set(written(out)))
    mine = out / next(name for name in missing if name.endswith(".jpg"))
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(b"of the user")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(maskgen.MaskgenError, match=rf"{re.escape(str(mine))} is not of this export, .*; move it away"):
        maskgen.export(built, out)
    assert mine.read_bytes() == b"of the user"
    mine.unlink()
    assert maskgen.export(built, out).written < 27 * 7
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    assert written(out) == written(tmp_path / "whole")
    assert not (out / ".maskgen-export").exists()


def test_a_folder_that_is_not_ours_is_refused(built: Path, tmp_path: Path) -> None:
    other, file, half = tmp_path / "other", tmp_path / "file", tmp_path / "half"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    file.write_text("mine")
    half.mkdir()
    (half / "maskgen-export.json").write_text("[]")
    inside = built / "train" / "export"
    refusals: list[tuple[Any, str]] = [
        (other, r"other holds 'thesis\.tex' and is no export of maskgen; give a new or an empty folder\."),
        (file, r"file is a file; give a new folder\."),
        (half, r"maskgen-export\.json cannot be read"),
        (inside, "lie inside each other"),
        (built, "lie inside each other"),
        (built.parent, "lie inside each other"),
        ("s3://bucket/out", r"an export is written into a local folder, and s3://bucket/out is a URI"),
        ("", "the folder of the export is empty"),
        (tmp_path / ("x" * 300), "cannot write the export in .*x: File name too long"),
        (file / "out", "cannot write the export in .*file/out: Not a directory"),
    ]
    for folder, words in refusals:
        with pytest.raises(maskgen.MaskgenError, match=words):
            maskgen.export(built, folder)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    assert file.read_text() == "mine"
    assert not inside.exists()


def test_an_empty_folder_and_a_killed_claim_are_taken(built: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".maskgen-{'0' * 16}.maskgen-export.json.tmp").write_text("{")
    assert maskgen.export(built, tmp_path / "out", limit=2).photographs == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".maskgen-lock",
        "maskgen-export.json",
        "pairs.csv",
        "train",
    ]


def test_another_export_in_the_folder_is_refused(built: Path, tmp_path: Path, tree: Path, make: Make) -> None:
    maskgen.export(built, tmp_path / "out", limit=2)
    before = written(tmp_path / "out")
    for changes in ({"limit": 3}, {"limit": 2, "to": "coco"}, {"limit": 2, "variants": "wide_low"}, {"split": "test"}):
        with pytest.raises(
            maskgen.UsageError, match=r"holds another export \(.* there and .* here\); give a new folder"
        ):
            maskgen.export(built, tmp_path / "out", **changes)
    with pytest.raises(maskgen.UsageError, match=r"another export \(content '"):
        maskgen.export(make(tree, tmp_path / "other", limit=2), tmp_path / "out", limit=2)
    assert written(tmp_path / "out") == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_in_the_folder_are_not_followed(built: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    shutil.copy(_claimed(built, tmp_path), tmp_path / "out")
    (tmp_path / "out" / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(maskgen.MaskgenError, match="train is not of this export"):
        maskgen.export(built, tmp_path / "out")
    assert not list((tmp_path / "elsewhere").iterdir())


def _claimed(built: Path, tmp_path: Path) -> Path:
    """The claim of an unfinished export of everything."""
    maskgen.export(built, tmp_path / "claimed")
    path = tmp_path / "claimed" / "maskgen-export.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"complete": False}))
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"to": "yolo"}, "there is no export to 'yolo'; choose one of folders, coco, masks"),
        ({"variants": "wide"}, r"has no pictures 'wide'; choose all, unmasked, or from wide_high, "),
        ({"variants": "masked"}, "has no pictures 'masked'"),
        ({"variants": "wide_low,wide_low"}, "--variants names a picture twice; give each once"),
        ({"variants": []}, "--variants is empty"),
        ({"variants": "unmasked", "to": "masks"}, "an export of masks needs a mask"),
        ({"split": "dev"}, "there is no split 'dev'; choose one of train, val, test"),
        ({"limit": 0}, "--limit is 0; give a number of at least 1"),
        ({"limit": "3"}, "--limit is '3'"),
    ],
)
def test_wrong_arguments_are_one_sentence(built: Path, tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(maskgen.UsageError, match=words):
        maskgen.export(built, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_split_without_rows_is_one_sentence(tree: Path, tmp_path: Path, make: Make) -> None:
    out = make(tree, tmp_path / "smfd", limit=1, test_identities=0)
    with pytest.raises(maskgen.UsageError, match="has no photographs in test; there is nothing to export"):
        maskgen.export(out, tmp_path / "out", split="test")


def test_a_stored_picture_that_is_none_is_one_sentence(
    tree: Path, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = make(tree, tmp_path / "smfd", limit=2, format="webdataset")
    original = Row.jpeg
    monkeypatch.setattr(Row, "jpeg", lambda row, name: b"MZ" + original(row, name)[2:])
    with pytest.raises(maskgen.MaskgenError, match=r"picture unmasked of photograph 00000000. in shard .* is damaged"):
        maskgen.export(out, tmp_path / "out")


def test_hostile_names_stay_in_the_folder(tmp_path: Path, make: Make, takes: Callable[[int], bytes]) -> None:
    people = ["../../evil", "..", "CON", "/abs", "a\x1b[31m", "Ann", "ann", "x" * 300]
    table = pa.table({"identity": people, "image": [takes(number) for number in range(len(people))]})
    (tmp_path / "src").mkdir()
    pq.write_table(table, tmp_path / "src" / "part-0.parquet")
    out = make(tmp_path / "src", tmp_path / "smfd", variants="random")
    assert len(maskgen.open(out)) == len(people)
    place = tmp_path / "deep" / "er" / "out"
    maskgen.export(out, place)
    pictures = [path.relative_to(place).parts for path in place.rglob("*.jpg")]
    assert len(pictures) == 2 * len(people)
    assert {len(parts) for parts in pictures} == {3}
    assert {parts[1] for parts in pictures} == {
        *("%2E.%2F..%2Fevil", "%2E%2E", "%43ON", "%2Fabs", "a%1B[31m", "Ann~1", "ann~2", "x" * 100)
    }
    assert sorted(path.name for path in (tmp_path / "deep").rglob("*") if path.is_file()) == sorted(
        [*(parts[2] for parts in pictures), "pairs.csv", "maskgen-export.json", ".maskgen-lock"]
    )
    assert all(
        not cell.startswith(("=", "+", "-", "@")) and cell.isprintable()
        for line in lines(place)
        for cell in line.values()
    )


@pytest.fixture
def command(built: Path) -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(maskgen_command, ["export", str(built), *map(str, arguments)])


def test_the_command(command: Callable[..., Any], built: Path, tmp_path: Path) -> None:
    done = command(tmp_path / "out", "--to", "coco", "--split", "test", "--variants", "wide_low", "--limit", "4")
    assert done.exit_code == 0, done.output
    assert done.output == (
        f"{tmp_path / 'out'} holds 8 pictures of 4 photographs; 10 files were written now. pairs.csv lists them.\n"
    ), "and no progress bar, for this is no terminal"
    again = command(tmp_path / "out", "--to", "coco", "--split", "test", "--variants", "wide_low", "--limit", "4")
    assert again.output.endswith("4 photographs; 0 files were written now. pairs.csv lists them.\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").touch()
    refused = command(tmp_path / "mine")
    assert (refused.exit_code, refused.output) == (
        2,
        f"maskgen: {tmp_path / 'mine'} holds 'x' and is no export of maskgen; give a new or an empty folder.\n",
    )
    assert command(tmp_path / "new", "--to", "yolo").exit_code == 2
