"""dlib's face network: 128 features of an aligned face."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import dlib
import numpy as np

from maskgen.errors import MaskgenError
from maskgen.imaging.detectors import model_path

from ..defaults import DLIB
from .backbone import Backbone, Floats, Image

DLIB_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_CHIP = 150
"""Side in pixels of the aligned face that dlib's network takes."""


def aligned(image: Image, landmarks: Floats) -> Image:
    """The face, uint8 (150, 150, 3), turned upright and cut out as dlib's network was trained on, by 68 landmarks."""
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
    # dlib wants a detection: the rectangle plays no part in the alignment.
    face = dlib.full_object_detection(dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1), points)
    chip: Image = dlib.get_face_chip(image, face, size=DLIB_CHIP)
    return chip


@lru_cache(maxsize=1)
def dlib_backbone() -> Backbone:
    """dlib's network, loaded once in each process."""
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
    fingerprint = hashlib.sha256(f"{DLIB} {DLIB_CHIP} {weights}".encode()).hexdigest()
    return Backbone(DLIB, 128, None, fingerprint, run, runs_in_processes=True)
