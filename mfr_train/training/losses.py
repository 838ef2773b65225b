"""The losses of stage 2 on embeddings of length one, (N, d) each: anchors, positives, negatives.

Triplet loss after Schroff et al., FaceNet (2015); the sum with the mean squared error after Neto et al. (2021); the
self-restrained triplet loss after Boutros et al. (2022).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distance(a: Tensor, b: Tensor, kind: str) -> Tensor:
    """Distance of each pair of rows, (N,): ||a - b||^2 (0..4), ||a - b|| (0..2), or 1 - a.b (0..2).

    For rows of length one the squared distance is twice the cosine distance.
    """
    if kind == "cosine":
        return 1 - (a * b).sum(dim=1)
    squared = (a - b).square().sum(dim=1)
    # The root has no gradient at zero, where an anchor meets a positive of the same pixels.
    return squared.clamp_min(1e-12).sqrt() if kind == "euclidean" else squared


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, kind: str) -> Tensor:
    """Mean over triplets of max(d(a, p) - d(a, n) + margin, 0); a scalar."""
    return functional.relu(distance(anchor, positive, kind) - distance(anchor, negative, kind) + margin).mean()


def mse(anchor: Tensor, positive: Tensor) -> Tensor:
    """Mean over triplets and over the d components of (a - p)^2, as in torch: ||a - p||^2 / d; a scalar."""
    return functional.mse_loss(anchor, positive)


def self_restrained(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, kind: str) -> Tensor:
    """The self-restrained triplet loss of Boutros et al. (2022); a scalar.

    If the negatives are, in the mean over the batch, at least as far from the anchors as from the positives, they are
    far enough: the mean of d(p, n) takes the place of d(a, n), so that anchors are only drawn to their positives.
    """
    near, far = distance(anchor, positive, kind), distance(anchor, negative, kind)
    between = distance(positive, negative, kind)
    if far.mean() >= between.mean():
        far = between.mean()
    return functional.relu(near - far + margin).mean()


def embedding_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float,
    kind: str,
    mse_weight: float,
    loss_kind: str = "triplet+mse",
) -> Tensor:
    """The loss of a batch: TL + lambda * MSE with lambda = `mse_weight`, TL alone, or the self-restrained loss."""
    if loss_kind == "srt":
        return self_restrained(anchor, positive, negative, margin, kind)
    if loss_kind == "triplet":
        mse_weight = 0
    loss = triplet_loss(anchor, positive, negative, margin, kind)
    return loss + mse_weight * mse(anchor, positive) if mse_weight else loss
