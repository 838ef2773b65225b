"""dlib's network on real photographs: known to recognise bare faces nearly always, and masked ones less often."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate

PEOPLE = 8


@pytest.fixture(params=[pytest.param("orl", marks=pytest.mark.slow), "demo"])
def photographs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tree of eight people: of the ORL faces where they are, and of the demo's portraits everywhere."""
    if request.param == "orl":
        source, takes = request.getfixturevalue("shared") / "orl", 6
    else:
        source, takes = request.getfixturevalue("demo_tree"), 3
    for folder in sorted(source.iterdir())[-PEOPLE:]:
        for photograph in sorted(folder.iterdir())[:takes]:
            (tmp_path / "photographs" / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(photograph, tmp_path / "photographs" / folder.name)
    return tmp_path / "photographs"


def test_a_mask_costs_dlib_recognition(photographs: Path, make: Callable[..., Path], tmp_path: Path) -> None:
    data = make(photographs, tmp_path / "smfd", test_identities=1, size=0, variants="wide_high")
    report = evaluate(
        EvalSettings(
            data=str(data),
            model="dlib",
            out=tmp_path / "eval",
            cache=tmp_path / "cache",
            bootstrap=100,
            breakdown=False,
            workers=1,
        )
    )
    figures = {row.scenario: row.figures for row in report.rows}
    assert report.subjects == PEOPLE
    assert figures["U-U"].eer.eer < 0.03
    assert figures["U-U"].gmean > figures["U-U"].imean + 0.05
    # The mask hides half of the face: genuine scores fall, and the classes come nearer to each other.
    assert figures["U-M"].gmean < figures["U-U"].gmean
    assert figures["U-M"].auc < figures["U-U"].auc
    assert figures["U-M"].gmean - figures["U-M"].imean < figures["U-U"].gmean - figures["U-U"].imean
    intervals = report.rows[1].intervals
    assert intervals is not None
    assert intervals.intervals["auc"][0] < figures["U-M"].auc <= intervals.intervals["auc"][1]
