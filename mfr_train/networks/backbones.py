"""Frozen networks that turn a photograph into a feature vector: torchvision's ResNets and dlib's face network.

Features are the output of the network's last layer, not normalised: their length carries information that the
projection of stage 2 can use, which normalises its own output.
"""

from __future__ import annotations

from pathlib import Path

from maskgen.errors import UsageError

from ..defaults import BACKBONES, DLIB, ONNX, RESNETS
from . import onnx_network
from .backbone import Backbone
from .dlib_network import dlib_backbone
from .resnet import Network, architecture_of, load_trunk, read_weights, resnet_backbone


def load_backbone(
    name: str, device: str = "cpu", weights: Path | None = None, input_size: int | None = None
) -> Backbone:
    """Loads a frozen network by name: `dlib`, or `resnet18`, `resnet50` or `onnx` with a file of weights.

    `weights` is a `backbone.safetensors` of a run, the run's folder, a torchvision state dict (.pth or .safetensors),
    or an ONNX file; instead of a name such a path can be given. `input_size` is by default what the file records, else
    224. Raises `UsageError` for an unknown name or weights that do not fit.
    """
    if name == DLIB:
        return dlib_backbone(device)
    if name not in BACKBONES and Path(name).exists():
        name, weights = "", Path(name)
    elif name not in BACKBONES:
        raise UsageError(f"there is no backbone {name!r}; choose one of {', '.join(BACKBONES)} or a weights file.")
    if weights is None:
        raise UsageError(f"{name} needs trained weights: give --weights FILE, or train them with --stage all.")
    if name == ONNX or weights.suffix == ".onnx":
        run, dim, digest = onnx_network.load(weights)
        return Backbone(ONNX, dim, None, digest, run)
    tensors, facts = read_weights(weights)
    architecture = facts.get("architecture", name) or architecture_of(tensors)
    if name not in ("", architecture) or architecture not in RESNETS:
        raise UsageError(f"{weights} holds {architecture or 'unknown'} weights; choose --backbone to match.")
    network = Network(architecture)
    load_trunk(network, tensors, weights)
    return resnet_backbone(network, architecture, input_size or int(facts.get("input_size", 224)), device)
