"""A model: a frozen backbone and, after stage 2, the trained projection of its features to an embedding."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import safetensors
from PIL import Image as PillowImage
from safetensors.numpy import load_file

from maskgen import Landmarker
from maskgen.errors import MaskgenError, Rejected, UsageError
from maskgen.imaging.decode import decode
from maskgen.imaging.pixels import pixels_of
from maskgen.settings import from_keywords

from .. import hardware
from ..defaults import BACKBONES, DLIB, EUM, HEADS, LINEAR
from ..keywords import AnyPath
from . import preprocessing, python_function
from .backbone import Backbone, Floats, Image
from .backbones import load_backbone
from .preprocessing import NOTHING_GIVEN, InputOptions, Preprocessing
from .run_files import BACKBONE, EMBEDDING, ONNX_BACKBONE, identities_of, is_run, newest_run, record_of

MODELS = "give --model dlib, the backbone.safetensors of a run, an ONNX face network, or module:function"

EUM_SLOPE = np.float32(0.2)
"""Of LeakyReLU between the layers of EUM, where its input is negative."""

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
        unmasking: W and b of each layer of EUM, float32 (D, D) and (D,), with LeakyReLU between: they are applied to
            the features of masked pictures only. Empty: there is no EUM.
        identities: The people that it is known to have been trained on.
        unfinished: What the model is so far, if its run is not finished; else empty.
    """

    name: str
    backbone: Backbone
    weight: Floats | None = None
    bias: Floats | None = None
    unmasking: tuple[tuple[Floats, Floats], ...] = ()
    identities: frozenset[str] = frozenset()
    unfinished: str = ""

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.backbone.dim if self.weight is None else len(self.weight)

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are given to its network."""
        return self.backbone.preprocessing

    @property
    def fingerprint(self) -> str:
        """Hash of every number that shapes an embedding."""
        digest = hashlib.sha256(self.backbone.fingerprint.encode())
        if self.weight is not None and self.bias is not None:
            digest.update(self.weight.tobytes() + self.bias.tobytes())
        for weight, bias in self.unmasking:
            digest.update(weight.tobytes() + bias.tobytes())
        return digest.hexdigest()

    def _unmasked(self, features: Floats) -> Floats:
        for number, (weight, bias) in enumerate(self.unmasking):
            features = np.where(features > 0, features, EUM_SLOPE * features) if number else features
            features = features @ weight.T + bias
        return features

    def __repr__(self) -> str:
        size = self.backbone.input_size
        sees = f"{size} x {size} pixels" if size else "aligned faces"
        return f"<Model {self.name!r}: {self.backbone.name} on {sees}, embeddings of length {self.dim}>"

    def embed(
        self,
        images: Sequence[Picture] | Picture,
        landmarks: npt.ArrayLike | None = None,
        masked: bool | Sequence[bool] | npt.NDArray[np.bool_] = False,
    ) -> Floats:
        """Turns pictures of faces into embeddings.

        Pictures should be framed as those it was trained on: as `maskgen build` stores them. The cosine similarity of
        two embeddings is their product, and is the score of a comparison.

        Args:
            images: N pictures, or one: arrays uint8 (h, w, 3) RGB of any size, paths of image files, or Pillow images.
            landmarks: The 68 landmarks of each face, (N, 68, 2) in pixels. Networks that align faces (dlib, most ONNX
                files) and functions use them; for these they are found in the pictures by default.
            masked: Which pictures show a mask, bool (N,), or whether all do. Only a model with EUM uses it.

        Returns:
            Embeddings of length 1, float32 (N, d).

        Raises:
            UsageError: If a picture is not of these kinds, or the landmarks are not (N, 68, 2).
            MaskgenError: If a file cannot be decoded, a network that aligns faces finds none in a picture, or the
                weights of the model are damaged, so that embeddings are no finite numbers.
        """
        pictures, points = self.prepared(images, landmarks)
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            found = self.project(self.backbone.features(pictures, points), masked)
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

    def project(self, features: Floats, masked: bool | Sequence[bool] | npt.NDArray[np.bool_] = False) -> Floats:
        """Projects features of the backbone: e = (W l + b) / ||W l + b||, or applies EUM to those of masked pictures.

        Args:
            features: What the backbone gave, float32 (N, D).
            masked: Which of the pictures show a mask, bool (N,), or whether all do. Only EUM uses it.

        Returns:
            Embeddings of length 1, float32 (N, d). A feature of length zero stays zero.
        """
        result = np.empty((len(features), self.dim), np.float32)
        which = np.broadcast_to(np.asarray(masked, bool), len(features))
        for start in range(0, len(features), BLOCK):
            block = np.asarray(features[start : start + BLOCK], np.float32)
            if self.weight is not None and self.bias is not None:
                block = block @ self.weight.T + self.bias
            elif self.unmasking and which[start : start + BLOCK].any():
                block = np.where(which[start : start + BLOCK, None], self._unmasked(block), block)
            length = np.linalg.norm(block, axis=1, keepdims=True)
            result[start : start + BLOCK] = block / np.where(length > 0, length, 1)
        return result


def load_model(source: AnyPath | None = None, *, device: str = "auto", **options: Unpack[InputOptions]) -> Model:
    """Loads a model to embed pictures with.

    Args:
        source: A run folder of `mfr train`; `dlib`; a file: the backbone.safetensors of a run, weights (.pth, .pt or
            .safetensors) of a torchvision ResNet or of facenet-pytorch's Inception-ResNet v1, or an ONNX face network;
            or `module:function`, a function of yours that takes pictures, uint8 (N, S, S, 3) RGB, and landmarks,
            float32 (N, 68, 2), and returns embeddings (N, d). By default the newest finished run under runs/.
        device: `auto` (the GPU if there is one), `cpu` or `cuda`.
        **options: The fields of `Preprocessing`, for what a network's file does not say, such as `colors="bgr"`.

    Returns:
        The model, with its backbone and, for a run of stage 2, the embedding that was trained.

    Raises:
        UsageError: If there is no such model, its file is damaged, an option does not apply to it, or no GPU is found
            for `cuda`.
        MaskgenError: If a function of yours fails.

    Example:
        >>> import numpy as np
        >>> model = load_model("dlib")
        >>> model.dim
        128
        >>> model.embed([np.zeros((64, 64, 3), np.uint8)], landmarks=np.zeros((1, 68, 2))).shape
        (1, 128)
    """
    chosen, given = hardware.device(device), preprocessing.checked(from_keywords(Preprocessing, options))
    if source is None or Path(source).is_dir():
        return chosen_model(Path(source) if source is not None else None, None, chosen, given)
    return chosen_model(None, os.fspath(source), chosen, given)


def chosen_model(run: Path | None, model: str | None, device: str, given: Preprocessing = NOTHING_GIVEN) -> Model:
    """The model that the options --run and --model choose; by default the newest run under runs/.

    Raises `UsageError` if there is no such run or model, if both are given, or if an option does not apply.
    """
    if run is not None and model is not None:
        raise UsageError("--run and --model are both given; give one of them.")
    if model is not None:
        if model in BACKBONES and model != DLIB:
            raise UsageError(f"--model {model} has no weights of its own; give a weights file or --run.")
        return load_network(model, device, given)
    if names := given.given():
        raise UsageError(f"--{names[0].replace('_', '-')} does not apply to runs; leave it out, or give --model.")
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


def load_network(model: str, device: str = "cpu", given: Preprocessing = NOTHING_GIVEN) -> Model:
    """A network without a projection: dlib's, that of a weights file, or a function.

    Raises `UsageError` if it is none of these, or an option does not apply.
    """
    if model == DLIB:
        return Model(DLIB, load_backbone(DLIB, device, given=given))
    path = Path(model)
    if path.is_dir():
        raise UsageError(f"--model {model} is a folder, whose embedding would be left out; give it as --run.")
    if not path.is_file():
        if python_function.is_function(model):
            return Model(model.replace(":", "."), python_function.load(model, given))
        raise UsageError(f"there is no file --model {model}; {MODELS}.")
    if path.suffix.lower() == ".onnx":
        return Model(path.stem, load_backbone(model, device, given=given), identities=identities_of(path))
    try:
        backbone = load_backbone(model, device, given=given)
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
        layers = _layers(tensors, facts.get("head", LINEAR))
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, OSError):
        raise UsageError(f"{path / EMBEDDING} is damaged; train the run again.") from None
    own = next((path / name for name in (BACKBONE, ONNX_BACKBONE) if (path / name).is_file()), None)
    if own is None and facts.get("backbone", DLIB) != DLIB:  # it is never taken for the path of a file
        raise UsageError(f"{path} lacks its network, {BACKBONE} or {ONNX_BACKBONE}; copy the whole run.")
    backbone = load_backbone(str(own) if own else DLIB, device)
    if facts.get("fingerprint") not in backbone.fingerprints or layers[0][0].shape[1] != backbone.dim:
        raise UsageError(f"the embedding in {path} was trained on another {backbone.name}; train the run again.")
    if facts.get("head") == EUM:
        return Model(name, backbone, unmasking=layers, identities=identities)
    return Model(name, backbone, *layers[0], identities=identities)


def _layers(tensors: dict[str, Floats], head: str) -> tuple[tuple[Floats, Floats], ...]:
    """W and b of each layer in a file of stage 2. Raises `ValueError` or `KeyError` for what no run writes."""
    if head not in HEADS:
        raise ValueError
    names = [f"{number}." for number in range(len(tensors) // 2)] if head == EUM else [""]
    layers = []
    for name in names:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
            weight, bias = (tensors[name + part].astype(np.float32) for part in ("weight", "bias"))
        square = head != EUM or weight.shape == (len(bias), len(bias))
        if weight.ndim != 2 or not len(weight) or bias.shape != (len(weight),) or not square:
            raise ValueError
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError
        layers.append((weight, bias))
    if not layers or len({weight.shape for weight, _ in layers}) > 1:
        raise ValueError
    return tuple(layers)
