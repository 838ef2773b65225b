"""Networks that end in global average pooling and a linear layer, taken apart at the pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PooledNetwork:
    """The parts of a network whose features are `weight @ mean(activations) + bias`.

    Attributes:
        cut_out: Pictures with landmarks (N, 68, 2) -> the faces that the network sees, uint8 (N, s, s, 3) RGB.
        matrix: A picture and its landmarks (68, 2) -> the map from its pixels to those of the face, (2, 3).
        activations: Faces as floating-point numbers from 0 to 255, (N, s, s, 3) -> what is pooled, (N, K, h, w). It
            runs on `device`.
        size: The side s of a face in pixels.
        stride: Pixels of the face from one position of `activations` to the next.
        first: The pixel of the face in the middle of what the first position sees, in both directions.
        device: Where it runs.
        weight: Of the linear layer, float32 (D, K). None: the pooled activations are the features.
        bias: Of the linear layer, float32 (D,).
    """

    cut_out: Callable[[Sequence[Image], Floats], Image]
    matrix: Callable[[Image, Floats], Matrix]
    activations: Callable[[Tensor], Tensor]
    size: int
    stride: float
    first: float
    device: str
    weight: Floats | None = None
    bias: Floats | None = None
