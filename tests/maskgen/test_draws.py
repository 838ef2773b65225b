"""Draws files: read in both forms, refused with the line, replayed by a build to the mask and the colour."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.sources.draws import read_draws

Make = Callable[..., Path]

TEXT = (
    "AJ_Cook/AJ_Cook_0001.jpg f 239.227545145 152.957880603 103.104907787\n"
    "./a//b c.jpg wide_high 0 255 12\n"
    "\n"
    "x/y.jpg A 2.5 3.5 8.3e-05\r\n"
)
LISTED = [
    ("AJ_Cook/AJ_Cook_0001.jpg", "round_low", [239, 153, 103]),
    ("a/b c.jpg", "wide_high", [0, 255, 12]),
    ("x/y.jpg", "wide_high", [2, 4, 0]),
]


def listed(path: Path) -> list[tuple[str, str, list[int]]]:
    draws = read_draws(path)
    return list(zip(draws.paths.to_pylist(), draws.masks.to_pylist(), draws.colors.tolist(), strict=True))


def test_lines_of_text(tmp_path: Path) -> None:
    path = tmp_path / "draws.txt"
    path.write_text(TEXT)
    assert listed(path) == LISTED
    path.write_text("\ufeff" + TEXT.rstrip())
    assert listed(path) == LISTED


@pytest.mark.parametrize(
    "text",
    [
        'path,mask,r,g,b\nAJ_Cook/AJ_Cook_0001.jpg,f,239.2,152.9,103.1\n"./a//b c.jpg",wide_high,0,255,12\n'
        "\nx/y.jpg,A,2.5,3.5,0\n",
        '"B","G","who","R","Type","Path"\r\n"103","153","x","239","ROUND_LOW","AJ_Cook/AJ_Cook_0001.jpg"\r\n'
        "12,255,y,0,a,a/b c.jpg\r\n 0 , 3.5, z, 2.5, a, x/y.jpg",
    ],
    ids=["plain", "quoted, in another order, with another column"],
)
def test_csv_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "draws.csv"
    path.write_bytes(text.encode())
    assert listed(path) == LISTED


def test_the_letters_are_those_of_the_published_draws(tmp_path: Path) -> None:
    path = tmp_path / "draws.txt"
    path.write_text("".join(f"{letter}.jpg {letter} 1 2 3\n" for letter in "abcdef"))
    assert {name[0]: mask for name, mask, _ in listed(path)} == {
        "a": "wide_high",
        "c": "wide_medium",
        "e": "wide_low",
        "b": "round_high",
        "d": "round_medium",
        "f": "round_low",
    }


GOOD, HEAD = "a.jpg a 1 2 3\n", "path,mask,r,g,b\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD + "b.jpg g 1 2 3\n", 2, r"there is no mask 'g'; choose from wide_high, .* or the letters a to f\.$"),
        (GOOD + "b.jpg wide 1 2 3\n", 2, "there is no mask 'wide'"),
        (GOOD + "b.jpg a 1 256 3\n", 2, "its colour has '256'; give three numbers from 0 to 255"),
        (GOOD + "b.jpg a 255.4 1 3\n", 2, r"its colour has '255\.4'"),
        (GOOD + "b.jpg a -1 1 3\n", 2, "its colour has '-1'"),
        (GOOD + "b.jpg a nan 1 3\n", 2, "its colour has 'nan'"),
        (GOOD + "b.jpg a 1_0 1 3\n", 2, "its colour has '1_0'"),
        (GOOD + "b.jpg a ٣ 1 3\n", 2, "its colour has '٣'"),
        (GOOD + "b.jpg a red 1 3\n", 2, "its colour has 'red'"),
        (GOOD + "\n\na.jpg b 1 2 3\n", 4, r"second draw for 'a\.jpg', after line 1; leave one\.$"),
        (GOOD + "x/.././a.jpg b 1 2 3\n", 2, r"second draw for 'a\.jpg', after line 1"),
        (GOOD + "a 1 2 3\n", 2, "it is not a draw; give lines of `path mask r g b`"),
        ("PK\x03\x04\n" + GOOD, 1, "it is not a draw"),
        (HEAD + "a.jpg,a,1,2,3\nb.jpg,q,1,2,3\n", 3, "there is no mask 'q'"),
        (HEAD + "a.jpg,a,1,2\n", 2, "it has 4 values and the header has 5"),
        (HEAD + ",a,1,2,3\n", 2, "it has no path"),
        (HEAD + '"a.jpg,a,1,2,3\n', 2, "it is not CSV"),
        (HEAD + "a.jpg,a,1,2,3\n\na.jpg,a,1,2,3\n", 4, "second draw for 'a.jpg', after line 2"),
        ("path,mask,r,g\n", 1, "it needs the column b once"),
        ("path,mask,type,r,g,b\n", 1, "it needs the column mask once"),
        (GOOD.encode() + b"caf\xe9.jpg a 1 2 3\n", 2, "it is not text in UTF-8"),
    ],
)
def test_a_bad_line_is_one_sentence_with_its_number(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    path = tmp_path / "draws.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(maskgen.UsageError, match=words) as caught:
        read_draws(path)
    assert str(caught.value).startswith(f"line {line} of --draws {path} cannot be used: ")


@pytest.mark.parametrize("text", ["", "\n \n", HEAD])
def test_an_empty_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "draws.txt"
    path.write_text(text)
    with pytest.raises(
        maskgen.UsageError, match=rf"--draws {path} is empty; give lines of `path mask r g b`, or a CSV"
    ):
        read_draws(path)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.txt", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(maskgen.UsageError, match=f"cannot read --draws {path}: {why}; check its path"):
            read_draws(path)


def draws_of(data: Path) -> str:
    """A draws file of what a data set of random variants has."""
    return "".join(
        f"{row.source} {row.variant} {' '.join(map(str, row.colors['masked']))}\n" for row in maskgen.open(data)
    )


@pytest.mark.parametrize(("format", "store"), [("both", "rendered"), ("webdataset", "recipe")])
def test_a_replayed_set_has_the_same_pictures(
    tree: Path, tmp_path: Path, make: Make, rejects: Callable[[Path], dict[str, str]], format: str, store: str
) -> None:
    first = make(tree, tmp_path / "first", variants="random", seed=7, limit=9)
    draws = tmp_path / "draws.txt"
    draws.write_text(draws_of(first) + "ann/0002_01.jpg a 1 2 3\n")
    # Another seed gives other splits, and would draw other masks.
    again = make(tree, tmp_path / "again", draws=draws, seed=3, limit=9, format=format, store=store)
    expected = {row.source: row for row in maskgen.open(first)}
    dataset = maskgen.open(again)
    assert len(dataset) == len(expected) == 8
    assert dataset.variants == ("masked",)
    for row in dataset:
        other = expected[row.source]
        assert (row.variant, row.colors) == (other.variant, other.colors)
        np.testing.assert_array_equal(row.mask("masked"), other.mask("masked"))
        if store == "rendered":
            assert row.pictures == other.pictures
    assert rejects(again) == {"ann/0002_01.jpg": "empty"}, "a draw repairs no photograph"
    assert maskgen.verify(again)["rows"] == 8
    assert "masks and colours: from a draws file" in (again / "README.md").read_text()


def test_a_photograph_without_a_draw_is_a_reject_and_a_draw_without_one_is_said(
    tree: Path,
    tmp_path: Path,
    make: Make,
    rejects: Callable[[Path], dict[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    draws = tmp_path / "draws.csv"
    draws.write_text(
        HEAD + "ann/0000_01.jpg,e,10,20,30\nbob/0001_01.jpg,round_high,1,2,3\nzoe/1.jpg,a,1,1,1\nzoe/2.jpg,a,1,1,1\n"
    )
    with caplog.at_level(logging.WARNING):
        out = make(tree, tmp_path / "out", draws=draws, limit=12)
    assert caplog.messages == [
        f"--draws {draws} has 4 draws, and 2 of them are for photographs that --src does not have: "
        "'zoe/1.jpg', 'zoe/2.jpg'."
    ]
    found = {row.source: (row.variant, row.colors["masked"]) for row in maskgen.open(out)}
    assert found == {"ann/0000_01.jpg": ("wide_low", (10, 20, 30)), "bob/0001_01.jpg": ("round_high", (1, 2, 3))}
    sources = {f"{who}/{number:04d}_01.jpg" for who in ("ann", "bob") for number in range(6)}
    assert rejects(out) == dict.fromkeys(sources - found.keys(), "no_draw")


def test_the_draws_are_part_of_the_fingerprint(tree: Path, tmp_path: Path, make: Make) -> None:
    fingerprints = set()
    for number, text in enumerate(
        ("ann/0000_01.jpg a 1 2 3\n", "ann/0000_01.jpg a 1 2 4\n", "ann/0000_01.jpg c 1 2 3\n")
    ):
        draws = tmp_path / f"{number}.txt"
        draws.write_text(text)
        fingerprints.add(maskgen.open(make(tree, tmp_path / f"{number}", draws=draws, limit=1)).fingerprint)
    assert len(fingerprints) == 3
    (tmp_path / "moved.csv").write_text(HEAD + "./ann/0000_01.jpg,wide_high,1,2,3\n")
    out = make(tree, tmp_path / "0", draws=tmp_path / "moved.csv", limit=1)  # resumes: the same draws
    assert maskgen.open(out).fingerprint in fingerprints
    with pytest.raises(
        maskgen.UsageError, match="the same names, in other files, in other splits or with other boxes or draws"
    ):
        make(tree, tmp_path / "0", draws=tmp_path / "1.txt", limit=1)


def test_without_draws_plan_and_settings_are_as_they_were(built: Path) -> None:
    assert pq.read_schema(built / "plan.parquet").names == [
        *("key", "source", "identity", "label", "split", "shard", "bytes", "problem", "face")
    ]
    assert "draws" not in maskgen.open(built).info["settings"]


def test_draws_for_members_of_a_tar(tree: Path, tmp_path: Path, make: Make, write_tar: Callable[..., Path]) -> None:
    files = {f"eva/{number:04d}_01.jpg": (tree / f"eva/{number:04d}_01.jpg").read_bytes() for number in range(2)}
    tar = write_tar(tmp_path / "x-000000.tar", files)
    draws = tmp_path / "draws.txt"
    draws.write_text("eva/0001_01.jpg d 9 8 7\neva/0000_01.jpg b 6 5 4\n")
    found = {row.source: row for row in maskgen.open(make(tar, tmp_path / "out", draws=draws))}
    assert found["x-000000.tar/eva/0001_01.jpg"].variant == "round_medium"
    assert found["x-000000.tar/eva/0000_01.jpg"].colors == {"masked": (6, 5, 4)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variants": "wide_high"}, r"--draws says which mask each photograph wears; leave out --variants wide_high\."),
        ({"variants": "all"}, r"--draws says which mask each photograph wears; leave out --variants all\."),
        ({"colors": "nist"}, r"--draws says which colour each mask has; leave out --colors nist\."),
    ],
)
def test_settings_that_contradict_draws_are_refused(
    tree: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    (tmp_path / "draws.txt").write_text(GOOD)
    with pytest.raises(maskgen.UsageError, match=words):
        maskgen.build(src=tree, out=tmp_path / "out", draws=tmp_path / "draws.txt", **settings)
    assert not (tmp_path / "out").exists()


def test_draws_of_another_source_are_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "draws.txt").write_text("lfw/" + GOOD)
    with pytest.raises(
        maskgen.UsageError,
        match=r"has no draw for any photograph of --src: its first is for 'lfw/a\.jpg', and '.*_01\.jpg' is a",
    ):
        maskgen.build(src=tree, out=tmp_path / "out", draws=tmp_path / "draws.txt")
    assert not (tmp_path / "out").exists()


def test_variants_random_may_be_said_beside_draws() -> None:
    assert maskgen.BuildSettings(src="a", out="b", draws=Path("c"), variants="random").variants == "random"
    assert maskgen.BuildSettings(src="a", out="b", draws=Path("c")).variants == "random"
    assert maskgen.BuildSettings(src="a", out="b").variants == "all"


def test_the_published_draws_of_lfw(shared: Path, tmp_path: Path, make: Make) -> None:
    """The colours and masks of LFW as they were published with self-restrained triplet loss."""
    lfw = shared / "lfw"
    if not (lfw / "draws.txt").is_file():
        pytest.skip("LFW is not here")
    letters = {
        "a": "wide_high",
        "c": "wide_medium",
        "e": "wide_low",
        "b": "round_high",
        "d": "round_medium",
        "f": "round_low",
    }
    published = {line.split()[0]: line.split()[1:] for line in (lfw / "draws.txt").read_text().splitlines()}
    assert len(published) == 6922
    dataset = maskgen.open(make(lfw, tmp_path / "lfw", draws=lfw / "draws.txt", limit=24, size=0, test_identities=0.1))
    assert len(dataset) > 20
    for row in dataset:
        letter, *color = published[row.source.split(".tar/")[1]]
        assert row.variant == letters[letter]
        assert row.colors["masked"] == tuple(int(float(value) + 0.5) for value in color)
        inside = row.image("masked")[row.mask("masked") == 255].astype(int)
        assert np.abs(np.median(inside, axis=0) - row.colors["masked"]).max() <= 3, "but for the JPEG encoding"
