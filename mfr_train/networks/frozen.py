"""A frozen network as a backbone: faces are cut out and mirrored for it, and what it gives is checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskgen.errors import MaskgenError

from . import faces as cutting
from .backbone import Backbone, Floats, Images
from .faces import Faces
from .pooled import PooledNetwork
from .preprocessing import WHOLE, Preprocessing

Network = Callable[[Faces], Floats]
"""Faces, uint8 (N, size, size, 3) RGB -> features (N, dim)."""

NetworkWithLandmarks = Callable[[Faces, Floats], Floats]
"""The same with landmarks (N, 68, 2) in pixels of the faces."""


def frozen(
    name: str,
    what: str,
    dim: int,
    network: Network,
    made: Preprocessing,
    prints: tuple[str, ...],
    zeros: bool = False,
    pooled: PooledNetwork | None = None,
) -> Backbone:
    """A network with its preprocessing. `what` names it in errors; `prints` are its fingerprint and former ones.

    `zeros`: a feature may be of length zero, since a projection follows that adds to it. `pooled` are the parts of the
    network, which does not give an embedding that is summed with that of the mirror image.
    """

    def run(images: Images, landmarks: Floats) -> Floats:
        found = cutting.cut_out(images, landmarks, _align(made), _size(made))
        features = checked(network(found), len(images), dim, what)
        if made.flip_sum:
            features = features + checked(network(cutting.mirrored(found)), len(images), dim, what)
        return features if zeros else not_zero(features, what)

    size = _size(made) if _align(made) == WHOLE else None
    return Backbone(name, dim, size, prints[0], run, prints[1:], made, None if made.flip_sum else pooled)


def frozen_with_landmarks(
    name: str, what: str, dim: int, network: NetworkWithLandmarks, made: Preprocessing, fingerprint: str
) -> Backbone:
    """A network that also takes the landmarks."""

    def run(images: Images, landmarks: Floats) -> Floats:
        size = _size(made)
        found = cutting.cut_out(images, landmarks, _align(made), size)
        points = cutting.landmarks_of(images, landmarks, _align(made), size)
        features = checked(network(found, points), len(images), dim, what)
        if made.flip_sum:
            other = network(cutting.mirrored(found), cutting.mirrored_landmarks(points, size))
            features = features + checked(other, len(images), dim, what)
        return not_zero(features, what)

    return Backbone(name, dim, None, fingerprint, run, (), made)


def checked(found: Floats, count: int, dim: int, what: str) -> Floats:
    """What a network gave for `count` pictures. Raises `MaskgenError` if it is not an embedding of each."""
    if found.shape != (count, dim):
        raise MaskgenError(
            f"{what} gives an array of shape {found.shape} for {count} pictures in place of ({count}, {dim}); "
            "it must give each picture an embedding of the same length, however many there are."
        )
    if not np.isfinite(found).all():
        raise MaskgenError(
            f"{what} gives embeddings that are no finite numbers; check what it expects (--mean, --scale), or its "
            "weights."
        )
    return found


def not_zero(features: Floats, what: str) -> Floats:
    """The same features. Raises `MaskgenError` if one has the length zero."""
    if not features.any(axis=1).all():
        raise MaskgenError(
            f"{what} gives a picture the embedding 0, which has no direction to compare; check what it expects "
            "(--mean, --scale), or its weights."
        )
    return features


def _align(made: Preprocessing) -> str:
    assert made.align
    return made.align


def _size(made: Preprocessing) -> int:
    assert made.input_size
    return made.input_size
