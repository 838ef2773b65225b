"""What stage 2 trains on frozen features: the paper's linear layer for all pictures, or EUM for masked ones.

EUM, the embedding unmasking model, is that of Boutros et al. ("Self-restrained triplet loss for accurate masked face
recognition", Pattern Recognition 124, 2022): it maps the feature of a masked picture to where that of the unmasked face
lies. Unmasked pictures keep their features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..defaults import EUM

EUM_LAYERS = 4
SLOPE = 0.2
"""Of LeakyReLU where its input is negative."""


class Eum(nn.Sequential):
    """[Linear, BatchNorm, LeakyReLU] three times, then Linear and BatchNorm: (N, D) to (N, D)."""

    def __init__(self, features: int) -> None:
        parts: list[nn.Module] = []
        for number in range(EUM_LAYERS):
            parts += [nn.Linear(features, features), nn.BatchNorm1d(features)]
            if number + 1 < EUM_LAYERS:
                parts.append(nn.LeakyReLU(SLOPE))
        super().__init__(*parts)


def new_layer(features: int, dim: int, seed: int) -> nn.Linear:
    """The linear layer before training: W orthogonal, b zero.

    If dim >= features, the embedding has exactly the cosines of the backbone's features, so training starts from the
    backbone's accuracy; a smaller dim gives a random projection, which nearly preserves them.
    """
    layer = nn.Linear(features, dim)
    nn.init.orthogonal_(layer.weight, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(layer.bias)
    return layer


def new_head(kind: str, features: int, dim: int, seed: int) -> nn.Module:
    """The head before training, from the seed alone. EUM has random weights, as published."""
    if kind != EUM:
        return new_layer(features, dim, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Eum(features)


def embedded(head: nn.Module, anchor: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The embeddings of a triplet's features, (N, D) each: unmasked, masked, and another person's.

    Each is a function of its own row, so that the three may have different numbers of rows. EUM is applied to the
    masked pictures, which become the anchors, and the unmasked ones the positives.
    """
    if isinstance(head, Eum):
        raw = torch.split(functional.normalize(torch.cat([anchor, negative])), [len(anchor), len(negative)])
        return functional.normalize(head(positive)), raw[0], raw[1]
    every = functional.normalize(head(torch.cat([anchor, positive, negative])))
    one, other, third = torch.split(every, [len(anchor), len(positive), len(negative)])
    return one, other, third


def tensors_of(head: nn.Module) -> dict[str, Tensor]:
    """What a run keeps of a trained head: W and b, or those of each layer of EUM with its BatchNorm folded in."""
    if not isinstance(head, Eum):
        return dict(head.state_dict())
    found: dict[str, Tensor] = {}
    parts: list[Any] = [part for part in head if not isinstance(part, nn.LeakyReLU)]
    for number, (linear, norm) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        bias = (linear.bias.double() - norm.running_mean.double()) * scale + norm.bias.double()
        found[f"{number}.weight"] = (linear.weight.double() * scale[:, None]).float().detach()
        found[f"{number}.bias"] = bias.float().detach()
    return found
