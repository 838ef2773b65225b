"""Run folders: numbers, what is gone on with, and that two trainings never share one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train.training.run_folder import claimed
from mfr_train.training.train_settings import TrainSettings, filled


@pytest.fixture
def full(tiny: Callable[..., TrainSettings], demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    return replace(filled(tiny(out=None)), variants=maskgen.open(demo).variants)


def work(full: TrainSettings, fails: bool = False) -> str:
    """Claims a folder and leaves it, with an error where told; the folder's name."""
    folder = Path()
    try:
        with claimed(full, maskgen.open(full.data)) as folder:
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return str(folder)


def test_runs_are_numbered_and_an_unfinished_one_is_gone_on_with(full: TrainSettings) -> None:
    assert work(full, fails=True) == "runs/001"
    assert work(full) == "runs/001"
    assert work(full) == "runs/002"  # finished: the same call is another run
    assert work(full, fails=True) == "runs/003"
    assert work(replace(full, lr=0.5), fails=True) == "runs/004"  # something else was asked for
    assert work(replace(full, iterations=9), fails=True) == "runs/005"
    assert work(replace(full, iterations=9, micro_batch=2, workers=3)) == "runs/005"
    Path("runs/009").mkdir()
    Path("runs/feature").mkdir()
    assert work(full) == "runs/010"


def test_what_is_written_down(full: TrainSettings) -> None:
    work(full, fails=True)
    record = json.loads(Path("runs/001/settings.json").read_bytes())
    assert record["finished"] is False
    assert record["dataset"] == maskgen.open(full.data).content
    assert record["settings"]["batch"] == 8
    work(full)
    assert json.loads(Path("runs/001/settings.json").read_bytes())["finished"] is True


def test_two_trainings_do_not_share_a_folder(full: TrainSettings) -> None:
    dataset = maskgen.open(full.data)
    with claimed(full, dataset) as first:
        with claimed(full, dataset) as second:
            assert (str(first), str(second)) == ("runs/001", "runs/002")
        there = replace(full, out=first)
        with pytest.raises(MaskgenError, match="another training is running in runs/001; wait for it or give another"):
            work(there)
    assert work(there) == "runs/001"


def test_a_folder_that_is_no_run_is_refused_and_kept(full: TrainSettings, tmp_path: Path) -> None:
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    assert work(replace(full, out=holiday)) == str(holiday)  # empty: taken
    other = tmp_path / "other"
    other.mkdir()
    (other / "beach.jpg").write_bytes(b"x")
    for path in (other, other / "beach.jpg"):
        with pytest.raises(UsageError, match="is not a run and not empty; give a new or empty folder"):
            work(replace(full, out=path))
    assert [path.name for path in other.iterdir()] == ["beach.jpg"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"dataset": 3}'])
def test_settings_that_are_not_ours_are_refused(full: TrainSettings, tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/settings.json").write_text(text)
    with pytest.raises(UsageError, match=r"settings\.json has dataset (null|3) where this run has"):
        work(replace(full, out=tmp_path / "run"))
    assert (tmp_path / "run/settings.json").read_text() == text


def test_a_closed_folder_is_one_sentence(full: TrainSettings, request: pytest.FixtureRequest) -> None:
    dataset = maskgen.open(full.data)
    closed = request.getfixturevalue("without_rights") / "closed"
    closed.mkdir(mode=0o500)
    for out in (closed, closed / "run"):
        with pytest.raises(MaskgenError, match=r"cannot write .*closed.*Permission denied"):  # noqa: SIM117
            with claimed(replace(full, out=out), dataset):
                pass
