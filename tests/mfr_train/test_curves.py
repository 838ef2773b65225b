"""Curves, bands and histograms against values worked out by hand or from the exact rates; their files are read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskgen.errors import MaskgenError
from mfr_train.evaluation import curve_files, curves, metrics
from mfr_train.evaluation.bands import RESAMPLES, Bands
from mfr_train.evaluation.counts import Counts, from_histogram, from_scores, rates
from mfr_train.evaluation.curves import Curve


def staircase(curve: Curve, fmr: float) -> float:
    return float(curve.fnmr[np.searchsorted(curve.fmr, fmr, side="right") - 1])


def lowest_fnmr(counts: Counts, fmr: float) -> float:
    found = rates(counts)
    return float(found.fnmr[found.fmr <= fmr].min())


def many(seed: int) -> Counts:
    generator = np.random.default_rng(seed)
    return from_scores(generator.normal(0.4, 0.1, 30_000), generator.normal(0, 0.1, 200_000))


def test_a_small_curve_is_exact() -> None:
    generator = np.random.default_rng(3)
    counts = from_scores(generator.integers(3, 20, 60) / 16, generator.integers(0, 9, 200) / 16)
    curve = curves.curve(counts)
    assert (np.diff(curve.fmr) > 0).all()
    assert (np.diff(curve.fnmr) < 0).all()
    for fmr in np.linspace(0, 1, 201):
        assert staircase(curve, fmr) == lowest_fnmr(counts, fmr)


def test_thinning_keeps_ends_and_operating_points() -> None:
    counts = many(4)
    curve, found = curves.curve(counts), rates(counts)
    assert 300 < len(curve.fmr) <= 1.2 * curves.POINTS < len(found.fmr) / 10
    assert (curve.fmr[0], curve.fnmr[0]) == (0, lowest_fnmr(counts, 0))
    assert curve.fnmr[-1] == 0
    for limit in (0.001, 0.01, 0.1):
        below = np.searchsorted(curve.fmr, limit) - 1
        assert curve.fnmr[below] == metrics.fnmr_at_fmr(found, limit).fnmr
    for fmr in (1e-5, 3e-4, 0.02, 0.4):
        assert staircase(curve, fmr) == pytest.approx(lowest_fnmr(counts, fmr), abs=0.003)


def test_a_band_holds_the_middle_of_the_resamples() -> None:
    """Resample n of 101 has n false non-matches of 200 where the FMR is 0: 2.5 % and 97.5 % are at 2.5 and 97.5."""
    bands = Bands(np.array([0.0, 0.5]))
    for n in range(101):
        # Of n genuine scores below both impostor scores; the others are above.
        bands.add(Counts(np.array([0.1, 0.2, 0.3, 0.9]), np.array([n, 0, 0, 200 - n]), np.array([0, 1, 1, 0])))
    low, high = bands.ends() or (None, None)
    np.testing.assert_allclose(low, [2.5 / 200] * 2)
    np.testing.assert_allclose(high, [97.5 / 200] * 2)


def test_a_band_takes_a_limited_number_of_resamples() -> None:
    bands = Bands(np.array([0.0]))
    assert bands.ends() is None
    for n in range(RESAMPLES + 500):
        misses = float(n >= RESAMPLES)
        bands.add(Counts(np.array([0.1, 0.2, 0.3]), np.array([misses, 0, 1 - misses]), np.array([0.0, 1, 0])))
    assert [float(end[0]) for end in bands.ends() or ()] == [0, 0], "only the later ones miss"


def test_histograms_count_every_score_once() -> None:
    counts = many(5)
    found = curves.histogram(counts)
    scores = np.repeat(counts.scores, counts.genuine.astype(int))
    np.testing.assert_array_equal(found.genuine, np.histogram(scores, found.edges)[0])
    assert found.impostor.sum() == 200_000
    assert found.width == 2.0 ** round(np.log2(found.width))


def test_histograms_of_binned_scores_are_those_of_exact_ones() -> None:
    exact = many(6)
    edges = np.arange(-(2**19), 2**19 + 1) / 2**19
    bins = np.searchsorted(edges, exact.scores, side="right") - 1
    sides = (np.bincount(bins, side, len(edges) - 1) for side in (exact.genuine, exact.impostor))
    binned = curves.histogram(from_histogram(edges, *sides))
    [one], [other] = curves.common([curves.histogram(exact)]), curves.common([binned])
    np.testing.assert_array_equal(one.edges, other.edges)
    np.testing.assert_array_equal(one.genuine, other.genuine)


def test_common_bins_cover_all_histograms() -> None:
    made = [curves.histogram(from_scores([low, low + 0.3], [low - 0.2])) for low in (0.5, -0.25)]
    one, other = curves.common(made)
    np.testing.assert_array_equal(one.edges, other.edges)
    assert one.edges[0] <= -0.45
    assert one.edges[-1] >= 0.8
    assert [one.genuine.sum(), one.impostor.sum(), other.genuine.sum()] == [2, 1, 2]
    assert 40 <= len(one.genuine) <= 90


@pytest.mark.parametrize("scores", [[0.5], [0.0], [-1e-300, 1e-300], [0.5, np.nextafter(0.5, 1)], [-1e300, 1e300]])
def test_histograms_of_odd_scores(scores: list[float]) -> None:
    [found] = curves.common([curves.histogram(from_scores(scores, scores))])
    assert found.genuine.sum() == len(scores)


def made(band: bool) -> dict[str, Curve]:
    curve = curves.curve(many(7))
    if band:
        curve = Curve(
            curve.thresholds, curve.fmr, curve.fnmr, curve.genuine, curve.impostor, curve.fnmr / 2, curve.fnmr
        )
    return {"U-U": curve, "M-M": curves.curve(from_scores([0.5], [0.25]))}


@pytest.mark.parametrize("band", [False, True])
def test_files_are_read_back_as_they_were(tmp_path: Path, band: bool) -> None:
    written = made(band)
    curve_files.write_curves(written, tmp_path)
    read = curve_files.read_curves(tmp_path) or {}
    assert list(read) == list(written)
    for name, curve in written.items():
        for field in ("thresholds", "fmr", "fnmr", "genuine", "impostor", "low", "high"):
            np.testing.assert_array_equal(getattr(read[name], field), getattr(curve, field))
    histograms = {"U-U": curves.histogram(many(7))}
    curve_files.write_histograms(histograms, tmp_path)
    [drawn] = curves.common(histograms.values())
    [found] = (curve_files.read_histograms(tmp_path) or {}).values()
    for field in ("edges", "genuine", "impostor"):
        np.testing.assert_array_equal(getattr(found, field), getattr(drawn, field))


def test_files_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert curve_files.read_curves(tmp_path) is None
    assert curve_files.read_histograms(tmp_path) is None


CURVE = "scenario,threshold,fmr,fnmr,fnmr_low,fnmr_high,genuine,impostor\n"
HISTOGRAM = "scenario,score_from,score_to,genuine,impostor\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("curves.csv", "a,b\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,0,,,1\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,x,,,1,1\n"),
        ("curves.csv", f"{CURVE}X-X,0.5,0,0,,,1,1\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,0,,,0,1\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,0,,,1,inf\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,0.5,,,1,1\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0.5,0.5,,,1,1\nU-U,0.4,0.2,0,,,1,1\n"),
        ("curves.csv", f"{CURVE}U-U,0.5,0,2,,,1,1\nU-U,0.4,0.2,0,,,1,1\n"),
        ("histogram.csv", f"{HISTOGRAM}U-U,0,0.3,1,1\n"),
        ("histogram.csv", f"{HISTOGRAM}U-U,0,0.5,-1,1\n"),
        ("histogram.csv", f"{HISTOGRAM}U-U,0,0.5,1,1\nU-U,0.6,1.1,1,1\n"),
        ("histogram.csv", f"{HISTOGRAM}U-U,0,0,1,1\n"),
        ("histogram.csv", f"{HISTOGRAM}U-U,nan,0.5,1,1\n"),
    ],
)
def test_other_files_are_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    read = curve_files.read_curves if name == "curves.csv" else curve_files.read_histograms
    with pytest.raises(MaskgenError, match=rf"{name} is not a file that `mfr eval` wrote; measure again"):
        read(tmp_path)
