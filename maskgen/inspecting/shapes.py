"""What the 68 landmarks of many faces say: the distance of the eyes, the turn of the head, and unusual shapes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

NOSE, RIGHT_EYE, LEFT_EYE = 30, 36, 45
"""The tip of the nose and the outer corners of the eyes, among dlib's 68 points."""

NOSE_DEPTH = 0.6
"""How far the tip of the nose stands before the outer corners of the eyes, as a share of half their distance: 135 to
225 in the generic head that is widely used to estimate poses from six landmarks."""

DIRECTIONS = 5
"""Directions in which shapes differ most (turned heads, open mouths, long faces), which do not make a shape unusual."""

ENOUGH = 20
"""Faces for each such direction: fewer faces would have their own errors taken for one."""

ROUNDS = 5
"""Of the Procrustes analysis. It moves by less than a thousandth after three."""

TYPICAL = 90
"""The percentage of faces, the nearest to the mean shape, from which the directions are taken: no error is one."""


class Pose(NamedTuple):
    """Of each face: the distance of the outer eye corners in pixels, roll and yaw in degrees; NaN if it has none.

    Roll is positive if the head leans clockwise in the picture, yaw if the nose points to the right of it.
    """

    eyes: Values
    roll: Values
    yaw: Values


def pose(landmarks: npt.NDArray[np.float32]) -> Pose:
    """The pose of faces, from landmarks (n, 68, 2).

    Roll is the angle of the line through the outer corners of the eyes. For yaw, let r be how far the tip of the nose
    lies beside the middle of that line, along it, in halves of its length. In a parallel projection of a head turned
    by yaw the corners are at +-cos(yaw) and the tip at NOSE_DEPTH * sin(yaw): yaw = atan(r / NOSE_DEPTH).
    """
    points = _complex(landmarks)
    right, left, nose = points[:, RIGHT_EYE], points[:, LEFT_EYE], points[:, NOSE]
    line = left - right
    eyes = np.abs(line)
    with np.errstate(divide="ignore", invalid="ignore"):
        beside = 2 * ((nose - (left + right) / 2) * line.conj()).real / eyes**2
        yaw = np.degrees(np.arctan(beside / NOSE_DEPTH))
        roll = np.where(eyes > 0, np.degrees(np.angle(line)), np.nan)
    return Pose(eyes, roll, yaw)


def unusual(landmarks: npt.NDArray[np.float32]) -> tuple[Values, int]:
    """How far each shape of 68 points (n, 68, 2) is from those that faces of the data set take.

    All shapes are moved, turned and scaled onto their mean (generalised Procrustes analysis). Of what remains, the
    directions in which typical shapes differ most are left out: 5, or one for each 20 faces if there are fewer.

    Returns:
        The root mean square over the points, as a share of the distance of the outer eye corners of the mean shape;
        NaN for a shape without extent. And the number of directions that were left out.
    """
    points = _complex(landmarks)
    points = points - points.mean(1, keepdims=True)
    sizes = (np.abs(points) ** 2).sum(1)
    usable = sizes > 1e-6
    found = np.full(len(points), np.nan)
    if not usable.any():
        return found, 0
    shapes = points[usable] / np.sqrt(sizes[usable])[:, None]
    mean = shapes[0]
    for _ in range(ROUNDS):
        aligned = (shapes.conj() @ mean)[:, None] * shapes
        mean = aligned.mean(0)
        mean /= np.sqrt((np.abs(mean) ** 2).sum())
    aligned = (shapes.conj() @ mean)[:, None] * shapes
    rest = np.concatenate([(aligned - mean).real, (aligned - mean).imag], 1)
    rest, directions = _without_directions(rest)
    eyes = np.abs(mean[LEFT_EYE] - mean[RIGHT_EYE])
    if eyes > 0:
        found[usable] = np.sqrt((rest**2).sum(1) / points.shape[1]) / eyes
    return found, directions


def _without_directions(rest: Values) -> tuple[Values, int]:
    far = (rest**2).sum(1)
    typical = rest[far <= np.percentile(far, TYPICAL)]
    directions = min(DIRECTIONS, len(typical) // ENOUGH)
    if not directions:
        return rest, 0
    middle = typical.mean(0)
    _, vectors = np.linalg.eigh((typical - middle).T @ (typical - middle))
    strongest = vectors[:, -directions:]
    return rest - ((rest - middle) @ strongest) @ strongest.T, directions


def _complex(landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.complex128]:
    points = landmarks.astype(np.float64)
    found: npt.NDArray[np.complex128] = points[..., 0] + 1j * points[..., 1]
    return found
