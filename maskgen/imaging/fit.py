"""Photograph -> stored picture: resizes it to the size on disk, and maps points accordingly."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .align import PLACES, SIDE, five_points, similarity
from .landmarks import Face, detector_box
from .render import Image

MARGIN = 1.55
"""Side of the square of `face` over that of the box of dlib's detector. The loose crops of VGGFace2 extend a box from
forehead to chin by 30 %; such a box is 1.2 times as high as dlib's (mean of YuNet's on the ORL faces)."""

Matrix = npt.NDArray[np.float64]


class Fitted(NamedTuple):
    """A stored picture and the map into it, (2, 3): stored + 0.5 = matrix (photograph + 0.5), in pixels."""

    image: Image
    matrix: Matrix

    def points(self, points: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Maps points (..., 2) in pixels of the photograph to pixels of the stored picture, float32."""
        x, y = np.moveaxis(np.asarray(points, dtype=np.float64) + 0.5, -1, 0)
        moved = [a * x + b * y + c - 0.5 for a, b, c in self.matrix]
        return np.stack(moved, axis=-1).astype(np.float32)

    def box(self, box: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Maps a box, x0, y0, x1, y1: the smallest upright one around its four corners."""
        x0, y0, x1, y1 = np.asarray(box).tolist()
        corners = self.points([(x0, y0), (x1, y0), (x0, y1), (x1, y1)])
        return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def fit(image: Image, size: int, how: str, face: Face | None = None) -> Fitted:
    """Resizes a photograph to `size` x `size` pixels; a size of 0 keeps it as it is.

    Args:
        image: uint8 (h, w, 3).
        size: In pixels.
        how: `stretch` (the whole photograph; its proportions change), `pad` (the whole photograph between black bars),
            `crop` (the largest square, centred on the face as far as the frame allows), `face` (a square of the face
            with a margin, `MARGIN`, likewise) or `align` (the face rotated and scaled so that eyes, nose and mouth
            come nearest to where ArcFace has them, in a frame of 112 pixels that is scaled to `size`).
        face: Needed for the last three.
    """
    height, width = image.shape[:2]
    if not size:
        return Fitted(image, _scaling(1.0, 1.0))
    if how == "stretch":
        return Fitted(_resize(image, size, size), _scaling(size / width, size / height))
    if how == "pad":
        return _pad(image, size)
    if face is None:
        raise ValueError(f"fit {how!r} needs the face")
    if how == "crop":
        return _square(image, size, min(width, height), face.box)
    if how == "face":
        box = detector_box(face.landmarks)
        return _square(image, size, max(1, min(width, height, round(MARGIN * (box[2] - box[0])))), box)
    return _align(image, size, face)


def _pad(image: Image, size: int) -> Fitted:
    height, width = image.shape[:2]
    scale = size / max(width, height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size - w) // 2, (size - h) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + h, left : left + w] = _resize(image, w, h)
    return Fitted(padded, _scaling(w / width, h / height, left, top))


def _square(image: Image, size: int, side: int, box: npt.ArrayLike) -> Fitted:
    """A square of the photograph that is centred on a box as far as the frame allows."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    left = int(np.clip(round((x0 + x1 + 1 - side) / 2), 0, width - side))
    top = int(np.clip(round((y0 + y1 + 1 - side) / 2), 0, height - side))
    scale = size / side
    square = _resize(image[top : top + side, left : left + side], size, size)
    return Fitted(square, _scaling(scale, scale, -left * scale, -top * scale))


def _align(image: Image, size: int, face: Face) -> Fitted:
    """The aligned face; what lies beyond the photograph is black.

    A large face is first made smaller with the whole photograph, by the mean of pixels: warping alone takes single
    pixels of it.
    """
    height, width = image.shape[:2]
    matrix = similarity(five_points(face.landmarks) + 0.5, (PLACES + 0.5) * (size / SIDE))
    scale = min(1.0, float(np.hypot(*matrix[:, 0])))
    small = _resize(image, max(1, round(width * scale)), max(1, round(height * scale)))
    back = _scaling(width / small.shape[1], height / small.shape[0])
    rest = matrix @ np.vstack([back, (0, 0, 1)])  # from the smaller copy
    rest[:, 2] += rest[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from the middle of the first pixel
    return Fitted(cv2.warpAffine(small, rest, (size, size), flags=cv2.INTER_LINEAR), matrix)


def _scaling(x: float, y: float, left: float = 0.0, top: float = 0.0) -> Matrix:
    return np.array([(x, 0.0, left), (0.0, y, top)])


def _resize(image: Image, width: int, height: int) -> Image:
    if (image.shape[1], image.shape[0]) == (width, height):
        return image
    shrinks = width < image.shape[1] or height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
