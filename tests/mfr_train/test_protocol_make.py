"""`mfr protocol make`: tables from folders laid out as data sets are published. The pictures are empty files."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from maskgen.errors import MaskgenError, UsageError
from mfr_train.cli.main import mfr
from mfr_train.evaluation import protocol_make
from mfr_train.evaluation.protocol_kinds import count_mismatches
from mfr_train.evaluation.protocol_make import Layout, make_table
from mfr_train.evaluation.protocol_table import read_protocol


def tree(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def made(kind: str, src: Path, *options: object) -> Result:
    out = src.parent / "table.csv"
    arguments = ["protocol", "make", kind, str(src), "-o", str(out), *map(str, options)]
    return CliRunner().invoke(mfr, arguments)


def lines(folder: Path) -> list[str]:
    return (folder / "table.csv").read_text().splitlines()


def test_a_folder_for_each_person_with_folders_for_masks(tmp_path: Path) -> None:
    names = ("ann/unmasked/1.jpg", "ann/masked/1.jpg", "bob/unmasked/1.png", "bob/notes.txt", "bob/.hidden.jpg")
    result = made("folders", tree(tmp_path / "people", *names), "--masked", "*/masked/*")
    assert result.exit_code == 0, result.output
    assert lines(tmp_path) == [
        "subject,role,masked,path",
        "ann,reference,1,people/ann/masked/1.jpg",
        "ann,probe,1,people/ann/masked/1.jpg",
        "ann,reference,0,people/ann/unmasked/1.jpg",
        "ann,probe,0,people/ann/unmasked/1.jpg",
        "bob,reference,0,people/bob/unmasked/1.png",
        "bob,probe,0,people/bob/unmasked/1.png",
    ]
    assert f"{tmp_path / 'table.csv'}: 2 subjects, 3 pictures" in result.output
    assert ["reference", "unmasked", "2", "2"] in [line.split() for line in result.output.splitlines()]
    assert result.output.endswith(f"Hint: next, run mfr protocol check {tmp_path / 'table.csv'}\n")


def test_references_by_pattern_and_a_column_from_a_folder(tmp_path: Path) -> None:
    src = tree(tmp_path / "in", "day1/ann/a.jpg", "day2/ann/a_mask.jpg", "day3/ann/a.jpg", "day2/top.jpg", "top.jpg")
    result = made("folders", src, "--person", 2, "--reference", "day1/*", "--masked", "*_mask*", "--column", "day=1")
    assert result.exit_code == 0, result.output
    assert lines(tmp_path) == [
        "subject,role,masked,path,day",
        "ann,reference,0,in/day1/ann/a.jpg,day1",
        "ann,probe,1,in/day2/ann/a_mask.jpg,day2",
        "ann,probe,0,in/day3/ann/a.jpg,day3",
    ]
    assert "2 not in 2 folders: day2/top.jpg, top.jpg." in result.output


def test_lfw_has_the_first_picture_of_each_person_as_reference(tmp_path: Path) -> None:
    src = tree(tmp_path / "lfw", "Al_Bo/Al_Bo_0002.jpg", "Al_Bo/Al_Bo_0001.jpg", "Cy/Cy_0001.jpg")
    result = made("lfw", src)
    assert lines(tmp_path)[1:] == [
        "Al_Bo,reference,0,lfw/Al_Bo/Al_Bo_0001.jpg",
        "Al_Bo,probe,0,lfw/Al_Bo/Al_Bo_0002.jpg",
        "Cy,reference,0,lfw/Cy/Cy_0001.jpg",
    ]
    assert result.exit_code == 0
    assert "LFW has 5,749 subjects, and the table has 2.\n" in result.output
    assert "Note: LFW has 13,233 pictures, and the table has 3." in result.output


def test_first_is_the_first_unmasked_and_the_first_masked_picture(tmp_path: Path) -> None:
    src = tree(tmp_path / "in", *(f"ann/{name}.jpg" for name in ("a_mask", "b_mask", "c", "d")))
    assert made("folders", src, "--masked", "*_mask*", "--roles", "first").exit_code == 0
    assert [line.split(",")[1:3] for line in lines(tmp_path)[1:]] == [
        ["reference", "1"], ["probe", "1"], ["reference", "0"], ["probe", "0"],
    ]  # fmt: skip


def test_mfr2_has_its_masks_in_a_file_of_labels(tmp_path: Path) -> None:
    pictures = [f"Al_Bo/Al_Bo_000{n}.png" for n in (1, 2, 3, 4)]
    src = tree(tmp_path / "mfr2", *pictures, "pairs.txt")
    text = "Al_Bo, 1, no-mask\nAl_Bo, 2, surgical_blue\nAl_Bo, 3, No_Mask\n\nCy, 12, cloth\n"
    (src / "mfr2_labels.txt").write_text(text)
    result = made("mfr2", src)
    assert result.exit_code == 0, result.output
    assert lines(tmp_path)[::2] == [
        "subject,role,masked,path,mask",
        "Al_Bo,probe,0,mfr2/Al_Bo/Al_Bo_0001.png,no-mask",
        "Al_Bo,probe,1,mfr2/Al_Bo/Al_Bo_0002.png,surgical_blue",
        "Al_Bo,probe,0,mfr2/Al_Bo/Al_Bo_0003.png,no-mask",
    ]
    for words in (
        "1 not in the file of labels, or there twice: Al_Bo/Al_Bo_0004.png.",
        "1 of 4 labels are of no picture: Cy_0012.",
        "MFR2 has 53 subjects, and the table has 1.",
        "MFR2 has 269 pictures, and the table has 3.",
    ):
        assert words in result.output
    assert "leave --masked out" in made("mfr2", src, "--replace", "--masked", "*").output
    (src / "mfr2_labels.txt").write_text("Al_Bo, 1\n")
    result = made("mfr2", src, "--replace")
    assert (result.exit_code, "line 1 of" in result.output) == (2, True)
    (src / "mfr2_labels.txt").unlink()
    assert "cannot read the labels" in made("mfr2", src, "--replace").output


def test_rmfd_has_one_folder_for_each_kind_of_picture(tmp_path: Path) -> None:
    src = tree(tmp_path / "rmfd", "AFDB_face_dataset/ann/0_0.jpg", "other/ann/1.jpg")
    result = made("rmfd", src)
    assert (result.exit_code, "has no folder AFDB_masked_face_dataset" in result.output) == (2, True)
    tree(src, "AFDB_masked_face_dataset/ann/0_0_1.jpg", "AFDB_masked_face_dataset/bob/0_0_1.jpg")
    result = made("rmfd", src)
    assert [line.rsplit("/", 3)[0] for line in lines(tmp_path)[1::2]] == [
        "ann,reference,0,rmfd",
        "ann,reference,1,rmfd",
        "bob,reference,1,rmfd",
    ]
    assert "1 in other folders than AFDB_face_dataset and AFDB_masked_face_dataset: other/ann/1.jpg." in result.output


def test_mfrc21_needs_patterns_and_has_the_published_counts(tmp_path: Path) -> None:
    """47 subjects on three days; each day 10 unmasked and 20 masked pictures, of which day 1 has the references."""
    src = tmp_path / "mfrc21"
    names = [
        f"{who:03d}/day{day}/{kind}{n:02d}.jpg"
        for who in range(47)
        for day in (1, 2, 3)
        for kind, count in (("bare", 10), ("mask", 20))
        for n in range(count)
    ]
    result = made("mfrc21", tree(src, *names))
    assert (result.exit_code, "its layout is not known" in result.output) == (2, True)
    patterns = ("--masked", "*/mask*", "--reference", "*/day1/*", "--column", "day=2")
    result = made("mfrc21", src, *patterns)
    assert result.exit_code == 0, result.output
    assert "MFRC-21 has" not in result.output
    table = read_protocol(tmp_path / "table.csv")
    assert count_mismatches("mfrc21", table) == []
    assert Counter({side: len(rows) for side, rows in table.sides.items()}) == {
        ("reference", False): 470,
        ("reference", True): 940,
        ("probe", False): 940,
        ("probe", True): 1880,
    }
    (src / names[0]).unlink()
    result = made("mfrc21", src, *patterns, "--replace")
    assert "MFRC-21 has 470 unmasked references, and the table has 469." in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--masked", "*/maske/*"), "matches no picture of"),
        (("--reference", "*none*"), "its pictures have paths such as ann/1.jpg"),
        (("--reference", "*", "--roles", "both"), "give one of them"),
        (("--column", "day"), "give NAME=LEVEL"),
        (("--column", "day=0"), "give NAME=LEVEL"),
        (("--column", "role=1"), "two columns of one name"),
        (("--person", "2"), "no pictures 2 folders deep"),
        (("--labels", "x"), "--labels is a file of mfr2"),
    ],
)
def test_a_wrong_call_is_one_sentence(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    result = made("folders", tree(tmp_path / "in", "ann/1.jpg"), *options)
    assert (result.exit_code, words in result.output, result.output.count("\n")) == (2, True, 1), result.output
    assert not (tmp_path / "table.csv").exists()


def test_an_existing_file_is_kept_unless_the_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src, out = tree(tmp_path / "in", "ann/1.jpg"), tmp_path / "table.csv"
    out.write_text("mine")
    result = made("folders", src)
    assert (result.exit_code, "is already there" in result.output) == (2, True)
    assert out.read_text() == "mine"

    def fails(path: Path) -> None:
        raise UsageError(f"{path} cannot be read back.")

    with monkeypatch.context() as patched:
        patched.setattr(protocol_make, "read_protocol", fails)
        assert made("folders", src, "--replace").exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "table.csv"]
    assert out.read_text() == "mine"
    assert made("folders", src, "--replace").exit_code == 0
    assert lines(tmp_path)[1] == "ann,reference,0,in/ann/1.jpg"
    with pytest.raises(MaskgenError, match="cannot write"):
        make_table("folders", src, tmp_path / "none/table.csv", Layout())
    with pytest.raises(UsageError, match="it is no folder"):
        make_table("folders", tmp_path / "none", tmp_path / "other.csv", Layout())


@pytest.mark.skipif(sys.platform == "win32", reason="such file names exist on Linux and macOS")
def test_every_name_is_read_back_as_the_file(tmp_path: Path) -> None:
    people = ["a,b", 'quo"te', "=1+1", "two\nlines", "\x1b[31mred", "Zoë", "'", "a  b"]
    src = tree(tmp_path / " in", *(f"{who}/{n}, .jpg" for who in people for n in "12"))
    (src / "Zoë/link.jpg").symlink_to(src / "Zoë/1, .jpg")
    (tmp_path / "link").symlink_to(tmp_path / "deep/er", target_is_directory=True)
    (tmp_path / "deep/er").mkdir(parents=True)
    for out in (tmp_path / "table.csv", tmp_path / "link/table.csv"):
        _, notes = make_table("folders", src, out, Layout())
        assert any(note.startswith("1 left out as link: Zoë/link.jpg") for note in notes)
        found = read_protocol(out)
        assert {os.path.realpath(path) for path in found.paths} == {
            os.path.realpath(path) for path in src.rglob("*, .jpg")
        }
        assert set(found.names) == set(people)
        with out.open(newline="") as file:
            assert len(list(csv.reader(file))) == 1 + 2 * 2 * len(people)
    tree(src, "ann /1.jpg")
    with pytest.raises(UsageError, match="begins or ends with a space"):
        make_table("folders", src, tmp_path / "other.csv", Layout())
    shown = made("folders", src)
    assert "\x1b" not in shown.output
