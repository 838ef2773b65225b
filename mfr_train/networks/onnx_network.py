"""A face network in an ONNX file, run by OpenCV on faces aligned and scaled as ArcFace's authors do it.

That is how the field publishes recognition models: 112 x 112 RGB faces with eyes, nose and mouth in fixed places,
values (x - 127.5) / 127.5, one embedding out. A model that scales its input by itself, or takes BGR, is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.errors import UsageError
from maskgen.imaging.render import Image

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SIDE = 112
"""Side in pixels of an aligned face."""

PLACES = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
"""Where an aligned face has its eyes, the tip of the nose and the corners of the mouth, each from left to right: the
template of ArcFace's published code (Deng et al., 2019)."""

Run = Callable[[Sequence[Image], Floats], Floats]


def load(path: Path) -> tuple[Run, int, str]:
    """The network of an ONNX file: what runs it on pictures and landmarks, the length of its embeddings, and a hash.

    Raises `UsageError` for a file that OpenCV cannot run or that gives no embedding of a 112 x 112 face.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the model {path}: {error.strerror}; give an ONNX file.") from None
    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)  # OpenCV would print a failure itself
    try:
        network = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        shapes = [np.shape(_forward(network, np.zeros((n, 3, SIDE, SIDE), np.float32))) for n in (1, 2)]
    except cv2.error as error:
        raise UsageError(f"OpenCV cannot run the model {path} ({error.code}); export it for 112 x 112 faces.") from None
    finally:
        cv2.utils.logging.setLogLevel(before)
    if shapes[0] != (1, *shapes[0][1:]) or len(shapes[0]) != 2:
        raise UsageError(
            f"the model {path} gives {shapes[0]} for one face, which is not an embedding; give another ONNX file."
        )
    dim = shapes[0][1]
    together = shapes[1] == (2, dim)  # some are exported for one face at a time

    def run(images: Sequence[Image], landmarks: Floats) -> Floats:
        faces = np.stack([aligned(image, points) for image, points in zip(images, landmarks, strict=True)])
        scaled = (faces.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5
        pieces = [scaled] if together else np.split(scaled, len(scaled))
        return np.concatenate([_forward(network, piece) for piece in pieces])

    return run, dim, hashlib.sha256(f"arcface {SIDE} ".encode() + data).hexdigest()


def aligned(image: Image, landmarks: npt.ArrayLike) -> Image:
    """The face, uint8 (112, 112, 3), rotated, scaled and moved so that its five points come nearest to `PLACES`."""
    return cv2.warpAffine(image, similarity(five_points(landmarks), PLACES), (SIDE, SIDE))


def five_points(landmarks: npt.ArrayLike) -> Points:
    """Middles of the eyes, tip of the nose, corners of the mouth, (5, 2), of 68 landmarks (68, 2)."""
    points = np.asarray(landmarks, np.float64)
    return np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]])


def similarity(source: Points, target: Points) -> Points:
    """The rotation, scaling and translation, float64 (2, 3), that takes points (n, 2) nearest to others.

    As complex numbers the points are p and q, and the map is q = a p + b: a linear regression.
    """
    p, q = (points @ (1, 1j) for points in (source, target))
    centred = p - p.mean()
    a = (centred.conj() @ (q - q.mean())) / (centred.conj() @ centred).real
    b = q.mean() - a * p.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _forward(network: cv2.dnn.Net, faces: Floats) -> Floats:
    network.setInput(faces)
    found: Floats = network.forward()
    return found
