"""Faces aligned as ArcFace's trainers do it: rotated, scaled and moved to five fixed points."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .render import Image

Points = npt.NDArray[np.float64]

SIDE = 112
"""Side in pixels of an aligned face."""

PLACES = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)])
"""Where an aligned face of `SIDE` has its eyes, the tip of the nose and the corners of the mouth, each from left to
right: the template of ArcFace's published code (Deng et al., 2019)."""


def aligned(image: Image, landmarks: npt.ArrayLike, size: int = SIDE) -> Image:
    """The face, uint8 (size, size, 3), rotated, scaled and moved so that its five points come nearest to `places`."""
    return cv2.warpAffine(image, similarity(five_points(landmarks), places(size)), (size, size))


def places(size: int = SIDE) -> Points:
    """`PLACES` in a picture of `size` pixels that shows the same part of the face."""
    return (PLACES + 0.5) * (size / SIDE) - 0.5


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
