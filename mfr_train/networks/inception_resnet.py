"""Inception-ResNet v1 with the weights of facenet-pytorch, a package that is no longer maintained.

Its names of modules are kept, so that its state dicts load as they are. The architecture is that of Szegedy et al.,
"Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning" (2016), with the changes of
David Sandberg's facenet: an embedding of 512 numbers behind a linear layer and BatchNorm, scaled to length 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from .backbone import Backbone, Floats
from .faces import Faces
from .frozen import frozen
from .pooled import PooledNetwork
from .preprocessing import CHIP, NOTHING_GIVEN, RGB, Preprocessing, completed, fingerprint
from .resnet import load_module

NAME = "inception_resnet_v1"
DIM = 512
EPSILON = 1e-3
"""Of BatchNorm, as in TensorFlow, where the weights come from."""

USUAL = Preprocessing(RGB, 127.5, 128.0, 160, align=CHIP)
OPTIONS = ("align", "flip_sum")

STRIDE, FIRST = 32.0, 37.0
"""Of the 3 x 3 positions that are pooled: unpadded convolutions centre the first one on pixel 37 of the face."""

Size = int | tuple[int, int]


class Convolution(nn.Module):
    """A convolution, BatchNorm and ReLU."""

    def __init__(self, channels: int, filters: int, size: Size, stride: int = 1, padding: Size = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(filters, eps=EPSILON)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.bn(self.conv(features)).relu_()
        return found


class Branches(nn.Module):
    """Branches side by side: the channels of their outputs follow each other."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{number}")(features) for number in range(self.count)], 1)


class Residual(Branches):
    """Branches whose outputs, projected by `conv2d` and scaled, are added to the input."""

    def __init__(self, branches: Sequence[nn.Module], filters: int, channels: int, scale: float, relu: bool) -> None:
        super().__init__(branches)
        self.conv2d = nn.Conv2d(filters, channels, 1)
        self.scale, self.relu = scale, relu

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.conv2d(super().forward(features)) * self.scale + features
        return found.relu_() if self.relu else found


def block35() -> Residual:
    """For features of 256 channels; of 35 x 35 pixels in the paper, whence the name."""
    one = Convolution(256, 32, 1)
    two = nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1))
    three = nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1), Convolution(32, 32, 3, padding=1))
    return Residual((one, two, three), 96, 256, 0.17, True)


def block17() -> Residual:
    one = Convolution(896, 128, 1)
    wide, high = Convolution(128, 128, (1, 7), padding=(0, 3)), Convolution(128, 128, (7, 1), padding=(3, 0))
    return Residual((one, nn.Sequential(Convolution(896, 128, 1), wide, high)), 256, 896, 0.1, True)


def block8(scale: float = 0.2, relu: bool = True) -> Residual:
    one = Convolution(1792, 192, 1)
    wide, high = Convolution(192, 192, (1, 3), padding=(0, 1)), Convolution(192, 192, (3, 1), padding=(1, 0))
    return Residual((one, nn.Sequential(Convolution(1792, 192, 1), wide, high)), 384, 1792, scale, relu)


def mixed_6a() -> Branches:
    two = nn.Sequential(Convolution(256, 192, 1), Convolution(192, 192, 3, padding=1), Convolution(192, 256, 3, 2))
    return Branches((Convolution(256, 384, 3, 2), two, nn.MaxPool2d(3, 2)))


def mixed_7a() -> Branches:
    one = nn.Sequential(Convolution(896, 256, 1), Convolution(256, 384, 3, 2))
    two = nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, 2))
    three = nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, padding=1), Convolution(256, 256, 3, 2))
    return Branches((one, two, three, nn.MaxPool2d(3, 2)))


class InceptionResnet(nn.Module):
    """Faces, float32 (N, 3, 160, 160), (x - 127.5) / 128 of RGB values -> embeddings (N, 512) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = Convolution(3, 32, 3, 2)
        self.conv2d_2a = Convolution(32, 32, 3)
        self.conv2d_2b = Convolution(32, 64, 3, padding=1)
        self.maxpool_3a = nn.MaxPool2d(3, 2)
        self.conv2d_3b = Convolution(64, 80, 1)
        self.conv2d_4a = Convolution(80, 192, 3)
        self.conv2d_4b = Convolution(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = mixed_6a()
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = mixed_7a()
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, relu=False)
        self.last_linear = nn.Linear(1792, DIM, bias=False)
        self.last_bn = nn.BatchNorm1d(DIM, eps=EPSILON)

    def forward(self, faces: Tensor) -> Tensor:
        return functional.normalize(self.last_bn(self.last_linear(self.activations(faces).mean((2, 3)))))

    def activations(self, faces: Tensor) -> Tensor:
        """What is pooled, (N, 1792, 3, 3)."""
        features = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces))))
        features = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(features)))
        features = self.mixed_6a(self.repeat_1(features))
        features = self.mixed_7a(self.repeat_2(features))
        found: Tensor = self.block8(self.repeat_3(features))
        return found

    def linear(self) -> tuple[Floats, Floats]:
        """The linear layer and BatchNorm, which in evaluation mode is linear too, as one weight and bias."""
        norm = self.last_bn
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight, bias = scale[:, None] * self.last_linear.weight, norm.bias - scale * norm.running_mean
        return weight.detach().cpu().numpy(), bias.detach().cpu().numpy()


def is_state(tensors: dict[str, Tensor]) -> bool:
    """Whether the names of tensors are those of this network."""
    return any(name.removeprefix("module.") == "conv2d_1a.conv.weight" for name in tensors)


def inception_backbone(
    tensors: dict[str, Tensor], path: Path, device: str = "cpu", given: Preprocessing = NOTHING_GIVEN
) -> Backbone:
    """The network with these weights of the file `path`. A classifier among them is left out.

    Raises `UsageError` if the weights do not fit, or if something is given that does not apply.
    """
    what = f"the Inception-ResNet v1 of {path}"
    made = completed(given, USUAL, OPTIONS, what)
    network = InceptionResnet()
    load_module(network, tensors, path)
    digest = hashlib.sha256(NAME.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    network.to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def run(faces: Faces) -> Floats:
        batch = (torch.from_numpy(faces).to(device).permute(0, 3, 1, 2).float() - 127.5) / 128
        # By default cuDNN rounds the factors of a convolution to 10 bits on a GPU.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found: Floats = network(batch).float().cpu().numpy()
        return found

    @torch.inference_mode()
    def activations(faces: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return network.activations((faces.permute(0, 3, 1, 2) - 127.5) / 128)

    pooled = PooledNetwork(activations, STRIDE, FIRST, device, *network.linear(), normalised=True)
    return frozen(NAME, what, DIM, run, made, (fingerprint(digest.hexdigest(), made, USUAL),), pooled=pooled)
