"""Networks that end in global average pooling and a linear layer, taken apart at the pooling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PooledNetwork:
    """The parts of a network whose features are `weight @ mean(activations) + bias`.

    Attributes:
        activations: Faces as floating-point numbers from 0 to 255, (N, s, s, 3) -> what is pooled, (N, K, h, w). It
            runs on `device`.
        stride: Pixels of the face from one position of `activations` to the next.
        first: The pixel of the face in the middle of what the first position sees, in both directions.
        device: Where it runs.
        weight: Of the linear layer, float32 (D, K). None: the pooled activations are the features.
        bias: Of the linear layer, float32 (D,).
        normalised: Whether the network scales its features to length 1, so that nothing linear can follow.
    """

    activations: Callable[[Tensor], Tensor]
    stride: float
    first: float
    device: str
    weight: Floats | None = None
    bias: Floats | None = None
    normalised: bool = False
