"""`mfr table`: which reports are one line, and what its numbers are."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import mfr_train
from mfr_train.cli.main import mfr
from mfr_train.comparison import side_by_side


def report(folder: Path, name: str, draw: int = 0, noise: float = 1.0, run: Path | None = None, **changed: Any) -> Path:
    """A report of an evaluation of random embeddings, which says that it measured a run."""
    chance = np.random.default_rng(draw)
    subject = np.repeat(np.arange(12), 6)
    embedding = np.repeat(chance.normal(size=(12, 8)), 6, axis=0) + noise * chance.normal(size=(72, 8))
    file = folder / f"{name}.npz"
    image = [f"{number // 2}" for number in range(72)]
    np.savez(file, subject=subject, masked=np.arange(72) % 2, image=image, embedding=embedding)
    made = mfr_train.evaluate(embeddings=file, bootstrap=100, figures="none", keep_scores="none", out=folder / name)
    facts = json.loads((folder / name / "report.json").read_bytes())
    settings = {**facts["settings"], "embeddings": None, "run": str(run) if run else None, **changed}
    facts = {**facts, "settings": settings, "data": {**facts["data"], "name": "smfd"}}
    (folder / name / "report.json").write_text(json.dumps(facts))
    return made.out


def trained(folder: Path, **settings: Any) -> Path:
    """The folder of a run, as far as its settings are read."""
    folder.mkdir()
    made = {"seed": 0, "recipe": "small", "mse-weight": 30.0, "workers": 0, **settings}
    (folder / "settings.json").write_text(json.dumps({"dataset": "d" * 64, "settings": made}))
    return folder


def test_seeds_of_a_training_are_their_mean_and_range(tmp_path: Path, undrawn: object) -> None:
    folders = [
        report(tmp_path, f"tl-seed{seed}", seed, 1.5, trained(tmp_path / f"run{seed}", seed=seed, workers=seed))
        for seed in (0, 1, 2)
    ]
    other = report(tmp_path, "mse", 3, 1.5, trained(tmp_path / "other", **{"mse-weight": 5.0}))
    found = side_by_side.lines([*folders, other])
    assert [(line.name, len(line.reports)) for line in found] == [("tl", 3), ("mse", 1)]
    done = CliRunner().invoke(mfr, ["table", *map(str, [*folders, other]), "--out", str(tmp_path / "t")])
    assert done.exit_code == 0, done.output
    eers = [mfr_train.Report.load(folder)["U-M"].eer.value for folder in folders]
    first, second = csv.DictReader((tmp_path / "t/U-M.csv").open())
    assert (first["system"], first["seeds"], second["system"], second["seeds"]) == ("tl", "3", "mse", "1")
    assert float(first["eer"]) == pytest.approx(sum(eers) / 3)
    assert (float(first["eer_low"]), float(first["eer_high"])) == (min(eers), max(eers))
    alone = mfr_train.Report.load(other)["U-M"].eer
    assert (float(second["eer_low"]), float(second["eer_high"])) == alone.interval
    start = done.output.index("U-M, side by side:")
    line, *ends = done.output[start:].splitlines()[2:5]
    assert line.split()[:2] == ["tl", "3"]
    assert [end.split()[0] for end in ends] == ["from", "to"]
    assert f"{100 * min(eers):.2f}" in ends[0]
    assert "tl: mean and range of tl-seed0, tl-seed1, tl-seed2." in done.output
    latex = (tmp_path / "t/tables.tex").read_text()
    assert "In brackets: the range over seeds" in latex
    assert "In brackets: 95" not in latex


def test_what_differs_by_more_than_a_seed_has_a_line_of_its_own(tmp_path: Path, undrawn: object) -> None:
    first = report(tmp_path, "a", 0, run=trained(tmp_path / "1", seed=0))
    other_draws = report(tmp_path, "b", 1, run=trained(tmp_path / "2", seed=1), seed=5)
    other_split = report(tmp_path, "c", 2, run=trained(tmp_path / "3", seed=2), split="val")
    other_margin = report(tmp_path, "d", 3, run=trained(tmp_path / "4", seed=3, margin=0.5))
    stage_1 = report(tmp_path, "e", 4, run=trained(tmp_path / "5", seed=4), stage="classify")
    unknown = report(tmp_path, "f", 5, run=tmp_path / "gone")
    found = side_by_side.lines([first, other_draws, other_split, other_margin, stage_1, unknown])
    assert [[each.model for each in line.reports] for line in found] == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]


def test_runs_on_networks_that_differ_by_a_seed_are_one_line(tmp_path: Path, undrawn: object) -> None:
    folders = []
    for seed, lr in ((0, 0.1), (1, 0.1), (2, 0.5)):
        network = trained(tmp_path / f"ce{seed}", seed=seed, lr=lr)
        run = trained(tmp_path / f"tl{seed}", seed=seed, weights=str(network))
        folders.append(report(tmp_path, f"r{seed}", seed, run=run))
    assert [len(line.reports) for line in side_by_side.lines(folders)] == [2, 1]


def test_a_single_report_shows_its_own_intervals(tmp_path: Path, undrawn: object) -> None:
    folder = report(tmp_path, "a")
    [table, *_] = side_by_side.tables(side_by_side.lines([folder]))
    own = mfr_train.Report.load(folder)["U-U"]
    assert table.rows == (("a", own.fmr100, own.fmr10, own.eer, own.auc, own.gmean, own.imean),)
    assert table.ends == ("95 % from", "95 % to")
    assert dataclasses.asdict(table)["intervals"] == "lines"


def test_what_is_no_report_is_one_sentence(tmp_path: Path, undrawn: object) -> None:
    folder = report(tmp_path, "a")
    run = trained(tmp_path / "run")
    (run / "embedding.safetensors").write_bytes(b"")
    for given, said in (
        ([run], "is a run; measure it with mfr eval --run"),
        ([folder, folder], "has the same model, settings and seed as another report; give it once"),
        ([tmp_path / "none"], "cannot read the report"),
    ):
        done = CliRunner().invoke(mfr, ["table", *map(str, given)])
        assert done.exit_code == 2, done.output
        assert said in done.output
