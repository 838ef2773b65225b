"""File names of an export: safe on every system, and never the same for two people or photographs."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgen.dataset.record import Row
from maskgen.exporting.file_names import FileNames, safe
from tests.support.fuzz import examples

HOSTILE = (
    *("..", ".", "../../etc", "/etc/passwd", "C:\\Windows", "CON", "con.txt", "NUL", "LPT1.a", "a\x00b"),
    *("\x1b[31m", "a\nb", "x" * 300, "é" * 200, "\u202egpj", "=cmd|' !A0", "-rf", " ", "a ", "a.", ".hidden", "%2E%2E"),
    *("ann", "Ann", "ANN", "ann~1", "caf\u00e9", "cafe\u0301", "ß", "SS", "~", '?*<>|:"', "", "日本語", "\ud800"),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_safe_name_is_one_component_that_every_system_takes(name: str) -> None:
    _check_safe(safe(name))


@settings(max_examples=examples(300), deadline=None)
@given(st.text(max_size=150))
def test_safe_names_of_any_text(name: str) -> None:
    _check_safe(safe(name))


def _check_safe(name: str) -> None:
    assert name
    assert len(name.encode()) <= 103, "a hundred, and one more escape at the end"
    assert not set('<>:"/\\|?*~') & set(name)
    assert name[0] not in ". "
    assert name[-1] not in ". "
    assert not [c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AJ_Cook_0001", "AJ_Cook_0001"),
        ("Zoë 王", "Zoë 王"),
        ("..", "%2E%2E"),
        ("a/b", "a%2Fb"),
        ("CON", "%43ON"),
        ("con.x", "%63on.x"),
        ("contact", "contact"),
        ("50%", "50%25"),
        ("a\u202eb", "a%E2%80%AEb"),
        ("a.", "a%2E"),
        ("", "%"),
    ],
)
def test_safe_names_by_hand(name: str, expected: str) -> None:
    assert safe(name) == expected


def _rows(names: list[tuple[str, str]]) -> list[Row]:
    zero = np.zeros(4, np.float32)
    return [
        Row(f"{number:09d}", source, identity, "train", 0, 1, 1, zero, zero, None, {}, {})
        for number, (identity, source) in enumerate(names)
    ]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


NAMES = st.sampled_from([*HOSTILE, "x" * 120 + "y", "x" * 120 + "z", "0001", "train/0001", "a/0001.jpg", "b/0001.png"])


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(NAMES, st.text("aA.~ %é", max_size=4)), st.one_of(NAMES, st.text("aA.~1", max_size=4)))
    )
)
def test_no_two_photographs_or_people_share_a_name(names: list[tuple[str, str]]) -> None:
    rows = _rows(names)
    found = FileNames(iter(rows))
    stems = [found.stem(row) for row in rows]
    assert len({_folded(stem) for stem in stems}) == len(rows)
    folders = {row.identity: stem.split("/")[1] for row, stem in zip(rows, stems, strict=True)}
    assert len({_folded(folder) for folder in folders.values()}) == len(folders)
    assert all(stem.count("/") == 2 and ".." not in stem.split("/") for stem in stems)
    assert all(len(part.encode()) < 140 for stem in stems for part in stem.split("/"))


def test_names_that_collide_are_numbered() -> None:
    rows = _rows(
        [("ann", "ann/1.jpg"), ("Ann", "Ann/1.jpg"), ("ann", "ann/x/1.jpg"), ("bob", "bob/1.jpg"), ("bob", "bob/2.jpg")]
    )
    found = FileNames(iter(rows))
    assert [found.stem(row) for row in rows] == [
        "train/ann~2/1~000000000",
        "train/Ann~1/1",
        "train/ann~2/1~000000002",
        "train/bob/1",
        "train/bob/2",
    ]
