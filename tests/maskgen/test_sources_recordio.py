"""RecordIO packs: records of one part and of many, labels, record 0, and every way in which a pack can be damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.sources import recordio
from maskgen.sources.listing import photographs
from maskgen.sources.place import Container, place_of
from maskgen.sources.reader import Reader

MAGIC = struct.pack("<I", 0xCED7230A)


def images(src: Path) -> dict[str, bytes]:
    """The bytes of every photograph that has no problem, by source."""
    with Reader(str(src)) as reader:
        return {found.source: reader.read(found._asdict()) for found in list(photographs(src)) if not found.problem}


def test_the_bytes_of_a_record_are_those_of_the_format(tmp_path: Path) -> None:
    """Written out by hand: magic, length, flag 0, label 5, id 1, id2 0, the image, padding."""
    (tmp_path / "train.rec").write_bytes(
        bytes.fromhex("0a23d7ce 1b000000 00000000 0000a040 0100000000000000 0000000000000000") + b"abc\0"
    )
    (tmp_path / "train.idx").write_text("1\t0\n")
    [found] = photographs(tmp_path)
    assert found == ("train.rec/0000001", "5", "", 3, "", "train.rec", 36, 0)
    assert images(tmp_path) == {"train.rec/0000001": b"abc"}


def test_an_insightface_pack(tmp_path: Path, write_pack: Callable[..., Path]) -> None:
    people = [(0.0, b"a"), (0.0, b"bb"), (1.0, b"ccc"), (93430.0, b"dddd"), (93430.0, b"")]
    write_pack(tmp_path, people)
    found = list(photographs(tmp_path))
    assert [(entry.source, entry.identity, entry.bytes, entry.problem) for entry in found] == [
        (f"train.rec/{key:07d}", str(int(person)), len(image), "") for key, (person, image) in enumerate(people, 1)
    ]
    assert list(images(tmp_path).values()) == [image for _, image in people]


@pytest.mark.parametrize(
    "image",
    [
        MAGIC,
        MAGIC * 3,
        b"abcd" + MAGIC,
        MAGIC + b"abcde",
        b"abcd" + MAGIC + b"efgh" + MAGIC + MAGIC + b"i",
        b"ab" + MAGIC + b"cd",  # not at a multiple of 4: stays in one part
        b"x" * 100_000 + MAGIC + b"y" * 100_001,
    ],
)
@pytest.mark.parametrize("labels", [3.0, [3.0, 4.0], struct.unpack("<f", MAGIC)[0]])
def test_records_of_many_parts(
    tmp_path: Path, record_writer: Callable[..., Any], image: bytes, labels: float | list[float]
) -> None:
    writer = record_writer(tmp_path / "train.rec")
    for key, data in enumerate((b"before", image, b"after"), 1):
        writer.add(key, labels if data == image else 1.0, data)
    writer.close()
    found = list(photographs(tmp_path))
    assert [entry.bytes for entry in found] == [6, len(image), 5]
    assert found[1].identity == ("3" if labels != labels_of_magic() else str(int(labels_of_magic())))
    assert list(images(tmp_path).values()) == [b"before", image, b"after"]


def labels_of_magic() -> float:
    """The magic number read as a label: it splits a record in its header."""
    value: float = struct.unpack("<f", MAGIC)[0]
    return value


def test_a_pack_without_record_0_and_in_another_order(tmp_path: Path, record_writer: Callable[..., Any]) -> None:
    writer = record_writer(tmp_path / "train.rec")
    for key in (12345678, 3, 0):  # im2rec shuffles; its record 0 has an image
        writer.add(key, [key % 10, 1.0, 2.0], f"image {key}".encode())
    writer.lines.sort()
    writer.close()
    assert images(tmp_path) == {
        "train.rec/12345678": b"image 12345678",
        "train.rec/00000003": b"image 3",
        "train.rec/00000000": b"image 0",
    }
    assert [found.identity for found in photographs(tmp_path)] == ["8", "3", "0"]


def test_a_label_or_header_that_names_nobody_is_a_problem_of_its_photograph(
    tmp_path: Path, record_writer: Callable[..., Any]
) -> None:
    writer = record_writer(tmp_path / "train.rec")
    for key, label in enumerate((1.0, 0.5, float("nan"), float("inf")), 1):
        writer.add(key, label, b"image")
    writer.add_data(5, b"short")
    writer.add_data(6, struct.pack("<IfQQ", 1000, 0, 6, 0) + b"image")
    writer.add_data(7, struct.pack("<IfQQ", 0xFFFFFFFF, 0, 6, 0) + b"image")
    writer.close()
    problems = [found.problem for found in photographs(tmp_path)]
    assert [problem.partition(":")[0] for problem in problems] == ["", *["no_identity"] * 3, *["damaged"] * 3]
    assert problems[1] == "no_identity: the label is 0.5"
    assert problems[5] == "damaged: the record claims 1000 labels and has 29 bytes"
    assert images(tmp_path) == {"train.rec/0000001": b"image"}


def test_labels_of_record_0_beyond_float32(tmp_path: Path, record_writer: Callable[..., Any]) -> None:
    """From 2**24 on a float32 rounds, here 16777219 up to 16777220 and 16777217 down to 16777216: the key after the
    last photograph is taken no higher than it can be."""
    for after, lowest in ((16777219.0, 16777218), (16777217.0, 16777214), (16777215.0, 16777215)):
        writer = record_writer(tmp_path / f"{after}" / "train.rec")
        writer.add(0, [after, after + 2])
        path = writer.close()
        keys = np.arange(int(after) + 2)
        with Container(place_of(str(path.parent)), path.name) as container:
            assert recordio._photograph_keys(container, keys, keys) == (1, lowest)
        with pytest.raises(MaskgenError, match=rf"promises {lowest - 1} photographs and the index has 0"):
            list(photographs(path))


@pytest.fixture
def pack(tmp_path: Path, write_pack: Callable[..., Path]) -> Path:
    return write_pack(tmp_path / "pack", [(float(number // 2), bytes([number]) * 50) for number in range(6)])


def sentence(pack: Path) -> str:
    with pytest.raises(MaskgenError) as caught:
        list(photographs(pack))
    text = str(caught.value)
    assert "is damaged: " in text
    assert "fetch it again, or take it out of --src." in text
    assert "\n" not in text
    return text


def test_a_pack_cut_short_anywhere_is_one_sentence(pack: Path) -> None:
    whole = (pack / "train.rec").read_bytes()
    for size in [*range(0, len(whole), 4), len(whole) - 1]:
        (pack / "train.rec").write_bytes(whole[:size])
        assert "train." in sentence(pack)


def test_an_index_cut_short_anywhere_is_one_sentence(pack: Path) -> None:
    whole = (pack / "train.idx").read_bytes()
    for size in range(len(whole)):
        (pack / "train.idx").write_bytes(whole[:size])
        assert "train." in sentence(pack)


def test_pack_and_index_cut_at_the_same_record(pack: Path) -> None:
    lines = (pack / "train.idx").read_text().splitlines(keepends=True)
    (pack / "train.idx").write_text("".join(lines[:4]))
    (pack / "train.rec").write_bytes((pack / "train.rec").read_bytes()[: int(lines[4].split()[1])])
    assert "record 0 promises 6 photographs and the index has 3 of them" in sentence(pack)


@pytest.mark.parametrize(
    ("line", "text", "words"),
    [
        (2, "2\t1000000\n", "train.idx is damaged: it points to byte 1000000, and the .rec ends at byte"),
        (2, "2\t-8\n", "first record is at byte -8"),
        (2, "-2\t8\n", "whole numbers"),
        (2, "1\t132\n", "twice"),
        (2, "2\t0\n", "twice"),
        (2, "two\t8\n", "whole numbers"),
        (2, "2\n", "whole numbers"),
        (2, "2\t\n", "whole numbers"),
        (2, "2\t99999999999999999999999\n", "whole numbers"),
        (2, "2\t1.5\n", "whole numbers"),
        (2, "\xff\t1\n", "whole numbers"),
        (2, "", "record 0 promises 6 photographs and the index has 5"),
        (8, "", "has the next one at byte"),
        (0, "", "lines are missing"),
        (2, "2\t130\n", "is damaged"),
    ],
)
def test_a_bad_line_in_the_index_is_one_sentence(pack: Path, line: int, text: str, words: str) -> None:
    lines = (pack / "train.idx").read_text().splitlines(keepends=True)
    lines[line] = text
    (pack / "train.idx").write_text("".join(lines), encoding="latin-1")
    assert words in sentence(pack)


@pytest.mark.parametrize(
    ("at", "data", "words"),
    [
        (0, b"\0", "no record begins at byte 0"),
        (7, b"\x80", "no record begins at byte 0"),  # a role beyond the four
        (7, b"\x20", "has no end"),
        (7, b"\x60", "begins in its middle"),
        (5, b"\xff", "bytes, and the file ends at byte"),
        (4, b"\x24", "has the next one at byte"),
        (32, struct.pack("<f", 2.5), "record 0 says that photographs end at 2.5"),
        (32, struct.pack("<f", float("nan")), "record 0 says that photographs end at nan"),
        (32, struct.pack("<f", 90.0), "record 0 promises 89 photographs and the index has 9"),
    ],
)
def test_a_bad_byte_in_the_structure_is_one_sentence(pack: Path, at: int, data: bytes, words: str) -> None:
    whole = bytearray((pack / "train.rec").read_bytes())
    whole[at : at + len(data)] = data
    (pack / "train.rec").write_bytes(whole)
    assert words in sentence(pack)


def test_a_pack_without_index(pack: Path) -> None:
    (pack / "train.idx").unlink()
    with pytest.raises(UsageError, match=r"there is no file .*train\.idx"):
        list(photographs(pack, kind="recordio"))


def test_a_pack_that_changed_after_the_plan_stops_the_build(pack: Path) -> None:
    found = [found._asdict() for found in photographs(pack)]
    whole = (pack / "train.rec").read_bytes()
    (pack / "train.rec").write_bytes(whole + bytes(4))
    with Reader(str(pack)) as reader, pytest.raises(UsageError, match=r"train\.rec has \d+ bytes but had"):
        reader.read(found[0])
    (pack / "train.rec").write_bytes(whole.replace(bytes([3]) * 50, bytes([3]) * 46 + struct.pack("<I", 0)))
    with Reader(str(pack)) as reader:
        assert reader.read(found[3])[-4:] == bytes(4)  # as long as planned: its pixels are nobody's promise
    (pack / "train.rec").write_bytes(whole[:40] + whole[48:] + bytes(8))
    with Reader(str(pack)) as reader, pytest.raises(MaskgenError):
        reader.read(found[2])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_data_set_from_a_pack_has_the_photographs_of_the_folder(
    tree: Path,
    tree_rejects: dict[str, str],
    write_pack: Callable[..., Path],
    make: Callable[..., Path],
    rejects: Callable[[Path], dict[str, str]],
    hashes: Callable[[Path], dict[str, str]],
    built: Path,
    tmp_path: Path,
    workers: int,
) -> None:
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.jpg"))
    people = sorted({name.split("/")[0] for name in names})
    src = write_pack(
        tmp_path / "src", [(float(people.index(name.split("/")[0])), (tree / name).read_bytes()) for name in names]
    )
    out = make(src, tmp_path / "out")

    def name_of(source: str) -> str:
        return names[int(source.removeprefix("train.rec/")) - 1]

    assert {name_of(source): reason for source, reason in rejects(out).items()} == tree_rejects
    same = {row.source: row.jpeg("unmasked") for row in maskgen.open(built)}
    rows = list(maskgen.open(out))
    assert len(rows) == len(same) == 27
    assert all(row.jpeg("unmasked") == same[name_of(row.source)] for row in rows)
    assert hashes(make(src / "train.rec", tmp_path / "again", workers=workers, engine="joblib")) == hashes(out)
