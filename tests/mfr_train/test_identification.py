"""Identification (1:N) against figures worked out by hand and by loops over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from maskgen.errors import MaskgenError
from mfr_train.evaluation import identification, scores
from mfr_train.evaluation.identification import Searches


def circle(*degrees: float) -> np.ndarray:
    """Embeddings in the plane, whose scores are cosines of the differences of their angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def side(embeddings, subjects, photographs):
    return scores.side(embeddings, subjects, photographs)[0]


def test_ranks_and_best_others_are_those_of_a_hand_made_gallery():
    gallery = side(circle(0, 40, 90), [0, 1, 2], [0, 1, 2])
    probes = side(circle(5, 25, 90, 60), [0, 0, 1, 2], [3, 4, 5, 6])
    found = identification.search(gallery, probes)
    # 25 degrees is nearer to subject 1 (15) than to its own (25); 90 is subject 2's; 60 is nearer to 1 (20) than to 2.
    assert found.ranks.tolist() == [1, 2, 2, 2]
    degrees = np.degrees(np.arccos(np.stack([found.mates, found.others])))
    np.testing.assert_allclose(degrees, [[5, 25, 50, 30], [35, 15, 0, 20]], atol=0.02)
    measured = identification.measure("U-M", 3, found, 0, 0)
    assert measured.cmc == (0.25, 1.0, 1.0)
    assert (measured.gallery, measured.probes) == (3, 4)
    # Below 10 % of FPIR no search may find another subject: the threshold lies above every score of the others.
    assert measured.fnir[0.1].fmr == 0
    assert measured.fnir[0.1].fnmr == 1
    assert not measured.cmc_intervals


def test_a_picture_of_the_enrolled_photograph_is_no_probe():
    gallery = side(circle(0, 90), [0, 1], [0, 1])
    probes = side(circle(10, 80, 85), [0, 1, 1], [0, 1, 2])
    found = identification.search(gallery, probes)
    assert found.subjects.tolist() == [1]
    assert found.ranks.tolist() == [1]


def test_another_subject_with_the_same_score_comes_first():
    gallery = side(circle(0, 0, 90), [0, 1, 2], [0, 1, 2])
    found = identification.search(gallery, side(circle(0), [0], [3]))
    assert found.ranks.tolist() == [2]


def test_searches_in_blocks_equal_loops_over_all_pairs(monkeypatch):
    monkeypatch.setattr(identification, "CELLS", 50)  # a few probes at a time
    draw = np.random.default_rng(1)
    subjects = np.repeat(np.arange(12), 4)
    centres = draw.normal(size=(12, 8))
    pictures = (centres[subjects] + draw.normal(size=(48, 8))).astype(np.float32)
    first = np.arange(48) % 4 == 0
    gallery = side(pictures[first], subjects[first], np.flatnonzero(first))
    probes = side(pictures, subjects, np.arange(48))
    found = identification.search(gallery, probes)
    table = probes.embeddings.astype(float) @ gallery.embeddings.astype(float).T
    expected = []
    for probe in range(48):
        if not first[probe]:
            mate = table[probe, subjects[probe]]
            others = np.delete(table[probe], subjects[probe])
            expected.append((mate, others.max(), 1 + (others >= mate).sum()))
    np.testing.assert_allclose(np.stack([found.mates, found.others, found.ranks], axis=1), expected, rtol=0)
    measured = identification.measure("U-U", 12, found, 200, 0)
    ranks = np.array([rank for *_, rank in expected])
    assert measured.cmc == tuple((ranks <= k).mean() for k in range(1, 13))
    for limit, point in measured.fnir.items():
        mates, others = (np.array(column) for column in list(zip(*expected, strict=True))[:2])
        thresholds = [*np.unique(np.concatenate([mates, others])), np.inf]
        best = next(t for t in thresholds if (others >= t).mean() < limit)
        assert (point.threshold, point.fmr, point.fnmr) == (best, (others >= best).mean(), (mates < best).mean())
        low, high = measured.fnir_intervals[limit]
        assert low <= point.fnmr <= high
    assert all(low <= rate <= high for rate, (low, high) in zip(measured.cmc, measured.cmc_intervals, strict=True))


def test_intervals_are_over_the_subjects_of_the_probes():
    """All probes of a subject are drawn together: two resamples of two values each are all there is with one each."""
    subjects = np.repeat(np.arange(4), 25)
    hits = np.repeat([True, True, False, False], 25)
    found = Searches(subjects, np.where(hits, 0.9, 0.1), np.full(100, 0.5), np.where(hits, 1, 2))
    measured = identification.measure("M-M", 4, found, 2000, 0)
    assert measured.cmc[0] == 0.5
    # k of 4 draws are of the two subjects that are always found: binomial, 2.5 % below 0 of 4 (6.25 %).
    assert measured.cmc_intervals[0] == (0.0, 1.0)
    assert set(measured.few) == {0.1, 0.01, 0.001}


def test_the_gallery_is_one_photograph_of_each_subject_whatever_their_order():
    keys = [f"{number:09}" for number in range(60)]
    subjects = np.arange(60) % 7
    chosen = identification.enrolled(keys, subjects, seed=3)
    assert np.bincount(subjects[chosen], minlength=7).tolist() == [1] * 7
    order = np.random.default_rng(0).permutation(60)
    again = identification.enrolled([keys[i] for i in order], subjects[order], seed=3)
    assert {keys[i] for i in np.flatnonzero(chosen)} == {keys[order[i]] for i in np.flatnonzero(again)}
    assert not np.array_equal(chosen, identification.enrolled(keys, subjects, seed=4))


def test_a_gallery_or_probes_that_do_not_suffice_are_one_sentence():
    with pytest.raises(MaskgenError, match=r"fewer than two subjects"):
        identification.search(side(circle(0), [0], [0]), side(circle(0), [0], [1]))
    with pytest.raises(MaskgenError, match=r"two photographs of a subject"):
        identification.search(side(circle(0, 9), [0, 1], [0, 1]), side(circle(0, 9), [0, 1], [0, 1]))
