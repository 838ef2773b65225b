"""The contract of a frozen network that turns photographs into feature vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .pooled import PooledNetwork
from .preprocessing import NOTHING_GIVEN, Preprocessing

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

CHUNK = 64
"""Pictures that go through a network together when features are computed: bounds memory."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network. `fingerprint` is a hash of its weights and of how pictures are fed to it.

    `dim` is the length of a feature, `input_size` the side in pixels to which pictures are scaled (None: it needs the
    landmarks, by which faces are cut out and aligned). What was trained on features of a network with one of the
    `former_fingerprints` fits this one: its features are the same but for rounding. `preprocessing` is all that is
    known about how pictures are fed to it. `pooled` are its parts, if it ends in pooling and a
    linear layer and they can be read.
    """

    name: str
    dim: int
    input_size: int | None
    fingerprint: str
    run: Callable[[Sequence[Image], Floats], Floats]
    former_fingerprints: tuple[str, ...] = ()
    preprocessing: Preprocessing = NOTHING_GIVEN
    pooled: PooledNetwork | None = None

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Its own fingerprint, and those of networks with the same features."""
        return (self.fingerprint, *self.former_fingerprints)

    @property
    def aligns_faces(self) -> bool:
        """Whether it needs the landmarks of the face in each picture."""
        return self.input_size is None

    def features(self, images: Sequence[Image] | npt.NDArray[np.uint8], landmarks: Floats) -> Floats:
        """Features, float32 (N, dim), of N pictures: uint8 (h, w, 3) RGB each, with landmarks (N, 68, 2) in pixels."""
        images = list(images)
        found = [
            self.run(images[start : start + CHUNK], landmarks[start : start + CHUNK])
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(found) if found else np.empty((0, self.dim), np.float32)
