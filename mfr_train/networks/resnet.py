"""torchvision's ResNets, from weights whose file names the network, or whose shapes do."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from maskgen.errors import UsageError, short

from ..defaults import MAX_INPUT_SIZE, MIN_INPUT_SIZE, RESNETS
from . import preprocessing, run_files
from .backbone import Backbone, Floats
from .faces import Faces
from .frozen import frozen
from .pooled import PooledNetwork
from .preprocessing import RGB, WHOLE, Preprocessing

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's RGB values in 0..255: what torchvision's own weights expect."""

STRIDE = 32
"""Pixels from one position of the last convolution to the next. Its padding centres the first one on pixel 0."""


def get_model(architecture: str) -> Any:
    """torchvision's network with random weights.

    torchvision is imported here: it takes twice the time of PyTorch, and processes that only decode do without.
    """
    from torchvision import models

    return models.get_model(architecture, weights=None)


class Network(nn.Module):
    """A torchvision ResNet on uint8 (N, size, size, 3) RGB pictures; its last layer is a classifier of its own.

    `classes=0` leaves the classifier out: the output is the pooled last convolutional feature, (N, dim).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, classes: int = 0) -> None:
        super().__init__()
        self.trunk = get_model(architecture)
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


def resnet_backbone(
    network: Network, architecture: str, input_size: int, device: str = "cpu", flip_sum: bool = False
) -> Backbone:
    """The trunk of a network as a frozen backbone that runs on `device`. The network is put in evaluation mode."""
    trunk = network.trunk.to(device, memory_format=torch.channels_last).eval()
    trunk.requires_grad_(False)
    mean, std = network.mean.to(device), network.std.to(device)

    @torch.inference_mode()
    def run(faces: Faces) -> Floats:
        batch = moved(faces, device)
        found: Floats = trunk((batch.permute(0, 3, 1, 2).float() - mean) / std).float().cpu().numpy()
        return found

    # The children of a torchvision ResNet run in their order. The last two are the pooling and the classifier.
    convolutions = nn.Sequential(*list(trunk.children())[:-2])

    @torch.inference_mode()
    def activations(faces: Tensor) -> Tensor:
        found: Tensor = convolutions((faces.permute(0, 3, 1, 2) - mean) / std)
        return found

    pooled = PooledNetwork(activations, STRIDE, 0.0, device)
    usual = Preprocessing(RGB, MEAN, STD, input_size, align=WHOLE)
    made = dataclasses.replace(usual, flip_sum=flip_sum)
    digest = preprocessing.fingerprint(fingerprint(network, architecture, input_size), made, usual)
    network.classifier = nn.Identity()
    found = frozen(architecture, f"the {architecture}", network.dim, run, made, (digest,), True, pooled)
    return dataclasses.replace(found, module=network.to(device).eval())


def moved(faces: Faces, device: str) -> Tensor:
    """The faces on a device. A GPU copies page-locked memory itself, while this process does something else."""
    batch = torch.from_numpy(faces)
    return batch.pin_memory().to(device, non_blocking=True) if device == "cuda" else batch.to(device)


def fingerprint(network: Network, architecture: str, input_size: int) -> str:
    """Hash of a trunk's weights and BatchNorm statistics, its architecture and the input size."""
    digest = hashlib.sha256(f"{architecture} {input_size}".encode())
    for name, tensor in sorted(network.trunk.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def weights_file(path: Path) -> Path:
    """The file of weights that a path means: itself, or the one in a run folder."""
    return path / run_files.BACKBONE if path.is_dir() else path


def weights_facts(path: Path) -> dict[str, str]:
    """What a weights file or run folder records about its network: `architecture` and `input_size`, if known.

    The header of a run's file holds them; for other files the architecture follows from the shapes of the tensors.
    Raises `UsageError` if the file cannot be read.
    """
    file = weights_file(path)
    if file.suffix == ".safetensors" and file.is_file():
        try:
            with safetensors.safe_open(file, "pt") as opened:
                facts = _checked(opened.metadata() or {}, file)
        except (safetensors.SafetensorError, OSError):
            facts = {}  # read_weights reports the damage
        if "architecture" in facts:
            return facts
    tensors, facts = read_weights(path)
    architecture = architecture_of(tensors)
    return {"architecture": architecture} | facts if architecture else facts


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of a weights file or run folder, and what the file records about them (nothing in a plain one)."""
    file = weights_file(path)
    if not file.is_file():
        raise UsageError(f"there is no weights file {file}; give a .safetensors or .pth file, or a run.")
    try:
        if file.suffix == ".safetensors":
            with safetensors.safe_open(file, "pt") as opened:
                return load_file(file), _checked(opened.metadata() or {}, file)
        loaded: Any = torch.load(file, map_location="cpu", weights_only=True)
        tensors = loaded.get("state_dict", loaded)
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}, {}
    except UsageError:
        raise
    except Exception as error:  # pickle, zip and safetensors have no error in common
        raise UsageError(f"cannot read weights from {file} ({type(error).__name__}); give another file.") from None


def _checked(facts: dict[str, str], file: Path) -> dict[str, str]:
    """What the header of a weights file says, which may come from anyone, if it can be so."""
    architecture, size = facts.get("architecture"), facts.get("input_size")
    if architecture is not None and architecture not in RESNETS:
        raise UsageError(f"{file} holds {short(architecture)!r} weights; give those of {' or '.join(RESNETS)}.")
    possible = size is None or (re.fullmatch("[0-9]{1,4}", size) and MIN_INPUT_SIZE <= int(size) <= MAX_INPUT_SIZE)
    if not possible:
        raise UsageError(
            f"{file} names the input size {short(str(size))!r}, which is no number from {MIN_INPUT_SIZE} to "
            f"{MAX_INPUT_SIZE}; give another file."
        )
    return facts


def load_trunk(network: Network, tensors: dict[str, Tensor], where: Path) -> None:
    """Puts weights into a trunk and leaves a classifier among them out. Raises `UsageError` if they do not fit."""
    load_module(
        network.trunk, {name.removeprefix("module.").removeprefix("trunk."): tensors[name] for name in tensors}, where
    )


def load_module(module: nn.Module, tensors: dict[str, Tensor], where: Path) -> None:
    """Puts weights into a module and leaves others out. Raises `UsageError` if they do not fit."""
    bare = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    wanted = module.state_dict()
    # Files from before PyTorch 0.4.1 lack the count of batches that BatchNorm saw, which no result depends on.
    counts = {name for name in wanted if name.endswith("num_batches_tracked")}
    bare = {name: wanted[name] for name in counts} | bare
    unfit = [name for name, tensor in wanted.items() if name not in bare or bare[name].shape != tensor.shape]
    if unfit:
        raise UsageError(f"{where} has no fitting {unfit[0]!r}; choose the --backbone that these weights are of.")
    module.load_state_dict({name: bare[name] for name in wanted})


def architecture_of(tensors: dict[str, Tensor]) -> str:
    """The network whose trunk the tensors fit, for files that do not name it; empty if there is none."""
    for name in RESNETS:
        with contextlib.suppress(UsageError):
            load_trunk(Network(name), tensors, Path())
            return name
    return ""
