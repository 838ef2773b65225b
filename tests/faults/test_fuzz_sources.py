"""Mutated and truncated tars and packs: the listing, a reject or one sentence, and never a photograph lost unsaid."""

from __future__ import annotations

import io
import struct
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgen.errors import MaskgenError
from maskgen.sources.listing import photographs
from maskgen.sources.photograph import Photograph
from maskgen.sources.reader import Reader
from tests.support.fuzz import hypothesis_settings

MAGIC = struct.pack("<I", 0xCED7230A)
NAMES = [f"{person}/{number}.jpg" for person in ("ann", "bob") for number in range(3)]

values = st.one_of(
    st.integers(0, 255).map(lambda value: bytes([value])),
    st.binary(max_size=12),
    st.sampled_from(
        [MAGIC, MAGIC * 2, bytes(512), b"\xff" * 8, b"\x80" + b"\xff" * 11, b"77777777777\0", b"L", b"x", b"S"]
    ),
    st.integers(0, 2**32 - 1).map(lambda value: struct.pack("<I", value)),
)
edits = st.lists(
    st.tuples(st.sampled_from(["write", "insert", "delete", "cut", "repeat"]), st.floats(0, 1), values),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for how, where, value in changes:
        at = int(where * len(data))
        if how == "write":
            data = data[:at] + value + data[at + len(value) :]
        elif how == "insert":
            data = data[:at] + value + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + len(value) :]
        elif how == "cut":
            data = data[: at - at % (512 if len(value) % 2 else 4)]
        else:
            data = data + data[at:]
    return data


def checksummed(data: bytes) -> bytes:
    """A tar whose headers have right checksums again, so that mutations come past the first guard."""
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    for number, block in enumerate(blocks):
        if block[257:262] == b"ustar" and len(block) == 512:
            total = sum(block[:148]) + 8 * 32 + sum(block[156:])
            blocks[number] = block[:148] + f"{total:06o}\0 ".encode() + block[156:]
    return b"".join(blocks)


def tar_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


TAR = tar_of(
    {name: name.encode() * 40 for name in NAMES}
    | {"x" * 120 + "/ü.jpg": b"long", "c/1.json": b'{"identity": "cyd"}', "c/1.jpg": b"c"}
)


@pytest.fixture(scope="module")
def pack_of(record_writer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A pack, and its index, with a record of several parts and a record 0."""
    writer = record_writer(tmp_path_factory.mktemp("pack") / "train.rec")
    writer.add(0, [7.0, 9.0])
    for key in range(1, 7):
        writer.add(key, [key % 2, 0.0] if key < 4 else key % 2, b"abcd" * key + (MAGIC + b"x" * key) * (key % 3))
    writer.add(7, [1.0, 4.0])
    writer.add(8, [4.0, 7.0])
    path = writer.close()
    return path.read_bytes(), path.with_suffix(".idx").read_bytes()


def outcome(src: Path) -> list[Photograph] | str:
    """Every photograph listed and read back at its planned size; or the sentence that stops the build."""
    try:
        found = list(photographs(src))
        with Reader(str(src)) as reader:
            for entry in found:
                if not entry.problem:
                    assert len(reader.read(entry._asdict())) == entry.bytes
    except MaskgenError as error:
        text = str(error)
        assert "\n" not in text
        assert text.endswith((".", "--src.", "--overwrite."))
        assert str(src.parent) in text
        return text
    assert len({entry.source for entry in found}) == len(found)
    return found


@hypothesis_settings("tar of photographs")
@given(changes=edits, repair=st.booleans())
def test_mutated_tars(changes: list[tuple[str, float, bytes]], repair: bool) -> None:
    data = edited(TAR, changes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.tar")
        path.write_bytes(checksummed(data) if repair else data)
        found = outcome(path)
    if isinstance(found, list) and not repair:  # a change of a header shows: all are there, or one under another name
        assert len(found) >= len(NAMES) + 1


@hypothesis_settings("RecordIO pack and its index")
@given(changes=edits, of_index=st.booleans())
def test_mutated_packs(pack_of: tuple[bytes, bytes], changes: list[tuple[str, float, bytes]], of_index: bool) -> None:
    pack, index = pack_of
    pack, index = (pack, edited(index, changes)) if of_index else (edited(pack, changes), index)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.rec")
        path.write_bytes(pack)
        path.with_suffix(".idx").write_bytes(index)
        found = outcome(path)
    if isinstance(found, list):  # whatever else was changed, all six of them are told of
        assert len(found) >= 6


@hypothesis_settings("damaged source, built")
@given(changes=edits, kind=st.sampled_from(["tar", "recordio"]))
def test_rows_and_rejects_are_the_plan(
    pack_of: tuple[bytes, bytes],
    make: Callable[..., Path],
    rejects: Callable[[Path], dict[str, str]],
    changes: list[tuple[str, float, bytes]],
    kind: str,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "tar":
            src = Path(folder, "x.tar")
            src.write_bytes(checksummed(edited(TAR, changes)))
        else:
            src = Path(folder, "train.rec")
            src.write_bytes(edited(pack_of[0], changes))
            src.with_suffix(".idx").write_bytes(pack_of[1])
        if isinstance(outcome(src), str):
            with pytest.raises(MaskgenError):
                make(src, Path(folder, "out"))
            return
        out = make(src, Path(folder, "out"))
        planned = pq.read_table(out / "plan.parquet")["source"].to_pylist()
        assert sorted(rejects(out)) == sorted(planned)  # none of these is a picture


@pytest.mark.parametrize("cut", range(0, len(TAR), 512))
def test_a_tar_cut_at_every_block(tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.tar").write_bytes(TAR[:cut])
    end = TAR.rstrip(b"\0")
    whole = len(end) + -len(end) % 512 + 1024
    assert isinstance(outcome(tmp_path / "x.tar"), str) == (cut < whole)
