"""A model is a frozen backbone and, after stage 2, the learned projection of its features to an embedding."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from maskgen.errors import UsageError

from ..defaults import BACKBONES, DLIB
from .backbone import Backbone, Floats
from .backbones import load_backbone
from .run_files import BACKBONE, EMBEDDING, ONNX_BACKBONE, identities_of, is_run, newest_run, record_of

MODELS = "give --model dlib, the backbone.safetensors of a run, or an ONNX face network"

BLOCK = 65_536
"""Features that are projected together: bounds memory."""


@dataclass(frozen=True)
class Model:
    """What is measured. `weight` (d, D) and `bias` (d,) are float32; without them the feature is the embedding.

    `identities` are those that it is known to have been trained on. `unfinished` says, of a run that is not what it
    is to become, what it is so far.
    """

    name: str
    backbone: Backbone
    weight: Floats | None = None
    bias: Floats | None = None
    identities: frozenset[str] = frozenset()
    unfinished: str = ""

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.backbone.dim if self.weight is None else len(self.weight)

    @property
    def fingerprint(self) -> str:
        """Hash of every number that shapes an embedding."""
        digest = hashlib.sha256(self.backbone.fingerprint.encode())
        if self.weight is not None and self.bias is not None:
            digest.update(self.weight.tobytes() + self.bias.tobytes())
        return digest.hexdigest()

    def project(self, features: Floats) -> Floats:
        """Embeddings e = (W l + b) / ||W l + b||, float32 (N, d), of backbone features l, float32 (N, D).

        A feature of length zero stays zero.
        """
        result = np.empty((len(features), self.dim), np.float32)
        for start in range(0, len(features), BLOCK):
            block = np.asarray(features[start : start + BLOCK], np.float32)
            if self.weight is not None and self.bias is not None:
                block = block @ self.weight.T + self.bias
            length = np.linalg.norm(block, axis=1, keepdims=True)
            result[start : start + BLOCK] = block / np.where(length > 0, length, 1)
        return result


def load_model(run: Path | None = None, model: str | None = None, device: str = "cpu") -> Model:
    """The model of a run folder, or one by name (`dlib`, or a weights file); by default the newest run under runs/.

    Raises `UsageError` where there is no such run or model, or where both are given.
    """
    if run is not None and model is not None:
        raise UsageError("--run and --model are both given; give one of them.")
    if model is not None:
        if model in BACKBONES and model != DLIB:
            raise UsageError(f"--model {model} has no weights of its own; give a weights file or --run.")
        return load_network(model, device)
    return load_run(Path(run) if run is not None else newest_run(), device)


def load_network(model: str, device: str = "cpu") -> Model:
    """A network as it is: dlib's, or that of a file of weights. Raises `UsageError` where it is neither."""
    if model == DLIB:
        return Model(DLIB, load_backbone(DLIB))
    path = Path(model)
    if path.is_dir():
        raise UsageError(f"--model {model} is a folder, whose embedding would be left out; give it as --run.")
    if not path.is_file():
        raise UsageError(f"there is no file --model {model}; {MODELS}.")
    try:
        backbone = load_backbone(model, device)
    except UsageError as error:
        what = str(error).partition(";")[0]  # what follows is advice to who trains
        raise UsageError(f"{what}; {MODELS}.") from None
    return Model(path.stem, backbone, identities=identities_of(path))


def load_run(path: Path, device: str = "cpu") -> Model:
    """The model of a run folder: its backbone, and the embedding where stage 2 was trained.

    Raises `UsageError` where the folder is no run, or its embedding is of another backbone.
    """
    if not is_run(path):
        raise UsageError(f"{path} is no finished run; give --run a folder that `mfr train` wrote.")
    name, identities = Path(os.path.abspath(path)).name, identities_of(path)  # `--run .` has a name, too
    if not (path / EMBEDDING).is_file():
        record = record_of(path)
        made = record.get("settings")
        whole = record.get("finished") is not False or (isinstance(made, dict) and made.get("stage") == "classify")
        so_far = "" if whole else f"Run {name} is not finished: this is its network of stage 1, without an embedding."
        return Model(name, load_backbone(str(path / BACKBONE), device), identities=identities, unfinished=so_far)
    try:
        tensors = load_file(path / EMBEDDING)
        with safetensors.safe_open(path / EMBEDDING, "numpy") as file:
            facts = file.metadata() or {}
        weight, bias = tensors["weight"].astype(np.float32), tensors["bias"].astype(np.float32)
    except (safetensors.SafetensorError, KeyError, OSError):
        raise UsageError(f"{path / EMBEDDING} is damaged; train the run again.") from None
    own = next((path / name for name in (BACKBONE, ONNX_BACKBONE) if (path / name).is_file()), None)
    backbone = load_backbone(str(own) if own else facts.get("backbone", DLIB), device)
    if facts.get("fingerprint") != backbone.fingerprint or weight.shape[1] != backbone.dim:
        raise UsageError(f"the embedding in {path} was trained on another {backbone.name}; train the run again.")
    return Model(name, backbone, weight, bias, identities)
