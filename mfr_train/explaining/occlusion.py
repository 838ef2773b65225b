"""Occlusion: how far the embedding of a picture moves when a part of the picture is covered.

A square patch in the picture's mean colour slides over it (Zeiler and Fergus 2014). The value of a position is the
cosine distance between the embedding of the picture and that of the covered one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..networks.backbone import CHUNK, Floats, Image

Embed = Callable[[Sequence[Image]], Floats]
"""Versions of one picture -> embeddings of length 1."""

Indices = npt.NDArray[np.intp]


def starts(length: int, patch: float, stride: float) -> tuple[Indices, int]:
    """Where patches begin along a side of `length` pixels, and how long they are; all of them cover the whole side.

    `patch` and `stride` are shares of the side. The stride is shortened so that the last patch ends at the border.
    """
    size = max(1, round(patch * length))
    steps = int(np.ceil((length - size) / max(1.0, stride * length)))
    return np.rint(np.linspace(0, length - size, steps + 1)).astype(np.intp), size


def distances(image: Image, embed: Embed, patch: float, stride: float) -> Floats:
    """The cosine distance for each position of the patch, float32 (rows, columns)."""
    height, width = image.shape[:2]
    (tops, tall), (lefts, wide) = starts(height, patch, stride), starts(width, patch, stride)
    colour = np.rint(image.mean((0, 1)))
    whole = embed([image])[0]
    places = [(top, left) for top in tops for left in lefts]
    found = np.empty(len(places), np.float32)
    for first in range(0, len(places), CHUNK):
        covered = []
        for top, left in places[first : first + CHUNK]:
            copy = image.copy()
            copy[top : top + tall, left : left + wide] = colour
            covered.append(copy)
        # |a - b|^2 / 2 of unit vectors is 1 - a b, and exactly 0 for equal ones.
        found[first : first + len(covered)] = ((embed(covered) - whole) ** 2).sum(1) / 2
    return found.reshape(len(tops), len(lefts))


def spread(values: Floats, height: int, width: int, patch: float, stride: float) -> Floats:
    """Values of patch positions as a map (height, width): at each pixel the mean over the patches that cover it."""
    rows, columns = _cover(height, patch, stride), _cover(width, patch, stride)
    total = rows.T @ values.astype(np.float64) @ columns
    return (total / np.outer(rows.sum(0), columns.sum(0))).astype(np.float32)


def _cover(length: int, patch: float, stride: float) -> npt.NDArray[np.float64]:
    """Which patches cover which pixels of a side, 0 or 1, (patches, length)."""
    first, size = starts(length, patch, stride)
    pixels = np.arange(length)
    return ((pixels >= first[:, None]) & (pixels < first[:, None] + size)).astype(np.float64)
