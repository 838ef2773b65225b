"""Tar shards of photographs: who is who, what a damaged archive says, and data sets built from them."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.sources import tars as sources_tars
from maskgen.sources.listing import photographs
from maskgen.sources.reader import Reader


def listed(src: Path | str, **options: Any) -> list[tuple[str, str, str]]:
    """(source, identity, first word of the problem) of every entry."""
    return [(found.source, found.identity, found.problem.partition(":")[0]) for found in photographs(src, **options)]


def test_the_folder_a_member_lies_in_is_the_person(write_tar: Callable[..., Path], tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "x.tar",
        {"./n2/1.jpg": b"one", "lfw/Ann/2.PNG": b"", "n3/notes.txt": b"no", "n3/a.b.jpg": b"four", "stray.jpg": b"x"},
    )
    assert [found[:5] for found in photographs(tmp_path)] == [
        ("x.tar/n2/1.jpg", "n2", "", 3, ""),
        ("x.tar/lfw/Ann/2.PNG", "Ann", "", 0, ""),
        ("x.tar/n3/a.b.jpg", "n3", "", 4, ""),
        ("x.tar/stray.jpg", "", "", 1, "no_identity: no .json, .cls or folder names the person"),
    ]
    data = path.read_bytes()
    for found in photographs(tmp_path):
        assert (found.container, found.container_bytes) == ("x.tar", len(data))
        assert (
            data[found.offset : found.offset + found.bytes]
            == (b"one", b"", b"four", b"x")[("n2", "Ann", "n3", "").index(found.identity)]
        )


def test_hidden_members_are_passed_over_and_part_no_sample(write_tar: Callable[..., Path], tmp_path: Path) -> None:
    names = ["./._n2", "n2/._1.jpg", "n2/1.jpg", "n2/._1.json", "n2/1.json", ".cache/n3/1.jpg", "n2/.ipynb/1.jpg"]
    write_tar(tmp_path / "x.tar", dict.fromkeys((*names, "../n4/1.jpg"), b'{"identity": "ann"}'))
    assert listed(tmp_path) == [("x.tar/n2/1.jpg", "ann", ""), ("x.tar/../n4/1.jpg", "n4", "")]


def test_json_and_cls_name_the_person_before_or_after_the_photograph(
    write_tar: Callable[..., Path], tmp_path: Path
) -> None:
    write_tar(
        tmp_path / "x.tar",
        {
            "0001.json": b'{"identity": "ann", "label": 3}',
            "0001.jpg": b"",
            "0002.jpg": b"",
            "0002.json": b'{"label": 7, "class": "no"}',
            "0003.jpg": b"",
            "0003.cls": b" 12\n",
            "0004.jpg": b"",
            "0004.json": b'{"class": "cyd"}',
            "dir/0005.jpg": b"",
            "dir/0005.json": b'{"identity": null, "label": true, "class": 1.5}',
            "0006.left.jpg": b"",
            "0006.right.jpg": b"",
            "0006.json": b'{"person": "eva", "identity": "other"}',
            "0007.jpg": b"",
            "0007.json": b"{broken",
            "0008.json": b'{"identity": "nobody has this one"}',
        },
    )
    people = [("0001.jpg", "ann"), ("0002.jpg", "7"), ("0003.jpg", "12"), ("0004.jpg", "cyd"), ("dir/0005.jpg", "dir")]
    two = [("0006.left.jpg", "other"), ("0006.right.jpg", "other")]
    expected = [(f"x.tar/{name}", person, "") for name, person in people + two]
    assert listed(tmp_path) == [*expected, ("x.tar/0007.jpg", "", "no_identity")]
    assert ("x.tar/0006.left.jpg", "eva", "") in listed(tmp_path, identity_field="person")


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_with_long_and_foreign_names(
    write_tar: Callable[..., Path], tmp_path: Path, format: int
) -> None:
    name = "a" * 90 + "/" + ("日本" if format != tarfile.USTAR_FORMAT else "bc" * 3) + "x" * 60 + ".jpg"
    write_tar(tmp_path / "x.tar", {name: b"abc", "b/1.jpg": b"d"}, format)
    rows = [found._asdict() for found in photographs(tmp_path)]
    assert [row["source"] for row in rows] == [f"x.tar/{name}", "x.tar/b/1.jpg"]
    with Reader(str(tmp_path)) as reader:
        assert [reader.read(row) for row in rows] == [b"abc", b"d"]


def test_links_doubles_and_bad_names_are_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", errors="surrogateescape") as archive:
        for name, kind in [
            ("a/1.jpg", tarfile.REGTYPE),
            ("a/1.jpg", tarfile.REGTYPE),
            ("a/2.jpg", tarfile.SYMTYPE),
            ("a/3.jpg", tarfile.LNKTYPE),
            ("a/4.jpg", tarfile.FIFOTYPE),
            ("a/5.jpg", tarfile.DIRTYPE),
            ("a/caf\udce9.jpg", tarfile.REGTYPE),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd" if kind == tarfile.SYMTYPE else "a/1.jpg"
            archive.addfile(member)
    assert listed(tmp_path) == [
        ("x.tar/a/1.jpg", "a", ""),
        ("x.tar/a/1.jpg@512", "a", "duplicate"),
        ("x.tar/a/2.jpg", "a", "link"),
        ("x.tar/a/3.jpg", "a", "link"),
        ("x.tar/a/4.jpg", "a", "unreadable"),
        ("x.tar/a/caf\\xe9.jpg", "a", "bad_name"),
    ]


@pytest.fixture
def three(write_tar: Callable[..., Path], tmp_path: Path) -> Path:
    """A tar of three members, of 1,000 bytes each: each takes a header block and two of data."""
    return write_tar(tmp_path / "three.tar", {f"ann/{number}.jpg": bytes([number]) * 1000 for number in (1, 2, 3)})


@pytest.mark.parametrize("blocks", range(1, 10))
def test_a_tar_cut_at_any_block_is_one_sentence_and_never_silently_short(three: Path, blocks: int) -> None:
    three.write_bytes(three.read_bytes()[: blocks * 512])
    with pytest.raises(MaskgenError, match=r"three\.tar is damaged: .*fetch it again") as caught:
        list(photographs(three))
    assert "\n" not in str(caught.value)
    if blocks % 3 == 0:  # a member's end: what common libraries take for the archive's end
        with tarfile.open(three) as archive:
            assert len(archive.getnames()) == blocks // 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[: 9 * 512 + 512], "without the two zero blocks"),
        (lambda data: data[: 3 * 512] + b"?" * 512 + data[4 * 512 :], "neither a member nor the end"),
        (lambda data: data + data, "neither a member nor the end"),
        (lambda data: b"", "damaged"),
        (lambda data: b"\x1f\x8b" + data[2:], "damaged"),
        (lambda data: b"this is a text\n" * 500, "damaged"),
    ],
)
def test_a_damaged_tar_is_one_sentence(three: Path, change: Callable[[bytes], bytes], words: str) -> None:
    three.write_bytes(change(three.read_bytes()))
    with pytest.raises(MaskgenError, match=words) as caught:
        list(photographs(three))
    assert "three.tar is damaged" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_header_that_claims_much_is_not_believed(tmp_path: Path) -> None:
    member = tarfile.TarInfo("long")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(MaskgenError, match="a header claims 1099511627776 bytes"):
        list(photographs(tmp_path))


def test_a_tar_that_changed_after_the_plan_stops_the_build(write_tar: Callable[..., Path], three: Path) -> None:
    [first, second, _] = [found._asdict() for found in photographs(three)]
    with Reader(str(three)) as reader:
        assert reader.read(first) == b"\1" * 1000
    for others in ({"ann/1.jpg": b"other"}, {"ann/1.jpg": bytes(1000), "ann/2.jpg": bytes(999)}):
        write_tar(three, others)
        assert three.stat().st_size == first["container_bytes"]
        with Reader(str(three)) as reader, pytest.raises(UsageError, match=r"is not the file that was planned \("):
            reader.read(second)
    three.write_bytes(three.read_bytes() + bytes(512))
    with (
        Reader(str(three)) as reader,
        pytest.raises(UsageError, match=r"three\.tar has \d+ bytes but had .*--overwrite"),
    ):
        reader.read(first)
    three.unlink()
    with (
        Reader(str(three)) as reader,
        pytest.raises(UsageError, match=r"/three\.tar was planned and is no longer there"),
    ):
        reader.read(first)
    with pytest.raises(UsageError, match=r"there is no file .*three\.tar; check --src"):
        list(photographs(three))


def test_the_webdataset_librarys_tars(tmp_path: Path, takes: Callable[[int], bytes]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "x-%06d.tar"), maxcount=2, verbose=0) as writer:
        for number in range(5):
            about: dict[str, Any] = {"json": {"label": number % 2}} if number < 3 else {"cls": number % 2}
            writer.write({"__key__": f"{number:04d}", "jpg": takes(number), **about})
    pattern = str(tmp_path / "x-{000000..000002}.tar")
    expected = [(f"x-{number // 2:06d}.tar/{number:04d}.jpg", str(number % 2), "") for number in range(5)]
    assert listed(tmp_path) == listed(pattern) == expected
    with Reader(pattern) as reader:
        for number, found in enumerate(photographs(pattern)):
            assert reader.read(found._asdict()) == takes(number)


@pytest.fixture(scope="module")
def tarred(write_tar: Callable[..., Path], tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs of `tree` in three tars."""
    folder = tmp_path_factory.mktemp("tars")
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*.jpg"))
    for shard in range(3):
        members = {name: (tree / name).read_bytes() for name in names[shard * 10 : shard * 10 + 10]}
        write_tar(folder / f"x-{shard:06d}.tar", members)
    return folder


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_data_set_from_tars_has_the_photographs_of_the_folder(
    tarred: Path,
    tree_rejects: dict[str, str],
    make: Callable[..., Path],
    rejects: Callable[[Path], dict[str, str]],
    hashes: Callable[[Path], dict[str, str]],
    built: Path,
    tmp_path: Path,
    workers: int,
) -> None:
    out = make(tarred, tmp_path / "out")
    found = {source.split("/", 1)[1]: reason for source, reason in rejects(out).items()}
    assert found == tree_rejects
    same = {row.source: row.jpeg("unmasked") for row in maskgen.open(built)}
    rows = list(maskgen.open(out))
    assert len(rows) == len(same) == 27
    assert all(row.jpeg("unmasked") == same[row.source.split("/", 1)[1]] for row in rows)

    plan = pq.read_table(out / "plan.parquet").to_pylist()
    assert len(plan) == 30
    for split in ("train", "val", "test"):  # in the tars' own order: a shard reads forward
        places = [(row["container"], row["offset"]) for row in plan if row["split"] == split]
        assert places == sorted(places)
        assert places
    assert hashes(
        make(str(tarred / "x-{000000..000002}.tar"), tmp_path / "pattern", workers=workers, engine="joblib")
    ) == hashes(out)


def test_boxes_name_the_members_of_tars(
    tarred: Path, make: Callable[..., Path], tmp_path: Path, rejects: Callable[[Path], dict[str, str]]
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text('NAME_ID,X,Y,W,H\n"ann/0000_01",40,40,100,100\n"eva/0005_01",40,40,100,100\n')
    out = make(tarred, tmp_path / "out", boxes=(boxes,))
    assert set(rejects(out).values()) == {"no_box"}
    assert {row.source.rpartition("/")[2] for row in maskgen.open(out)} == {"0000_01.jpg", "0005_01.jpg"}


def test_half_a_character_in_a_json(write_tar: Callable[..., Path], tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"1.jpg": b"", "1.json": b'{"identity": "\\ud800x"}'})
    assert listed(tmp_path) == [("x.tar/1.jpg", "\\ud800x", "")]


def test_limits_of_notes(write_tar: Callable[..., Path], tmp_path: Path) -> None:
    note = json.dumps({"identity": "ann", "more": "x" * sources_tars.MAX_NOTE}).encode()
    write_tar(tmp_path / "x.tar", {"1.jpg": b"", "1.json": note, "2.jpg": b"", "2.json": b"[" * 100_000})
    assert listed(tmp_path) == [("x.tar/1.jpg", "", "no_identity"), ("x.tar/2.jpg", "", "no_identity")]
    assert re.search("json cannot be read", next(photographs(tmp_path)).problem)
