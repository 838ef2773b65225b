"""Photographs that could not be used: named with their reasons, and the genuine pairs that they prevented, by hand."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.seeding import variant_of
from mfr_train.evaluation import failures, outputs
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.evaluation.listed_pairs import FailedPair
from mfr_train.evaluation.pair_list import Name, Pair
from mfr_train.evaluation.report import Report
from tests.support.data_sets import make
from tests.support.pixel_model import use_pixel_model

MASKED_GROUPS = [*maskgen.VARIANTS, "wide", "round", "high", "medium", "low"]


@pytest.fixture(autouse=True)
def pixel_model(monkeypatch: pytest.MonkeyPatch) -> None:
    use_pixel_model(monkeypatch)


@pytest.fixture(scope="module")
def everyone(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five test identities of six photographs, of which one photograph of Ann, Bob and Cyd cannot be used."""
    return make(tree, tmp_path_factory.mktemp("everyone") / "smfd", test_identities=1)


@pytest.fixture
def settings(everyone: Path, tmp_path: Path) -> EvalSettings:
    return EvalSettings(data=str(everyone), out=tmp_path / "eval", cache=tmp_path / "cache", bootstrap=0)


def read(report: Report) -> list[dict[str, str]]:
    with (report.out / "failures.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lost(report: Report) -> dict[tuple[str, str], int]:
    return {(row.scenario, row.group): row.lost_genuine for row in report if not row.group.startswith("color_")}


FORMULA = '=HYPERLINK("http://x")/1.jpg'


def test_names_in_lists_of_failures_are_no_formulas(tmp_path: Path) -> None:
    failures.write([failures.Failure(FORMULA, "@a", "no_face", role="-1")], tmp_path)
    pair = Pair(2, Name("", FORMULA), Name("", "+b.jpg"), True)
    outputs.write_failed_pairs([FailedPair(pair, pair.first, "absent")], tmp_path)
    with (tmp_path / failures.FAILURES).open(newline="") as file:
        assert list(csv.reader(file))[1] == [f"'{FORMULA}", "'@a", "'-1", "", "", "no_face"]
    with (tmp_path / outputs.FAILED_PAIRS).open(newline="") as file:
        assert list(csv.reader(file))[1] == ["2", f"'{FORMULA}", "'+b.jpg", "1", f"'{FORMULA}", "absent"]


def test_every_failed_photograph_of_a_data_set_is_named(settings: EvalSettings, tree_rejects: dict[str, str]) -> None:
    report = evaluate(replace(settings, breakdown=False, scenario="U-U"))
    found = read(report)
    assert {row["photograph"]: row["reason"] for row in found} == tree_rejects
    assert {row["photograph"]: row["subject"] for row in found} == {name: name.split("/")[0] for name in tree_rejects}
    assert {(row["role"], row["masked"], row["variant"]) for row in found} == {("", "", "")}
    assert sum(report.failures.values()) == len(found) == 3
    evaluate(replace(settings, data=str(_without_failures(settings))))
    assert not (report.out / "failures.csv").exists(), "an earlier list goes with its report"


def _without_failures(settings: EvalSettings) -> Path:
    """The data set of those that have every photograph."""
    source, out = settings.cache.parent / "source", settings.cache.parent / "whole"
    for row in maskgen.open(settings.data).rows("test"):
        if row.identity in ("dee", "eva"):
            path = source / row.source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row.jpeg("unmasked"))
    return make(source, out, size=64, test_identities=1, variants="wide_low")


def test_lost_genuine_pairs_of_a_data_set(settings: EvalSettings) -> None:
    """Of three people with 5 of 6 photographs: 15 - 10 unordered and 30 - 20 ordered pairs each."""
    found = lost(evaluate(settings))
    assert found[("U-U", "")] == found[("M-M", "")] == 3 * 5
    assert found[("U-M", "")] == 3 * 10
    for group in MASKED_GROUPS:  # every photograph would have worn every mask
        assert (found["U-M", group], found["M-M", group]) == (30, 15)


def test_lost_pairs_of_drawn_masks_are_those_of_the_mask_that_would_have_been_drawn(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    out = make(tree, tmp_path / "random", test_identities=1, variants="random")
    report = evaluate(replace(settings, data=str(out)))
    plan = pq.read_table(out / "plan.parquet").to_pylist()
    usable = {row.source: row.variant for row in maskgen.open(out).rows("test", images=())}
    masks = {row["source"]: variant_of(0, row["source"]) for row in plan}
    assert usable.items() <= masks.items()
    pairs = [
        (one["source"], other["source"])
        for one, other in permutations(plan, 2)
        if one["identity"] == other["identity"] and not {one["source"], other["source"]} <= usable.keys()
    ]
    found = lost(report)
    assert (found["U-U", ""], found["U-M", ""], found["M-M", ""]) == (15, 30, 15)
    groups = {group for _, group in found if group}
    assert {"wide", "round"} <= groups
    for group in groups:
        worn = {name for name, variant in masks.items() if variant == group or group in variant.split("_")}
        assert found["U-M", group] == sum(probe in worn for _, probe in pairs)
        if ("M-M", group) in found:  # a group without genuine pairs is not measured
            assert found["M-M", group] == sum({one, other} <= worn for one, other in pairs) / 2
    failed = read(report)
    assert {row["photograph"]: row["variant"] for row in failed} == {
        name: variant for name, variant in masks.items() if name not in usable
    }
    facts = json.loads((report.out / "report.json").read_bytes())["data"]["failures_by_variant"]
    assert facts == report.failures_by_variant
    counted = sorted((variant, reason) for variant, reasons in facts.items() for reason in reasons)
    assert counted == sorted({(row["variant"], row["reason"]) for row in failed})
    assert Report.load(report.out) == report


def test_lost_pairs_of_a_list_are_its_genuine_pairs_of_failed_photographs(
    settings: EvalSettings, tmp_path: Path
) -> None:
    lines = [
        "a,b,genuine",
        "dee/0000_01.jpg,dee/0001_01.jpg,1",
        "ann/0002_01.jpg,ann/0001_01.jpg,1",  # was rejected
        "bob/0001_01.jpg,bob/0003_01.jpg,1",  # the second one was
        "ann/0002_01.jpg,ann/0009_01.jpg,1",  # the second one is not in the data set
        "dee/0000_01.jpg,cyd/0004_01.jpg,0",  # an impostor pair
        "dee/0000_01.jpg,eva/0001_01.jpg,0",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    report = evaluate(replace(settings, pairs=tmp_path / "pairs.csv"))
    assert report.pairs is not None
    assert report.pairs.failed_genuine == 3
    assert set(lost(report).values()) == {2}
    failed = {row["photograph"]: (row["subject"], row["reason"]) for row in read(report)}
    assert failed["ann/0009_01.jpg"] == ("", "absent")
    assert sorted(failed) == ["ann/0002_01.jpg", "ann/0009_01.jpg", "bob/0003_01.jpg", "cyd/0004_01.jpg"]


def protocol(folder: Path, data: Path) -> Path:
    """First photographs of each person are references, the last two probes; all unmasked and masked."""
    lines = []
    for row in maskgen.open(data).rows("test"):
        role = "reference" if row.source.split("/")[1] < "0004" else "probe"
        for masked, name in ((0, "unmasked"), (1, "wide_low")):
            path = folder / f"{row.source.replace('/', '-')}-{name}.jpg"
            path.write_bytes(row.jpeg(name))
            lines.append((row.identity, role, masked, path.name))
    with (folder / "protocol.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject", "role", "masked", "path"), *lines])
    return folder / "protocol.csv"


def test_lost_pairs_of_a_protocol_are_those_of_each_side(
    settings: EvalSettings, everyone: Path, tmp_path: Path
) -> None:
    """Dee has four references and two probes of each kind. One unmasked reference and one masked probe fail."""
    table = protocol(tmp_path, everyone)
    (tmp_path / "dee-0001_01.jpg-unmasked.jpg").write_bytes(b"text\n")
    (tmp_path / "dee-0005_01.jpg-wide_low.jpg").write_bytes(b"")
    report = evaluate(replace(settings, protocol=table))
    # U-U: the reference with 2 probes. U-M: with 2 probes, and the other 3 with the probe. M-M: 4 with the probe.
    assert lost(report) == {("U-U", ""): 2, ("U-M", ""): 5, ("M-M", ""): 4}
    assert [tuple(row.values()) for row in read(report)] == [
        ("dee-0001_01.jpg-unmasked.jpg", "dee", "reference", "0", "", "not_an_image"),
        ("dee-0005_01.jpg-wide_low.jpg", "dee", "probe", "1", "", "empty"),
    ]


def test_a_side_of_which_every_picture_failed_is_said(settings: EvalSettings, everyone: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, everyone)
    probes = [path for n in (4, 5) for path in tmp_path.glob(f"*-000{n}_01.jpg-wide_low.jpg")]
    for path in probes:
        path.write_bytes(b"text\n")
    words = rf"U-M on .*none of the {len(probes)} masked probes can be used \({len(probes)} not_an_image\)\."
    with pytest.raises(MaskgenError, match=words):
        evaluate(replace(settings, protocol=table))


def test_a_split_of_which_every_photograph_was_rejected_is_said(settings: EvalSettings, tmp_path: Path) -> None:
    for name in ("zoe/1.jpg", "zoe/2.jpg", "yan/1.jpg"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(b"text\n")
    data = str(make(tmp_path / "source", tmp_path / "set", test_identities=1))
    with pytest.raises(MaskgenError, match=r"every photograph in test of .* was rejected \(3 not_an_image\)"):
        evaluate(replace(settings, data=data))


def test_the_report_has_its_date_and_versions(settings: EvalSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = replace(settings, breakdown=False, scenario="U-U")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    report = evaluate(chosen)
    assert report.date == "1970-01-02T00:00:00+00:00"
    assert report.versions["numpy"] == np.__version__
    assert {"maskgen", "python", "torch"} <= report.versions.keys()
    first = (report.out / "report.json").read_bytes()
    assert json.loads(first)["date"] == report.date
    assert (evaluate(chosen).out / "report.json").read_bytes() == first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is 'yesterday'; give a number of seconds"):
        evaluate(chosen)


def test_score_files_name_the_subjects(settings: EvalSettings) -> None:
    report = evaluate(replace(settings, breakdown=False, scenario="U-M"))
    people = {row.key: row.identity for row in maskgen.open(settings.data).rows("test", images=())}
    pairs = pq.read_table(report.out / "U-M.parquet").to_pylist()
    for pair in pairs:
        assert (pair["reference_subject"], pair["probe_subject"]) == (people[pair["reference"]], people[pair["probe"]])
        assert pair["genuine"] == (pair["reference_subject"] == pair["probe_subject"])


def test_every_setting_that_changes_the_result_has_its_own_default_folder(
    settings: EvalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = replace(settings, out=None, breakdown=False, scenario="U-U")
    first = evaluate(chosen).out
    kept = (first / "U-U.parquet").read_bytes()
    changes = ({"scenario": "U-M"}, {"seed": 1}, {"bootstrap": 100}, {"breakdown": True}, {"exact_pairs": 5})
    made = [evaluate(replace(chosen, **change)).out for change in changes]
    assert len({first, *made}) == 1 + len(changes)
    assert (first / "U-U.parquet").read_bytes() == kept
    assert first.name.startswith("pixels-smfd-U-U-")
    assert made[0].name.startswith("pixels-smfd-U-M-")
    same = replace(chosen, cache=tmp_path / "other", workers=0)
    assert evaluate(same).out == first, "what does not change the result does not change the folder"
