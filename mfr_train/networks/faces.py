"""Pictures with landmarks -> faces of one size, cut out as a network was trained on."""

from __future__ import annotations

import dlib
import numpy as np
import numpy.typing as npt

from maskgen.imaging import align

from .backbone import Floats, Image, Images
from .preprocessing import ARCFACE, CHIP
from .resizing import resized

Faces = npt.NDArray[np.uint8]
"""(N, size, size, 3), RGB."""

Matrix = npt.NDArray[np.float64]

CHIP_PADDING = 0.25
"""Of dlib's face chips: what surrounds the mean face, on each side, as a share of its size."""

_PAIRS = ((0, 17), (17, 27), (31, 36), (48, 55), (55, 60), (60, 65), (65, 68))
"""Runs of the 68 landmarks whose order is reversed in a mirror image."""

MIRRORED = np.arange(68)
"""The landmark of a face that is at the place of each landmark in its mirror image."""
for _start, _end in _PAIRS:
    MIRRORED[_start:_end] = np.arange(_end - 1, _start - 1, -1)
MIRRORED[36:48] = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]


def cut_out(images: Images, landmarks: Floats, how: str, size: int) -> Faces:
    """The faces of N pictures with landmarks (N, 68, 2). `how` is one of --align; `none` needs no landmarks."""
    if how == ARCFACE:
        return np.stack([align.aligned(image, points, size) for image, points in zip(images, landmarks, strict=True)])
    if how == CHIP:
        return np.stack([chip(image, points, size) for image, points in zip(images, landmarks, strict=True)])
    if isinstance(images, np.ndarray) and images.shape[1:] == (size, size, 3):
        return images
    return np.stack([resized(image, size) for image in images])


def chip(image: Image, landmarks: Floats, size: int) -> Image:
    """The face, uint8 (size, size, 3), turned upright and cut out as dlib's network was trained on."""
    found: Image = dlib.get_face_chip(np.ascontiguousarray(image), _detection(image, landmarks), size=size)
    return found


def _detection(image: Image, landmarks: Floats) -> dlib.full_object_detection:
    points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
    # dlib wants a rectangle too, which plays no part in the alignment.
    return dlib.full_object_detection(dlib.rectangle(0, 0, image.shape[1] - 1, image.shape[0] - 1), points)


def landmarks_of(images: Images, landmarks: Floats, how: str, size: int) -> Floats:
    """The landmarks, float32 (N, 68, 2), in pixels of the faces that `cut_out` gives."""
    found = np.empty((len(images), 68, 2), np.float32)
    for number, (image, points) in enumerate(zip(images, landmarks, strict=True)):
        to_face = matrix(image, points, how, size)
        found[number] = points @ to_face[:, :2].T + to_face[:, 2]
    return found


def matrix(image: Image, landmarks: Floats, how: str, size: int) -> Matrix:
    """The map from pixels of a picture to pixels of its face, (2, 3)."""
    if how == ARCFACE:
        return align.similarity(align.five_points(landmarks), align.places(size))
    if how == CHIP:
        details = dlib.get_face_chip_details(_detection(image, landmarks), size, CHIP_PADDING)
        scale, middle = size / details.rect.width(), details.rect.dcenter()
        cos, sin = scale * np.cos(details.angle), scale * np.sin(details.angle)
        turn = np.array([(cos, sin), (-sin, cos)])
        return np.column_stack([turn, (size - 1) / 2 - turn @ (middle.x, middle.y)])
    height, width = image.shape[:2]
    x, y = size / width, size / height
    return np.array([(x, 0, (x - 1) / 2), (0, y, (y - 1) / 2)])


def mirrored(faces: Faces) -> Faces:
    """The mirror images of faces."""
    return np.ascontiguousarray(faces[:, :, ::-1])


def mirrored_landmarks(landmarks: Floats, size: int) -> Floats:
    """The landmarks of the mirror images of faces of `size` pixels."""
    found = landmarks[:, MIRRORED].copy()
    found[..., 0] = size - 1 - found[..., 0]
    return found
