"""The last layer and the loss of stage 1: softmax as in the paper, or one of the losses with a margin.

ArcFace is that of Deng et al. (CVPR 2019), CosFace that of Wang et al. (CVPR 2018). Both classify by the cosine of a
feature and the class's weights, both scaled to length 1, and make it harder for the right class in training.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SOFTMAX, ARCFACE, COSFACE = "softmax", "arcface", "cosface"
"""The names of `defaults.CLASSIFIERS`."""


class CosineClassifier(nn.Module):
    """The cosines of features (N, dim) and the weights of each class, float32 (N, classes)."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.xavier_normal_(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):  # an angle is not known to three digits
            return functional.linear(functional.normalize(features.float()), functional.normalize(self.weight.float()))


def classification_loss(outputs: Tensor, labels: Tensor, kind: str, margin: float, scale: float) -> Tensor:
    """The mean loss of a batch, a scalar, from the outputs of the last layer (N, classes) and labels int64 (N,)."""
    if kind == SOFTMAX:
        return functional.cross_entropy(outputs, labels)
    cosines = outputs.clamp(-1, 1)
    right = cosines.gather(1, labels[:, None])
    harder = right - margin if kind == COSFACE else _angle_added(right, margin)
    return functional.cross_entropy(scale * cosines.scatter(1, labels[:, None], harder), labels)


def _angle_added(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + m). Beyond theta = pi - m it would rise again, and cos(theta) - m sin(m) continues it downwards."""
    sine = (1 - cosine.square()).clamp_min(1e-12).sqrt()
    added = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > -math.cos(margin), added, cosine - margin * math.sin(margin))
