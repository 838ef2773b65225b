"""Protocol tables: what is read from them, which pairs they stand for, and their further columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgen.errors import UsageError
from mfr_train.evaluation import bootstrap, measure, protocol_table, scores
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.material import Embedded, Material
from mfr_train.evaluation.protocol_columns import breakdowns
from mfr_train.evaluation.protocol_table import Protocol, protocol_pairing, protocol_parts, read_protocol
from mfr_train.evaluation.scenarios import MASKED, RANDOM, UNMASKED, Pairing, pair_counts


def write(folder: Path, *lines: str) -> Path:
    path = folder / "protocol.csv"
    path.write_text("\n".join(("subject,role,masked,path", *lines)) + "\n")
    return path


def test_a_protocol_table_gives_sides_by_role_and_mask(tmp_path: Path) -> None:
    found = read_protocol(
        write(tmp_path, "ann,reference,0,a1.png", "bob,reference,0,b1.png", "ann,probe,1,a2.png", "ann,probe,0,a1.png")
    )
    assert [path.name for path in found.paths] == ["a1.png", "b1.png", "a2.png"]
    assert found.names == ("ann", "bob")
    assert found.subjects.tolist() == [0, 1, 0]
    assert {key: rows.tolist() for key, rows in found.sides.items()} == {
        ("reference", False): [0, 1],
        ("probe", True): [2],
        ("probe", False): [0],
    }
    um = protocol_pairing("U-M", found)
    assert um is not None
    assert (um.reference.rows.tolist(), um.probe.rows.tolist(), um.symmetric) == ([0, 1], [2], False)
    assert (set(um.reference.names), set(um.probe.names)) == ({"unmasked"}, {"masked"})
    assert protocol_pairing("M-M", found) is None


def test_a_table_without_its_failures_has_neither_them_nor_who_has_no_other_picture(tmp_path: Path) -> None:
    lines = ("ann,reference,0,a1.png", "bob,reference,0,b1.png", "cyd,probe,1,c/1.png", "ann,probe,0,./a1.png")
    whole = read_protocol(write(tmp_path, *lines))
    assert whole.labels == ("a1.png", "b1.png", "c/1.png")
    found = protocol_table.restricted(whole, np.array([True, False, True]))
    assert (found.labels, found.names) == (("a1.png", "c/1.png"), ("ann", "cyd"))
    assert found.paths == (tmp_path / "a1.png", tmp_path / "c/1.png")
    assert found.subjects.tolist() == [0, 1]
    assert {key: rows.tolist() for key, rows in found.sides.items()} == {
        ("reference", False): [0],
        ("probe", True): [1],
        ("probe", False): [0],
    }
    nothing = protocol_table.restricted(whole, np.zeros(3, bool))
    assert (nothing.names, len(nothing.subjects), len(nothing.sides)) == ((), 0, 3)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["ann,gallery,0,a.png"], "line 2 .* role reference or probe"),
        (["ann,probe,yes,a.png"], "masked 0 or 1"),
        ([",probe,0,a.png"], "needs a subject"),
        (["ann,probe,0"], "a path"),
        (["ann,probe,0,a.png", "bob,probe,0,a.png"], "line 3 .* second subject"),
        (
            ["ann,probe,0,a.png", "bob,probe,0,b.png", "ann,reference,1,a.png"],
            "line 4 .* masked 1, and line 2 masked 0",
        ),
        ([], "lists no pictures"),
    ],
)
def test_a_bad_line_is_one_sentence(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_protocol(write(tmp_path, *lines))


def test_a_table_without_a_column_or_missing_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("subject,role,path\n")
    with pytest.raises(UsageError, match="no column 'masked'"):
        read_protocol(bad)
    with pytest.raises(UsageError, match="cannot read the protocol table"):
        read_protocol(tmp_path / "none.csv")
    bad.write_bytes(b"subject,role,masked,path\n\xff\xfe,probe,0,a.png\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_protocol(bad)


def material(found: Protocol, pairings: dict[str, Pairing]) -> Material:
    """The pictures of a table with embeddings that differ."""
    embeddings = np.random.default_rng(0).normal(size=(len(found.labels), 5)).astype(np.float32)
    pictures = dict.fromkeys((UNMASKED, RANDOM), Embedded(np.arange(len(embeddings)), embeddings))
    return Material("table", "", found.labels, found.subjects, found.names, pairings, {}, pictures)


ROLES = st.sampled_from(["reference", "probe", "both"])
PICTURES = st.lists(st.tuples(st.integers(0, 3), ROLES, st.booleans()), min_size=1, max_size=16)


def table_of(pictures: list[tuple[int, str, bool]]) -> Protocol:
    """A table of pictures with their subjects, roles and masks, in the order in which a file would list them."""
    sides: dict[tuple[str, bool], list[int]] = {}
    for number, (_, role, masked) in enumerate(pictures):
        for each in ("reference", "probe") if role == "both" else (role,):
            sides.setdefault((each, masked), []).append(number)
    names = tuple(f"{number}.png" for number in range(len(pictures)))
    subjects = np.array([subject for subject, *_ in pictures])
    chosen = {side: np.array(rows) for side, rows in sides.items()}
    return Protocol(tuple(map(Path, names)), names, subjects, tuple("abcd"), chosen)


def wanted_pairs(found: Protocol, scenario: str) -> set[frozenset[int]]:
    """The pairs by their definition: two pictures, of which one is a reference and the other a probe."""
    references, probes = (
        set(found.sides.get((role, masked), np.empty(0)).tolist())
        for role, masked in zip(("reference", "probe"), MASKED[scenario], strict=True)
    )
    return {frozenset((one, other)) for one in references for other in probes if one != other}


@given(PICTURES, st.sampled_from(sorted(MASKED)), st.integers(1, 5), st.integers(1, 5))
def test_a_pair_of_pictures_counts_once_whatever_their_roles(
    pictures: list[tuple[int, str, bool]], scenario: str, rows: int, columns: int
) -> None:
    found = table_of(pictures)
    pairing = protocol_pairing(scenario, found)
    wanted = wanted_pairs(found, scenario)
    if pairing is None:
        assert not wanted
        return
    comparison, left, right = material(found, {}).comparison(pairing)
    made: dict[bool, list[frozenset[int]]] = {}
    for genuine, exact in zip((True, False), scores.exact(comparison), strict=True):
        made[genuine] = [
            frozenset((int(left.rows[i]), int(right.rows[j])))
            for i, j in zip(exact.reference, exact.probe, strict=True)
        ]
        expected = [pair for pair in wanted if (len({pictures[number][0] for number in pair}) == 1) == genuine]
        assert len(made[genuine]) == len(expected)
        assert set(made[genuine]) == set(expected)
        # The same in blocks, and in the table that the bootstrap weighs: by subject, and by pair of subjects.
        blocks = (scores.genuine_blocks if genuine else scores.impostor_blocks)(comparison, rows, columns)
        table = bootstrap.empty_table(from_scores(np.array([0.5]), np.array([-0.5])), 4)
        table = bootstrap.Table(np.array([-2.0, 2.0]), table.genuine[:, :1], table.impostor[:, :1], False)
        counts = scores.histogram(comparison, blocks, measure.tally(comparison, np.arange(4), table, not genuine))
        assert counts.sum() == len(expected)
        tallied = np.zeros_like(table.genuine if genuine else table.impostor)
        for one, other in map(sorted, expected):
            who = pictures[one][0], pictures[other][0]
            tallied[who[0] if genuine else bootstrap.pair_index(*who, 4)] += 1
        np.testing.assert_array_equal(table.genuine if genuine else table.impostor, tallied)
    assert pair_counts(pairing, found.subjects) == (len(made[True]), len(made[False]))


def test_three_people_of_three_pictures_in_both_roles_are_36_pairs(tmp_path: Path) -> None:
    lines = [f"{who},{role},0,{who}{n}.png" for who in "abc" for n in range(3) for role in ("reference", "probe")]
    found = read_protocol(write(tmp_path, *lines))
    pairing = protocol_pairing("U-U", found)
    assert pairing is not None
    assert pairing.symmetric
    assert pair_counts(pairing, found.subjects) == (9, 27)
    comparison, _, _ = material(found, {}).comparison(pairing)
    for limit in (1000, 0):  # all scores kept, and counted in bins
        figures = measure.measure(comparison, 3, 0, 0, limit=limit).figures
        assert (figures.genuine, figures.impostor) == (9, 27)


COLUMNED = """subject,role,masked,path,sex,session,note
ann,reference,0,a1.png,f,1,
ann,probe,0,a2.png,f,2,
ann,probe,0,a3.png,f,3,
bob,reference,0,b1.png,m,1,
bob,probe,0,b2.png,m,2,
cyd,reference,0,c1.png,f,1,
cyd,probe,0,c2.png,f,3,
cyd,probe,1,c3.png,f,,
"""


def test_columns_are_groups_of_probes_or_of_subjects(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(COLUMNED)
    found = read_protocol(path)
    assert [(column.name, column.of_subjects) for column in found.columns] == [("sex", True), ("session", False)]
    parts = protocol_parts(found, ["U-U", "U-M", "M-M"])
    # Session 2: a2 and b2 against a1, b1 and c1. Women: a2, a3 and c2 against a1 and c1. c3 has no session.
    assert {key: pair_counts(part, found.subjects) for key, part in parts.items()} == {
        ("U-U", "sex=f"): (3, 3),
        ("U-U", "sex=m"): (1, 0),
        ("U-U", "session=2"): (2, 4),
        ("U-U", "session=3"): (2, 4),
        ("U-M", "sex=f"): (1, 1),
    }
    notes = protocol_table.column_notes(found)
    assert notes[0].endswith("both pictures of a pair have it: sex.")
    assert notes[1:] == ["Broken down by the value of the probe: session."]
    women = protocol_parts(protocol_table.restricted(found, np.arange(8) != 1), ["U-U"])["U-U", "sex=f"]
    assert women.probe.rows.tolist() == [1, 5], "without a2.png, which could not be used"


def test_columns_that_cannot_be_broken_down_are_named() -> None:
    subjects = np.arange(30) // 3
    columns: list[tuple[str, list[str | None]]] = [
        ("file", [f"{n}" for n in range(30)]),
        ("twice", ["a", "b"] * 15),
        ("twice", ["a", "b"] * 15),
        ("camera", [None, *["x"] * 29]),
        ("a=b", ["c", "d"] * 15),
        ("red", ["\x1b[31m", ""] * 15),
        ("long", ["x" * 33, ""] * 15),
        ("constant", ["x"] * 30),
        ("", ["x", "y"] * 15),
        ("many", [str(n % 20) for n in range(30)]),
    ]
    found, notes = breakdowns("t.csv", columns, subjects)
    assert [column.name for column in found] == ["many"]
    assert [note.split()[2] for note in notes] == ["file", "twice", "twice", "camera", "a=b", "red", "long"]
    assert notes[0] == "The column file of t.csv is not broken down: it has 30 values, and the limit is 20."
    found, notes = breakdowns("t.csv", [(f"c{n}", ["x", "y"] * 15) for n in range(21)], subjects)
    assert len(found) == 20
    assert notes == ["t.csv has 21 further columns; only the first 20 are broken down."]


def test_subjects_of_one_picture_are_named(tmp_path: Path) -> None:
    lines = ["ann,reference,0,a1.png", "ann,probe,0,a2.png", *(f"{name},probe,0,{name}.png" for name in "bcdefghi")]
    [note] = protocol_table.single_notes(read_protocol(write(tmp_path, *lines)))
    assert note == (
        "8 of 9 subjects have only one picture, which is compared in impostor pairs alone: b, c, d, e, f and 3 more."
    )
    assert protocol_table.single_notes(read_protocol(write(tmp_path, *lines[:2]))) == []
