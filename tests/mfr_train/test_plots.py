"""Plots: what is drawn is read back from the figure's curves, and a training table with blanks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgen.errors import MaskgenError
from mfr_train.evaluation import metrics, plots
from mfr_train.training import plots as training_plots


def test_thinning_keeps_ends_and_operating_points() -> None:
    generator = np.random.default_rng(4)
    counts = metrics.from_scores(generator.normal(0.4, 0.1, 30_000), generator.normal(0, 0.1, 200_000))
    curve = metrics.rates(counts)
    fmr, fnmr = plots._thinned(curve)
    assert len(fmr) <= plots.POINTS + 4
    assert (fmr[0], fnmr[0], fmr[-1], fnmr[-1]) == (0, 1, 1, 0)
    assert (np.diff(fmr) >= 0).all()
    assert (np.diff(fnmr) <= 0).all()
    for limit in (1e-4, 0.01, 0.1):
        exact = metrics.fnmr_at_fmr(curve, limit).fnmr
        assert fnmr[np.searchsorted(fmr, limit) - 1] == pytest.approx(exact, abs=0.002)


def test_curves_of_one_impostor_pair_have_axes(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    plots.plot_rates({"U-U": metrics.rates(metrics.from_scores([0.5, 0.75], [0.25]))}, tmp_path)
    assert not [str(warning.message) for warning in recwarn]
    assert cv2.imread(str(tmp_path / "det.png")).std() > 1


def test_a_training_table_with_blanks_is_drawn(tmp_path: Path) -> None:
    table = tmp_path / "curves.csv"
    table.write_text(
        "stage,iteration,loss,lr,val_accuracy\n"
        "classify,1,3.0,0.1,\nclassify,2,2.5,0.1,0.25\nclassify,3,,0.01,0.5\nembed,1,0.2,0.05,\n"
    )
    found = training_plots._read_curves(table)
    np.testing.assert_array_equal(found["classify"]["loss"], [[1, 2], [3.0, 2.5]])
    np.testing.assert_array_equal(found["classify"]["val_accuracy"], [[2, 3], [0.25, 0.5]])
    np.testing.assert_array_equal(training_plots._drops(found["classify"]["lr"]), [3])
    assert found["embed"]["val_accuracy"][0].size == 0
    training_plots.plot_curves(table, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stage,iteration,loss,lr,val_accuracy\n", "holds no loss"),
        ("stage,iteration,loss\na,1,2\n", "cannot read"),
        ("stage,iteration,loss,lr,val_accuracy\na,x,2,,\n", "cannot read"),
    ],
)
def test_an_unusable_training_table_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "curves.csv"
    table.write_text(text)
    with pytest.raises(MaskgenError, match=said):
        training_plots.plot_curves(table, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
