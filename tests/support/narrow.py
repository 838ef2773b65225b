"""ResNet18 with an eighth of the channels in its blocks, for tests in which the size of the network does not matter.

The layers, their names, BatchNorm, the optimiser and the files are those of ResNet18. It has 65 times fewer weights, so
a training is seconds shorter and a checkpoint has 1.5 MB instead of 90.
"""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from mfr_train.networks import resnet

SHARE = 8
torchvision_model = resnet.get_model


class NarrowResNet18(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet18 but for the number of channels; its features have length 64."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        self.fc = nn.Linear(512 // SHARE, 1000)

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // SHARE, *arguments, **options)


def _narrow_model(name: str) -> nn.Module:
    network: nn.Module = NarrowResNet18() if name == "resnet18" else torchvision_model(name)
    return network


def use_narrow_networks(patch: pytest.MonkeyPatch) -> None:
    """Every ResNet18 that mfr_train makes until `patch` is undone is a narrow one."""
    patch.setattr(resnet, "get_model", _narrow_model)


def use_whole_networks(patch: pytest.MonkeyPatch) -> None:
    """Networks are torchvision's again."""
    patch.setattr(resnet, "get_model", torchvision_model)
