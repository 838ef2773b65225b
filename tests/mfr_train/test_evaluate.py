"""An evaluation from shards to report, scored by a model made of pixels: what it finds, writes and refuses."""

from __future__ import annotations

import csv
import errno
import functools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

import maskgen
import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train.data import feature_cache
from mfr_train.evaluation import metrics, outputs, score_files, table_formats
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.evaluation.report_text import report_text, short_text
from mfr_train.networks import model as models
from tests.support.pixel_model import SIDE, pixels, use_pixel_model

CURVE_FILES = ("curves.csv", "histogram.csv")


@pytest.fixture(autouse=True)
def pixel_model(monkeypatch: pytest.MonkeyPatch) -> None:
    use_pixel_model(monkeypatch)


@pytest.fixture(scope="module")
def people(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four test identities, of six photographs or five, and one identity to train on."""
    return make(tree, tmp_path_factory.mktemp("people") / "smfd", test_identities=0.8)


@pytest.fixture
def settings(people: Path, tmp_path: Path, undrawn: object) -> EvalSettings:
    return EvalSettings(data=str(people), out=tmp_path / "eval", cache=tmp_path / "cache", bootstrap=100)


def cosines(data: Path, path: Path) -> list[tuple[bool, float]]:
    """Whether genuine, and the cosine, of each pair that a table of scores names, from the data set itself."""
    rows = {row.key: row for row in maskgen.open(data).rows("test")}

    @functools.cache
    def embedding(key: str, picture: str) -> np.ndarray:
        return pixels(rows[key].image(picture)).astype(float)

    found = []
    for pair in pq.read_table(path).to_pylist():
        assert pair["reference"] != pair["probe"]
        one, other = rows[pair["reference"]], rows[pair["probe"]]
        a, b = embedding(one.key, pair["reference_picture"]), embedding(other.key, pair["probe_picture"])
        cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        assert pair["score"] == pytest.approx(cosine, abs=1e-5)
        assert pair["genuine"] == (one.identity == other.identity)
        found.append((pair["genuine"], pair["score"]))
    return found


def test_figures_are_those_of_every_pair(settings: EvalSettings, people: Path) -> None:
    report = evaluate(replace(settings, breakdown=False))
    counts = np.unique([row.identity for row in maskgen.open(people).rows("test", images=())], return_counts=True)[1]
    genuine = int((counts * (counts - 1) // 2).sum())
    every = int(counts.sum() * (counts.sum() - 1) // 2)
    assert [row.scenario for row in report.rows] == ["U-U", "U-M", "M-M"]
    for row, times in zip(report.rows, (1, 2, 1), strict=True):
        assert (row.figures.genuine, row.figures.impostor) == (times * genuine, times * (every - genuine))
        pairs = cosines(people, report.out / f"{row.scenario}.parquet")
        sides = [[score for is_genuine, score in pairs if is_genuine == side] for side in (True, False)]
        assert metrics.figures_of(from_scores(*sides)) == row.figures
        assert row.intervals is not None
        low, high = row.intervals.intervals["auc"]
        assert low <= row.figures.auc <= high
    assert report.subjects == 4
    assert report.photographs == counts.sum()


def test_failures_are_the_rejects_of_the_split(settings: EvalSettings, rejects: Callable, people: Path) -> None:
    split = {row["source"]: row["split"] for row in pq.read_table(people / "rejects.parquet").to_pylist()}
    expected = sorted(reason for source, reason in rejects(people).items() if split[source] == "test")
    report = evaluate(replace(settings, bootstrap=0, breakdown=False))
    assert sorted(report.failures) == expected
    assert f"{len(expected)} failures" in report_text(report)


def test_thresholds_of_uu_are_applied_to_masked_probes(settings: EvalSettings) -> None:
    settings = replace(settings, bootstrap=0, breakdown=False)
    report = evaluate(replace(settings, scenario="U-M"))
    assert [row.scenario for row in report.rows] == ["U-M"]
    threshold = evaluate(replace(settings, scenario="U-U")).rows[0].figures.fmr100.threshold
    found = evaluate(replace(settings, scenario="U-M")).rows[0]
    table = pq.read_table(report.out / "U-M.parquet").to_pydict()
    scores, genuine = np.array(table["score"]), np.array(table["genuine"])
    assert found.drift[metrics.FixedThreshold(0.01, threshold)] == metrics.Point(
        threshold, float((scores[~genuine] >= threshold).mean()), float((scores[genuine] < threshold).mean())
    )


def test_the_breakdown_measures_each_group(settings: EvalSettings) -> None:
    report = evaluate(replace(settings, bootstrap=0))
    names = [*maskgen.VARIANTS, "wide", "round", "high", "medium", "low"]
    colors = ["color_dark", "color_light", "color_medium"]
    expected = {(scenario, name) for scenario in ("U-M", "M-M") for name in (*names, *colors)}
    assert {(row.scenario, row.group) for row in report.breakdown} <= expected
    kept = [row for row in report.breakdown if not row.group.startswith("color_")]
    assert [(row.scenario, row.group) for row in kept] == [
        (scenario, name) for scenario in ("U-M", "M-M") for name in names
    ]
    # Every photograph has every mask: each group compares as many pairs as its scenario.
    totals = {row.scenario: row.figures.impostor for row in report.rows}
    assert all(row.figures.impostor == totals[row.scenario] for row in kept)
    # Each photograph wears a mask of one colour: the colours share the pairs of U-M.
    shares = [row.figures for row in report.breakdown if row.scenario == "U-M" and row.group in colors]
    assert len(shares) == 3
    assert sum(found.impostor for found in shares) == totals["U-M"]
    by_name = {(row.scenario, row.group): row.figures for row in report.breakdown}
    assert by_name["U-M", "wide_high"].gmean != by_name["U-M", "round_low"].gmean


def test_limits_are_measured_and_fixed_on_uu(settings: EvalSettings) -> None:
    chosen = replace(settings, fmr="0.3,0.02,0.0001", scenario="U-M", breakdown=False)
    uu = evaluate(replace(chosen, scenario="U-U"))["U-U"]
    table = pq.read_table(chosen.out / "U-U.parquet").to_pydict()
    report = evaluate(chosen)
    found = report["U-M"]
    genuine = np.array(table["genuine"])
    scores = np.array(table["score"])
    for limit in (0.3, 0.02):
        allowed = [t for t in scores if (scores[~genuine] >= t).mean() < limit]
        expected = min(float((scores[genuine] < t).mean()) for t in allowed)
        assert uu.at(limit).value == pytest.approx(expected, abs=1e-12)
        assert found.at_uu(limit).threshold == uu.at(limit).threshold
    # Some 200 impostor pairs cannot resolve 1 in 10,000: no threshold of U-U, no interval, and a word about it.
    assert [fixed.limit for fixed in found.drift] == [0.3, 0.02]
    assert found.at(0.0001) == found.zero_fmr
    assert found.at(0.0001).interval is None
    text = report_text(report)
    assert "n/a: an FMR below 0.01 % needs more than 10,000 impostor pairs." in text
    fewer = [replace(row, figures=replace(row.figures, impostor=54.0)) for row in report.rows]
    short = short_text(replace(report, rows=fewer))
    assert "n/a: an FMR below 1 % needs more than 100 impostor pairs." in short
    assert "10,000" not in short, "its figure is in the other tables"
    row = next(line for line in text.splitlines() if line.split()[:2] == ["U-M", "30"])
    assert f"{100 * (1 - found.at(0.3)):.2f}" in row
    assert found.records() == mfr_train.Report.load(report.out)["U-M"].records()


def test_lost_pairs_are_counted_as_non_matches(settings: EvalSettings) -> None:
    report = evaluate(replace(settings, bootstrap=0, breakdown=False, scenario="U-U"))
    assert "FNMR+lost counts 10 genuine pairs" in report_text(report)
    none, row = (replace(report.rows[0], lost_genuine=count) for count in (0, 25))
    assert "FNMR+lost" not in report_text(replace(report, rows=[none]))
    text = report_text(replace(report, rows=[row]))
    pairs = row.figures.genuine
    assert f"{100 * (row.fmr10 * pairs + 25) / (pairs + 25):.2f}" in text
    assert "U-U: FNMR+lost counts 25 genuine pairs whose photographs could not be used as non-matches." in text


def test_another_score_changes_thresholds_and_no_rate(settings: EvalSettings) -> None:
    chosen = replace(settings, bootstrap=0, breakdown=False, scenario="U-U")
    cosine, half = (evaluate(replace(chosen, score=score)).rows[0] for score in ("cosine", "half"))
    assert (half.fmr100, half.eer, half.auc) == (cosine.fmr100, cosine.eer, cosine.auc)
    assert half.eer.threshold == pytest.approx(1 - (2 - 2 * cosine.eer.threshold) ** 0.5 / 2, abs=1e-9)
    values = pq.read_table(settings.out / "U-U.parquet").to_pydict()
    genuine = np.array(values["score"])[np.array(values["genuine"])]
    assert half.gmean == pytest.approx(genuine.mean(), abs=1e-12)
    assert half.gmean != cosine.gmean


def test_random_variants_split_the_photographs(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    out = make(tree, tmp_path / "random", test_identities=0.8, variants="random")
    report = evaluate(replace(settings, data=str(out), bootstrap=0))
    groups = {row.group: row.figures for row in report.breakdown if row.scenario == "U-M"}
    whole = {row.scenario: row.figures for row in report.rows}["U-M"]
    assert groups["wide"].impostor + groups["round"].impostor == whole.impostor
    assert groups["wide"].genuine + groups["round"].genuine == whole.genuine


def test_binned_and_exact_agree_within_the_bounds_they_print(settings: EvalSettings, wide_bins: None) -> None:
    settings = replace(settings, scenario="U-M", bootstrap=0)
    exact = evaluate(settings)
    binned = evaluate(replace(settings, exact_pairs=0))
    assert not list(binned.out.glob("*.parquet"))
    assert "was counted in bins" in report_text(binned)
    for one, other in zip(exact.rows + exact.breakdown, binned.rows + binned.breakdown, strict=True):
        assert (one.scenario, one.group, other.binned) == (other.scenario, other.group, True)
        assert abs(one.figures.eer.eer - other.figures.eer.eer) <= other.figures.bounds["eer"]
        assert abs(one.figures.fmr100.fnmr - other.figures.fmr100.fnmr) <= other.figures.bounds["fmr100"]


def test_the_report_is_json_with_every_figure(settings: EvalSettings, undrawn: pytest.MonkeyPatch) -> None:
    report = evaluate(replace(settings, breakdown=False))
    facts = json.loads((report.out / "report.json").read_text())
    assert facts["settings"]["bootstrap"] == 100
    assert facts["model"] == {
        "name": "pixels",
        "fingerprint": report.fingerprint,
        "preprocessing": {"flip-sum": False},
    }
    for row, found in zip(report.rows, facts["scenarios"], strict=True):
        assert found["figures"]["fmr100"]["fnmr"] == row.figures.fmr100.fnmr
        assert found["figures"]["eer"]["eer"] == row.figures.eer.eer
        assert found["intervals"]["intervals"]["eer"] == list(row.intervals.intervals["eer"])
    undrawn.undo()
    evaluate(replace(settings, breakdown=False, bootstrap=0, scenario="U-U", figures="png"))
    for name in ("roc.png", "det.png"):
        assert cv2.imread(str(report.out / name)).std() > 1


def test_the_same_settings_give_the_same_report(
    settings: EvalSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    again = tmp_path / "again"
    for given in ({"bootstrap": 100, "breakdown": False}, {"bootstrap": 0, "breakdown": True}):
        chosen = replace(settings, scenario="U-M", **given)
        one = (evaluate(chosen).out / "report.json").read_text()
        other = (evaluate(replace(chosen, out=again)).out / "report.json").read_text()
        assert one.replace(str(settings.out), "") == other.replace(str(again), "")


def test_an_earlier_evaluation_leaves_nothing_behind(settings: EvalSettings, wide_bins: None) -> None:
    out = evaluate(replace(settings, bootstrap=0, exact_pairs=0, keep_scores="all", figures="png,pdf")).out
    theirs = ["U-M/00000.csv", "U-M/00007.parquet", "notes.txt", "tables/mine.csv"]
    for name in theirs:
        (out / name).write_text("of somebody else")
    evaluate(replace(settings, bootstrap=0, scenario="U-U", figures="svg"))
    plots = ("det.svg", "histogram.svg", "roc.svg")
    ours = ["U-U.parquet", *CURVE_FILES, *plots, "failures.csv", "report.json", "tables.tex"]
    there = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert [name for name in there if name in theirs] == theirs
    assert [name for name in there if "/" not in name and name not in theirs] == sorted(ours)
    assert {"tables/scenarios.csv"} <= set(there)
    assert not any("by_mask" in name or name.startswith(("U-U/", "M-M/")) for name in there)
    assert json.loads((out / "report.json").read_text())["files"] == sorted(set(there) - set(theirs), key=_last)


def _last(name: str) -> tuple[bool, str]:
    return name == "report.json", name


def test_a_report_that_lists_files_of_others_deletes_none(settings: EvalSettings, tmp_path: Path) -> None:
    (settings.out / "tables").mkdir(parents=True)
    (tmp_path / "victim.csv").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/00000.parquet").write_text("x")
    (settings.out / "U-M").symlink_to(tmp_path / "elsewhere")
    listed = ["../victim.csv", str(tmp_path / "victim.csv"), "tables/../../victim.csv", "U-M/00000.parquet", 7, None]
    (settings.out / "report.json").write_text(json.dumps({"files": listed}))
    evaluate(replace(settings, bootstrap=0, scenario="U-U", breakdown=False, figures="none"))
    assert (tmp_path / "victim.csv").is_file()
    assert (tmp_path / "elsewhere/00000.parquet").is_file()


def test_the_scores_of_large_sets_are_files_of_a_folder(
    settings: EvalSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wide_bins: None
) -> None:
    monkeypatch.setattr(score_files, "GROUP", 50)
    monkeypatch.setattr(score_files, "ROWS", 4)
    monkeypatch.setattr(score_files, "SHARD", 100)
    settings = replace(settings, bootstrap=0, breakdown=False, figures="none")
    exact = evaluate(replace(settings, out=tmp_path / "exact")).out
    binned = evaluate(replace(settings, out=tmp_path / "binned", exact_pairs=0)).out
    report = evaluate(replace(settings, out=tmp_path / "all", exact_pairs=0, keep_scores="all"))
    nothing = evaluate(replace(settings, out=tmp_path / "none", keep_scores="none")).out
    for out in (binned, nothing):
        assert not list(out.rglob("*.parquet"))
    names = ["reference", "reference_picture", "probe", "probe_picture", "genuine"]
    for scenario in ("U-U", "U-M", "M-M"):
        files = sorted((report.out / scenario).iterdir())
        assert [path.name for path in files] == [f"{number:05}.parquet" for number in range(len(files))]
        parts = [pq.read_table(path).to_pylist() for path in files]
        assert len(parts) > 1
        assert max(map(len, parts)) < 100 + 2 * 50
        written = {tuple(str(row[name]) for name in names): row["score"] for part in parts for row in part}
        whole = pq.read_table(exact / f"{scenario}.parquet").to_pylist()
        assert len(written) == len(whole) == sum(map(len, parts))
        for row in whole:
            assert written[tuple(str(row[name]) for name in names)] == np.float32(row["score"])
        kinds = [row["genuine"] for part in parts for row in part]
        assert kinds == sorted(kinds, reverse=True)
        assert any(note.startswith(f"{scenario}/ holds {len(whole):,} scores in ") for note in report.notes)


def test_scores_that_do_not_fit_the_disk_are_one_sentence(
    settings: EvalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, bootstrap=0, breakdown=False, figures="none", exact_pairs=0, keep_scores="all")
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
        with pytest.raises(MaskgenError, match=r"scores of U-U can take .* kB, and 100 bytes are free; give another"):
            evaluate(settings)
    assert not list(settings.out.iterdir())

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(MaskgenError, match=r"cannot write .*U-U \(No space left on device\); make room"):
        evaluate(settings)
    assert not list(settings.out.iterdir())


def test_a_report_is_drawn_from_its_files_or_its_scores(settings: EvalSettings, tmp_path: Path) -> None:
    report = evaluate(replace(settings, breakdown=False, bootstrap=100))
    drawn = mfr_train.plot_det(report)
    drawn.savefig(tmp_path / "again.svg", metadata={"Date": None})
    lines = {line.get_label(): line.get_data() for line in drawn.axes[0].get_lines()}
    assert len(drawn.axes[0].collections) == 3, "each scenario has its band"
    for name in CURVE_FILES:
        (report.out / name).unlink()
    for line in mfr_train.plot_det(report).axes[0].get_lines():
        if line.get_label() in ("U-U", "U-M", "M-M"):
            np.testing.assert_array_equal(line.get_data(), lines[line.get_label()])
    assert len(mfr_train.plot_scores(report, "U-M").axes) == 1
    [axes] = mfr_train.plot_roc({"here": report, "there": ([0.5, 0.75], [0.25])}, "M-M").axes
    assert {line.get_label() for line in axes.get_lines()} >= {"here, M-M", "there"}
    with pytest.raises(UsageError, match="nothing to draw of X-X"):
        mfr_train.plot_roc(report, "X-X")
    (report.out / "U-M.parquet").write_text("no scores")
    with pytest.raises(MaskgenError, match="has neither curves nor the scores of U-M; measure again"):
        mfr_train.plot_scores(report)


def test_tables_are_also_written_from_python(settings: EvalSettings, tmp_path: Path) -> None:
    report = evaluate(replace(settings, bootstrap=100, figures="none", scenario="M-M"))
    made = report.to_csv(tmp_path / "new/tables")
    assert {path.name: path.read_bytes() for path in made} == {
        path.name: path.read_bytes() for path in (report.out / "tables").iterdir()
    }
    assert report.to_latex() == (report.out / "tables.tex").read_text(encoding="utf-8")
    with (report.out / "tables/scenarios.csv").open(newline="") as file:
        for line, row in zip(csv.DictReader(file), report.rows, strict=True):
            assert float(line["eer"]) == row.eer.value
            assert (float(line["eer_low"]), float(line["eer_high"])) == row.eer.interval
            assert ("fmr100" in line["few_errors"].split()) == row.fmr100.few_errors
    (tmp_path / "file").write_text("")
    with pytest.raises(MaskgenError, match="give another folder"):
        report.to_csv(tmp_path / "file")


def test_the_table_marks_figures_with_few_errors(settings: EvalSettings) -> None:
    report = evaluate(replace(settings, breakdown=False))
    text = report_text(report)
    assert "fewer than 30 expected errors" in text
    row = report.rows[0]
    assert f"{100 * row.figures.fmr100.fnmr:.2f}*" in text
    auc = [line.split()[-3] for line in text.splitlines() if line.startswith("  95 %")]
    assert auc[:2] == [f"{end:.4f}" for end in row.intervals.intervals["auc"]]


@pytest.mark.parametrize(
    ("count", "text"),
    [(99_999, "99999"), (100_000, "100k"), (999_500, "1M"), (1_234_567, "1.23M"), (99_960_000, "100M")],
)
def test_counts_have_five_characters_at_most(count: int, text: str) -> None:
    assert table_formats.short(count) == text


def test_the_widest_table_fits_80_columns(settings: EvalSettings) -> None:
    there = evaluate(replace(settings, breakdown=False)).rows[0].intervals
    assert there is not None
    report = evaluate(replace(settings, bootstrap=0))
    one = metrics.Point(0.5, 0.0, 1.0)
    figures = replace(
        report.rows[0].figures, genuine=99_999, impostor=1_234_567_890, fmr100=one, fmr10=one, gmean=-0.1, imean=-0.1,
        eer=metrics.EqualError(1.0, 1.0, 1.0, 0.5),
    )  # fmt: skip
    few = {"fmr100": 1.0, "fmr10": 1.0, "eer": 1.0}
    wide = [replace(row, figures=figures, few=few, intervals=there) for row in report]
    lines = report_text(replace(report, rows=wide[:3], breakdown=wide[3:])).splitlines()
    tables = [line for line in lines[2:] if not line.endswith((".", ":"))]
    assert any(line.startswith("round_medium   100.00*") for line in tables)
    assert max(map(len, tables)) == 80
    intervals = replace(there, intervals=dict.fromkeys(there.intervals, (0.98765, 1.0)))
    short = short_text(replace(report, rows=[replace(row, intervals=intervals) for row in wide[:3]])).splitlines()
    assert short[3].split() == ["U-U", *["100.0*", "[98.77,", "100.0]"] * 3]
    assert max(map(len, short[2:6])) <= 80


def test_the_short_table_has_a_line_for_each_scenario(settings: EvalSettings) -> None:
    report = evaluate(replace(settings, breakdown=False))
    lines = short_text(report).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == ["scenario", "U-U", "U-M", "M-M"]
    for line, row in zip(lines[3:6], report.rows, strict=True):
        values = [text.strip("*[],") for text in line.split()[1:]]
        expected = [
            number for each in (row.eer, row.fmr100, row.fmr10) for number in (each.value, *(each.interval or ()))
        ]
        assert values == [f"{100 * number:.2f}".replace("100.00", "100.0") for number in expected]


def test_single_photographs_are_counted(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(tree, source)
    for path in sorted(source.glob("*/*.jpg")):
        if path.parent.name in ("ann", "bob", "cyd", "dee") and not path.name.startswith("0005"):
            path.unlink()
    out = make(source, tmp_path / "singles", test_identities=1)
    report = evaluate(replace(settings, data=str(out), bootstrap=0, breakdown=False))
    assert report.notes == ["4 of 5 identities have only one photograph, which is compared in impostor pairs alone."]
    assert report.rows[0].figures.genuine == 15


def test_a_data_set_without_the_split_is_one_sentence(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    out = make(tree, tmp_path / "untested", test_identities=0, limit=10)
    with pytest.raises(MaskgenError, match="no photographs in test; build it with --test-identities"):
        evaluate(replace(settings, data=str(out)))


def test_one_identity_has_no_impostors(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(tree / "eva", tmp_path / "source" / "eva")
    out = make(tmp_path / "source", tmp_path / "one", test_identities=1)
    with pytest.raises(MaskgenError, match="has one identity, eva, and so no impostor pairs"):
        evaluate(replace(settings, data=str(out)))


def test_one_photograph_of_each_has_no_genuine_pairs(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("dee", "eva"):
        (tmp_path / "source" / name).mkdir(parents=True)
        shutil.copy(tree / name / "0001_01.jpg", tmp_path / "source" / name)
    out = make(tmp_path / "source", tmp_path / "each", test_identities=1)
    with pytest.raises(MaskgenError, match=r"U-U on .*no genuine scores"):
        evaluate(replace(settings, data=str(out)))


def test_no_data_set_is_one_sentence(settings: EvalSettings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no data set"):
        evaluate(replace(settings, data=str(tmp_path / "none")))


def test_a_damaged_shard_is_named(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(people, copy)
    shard = sorted(copy.glob("test/*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:200])
    with pytest.raises(MaskgenError, match=r"test/00000\.parquet.*maskgen verify"):
        evaluate(replace(settings, data=str(copy)))


def protocol(folder: Path, people: Path, masked_references: bool) -> Path:
    """Two days of the test identities as a protocol table: references of the first photographs, probes of the rest."""
    lines = []
    for row in maskgen.open(people).rows("test"):
        role = "reference" if row.source.split("/")[1] < "0004" else "probe"
        for masked, name in ((0, "unmasked"), (1, "wide_low")):
            if masked and role == "reference" and not masked_references:
                continue
            path = folder / f"{row.key}-{name}.jpg"
            path.write_bytes(row.jpeg(name))
            lines.append((row.identity, role, masked, path.name))
    with (folder / "protocol.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject", "role", "masked", "path"), *lines])
    return folder / "protocol.csv"


def test_a_protocol_table_is_measured_as_it_says(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, people, masked_references=True)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    report = evaluate(replace(settings, protocol=table, bootstrap=0))
    assert [row.scenario for row in report.rows] == ["U-U", "U-M", "M-M"]
    for row, (left, right) in zip(report.rows, (("0", "0"), ("0", "1"), ("1", "1")), strict=True):
        references = [r for r in rows if (r["role"], r["masked"]) == ("reference", left)]
        probes = [r for r in rows if (r["role"], r["masked"]) == ("probe", right)]
        sides: tuple[list[float], list[float]] = ([], [])
        for reference in references:
            for probe in probes:
                a, b = (
                    pixels(cv2.imread(str(tmp_path / r["path"]), cv2.IMREAD_COLOR_RGB)).astype(float)
                    for r in (reference, probe)
                )
                score = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                sides[reference["subject"] != probe["subject"]].append(float(score))
        expected = metrics.figures_of(from_scores(*sides))
        assert (row.figures.genuine, row.figures.impostor) == (expected.genuine, expected.impostor)
        assert row.figures.auc == pytest.approx(expected.auc, abs=1e-3)
        assert row.figures.gmean == pytest.approx(expected.gmean, abs=1e-5)


def test_a_protocol_without_masked_references_leaves_mm_out(
    settings: EvalSettings, people: Path, tmp_path: Path
) -> None:
    chosen = replace(settings, protocol=protocol(tmp_path, people, masked_references=False), bootstrap=0)
    report = evaluate(chosen)
    assert [row.scenario for row in report.rows] == ["U-U", "U-M"]
    assert any("no pictures for M-M" in note for note in report.notes)
    with pytest.raises(UsageError, match="no pictures for M-M"):
        evaluate(replace(chosen, scenario="M-M"))


def test_further_columns_of_a_protocol_are_broken_down_with_intervals(
    settings: EvalSettings, people: Path, tmp_path: Path
) -> None:
    table = protocol(tmp_path, people, masked_references=False)
    with table.open() as file:
        rows = list(csv.DictReader(file))
    group = dict(zip(sorted({row["subject"] for row in rows}), "xxxy", strict=True))
    days = dict(zip(sorted({row["path"][:9] for row in rows if row["role"] == "probe"}), "23" * 99, strict=False))
    for row in rows:
        row |= {"group": group[row["subject"]], "day": days.get(row["path"][:9], "1")}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    report = evaluate(replace(settings, protocol=table, scenario="U-M"))
    assert sorted(row.group for row in report.breakdown) == ["day=2", "day=3", "group=x"]
    assert any(note.startswith("U-M group=y is not measured: ") for note in report.notes), "one person, no impostors"
    whole = pq.read_table(report.out / "U-M.parquet").to_pylist()
    by_path = {row["path"]: row for row in rows}
    for found in report.breakdown:
        column, value = found.group.split("=")
        sides: tuple[list[float], list[float]] = ([], [])
        for pair in whole:
            values = [by_path[pair[side]][column] for side in ("reference", "probe")]
            if (set(values) == {value}) if column == "group" else (values[1] == value):
                sides[not pair["genuine"]].append(pair["score"])
        assert found.figures == metrics.figures_of(from_scores(*sides))
        assert found.intervals is not None
        low, high = found.intervals.intervals["gmean"]
        assert low < found.figures.gmean < high
    printed = report_text(report).splitlines()
    start = printed.index("U-M by the columns of the protocol:")
    assert [line.split()[0] for line in printed[start + 2 : start + 11 : 3]] == [row.group for row in report.breakdown]
    assert all(line.startswith("  95 % from") for line in printed[start + 3 : start + 12 : 3])
    assert evaluate(replace(settings, protocol=table, scenario="U-M", breakdown=False)).breakdown == []


def test_a_group_of_one_or_two_people_has_no_interval(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, people, masked_references=False)
    header, *lines = table.read_text().splitlines()
    names = sorted({line.split(",")[0] for line in lines})
    pair = dict(zip(names, "ppqq", strict=True))
    table.write_text("\n".join([f"{header},pair", *(f"{line},{pair[line.split(',')[0]]}" for line in lines)]))
    report = evaluate(replace(settings, protocol=table, scenario="U-U"))
    assert [(row.group, row.intervals) for row in report.breakdown] == [("pair=p", None), ("pair=q", None)]
    assert report["U-U"].intervals is not None


def test_pictures_in_both_roles_are_compared_once(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, people, masked_references=True)
    header, *lines = table.read_text().splitlines()
    once = {line.replace("reference", "probe") for line in lines}
    both = sorted({*once, *(line.replace("probe", "reference") for line in once)})
    table.write_text("\n".join([header, *both]))
    counts = np.unique([line.split(",")[0] for line in once if ",0," in line], return_counts=True)[1]
    genuine, pictures = int((counts * (counts - 1) // 2).sum()), int(counts.sum())
    every = pictures * (pictures - 1) // 2
    for exact_pairs in (10_000, 0):
        report = evaluate(replace(settings, protocol=table, bootstrap=0, exact_pairs=exact_pairs))
        found = {row.scenario: (row.figures.genuine, row.figures.impostor) for row in report.rows}
        assert found["U-U"] == found["M-M"] == (genuine, every - genuine)
    # In U-M a masked picture is another file than the unmasked one of its take, and all of them are compared.
    assert sum(found["U-M"]) == pictures * pictures


def test_detectors_find_the_faces_of_a_protocol(
    settings: EvalSettings,
    head: np.ndarray,
    landmarker: maskgen.Landmarker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe of one of two subjects wears a mask that the HOG detector does not see through."""
    model = models.chosen_model(None, None, "cpu")
    aligning = replace(model, backbone=replace(model.backbone, input_size=None))
    monkeypatch.setattr(models, "chosen_model", lambda *_: aligning)
    lines = ["subject,role,masked,path"]
    for subject, picture in (("ann", head), ("bob", cv2.flip(head, 1))):
        face = landmarker.find(picture)
        assert face is not None
        masked = maskgen.draw(picture, face.landmarks, "wide_high", (255, 255, 255))
        for role, image in (("reference", picture), ("probe", masked))[: 2 if subject == "ann" else 1]:
            path = tmp_path / f"{subject}-{role}.png"
            cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            lines.append(f"{subject},{role},{int(role == 'probe')},{path.name}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    chosen = replace(settings, protocol=tmp_path / "table.csv", bootstrap=0, scenario="U-M")
    with pytest.raises(MaskgenError, match=r"none of the 1 masked probes can be used \(1 no_face\); --detector"):
        evaluate(chosen)
    report = evaluate(replace(chosen, detector="hog,cnn"))
    assert report.failures == {}
    assert (report.rows[-1].figures.genuine, report.rows[-1].figures.impostor) == (1, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"face": "largest"}, "--face and --detector find faces in pictures of --protocol"),
        ({"detector": "hog,cnn"}, "--face and --detector find faces in pictures of --protocol"),
        ({"detector": "yunet"}, "--detector yunet needs the model's ONNX file"),
        ({"detector": "boxes"}, "--detector has no 'boxes'; choose from hog, cnn, yunet"),
    ],
)
def test_detectors_that_cannot_be_used_are_named(settings: EvalSettings, given: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        evaluate(replace(settings, **given))


def test_unusable_pictures_of_a_protocol_are_failures(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, people, masked_references=True)
    whole = evaluate(replace(settings, protocol=table, bootstrap=0)).rows[0].figures
    victim = sorted(tmp_path.glob("*-unmasked.jpg"))[0]
    victim.write_bytes(b"no picture\n")
    pictures = len(list(tmp_path.glob("*.jpg")))
    report = evaluate(replace(settings, protocol=table, bootstrap=0))
    assert report.failures == {"not_an_image": 1}
    assert report.photographs == pictures - 1, "as in a data set, whose rejects are not among its photographs"
    found = report.rows[0].figures
    assert found.genuine + found.impostor < whole.genuine + whole.impostor
    victim.unlink()
    told: list[int] = []
    with pytest.raises(UsageError, match=r"cannot read .*unmasked\.jpg of the protocol table: there is no such file"):
        evaluate(replace(settings, protocol=table), told.append)
    assert told == [], "before anything is embedded"


def test_a_subject_without_a_usable_picture_is_no_subject(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    table = protocol(tmp_path, people, masked_references=True)
    expected = evaluate(replace(settings, protocol=table)).rows
    (tmp_path / "bad.jpg").write_bytes(b"no picture\n")
    with table.open("a") as file:
        file.write("zoe,probe,0,bad.jpg\n")
    report = evaluate(replace(settings, protocol=table))
    assert (report.subjects, report.failures) == (4, {"not_an_image": 1})
    assert [row.intervals for row in report.rows] == [row.intervals for row in expected]


def test_a_protocol_table_may_name_pictures_anywhere(settings: EvalSettings, people: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    table = protocol(tmp_path / "pictures", people, masked_references=False)
    with table.open() as file:
        lines = list(csv.reader(file))
    elsewhere = tmp_path / "tables/own.csv"
    elsewhere.parent.mkdir()
    absolute = [str(tmp_path / "pictures" / line[3]) for line in lines[1:]]
    with elsewhere.open("w", newline="") as file:
        csv.writer(file).writerows([lines[0], *([*line[:3], p] for line, p in zip(lines[1:], absolute, strict=True))])
    report = evaluate(replace(settings, protocol=elsewhere, bootstrap=0))
    pairs = pq.read_table(report.out / "U-M.parquet").to_pydict()
    assert set(pairs["reference"]) | set(pairs["probe"]) <= set(absolute)
    assert (set(pairs["reference_picture"]), set(pairs["probe_picture"])) == ({"unmasked"}, {"masked"})


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"scenario": "U-U"}, 1),
        ({"scenario": "U-U", "breakdown": False}, 1),
        ({"scenario": "M-M", "breakdown": False}, 2),  # one mask of each photograph
        ({}, 7),
    ],
)
def test_the_pictures_that_are_announced_are_those_embedded(
    settings: EvalSettings, given: dict, names: int, people: Path
) -> None:
    done: list[int] = []
    planned: list[int] = []
    settings = replace(settings, bootstrap=0, **given)
    evaluate(settings, done.append, planned.append)
    assert planned == [sum(done)] == [names * maskgen.open(people).count("test")]
    evaluate(settings, done.append, planned.append)
    assert planned[1:] == [0], "they are all in the cache"


def test_an_evaluation_that_fails_leaves_the_earlier_one(
    settings: EvalSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, bootstrap=0, breakdown=False)
    out = evaluate(settings).out

    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    before = everything()

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((outputs, "write_report"), (feature_cache, "_pieces")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                evaluate(replace(settings, seed=1, cache=settings.cache / name))
        assert everything() == before


def test_by_default_each_model_and_data_set_has_its_own_folder(
    settings: EvalSettings, people: Path, tree: Path, make: Callable[..., Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    make(tree, tmp_path / "other/smfd", test_identities=0.6, variants="wide_low")
    (tmp_path / "table").mkdir()
    table = protocol(tmp_path / "table", people, masked_references=False)
    settings = replace(settings, out=None, bootstrap=0, breakdown=False, scenario="U-U")
    made = [
        evaluate(changed).out
        for changed in (settings, replace(settings, data="other/smfd"), replace(settings, protocol=table))
    ]
    assert [str(path)[: path.as_posix().rindex("-")] for path in made] == [
        "runs/eval/pixels-smfd-U-U", "runs/eval/pixels-smfd-U-U", "runs/eval/pixels-protocol-U-U",
    ]  # fmt: skip
    assert len(set(made)) == 3
    other = replace(
        models.chosen_model(None, None, "cpu"), weight=np.eye(SIDE * SIDE, dtype=np.float32), bias=np.zeros(SIDE * SIDE)
    )
    monkeypatch.setattr(models, "chosen_model", lambda *_: other)
    assert evaluate(settings).out not in made


def test_what_is_known_of_the_model_is_a_note(settings: EvalSettings, people: Path, monkeypatch: pytest.MonkeyPatch):
    settings = replace(settings, bootstrap=0, breakdown=False, scenario="U-U")
    plain = models.chosen_model(None, None, "cpu")
    assert evaluate(replace(settings, split="test")).notes == []
    known = sorted({row.identity for row in maskgen.open(people).rows("test", images=())})[:3]
    trained = replace(plain, identities=frozenset([*known, "zoe"]), unfinished="Run x is not finished.")
    monkeypatch.setattr(models, "chosen_model", lambda *_: trained)
    report = evaluate(settings)
    assert report.notes == [
        "Run x is not finished.",
        "3 of 4 identities have names that the model was trained on: if they are the same people, this measures what "
        "was memorised in training.",
    ]
    assert all(note in report_text(report) for note in report.notes)
    assert json.loads((report.out / "report.json").read_bytes())["notes"] == report.notes


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("scenario", "M-U", "--scenario"),
        ("bootstrap", -1, "--bootstrap"),
        ("bootstrap", 99, "99; give at least 100, or 0"),
        ("fmr", "0.1,2", "--fmr has '2'; give shares between 0 and 1"),
        ("score", "l2", "--score"),
    ],
)
def test_wrong_settings_are_usage_errors(settings: EvalSettings, field: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(replace(settings, **{field: value}))
