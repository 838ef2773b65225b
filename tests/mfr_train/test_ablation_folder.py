"""The folder of an ablation: it takes up its own, and refuses what is not its own with one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from maskgen import Dataset
from maskgen.errors import MaskgenError, UsageError
from mfr_train.ablation import folder
from mfr_train.ablation.ablate_settings import AblateSettings

DATA = cast(Dataset, SimpleNamespace(content="0" * 64))


def test_its_own_folder_is_taken_up(tmp_path: Path) -> None:
    settings = AblateSettings(tmp_path / "out", backbone="dlib")
    for _ in range(2):
        with folder.claimed(settings, DATA):
            assert json.loads((settings.out / folder.SETTINGS).read_bytes())["dataset"] == DATA.content


def _changed(out: Path, **values: Any) -> None:
    record = json.loads((out / folder.SETTINGS).read_bytes())
    (out / folder.SETTINGS).write_text(json.dumps(record | values))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dataset": "1" * 64}, "was begun on another data set; give that one, or --out another folder"),
        ({"network": "resnet18"}, "was begun with another network; give that one, or --out another folder"),
        ({"settings": []}, "ablation-settings.json is damaged; give --out another folder"),
        (
            {"settings": {"margin": 0.7}},
            "was begun with --margin 0.7, not unset; give the same, or --out another folder",
        ),
    ],
)
def test_a_folder_of_another_call_is_refused(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    settings = AblateSettings(tmp_path / "out", backbone="dlib")
    with folder.claimed(settings, DATA):
        pass
    _changed(settings.out, **values)
    before = (settings.out / folder.SETTINGS).read_bytes()
    with pytest.raises(UsageError, match=sentence), folder.claimed(settings, DATA):
        raise AssertionError("the folder is another call's")
    assert (settings.out / folder.SETTINGS).read_bytes() == before


def test_what_is_no_folder_of_an_ablation_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / folder.SETTINGS).write_text("{")
    for name, sentence in {
        "full": "full is not an ablation and not empty; give a new or empty folder",
        "file": "file is not an ablation; give a new or empty folder",
        "torn": "torn is not an ablation; give a new or empty folder",
    }.items():
        with pytest.raises(UsageError, match=sentence), folder.claimed(AblateSettings(tmp_path / name), DATA):
            raise AssertionError("the folder is not ours")
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    settings = AblateSettings(tmp_path / "out")
    with (
        folder.claimed(settings, DATA),
        pytest.raises(MaskgenError, match=r"another ablation is running in .*out; wait for it or give another --out"),
        folder.claimed(settings, DATA),
    ):
        raise AssertionError("two at a time")


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out"
    with (
        pytest.raises(
            MaskgenError, match=r"cannot write to .*file/out \(Not a directory\); make room or give another --out"
        ),
        folder.claimed(AblateSettings(out), DATA),
    ):
        raise AssertionError("a file has no folder")
