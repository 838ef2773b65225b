"""Whole pictures at the size of a network's input."""

from __future__ import annotations

import cv2

from .backbone import Image


def resized(image: Image, size: int) -> Image:
    """A picture as uint8 (size, size, 3); one of that size is returned as it is."""
    if image.shape[:2] == (size, size):
        return image
    shrinks = min(image.shape[:2]) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
