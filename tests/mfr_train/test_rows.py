"""A row of a report: operating points, TAR, failures, and what reports of earlier versions lack."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from maskgen.errors import UsageError
from mfr_train.evaluation import metrics
from mfr_train.evaluation.bootstrap import Intervals
from mfr_train.evaluation.metrics import FixedThreshold, Point
from mfr_train.evaluation.rows import Row, row_facts, row_from_facts

GENUINE = [0.5, 0.8, 0.8, 0.9]
IMPOSTOR = [0.1, 0.2, 0.5, 0.6]


def row(**changes: Any) -> Row:
    """FMR is 1/2 at 0.5, 1/4 at 0.6 and 0 at 0.8; FNMR 0, 1/4 and 1/4."""
    figures = metrics.figures(GENUINE, IMPOSTOR, fmr=[0.5, 0.3, 1e-5])
    intervals = Intervals({"fmr_0.3": (0.125, 0.5), "fnmr_at_uu_fmr_0.3": (0.0, 0.75)}, {"eer": 0.0}, 100)
    drift = {FixedThreshold(0.3, 0.85): Point(0.85, 0.0, 0.75)}
    made = Row("U-M", "", figures, intervals, metrics.few_errors(figures, drift), drift, False)
    return replace(made, **changes)


def test_tar_is_one_less_fnmr_and_so_is_its_interval() -> None:
    found = row()
    assert found.limits == (0.5, 0.3, 1e-5)
    assert (found.at(0.3).value, found.at(0.3).interval, found.at(0.3).threshold) == (0.25, (0.125, 0.5), 0.6)
    assert (found.tar(0.3).value, found.tar(0.3).interval, found.tar(0.3).threshold) == (0.75, (0.5, 0.875), 0.6)
    assert found.tar(0.3).few_errors
    assert (found.tar(0.5).value, found.tar(0.5).interval) == (0.75, None), "at 0.5 the FMR is 1/2, not below it"


def test_lost_pairs_are_non_matches() -> None:
    # One of four pairs is not matched, six more were lost: 7 of 10.
    found = row(lost_genuine=6).with_failures(0.3)
    assert found.value == pytest.approx(0.7)
    assert found.interval == pytest.approx(((0.5 + 6) / 10, (2 + 6) / 10))
    assert row().with_failures(0.3).value == 0.25


def test_rates_at_thresholds_of_uu() -> None:
    found = row()
    assert (found.at_uu(0.3).value, found.at_uu(0.3).interval) == (0.75, (0.0, 0.75))
    assert (found.fmr_at_uu(0.3).value, found.fmr_at_uu(0.3).threshold) == (0.0, 0.85)
    with pytest.raises(UsageError, match=r"U-M has no threshold of U-U at an FMR of 0.1; it has 0.3\."):
        found.at_uu(0.1)


def test_figures_have_stable_names() -> None:
    records = {each["figure"]: each for each in row(lost_genuine=6).records()}
    assert list(records) == [
        "fmr100", "fmr10", "nearest_fmr100", "eer", "auc", "gmean", "imean", "fmr1000", "zero_fmr", "gstd", "istd",
        "d_prime", "fmr2", "tar_at_fmr2", "fmr2_with_failures", "fmr_0.3", "tar_at_fmr_0.3", "fmr_0.3_with_failures",
        "fmr100000", "tar_at_fmr100000", "fmr100000_with_failures", "fnmr_at_uu_fmr_0.3", "fmr_at_uu_fmr_0.3",
    ]  # fmt: skip
    assert records["tar_at_fmr_0.3"]["value"] == 0.75
    assert (records["tar_at_fmr_0.3"]["low"], records["tar_at_fmr_0.3"]["high"]) == (0.5, 0.875)
    assert records["fmr_0.3_with_failures"]["value"] == pytest.approx(0.7)
    assert records["zero_fmr"]["value"] == 0.25


def test_a_row_survives_json() -> None:
    for made in (row(), row(lost_genuine=6, figures=metrics.figures([0.5] * 2, [0.1] * 2, fmr=[1e-5]), few={})):
        facts = row_facts(made)
        assert row_from_facts(json.loads(json.dumps(facts, allow_nan=False))) == made
    assert made.d_prime == float("inf")
    facts = row_facts(row(lost_genuine=6))
    assert facts["operating_points"]["fmr_0.3"] == {
        "limit": 0.3, "threshold": 0.6, "fmr": 0.25, "fnmr": 0.25, "tar": 0.75,
        "fnmr_with_failures": pytest.approx(0.7), "resolved": True,
    }  # fmt: skip
    assert facts["operating_points"]["fmr100000"]["resolved"] is False
    assert facts["lost_genuine"] == 6


def test_a_row_of_an_earlier_version_lacks_what_was_not_measured() -> None:
    facts = row_facts(row(drift={FixedThreshold(0.01, 0.7): Point(0.7, 0.0, 0.25)}))
    for name in ("operating_points", "lost_genuine"):
        del facts[name]
    for name in ("fmr1000", "zero_fmr", "gstd", "istd", "d_prime"):
        del facts["figures"][name]
    old = row_from_facts(facts)
    assert old.limits == (0.01, 0.1)
    assert (old.fmr100.value, old.tar(0.1).value, old.at_uu(0.01).value) == (0.25, 0.75, 0.25)
    for name in ("fmr1000", "zero_fmr", "gstd", "istd", "d_prime"):
        with pytest.raises(UsageError, match=r"the report has no|no operating point"):
            getattr(old, name)
    assert [each["figure"] for each in old.records()][:8] == [
        "fmr100", "fmr10", "nearest_fmr100", "eer", "auc", "gmean", "imean", "tar_at_fmr100",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value"),
    [("limit", 1.5), ("limit", "many"), ("fnmr", "x"), ("threshold", [])],
)
def test_a_damaged_operating_point_is_refused(place: str, value: object) -> None:
    facts = row_facts(row())
    facts["operating_points"]["fmr2"][place] = value
    with pytest.raises((ValueError, TypeError)):
        row_from_facts(facts)
