"""A model: a frozen backbone and, after stage 2, the trained projection of its features to an embedding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
from PIL import Image as PillowImage
from safetensors.numpy import load_file

from maskgen import Landmarker
from maskgen.errors import MaskgenError, Rejected, UsageError
from maskgen.imaging.decode import decode
from maskgen.imaging.pixels import pixels_of

from .. import hardware
from ..defaults import BACKBONES, DLIB
from ..keywords import AnyPath
from .backbone import Backbone, Floats, Image
from .backbones import load_backbone
from .run_files import BACKBONE, EMBEDDING, ONNX_BACKBONE, identities_of, is_run, newest_run, record_of

MODELS = "give --model dlib, the backbone.safetensors of a run, or an ONNX face network"

BLOCK = 65_536
"""Features that are projected together: bounds memory."""


Picture = npt.NDArray[np.uint8] | PillowImage.Image | Path | str
"""Pixels, uint8 (h, w, 3) RGB; the path of an image file; or a Pillow image."""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A network that turns pictures of faces into embeddings.

    Attributes:
        name: The name of the run, file or network.
        backbone: The frozen network.
        weight: W of the projection that stage 2 trained, float32 (d, D). None: a feature is the embedding.
        bias: Its b, float32 (d,).
        identities: The people that it is known to have been trained on.
        unfinished: What the model is so far, if its run is not finished; else empty.
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

    def __repr__(self) -> str:
        size = self.backbone.input_size
        sees = f"{size} x {size} pixels" if size else "aligned faces"
        return f"<Model {self.name!r}: {self.backbone.name} on {sees}, embeddings of length {self.dim}>"

    def embed(self, images: Sequence[Picture] | Picture, landmarks: npt.ArrayLike | None = None) -> Floats:
        """Turns pictures of faces into embeddings.

        Pictures should be framed as those it was trained on: as `maskgen build` stores them. The cosine similarity of
        two embeddings is their product, and is the score of a comparison.

        Args:
            images: N pictures, or one: arrays uint8 (h, w, 3) RGB of any size, paths of image files, or Pillow images.
            landmarks: The 68 landmarks of each face, (N, 68, 2) in pixels. Only networks that align faces (dlib, ONNX)
                use them; for these they are found in the pictures by default.

        Returns:
            Embeddings of length 1, float32 (N, d).

        Raises:
            UsageError: If a picture is not of these kinds, or the landmarks are not (N, 68, 2).
            MaskgenError: If a file cannot be decoded, a network that aligns faces finds none in a picture, or the
                weights of the model are damaged, so that embeddings are no finite numbers.
        """
        pictures, points = self.prepared(images, landmarks)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            found = self.project(self.backbone.features(pictures, points))
        if not np.isfinite(found).all():
            raise MaskgenError(f"the embeddings of model {self.name} are no finite numbers; give another model.")
        return found

    def prepared(
        self, images: Sequence[Picture] | Picture, landmarks: npt.ArrayLike | None
    ) -> tuple[list[Image], Floats]:
        """The pixels and the landmarks, float32 (N, 68, 2), of what `embed` takes. It raises what that raises."""
        several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        given: Any = images if several else [images]
        pictures = [pixels(image, number) for number, image in enumerate(given)]
        if landmarks is not None:
            points = np.asarray(landmarks, np.float32)
            if points.shape != (len(pictures), 68, 2):
                raise UsageError(f"landmarks have shape {points.shape}; give ({len(pictures)}, 68, 2).")
        elif self.backbone.aligns_faces and pictures:
            points = _landmarks(pictures)
        else:
            points = np.zeros((len(pictures), 68, 2), np.float32)
        return pictures, points

    def project(self, features: Floats) -> Floats:
        """Projects features of the backbone: e = (W l + b) / ||W l + b||.

        Args:
            features: What the backbone gave, float32 (N, D).

        Returns:
            Embeddings of length 1, float32 (N, d). A feature of length zero stays zero.
        """
        result = np.empty((len(features), self.dim), np.float32)
        for start in range(0, len(features), BLOCK):
            block = np.asarray(features[start : start + BLOCK], np.float32)
            if self.weight is not None and self.bias is not None:
                block = block @ self.weight.T + self.bias
            length = np.linalg.norm(block, axis=1, keepdims=True)
            result[start : start + BLOCK] = block / np.where(length > 0, length, 1)
        return result


def load_model(source: AnyPath | None = None, *, device: str = "auto") -> Model:
    """Loads a model to embed pictures with.

    Args:
        source: A run folder of `mfr train`; `dlib`; or a file: the backbone.safetensors of a run, torchvision weights
            (.pth or .safetensors), or an ONNX face network. By default the newest finished run under runs/.
        device: `auto` (the GPU if there is one), `cpu` or `cuda`. ONNX networks run on the CPU.

    Returns:
        The model, with its backbone and, for a run of stage 2, the embedding that was trained.

    Raises:
        UsageError: If there is no such model, its file is damaged, or no GPU is found for `cuda`.

    Example:
        >>> import numpy as np
        >>> model = load_model("dlib")
        >>> model.dim
        128
        >>> model.embed([np.zeros((64, 64, 3), np.uint8)], landmarks=np.zeros((1, 68, 2))).shape
        (1, 128)
    """
    chosen = hardware.device(device)
    if source is None or Path(source).is_dir():
        return chosen_model(Path(source) if source is not None else None, None, chosen)
    return chosen_model(None, os.fspath(source), chosen)


def chosen_model(run: Path | None, model: str | None, device: str) -> Model:
    """The model that the options --run and --model choose; by default the newest run under runs/.

    Raises `UsageError` if there is no such run or model, or if both are given.
    """
    if run is not None and model is not None:
        raise UsageError("--run and --model are both given; give one of them.")
    if model is not None:
        if model in BACKBONES and model != DLIB:
            raise UsageError(f"--model {model} has no weights of its own; give a weights file or --run.")
        return load_network(model, device)
    return load_run(Path(run) if run is not None else newest_run(), device)


def pixels(picture: Picture, number: int) -> Image:
    """One of the kinds of pictures that `Model.embed` takes, as uint8 (h, w, 3) RGB."""
    if isinstance(picture, str | Path):
        try:
            return decode(Path(picture).read_bytes())
        except OSError as error:
            raise UsageError(f"cannot read the picture {picture}: {error.strerror}; check its path.") from None
        except Rejected as rejected:
            raise MaskgenError(f"the picture {picture} cannot be used ({rejected}); give another.") from None
    try:
        array = pixels_of(picture)
    except TypeError as error:
        raise UsageError(f"picture {number} cannot be embedded: {error}, or the path of a file.") from None
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise UsageError(f"picture {number} is {array.dtype} {array.shape}; give uint8 (height, width, 3) RGB.")
    return array


def _landmarks(pictures: Sequence[Image]) -> Floats:
    faces = face_landmarker().find_all(pictures, [None] * len(pictures))
    found = [face.landmarks for face in faces if not isinstance(face, Rejected)]
    if len(found) < len(faces):
        number, why = next((n, face) for n, face in enumerate(faces) if isinstance(face, Rejected))
        raise MaskgenError(f"picture {number} has no landmarks ({why.reason}); leave it out, or give landmarks.")
    return np.stack(found)


@lru_cache(maxsize=1)
def face_landmarker() -> Landmarker:
    """The landmark model, loaded once in each process."""
    return Landmarker()


def load_network(model: str, device: str = "cpu") -> Model:
    """A network without a projection: dlib's, or that of a weights file. Raises `UsageError` if it is neither."""
    if model == DLIB:
        return Model(DLIB, load_backbone(DLIB, device))
    path = Path(model)
    if path.is_dir():
        raise UsageError(f"--model {model} is a folder, whose embedding would be left out; give it as --run.")
    if not path.is_file():
        raise UsageError(f"there is no file --model {model}; {MODELS}.")
    try:
        backbone = load_backbone(model, device)
    except UsageError as error:
        what = str(error).partition(";")[0]  # the rest is advice for training
        raise UsageError(f"{what}; {MODELS}.") from None
    return Model(path.stem, backbone, identities=identities_of(path))


def load_run(path: Path, device: str = "cpu") -> Model:
    """The model of a run folder: its backbone, and the embedding if stage 2 was trained.

    Raises `UsageError` if the folder is not a run, or its embedding belongs to another backbone.
    """
    if not is_run(path):
        raise UsageError(f"{path} is no finished run; give --run a folder that `mfr train` wrote.")
    name, identities = Path(os.path.abspath(path)).name, identities_of(path)  # `--run .` has a name too
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
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
            weight, bias = tensors["weight"].astype(np.float32), tensors["bias"].astype(np.float32)
        if weight.ndim != 2 or not len(weight) or bias.shape != (len(weight),):
            raise ValueError
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OSError):
        raise UsageError(f"{path / EMBEDDING} is damaged; train the run again.") from None
    own = next((path / name for name in (BACKBONE, ONNX_BACKBONE) if (path / name).is_file()), None)
    if own is None and facts.get("backbone", DLIB) != DLIB:  # it is never taken for the path of a file
        raise UsageError(f"{path} lacks its network, {BACKBONE} or {ONNX_BACKBONE}; copy the whole run.")
    backbone = load_backbone(str(own) if own else DLIB, device)
    if facts.get("fingerprint") not in backbone.fingerprints or weight.shape[1] != backbone.dim:
        raise UsageError(f"the embedding in {path} was trained on another {backbone.name}; train the run again.")
    return Model(name, backbone, weight, bias, identities)
