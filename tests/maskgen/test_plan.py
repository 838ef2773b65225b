"""Plans against counts worked out by hand; what they depend on, and what they do not."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgen.dataset import identity, plan_file
from maskgen.dataset.plan_file import shard_slices
from maskgen.errors import UsageError
from maskgen.pipeline import build_settings, plan
from maskgen.pipeline.build_settings import BuildSettings
from maskgen.pipeline.plan import default_shard_size, make_plan
from maskgen.sources.photograph import Photograph
from tests.support.fuzz import examples


def people(split: str = "", **counts: int) -> list[Photograph]:
    """A listing: `people(ann=3)` are ann/000.jpg to ann/002.jpg."""
    top = f"{split}/" if split else ""
    return [
        Photograph(f"{top}{name}/{number:03d}.jpg", name, split, 10, "")
        for name, count in sorted(counts.items())
        for number in range(count)
    ]


def planned(listing: list[Photograph], **settings: Any) -> list[dict[str, Any]]:
    build = BuildSettings(src=Path("src"), out=Path("out"), **settings)
    return make_plan(build, listing)[0].to_pylist()


def by_source(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return {row["source"]: row[column] for row in rows}


@pytest.mark.parametrize(
    ("photographs", "val"), [(1, 0), (2, 0), (3, 1), (5, 1), (7, 1), (8, 2), (10, 2), (12, 2), (13, 3), (100, 20)]
)
def test_a_fifth_of_each_training_identity_is_for_validation(photographs: int, val: int) -> None:
    rows = planned(people(ann=photographs, bob=photographs), test_identities=0)
    for name in ("ann", "bob"):
        splits = Counter(row["split"] for row in rows if row["identity"] == name)
        assert (splits["train"], splits["val"]) == (photographs - val, val)


@pytest.mark.parametrize(
    ("identities", "share", "test"),
    [(10, 0.0, 0), (3, 0.1, 0), (4, 0.1, 2), (10, 0.1, 2), (30, 0.1, 3), (10, 0.5, 5), (10, 1.0, 10), (1, 1.0, 1)],
)
def test_the_number_of_test_identities(identities: int, share: float, test: int) -> None:
    rows = planned(people(**{f"p{number:02d}": 4 for number in range(identities)}), test_identities=share)
    names = {split: {row["identity"] for row in rows if row["split"] == split} for split in ("train", "val", "test")}
    assert len(names["test"]) == test
    assert not names["test"] & (names["train"] | names["val"])
    assert len(names["train"]) == identities - test


def test_labels_are_the_training_identities_in_order_and_none_in_test() -> None:
    listing = people(**{f"p{number:02d}": 5 for number in range(10)})
    table, identities = make_plan(BuildSettings(src=Path("src"), out=Path("out"), test_identities=0.3), listing)
    rows = table.to_pylist()
    training = sorted({row["identity"] for row in rows if row["split"] != "test"})
    assert identities == training
    assert len(training) == 7
    for row in rows:
        assert row["label"] == (-1 if row["split"] == "test" else training.index(row["identity"]))


def test_a_vggface2_tree_keeps_its_own_split() -> None:
    listing = people("test", ann=4, bob=3) + people("train", cyd=10, dee=5)
    rows = planned(listing, test_identities=0.9)
    assert {row["identity"] for row in rows if row["split"] == "test"} == {"ann", "bob"}
    splits = Counter((row["identity"], row["split"]) for row in rows)
    assert splits == {
        ("ann", "test"): 4,
        ("bob", "test"): 3,
        ("cyd", "train"): 8,
        ("cyd", "val"): 2,
        ("dee", "train"): 4,
        ("dee", "val"): 1,
    }
    assert {row["identity"]: row["label"] for row in rows} == {"ann": -1, "bob": -1, "cyd": 0, "dee": 1}


def test_keys_are_positions_and_shards_are_slices_within_a_split() -> None:
    rows = planned(people(ann=10, bob=10, cyd=3, dee=3), test_identities=0.5, shard_size=6, seed=3)
    assert [row["key"] for row in rows] == [f"{number:09d}" for number in range(26)]
    assert [row["split"] for row in rows] == sorted((row["split"] for row in rows), key=("train", "val", "test").index)
    for split in ("train", "val", "test"):
        shards = [row["shard"] for row in rows if row["split"] == split]
        assert shards == [number // 6 for number in range(len(shards))]


def test_shard_slices_are_the_row_groups_of_the_plan_file(tmp_path: Path) -> None:
    listing = people(**{f"p{number}": 10 for number in range(4)})  # two for tests: 16 train, 4 val, 20 test
    table, _ = make_plan(BuildSettings(src=Path("s"), out=Path("o"), shard_size=7), listing)
    slices = shard_slices(table)
    assert slices == [
        ("train", 0, 0, 7),
        ("train", 1, 7, 7),
        ("train", 2, 14, 2),
        ("val", 0, 16, 4),
        ("test", 0, 20, 7),
        ("test", 1, 27, 7),
        ("test", 2, 34, 6),
    ]
    plan_file.write_plan(table, tmp_path / "plan.parquet")
    file = pq.ParquetFile(tmp_path / "plan.parquet")
    assert file.num_row_groups == len(slices)
    for group, (split, shard, first, rows) in enumerate(slices):
        assert file.read_row_group(group).to_pylist() == table.slice(first, rows).to_pylist()
        assert set(file.read_row_group(group)["split"].to_pylist()) == {split}
        assert set(file.read_row_group(group)["shard"].to_pylist()) == {shard}


@pytest.mark.parametrize(
    ("photographs", "size"),
    [(1, 32), (2048, 32), (2049, 33), (6400, 100), (64_000, 1000), (64_001, 1000), (3_310_000, 1000)],
)
def test_default_shard_size(photographs: int, size: int) -> None:
    assert default_shard_size(photographs) == size
    if photographs < 10_000:
        rows = planned(people(ann=photographs), test_identities=0)
        train = [row["shard"] for row in rows if row["split"] == "train"]
        assert train.count(0) == min(size, len(train))


def test_training_is_shuffled_by_the_seed_and_test_ordered_by_identity() -> None:
    listing = people(**{f"p{number}": 20 for number in range(6)})
    orders = {}
    for seed in (0, 1):
        rows = planned(listing, seed=seed, test_identities=0.34)
        train = [row["source"] for row in rows if row["split"] == "train"]
        assert train != sorted(train)
        runs = sum(a.partition("/")[0] != b.partition("/")[0] for a, b in pairwise(train))
        assert runs > len(train) / 2, "identities come mixed"
        test = [row["source"] for row in rows if row["split"] == "test"]
        assert test == sorted(test)
        assert len(test) == 40
        orders[seed] = train
    assert orders[0] != orders[1]


def test_splits_do_not_depend_on_who_else_is_there() -> None:
    few, many = people(ann=20, bob=20), people(ann=20, bob=20, cyd=20, dee=20)
    before = by_source(planned(few, test_identities=0), "split")
    after = by_source(planned(many, test_identities=0), "split")
    assert before == {source: after[source] for source in before}
    other = by_source(planned(few, test_identities=0, seed=1), "split")
    assert before != other


def test_a_plan_does_not_depend_on_the_order_of_settings_workers_or_place(tmp_path: Path) -> None:
    listing = people(ann=30, bob=9, cyd=14, dee=3)
    first = make_plan(BuildSettings(src=Path("a"), out=Path("b")), listing)
    again = make_plan(
        BuildSettings(src=Path("c"), out=Path("d"), workers=7, engine="serial", overwrite=True), list(listing)
    )
    assert first[0].equals(again[0])
    assert first[1] == again[1]
    files = []
    for name in ("one", "two"):
        plan_file.write_plan(first[0], tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_limit_takes_the_first_of_the_listing() -> None:
    rows = planned(people(ann=5, bob=5), limit=7, test_identities=0)
    assert sorted(row["source"] for row in rows) == [p.source for p in people(ann=5, bob=5)][:7]


def test_entries_with_problems_take_no_validation_place() -> None:
    listing = people(ann=10)
    bad = {1, 4, 8}
    listing = [p._replace(problem="link: not followed") if n in bad else p for n, p in enumerate(listing)]
    rows = planned(listing, test_identities=0)
    assert len(rows) == 10
    assert sum(row["split"] == "val" for row in rows) == 1  # a fifth of the seven usable ones, rounded
    assert all(row["problem"] == "" for row in rows if row["split"] == "val")


def test_no_photograph_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="has no photograph in it"):
        planned([])


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("no_identity: it lies in no folder", "is no_identity (it lies in no folder); give the folder above, where"),
        ("link: not followed", "is link (not followed); take them with --follow-links."),
        ("unreadable: Permission denied", "is unreadable (Permission denied); fix that."),
    ],
)
def test_entries_with_problems_alone_are_a_usage_error(problem: str, words: str) -> None:
    listing = [entry._replace(problem=problem) for entry in people(ann=2)]
    listing.insert(0, listing[0]._replace(source="first.jpg", problem="bad_name: no UTF-8"))
    with pytest.raises(UsageError, match=r"of its 3 entries, 'ann/000\.jpg' for one ") as caught:
        planned(listing)
    assert words in str(caught.value)
    assert len(planned([*listing, *people(bob=1)])) == 4


def test_members_that_name_nobody_are_a_usage_error() -> None:
    listing = [Photograph("x.tar/1.jpg", "", "", 1, "no_identity: nobody", "x.tar", 9, 0)]
    with pytest.raises(UsageError, match="say whom they show, or --identity-field"):
        planned(listing)


def test_a_person_in_both_official_splits_is_refused() -> None:
    listing = people("test", ann=2, bob=1, cyd=3) + people("train", ann=1, bob=2, cyd=1, dee=4)
    with pytest.raises(UsageError, match=r"both train and test hold 'ann' and 'bob' and 1 more, .* move the photo"):
        planned(listing)
    with pytest.raises(UsageError, match=r"both train and test hold 'ann', and tests need"):
        planned(people("test", ann=2, bob=1) + people("train", ann=1))
    link = people("train", ann=1)[0]._replace(problem="link: not followed")
    assert len(planned([*people("test", ann=2), link])) == 3, "what is rejected teaches nobody"


def test_files_too_large_for_a_photograph_are_rejected_unread() -> None:
    listing = people(ann=3)
    listing[0] = listing[0]._replace(bytes=2**30)
    listing[1] = listing[1]._replace(bytes=2**30 + 1)
    listing[2] = listing[2]._replace(bytes=2**40, problem="link: not followed")
    problems = by_source(planned(listing), "problem")
    assert [problem.partition(":")[0] for _, problem in sorted(problems.items())] == ["", "too_large", "link"]


def test_a_leading_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    build = BuildSettings(src="~/faces", out=Path("~/smfd"))
    assert (build.src, build.out) == ("/home/ann/faces", Path("/home/ann/smfd"))
    build = BuildSettings(src="s3://b/~/x", out="a/~")
    assert (build.src, build.out) == ("s3://b/~/x", "a/~")


@pytest.mark.parametrize("name", ["src", "out"])
def test_an_empty_name_is_no_folder(name: str) -> None:
    with pytest.raises(UsageError, match=f"--{name} is empty; give a folder or a URI"):
        BuildSettings(**{"src": "a", "out": "b", name: ""})


def test_boxes_replace_detection_and_a_missing_one_is_a_problem(tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text('NAME_ID,X,Y,W,H\n"ann/000",10,20,30,40\n"ann/002",1.5,2,3,4\n"zoe/000",1,1,1,1\n')
    listing = people(ann=4)
    listing[3] = listing[3]._replace(problem="link: a symbolic link is not followed")
    rows = planned(listing, boxes=(boxes,), test_identities=0)
    assert by_source(rows, "face") == {
        "ann/000.jpg": [10, 20, 40, 60],
        "ann/001.jpg": None,
        "ann/002.jpg": [1.5, 2, 4.5, 6],
        "ann/003.jpg": None,
    }
    assert {source: problem.partition(":")[0] for source, problem in by_source(rows, "problem").items()} == {
        "ann/000.jpg": "",
        "ann/001.jpg": "no_box",
        "ann/002.jpg": "",
        "ann/003.jpg": "link",
    }
    boxes.write_text("NAME_ID,X,Y,W,H\n")
    assert {row["problem"].partition(":")[0] for row in planned(listing, boxes=(boxes,))} == {"no_box", "link"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"variants": "wide_high,wide_high"}, "--variants names a variant twice"),
        ({"variants": "wide"}, "--variants has no 'wide'"),
        ({"format": "tar"}, "--format is 'tar'; choose one of parquet, webdataset, both"),
        ({"store": "none"}, "--store"),
        ({"fit": "squash"}, "--fit"),
        ({"quality": 0}, "--quality is 0; give a number of at least 1"),
        ({"quality": 101}, "--quality is 101; give a number of at most 100"),
        ({"size": -1}, "--size"),
        ({"test_identities": 1.1}, "--test-identities"),
        ({"test_identities": float("nan")}, "--test-identities"),
        ({"shard_size": 0}, "--shard-size"),
        ({"limit": 0}, "--limit"),
        ({"workers": 0}, "--workers"),
        ({"predictor": Path("none.dat")}, "no file --predictor none.dat"),
        ({"face": "nearest"}, "--face is 'nearest'; choose one of central, largest"),
        ({"detector": "hog,mtcnn"}, "--detector has no 'mtcnn'; choose from hog, cnn, yunet, boxes"),
        ({"detector": "hog,cnn,hog"}, "--detector hog,cnn,hog names a detector twice"),
        ({"detector": ""}, "--detector has no ''"),
        ({"detector": "hog,yunet"}, "--detector yunet needs the model's ONNX file; add --detector-model FILE"),
        ({"detector": "yunet", "detector_model": Path("none.onnx")}, "no file --detector-model none.onnx"),
        ({"detector_model": Path("none.onnx")}, "--detector-model is the file of YuNet; add --detector yunet"),
        ({"detector": "hog,boxes"}, "--detector boxes takes the boxes of a file; add --boxes CSV"),
        ({"detector": "hog", "boxes": (Path("b.csv"),)}, "--boxes is not used by --detector hog; add boxes to it"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_settings.check(BuildSettings(src=Path("src"), out=Path("out"), **settings))


def test_the_fingerprint_is_of_what_shapes_bytes_and_of_nothing_else(tmp_path: Path) -> None:
    base = BuildSettings(src=Path("src"), out=Path("out"))

    def of(**changes: Any) -> str:
        return identity.fingerprint(plan.description(dataclasses.replace(base, **changes), "plan"))

    same = {
        "src": Path("x"),
        "src_kind": "tar",
        "identity_field": "person",
        "out": Path("y"),
        "workers": 3,
        "engine": "serial",
        "address": "tcp://127.0.0.1:8786",
        "overwrite": True,
        "photograph_seconds": 7,
    }
    assert all(of(**{name: value}) == of() for name, value in same.items())
    (tmp_path / "model.dat").write_bytes(b"model")
    other = {
        "format": "both",
        "variants": "random",
        "store": "recipe",
        "size": 0,
        "fit": "pad",
        "quality": 94,
        "photograph_megabytes": 100,
        "colors": "nist",
        "seed": 1,
        "face": "largest",
        "detector": "cnn",
        "detector_model": tmp_path / "model.dat",
        "boxes": (Path("b.csv"),),
        "draws": Path("d.csv"),
        "predictor": tmp_path / "model.dat",
        "test_identities": 0.2,
        "limit": 5,
        "shard_size": 9,
        "follow_links": True,
        "image_column": "face",
        "style": "fabric",
    }
    # Textures count by their content, which the build reads, and not by where they lie (test_styles.py).
    assert {field.name for field in dataclasses.fields(base)} == same.keys() | other.keys() | {"textures"}
    fingerprints = [of(), *(of(**{name: value}) for name, value in other.items())]
    assert len(set(fingerprints)) == len(other) + 1
    assert identity.fingerprint(plan.description(base, "another plan")) != of()


@settings(max_examples=examples(60), deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 9), min_size=1, max_size=8),
    st.floats(0, 1),
    st.integers(1, 10),
    st.integers(0, 5),
)
def test_every_entry_is_planned_exactly_once(counts: dict[str, int], share: float, size: int, seed: int) -> None:
    listing = people(**counts)
    bad = random.Random(seed)
    listing = [p._replace(problem="link: no") if bad.random() < 0.2 else p for p in listing]
    build = BuildSettings(src=Path("src"), out=Path("out"), test_identities=share, shard_size=size, seed=seed)
    if all(entry.problem for entry in listing):
        with pytest.raises(UsageError, match="no photograph that can be used"):
            make_plan(build, listing)
        return
    table, identities = make_plan(build, listing)
    rows = table.to_pylist()
    assert sorted(row["source"] for row in rows) == sorted(p.source for p in listing)
    assert sum(rows for _, _, _, rows in shard_slices(table)) == len(listing)
    assert max(rows for _, _, _, rows in shard_slices(table)) <= size
    test = {row["identity"] for row in rows if row["split"] == "test"}
    assert test.isdisjoint(identities)
    assert test | set(identities) == set(counts)


def test_a_whole_number_is_the_same_setting_as_a_float(tmp_path: Path) -> None:
    base = BuildSettings(src="src", out="out", test_identities=1.0)
    whole = dataclasses.replace(base, test_identities=1)
    assert plan.description(whole, "plan") == plan.description(base, "plan")
    assert identity.fingerprint(plan.description(whole, "plan")) == identity.fingerprint(plan.description(base, "plan"))


@pytest.mark.parametrize("split", ["", "train"])
def test_planning_does_not_load_pandas(split: str, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    program = """
import sys
from pathlib import Path
from maskgen.dataset.plan_file import write_plan
from maskgen.pipeline import plan
from maskgen.pipeline.build_settings import BuildSettings
from maskgen.sources.photograph import Photograph

split, out = sys.argv[1:]
listing = [Photograph(f"{name}/{number}.jpg", name, split, 10, "") for name in "abcd" for number in range(9)]
write_plan(plan.make_plan(BuildSettings(src="src", out="out"), listing)[0], Path(out))
assert "pandas" not in sys.modules
"""
    out = tmp_path / "plan.parquet"
    subprocess.run([sys.executable, "-c", program, split, out], check=True)
    listing = [Photograph(f"{name}/{number}.jpg", name, split, 10, "") for name in "abcd" for number in range(9)]
    assert pq.read_table(out).to_pylist() == planned(listing)
