"""The contract of a frozen network that turns photographs into feature vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .pooled import PooledNetwork
from .preprocessing import NOTHING_GIVEN, Preprocessing

Image = npt.NDArray[np.uint8]
Images = Sequence[Image] | npt.NDArray[np.uint8]
"""Pictures, uint8 (h, w, 3) RGB each; of one size they may be one array, (N, h, w, 3)."""

Floats = npt.NDArray[np.float32]

CHUNK = 64
"""Pictures that go through a network together when features are computed: bounds memory."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network. `fingerprint` is a hash of its weights and of how pictures are fed to it.

    `dim` is the length of a feature, `input_size` the side in pixels to which pictures are scaled (None: it needs the
    landmarks, by which faces are cut out and aligned). What was trained on features of a network with one of the
    `former_fingerprints` fits this one: its features are the same but for rounding. `preprocessing` is all that is
    known about how pictures are fed to it. `pooled` are its parts, if it ends in pooling and a linear layer and they
    can be read. `module` is the network in PyTorch, if it is one: from faces as `run` cuts them out, uint8
    (N, size, size, 3) RGB, to features. With `pairs` a feature is two embeddings side by side: that of the face if it
    is unmasked, and if it is masked.
    """

    name: str
    dim: int
    input_size: int | None
    fingerprint: str
    run: Callable[[Images, Floats], Floats]
    former_fingerprints: tuple[str, ...] = ()
    preprocessing: Preprocessing = NOTHING_GIVEN
    pooled: PooledNetwork | None = None
    module: Any = None
    pairs: bool = False

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Its own fingerprint, and those of networks with the same features."""
        return (self.fingerprint, *self.former_fingerprints)

    @property
    def on_gpu(self) -> bool:
        """Whether `module` runs on a GPU."""
        return self.module is not None and any(weights.is_cuda for weights in self.module.parameters())

    @property
    def aligns_faces(self) -> bool:
        """Whether it needs the landmarks of the face in each picture."""
        return self.input_size is None

    def features(self, images: Images, landmarks: Floats) -> Floats:
        """Features, float32 (N, dim), of N pictures: uint8 (h, w, 3) RGB each, with landmarks (N, 68, 2) in pixels."""
        images = list(images)
        found = [
            self.run(images[start : start + CHUNK], landmarks[start : start + CHUNK])
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(found) if found else np.empty((0, self.dim), np.float32)
