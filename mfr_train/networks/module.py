"""A model as one PyTorch module: faces in, embeddings out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbone import Floats

EUM_SLOPE = 0.2
"""Of LeakyReLU between the layers of EUM, where its input is negative."""

Layer = tuple[Floats, Floats]
"""W (d, D) and b (d,)."""


class FaceModule(nn.Module):
    """Faces -> embeddings of length 1. `network` gives the features, `head` or `unmasking` is what stage 2 trained.

    Faces are uint8, or float of the same values 0..255, (N, size, size, 3) RGB: the network scales them itself.
    """

    def __init__(
        self, network: nn.Module, head: Layer | None = None, unmasking: Sequence[Layer] = (), flip_sum: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.head = _linear(*head) if head else nn.Identity()
        layers: list[nn.Module] = []
        for weight, bias in unmasking:
            layers += [nn.LeakyReLU(EUM_SLOPE)] * bool(layers) + [_linear(weight, bias)]
        self.unmasking = nn.Sequential(*layers) if layers else None
        self.flip_sum = flip_sum

    def features(self, faces: Tensor) -> Tensor:
        """The features of the network, (N, D)."""
        found: Tensor = self.network(faces)
        return found + self.network(faces.flip(2)) if self.flip_sum else found

    def forward(self, faces: Tensor, masked: Tensor | None = None) -> Tensor:
        """Embeddings, (N, d). `masked`, bool (N,), says which faces wear a mask; only EUM uses it."""
        features = self.features(faces)
        found = self.head(features)
        if self.unmasking is not None and masked is not None:
            found = torch.where(masked[:, None], self.unmasking(features), found)
        return functional.normalize(found)


class Scaled(nn.Module):
    """A network that takes (x - mean) / scale, (N, 3, size, size), as one on faces."""

    def __init__(self, network: nn.Module, mean: float, scale: float) -> None:
        super().__init__()
        self.network, self.mean, self.scale = network, mean, scale

    def forward(self, faces: Tensor) -> Tensor:
        found: Tensor = self.network((faces.permute(0, 3, 1, 2).float() - self.mean) / self.scale)
        return found


def face_module(
    network: nn.Module, head: Layer | None, unmasking: Sequence[Layer], flip_sum: bool = False
) -> FaceModule:
    """The module of a model, in evaluation mode. It is a copy: what is done to it does not change the model."""
    device = next(network.parameters()).device
    return FaceModule(copy.deepcopy(network), head, unmasking, flip_sum).to(device).eval().requires_grad_(False)


def _linear(weight: Floats, bias: Floats) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
