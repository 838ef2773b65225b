"""Losses against values worked out by hand and against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from mfr_train.defaults import DISTANCES
from mfr_train.training import losses

A = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
P = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
N = torch.tensor([[0.8, 0.6], [-1.0, 0.0]])


@pytest.mark.parametrize(
    ("kind", "values"), [("squared", [0.8, 0.0]), ("euclidean", [math.sqrt(0.8), 0.0]), ("cosine", [0.4, 0.0])]
)
def test_distances_by_hand(kind, values):
    torch.testing.assert_close(losses.distance(A, P, kind), torch.tensor(values), atol=2e-6, rtol=1e-6)


def test_triplet_loss_by_hand():
    # First triplet: 0.8 - 0.4 + 0.2 = 0.6; second: 0 - 4 + 0.2 < 0, so 0.
    assert losses.triplet_loss(A, P, N, 0.2, "squared").item() == pytest.approx(0.3)
    assert losses.triplet_loss(A, P, N, 0.2, "cosine").item() == pytest.approx((0.4 - 0.2 + 0.2) / 2)


# Of A, P and N: squared 0.8, 0 and 0.4, 4; Euclidean their roots; cosine half of them. MSE: (0.8 / 2 + 0) / 2 = 0.2.
@pytest.mark.parametrize(
    ("kind", "margin", "mse_weight", "value"),
    [
        ("squared", 0.2, 0, (0.8 - 0.4 + 0.2) / 2),
        ("squared", 0.0, 1, (0.8 - 0.4) / 2 + 0.2),
        ("squared", 5.0, 10, ((0.8 - 0.4 + 5) + (0 - 4 + 5)) / 2 + 2),
        ("euclidean", 0.2, 0, (math.sqrt(0.8) - math.sqrt(0.4) + 0.2) / 2),
        ("euclidean", 3.0, 1, ((math.sqrt(0.8) - math.sqrt(0.4) + 3) + (0 - 2 + 3)) / 2 + 0.2),
        ("cosine", 0.2, 30, (0.4 - 0.2 + 0.2) / 2 + 6),
        ("cosine", 2.5, 0, ((0.4 - 0.2 + 2.5) + (0 - 2 + 2.5)) / 2),
    ],
)
def test_losses_by_hand_for_every_distance_margin_and_lambda(kind, margin, mse_weight, value):
    assert losses.embedding_loss(A, P, N, margin, kind, mse_weight).item() == pytest.approx(value, abs=2e-6)


def test_mse_is_the_squared_distance_over_the_length():
    assert losses.mse(A, P).item() == pytest.approx((0.8 / 2 + 0) / 2)
    assert losses.embedding_loss(A, P, N, 0.2, "squared", 5.0).item() == pytest.approx(0.3 + 5 * 0.2)
    assert losses.embedding_loss(A, P, N, 0.2, "squared", 0).item() == pytest.approx(0.3)


def test_triplet_loss_is_torchs_own_for_the_euclidean_distance():
    generator = torch.Generator().manual_seed(0)
    a, p, n = functional.normalize(torch.randn(3, 50, 8, generator=generator), dim=2)
    wanted = functional.triplet_margin_loss(a, p, n, margin=0.2, eps=0)
    torch.testing.assert_close(losses.triplet_loss(a, p, n, 0.2, "euclidean"), wanted)


@pytest.mark.parametrize("kind", DISTANCES)
def test_the_gradient_is_finite_where_anchor_and_positive_are_equal(kind):
    a = A.clone().requires_grad_()
    losses.triplet_loss(a, A, A, 0.2, kind).backward()
    assert torch.isfinite(a.grad).all()
