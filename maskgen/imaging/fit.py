"""Photograph -> stored picture: resizes it to the size on disk, and maps points accordingly."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .render import Image


class Fitted(NamedTuple):
    """A stored picture and the map into it: stored = (photograph + 0.5) * scale + offset - 0.5, in pixels."""

    image: Image
    scale: tuple[float, float]
    offset: tuple[float, float]

    def points(self, points: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Maps points (..., 2) in pixels of the photograph to pixels of the stored picture, float32."""
        moved = (np.asarray(points, dtype=np.float64) + 0.5) * self.scale + self.offset - 0.5
        return moved.astype(np.float32)


def fit(image: Image, size: int, how: str, box: npt.ArrayLike) -> Fitted:
    """Resizes a photograph to `size` x `size` pixels; a size of 0 keeps it as it is.

    `how` is `stretch` (proportions change), `crop` (the largest square, centred on the face's `box` as far as the
    frame allows) or `pad` (black bars).
    """
    height, width = image.shape[:2]
    if not size:
        return Fitted(image, (1.0, 1.0), (0.0, 0.0))
    if how == "stretch":
        return Fitted(_resize(image, size, size), (size / width, size / height), (0.0, 0.0))
    if how == "crop":
        side = min(width, height)
        x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
        left = int(np.clip(round((x0 + x1 + 1 - side) / 2), 0, width - side))
        top = int(np.clip(round((y0 + y1 + 1 - side) / 2), 0, height - side))
        scale = size / side
        square = _resize(image[top : top + side, left : left + side], size, size)
        return Fitted(square, (scale, scale), (-left * scale, -top * scale))
    scale = size / max(width, height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size - w) // 2, (size - h) // 2
    padded = np.zeros((size, size, 3), np.uint8)
    padded[top : top + h, left : left + w] = _resize(image, w, h)
    return Fitted(padded, (w / width, h / height), (float(left), float(top)))


def _resize(image: Image, width: int, height: int) -> Image:
    if (image.shape[1], image.shape[0]) == (width, height):
        return image
    shrinks = width < image.shape[1] or height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
