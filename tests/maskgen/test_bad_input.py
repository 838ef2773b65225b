"""Bad input through a whole build: every photograph ends as a row or as a reject with its reason, nothing is lost."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import maskgen
from maskgen.pipeline.sample import landmarker_of
from tests.support.faces import black_png
from tests.support.fuzz import examples

Build = Callable[..., Path]
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.fixture(scope="module")
def zoo(
    tmp_path_factory: pytest.TempPathFactory,
    head: np.ndarray,
    encode: Callable[..., bytes],
    write_tree: Callable[..., Path],
    make: Build,
    landmarker: maskgen.Landmarker,
) -> tuple[Path, dict[str, str]]:
    """A tree of one photograph of every kind, built; and the reason expected of each, empty for a row."""
    face = landmarker.find(head)
    assert face is not None
    grey = cv2.cvtColor(head, cv2.COLOR_RGB2GRAY)
    jpeg = encode(head)
    photograph = Image.fromarray(head)
    two = np.full((190, 320, 3), 90, np.uint8)
    two[5:185, 60:240] = head
    two[40:120, 240:320] = cv2.resize(head, (80, 80), interpolation=cv2.INTER_AREA)
    deep = cv2.imencode(".png", head[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    masked = {name: maskgen.draw(head, face.landmarks, name, (90, 160, 220)) for name in maskgen.VARIANTS}
    files: dict[str, tuple[bytes, str]] = {
        "zero.jpg": (b"", "empty"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "text.jpg": (b"this is a text\n", "not_an_image"),
        "gif.png": (encode(head, "GIF"), "not_an_image"),
        "one_pixel.png": (encode(head[:1, :1], "PNG"), "no_face"),
        "bomb.png": (black_png(20_000), "too_large"),
        "no_face.jpg": (encode(np.full((90, 120, 3), 128, np.uint8)), "no_face"),
        "cut_by_frame.png": (encode(np.ascontiguousarray(head[:, :96]), "PNG"), "cut_by_frame"),
        "masked.png": (encode(masked["wide_high"], "PNG"), "no_face"),
        "plain.png": (encode(head, "PNG"), ""),
        "png_called.jpg": (encode(head, "PNG"), ""),
        "grey16.png": (encode(grey.astype(np.uint16) * 257, "PNG"), ""),
        "rgb16.png": (deep, ""),
        "alpha.png": (encode(np.dstack([head, np.full(head.shape[:2], 255, np.uint8)]), "PNG"), ""),
        "grey.jpg": (encode(grey), ""),
        "grey.pgm": (encode(grey, "PPM"), ""),
        "picture.webp": (encode(head, "WEBP", lossless=True), ""),
        "picture.bmp": (encode(head, "BMP"), ""),
        "two_faces.png": (encode(two, "PNG"), ""),
        "with space & dots...x.y.png": (encode(head, "PNG"), ""),
        "日本語 ñ.png": (encode(head, "PNG"), ""),
        "new\nline.png": (encode(head, "PNG"), ""),
    }
    files["cmyk.jpg"] = (_saved(photograph.convert("CMYK"), "JPEG"), "")
    files["palette.png"] = (_saved(photograph.quantize(256), "PNG"), "")
    for number, turn in TURNS.items():
        exif = Image.Exif()
        exif[0x0112] = number
        stored = Image.fromarray(np.ascontiguousarray(turn(head)))
        files[f"exif{number}.jpg"] = (_saved(stored, "JPEG", exif=exif, quality=95, subsampling=0), "")
    src = tmp_path_factory.mktemp("zoo") / "src"
    write_tree(src, {f"ann/{name}": data for name, (data, _) in files.items()})
    write_tree(src, {"stray.jpg": jpeg, "ann/notes.txt": b"passed over"})
    outside = write_tree(src.parent / "outside", {"secret.jpg": jpeg})
    (src / "ann/link.jpg").symlink_to(outside / "secret.jpg")
    (src / "bob").symlink_to(outside)
    (src / "ann/loop").symlink_to(src / "ann")
    expected = {f"ann/{name}": reason for name, (_, reason) in files.items()}
    expected |= {"stray.jpg": "no_identity", "ann/link.jpg": "link", "bob": "link", "ann/loop": "link"}
    with open(os.fsencode(src) + b"/ann/caf\xe9.jpg", "wb") as file:
        file.write(jpeg)
    expected["ann/caf\\xe9.jpg"] = "bad_name"
    return make(src, src.parent / "smfd", size=0, format="both", test_identities=0), expected


def _saved(picture: Image.Image, format: str, **options: Any) -> bytes:
    import io

    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def test_every_photograph_is_a_row_or_has_its_reason(
    zoo: tuple[Path, dict[str, str]], rejects: Callable[[Path], dict[str, str]]
) -> None:
    out, expected = zoo
    rows = {row.source: "" for row in maskgen.open(out)}
    found = rows | rejects(out)
    assert found == expected
    assert len(rows) + len(rejects(out)) == len(expected), "none is in both"
    assert {row["source"] for row in pq.read_table(out / "plan.parquet").to_pylist()} == set(expected)


def test_rejects_say_which_and_why_in_one_line(zoo: tuple[Path, dict[str, str]]) -> None:
    rows = pq.read_table(zoo[0] / "rejects.parquet").to_pylist()
    plan = {row["key"]: row for row in pq.read_table(zoo[0] / "plan.parquet").to_pylist()}
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    for row in rows:
        assert {name: row[name] for name in ("source", "identity", "split")} == {
            name: plan[row["key"]][name] for name in ("source", "identity", "split")
        }
        assert row["detail"]
        assert "\n" not in row["detail"]


def test_all_rotations_give_the_upright_picture(zoo: tuple[Path, dict[str, str]]) -> None:
    rows = {row.source: row for row in maskgen.open(zoo[0])}
    upright = rows["ann/plain.png"]
    eyes = np.hypot(*(upright.landmarks[36] - upright.landmarks[45]))
    for number in TURNS:
        row = rows[f"ann/exif{number}.jpg"]
        assert np.abs(row.image("unmasked").astype(int) - upright.image("unmasked")).mean() < 3
        assert np.hypot(*(row.landmarks - upright.landmarks).T).mean() < 0.03 * eyes
    for number in list(TURNS)[1:]:
        row = rows[f"ann/exif{number}.jpg"]
        np.testing.assert_allclose(row.image("unmasked")[0, 0], rows["ann/exif1.jpg"].image("unmasked")[0, 0], atol=9)


@pytest.mark.parametrize(
    "name", ["grey16.png", "rgb16.png", "palette.png", "cmyk.jpg", "alpha.png", "grey.jpg", "grey.pgm", "picture.bmp"]
)
def test_unusual_encodings_show_the_same_face(zoo: tuple[Path, dict[str, str]], name: str) -> None:
    rows = {row.source: row for row in maskgen.open(zoo[0])}
    row, plain = rows[f"ann/{name}"], rows["ann/plain.png"]
    grey, truth = (cv2.cvtColor(r.image("unmasked"), cv2.COLOR_RGB2GRAY).astype(int) for r in (row, plain))
    assert np.abs(grey - truth).mean() < 4
    eyes = np.hypot(*(plain.landmarks[36] - plain.landmarks[45]))
    assert np.hypot(*(row.landmarks - plain.landmarks).T).mean() < 0.04 * eyes


def test_of_several_faces_one_is_masked(zoo: tuple[Path, dict[str, str]]) -> None:
    row = next(row for row in maskgen.open(zoo[0]) if row.source == "ann/two_faces.png")
    assert (row.width, row.height) == (320, 190)
    assert 60 < row.landmarks[:, 0].min() < row.landmarks[:, 0].max() < 240
    np.testing.assert_array_equal(row.image("wide_high")[40:120, 256:], row.image("unmasked")[40:120, 256:])


def test_a_face_behind_a_big_mask_is_not_found_and_nothing_is_drawn_twice(
    zoo: tuple[Path, dict[str, str]], rejects: Callable[[Path], dict[str, str]]
) -> None:
    """dlib misses most faces behind a high mask, not all of them: those it finds become rows like any other."""
    assert rejects(zoo[0])["ann/masked.png"] == "no_face"


@pytest.mark.parametrize("follow", [False, True])
def test_links_lead_out_of_the_tree_only_when_asked(
    tmp_path: Path, takes: Callable[[int], bytes], write_tree: Callable[..., Path], make: Build, follow: bool
) -> None:
    src = write_tree(tmp_path / "src", {"ann/1.jpg": takes(1)})
    outside = write_tree(tmp_path / "outside", {"2.jpg": takes(2)})
    (src / "bob").symlink_to(outside)
    (src / "ann/again").symlink_to(src)
    out = make(src, tmp_path / "smfd", follow_links=follow, test_identities=0)
    sources = {row.source for row in maskgen.open(out)}
    assert sources == ({"ann/1.jpg", "bob/2.jpg"} if follow else {"ann/1.jpg"})


def test_photographs_and_folders_without_permission_are_told(
    without_rights: Path, takes: Callable[[int], bytes], write_tree: Callable[..., Path], rejects: Any, make: Build
) -> None:
    landmarker_of(maskgen.BuildSettings(src="-", out="-"))  # its model may lie where only root reads
    src = write_tree(
        without_rights / "src", {"ann/1.jpg": takes(1), "ann/2.jpg": takes(2), "bob/1.jpg": takes(3), "cyd/1.jpg": b"x"}
    )
    (src / "ann/2.jpg").chmod(0)
    (src / "cyd").chmod(0)
    out = make(src, without_rights / "smfd", test_identities=0)
    assert sorted(row.source for row in maskgen.open(out)) == ["ann/1.jpg", "bob/1.jpg"]
    assert rejects(out) == {"ann/2.jpg": "unreadable", "cyd": "unreadable"}


def test_one_huge_file_is_rejected_and_the_others_become_rows(
    tmp_path: Path, takes: Callable[[int], bytes], write_tree: Callable[..., Path], rejects: Any, make: Build
) -> None:
    src = write_tree(tmp_path / "src", {"ann/1.jpg": takes(1), "ann/zz.jpg": b""})
    os.truncate(src / "ann/zz.jpg", 200 << 30)
    out = make(src, tmp_path / "smfd", test_identities=0)
    assert [row.source for row in maskgen.open(out)] == ["ann/1.jpg"]
    assert rejects(out) == {"ann/zz.jpg": "too_large"}


def test_a_data_set_without_a_row_has_a_card_that_names_no_files(
    tmp_path: Path, write_tree: Callable[..., Path], make: Build
) -> None:
    out = make(write_tree(tmp_path / "src", {"ann/1.jpg": b"text", "bob/1.jpg": b""}), tmp_path / "smfd")
    head = (out / "README.md").read_text().split("---")[1]
    assert "configs" not in head
    assert "data_files" not in head


KINDS = ["face", "face", "face", "empty", "text", "grey", "cut", "link", "wrong place"]


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    people=st.lists(st.lists(st.sampled_from(KINDS), min_size=0, max_size=6), min_size=1, max_size=5),
    shard_size=st.integers(1, 7),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    official=st.booleans(),
    variants=st.sampled_from(["random", "wide_low"]),
    seed=st.integers(0, 99),
)
def test_rows_and_rejects_are_the_plan(
    tmp_path_factory: pytest.TempPathFactory,
    takes: Callable[[int], bytes],
    encode: Callable[..., bytes],
    write_tree: Callable[..., Path],
    make: Build,
    people: list[list[str]],
    shard_size: int,
    share: float,
    official: bool,
    variants: str,
    seed: int,
) -> None:
    """Random trees with random failures: what goes in comes out once, in the right place, with the right reason."""
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("random")
    face = takes(0)
    contents = {
        "face": (face, ""),
        "empty": (b"", "empty"),
        "text": (b"words", "not_an_image"),
        "grey": (encode(np.full((40, 40, 3), 99, np.uint8)), "no_face"),
        "cut": (face[: chance.randrange(1000, len(face) - 10)], "damaged"),
        "link": (b"", "link"),
        "wrong place": (face, "no_identity"),
    }
    expected = {}
    (folder / "src").mkdir()
    for person, kinds in enumerate(people):
        top = f"{chance.choice(['train', 'test'])}/" if official else ""
        for number, kind in enumerate(kinds):
            data, reason = contents[kind]
            place = f"stray{person}_{number}.jpg" if kind == "wrong place" else f"{top}p{person}/{number}.jpg"
            expected[place] = reason
            if kind == "link":
                (folder / "src" / place).parent.mkdir(parents=True, exist_ok=True)
                (folder / "src" / place).symlink_to(folder / "elsewhere.jpg")
            else:
                write_tree(folder / "src", {place: data})
    settings = {"shard_size": shard_size, "test_identities": share, "variants": variants, "size": 32, "seed": seed}
    if set(expected.values()) <= {"link", "no_identity"}:  # nothing to try
        with pytest.raises(maskgen.UsageError, match=r"has no photograph (in it|that can be used)"):
            make(folder / "src", folder / "smfd", **settings)
        return
    out = make(folder / "src", folder / "smfd", **settings)
    plan = pq.read_table(out / "plan.parquet").to_pylist()
    rows = list(maskgen.open(out))
    rejects = pq.read_table(out / "rejects.parquet").to_pylist()
    assert sorted(row["source"] for row in plan) == sorted(expected)
    assert sorted([row.key for row in rows] + [row["key"] for row in rejects]) == [row["key"] for row in plan]
    assert {row.source: "" for row in rows} | {row["source"]: row["reason"] for row in rejects} == expected
    info = maskgen.open(out).info["counts"]
    for split in {row["split"] for row in plan}:
        assert info[split]["rows"] == sum(row.split == split for row in rows)
        assert sum(info[split]["rejects"].values()) == sum(row["split"] == split for row in rejects)
    assert [row.key for row in rows] == sorted(row.key for row in rows)
    places = {row["key"]: (row["source"], row["identity"], row["split"], row["label"]) for row in plan}
    assert all(places[row.key] == (row.source, row.identity, row.split, row.label) for row in rows)
