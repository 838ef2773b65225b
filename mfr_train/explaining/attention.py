"""Maps of where a model looks: chooses the method, and puts its values where they belong in the picture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.seeding import digest

from ..keywords import AnyPath, settings_from
from ..networks import faces
from ..networks.backbone import CHUNK, Backbone, Floats, Image
from ..networks.faces import Matrix
from ..networks.model import Model, Picture, load_model, pixels
from ..networks.pooled import PooledNetwork
from . import closed_form, occlusion
from .explain_settings import AUTO, GRADCAM, OCCLUSION, ExplainSettings

MIN_POSITIONS = 3
"""Rows and columns that a map of Smooth Grad-CAM++ needs to be chosen: fewer say little about where."""

NO_LANDMARKS = np.zeros((68, 2), np.float32)


Embed = Callable[[Sequence[Image], Floats, bool], Floats]


class MapOptions(TypedDict, total=False):
    """The fields of `ExplainSettings` that say how a map is made."""

    method: str
    samples: int
    noise: float
    numerator: str
    normalised: bool
    patch: float
    stride: float
    seed: int
    device: str


@dataclass(frozen=True, eq=False)
class Attention:
    """Where a model looks in one picture: the `values` of a method, float32 (rows, columns), and how such values
    become a map of the picture, float32 (height, width)."""

    values: Floats
    spread: Callable[[Floats], Floats]

    def map(self) -> Floats:
        return self.spread(self.values)


@dataclass(frozen=True, eq=False)
class Explainer:
    """A model that is explained.

    `embed` takes versions of one picture, its landmarks (68, 2) and whether it shows a mask, which only EUM uses, and
    gives embeddings of length 1. `attention` takes a picture, its landmarks, whether it shows a mask, and its key,
    which with the seed decides what noise is added. `note` says why the method is not Smooth Grad-CAM++, or is empty.
    """

    method: str
    embed: Embed
    attention: Callable[[Image, Floats, bool, str], Attention]
    note: str = ""


def attention(
    model: Model | AnyPath | Callable[[list[Image]], npt.ArrayLike],
    pictures: Sequence[Picture] | Picture,
    landmarks: npt.ArrayLike | None = None,
    keys: Sequence[str] | None = None,
    **options: Unpack[MapOptions],
) -> Floats:
    """Shows where a model looks in pictures of faces.

    A network that ends in global average pooling and a linear layer gets the map of Smooth Grad-CAM++ (Omeiza et al.
    2019), averaged over all features of its embedding. Any other model gets an occlusion map: the cosine distance
    by which the embedding moves when a patch covers that place (Zeiler and Fergus 2014).

    Args:
        model: What `load_model` returns or takes; or a function that takes a list of N pictures, uint8 (h, w, 3) RGB,
            and returns their embeddings (N, d).
        pictures: N pictures of one size, or one, as `Model.embed` takes them.
        landmarks: The 68 landmarks of each face, (N, 68, 2) in pixels, as in `Model.embed`.
        keys: A name for each picture. With `seed` it decides the noise of the picture, in any batch and order. By
            default the noise follows from the pixels.
        **options: `method`, `samples`, `noise`, `numerator`, `normalised`, `patch`, `stride`, `seed` and `device`, as
            in `ExplainSettings`.

    Returns:
        A map for each picture, float32 (N, h, w), in its pixels. Values are at least 0. Only their ratio within a
        map has a meaning for Smooth Grad-CAM++; for occlusion they are cosine distances from 0 to 2.

    Raises:
        UsageError: If an option, the model or a picture does not fit, or the pictures have different sizes.
        MaskgenError: If a file cannot be decoded, or the model gives no finite numbers.

    Example:
        >>> import numpy as np
        >>> def brightness(pictures):
        ...     return [(1.0, picture[:32].mean()) for picture in pictures]
        >>> maps = attention(brightness, np.full((1, 64, 64, 3), 90, np.uint8))
        >>> maps.shape
        (1, 64, 64)
    """
    if others := set(options) - MapOptions.__annotations__.keys():
        raise UsageError(f"attention has no option {min(others)!r}; it has {', '.join(MapOptions.__annotations__)}.")
    settings = settings_from(ExplainSettings, None, options)
    declared.check(settings)
    images, points, explained = _prepared(model, pictures, landmarks, settings)
    names = [hashlib.blake2b(image.tobytes()).hexdigest() for image in images] if keys is None else list(keys)
    if len(names) != len(images):
        raise UsageError(f"there are {len(names)} keys for {len(images)} pictures; give one for each.")
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        (h, w), (other_h, other_w) = sorted(sizes)[:2]
        raise UsageError(
            f"the pictures have different sizes, such as {w} x {h} and {other_w} x {other_h}; give those of one size."
        )
    if not images:
        return np.empty((0, 0, 0), np.float32)
    found = zip(images, points, names, strict=True)
    return np.stack([explained.attention(image, face, False, name).map() for image, face, name in found])


def _prepared(
    model: Any, pictures: Any, landmarks: npt.ArrayLike | None, settings: ExplainSettings
) -> tuple[list[Image], Floats, Explainer]:
    """The pictures and landmarks of a call, and the model to explain."""
    if callable(model):
        several = isinstance(pictures, list | tuple) or (isinstance(pictures, np.ndarray) and pictures.ndim == 4)
        images = [pixels(image, number) for number, image in enumerate(pictures if several else [pictures])]
        return images, np.zeros((len(images), 68, 2), np.float32), _of_function(model, settings)
    loaded = model if isinstance(model, Model) else load_model(model, device=settings.device)
    images, points = loaded.prepared(pictures, landmarks)
    return images, points, explainer(loaded, settings)


def explainer(model: Model, settings: ExplainSettings) -> Explainer:
    """Chooses the method for a model. Raises `UsageError` if the method that is wanted cannot explain it."""

    def embed(images: Sequence[Image], landmarks: Floats, masked: bool) -> Floats:
        return model.embed(list(images), np.broadcast_to(landmarks, (len(images), 68, 2)), masked)

    pooled = readable(model)
    if pooled is None and settings.method == GRADCAM:
        raise UsageError(
            f"{model.name} does not end in pooling and a linear layer that can be read, which --method gradcam needs; "
            "give --method occlusion."
        )
    if pooled is None or settings.method == OCCLUSION:
        return Explainer(OCCLUSION, embed, partial(_occluded, embed, settings))
    channels, *shape = _shape(model.backbone, pooled)
    if settings.method == AUTO and min(shape) < MIN_POSITIONS:
        note = (
            f"{model.name} pools {shape[0]} x {shape[1]} positions, too few to tell where it looks: its maps are made "
            "by occlusion (--method gradcam shows them all the same)."
        )
        return Explainer(OCCLUSION, embed, partial(_occluded, embed, settings), note)
    head = closed_form.head_of(model, pooled, channels)
    return Explainer(GRADCAM, embed, partial(_smooth_gradcam, model, pooled, head, settings))


def _of_function(function: Callable[[list[Image]], npt.ArrayLike], settings: ExplainSettings) -> Explainer:
    if settings.method == GRADCAM:
        raise UsageError("a function has no layers that --method gradcam could read; leave the method out.")

    def embed(images: Sequence[Image], landmarks: Floats, masked: bool) -> Floats:
        found = np.asarray(function(list(images)), np.float32)
        if found.ndim != 2 or len(found) != len(images):
            raise UsageError(
                f"the function gives shape {found.shape} for {len(images)} pictures; it must give an embedding of each."
            )
        if not np.isfinite(found).all():
            raise MaskgenError("the function gives embeddings that are no finite numbers; check it.")
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return (found / np.where(length > 0, length, 1)).astype(np.float32)

    return Explainer(OCCLUSION, embed, partial(_occluded, embed, settings))


def _occluded(
    embed: Embed, settings: ExplainSettings, image: Image, landmarks: Floats, masked: bool, key: str
) -> Attention:
    def of_versions(images: Sequence[Image]) -> Floats:
        return embed(images, landmarks, masked)

    height, width = image.shape[:2]
    size = settings.patch, settings.stride
    values = occlusion.distances(image, of_versions, *size)
    return Attention(values, lambda given: occlusion.spread(given, height, width, *size))


def _smooth_gradcam(
    model: Model,
    pooled: PooledNetwork,
    head: closed_form.Head,
    settings: ExplainSettings,
    image: Image,
    landmarks: Floats,
    masked: bool,
    key: str,
) -> Attention:
    how, size = _cut(model.backbone)
    face = faces.cut_out([image], landmarks[None], how, size).astype(np.float32)
    found = torch.cat([pooled.activations(piece.to(pooled.device)) for piece in _copies(face, settings, key)])
    values = closed_form.mean_map(found[0], found[1:], head, settings.normalised, settings.numerator).cpu().numpy()
    if not np.isfinite(values).all():
        raise MaskgenError(f"the map of model {model.name} has values that are no finite numbers; give another model.")
    height, width = image.shape[:2]
    matrix = faces.matrix(image, landmarks, how, size)
    return Attention(values, lambda given: placed(given, pooled, size, matrix, height, width))


def _copies(face: Floats, settings: ExplainSettings, key: str) -> Iterator[torch.Tensor]:
    """The face (1, s, s, 3), then noisy copies, by pieces of `CHUNK` at most. Noise is not cut off at 0 and 255."""
    yield torch.from_numpy(face)
    if not (settings.normalised and settings.noise):  # every copy would have the same derivatives
        return
    seed = int.from_bytes(digest(settings.seed, "noise", key), "big")
    draw = np.random.Generator(np.random.PCG64(seed))
    for start in range(0, settings.samples, CHUNK):
        count = min(CHUNK, settings.samples - start)
        noise = draw.standard_normal((count, *face.shape[1:]), np.float32)
        yield torch.from_numpy(face + np.float32(255 * settings.noise) * noise)


def placed(values: Floats, pooled: PooledNetwork, size: int, matrix: Matrix, height: int, width: int) -> Floats:
    """Values of the positions of a network as a map of the picture (height, width), by linear interpolation.

    A position lies in the middle of what it sees. What is outside the face of `size` pixels that the network gets is 0.
    """
    y, x = np.mgrid[:height, :width]
    face_x, face_y = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]).astype(np.float64))
    seen = (np.minimum(face_x, face_y) >= -0.5) & (np.maximum(face_x, face_y) <= size - 0.5)
    rows, columns = values.shape
    # grid_sample counts from -1 in the middle of the first position to 1 in that of the last.
    grid = [
        2 * (along - pooled.first) / (pooled.stride * max(count - 1, 1)) - 1
        for along, count in ((face_x, columns), (face_y, rows))
    ]
    where = torch.from_numpy(np.stack(grid, axis=-1)[None])
    source = torch.from_numpy(values.astype(np.float64))[None, None]
    found = functional.grid_sample(source, where, padding_mode="border", align_corners=True)[0, 0].numpy()
    return np.where(seen, found, 0).astype(np.float32)


def shuffled(given: Attention, draw: np.random.Generator) -> Attention:
    """The same values at other places: a map as coarse as the given one, that knows nothing of the picture."""
    return replace(given, values=draw.permutation(given.values.ravel()).reshape(given.values.shape))


def readable(model: Model) -> PooledNetwork | None:
    """The parts of a model whose embedding is a linear function of what is pooled, but for its length; else None."""
    pooled = model.backbone.pooled
    if pooled is None or model.unmasking or (pooled.normalised and model.weight is not None):
        return None
    return pooled


def _cut(backbone: Backbone) -> tuple[str, int]:
    """How faces are cut out for a network that can be read, and their side in pixels."""
    made = backbone.preprocessing
    assert made.align
    assert made.input_size
    return made.align, made.input_size


def _shape(backbone: Backbone, pooled: PooledNetwork) -> tuple[int, ...]:
    """Channels, rows and columns of the activations."""
    _, size = _cut(backbone)
    found = pooled.activations(torch.zeros((1, size, size, 3), device=pooled.device))
    return tuple(found.shape[1:])
