"""Frozen networks that turn a photograph into a feature vector: torchvision's ResNets, dlib's face network,
Inception-ResNet v1, and those in ONNX files.

Features are the output of the network's last layer, not normalised: their length carries information that the
projection of stage 2 can use, which normalises its own output.
"""

from __future__ import annotations

from pathlib import Path

from maskgen.errors import UsageError

from ..defaults import BACKBONES, DLIB, ONNX, RESNETS
from . import inception_resnet, onnx_network
from .backbone import Backbone
from .dlib_network import dlib_backbone
from .preprocessing import NOTHING_GIVEN, Preprocessing, completed
from .resnet import Network, architecture_of, load_trunk, read_weights, resnet_backbone


def load_backbone(
    name: str, device: str = "cpu", weights: Path | None = None, given: Preprocessing = NOTHING_GIVEN
) -> Backbone:
    """Loads a frozen network by name: `dlib`, or `resnet18`, `resnet50` or `onnx` with a file of weights.

    `weights` is a `backbone.safetensors` of a run, the run's folder, a state dict (.pth, .pt or .safetensors) of a
    torchvision ResNet or of facenet-pytorch's Inception-ResNet v1, or an ONNX file; instead of a name such a path can
    be given. The input size of a ResNet is by default what the file records, else 224. Raises `UsageError` for an
    unknown name, weights that do not fit, or a `given` preprocessing that does not apply.
    """
    if name == DLIB:
        return dlib_backbone(device, given)
    if name not in BACKBONES and Path(name).exists():
        name, weights = "", Path(name)
    elif name not in BACKBONES:
        raise UsageError(f"there is no backbone {name!r}; choose one of {', '.join(BACKBONES)} or a weights file.")
    if weights is None:
        raise UsageError(f"{name} needs trained weights: give --weights FILE, or train them with --stage all.")
    if name == ONNX or weights.suffix.lower() == ".onnx":
        return onnx_network.load(weights, given, device)
    tensors, facts = read_weights(weights)
    if not name and inception_resnet.is_state(tensors):
        return inception_resnet.inception_backbone(tensors, weights, device, given)
    architecture = facts.get("architecture", name) or architecture_of(tensors)
    if name not in ("", architecture) or architecture not in RESNETS:
        raise UsageError(f"{weights} holds {architecture or 'unknown'} weights; choose --backbone to match.")
    size = int(facts.get("input_size", 224))
    made = completed(
        given, Preprocessing(input_size=size), ("input_size", "flip_sum"), f"the {architecture} of {weights}"
    )
    network = Network(architecture)
    load_trunk(network, tensors, weights)
    return resnet_backbone(network, architecture, made.input_size or size, device, made.flip_sum)
