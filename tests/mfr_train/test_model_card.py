"""The model card: what it says is what the run is, and a README of others stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import maskgen
import mfr_train
from mfr_train.training import model_card
from mfr_train.training.train_settings import TrainSettings

Tiny = Callable[..., TrainSettings]


def test_the_card_says_what_the_run_is(tiny: Tiny, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny(mse_weight=5.0)
    run = mfr_train.train(settings)
    card = (run.folder / "README.md").read_text()
    dataset = maskgen.open(demo)
    assert f"content `{dataset.content}`" in card
    train, val = (f"{dataset.count(split)} photographs in `{split}`" for split in ("train", "val"))
    assert f"{train} and {val}, each unmasked" in card
    assert f"Its training people are {len(dataset.info['identities'])}," in card
    assert "iBUG 300-W" in card
    last, best = run.curve.stage("embed")[-1], max(filter(None, run.curve.stage("embed").column("val_accuracy")))
    assert f"| embed | 12 | {last.loss:.4g} | {100 * best:.1f} % |" in card
    changed = [line for line in card.splitlines() if line.startswith("- `--")]
    assert changed == [
        "- `--input-size`: 32",
        "- `--batch`: 8",
        "- `--iterations`: 6",
        "- `--validate-every`: 2",
        "- `--log-every`: 1",
        "- `--triplets`: 20",
        "- `--embed-iterations`: 12",
        "- `--dim`: 16",
        "- `--mse-weight`: 5.0",
    ]
    listed = {line.split("`")[1] for line in card[card.index("## Files") :].splitlines() if line.startswith("- `")}
    assert listed == {path.name for path in run.folder.iterdir() if path.name[0] != "."} - {"README.md"}
    # The snippet runs beside the run.
    code = card[card.index("```python\n") + 10 : card.index("embeddings = ")]
    monkeypatch.chdir(run.folder.parent)
    namespace: dict = {}
    exec(code, namespace)
    assert namespace["model"].fingerprint == run.model.fingerprint


def test_a_readme_of_others_stays_and_ours_is_replaced(tiny: Tiny) -> None:
    settings = tiny(iterations=2, embed_iterations=2, figures="none")
    run = mfr_train.train(settings)
    path = run.folder / "README.md"
    ours = path.read_text()
    assert ours.startswith(model_card.MARK)
    path.write_text(ours.replace("16", "99"))
    mfr_train.train(settings)
    assert path.read_text() == ours
    path.write_text("# My notes\n")
    mfr_train.train(settings)
    assert path.read_text() == "# My notes\n"
    path.unlink()
    assert mfr_train.load_model(run.folder, device="cpu").dim == 16


def test_stage_1_of_a_run_is_measured_by_name(tiny: Tiny, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = mfr_train.train(tiny(iterations=2, figures="none"))
    monkeypatch.chdir(tmp_path)
    common = {"data": demo, "scenario": "U-M", "bootstrap": 0, "breakdown": False, "workers": 0, "device": "cpu"}
    common["figures"] = "none"
    by_name = mfr_train.evaluate(**common, run=run, stage="classify")
    by_file = mfr_train.evaluate(**common, model=str(run.folder / "backbone.safetensors"))
    assert by_name.rows == by_file.rows
    assert by_name.fingerprint == by_file.fingerprint
    assert by_name.model == "run (stage 1)"
    assert by_name.out.name.startswith("run-classify-smfd-U-M-")
    assert mfr_train.Report.load(by_name.out) == by_name
    embedded = mfr_train.evaluate(**common, run=run, stage="embed")
    assert embedded.model == "run"
    assert embedded.rows != by_name.rows
    (run.folder / "embedding.safetensors").unlink()
    with pytest.raises(
        mfr_train.UsageError, match="has no embedding, since stage 2 is not trained; give --stage classify"
    ):
        mfr_train.evaluate(**common, run=run, stage="embed")
    with pytest.raises(mfr_train.UsageError, match="--stage chooses what of a run"):
        mfr_train.load_model("dlib", stage="classify")
    with pytest.raises(mfr_train.UsageError, match="choose one of classify, embed"):
        mfr_train.load_model(run, stage="all")
