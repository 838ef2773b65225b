"""Listings of source trees, boxes files, and photographs that changed or vanished after the plan."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from maskgen.errors import Rejected, UsageError
from maskgen.sources.boxes import box_names, read_boxes
from maskgen.sources.folders import read
from maskgen.sources.listing import photographs
from maskgen.sources.photograph import Photograph


def write(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * number)
    return folder


def listed(src: Path, follow_links: bool = False) -> list[tuple[str, str, str]]:
    """(source, identity, first word of the problem) of every entry."""
    return [(found.source, found.identity, found.problem.partition(":")[0]) for found in photographs(src, follow_links)]


def test_identity_folders_at_any_depth_in_sorted_order(tmp_path: Path) -> None:
    write(tmp_path, "bob/b.webp", "ann/deep/er/2.JPEG", "ann/1.jpg", "Zoe/z.PgM", "ann/notes.txt", "LICENSE.md")
    (tmp_path / "empty").mkdir()
    assert list(photographs(tmp_path)) == [
        Photograph("Zoe/z.PgM", "Zoe", "", 3, ""),
        Photograph("ann/1.jpg", "ann", "", 2, ""),
        Photograph("ann/deep/er/2.JPEG", "ann", "", 1, ""),
        Photograph("bob/b.webp", "bob", "", 0, ""),
    ]


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "png", "webp", "bmp", "pgm", "JPG", "Png"])
def test_every_promised_ending_is_a_photograph(tmp_path: Path, ending: str) -> None:
    write(tmp_path, f"ann/1.{ending}", f"ann/2{ending}", "ann/3.gif", "ann/4.jpg.txt")
    assert listed(tmp_path) == [(f"ann/1.{ending}", "ann", "")]


def test_a_vggface2_tree_gives_its_own_splits(tmp_path: Path) -> None:
    write(tmp_path, "train/n000002/0001_01.jpg", "test/n000001/0001_01.jpg", "loose_bb_train.csv", "stray.jpg")
    assert [found[:3] for found in photographs(tmp_path)] == [
        ("stray.jpg", "", ""),
        ("test/n000001/0001_01.jpg", "n000001", "test"),
        ("train/n000002/0001_01.jpg", "n000002", "train"),
    ]


@pytest.mark.parametrize("names", [("train/a/1.jpg",), ("test/a/1.jpg",)])
def test_half_a_vggface2_tree_is_one(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path, *names)
    split = names[0].partition("/")[0]
    assert [found[:3] for found in photographs(tmp_path)] == [(f"{split}/a/1.jpg", "a", split)]


def test_an_identity_called_train_beside_others_is_an_identity(tmp_path: Path) -> None:
    write(tmp_path, "train/1.jpg", "ann/1.jpg")
    assert [found[:3] for found in photographs(tmp_path)] == [("ann/1.jpg", "ann", ""), ("train/1.jpg", "train", "")]


@pytest.mark.parametrize(
    "beside", ["meta/notes.txt", "meta/deep/er/x.csv", ".ipynb_checkpoints/a-checkpoint.jpg", ".cache/n9/1.jpg"]
)
def test_what_is_no_photograph_beside_the_splits_changes_nothing(tmp_path: Path, beside: str) -> None:
    write(tmp_path, "train/n2/1.jpg", "test/n1/1.jpg", "stray.jpg")
    expected = list(photographs(tmp_path))
    assert {found.identity for found in expected} == {"n1", "n2", ""}
    write(tmp_path, beside)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".empty").mkdir()
    assert list(photographs(tmp_path)) == expected


@pytest.mark.parametrize("splits", [("train",), ("test",), ("train", "test")])
def test_people_beside_the_splits_are_refused(tmp_path: Path, splits: tuple[str, ...]) -> None:
    write(tmp_path, *(f"{split}/n_{split}/1.jpg" for split in splits), "val/deep/er/1.jpg", "val/deep/er/2.jpg")
    with pytest.raises(UsageError, match=r"beside them, 'val/deep/er/1\.jpg'; move val/ out of it") as caught:
        list(photographs(tmp_path))
    assert " and ".join(f"{split}/" for split in splits) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_people_called_train_and_test_are_people(tmp_path: Path) -> None:
    write(tmp_path, "test/1.jpg", "train/1.jpg", "train/.cache/2.jpg", "ann/deep/1.jpg")
    assert listed(tmp_path) == [("ann/deep/1.jpg", "ann", ""), ("test/1.jpg", "test", ""), ("train/1.jpg", "train", "")]
    assert {found.official_split for found in photographs(tmp_path)} == {""}


def test_a_link_beside_the_splits_is_told_and_is_nobody(tmp_path: Path) -> None:
    write(tmp_path, "train/n1/1.jpg")
    (tmp_path / "latest").symlink_to(tmp_path / "train")
    (tmp_path / "test").symlink_to(tmp_path / "train")
    assert listed(tmp_path) == [("latest", "", "link"), ("test", "", "link"), ("train/n1/1.jpg", "n1", "")]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "ann/1.jpg", "ann/._1.jpg", "ann/.jpg", "ann/.ipynb_checkpoints/1-checkpoint.jpg", ".x.jpg")
    write(tmp_path, ".bob/1.jpg", "ann/a..b/1.jpg")
    assert listed(tmp_path) == [("ann/1.jpg", "ann", ""), ("ann/a..b/1.jpg", "ann", "")]


@pytest.mark.parametrize("top", ["", "train/"])
def test_folders_nested_beyond_pythons_recursion(tmp_path: Path, top: str) -> None:
    deep = f"{top}ann/" + "d/" * 600
    write(tmp_path, f"{top}ann/1.jpg", f"{deep}2.jpg", f"{top}ann/z.jpg")
    assert listed(tmp_path) == [(name, "ann", "") for name in (f"{top}ann/1.jpg", f"{deep}2.jpg", f"{top}ann/z.jpg")]


def test_photographs_outside_identity_folders_are_told(tmp_path: Path) -> None:
    write(tmp_path, "stray.jpg", "ann/1.jpg")
    assert listed(tmp_path) == [("ann/1.jpg", "ann", ""), ("stray.jpg", "", "no_identity")]
    vgg = write(tmp_path / "vgg", "train/stray.jpg", "train/n1/1.jpg")
    assert listed(vgg) == [("train/n1/1.jpg", "n1", ""), ("train/stray.jpg", "", "no_identity")]


def test_unusual_names_are_kept(tmp_path: Path) -> None:
    names = [
        "a b/c d.jpg",
        "a.b.c/d.e.f.jpg",
        "ä/日本語 ñ.jpg",
        "line\nbreak/new\nline.jpg",
        "quote'\"/\\.jpg",
        "-x/--y.jpg",
    ]
    write(tmp_path, *names)
    assert sorted(found.source for found in photographs(tmp_path)) == sorted(names)
    assert {found.identity for found in photographs(tmp_path)} == {name.partition("/")[0] for name in names}
    assert not any(found.problem for found in photographs(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_names_that_are_not_utf8_are_told_in_escapes(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    os.makedirs(folder + b"/ann")
    os.makedirs(folder + b"/b\xfcrger")
    for name in (b"/ann/caf\xe9.jpg", b"/ann/ok.jpg", b"/b\xfcrger/1.jpg"):
        with open(folder + name, "wb"):
            pass
    assert listed(tmp_path) == [
        ("ann/caf\\xe9.jpg", "ann", "bad_name"),
        ("ann/ok.jpg", "ann", ""),
        ("b\\xfcrger/1.jpg", "b\\xfcrger", "bad_name"),
    ]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A tree with links to a file and a folder outside, to nothing, and back up."""
    outside = write(tmp_path / "outside", "a.jpg", "b.jpg")
    src = write(tmp_path / "src", "ann/1.jpg")
    (src / "ann/2.jpg").symlink_to(outside / "b.jpg")
    (src / "ann/3.jpg").symlink_to(outside / "none.jpg")
    (src / "ann/up").symlink_to(src / "ann")
    (src / "cyd").symlink_to(outside)
    (src / "notes").symlink_to(outside / "none")
    return src


def test_links_are_not_followed_unless_asked(linked: Path) -> None:
    assert listed(linked) == [
        ("ann/1.jpg", "ann", ""),
        ("ann/2.jpg", "ann", "link"),
        ("ann/3.jpg", "ann", "link"),
        ("ann/up", "ann", "link"),
        ("cyd", "cyd", "link"),
    ]


def test_links_are_followed_when_asked_and_a_loop_ends(linked: Path) -> None:
    assert listed(linked, follow_links=True) == [
        ("ann/1.jpg", "ann", ""),
        ("ann/2.jpg", "ann", ""),
        ("ann/3.jpg", "ann", "unreadable"),
        ("ann/up", "ann", "link"),
        ("cyd/a.jpg", "cyd", ""),
        ("cyd/b.jpg", "cyd", ""),
    ]
    assert [found.bytes for found in photographs(linked, True) if found.source.startswith("cyd")] == [0, 1]


@pytest.mark.parametrize("top", ["", "train/"])
def test_a_link_to_the_source_itself_brings_no_photograph_twice(tmp_path: Path, top: str) -> None:
    write(tmp_path, f"{top}ann/1.jpg")
    (tmp_path / f"{top}ann/all").symlink_to(tmp_path)
    assert listed(tmp_path, follow_links=True) == [(f"{top}ann/1.jpg", "ann", ""), (f"{top}ann/all", "ann", "link")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_told_and_never_opened(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    os.mkfifo(tmp_path / "ann/pipe.jpg")
    assert listed(tmp_path) == [("ann/pipe.jpg", "ann", "unreadable")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_photograph_that_became_a_pipe_after_the_plan_is_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Rejected, match="unreadable: it is a folder, a pipe, a socket or a device and no file"):
        read(tmp_path, "pipe.jpg", 3)


@pytest.mark.parametrize("closed", ["ann", "ann/deep"])
def test_a_folder_that_cannot_be_read_is_told(without_rights: Path, closed: str) -> None:
    src = write(without_rights, "ann/deep/1.jpg", "bob/1.jpg")
    (src / closed).chmod(0)
    assert listed(src) == [(closed, "ann", "unreadable"), ("bob/1.jpg", "bob", "")]


def test_a_split_folder_that_cannot_be_read_is_told(without_rights: Path) -> None:
    src = write(without_rights, "train/ann/1.jpg", "test/bob/1.jpg")
    (src / "train").chmod(0)
    assert listed(src) == [("test/bob/1.jpg", "bob", ""), ("train", "", "unreadable")]


def test_a_source_that_cannot_be_read_is_a_usage_error(tmp_path: Path, without_rights: Path) -> None:
    with pytest.raises(UsageError, match=r"--src .*none: No such file"):
        list(photographs(without_rights / "none"))
    without_rights.chmod(0)
    with pytest.raises(UsageError, match="Permission denied"):
        list(photographs(without_rights))
    without_rights.chmod(0o755)


def test_a_photograph_that_vanished_or_was_closed_is_rejected(without_rights: Path) -> None:
    with pytest.raises(Rejected) as caught:
        read(without_rights, "ann/1.jpg", 3)
    assert (caught.value.reason, caught.value.detail) == ("unreadable", "No such file or directory")
    (without_rights / "1.jpg").write_bytes(b"abc")
    assert read(without_rights, "1.jpg", 3) == b"abc"
    (without_rights / "1.jpg").chmod(0)
    with pytest.raises(Rejected) as caught:
        read(without_rights, "1.jpg", 3)
    assert (caught.value.reason, caught.value.detail) == ("unreadable", "Permission denied")


def test_a_photograph_that_changed_after_the_plan_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"abcd")
    with pytest.raises(UsageError, match=r"1\.jpg has 4 bytes but had 3 .*--overwrite"):
        read(tmp_path, "1.jpg", 3)


def test_a_photograph_that_grew_huge_after_the_plan_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "1.jpg").open("wb") as file:
        file.truncate(200 << 30)
    with pytest.raises(UsageError, match=r"1\.jpg has 214748364800 bytes but had 3 "):
        read(tmp_path, "1.jpg", 3)


def test_boxes_files_are_read_in_vggface2s_layout(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text('NAME_ID,X,Y,W,H\n"n000002/0002_01",161,140,224,324\n"n000002/0001_01",-3,0.5,10,20\n')
    two.write_text('"NAME_ID","X","Y","W","H"\r\n"n000001/0001_01",1,2,3,4\r\n')
    names, boxes = read_boxes((one, two))
    assert names.to_pylist() == ["n000001/0001_01", "n000002/0001_01", "n000002/0002_01"]
    assert boxes.dtype == np.float32
    assert boxes.tolist() == [[1, 2, 4, 6], [-3, 0.5, 7, 20.5], [161, 140, 385, 464]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read --boxes"),
        ("", "cannot read --boxes"),
        ("NAME,X,Y,W,H\na/1,1,2,3,4\n", "needs NAME_ID"),
        ("NAME_ID,X,Y,W,H\na/1,1,2,three,4\n", "cannot read --boxes"),
        ("NAME_ID,X,Y,W,H\na/1,1,2,0,4\n", "without size"),
        ("NAME_ID,X,Y,W,H\na/1,1,2,3,-4\n", "without size"),
        ("NAME_ID,X,Y,W,H\na/1,1,,3,4\n", "without size or out of range"),
        ("NAME_ID,X,Y,W,H\na/1,1,2,3e9,4\n", "out of range"),
    ],
)
def test_a_bad_boxes_file_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "boxes.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        read_boxes((path,))
    assert "boxes.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_boxes_that_are_given_twice_must_agree(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("NAME_ID,X,Y,W,H\nann/1,1,2,3,4\nbob/1,1,2,3,4\nann/1,1,2,3,4\n")
    names, boxes = read_boxes((one, one))
    assert set(names.to_pylist()) == {"ann/1", "bob/1"}
    assert set(map(tuple, boxes.tolist())) == {(1, 2, 4, 6)}
    two.write_text("NAME_ID,X,Y,W,H\nzoe/1,1,2,3,4\nbob/1,1,2,3,4.5\n")
    with pytest.raises(UsageError, match="--boxes has two boxes for bob/1; leave one of them"):
        read_boxes((one, two))


@pytest.mark.parametrize(
    ("source", "identity", "name"),
    [
        ("train/n000002/0001_01.jpg", "n000002", "n000002/0001_01"),
        ("ann/deep/er/a.b.png", "ann", "ann/a.b"),
        ("x.tar/./ann.x/1.jpg", "ann.x", "ann.x/1"),
        ("ann/new\nline.a\nb.jpg", "ann", "ann/new\nline.a\nb"),
        ("日本/語 ñ.webp", "日本", "日本/語 ñ"),
        ("ann.b", "ann.b", "ann.b/ann"),
        ("ann", "ann", "ann/"),
    ],
)
def test_box_names(source: str, identity: str, name: str) -> None:
    assert box_names(pa.chunked_array([[source]]), pa.chunked_array([[identity]])).to_pylist() == [name]
