"""Frozen networks that turn a photograph into a feature vector: torchvision's ResNets and dlib's face network.

Features are what the network's last layer gives, not normalised: their length carries information that the
projection of stage 2 may use, and it normalises in the end.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import numpy.typing as npt
import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import get_model

from maskgen.errors import MaskgenError, UsageError
from maskgen.landmarks import model_path

from . import arcface
from .choices import BACKBONES, DLIB, ONNX, RESNETS

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

DLIB_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_CHIP = 150
"""Side in pixels of the aligned face that dlib's network takes."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's RGB values in 0..255: what torchvision's own weights expect."""

CHUNK = 64
"""Pictures that go through a network together when features are computed: bounds memory."""


@dataclass(frozen=True)
class Backbone:
    """A frozen network. `fingerprint` is a hash of its weights and of how pictures are fed to it.

    `dim` is the length of a feature, `input_size` the side in pixels to which pictures are scaled (None: the faces
    are cut out and aligned by their landmarks).
    """

    name: str
    dim: int
    input_size: int | None
    fingerprint: str
    run: Callable[[Sequence[Image], Floats], Floats]

    def features(self, images: Sequence[Image] | npt.NDArray[np.uint8], landmarks: Floats) -> Floats:
        """Features, float32 (N, dim), of N pictures: uint8 (h, w, 3) RGB each, with landmarks (N, 68, 2) in pixels."""
        images = list(images)
        found = [
            self.run(images[start : start + CHUNK], landmarks[start : start + CHUNK])
            for start in range(0, len(images), CHUNK)
        ]
        return np.concatenate(found) if found else np.empty((0, self.dim), np.float32)


class Network(nn.Module):
    """A torchvision ResNet on uint8 (N, size, size, 3) RGB pictures; its last layer is a classifier of its own.

    `classes=0` leaves the classifier out: the output is the pooled last convolutional feature, (N, dim).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, classes: int = 0) -> None:
        super().__init__()
        self.trunk = get_model(architecture, weights=None)
        self.dim: int = self.trunk.fc.in_features
        self.trunk.fc = nn.Identity()
        self.classifier = nn.Linear(self.dim, classes) if classes else nn.Identity()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # Rows of RGB pixels seen as (N, 3, h, w) are already what PyTorch calls channels-last: nothing is copied.
        scaled = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        output: Tensor = self.classifier(self.trunk(scaled))
        return output


def load_backbone(
    name: str, device: str = "cpu", weights: Path | None = None, input_size: int | None = None
) -> Backbone:
    """Loads a frozen network by name: `dlib`, or `resnet18`, `resnet50` or `onnx` with a file of weights.

    `weights` is a `backbone.safetensors` of a run, the run's folder, a torchvision state dict (.pth or .safetensors),
    or an ONNX file (arcface.py); a name that is such a path will do, too. `input_size` is by default what the file
    says, else 224. Raises `UsageError` for an unknown name or unfit weights.
    """
    if name == DLIB:
        return _dlib_backbone()
    if name not in BACKBONES and Path(name).exists():
        name, weights = "", Path(name)
    elif name not in BACKBONES:
        raise UsageError(f"there is no backbone {name!r}; choose one of {', '.join(BACKBONES)} or a weights file.")
    if weights is None:
        raise UsageError(f"{name} needs trained weights: give --weights FILE, or train them with --stage all.")
    if name == ONNX or weights.suffix == ".onnx":
        run, dim, digest = arcface.load(weights)
        return Backbone(ONNX, dim, None, digest, run)
    tensors, facts = read_weights(weights)
    architecture = facts.get("architecture", name) or _architecture(tensors)
    if name not in ("", architecture) or architecture not in RESNETS:
        raise UsageError(f"{weights} holds {architecture or 'unknown'} weights; choose --backbone to match.")
    network = Network(architecture)
    load_trunk(network, tensors, weights)
    return resnet_backbone(network, architecture, input_size or int(facts.get("input_size", 224)), device)


def resnet_backbone(network: Network, architecture: str, input_size: int, device: str = "cpu") -> Backbone:
    """The trunk of a network as a frozen backbone that runs on `device`. The network is put in evaluation mode."""
    trunk = network.trunk.to(device, memory_format=torch.channels_last).eval()
    trunk.requires_grad_(False)
    mean, std = network.mean.to(device), network.std.to(device)

    @torch.inference_mode()
    def run(images: Sequence[Image], landmarks: Floats) -> Floats:
        batch = torch.from_numpy(np.stack([resized(image, input_size) for image in images])).to(device)
        found: Floats = trunk((batch.permute(0, 3, 1, 2).float() - mean) / std).float().cpu().numpy()
        return found

    return Backbone(architecture, network.dim, input_size, fingerprint(network, architecture, input_size), run)


def fingerprint(network: Network, architecture: str, input_size: int) -> str:
    """Hash of a trunk's weights and BatchNorm statistics, its architecture and the input size."""
    digest = hashlib.sha256(f"{architecture} {input_size}".encode())
    for name, tensor in sorted(network.trunk.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def resized(image: Image, size: int) -> Image:
    """A picture as uint8 (size, size, 3); one of that size is returned as it is."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def weights_file(path: Path) -> Path:
    """The file of weights that a path means: itself, or the one in a run folder."""
    return path / "backbone.safetensors" if path.is_dir() else path


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a weights file or run folder, and what the file says about itself (nothing in a plain one)."""
    file = weights_file(path)
    if not file.is_file():
        raise UsageError(f"there is no weights file {file}; give a .safetensors or .pth file, or a run.")
    try:
        if file.suffix == ".safetensors":
            with safetensors.safe_open(file, "pt") as opened:
                return load_file(file), dict(opened.metadata() or {})
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
        tensors = loaded.get("state_dict", loaded)
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}, {}
    except Exception as error:  # pickle, zip and safetensors have no error in common
        raise UsageError(f"cannot read weights from {file} ({type(error).__name__}); give another file.") from None


def load_trunk(network: Network, tensors: dict[str, Tensor], where: Path) -> None:
    """Puts weights into a trunk; a classifier among them is left out. Raises `UsageError` where they do not fit."""
    bare = {name.removeprefix("module.").removeprefix("trunk."): tensor for name, tensor in tensors.items()}
    wanted = network.trunk.state_dict()
    # Files from before PyTorch 0.4.1 lack the count of batches that BatchNorm saw, which no result depends on.
    counts = {name for name in wanted if name.endswith("num_batches_tracked")}
    bare = {name: wanted[name] for name in counts} | bare
    unfit = [name for name, tensor in wanted.items() if name not in bare or bare[name].shape != tensor.shape]
    if unfit:
        raise UsageError(f"{where} has no fitting {unfit[0]!r}; choose the --backbone that these weights are of.")
    network.trunk.load_state_dict({name: bare[name] for name in wanted})


def _architecture(tensors: dict[str, Tensor]) -> str:
    """The network whose trunk the tensors fit, where the file does not name it; empty for none."""
    for name in RESNETS:
        with contextlib.suppress(UsageError):
            load_trunk(Network(name), tensors, Path())
            return name
    return ""


def aligned(image: Image, landmarks: Floats) -> Image:
    """The face, uint8 (150, 150, 3), turned upright and cut out as dlib's network was trained on, by 68 landmarks."""
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
    # dlib wants a detection: the rectangle plays no part in the alignment.
    face = dlib.full_object_detection(dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1), points)
    chip: Image = dlib.get_face_chip(image, face, size=DLIB_CHIP)
    return chip


@lru_cache(maxsize=1)
def _dlib_backbone() -> Backbone:
    path = model_path(DLIB_MODEL)
    try:
        network = dlib.face_recognition_model_v1(str(path))
    except RuntimeError:
        raise MaskgenError(f"{path} is damaged; reinstall it with: pip install face_recognition_models") from None

    def run(images: Sequence[Image], landmarks: Floats) -> Floats:
        chips = [aligned(np.ascontiguousarray(image), points) for image, points in zip(images, landmarks, strict=True)]
        return np.array(network.compute_face_descriptor(chips), dtype=np.float32).reshape(-1, 128)

    with path.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return Backbone(DLIB, 128, None, hashlib.sha256(f"{DLIB} {DLIB_CHIP} {weights}".encode()).hexdigest(), run)
