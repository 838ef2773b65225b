"""`mfr report`: the numbers of the page are those of report.json, its slider counts as `figures()` does, it opens."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import maskgen
import mfr_train
from maskgen.errors import MaskgenError, UsageError, shown
from maskgen.inspecting.contents import contents_of
from maskgen.inspecting.sample import sample
from mfr_train.cli.main import mfr
from mfr_train.evaluation import metrics
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.report import TRAINED_ON, Report, Row
from mfr_train.reporting import (
    attention,
    caveats,
    data_card,
    differences,
    drift,
    pictures,
    provenance,
    score_arrays,
    summary,
    thresholds,
)
from mfr_train.reporting import report as report_module
from mfr_train.reporting.given import Evaluation, Given, Result, recognised
from mfr_train.reporting.report import html
from mfr_train.reporting.score_arrays import Pictured
from tests.support.browser import WIDTHS, Browser, column, overhang, screenshot, settled, tab_to, violations
from tests.support.fuzz import REPORT
from tests.support.once import once
from tests.support.pictures import leave_undrawn

PEOPLE, EACH, LENGTH = 12, 3, 12

HOSTILE = "<img src=x onerror='window.foreign = 1'>\"\u202egnp\nnext"
"""A name with markup, quotes, a turned direction of writing and a second line."""

VARIANTS = ("wide_high", "round_low")


def vendor(path: Path, noise: float, seed: int) -> Path:
    """Embeddings of the same photographs, unmasked and in two masks; more noise is a worse vendor."""
    same, own = np.random.default_rng(0), np.random.default_rng(seed)
    photographs = np.repeat(same.normal(size=(PEOPLE, LENGTH)), EACH, axis=0)
    photographs += 0.9 * same.normal(size=photographs.shape)
    rows = list(product(range(len(photographs)), ("", *VARIANTS)))
    np.savez(
        path,
        subject=[HOSTILE if number < EACH else f"p{number // EACH}" for number, _ in rows],
        masked=[int(bool(variant)) for _, variant in rows],
        variant=[variant for _, variant in rows],
        image=[f"{number:03}.jpg" for number, _ in rows],
        embedding=[
            photographs[number] + (noise + 0.6 * bool(variant)) * own.normal(size=LENGTH) for number, variant in rows
        ],
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations, their comparison, an ablation, an explanation and a run. Tests only read them."""
    return once(tmp_path_factory, "results", _write_results)


def _write_results(made: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        leave_undrawn(patch)
        for name, noise, seed in (("good", 0.2, 1), ("worse", 0.8, 2)):
            file = vendor(made / f"{name}.npz", noise, seed)
            mfr_train.evaluate(embeddings=file, bootstrap=100, scenario="identify", out=made / name, figures="none")
        mfr_train.compare(made / "good", made / "worse", figure="eer", bootstrap=300, out=made / "cmp", figures="none")
    _write_ablation(made / "abl")
    _write_explanation(made / "exp")
    _write_run(made / "run")


def _write_ablation(folder: Path) -> None:
    folder.mkdir()
    figures = {
        name: {"mean": value, "interval": [value - 0.01, value + 0.01], "runs": [value - 0.005, value + 0.005]}
        for name, value in (("eer", 0.11), ("fmr100", 0.37), ("auc", 0.91))
    }
    facts = {
        "settings": {"figure": "fmr100"},
        "subjects": 20,
        "rows": [
            {"row": name, "runs": ["a", "b"], "scenarios": {"U-M": {"figures": figures}}} for name in ("CE", "CE+TL")
        ],
        "differences": [
            {"scenario": "U-M", "system": "CE+TL", "figure": "fmr100", "value": -0.0123, "low": -0.02, "high": 0.001}
            | {"p": 0.03, "adjusted_p": 0.06}
        ],
        "conclusions": ["U-M: whether CE+TL or CE is better cannot be told."],
        "notes": [],
    }
    (folder / "ablation.json").write_text(json.dumps(facts))


def _write_explanation(folder: Path) -> None:
    folder.mkdir()
    number = {"value": 0.25, "interval": [0.2, 0.3]}
    share = {"model": "good", "picture": "masked", "versus_first": None}
    other = {"model": "other", "picture": "masked - unmasked", "value": -0.2, "interval": None}
    versus = {"versus_first": {"value": -0.03, "interval": [-0.04, 0.01]}}
    facts = {
        "data": "smfd",
        "subjects": 3,
        "photographs": 6,
        "models": [{"name": "good", "method": "gradcam", "fingerprint": "f"}],
        "shares": [
            each | {"region": region}
            for each in (share | number, other | versus)
            for region in ("in_mask", "above_eyes")
        ],
        "faithfulness": [
            {"model": "good", "curve": "deletion", "area": number, "random": number, "difference": number}
        ],
        "notes": ["Three people are few."],
    }
    (folder / "explanation.json").write_text(json.dumps(facts))
    for name in ("people", "means"):
        Image.new("RGB", (1400, 300), (90, 140, 200)).save(folder / f"{name}.png")
    Image.new("RGB", (900, 300), (200, 140, 90)).save(folder / "curves.png")


def _write_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"settings": {"recipe": "small"}}))
    lines = [f"classify,{step},{1 / step},0.1,{0.5 + step / 100}" for step in range(5, 30, 5)]
    lines += [f"embed,{step},{0.2 / step},0.01," for step in range(5, 30, 5)]
    (folder / "curve.csv").write_text("\n".join(["stage,iteration,loss,lr,val_accuracy", *lines]) + "\n")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pages of all results."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def page(folder: Path, pages: Path) -> Path:
    """The page of all of them."""
    parts = [folder / name for name in ("good", "worse", "cmp", "abl", "exp", "run")]
    return mfr_train.report(*parts, out=pages / "page.html")


class Tables(HTMLParser):
    """The tables of a page by the identifier of their place: a dictionary of (text, note, value) for each row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, list[dict[str, tuple[str, str, str | None]]]] = {}
        self.heads: list[str] = []
        self.cells: list[tuple[str, str, str | None]] = []
        self.value: str | None = None
        self.name = self.at = self.text = self.note = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if tag == "div" and (said.get("id") or "").startswith("table-"):
            self.name = str(said["id"])
            self.found[self.name] = []
        elif tag == "thead":
            self.heads = []
        elif tag == "tr":
            self.cells = []
        elif tag in ("th", "td"):
            self.at, self.text, self.note, self.value = "cell", "", "", said.get("data-value")
            self.is_head = said.get("scope") == "col"
        elif tag == "small":
            self.at = "note"

    def handle_data(self, data: str) -> None:
        if self.at == "cell":
            self.text += data
        elif self.at == "note":
            self.note += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "small":
            self.at = "cell"
        elif tag in ("th", "td"):
            self.at = ""
            if self.is_head:
                self.heads.append(self.text.strip())
            else:
                self.cells.append((self.text.strip(), self.note.strip(), self.value))
        elif tag == "tr" and self.cells and self.name:
            self.found[self.name].append(dict(zip(self.heads, self.cells, strict=True)))
        elif tag == "table":
            self.name = ""


@pytest.fixture(scope="module")
def tables(page: Path) -> dict[str, list[dict[str, tuple[str, str, str | None]]]]:
    return Tables(page.read_text()).found


def facts_of(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name / "report.json").read_text())


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def check(cell: tuple[str, str, str | None], value: float, ends: list[float] | None, scale: float, digits: int) -> None:
    """A cell shows a number of report.json and its interval, and is sorted by the number."""
    text, note, sorted_by = cell
    assert text.rstrip("*") == f"{scale * value:.{digits}f}"
    assert note == ("" if ends is None else f"[{scale * ends[0]:.{digits}f}, {scale * ends[1]:.{digits}f}]")
    assert float(sorted_by) == pytest.approx(scale * value, rel=1e-12)


def test_the_figures_are_those_of_report_json(folder: Path, tables: dict[str, Any]) -> None:
    lines = {(row["scenario"][0], row["model"][0]): row for row in tables["table-scenarios"]}
    assert len(lines) == len(tables["table-scenarios"]) == 6
    for name in ("good", "worse"):
        for row in facts_of(folder, name)["scenarios"]:
            line, figures, ends = lines[row["scenario"], name], row["figures"], row["intervals"]["intervals"]
            for head, value, key in (
                ("FMR100 %", figures["fmr100"]["fnmr"], "fmr100"),
                ("FMR10 %", figures["fmr10"]["fnmr"], "fmr10"),
                ("EER %", figures["eer"]["eer"], "eer"),
            ):
                check(line[head], value, ends.get(key), 100, 2)
                assert line[head][0].endswith("*") == (key in row["fewer_than_30_errors"])
            for head, key, digits in (
                ("AUC", "auc", 4),
                ("GMean", "gmean", 4),
                ("IMean", "imean", 4),
                ("d′", "d_prime", 3),
            ):
                check(line[head], figures[key], ends.get(key), 1, digits)
            assert line["Ng"][0] == f"{figures['genuine']:,.0f}"
            assert line["Ni"][0] == f"{figures['impostor']:,.0f}"


def test_operating_points_and_drift_are_those_of_report_json(folder: Path, tables: dict[str, Any]) -> None:
    points = {(r["scenario"][0], r["model"][0], r["FAR below %"][0]): r for r in tables["table-points"]}
    drift = {(r["scenario"][0], r["model"][0], r["fixed at U-U FMR below %"][0]): r for r in tables["table-drift"]}
    assert len(points) == 12
    assert len(drift) == 8
    for name in ("good", "worse"):
        for row in facts_of(folder, name)["scenarios"]:
            for point in row["operating_points"].values():
                line = points[row["scenario"], name, f"{100 * point['limit']:g}"]
                assert line["TAR %"][0].rstrip("*") == f"{100 * point['tar']:.2f}"
                assert line["threshold"][0] == f"{point['threshold']:.4f}"
            ends = row["intervals"]["intervals"]
            for key, point in row["at_thresholds_of_uu"].items():
                line = drift[row["scenario"], name, {"fnmr_at_uu_fmr100": "1", "fnmr_at_uu_fmr10": "10"}[key]]
                check(line["FNMR %"], point["fnmr"], ends.get(key), 100, 2)
                check(line["FMR %"], point["fmr"], ends.get(key.replace("fnmr_at", "fmr_at")), 100, 3)


def test_the_heat_map_and_the_searches_are_those_of_report_json(folder: Path, tables: dict[str, Any]) -> None:
    shown = {row["group"][0]: row for row in tables["table-heat-eer"]}
    for name in ("good", "worse"):
        facts = facts_of(folder, name)
        assert {row["group"].replace("_", ", ") for row in facts["breakdown"]} == set(shown)
        for row in facts["breakdown"]:
            cell = shown[row["group"].replace("_", ", ")][f"{row['scenario']}, {name}"]
            check(cell, row["figures"]["eer"]["eer"], row["intervals"]["intervals"]["eer"], 100, 2)
        for its in facts["identification"]:
            line = next(
                row
                for row in tables["table-identification"]
                if (row["scenario"][0], row["model"][0]) == (its["scenario"], name)
            )
            check(line["rank 5 %"], its["cmc"][4], its["cmc_intervals"][4], 100, 2)
            assert line["probes"][0] == f"{its['probes']:,}"


def test_the_slider_counts_as_figures_does(folder: Path, page: Path) -> None:
    sliders = {slider["name"]: slider for slider in data_of(page.read_text())["scores"]}
    for name in ("good", "worse"):
        slider, report = sliders[name], Report.load(folder / name)
        places = dict(slider["named"])
        for its in slider["scenarios"]:
            table = pq.read_table(folder / name / f"{its['name']}.parquet", columns=["score", "genuine"])
            scores, genuine = table["score"].to_numpy(), table["genuine"].to_numpy()
            found = mfr_train.figures(scores[genuine], scores[~genuine])
            for label, point in (("FMR below 1 %", found.fmr100), ("FMR below 10 %", found.fmr10)):
                place = places[f"{its['name']}, {label}"]
                assert slider["stops"][place] == point.threshold
                assert its["accepted"][place] / its["impostor"] == point.fmr
                assert its["rejected"][place] / its["genuine"] == point.fnmr
            place = places[f"{its['name']}, equal error rate"]
            rates = its["accepted"][place] / its["impostor"], its["rejected"][place] / its["genuine"]
            assert sum(rates) / 2 == pytest.approx(report[its["name"]].eer.value, abs=1e-12)
            for place in (0, 1, 100, len(slider["stops"]) - 1):
                threshold = slider["stops"][place]
                assert its["accepted"][place] == (scores[~genuine] >= threshold).sum()
                assert its["rejected"][place] == (scores[genuine] < threshold).sum()
            assert [sum(bars) for bars in its["bars"]] == [genuine.sum(), (~genuine).sum()]


def test_without_scores_the_slider_stops_at_the_bars(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "good", tmp_path / "good")
    for file in (tmp_path / "good").glob("*.parquet"):
        file.unlink()
    text = html(recognised([tmp_path / "good"]))
    [slider] = data_of(text)["scores"]
    for its in slider["scenarios"]:
        table = pq.read_table(folder / "good" / f"{its['name']}.parquet", columns=["score", "genuine"])
        counts = from_scores(
            *(table["score"].to_numpy()[table["genuine"].to_numpy() == kind] for kind in (True, False))
        )
        for place in range(0, len(slider["stops"]), 7):
            threshold = slider["stops"][place]
            assert its["accepted"][place] / its["impostor"] == metrics.fmr_at_threshold(counts, threshold)
            assert its["rejected"][place] / its["genuine"] == metrics.fnmr_at_threshold(counts, threshold)
    assert "The scores were not kept" in text
    assert "The hardest pairs by name" not in text


def test_a_report_of_an_older_version_is_shown(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "good", tmp_path / "old")
    facts = facts_of(folder, "good")
    for name in ("date", "versions", "identification"):
        facts.pop(name, None)
    for row in [*facts["scenarios"], *facts["breakdown"]]:
        for name in ("operating_points", "lost_genuine"):
            row.pop(name)
        for name in ("fmr1000", "zero_fmr", "gstd", "istd", "d_prime"):
            row["figures"].pop(name)
    (tmp_path / "old" / "report.json").write_text(json.dumps(facts))
    for name in ("curves.csv", "histogram.csv"):
        (tmp_path / "old" / name).unlink()
    for file in (tmp_path / "old").glob("*.parquet"):
        table = pq.read_table(file)
        pq.write_table(table.drop_columns(["reference_subject", "probe_subject"]), file)
    text = html(recognised([tmp_path / "old"]))
    assert "of an older version, which did not count the genuine pairs that failures prevented" in text
    data = data_of(text)
    assert [len(panel["lines"]) for panel in data["curves"]] == [3]  # of the scores, without bands
    assert data["curves"][0]["lines"][0]["low"] is None
    assert Tables(text).found["table-scenarios"][0]["d′"] == ("", "", None)


def test_one_scenario_is_shown(folder: Path, tmp_path: Path) -> None:
    facts = facts_of(folder, "good")
    facts["scenarios"] = [row for row in facts["scenarios"] if row["scenario"] == "M-M"]
    facts["breakdown"], facts["identification"] = [], []
    (tmp_path / "report.json").write_text(json.dumps(facts))
    text = html(recognised([tmp_path]))
    assert len(Tables(text).found["table-scenarios"]) == 1
    assert "Comparing masked faces with each other (M-M), good rejects" in text
    assert 'id="breakdown"' not in text


def test_names_of_strangers_stay_text(page: Path) -> None:
    text = page.read_text()
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "&lt;img src=x onerror=" in text


@pytest.fixture(scope="module")
def elsewhere(folder: Path, pages: Path) -> tuple[bytes, str]:
    """The page as another process makes it, whose sets have another order; and the heavy modules that it loads."""
    program = (
        "import sys; from mfr_train.cli.main import mfr; mfr(['report', '--help'], standalone_mode=False); "
        "mfr(sys.argv[1:], standalone_mode=False); "
        "print('loaded', *{'torch', 'torchvision', 'safetensors', 'matplotlib', 'dlib'} & sys.modules.keys())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    out = pages / "elsewhere.html"
    parts = [str(folder / name) for name in ("good", "worse", "cmp", "abl", "exp", "run")]
    command = [sys.executable, "-c", program, "report", *parts, "-o", str(out)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
    )
    return out.read_bytes(), done.stdout.splitlines()[-1]


def test_the_same_folders_give_the_same_bytes(page: Path, elsewhere: tuple[bytes, str]) -> None:
    assert elsewhere[0] == page.read_bytes()


def test_a_page_needs_no_pytorch(elsewhere: tuple[bytes, str]) -> None:
    assert elsewhere[1] == "loaded"


def test_the_name_of_a_model_stays_text(folder: Path, tmp_path: Path) -> None:
    facts = facts_of(folder, "good")
    facts["model"]["name"] = HOSTILE
    (tmp_path / "report.json").write_text(json.dumps(facts))
    text = html(recognised([tmp_path]))
    assert "<img src=x" not in text
    assert "\u202e" not in text
    title = unescape(text.partition("<title>")[2].partition("</title>")[0])
    assert title == f"{shown(HOSTILE)[:29]}… on given embeddings"
    assert {row["model"][0] for row in Tables(text).found["table-scenarios"]} == {shown(HOSTILE)}
    assert data_of(text)["drift"][0]["name"] == shown(HOSTILE)


def test_the_scores_of_one_evaluation_are_held_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, alive, most = score_arrays.scores_of, 0, []

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def counted(report: Report) -> Any:
        nonlocal alive
        found = read(report)
        for arrays in found.values():
            weakref.finalize(arrays, gone)
        alive += len(found)
        most.append(alive)
        return found

    monkeypatch.setattr(report_module, "scores_of", counted)
    html(recognised([folder / "good", folder / "worse"]))
    assert most == [3, 3]  # scenarios


def test_rates_of_0_of_all_scenarios_have_one_place() -> None:
    points = [
        {"fmr": rate, "impostor": pairs, "fnmr": 0.5, "genuine": 10}
        for rate, pairs in ((0, 100), (0, 1000), (0.01, 100))
    ]
    assert drift._place(points, "y", "fnmr", "genuine") is None
    assert [point["y"] for point in points] == [0, 0, 0]
    # One error among the most pairs is a rate of 0.001, whose deviate is -3.0902.
    assert drift._place(points, "x", "fmr", "impostor") == pytest.approx(-3.0902 - drift.GAP)
    assert [point["x"] for point in points] == pytest.approx([-3.0902 - drift.GAP] * 2 + [-2.3263])


def test_an_explanation_shows_shares_differences_and_curves(folder: Path, page: Path) -> None:
    [found] = attention.attention(recognised([folder / "exp"]).explanations, True)
    shares, versus = found.shares
    assert [[cell.text for cell in row] for row in shares.cells] == [
        ["good", "masked", "25.0", "25.0"], ["other", "masked - unmasked".replace("-", "−"), "-20.0", "-20.0"],
    ]  # fmt: skip
    assert [[cell.text + cell.note for cell in row] for row in versus.cells] == [
        ["other", "masked - unmasked".replace("-", "−"), "-3.0[-4.0, +1.0]", "-3.0[-4.0, +1.0]"],
    ]
    assert versus.caption == "Shares minus those of good, photograph by photograph"
    assert found.faithfulness is not None
    assert [cell.text for cell in found.faithfulness.cells[0]] == ["good", "deletion", "0.250", "0.250", "+0.250"]
    # 1,400 and 900 pixels at 300 to the inch, 1.6 times as large on a page of 96 to the inch.
    assert [plot.width for plot in (*found.faces, found.curves) if plot] == [717, 717, 461]


def test_without_pictures_no_face_is_in_the_page(folder: Path, page: Path) -> None:
    assert page.read_text().count("data:image/jpeg") == 3  # of the explanation
    without = html(recognised([folder / "exp", folder / "good"]), with_pictures=False)
    assert without.count("data:image/jpeg") == 1  # the curves of deletion and insertion


def test_ten_thousand_people_fit(folder: Path, tmp_path: Path) -> None:
    """The page of many people and pairs is small: nothing in it grows with their number."""
    shutil.copytree(folder / "good", tmp_path / "many")
    facts = facts_of(folder, "good")
    facts["data"] |= {"subjects": 10_000, "photographs": 30_000}
    draw, pairs = np.random.default_rng(0), 60_000
    facts["scenarios"] = facts["scenarios"][:1]
    for row in facts["scenarios"]:
        file = tmp_path / "many" / f"{row['scenario']}.parquet"
        schema = pq.read_schema(file).remove_metadata()
        genuine = np.arange(pairs) < 20_000
        people = draw.integers(0, 10_000, pairs)
        names = {"reference": people, "probe": people[::-1], "reference_subject": people, "probe_subject": people[::-1]}
        columns = {
            name: genuine if name == "genuine" else draw.normal(0.5 * genuine, 0.2) if name == "score"
            else np.char.mod("%d", names[name]) if name in names else np.full(pairs, "unmasked")
            for name in schema.names
        }  # fmt: skip
        pq.write_table(pa.table(columns), file)
        row["figures"] |= {"genuine": 20_000.0, "impostor": pairs - 20_000.0}
    (tmp_path / "many" / "report.json").write_text(json.dumps(facts))
    assert mfr_train.report(tmp_path / "many", out=tmp_path / "page.html").stat().st_size < 1_500_000


def test_a_threshold_of_zero_is_one_that_the_slider_stops_at() -> None:
    """The lowest threshold with FMR below 10 % is 0: eleven impostor scores lie below, none above."""
    counted = from_scores([0.0, 0.5], [-0.5] * 11)
    row = Row("U-U", "", metrics.figures_of(counted, (0.1,)), None, {}, {}, False)
    found = thresholds._named(Report(EvalSettings(), "m", "", "d", Path(), 11, 13, {}, [row]))
    assert ("U-U, FMR below 10 %", 0.0) in found


def test_what_is_no_result_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="other holds no result of mfr; give a folder that mfr train, eval"):
        mfr_train.report(folder / "good", tmp_path / "other", out=tmp_path / "page.html")
    with pytest.raises(UsageError, match="nowhere does not exist"):
        mfr_train.report(tmp_path / "nowhere")
    for name in ("a", "b", "c"):
        (tmp_path / "eval" / name).mkdir(parents=True)
    for name in ("a", "c"):
        shutil.copy(folder / "good" / "report.json", tmp_path / "eval" / name)
    named = f"give the folders in it: {tmp_path}/eval/a, {tmp_path}/eval/c."
    with pytest.raises(UsageError, match=re.escape(f"eval only holds folders of results; {named}")):
        mfr_train.report(tmp_path / "eval")
    with pytest.raises(UsageError, match="nothing to show"):
        mfr_train.report()
    (tmp_path / "other" / "ablation.json").write_text("{}")
    with pytest.raises(MaskgenError, match=r"ablation\.json is not as mfr writes it"):
        mfr_train.report(tmp_path / "other", out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_files_of_others_stay(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<p>mine</p>")
    with pytest.raises(UsageError, match=r"mine\.html is there and no page of mfr report"):
        mfr_train.report(folder / "good", out=tmp_path / "mine.html")
    assert (tmp_path / "mine.html").read_text() == "<p>mine</p>"
    for _ in range(2):  # a page of ours is replaced
        mfr_train.report(folder / "run", out=tmp_path / "new" / "page.html")


def test_a_run_brings_its_evaluations(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "run", tmp_path / "run")
    facts = facts_of(folder, "good")
    facts["settings"] |= {"run": str(tmp_path / "run"), "embeddings": None}
    (tmp_path / "eval" / "of-run").mkdir(parents=True)
    (tmp_path / "eval" / "of-run" / "report.json").write_text(json.dumps(facts))
    found = recognised([tmp_path / "run"])
    assert [each.name for each in found.evaluations] == ["good"]
    assert found.runs == [tmp_path / "run"]
    assert recognised([tmp_path / "eval" / "of-run"]).runs == [tmp_path / "run"]


def test_the_sentences_say_what_report_json_says(folder: Path) -> None:
    given = Given(
        [Evaluation("good", Report.load(folder / "good")), Evaluation("worse", Report.load(folder / "worse"))]
    )
    first, second, third = summary.summary(given, caveats.caveats(given, [], False), False)
    assert first == (
        f"good and worse were measured on {PEOPLE} people in {PEOPLE * EACH} photographs of given embeddings, "
        "with and without masks."
    )
    rates = []
    for name in ("good", "worse"):
        [row] = [row for row in facts_of(folder, name)["scenarios"] if row["scenario"] == "U-M"]
        low, high = row["intervals"]["intervals"]["fmr100"]
        rates.append(
            f"{100 * row['figures']['fmr100']['fnmr']:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
        )
    assert second == (
        f"Comparing masked faces with unmasked references (U-M), good rejects {rates[0]} and worse {rates[1]} of "
        "genuine pairs at a false match rate below 1 %."
    )
    assert third == f"Only {PEOPLE} people were compared: other people can give quite different figures."


def test_a_data_card_says_what_was_rejected_and_what_is_twice(
    folder: Path, built: Path, tree_rejects: dict[str, str]
) -> None:
    facts = facts_of(folder, "good")
    report = Report.load(folder / "good")
    given = Given([Evaluation("good", report)])
    dataset = maskgen.open(built)
    [card] = data_card.cards(given, {report.data: dataset})
    assert card.rejects
    assert {str(row[0]): row[1] for row in card.rejects.rows} == {
        reason: list(tree_rejects.values()).count(reason) for reason in tree_rejects.values()
    }
    assert [row[1] for row in card.splits.rows] == [dataset.count(split) for split in ("train", "val", "test")]
    assert (False, "No identity is both in training and in test, by their names.") in card.checks
    assert dict(card.facts)["people compared"] == str(facts["data"]["subjects"])


def test_a_picture_is_shown_only_of_the_person_whom_the_scores_name(folder: Path, built: Path) -> None:
    dataset = maskgen.open(built)
    show = pictures.source_of(Report.load(folder / "good"), dataset)
    assert show
    row = dataset[0]
    url = show(Pictured(row.key, "wide_high", row.identity))
    assert url.startswith("data:image/jpeg;base64,")
    assert len(url) < 8000
    assert show(Pictured(row.key, "wide_high", "another")) is None
    assert show(Pictured("999999999", "unmasked", row.identity)) is None


def test_the_part_around_a_face_is_square_and_in_the_picture() -> None:
    image = np.zeros((100, 80, 3), np.uint8)
    assert pictures.around(image, np.array([30, 40, 50, 60], np.float32)).shape == (38, 38, 3)  # 1.9 times 20
    assert pictures.around(image, np.array([-500, -500, 900, 900], np.float32)).shape == (80, 80, 3)
    assert pictures.around(image, np.array([np.nan, 0, 1, 1], np.float32)).shape == (100, 80, 3)


def test_the_command_is_the_one_that_made_it(tmp_path: Path) -> None:
    file, out = vendor(tmp_path / "good.npz", 0.2, 1), tmp_path / "good"
    mfr_train.evaluate(embeddings=file, bootstrap=0, scenario="identify", breakdown=False, out=out, figures="none")
    told = provenance.command(Report.load(out).settings)
    assert told == (
        f"mfr eval --scenario identify --embeddings {file} --bootstrap 0 --no-breakdown --figures none --out {out}"
    )


def test_the_commands_write_pages(folder: Path, tmp_path: Path, undrawn: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(mfr, ["report", str(folder / "run"), "-o", str(tmp_path / "a.html"), "--no-pictures"])
    assert said.exit_code == 0, said.output
    assert "a.html shows" in said.output
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    arguments = [
        "eval",
        "--embeddings",
        str(folder / "good.npz"),
        "--bootstrap",
        "0",
        "--no-breakdown",
        "--figures",
        "none",
    ]
    said = CliRunner().invoke(mfr, [*arguments, "--out", str(tmp_path / "eval"), "--html"])
    assert said.exit_code == 0, said.output
    assert "report.html" in said.output
    page = (tmp_path / "eval" / "report.html").read_text()
    assert Tables(page).found["table-scenarios"][0]["EER %"][1] == ""  # no intervals
    assert CliRunner().invoke(mfr, ["report", str(tmp_path)]).exit_code == 2
    again = [*arguments, "--out", str(tmp_path / "eval")]
    assert CliRunner().invoke(mfr, again).exit_code == 0
    assert not (tmp_path / "eval" / "report.html").exists()  # it was of the earlier report
    (tmp_path / "eval" / "report.html").write_text("<p>mine</p>")
    assert CliRunner().invoke(mfr, again).exit_code == 0
    assert (tmp_path / "eval" / "report.html").read_text() == "<p>mine</p>"


# What a browser does with the page.


@pytest.mark.parametrize(("width", "dark"), [(WIDTHS[0], False), (WIDTHS[1], True)], ids=["phone", "dark"])
def test_the_page_is_quiet_fits_and_is_accessible(browser: Browser, page: Path, width: int, dark: bool) -> None:
    with browser.page(page, width, dark=dark) as opened:
        charts = opened.eval_on_selector_all(".chart", "all => all.map(each => each.querySelectorAll('svg').length)")
        assert charts
        assert set(charts) == {1}
        assert overhang(opened) == []
        assert violations(opened) == []
        screenshot(opened, f"report-{width}-{'dark' if dark else 'light'}")


def test_the_keyboard_moves_the_threshold_and_sorts(browser: Browser, page: Path, folder: Path) -> None:
    slider = next(each for each in data_of(page.read_text())["scores"] if each["name"] == "good")
    start = dict(slider["named"])["U-U, FMR below 1 %"]
    with browser.page(page) as opened:
        tab_to(opened, "#scores-0 input[type=range]")
        before = opened.inner_html("#plot-scores-0 .plot")
        opened.keyboard.press("ArrowRight")
        opened.keyboard.press("ArrowRight")
        settled(opened)
        threshold = slider["stops"][start + 2]
        assert opened.get_attribute("#scores-0 input", "aria-valuetext") == f"{threshold:.4f}"
        assert opened.inner_text("#scores-0 output") == f"{threshold:.4f}"
        for place, its in enumerate(slider["scenarios"]):
            table = pq.read_table(folder / "good" / f"{its['name']}.parquet", columns=["score", "genuine"])
            counts = from_scores(
                *(table["score"].to_numpy()[table["genuine"].to_numpy() == kind] for kind in (True, False))
            )
            row = f"#scores-0 tbody tr:nth-child({place + 1})"
            assert float(opened.get_attribute(f"{row} .fmr", "data-value")) == metrics.fmr_at_threshold(
                counts, threshold
            )
            assert float(opened.get_attribute(f"{row} .fnmr", "data-value")) == metrics.fnmr_at_threshold(
                counts, threshold
            )
            assert opened.inner_text(f"{row} .fmr") == f"{100 * metrics.fmr_at_threshold(counts, threshold):.2f}"
        assert opened.inner_html("#plot-scores-0 .plot") != before
        opened.select_option("#scores-1 select", label="M-M, equal error rate")
        report = Report.load(folder / "worse")
        rates = [
            float(opened.get_attribute(f"#scores-1 tbody tr:nth-child(3) .{kind}", "data-value"))
            for kind in ("fmr", "fnmr")
        ]
        assert sum(rates) / 2 == pytest.approx(report["M-M"].eer.value, abs=1e-12)

        opened.focus("#table-scenarios th:nth-child(5) button")
        opened.keyboard.press("Enter")
        errors = [float(re.split(r"[*\[]", text)[0]) for text in column(opened, "#table-scenarios table", 4)]
        assert errors == sorted(errors)
        assert len(set(errors)) > 3
        opened.select_option("#heat-figure", "auc")
        assert [opened.is_visible(f"#heat-{name}") for name in ("eer", "auc")] == [False, True]


def test_a_print_is_not_cut_and_has_no_controls(browser: Browser, page: Path) -> None:
    sheet = 688  # pixels of A4 between the margins
    with browser.page(page, sheet, printed=True) as opened:
        opened.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert overhang(opened) == []
        ends = "all => all.map(each => each.getBoundingClientRect()).filter(box => box.width).map(box => box.right)"
        found = opened.eval_on_selector_all(".chart svg, table, img", ends)
        assert len(found) > 20
        assert max(found) <= sheet
        assert not [
            each for each in opened.query_selector_all(".contents, input, select, .screen") if each.is_visible()
        ]
        assert opened.locator("details:not([open])").count() == 0
        caption = opened.inner_text("#scores-0 caption")
        slider = next(each for each in data_of(page.read_text())["scores"] if each["name"] == "good")
        label, place = slider["named"][0]
        assert caption == f"Errors at the threshold {slider['stops'][place]:.4f} ({label})"
        sheets = re.findall(rb"/Type\s*/Page\b", opened.pdf(format="A4"))
        assert 5 < len(sheets) < 40


def test_failures_are_counted_by_reason(folder: Path, tmp_path: Path) -> None:
    facts = facts_of(folder, "good")
    facts["data"]["failures"] = {"no_face": 2}
    (tmp_path / "report.json").write_text(json.dumps(facts))
    with (tmp_path / "failures.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("photograph", "subject", "role", "masked", "variant", "reason")]
            + [(f"{HOSTILE}{number}.jpg", "p", "", "", "", "no_face") for number in range(2)]
        )
    [row] = Tables(html(recognised([tmp_path]))).found["table-failures"]
    assert (row["reason"][0], row["photographs"][0]) == ("no_face", "2")
    assert "onerror" in row["examples"][0]


def test_what_too_few_impostor_pairs_cannot_tell_is_not_shown(tmp_path: Path) -> None:
    """54 impostor pairs: FMR100 takes more than 100 of them, FMR10 more than 10."""
    figures = {"fmr100": [0.1667, 0.0024, 0.943], "fmr10": [0.05, 0.01, 0.2], "eer": [0.1, 0.05, 0.2]}
    step = {"scenario": "M-M", "system": "b", "value": 0.4167, "low": -0.1, "high": 0.7, "p": 0.2}
    facts = {
        "systems": [{"name": "a"}, {"name": "b"}],
        "scenarios": {"M-M": {"genuine": 36, "impostor": 54, "figures": {"a": figures, "b": figures}}},
        "differences": [{**step, "figure": "fmr100"}, {**step, "figure": "fmr10"}],
        "conclusions": [],
        "notes": [],
        "settings": {"figure": "fmr100"},
    }
    [found] = differences.comparisons([Result(tmp_path, facts)])
    values, steps = found.tables
    place = values.heads.index("FMR100 %")
    assert [row[place].text for row in values.cells] == ["n/a", "n/a"]
    assert [row[place + 1].text for row in values.cells] == ["5.00", "5.00"]
    assert [row[3].text for row in steps.cells] == ["n/a", "+41.67"]
    assert found.chart["points"] == []
    [fewer] = differences.comparisons([Result(tmp_path, {**facts, "settings": {"figure": "eer"}})])
    assert [point["value"] for point in fewer.chart["points"]] == [10.0, 10.0]


def test_only_pictures_of_the_table_are_shown_and_only_as_whom_it_names(tmp_path: Path) -> None:
    for name in ("in.png", "secret.png"):
        Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / name)
    (tmp_path / "table.csv").write_text("subject,role,masked,path\nann,reference,0,in.png\n")
    report = Report.load(_written(tmp_path))
    report = replace(report, settings=replace(report.settings, protocol=tmp_path / "table.csv"))
    opened = pictures.source_of(report, None)
    assert opened is not None
    assert str(opened(Pictured("in.png", "unmasked", "ann"))).startswith("data:image/jpeg;base64,")
    assert opened(Pictured("in.png", "unmasked", "")), "reports of older versions name nobody"
    assert opened(Pictured("in.png", "unmasked", "bob")) is None
    for name in ("secret.png", str(tmp_path / "secret.png"), "../secret.png"):
        assert opened(Pictured(name, "unmasked", "ann")) is None


def _written(folder: Path) -> Path:
    (folder / "report.json").write_text(REPORT)
    return folder


def test_intervals_are_promised_only_if_there_are_any(tmp_path: Path) -> None:
    """An evaluation with `--bootstrap 0` has none, and its page does not speak of brackets."""
    measured = json.loads(REPORT)
    texts = []
    for kept in (True, False):
        for row in measured["scenarios"]:
            row["intervals"] = row["intervals"] if kept else None
        (tmp_path / "report.json").write_text(json.dumps(measured))
        page = mfr_train.report(tmp_path, out=tmp_path / "page.html")
        texts.append(re.sub(r"\s+", " ", page.read_text()))
    promises = "In brackets: 95 % intervals over people", "Each scenario and model, with 95 % intervals over people"
    assert [[promise in text for promise in promises] for text in texts] == [[True, True], [False, False]]


def test_a_card_says_whether_models_were_trained_on_people_compared(tmp_path: Path) -> None:
    """By the names that a run keeps; a report on other data, or of a network that is no run, says nothing of it."""
    (tmp_path / "identities.json").write_text(json.dumps(["ann", "bob"]))
    run = EvalSettings(run=tmp_path)
    reports = {
        "apart": Report(run, "m", "", "d", Path(), 11, 13, {}, []),
        "known": Report(run, "m", "", "d", Path(), 11, 13, {}, [], notes=[f"2 of 5 identities {TRAINED_ON}"]),
        "elsewhere": Report(run, "m", "", "other", Path(), 11, 13, {}, []),
        "dlib": Report(EvalSettings(model="dlib"), "dlib", "", "d", Path(), 11, 13, {}, []),
    }
    given = Given([Evaluation(name, report) for name, report in reports.items()])
    assert data_card._trained_people("d", given) == [
        (False, "apart was trained on 2 identities; none has the name of a person compared here."),
        (True, f"known: 2 of 5 identities {TRAINED_ON}"),
    ]


def test_equal_pictures_are_counted_as_pairs(tree: Path, make: Any, tmp_path: Path) -> None:
    """A photograph that three names carry: 3 pairs."""
    src = Path(shutil.copytree(tree, tmp_path / "src"))
    same = sorted((src / "bob").iterdir())[0]
    for name in ("twin", "third"):
        (src / name).mkdir()
        shutil.copyfile(same, src / name / same.name)
    there = contents_of(maskgen.open(make(src, tmp_path / "smfd", test_identities=0.5)))
    told = data_card._pictures(sample(there, 100))
    texts = [text for found, text in told if found]
    assert any("3 pairs of photographs have identical pictures." in text for text in texts), told
    assert any("carry two names" in text and "twin" in text for text in texts), told
