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
from maskgen.imaging.align import SIDE, aligned
from maskgen.imaging.render import Image

Floats = npt.NDArray[np.float32]

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


def _forward(network: cv2.dnn.Net, faces: Floats) -> Floats:
    network.setInput(faces)
    found: Floats = network.forward()
    return found
