"""`mfr protocol check`: what is wrong with a table before anything is measured on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from mfr_train.cli.main import mfr

HEADER = "subject,role,masked,path"


def picture(path: Path, seed: int) -> Path:
    """Noise of its own for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two subjects, each with an unmasked reference, an unmasked probe and a masked probe."""
    lines = [HEADER]
    for seed, (who, role, masked) in enumerate(
        (who, role, masked) for who in "ab" for role, masked in (("reference", 0), ("probe", 0), ("probe", 1))
    ):
        picture(tmp_path / f"{seed}.png", seed)
        lines.append(f"{who},{role},{masked},{seed}.png")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def add(table: Path, *lines: str) -> None:
    table.write_text(table.read_text() + "".join(f"{line}\n" for line in lines))


def check(table: Path, *options: object) -> Result:
    return CliRunner().invoke(mfr, ["protocol", "check", str(table), *map(str, options)])


def rows(result: Result) -> list[list[str]]:
    return [line.split() for line in result.output.splitlines()]


def test_a_sound_table_has_its_counts(table: Path) -> None:
    result = check(table)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"{table}: 2 subjects, 6 pictures\n")
    for row in (
        ["reference", "unmasked", "2", "2"],
        ["probe", "unmasked", "2", "2"],
        ["probe", "masked", "2", "2"],
        ["U-U", "2", "2", "2", "2"],
        ["U-M", "2", "2", "2", "2"],
    ):
        assert row in rows(result)
    assert "M-M" not in result.output
    assert "Problems" not in result.output


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"no picture", "not_an_image"), (None, "missing"), ("cut", "damaged"), ("folder", "missing")],
)
def test_a_file_that_is_no_picture_is_a_problem(table: Path, data: bytes | str | None, reason: str) -> None:
    victim = table.parent / "4.png"
    whole = victim.read_bytes()
    victim.unlink()
    if data == "folder":
        victim.mkdir()
    elif data is not None:
        victim.write_bytes(whole[:-30] if isinstance(data, str) else data)
    result = check(table)
    assert result.exit_code == 1
    assert f"  1 picture is {reason}: 4.png." in result.output.splitlines()
    assert [reason, "1", "1", "0"] in rows(result)
    assert result.output.endswith(f"mfr: {table} has 1 problem, listed above; correct it.\n")


def test_copies_of_a_picture_are_found_by_their_bytes(table: Path) -> None:
    folder = table.parent
    (folder / "other.png").write_bytes((folder / "0.png").read_bytes())
    add(table, "b,probe,0,other.png")
    result = check(table)
    assert result.exit_code == 1
    words = "Files with the same bytes are of two subjects, so that a picture is compared with itself as an impostor"
    assert f"  {words}: 0.png = other.png." in result.output

    table.write_text(table.read_text().replace("b,probe,0,other.png", "a,probe,0,other.png"))
    result = check(table)
    assert result.exit_code == 1
    assert "are references and probes, so that a picture is compared with itself: 0.png = other.png." in result.output

    table.write_text(table.read_text().replace("a,probe,0,other.png", "a,reference,0,other.png"))
    result = check(table)
    assert (result.exit_code, "Problems" in result.output) == (0, False)
    assert "have one role, so that each of their pairs counts more than once: 0.png = other.png." in result.output


def test_one_file_in_both_roles_is_no_copy(table: Path) -> None:
    add(table, "a,probe,0,0.png")
    result = check(table)
    assert result.exit_code == 0, result.output
    assert ["U-U", "2", "3", "2", "3"] in rows(result), "0.png is not compared with itself"


def test_people_of_one_picture_or_role_are_noted(table: Path) -> None:
    for seed, name in enumerate("cde", 100):
        picture(table.parent / f"{name}.png", seed)
    picture(table.parent / "e2.png", 200)
    add(table, "c,probe,0,c.png", "d,reference,0,d.png", "e,probe,1,e.png", "e,probe,0,e2.png")
    result = check(table)
    assert result.exit_code == 0, result.output
    notes = result.output.splitlines()
    assert "Note: 2 of 5 subjects have only one picture, which is compared in impostor pairs alone: c, d." in notes
    assert "Note: 1 of 5 subjects has no probe, and so no genuine pair: d." in notes
    assert "Note: 2 of 5 subjects have no reference, and so no genuine pair: c, e." in notes


def test_a_scenario_without_pairs_of_a_kind_is_a_problem(table: Path) -> None:
    table.write_text(f"{HEADER}\na,reference,0,0.png\nb,probe,0,3.png\nb,probe,1,4.png\n")
    result = check(table)
    assert result.exit_code == 1
    assert result.output.count("has no genuine pairs and cannot be measured.") == 2
    table.write_text(f"{HEADER}\na,reference,0,0.png\n")
    assert "No scenario has references and probes." in check(table).output


def test_published_counts_are_compared_if_asked(table: Path) -> None:
    result = check(table, "--counts", "mfrc21")
    assert result.exit_code == 1
    assert [line for line in result.output.splitlines() if "MFRC-21" in line] == [
        "  MFRC-21 has 47 subjects, and the table has 2.",
        "  MFRC-21 has 470 unmasked references, and the table has 2.",
        "  MFRC-21 has 940 masked references, and the table has 0.",
        "  MFRC-21 has 940 unmasked probes, and the table has 2.",
        "  MFRC-21 has 1,880 masked probes, and the table has 2.",
    ]
    assert check(table, "--counts", "folders").exit_code == 2


def test_faces_that_are_not_found_are_counted_and_no_problem(table: Path, head: np.ndarray) -> None:
    for number in (0, 1, 3, 5):
        cv2.imwrite(str(table.parent / f"{number}.png"), cv2.cvtColor(np.roll(head, number, 1), cv2.COLOR_RGB2BGR))
    result = check(table, "--faces")
    assert result.exit_code == 0, result.output
    [row] = [row for row in rows(result) if row[:1] == ["no_face"]]
    assert row == ["no_face", "2", "1", "1"], "2.png is masked, and 4.png is not"


def test_a_wrong_call_is_one_sentence(table: Path) -> None:
    for options, words in (
        (["--detector", "cnn"], "are settings of --faces; add it."),
        (["--faces", "--detector", "yunet"], "needs the model's ONNX file"),
        (["--faces", "--detector", "boxes"], "--detector has no 'boxes'"),
    ):
        result = check(table, *options)
        assert (result.exit_code, words in result.output, result.output.count("\n")) == (2, True, 1), result.output
    missing = check(table.parent / "none.csv")
    assert (missing.exit_code, "cannot read the protocol table" in missing.output) == (2, True)
    add(table, "b,probe,1,0.png")
    assert (check(table).exit_code, "line 8 of" in check(table).output) == (2, True)


def test_names_cannot_control_the_terminal(table: Path) -> None:
    text = table.read_text().replace("b,", "\x1b[31mred,").replace("5.png", "\x07bell.png")
    table.write_text(text + "z\u202e,probe,0,\x00.png\n")
    result = check(table)
    assert result.exit_code == 1
    assert "2 pictures are missing: \\x07bell.png, \\x00.png." in result.output
    assert not set(result.output) & set("\x1b\x07\u202e\x00")
