"""Triplets: who may be drawn, and how often."""

from __future__ import annotations

import numpy as np
import pytest

from maskgen.errors import UsageError
from mfr_train.training import triplets

LABELS = np.array([2, 0, 2, 1, 0, 2, 3], np.int32)


def drawn(number=20_000, positive="any", negative="any", share=0.5, labels=LABELS):
    groups = triplets.group(labels, positive)
    return triplets.draw(groups, number, 6, share, positive, negative, np.random.default_rng(0))


def test_positives_share_the_identity_and_negatives_never_do():
    for positive in ("any", "other", "same"):
        anchor, match, other = drawn(positive=positive).rows
        assert (LABELS[anchor] == LABELS[match]).all()
        assert (LABELS[anchor] != LABELS[other]).all()
        if positive == "other":
            assert (anchor != match).all()
            assert not np.isin(anchor, [3, 6]).any()  # identities of one photograph
        if positive == "same":
            assert (anchor == match).all()


def test_draws_are_uniform():
    anchor, match, other = drawn().rows
    np.testing.assert_allclose(np.bincount(anchor, minlength=7) / 20_000, 1 / 7, atol=0.01)
    of_two = LABELS[anchor] == 2
    np.testing.assert_allclose(np.bincount(match[of_two], minlength=7)[[0, 2, 5]] / of_two.sum(), 1 / 3, atol=0.02)
    np.testing.assert_allclose(np.bincount(other[of_two], minlength=7)[[1, 3, 4, 6]] / of_two.sum(), 1 / 4, atol=0.02)


def test_anchors_are_unmasked_positives_masked_and_negatives_as_told():
    for negative, masked in (("any", 0.3), ("masked", 1.0), ("unmasked", 0.0)):
        anchor, match, other = drawn(negative=negative, share=0.3).pictures
        assert (anchor == 0).all()
        assert set(match) == {1, 2, 3, 4, 5, 6}
        assert abs((other > 0).mean() - masked) < 0.02


def test_what_gives_no_triplet_is_refused():
    with pytest.raises(UsageError, match="two identities"):
        triplets.group(np.zeros(5, np.int32))
    with pytest.raises(UsageError, match="--positive any"):
        triplets.group(np.arange(4, dtype=np.int32), "other")
    assert (
        drawn(labels=np.arange(4, dtype=np.int32)).rows[0] == drawn(labels=np.arange(4, dtype=np.int32)).rows[1]
    ).all()
