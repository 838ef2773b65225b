"""dlib's face network, run by PyTorch: 128 features of an aligned face."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgen.errors import MaskgenError
from maskgen.imaging.detectors import model_path

from ..defaults import DLIB
from . import dlib_weights
from .backbone import Backbone, Floats
from .faces import Faces
from .frozen import frozen
from .pooled import PooledNetwork
from .preprocessing import CHIP, NOTHING_GIVEN, RGB, Preprocessing, completed, fingerprint

DLIB_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_CHIP = dlib_weights.INPUT_SIDE
"""Side in pixels of the aligned face that dlib's network takes."""

SCALE = 256.0
"""It takes (x - mean) / 256 of the values of a face."""

STRIDE, FIRST = 64.0, 50.0
"""Of the 2 x 2 positions that are pooled. For the first one, the convolutions of the last block are centred on pixel 65
of the face, and what is added to them on pixel 35, since dlib's blocks do not pad where they halve."""


class Block(nn.Module):
    """A residual block: two convolutions, and the input added to their output."""

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.halves = stride == 2
        # dlib pads where the stride is 1.
        self.first = nn.Conv2d(channels, filters, 3, stride, padding=0 if self.halves else 1)
        self.second = nn.Conv2d(filters, filters, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(features).relu_())
        if not self.halves:
            return found.add_(features).relu_()
        # Where the two differ in channels, height or width, dlib adds them as if zeros followed.
        kept = functional.avg_pool2d(features, 2)
        sizes = [max(pair) for pair in zip(kept.shape, found.shape, strict=True)]
        return _filled(found, sizes).add_(_filled(kept, sizes)).relu_()


def _filled(features: Tensor, sizes: Sequence[int]) -> Tensor:
    """The features with zeros behind them in every dimension up to these sizes."""
    missing = [size - there for size, there in zip(sizes, features.shape, strict=True)]
    return functional.pad(features, [side for count in reversed(missing) for side in (0, count)])


class Network(nn.Module):
    """dlib's network on uint8 (N, 150, 150, 3) RGB faces; its output is (N, 128), not normalised."""

    mean: Tensor

    def __init__(self, weights: dlib_weights.Weights) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(weights.mean).view(1, 3, 1, 1))
        channels = dlib_weights.STEM_FILTERS
        self.stem = nn.Conv2d(3, channels, dlib_weights.STEM_SIZE, 2)
        self.blocks = nn.Sequential()
        for filters, stride in dlib_weights.BLOCKS:
            self.blocks.append(Block(channels, filters, stride))
            channels = filters
        self.projection = nn.Linear(channels, dlib_weights.DIM, bias=False)
        own = [module for module in self.modules() if isinstance(module, nn.Conv2d)]
        with torch.no_grad():
            for convolution, (weight, bias) in zip(own, weights.convolutions, strict=True):
                assert convolution.bias is not None
                convolution.weight.copy_(torch.from_numpy(weight))
                convolution.bias.copy_(torch.from_numpy(bias))
            self.projection.weight.copy_(torch.from_numpy(weights.projection.T))

    def forward(self, faces: Tensor) -> Tensor:
        output: Tensor = self.projection(self.activations(faces).mean((2, 3)))
        return output

    def activations(self, faces: Tensor) -> Tensor:
        """What is pooled, (N, 256, 2, 2)."""
        scaled = (faces.permute(0, 3, 1, 2).float() - self.mean) / SCALE
        found: Tensor = self.blocks(functional.max_pool2d(self.stem(scaled).relu_(), 3, 2))
        return found


@lru_cache(maxsize=4)
def dlib_backbone(device: str, given: Preprocessing = NOTHING_GIVEN) -> Backbone:
    """dlib's network on `device`, loaded once in each process.

    Raises `MaskgenError` if its file is damaged, `UsageError` if more is given than that embeddings are summed.
    """
    path = model_path(DLIB_MODEL)
    data = path.read_bytes()
    try:
        weights = dlib_weights.parse(data)
    except ValueError:
        raise MaskgenError(f"{path} is damaged; reinstall it with: pip install face_recognition_models") from None
    usual = Preprocessing(RGB, tuple(weights.mean.tolist()), SCALE, DLIB_CHIP, align=CHIP)
    made = completed(given, usual, ("flip_sum",), "dlib's network")
    network = Network(weights).to(memory_format=torch.channels_last).to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def run(faces: Faces) -> Floats:
        # By default cuDNN rounds the factors of a convolution to 10 bits on a GPU.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found: Floats = network(torch.from_numpy(faces).to(device)).float().cpu().numpy()
        return found

    @torch.inference_mode()
    def activations(faces: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return network.activations(faces)

    pooled = PooledNetwork(activations, STRIDE, FIRST, device, weights.projection.T)
    digest = hashlib.sha256(data).hexdigest()
    # Before, dlib itself ran the network: an embedding trained on those features fits, since they differ by 1e-6.
    prints = [
        fingerprint(hashlib.sha256(f"{DLIB} {DLIB_CHIP} {by}{digest}".encode()).hexdigest(), made, usual)
        for by in ("torch ", "")
    ]
    return frozen(DLIB, "dlib's network", dlib_weights.DIM, run, made, tuple(prints), pooled=pooled)
