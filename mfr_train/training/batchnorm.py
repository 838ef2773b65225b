"""BatchNorm's running statistics when a batch goes through the network in pieces."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def statistics(network: nn.Module) -> list[Tensor]:
    """The running means and variances of a network, as they are changed in place."""
    return [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]


class AveragedStatistics:
    """Makes a step move the running statistics once, towards the mean of its pieces' statistics.

    By default they move with every piece: a batch that is split for lack of memory, or among processes, would give
    another network to validate. Each piece starts from the statistics at the start of the step; the mean of their
    results is the new state.
    """

    def __init__(self, network: nn.Module, pieces: int) -> None:
        self.now = statistics(network) if pieces > 1 else []
        self.start = [buffer.clone() for buffer in self.now]
        self.mean = [torch.zeros_like(buffer) for buffer in self.now]

    def before_piece(self) -> None:
        for buffer, start in zip(self.now, self.start, strict=True):
            buffer.copy_(start)

    def after_piece(self, share: float) -> None:
        for buffer, mean in zip(self.now, self.mean, strict=True):
            mean.add_(buffer, alpha=share)

    def finish(self) -> None:
        for buffer, mean in zip(self.now, self.mean, strict=True):
            buffer.copy_(mean)
