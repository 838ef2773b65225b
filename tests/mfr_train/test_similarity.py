"""Kinds of score: distances as NumPy computes them, ranks that stay, and bins that keep their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from mfr_train.defaults import COSINE, EUCLIDEAN, HALF, SCORES
from mfr_train.evaluation import bootstrap, scores
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.scores import Comparison
from mfr_train.evaluation.similarity import scored


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    generator = np.random.default_rng(4)
    who = np.repeat(np.arange(8), 4)
    values = generator.normal(size=(8, 12))[who] + generator.normal(size=(32, 12))
    side = scores.side(values.astype(np.float32), who, np.arange(32))[0]
    return Comparison(side, side, True)


def of_kind(comparison: Comparison, kind: str) -> Comparison:
    return Comparison(comparison.reference, comparison.probe, comparison.symmetric, comparison.listed, kind)


def test_scores_by_hand() -> None:
    cosines = np.array([1.0, 0.5, 0.0, -1.0])
    np.testing.assert_allclose(scored(EUCLIDEAN, cosines), [0, -1, -(2**0.5), -2], rtol=0, atol=1e-15)
    np.testing.assert_allclose(scored(HALF, cosines), [1, 0.5, 1 - 0.5**0.5, 0], rtol=0, atol=1e-15)
    assert scored(COSINE, cosines) is cosines
    assert scored(HALF, np.array([1 + 1e-7])) == 1


def test_they_are_distances_of_the_embeddings(comparison: Comparison) -> None:
    vectors = comparison.reference.embeddings.astype(float)
    for kind, expected in ((EUCLIDEAN, lambda d: -d), (HALF, lambda d: 1 - d / 2)):
        for found in scores.exact(of_kind(comparison, kind)):
            distances = np.linalg.norm(vectors[found.reference] - vectors[found.probe], axis=1)
            np.testing.assert_allclose(found.values, expected(distances), rtol=0, atol=1e-6)


def test_rates_are_the_same_and_thresholds_change(comparison: Comparison) -> None:
    by_kind = {kind: measure(of_kind(comparison, kind), 8, 100, 0) for kind in SCORES}
    cosine = by_kind[COSINE]
    for kind in (EUCLIDEAN, HALF):
        found = by_kind[kind]
        for name, value in bootstrap.plain(cosine.figures).items():
            other = bootstrap.plain(found.figures)[name]
            if name in ("gmean", "imean", "gstd", "istd", "d_prime"):
                assert other != value, name
            else:
                assert other == value, name
        for name in ("fmr100", "eer", "auc"):
            assert found.intervals.intervals[name] == cosine.intervals.intervals[name]
        threshold = scored(kind, np.array(cosine.figures.fmr100.threshold))
        assert found.figures.fmr100.threshold == pytest.approx(float(threshold), abs=1e-12)
        genuine = scores.exact(of_kind(comparison, kind))[0].values
        assert found.figures.gmean == pytest.approx(genuine.mean(), abs=1e-12)
        assert found.figures.gstd == pytest.approx(genuine.std(), abs=1e-12)


@pytest.mark.parametrize("kind", SCORES)
def test_bins_keep_their_bounds(comparison: Comparison, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (np.diff(scores.grid(kind)) > 0).all()
    monkeypatch.setattr(scores, "BINS", 2**9)  # wide bins: the bounds are of the size of the errors
    exact = measure(of_kind(comparison, kind), 8, 100, 0)
    binned = measure(of_kind(comparison, kind), 8, 100, 0, limit=0)
    assert binned.scores is None
    values = [bootstrap.plain(found.figures) for found in (exact, binned)]
    for name, bound in binned.figures.bounds.items():
        assert abs(values[0][name] - values[1][name]) <= bound + 1e-12, name
    assert binned.figures.bounds["gstd"] > 1e-4


def test_listed_pairs_have_the_score_of_their_kind(comparison: Comparison) -> None:
    side = comparison.reference
    listed = (np.array([0, 0, 5]), np.array([1, 9, 20]))
    found = scores.exact(Comparison(side, side, False, listed, HALF))
    cosines = np.einsum("ij,ij->i", side.embeddings[listed[0]].astype(float), side.embeddings[listed[1]].astype(float))
    np.testing.assert_array_equal(np.concatenate([part.values for part in found]), scored(HALF, cosines))
