"""Comparisons in blocks: which pairs are compared, scores that no block size changes, and the grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgen.errors import MaskgenError
from mfr_train.evaluation import metrics, scores
from mfr_train.evaluation.counts import from_histogram, from_scores
from mfr_train.evaluation.scores import Comparison
from tests.support.fuzz import examples


def made(count: int, subjects: int, dim: int, seed: int, spread: float = 2.0, people: int = 9) -> scores.Side:
    """Random embeddings around a centre for each subject; photographs are numbered 0 .. count - 1."""
    centres = np.random.default_rng(people).normal(size=(subjects, dim))
    generator = np.random.default_rng(seed)
    who = generator.integers(0, subjects, count)
    values = (centres[who] + spread * generator.normal(size=(count, dim))).astype(np.float32)
    return scores.side(values, who, np.arange(count))[0]


def wanted_pairs(comparison: Comparison, genuine: bool) -> set[tuple[int, int]]:
    """The pairs by their definition, one by one."""
    left, right = comparison.reference, comparison.probe
    found = set()
    for i in range(len(left)):
        for j in range(len(right)):
            if left.photographs[i] == right.photographs[j] or (comparison.symmetric and i >= j):
                continue
            if (left.subjects[i] == right.subjects[j]) == genuine:
                found.add((i, j))
    return found


@settings(deadline=None, max_examples=examples(60))
@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 999), st.booleans(), st.integers(1, 9), st.integers(1, 9))
def test_every_pair_of_the_definition_is_scored_once(
    count: int, subjects: int, seed: int, symmetric: bool, rows: int, columns: int
) -> None:
    one = made(count, subjects, 3, seed)
    other = one if symmetric else scores.Side(one.embeddings[::-1].copy(), one.subjects, one.photographs)
    comparison = Comparison(one, other, symmetric)
    for genuine, found in zip((True, False), scores.exact(comparison), strict=True):
        pairs = list(zip(found.reference.tolist(), found.probe.tolist(), strict=True))
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == wanted_pairs(comparison, genuine)
        blocks = (scores.genuine_blocks if genuine else scores.impostor_blocks)(comparison, rows, columns)
        expected = np.bincount(
            np.clip(((found.values + 1) * scores.BINS / 2).astype(int), 0, scores.BINS - 1), minlength=scores.BINS
        )
        np.testing.assert_array_equal(scores.histogram(comparison, blocks), expected)


def test_a_score_is_the_exact_product_whatever_the_block() -> None:
    comparison = Comparison(made(90, 7, 512, 1), made(70, 7, 512, 2), False)
    left, right = (side.embeddings.astype(np.float64) for side in (comparison.reference, comparison.probe))
    for found in scores.exact(comparison):
        for value, i, j in list(zip(*found, strict=True))[::17]:
            # fsum is exact, and so is every product: equality, not closeness.
            assert value == math.fsum(left[i] * right[j])
    for rows, columns in ((1, 1), (7, 5), (64, 70), (13, 4096)):
        for start in range(0, 70, columns):
            block = left[:rows] @ right[start : start + columns].T
            np.testing.assert_array_equal(block, (left @ right.T)[:rows, start : start + columns])


def test_scores_are_cosines() -> None:
    raw = np.random.default_rng(3).normal(size=(40, 128)).astype(np.float32)
    side, order = scores.side(raw, np.arange(40) % 4, np.arange(40))
    vectors = raw[order].astype(np.float64)
    cosine = (vectors @ vectors.T) / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    for found in scores.exact(Comparison(side, side, True)):
        # Each of two unit vectors is rounded by at most 2^-25 in each of 128 coordinates.
        bound = 2 * math.sqrt(128) * 2.0**-25
        np.testing.assert_allclose(found.values, cosine[found.reference, found.probe], rtol=0, atol=bound)


def test_equal_pictures_score_alike_and_a_picture_with_itself_is_one() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    one, _ = scores.side(vectors[[0, 0, 1, 2]], [0, 0, 1, 1], [0, 1, 2, 3])
    genuine, impostor = scores.exact(Comparison(one, one, True))
    assert genuine.values[0] == pytest.approx(1, abs=1e-6)
    # The two equal pictures of subject 0 tie exactly against each picture of subject 1.
    assert impostor.values[0] == impostor.values[2]
    assert impostor.values[1] == impostor.values[3]


def test_binned_fnmr_is_within_one_ten_thousandth_of_exact() -> None:
    side = made(1500, 30, 64, 5, spread=1.5)
    comparison = Comparison(side, made(1500, 30, 64, 6, spread=1.8), False)
    genuine, impostor = scores.exact(comparison)
    exact = metrics.figures_of(from_scores(genuine.values, impostor.values))
    binned = metrics.figures_of(
        from_histogram(
            scores.grid(),
            scores.histogram(comparison, scores.genuine_blocks(comparison)),
            scores.histogram(comparison, scores.impostor_blocks(comparison)),
        )
    )
    assert exact.fmr100.fnmr > 0.1  # the figure is not trivial
    for name in ("fmr100", "fmr10"):
        difference = abs(getattr(exact, name).fnmr - getattr(binned, name).fnmr)
        assert difference <= min(1e-4, binned.bounds[name])
    assert abs(exact.eer.eer - binned.eer.eer) <= min(1e-4, binned.bounds["eer"])
    assert abs(exact.auc - binned.auc) <= min(1e-5, binned.bounds["auc"])
    assert (exact.genuine, exact.impostor) == (binned.genuine, binned.impostor)


def test_the_order_of_subjects_is_given_back() -> None:
    values = np.eye(3, dtype=np.float32)
    side, order = scores.side(values, [2, 0, 1], [10, 11, 12])
    assert order.tolist() == [1, 2, 0]
    assert side.photographs.tolist() == [11, 12, 10]
    np.testing.assert_array_equal(side.embeddings, values[order])


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_an_unusable_embedding_is_one_sentence(bad: float) -> None:
    with pytest.raises(MaskgenError, match="1 embeddings are zero, NaN or infinite"):
        scores.side(np.array([[1, 0], [bad, 0]], np.float32), [0, 1], [0, 1])
