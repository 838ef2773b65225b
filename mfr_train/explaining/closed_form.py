"""Smooth Grad-CAM++ of every feature of an embedding at once, without running the network backwards.

A network ends in global average pooling and a linear layer: z = W mean(A) + b, where A (K, h, w) is the output of the
last convolution and the mean is over its HW = h w positions. The derivative of a feature c is then the same at every
position: J_ck / HW, with

    J = W                             before the embedding is scaled to length 1
    J = (W - e (e^T W)) / ||z||       after it: e = z / ||z||

Grad-CAM++ (Chattopadhay et al. 2018, the score behind an exponential) takes powers of the first derivative for the
higher ones. Smooth Grad-CAM++ (Omeiza et al. 2019) takes their means over noisy copies of the picture. With J1, J2 and
J3 for the means of J, J^2 and J^3, and the mean activation a_k of the clean picture,

    weight_ck = relu(J1_ck) J2_ck / (2 J2_ck + a_k J3_ck)
    map = mean over c of relu(sum over k of weight_ck A_k)

with the activations of the clean picture. The text of Omeiza et al. has the first derivative in the place of the
second in the numerator: HW J1 instead of J2, since HW no longer cancels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..networks.model import Model
from ..networks.pooled import PooledNetwork
from .explain_settings import SECOND


@dataclass(frozen=True, eq=False)
class Head:
    """What follows the pooling: z = weight @ mean(A) + bias, with weight (d, K) and bias (d,)."""

    weight: Tensor
    bias: Tensor


def head_of(model: Model, pooled: PooledNetwork, channels: int) -> Head:
    """The linear layer of a network and the projection of stage 2 as one linear layer, in float64."""

    def tensor(values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64)

    weight = torch.eye(channels, dtype=torch.float64) if pooled.weight is None else tensor(pooled.weight)
    bias = torch.zeros(len(weight), dtype=torch.float64) if pooled.bias is None else tensor(pooled.bias)
    if model.weight is not None and model.bias is not None:
        projection = tensor(model.weight)
        weight, bias = projection @ weight, projection @ bias + tensor(model.bias)
    return Head(weight.float().to(pooled.device), bias.float().to(pooled.device))


def mean_map(clean: Tensor, noisy: Tensor, head: Head, normalised: bool = True, numerator: str = SECOND) -> Tensor:
    """The map (h, w) of Smooth Grad-CAM++, averaged over all features.

    `clean` (K, h, w) are the activations of the picture, `noisy` (n, K, h, w) those of noisy copies. Without copies
    the derivatives are those of the picture itself, and the map is that of Grad-CAM++.
    """
    flat = clean.flatten(1)
    first, second, third = _mean_powers(noisy if len(noisy) else clean[None], head, normalised)
    above = second if numerator == SECOND else first * flat.shape[1]
    below = 2 * second + flat.mean(1) * third
    alpha = torch.where(below != 0, above / torch.where(below != 0, below, 1), 0)
    weights = alpha * first.relu()
    return (weights @ flat).relu().mean(0).view(clean.shape[1:])


def _mean_powers(activations: Tensor, head: Head, normalised: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The means over copies (n, K, h, w) of J, J^2 and J^3, each (d, K)."""
    if not normalised:  # J = W for every picture
        return head.weight, head.weight**2, head.weight**3
    sums = [torch.zeros_like(head.weight) for _ in range(3)]
    for pooled in activations.flatten(2).mean(2):
        z = head.weight @ pooled + head.bias
        length = z.norm()
        if length == 0:  # it has no direction that could change
            continue
        e = z / length
        derivative = (head.weight - torch.outer(e, e @ head.weight)) / length
        power = derivative
        for total in sums:
            total += power
            power = power * derivative
    first, second, third = (total / len(activations) for total in sums)
    return first, second, third
