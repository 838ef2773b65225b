"""What --src is taken for: folders, containers, patterns; what is ambiguous, missing, or overlaps --out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.errors import MaskgenError, UsageError
from maskgen.sources.detect import expanded, find
from maskgen.sources.listing import photographs


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def taken(src: Path | str, kind: str = "auto") -> tuple[str, list[tuple[str, str]]]:
    found = find(str(src), kind)
    return found.kind, list(found.containers)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x-{000008..000011}.tar", ["x-000008.tar", "x-000009.tar", "x-000010.tar", "x-000011.tar"]),
        ("x-{8..11}.tar", ["x-8.tar", "x-9.tar", "x-10.tar", "x-11.tar"]),
        ("{0..1}/{10..11}.rec", ["0/10.rec", "0/11.rec", "1/10.rec", "1/11.rec"]),
        ("{7..7}", ["7"]),
        ("none.tar", ["none.tar"]),
        ("{a..b}-{1,2}.tar", ["{a..b}-{1,2}.tar"]),
    ],
)
def test_brace_patterns(pattern: str, names: list[str]) -> None:
    assert expanded(pattern) == names


@pytest.mark.parametrize("pattern", ["{2..1}.tar", "{0..1000000}.tar", "{0..999}{0..999}.tar"])
def test_brace_patterns_that_cannot_be(pattern: str) -> None:
    with pytest.raises(UsageError, match="give the lower number first, and at most 100,000 files"):
        expanded(pattern)


@pytest.mark.parametrize(
    ("names", "kind", "containers"),
    [
        (["ann/1.jpg", "notes.idx"], "folders", []),
        (["ann/x.tar", "bob/1.jpg"], "folders", []),  # an identity folder is not looked into
        (["train/x.tar", "train/.cache/1.jpg", ".git/x"], "tar", [("train/x.tar", "")]),
        (["b.tar", "a.tar", "a.json", ".c.tar"], "tar", [("a.tar", ""), ("b.tar", "")]),
        (["train-0.tar", "train-1.tar"], "tar", [("train-0.tar", ""), ("train-1.tar", "")]),
        (["train-0.tar", "test_0.tar"], "tar", [("test_0.tar", "test"), ("train-0.tar", "train")]),
        (["train-0.tar", "testament.tar"], "tar", [("testament.tar", ""), ("train-0.tar", "")]),
        (
            ["train-0.tar", "test-0.tar", "val-0.tar"],
            "tar",
            [("test-0.tar", ""), ("train-0.tar", ""), ("val-0.tar", "")],
        ),
        (["train/0.parquet", "test/0.parquet"], "parquet", [("test/0.parquet", "test"), ("train/0.parquet", "train")]),
        (["data/test-0.parquet", "README.md"], "parquet", [("data/test-0.parquet", "")]),
        (["train.rec", "train.idx", "property", "lfw.bin", "agedb/1.blp"], "recordio", [("train.rec", "")]),
        (["ann/1.jpg", "train.rec"], "folders", []),  # no index beside it
    ],
)
def test_what_a_folder_is_taken_for(
    tmp_path: Path, names: list[str], kind: str, containers: list[tuple[str, str]]
) -> None:
    assert taken(touch(tmp_path, *names)) == (kind, containers)
    assert taken(f"file://{tmp_path}") == (kind, containers)


@pytest.mark.parametrize("names", [["ann/1.jpg", "x.tar"], ["train/x.tar", "train/ann/1.jpg"], ["a.tar", "b.parquet"]])
def test_what_could_be_two_things_is_asked_for(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(UsageError, match=r"holds .* and .*; say which to take with --src-kind"):
        taken(touch(tmp_path, *names))
    kind, [(name, _)] = taken(tmp_path, "tar")
    assert kind == "tar"
    assert name.endswith(".tar")
    assert taken(tmp_path, "folders") == ("folders", [])
    with pytest.raises(UsageError, match=r"holds no \.rec files"):
        taken(tmp_path, "recordio")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["a.tar", "x.parquet", "train.rec", "train.idx"])
def test_a_container_that_is_no_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    if name.startswith("train"):
        touch(tmp_path, "train.rec", "train.idx")
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(MaskgenError, match=rf"cannot read .*/{name} \(it is a folder, a pipe, .*run the same command"):
        list(photographs(tmp_path))
    os.remove(tmp_path / name)
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(MaskgenError, match=r"a socket or a device and no file"):
        list(photographs(tmp_path))


def test_one_file_and_a_pattern_name_containers(tmp_path: Path) -> None:
    touch(tmp_path, "a/x-0.tar", "a/x-1.tar", "folder.tar/ann/1.jpg", "odd-{0..1}/ann/1.jpg")
    assert taken(tmp_path / "a/x-1.tar") == ("tar", [("x-1.tar", "")])
    assert taken(f"{tmp_path}/a/x-{{0..2}}.tar") == ("tar", [(f"x-{n}.tar", "") for n in range(3)])
    assert taken(f"{tmp_path}/{{0..1}}/x.tar") == ("tar", [("0/x.tar", ""), ("1/x.tar", "")])
    assert taken(tmp_path / "folder.tar") == ("folders", [])
    assert [found.source for found in photographs(tmp_path / "odd-{0..1}")] == ["ann/1.jpg"]
    with pytest.raises(UsageError, match=r"names 'x-0\.jpg'; give a folder, or \.tar, \.parquet, \.rec files"):
        taken(f"{tmp_path}/a/x-{{0..1}}.jpg")
    with pytest.raises(UsageError, match="leave out --src-kind parquet"):
        taken(tmp_path / "a/x-1.tar", "parquet")
    with pytest.raises(UsageError, match=r"there is no file .*/a/x-2\.tar; check --src"):
        list(photographs(f"{tmp_path}/a/x-{{2..3}}.tar"))


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_container_whose_name_is_not_utf8(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.tar", "wb"):
        pass
    with pytest.raises(UsageError, match=r"the file 'caf\\\\xe9\.tar' in --src has a name that is not UTF-8"):
        taken(tmp_path)


def test_official_splits_of_tars_are_kept(
    tmp_path: Path, write_tar: Callable[..., Path], make: Callable[..., Path], takes: Callable[[int], bytes]
) -> None:
    for split in ("train", "test"):
        write_tar(tmp_path / f"src/{split}/0.tar", {f"{split}-{n}/1.jpg": takes(n) for n in range(2)})
    rows = {row.identity: row.split for row in maskgen.open(make(tmp_path / "src", tmp_path / "out"))}
    assert {person: "test" if split == "test" else "train" for person, split in rows.items()} == {
        f"{split}-{n}": split for split in ("train", "test") for n in range(2)
    }


@pytest.mark.parametrize("src", ["src/x.tar", "src/x-{0..1}.tar", "src", "file://src"])
def test_out_and_src_inside_each_other_are_refused(
    tmp_path: Path, write_tar: Callable[..., Path], make: Callable[..., Path], src: str
) -> None:
    for name in ("x", "x-0", "x-1"):
        write_tar(tmp_path / f"src/{name}.tar", {"ann/1.jpg": b""})
    inside, src = src.endswith("src"), src.replace("src", str(tmp_path / "src"))
    with pytest.raises(UsageError, match="lie inside each other"):
        make(src, tmp_path / "src/out" if inside else tmp_path / "src")
    with pytest.raises(UsageError, match="lie inside each other"):
        make(src, tmp_path)
    if not inside:  # beside the files is allowed: nothing else in their folder is read
        assert make(src, tmp_path / "src/out").is_dir()


def test_the_command_takes_tars_and_says_what_is_wrong(tmp_path: Path, write_tar: Callable[..., Path]) -> None:
    path = write_tar(tmp_path / "x-0.tar", {"ann/1.jpg": b"text", "bob/1.jpg": b""})
    arguments = ["build", "--src", f"{tmp_path}/x-{{0..0}}.tar", "--out", f"{tmp_path}/out", "--engine", "serial"]
    assert CliRunner().invoke(maskgen_command, arguments, catch_exceptions=False).exit_code == 1  # no row
    path.write_bytes(path.read_bytes()[:1024])
    result = CliRunner().invoke(maskgen_command, arguments, catch_exceptions=False)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"maskgen: {path} is damaged: ")
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_no_source(tmp_path: Path, make: Callable[..., Path]) -> None:
    for name in ("a.jpg", "x.tar.gz"):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=rf"--src .*{name} is a file and none of \.tar.*; give the folder of"):
            make(tmp_path / name, tmp_path / "out")
    with pytest.raises(UsageError, match=r"there is no folder --src .*b\.jpg"):
        make(tmp_path / "b.jpg", tmp_path / "out")
    with pytest.raises(MaskgenError, match="has no photograph in it"):
        make(touch(tmp_path / "empty", "x.txt"), tmp_path / "out")
