"""The learning curve: its numbers, and what is left of it when a run resumes."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest

from maskgen.errors import MaskgenError, UsageError
from mfr_train.training import curve
from mfr_train.training.curve import Curve

HEAD = "stage,iteration,loss,lr,val_accuracy"


def test_rows_are_what_was_added(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    found = Curve(path, "classify")
    found.add(5, 2.0794415416798357, 0.1)
    found.add(10, 1.5, 0.01, 1 / 3)
    assert path.read_text() == f"{HEAD}\nclassify,5,2.07944154,0.1,\nclassify,10,1.5,0.01,0.333333\n"
    assert curve.read(path)[1] == {
        "stage": "classify", "iteration": "10", "loss": "1.5", "lr": "0.01", "val_accuracy": "0.333333",
    }  # fmt: skip


def test_going_on_drops_what_came_after_the_checkpoint_of_that_stage_alone(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    for stage in ("classify", "embed"):
        for iteration in (5, 10, 15):
            Curve(path, stage, iteration).add(iteration, 1.0, 0.1)
    Curve(path, "classify", 10)
    assert [(row["stage"], row["iteration"]) for row in curve.read(path)] == [
        ("classify", "5"), ("classify", "10"), ("embed", "5"), ("embed", "10"), ("embed", "15"),
    ]  # fmt: skip
    Curve(path, "embed")
    assert {row["stage"] for row in curve.read(path)} == {"classify"}


@pytest.mark.parametrize("cut", ["classify,10,1.", "classify,10", "class", ""])
def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(f"{HEAD}\nclassify,5,2,0.1,\n{cut}")
    Curve(path, "classify", 10).add(11, 1.0, 0.1)
    assert [row["iteration"] for row in curve.read(path)] == ["5", "11"]


def test_other_processes_write_none(tmp_path: Path) -> None:
    found = Curve(None, "classify")
    found.add(1, 1.0, 0.1)
    found.close()
    assert curve.read(tmp_path / "curve.csv") == []


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    found = Curve(tmp_path / "curve.csv", "classify")
    found.path = Path("/dev/full")
    with pytest.raises(MaskgenError, match=r"cannot write /dev/full \(No space left on device\); make room"):
        found.add(1, 1.0, 0.1)


def test_tensorboard_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="--tensorboard needs tensorboard, which is not installed; run pip install"):
        Curve(tmp_path / "curve.csv", "classify", tensorboard=True)


def test_tensorboard_shows_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = Curve(tmp_path / "curve.csv", "classify", tensorboard=True)
    found.add(5, 2.5, 0.125)
    found.add(10, 1.5, 0.0625, 0.75)
    found.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard/classify"))
    events.Reload()
    scalars = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert scalars == {
        "loss": [(5, 2.5), (10, 1.5)], "lr": [(5, 0.125), (10, 0.0625)], "val_accuracy": [(10, 0.75)],
    }  # fmt: skip


def test_the_curve_of_a_run_is_read_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(f"{HEAD}\nclassify,5,2.5,0.1,\nclassify,10,1.5,0.1,0.75\nembed,5,0.2,0.01,\n")
    read = curve.learning_curve(path)
    assert read[1] == ("classify", 10, 1.5, 0.1, 0.75)
    assert read.stage("classify").column("val_accuracy") == [None, 0.75]
    assert read.stage("embed").column("iteration") == [5]
    path.write_text(f"{HEAD}\nclassify,5,much,0.1,\n")
    with pytest.raises(MaskgenError, match=r"the learning curve .*curve\.csv is damaged; delete it, or train"):
        curve.learning_curve(path)


def test_a_learning_curve_holds_words_and_numbers_alone(tmp_path: Path) -> None:
    """The only CSV file that is written: a run that someone else began may hold cells that spreadsheets execute."""
    path = tmp_path / "curve.csv"
    good = ["classify,5,1.25,0.1,", "embed,5,2e-05,0.01,0.750000"]
    bad = ['"=HYPERLINK(""http:x"")",5,1,1,', "classify,4,@SUM(A1),1,", 'classify,3,1,1,"+1\n=2"', "-2+3,1,1,1,1"]
    path.write_text("\n".join([HEAD, *bad, *good]) + "\n")
    found = Curve(path, "embed", start=10)
    found.add(15, -0.5, 0.01, 0.5)
    found.close()
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows == [HEAD.split(","), *(line.split(",") for line in good), ["embed", "15", "-0.5", "0.01", "0.500000"]]
