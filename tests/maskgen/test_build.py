"""Builds: what they refuse, what they resume, what they remove, and that nothing but the plan shapes their bytes."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import shutil
import subprocess
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.dataset.verify import verify
from maskgen.errors import MaskgenError, UsageError
from maskgen.pipeline import existing
from maskgen.pipeline.build_options import BuildOptions
from maskgen.pipeline.shard import Made
from maskgen.storage.local import LocalStorage
from tests.support.once import once
from tests.support.preloaded import ended
from tests.support.processes import SMALL_PREDICTOR

Build = Callable[..., Path]
Hashes = Callable[[Path], dict[str, str]]
SHAPE: dict[str, Any] = {
    "engine": "serial",
    "size": 96,
    "shard_size": 5,
    "test_identities": 0.4,
    "format": "both",
    "predictor": SMALL_PREDICTOR,
}


@pytest.fixture(scope="module")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What these settings make of `tree`. Tests only read it."""
    folder = once(tmp_path_factory, "built-quickly", lambda folder: run(tree, folder / "smfd"))
    return folder / "smfd"


def run(src: Path, out: Path, progress: Any = None, planned: Any = None, **settings: Any) -> maskgen.Summary:
    return maskgen.build(
        maskgen.BuildSettings(src=src, out=out, **SHAPE | settings), progress=progress, planned=planned
    )


def test_summary_and_callbacks_count_what_was_done(tree: Path, tmp_path: Path) -> None:
    shards: list[Made] = []
    stood: list[tuple[int, int]] = []
    summary = run(tree, tmp_path / "smfd", shards.append, lambda *counts: stood.append(counts))
    assert stood == [(30, 0)]
    assert sum(made.photographs for made in shards) == 30
    assert (sum(made.rows for made in shards), sum(made.rejects for made in shards)) == (27, 3)
    assert (summary.photographs, sum(summary.rows.values()), summary.masked_per_row, summary.made) == (30, 27, 6, 30)
    reasons = [reason for found in summary.rejects.values() for reason in found]
    assert sorted(reasons) == ["empty", "no_face", "not_an_image"]
    record = json.loads((tmp_path / "smfd/run.json").read_bytes())
    assert record["photographs_made"] == 30
    assert record["command"]["shard-size"] == 5


def test_layout_is_the_contract(built: Path, info: Callable[[Path], dict[str, Any]]) -> None:
    names = {path.name for path in built.iterdir() if path.is_file()}
    assert names - {".maskgen-lock"} == {"README.md", "dataset.json", "plan.parquet", "rejects.parquet", "run.json"}
    plan = pq.read_table(built / "plan.parquet").to_pylist()
    shards = {f"{row['split']}/{row['shard']:05d}" for row in plan}
    files = {str(path.relative_to(built)) for path in built.glob("*/*")}
    assert files == {f"{shard}.{ending}" for shard in shards for ending in ("parquet", "tar")} | {
        f"__markers/{shard.replace('/', '-')}.json" for shard in shards
    }
    facts = info(built)
    assert facts["complete"]
    assert facts["schema_version"] == 2
    assert len(facts["identities"]) == 3
    assert facts["settings"]["quality"] == 95
    assert set(facts["versions"]) >= {"maskgen", "dlib-bin", "numpy", "pillow", "pyarrow"}
    assert verify(built)["rows"] == 27


def test_the_same_plan_gives_the_same_bytes_wherever_it_lies(
    built: Path, tree: Path, tmp_path: Path, hashes: Hashes
) -> None:
    shutil.copytree(tree, tmp_path / "another name")
    run(tmp_path / "another name", tmp_path / "out/deep/smfd")
    assert hashes(tmp_path / "out/deep/smfd") == hashes(built)
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.name != "run.json":
            assert b"another name" not in path.read_bytes(), f"{path.name} tells where it was made"


def test_shard_size_and_order_change_no_picture(built: Path, tree: Path, tmp_path: Path, make: Build) -> None:
    other = make(tree, tmp_path / "smfd", shard_size=1000, predictor=SMALL_PREDICTOR)
    pictures = {row.source: (row.pictures, row.colors, row.label, row.split) for row in maskgen.open(built)}
    assert {row.source: (row.pictures, row.colors, row.label, row.split) for row in maskgen.open(other)} == pictures


def test_a_finished_data_set_is_left_alone(tree: Path, tmp_path: Path, hashes: Hashes) -> None:
    out = tmp_path / "smfd"
    run(tree, out)
    before, record = hashes(out), (out / "run.json").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    markers: list[Any] = []
    stood: list[tuple[int, int]] = []
    again = run(tree, out, markers.append, lambda *counts: stood.append(counts))
    assert (again.made, again.photographs, markers, stood) == (0, 30, [], [(30, 30)])
    assert hashes(out) == before
    assert times == {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    assert (out / "run.json").read_bytes() == record, "the record of the run that made it stays"


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "__markers/train-00001.json").unlink(),
        lambda out: (out / "train/00001.parquet").unlink(),
        lambda out: (out / "train/00001.tar").write_bytes(b"short"),
        lambda out: (out / "__markers/train-00001.json").write_bytes(b"{"),
    ],
)
def test_only_what_is_missing_is_made_again(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes, damage: Callable[[Path], Any]
) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(built, out)
    (out / "train/.maskgen-0123456789abcdef.00001.tar.tmp").write_bytes(b"left by a killed run")
    damage(out)
    assert run(tree, out).made == 5
    assert hashes(out) == hashes(built)


@pytest.mark.parametrize("name", ["rejects.parquet", "README.md", "plan.parquet", "run.json"])
def test_tables_are_made_again(tree: Path, built: Path, tmp_path: Path, hashes: Hashes, name: str) -> None:
    out = tmp_path / "smfd"
    shutil.copytree(built, out)
    (out / name).unlink()
    assert run(tree, out).made == 0
    assert hashes(out) == hashes(built)
    assert (out / name).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quality": 90}, r"other settings \(quality 95 there and 90 here\)"),
        ({"seed": 1, "size": 64}, r"\(seed 0 there and 1 here; size 96 there and 64 here\)"),
        ({"format": "parquet"}, r"\(format 'both' there and 'parquet' here\)"),
        ({"limit": 3}, r"\(limit None there and 3 here\)"),
    ],
)
def test_other_settings_are_refused_by_name(
    tree: Path, built: Path, hashes: Hashes, change: dict[str, Any], words: str
) -> None:
    before = hashes(built)
    with pytest.raises(UsageError, match=words + r"; give --out another folder, or start again with --overwrite\.$"):
        run(tree, built, **change)
    assert hashes(built) == before


def test_other_photographs_and_other_versions_are_refused(
    tree: Path, built: Path, tmp_path: Path, takes: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    src = tmp_path / "src"
    shutil.copytree(tree, src)
    (src / "ann/new.jpg").write_bytes(takes(77))
    (src / "bob/0000_01.jpg").unlink()
    (src / "eva/0005_01.jpg").write_bytes(takes(78) + b"!")
    said = (
        r"planned from other photographs than --src holds now: 1 new \('ann/new.jpg'\), 1 missing \('bob/0000_01.jpg'\)"
    )
    with pytest.raises(UsageError, match=said + r", 1 changed \('eva/0005_01.jpg'\); give --out another folder"):
        run(src, built)
    monkeypatch.setattr("maskgen.dataset.identity._version", lambda package: "0.0")
    with pytest.raises(UsageError, match=r"other versions \(.*dlib-bin '.*' there and '0\.0' here"):
        run(tree, built)


def test_a_data_set_file_that_is_not_ours_is_refused(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "smfd"
    out.mkdir()
    (out / "train").mkdir()
    for name in ("README.md", "plan.parquet", "train/00000.json"):
        (out / name).write_text("mine")
    for text in ("", "{}", "[]", '{"settings": 3}', '{"settings": {}, "name": "another tool\'s"}', "not json"):
        (out / "dataset.json").write_text(text)
        for overwrite in (False, True):
            with pytest.raises(MaskgenError, match=r"dataset\.json is not as maskgen writes it \(.*delete that file"):
                run(tree, out, overwrite=overwrite)
        assert (out / "dataset.json").read_text() == text
    for name in ("README.md", "plan.parquet", "train/00000.json"):
        assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.txt", ".hidden", "train/00000.parquet", "README.md"])
def test_a_folder_of_someone_else_is_refused_and_kept(tree: Path, tmp_path: Path, name: str, overwrite: bool) -> None:
    out = tmp_path / "smfd"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine")
    with pytest.raises(UsageError, match="is not a data set of maskgen; give an empty or new folder"):
        run(tree, out, overwrite=overwrite)
    assert [str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()] == [name]
    assert (out / name).read_text() == "mine"


def test_overwrite_removes_what_we_made_and_nothing_else(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes
) -> None:
    out = tmp_path / "smfd"
    run(tree, out, shard_size=2, quality=50, seed=9)
    mine = ["notes.txt", "train/notes.txt", "train/00000.png", "train/00000.parquet.bak", "models/00000.json", "a.json"]
    mine += ["__markers/notes.json", "__markers/train-1.json"]
    for name in mine:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    (out / "val/.maskgen-0123456789abcdef.00001.tar.tmp").write_bytes(b"left by a killed run")
    assert run(tree, out, overwrite=True).made == 30
    found = hashes(out)
    assert {name: (out / name).read_text() for name in mine} == dict.fromkeys(mine, "mine")
    assert {name: value for name, value in found.items() if name not in mine} == hashes(built)


def test_a_wrong_call_does_not_claim_out(tree: Path, built: Path, tmp_path: Path, hashes: Hashes) -> None:
    """The corrected call is not refused, and not even a folder is left of the wrong one."""
    out = tmp_path / "smfd"
    for wrong in ({"predictor": tree / "ann/0000_01.jpg"}, {"boxes": (tree / "none.csv",)}, {"colors": "#12"}):
        with pytest.raises(UsageError):
            run(tree, out, **wrong)
        assert not out.exists()
    run(tree, out)
    assert hashes(out) == hashes(built)


def test_nothing_in_a_data_set_names_a_folder_of_this_machine(tree: Path, tmp_path: Path) -> None:
    src, out = Path(shutil.copytree(tree, tmp_path / "secret place/photographs")), tmp_path / "secret place/smfd"
    (src / "ann/pipe.jpg").symlink_to(src / "ann/0000_01.jpg")
    boxes = tmp_path / "secret place/boxes.csv"
    boxes.write_text("NAME_ID,X,Y,W,H\n")
    draws = tmp_path / "secret place/draws.txt"
    draws.write_text("ann/0000_01.jpg a 1 2 3\n")
    run(src.as_uri(), out, limit=6, boxes=(boxes,), draws=draws)
    command = json.loads((out / "run.json").read_bytes())["command"]
    assert (command["src"], command["out"], command["boxes"]) == ("photographs", "smfd", ["boxes.csv"])
    assert command["draws"] == "draws.txt"
    texts = [path.read_text() for path in out.rglob("*") if path.suffix in (".json", ".md")]
    texts += [str(pq.read_table(out / f"{name}.parquet").to_pydict()) for name in ("plan", "rejects")]
    assert len(texts) >= 5
    assert not any("secret" in text or str(tmp_path) in text for text in texts)


def test_keywords_are_checked_and_may_be_completed(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no setting 'shardsize'; did you mean 'shard_size'\?"):
        maskgen.build(src=tree, out=tmp_path / "smfd", shardsize=3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"the setting 'out' is missing"):
        maskgen.build(src=tree)
    with pytest.raises(UsageError, match=r"given settings and the keyword 'size'; give one of the two"):
        maskgen.build(maskgen.BuildSettings(src=str(tree), out=tmp_path / "smfd"), size=3)
    options, settings = (typing.get_type_hints(one) for one in (BuildOptions, maskgen.BuildSettings))
    assert options.keys() == settings.keys()
    wider = {"src": str | Path, "predictor": str | Path | None, "boxes": str | Path | Sequence[str | Path]}
    wider |= dict.fromkeys(("draws", "detector_model"), str | Path | None) | {"detector": str | Sequence[str] | None}
    wider |= dict.fromkeys(("variants", "colors"), str | Sequence[str])
    wider |= {"detector": str | Sequence[str] | None}
    wider |= dict.fromkeys(("detector_model", "textures"), str | Path | None)
    choices = {field.name: field.metadata["choices"] for field in dataclasses.fields(maskgen.BuildSettings)}
    for name, kind in options.items():
        if choices[name]:
            assert typing.get_args(kind) == choices[name], name
        else:
            assert kind == wider.get(name, settings[name]), name
    assert {field.name for field in dataclasses.fields(maskgen.BuildSettings)} == options.keys()
    assert not (tmp_path / "smfd").exists()


def test_a_summary_is_a_table_in_a_notebook() -> None:
    summary = maskgen.Summary("<b>", {"train": 1234}, {"train": {"no_face": 2}, "val": {"empty": 1}}, 6, 1237, 2.5)
    html = summary._repr_html_()
    assert "<caption>&lt;b&gt;: 1,237 photographs made in 2.5 s</caption>" in html
    assert '<td>train</td><td style="text-align: right">1,234</td><td style="text-align: right">2</td>' in html
    assert '<td>val</td><td style="text-align: right">0</td><td style="text-align: right">1</td>' in html


@pytest.mark.parametrize("wrong", [{"predictor": __file__}, {"engine": "dask", "address": "tcp://127.0.0.1:1"}])
def test_a_wrong_call_with_overwrite_removes_nothing(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    if "address" in wrong:
        pytest.importorskip("distributed")
        monkeypatch.setattr("maskgen.engines.dask_engine.CONNECT_TIMES", 1)
    out = Path(shutil.copytree(built, tmp_path / "smfd"))
    with pytest.raises(UsageError if "predictor" in wrong else MaskgenError, match=r"shape predictor|Dask scheduler"):
        run(tree, out, overwrite=True, quality=50, **wrong)
    assert hashes(out) == hashes(built)


def test_overwrite_goes_on_with_the_very_build_that_it_began(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes
) -> None:
    out = tmp_path / "smfd"
    run(tree, out, quality=50)

    def stop(_: Made) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tree, out, stop, overwrite=True)
    made = len(list(out.glob("__markers/*.json")))
    assert 0 < made < 8
    stood: list[tuple[int, int]] = []
    run(tree, out, planned=lambda *counts: stood.append(counts), overwrite=True)
    assert stood[0][1] > 0
    assert hashes(out) == hashes(built)
    assert run(tree, out, overwrite=True).made == 0, "it is finished"


def test_white_space_in_lists_is_no_other_setting(tree: Path, tmp_path: Path) -> None:
    run(tree, tmp_path / "smfd", limit=2, variants="wide_low, round_high", colors="#ffffff, #000000")
    again = run(tree, tmp_path / "smfd", limit=2, variants=" wide_low,round_high", colors="#ffffff,#000000 ")
    assert again.made == 0


def test_a_file_system_without_locks_is_told(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(MaskgenError, match=r"smfd cannot be locked against other builds \(No locks available\); give"):
        run(tree, tmp_path / "smfd")


def test_remove_touches_no_folder_without_a_data_set(tmp_path: Path) -> None:
    for name in ("train/00000.parquet", "plan.parquet", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileNotFoundError):
        existing.remove(LocalStorage(tmp_path))
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_out_and_src_may_not_lie_inside_each_other(tree: Path, tmp_path: Path, hashes: Hashes) -> None:
    src = tmp_path / "photographs"
    shutil.copytree(tree, src)
    (tmp_path / "link").symlink_to(src)
    before = hashes(src)
    for out in (src, src / "smfd", src / "ann", tmp_path, tmp_path / "link", tmp_path / "link/smfd", src / ".."):
        for overwrite in (False, True):
            with pytest.raises(UsageError, match="lie inside each other; give --out a folder of its own"):
                run(src, out, overwrite=overwrite)
    assert hashes(src) == before
    (tmp_path / "photographs2").mkdir()
    run(src, tmp_path / "photographs2", limit=2)  # a common beginning of the name is no overlap


def test_sources_and_outputs_that_are_no_folders(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder --src"):
        run(tmp_path / "none", tmp_path / "smfd")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is a file and none of \.tar, \.parquet, \.rec"):
        run(tmp_path / "file", tmp_path / "smfd")
    with pytest.raises(UsageError, match="is a file; give a folder"):
        run(tree, tmp_path / "file")
    with pytest.raises(MaskgenError, match=r"cannot write to .*file/smfd: Not a directory"):
        run(tree, tmp_path / "file/smfd")


@pytest.mark.parametrize("tree_of", [(), ("ann",), ("ann", "bob/deep"), ("train", "test")])
def test_an_empty_tree_is_told_and_leaves_nothing_in_the_way(tree: Path, tmp_path: Path, tree_of: Any) -> None:
    src, out = tmp_path / "src", tmp_path / "smfd"
    for name in ("", *tree_of):
        (src / name).mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match="has no photograph in it; it needs identity folders of images"):
        run(src, out)
    assert run(tree, out, limit=2).photographs == 2, "the same --out serves the mended call"


def test_a_tree_without_a_usable_photograph_is_a_data_set_of_rejects(tmp_path: Path, write_tree: Build) -> None:
    src = write_tree(tmp_path / "src", {"ann/1.jpg": b"", "bob/1.jpg": b"x"})
    summary = run(src, tmp_path / "smfd", test_identities=0)
    assert (sum(summary.rows.values()), summary.rejects) == (0, {"train": {"empty": 1, "not_an_image": 1}})
    assert list(maskgen.open(tmp_path / "smfd")) == []
    assert not list((tmp_path / "smfd").glob("*/*.parquet")), "readers fail on shards without rows"
    assert verify(tmp_path / "smfd")["rejects"] == 2


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_sources_may_have_any_name_and_outputs_any_in_utf8(tree: Path, tmp_path: Path, hashes: Hashes) -> None:
    src = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 src\n"))
    shutil.copytree(tree, src)
    for out in (tmp_path / "plain", tmp_path / "ä %41 a:b\n?#'\""):
        assert run(src, out, limit=4).made == 4
        assert len(list(maskgen.open(out))) + 1 == 4
        assert json.loads((out / "run.json").read_bytes())["command"]["src"] == "caf\\xe9 src\n"
    assert hashes(out) == hashes(tmp_path / "plain")
    with pytest.raises(UsageError, match="not UTF-8, which Parquet needs; give another"):
        run(src, Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 out")))


def test_a_photograph_that_changes_during_the_build_stops_it(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes
) -> None:
    src, out = tmp_path / "src", tmp_path / "smfd"
    shutil.copytree(tree, src)
    kept = (src / "dee/0001_01.jpg").read_bytes()
    with pytest.raises(UsageError, match=r"dee/0001_01\.jpg has .* bytes but had"):
        run(src, out, planned=lambda *_: (src / "dee/0001_01.jpg").write_bytes(kept + b"!"))
    (src / "dee/0001_01.jpg").write_bytes(kept)
    run(src, out)
    assert hashes(out) == hashes(built)


def test_two_builds_do_not_work_on_one_output(tree: Path, built: Path, tmp_path: Path, hashes: Hashes) -> None:
    out = tmp_path / "smfd"
    program = """
import maskgen
try:
    maskgen.build(maskgen.BuildSettings(src=src, out=out, overwrite=True))
except maskgen.MaskgenError as error:
    print(error)
"""
    said: list[str] = []

    def another(_: Made) -> None:
        if not said:
            said.append(ended(program, src=str(tree), out=str(out)).stdout)

    run(tree, out, progress=another)
    assert said == [f"another build is at work in {out}; wait for it or stop it first.\n"]
    assert hashes(out) == hashes(built)
    with (out / ".maskgen-lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock goes with the build
        with pytest.raises(MaskgenError, match="another build is at work"):
            run(tree, out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A file system of its own and a way to change its size. Needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("no right to mount a small disk here")

    def resize(size: str) -> None:
        subprocess.run([mount, "-o", f"remount,size={size}", disk], check=True)

    try:
        yield disk, resize
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker may still be ending


@pytest.mark.parametrize(
    ("sizes", "settings"),
    [
        (("8k", "400k", "700k"), {"engine": "serial"}),
        pytest.param(("700k",), {"engine": "joblib", "workers": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_told_and_the_same_call_goes_on(
    small_disk: tuple[Path, Callable[[str], None]],
    tree: Path,
    built: Path,
    hashes: Hashes,
    sizes: tuple[str, ...],
    settings: dict[str, Any],
) -> None:
    disk, resize = small_disk
    for size in sizes:
        resize(size)
        with pytest.raises(MaskgenError, match=r"cannot write .*No space left on device; make room .*same command"):
            run(tree, disk / "smfd", **settings)
        with pytest.raises(UsageError, match=r"not finished|no data set"):
            maskgen.open(disk / "smfd")
        assert not list(disk.rglob("*.tmp")) or settings["engine"] == "joblib"
    done = len(list(disk.glob("smfd/*/*.json")))
    assert done, "some shards are there and stay"
    resize("20m")
    stood: list[tuple[int, int]] = []
    run(tree, disk / "smfd", planned=lambda *counts: stood.append(counts), **settings)
    assert stood[0][1] > 0
    assert hashes(disk / "smfd") == hashes(built)


def test_files_that_cannot_grow_are_told_and_the_same_call_goes_on(
    tree: Path, built: Path, tmp_path: Path, hashes: Hashes
) -> None:
    program = """
import resource, maskgen
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    maskgen.build(maskgen.BuildSettings(src=src, out=out, engine="serial", size=96, shard_size=5,
                                        test_identities=0.4, format="both", predictor=predictor))
except maskgen.MaskgenError as error:
    print(error)
"""
    out = tmp_path / "smfd"
    done = ended(program, src=str(tree), out=str(out), predictor=str(SMALL_PREDICTOR))
    assert done.returncode == 0, done.stderr
    assert "cannot write shard train/0000" in done.stdout
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    run(tree, out)
    assert hashes(out) == hashes(built)


def test_a_folder_without_permission_is_told(without_rights: Path) -> None:
    src, closed = without_rights / "src", without_rights / "closed"
    (src / "ann").mkdir(parents=True)
    (src / "ann/1.jpg").write_bytes(b"x")
    closed.mkdir()
    closed.chmod(0o500)
    for out in (closed, closed / "smfd"):
        with pytest.raises(MaskgenError, match=r"cannot write to .*closed.*: Permission denied; make room or repair"):
            run(src, out)
    closed.chmod(0)
    with pytest.raises(MaskgenError, match=r"closed.*Permission denied"):
        run(src, closed / "smfd")
    with pytest.raises(UsageError, match=r"there is no folder --src .*closed/src"):
        run(closed / "src", without_rights / "smfd")
