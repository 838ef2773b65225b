"""Photograph + outline + colour -> masked photograph, anti-aliased to the exact share of each pixel covered.

A pixel is the unit square around its whole-numbered centre. `coverage` integrates the outline over every pixel
in closed form (the signed-area accumulation that font rasterisers use), so an edge is as smooth as 8 bits
allow, and a pixel that the outline does not touch keeps its value bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .outline import Points, outline

Image = npt.NDArray[np.uint8]
"""A photograph: uint8 (height, width, 3), RGB."""


Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

TOGETHER = 2_000_000
"""Pixels of outlines that `coverage` treats in one pass (16 bytes a pixel)."""

_NOTHING = np.zeros((0, 0), np.uint8)


class Cover(NamedTuple):
    """How much of each pixel an outline covers, in 255ths: uint8 (h, w), whose first pixel is at (left, top)."""

    share: npt.NDArray[np.uint8]
    left: int
    top: int


def draw(image: Image, landmarks: npt.ArrayLike, variant: str, color: Sequence[int]) -> Image:
    """Draws one mask on a copy of `image`.

    `landmarks` are (68, 2) in pixels of `image`, `variant` one of `VARIANTS`, `color` three values 0..255, RGB.
    What lies outside the picture is cut off. Raises `Undrawable` where the face has no such mask.
    """
    height, width = image.shape[:2]
    return paint(image, coverage([outline(landmarks, variant)], width, height)[0], color)


def paint(image: Image, cover: Cover, color: Sequence[int]) -> Image:
    """Lays one colour (RGB) over a copy of `image`, as far as each pixel is covered."""
    painted = image.copy()
    share, left, top = cover
    if not share.size:
        return painted
    height, width = share.shape
    region = painted[top : top + height, left : left + width]
    edge = np.flatnonzero((share > 0) & (share < 255))
    rows, columns = np.divmod(edge, width)
    under = region[rows, columns].astype(np.float32)
    weight = share[rows, columns, None].astype(np.float32) / 255
    solid = np.empty_like(region)
    solid[:] = color
    cv2.copyTo(solid, share, region)
    region[rows, columns] = np.rint(under + weight * (np.asarray(color, np.float32) - under)).astype(np.uint8)
    return painted


def coverage(polygons: Sequence[Points], width: int, height: int) -> list[Cover]:
    """The share of each pixel that each polygon covers, inside a picture of `width` x `height` pixels.

    The polygons, (n, 2) in pixels, must not overlap themselves. All of them go through numpy together: six masks
    cost little more than one. Polygons too large for that (`TOGETHER`) are taken one at a time, to bound memory.
    """
    boxes = [_box(polygon, width, height) for polygon in polygons]
    if len(polygons) > 1 and sum(w * h for _, _, w, h in boxes) > TOGETHER:
        return [coverage([polygon], width, height)[0] for polygon in polygons]

    # Every polygon gets a canvas of its own in one flat array: a column for what lies left of the box (it still
    # turns the winding inside), the box, and a column for what spills out on the right.
    left, top, w, h = np.array(boxes).T
    base = np.concatenate([[0], np.cumsum((w + 2) * h)])
    which = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    # Pixel (i, j) becomes the square [i, i+1] x [j, j+1] of its canvas.
    x, y = np.concatenate(polygons).T + 0.5 - np.stack([left, top])[:, which]
    dx, dy = np.concatenate([np.roll(polygon, -1, axis=0) - polygon for polygon in polygons]).T
    y, dy, x, dx, which = _cut(y, dy, x, dx, which)
    x, dx, y, dy, which = _cut(x, dx, y, dy, which)

    # A piece now lies inside one pixel: it covers the part of that pixel to its right, and every pixel after it.
    x, y = x + dx / 2, y + dy / 2
    inside = np.flatnonzero((y > 0) & (y < h[which]) & (x < w[which]))
    x, y, dy, which = x[inside], y[inside].astype(np.int64), dy[inside], which[inside]
    column = np.maximum(np.floor(x), -1)
    beside = np.where(column < 0, 0, column + 1 - x) * dy
    cell = base[which] + y * (w + 2)[which] + column.astype(np.int64) + 1
    change = np.bincount(np.concatenate([cell, cell + 1]), np.concatenate([beside, dy - beside]), base[-1])

    covers = []
    for number, (left, top, columns, rows) in enumerate(boxes):
        winding = np.cumsum(change[base[number] : base[number + 1]].reshape(rows, columns + 2), axis=1)
        share = cv2.convertScaleAbs(winding[:, 1:-1], alpha=255) if rows else _NOTHING
        covers.append(Cover(share, left, top))
    return covers


def _box(polygon: Points, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, width, height of the pixels a polygon may touch inside the picture; no pixels: 0, 0, 0, 0."""
    low, high = np.floor(polygon.min(axis=0) + 0.5), np.ceil(polygon.max(axis=0) + 0.5)
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    w, h = min(int(high[0]), width) - left, min(int(high[1]), height) - top
    return (left, top, w, h) if w > 0 and h > 0 else (0, 0, 0, 0)


def _cut(a: Array, da: Array, b: Array, db: Array, which: Indices) -> tuple[Array, Array, Array, Array, Indices]:
    """Cuts segments, from (a, b) to (a + da, b + db), where they cross whole numbers of `a`."""
    end = a + da
    down = da < 0
    line = np.where(down, np.ceil(a) - 1, np.floor(a) + 1)  # the first line strictly ahead of the start
    crossed = np.where(down, line - np.floor(end), np.ceil(end) - line).clip(min=0).astype(np.int64)
    pieces = crossed + 1
    owner = np.repeat(np.arange(len(a)), pieces)
    first = np.cumsum(pieces) - pieces
    number = np.arange(len(owner)) - first[owner]
    with np.errstate(divide="ignore", invalid="ignore"):  # a segment along a line is never cut
        unit = np.where(crossed, 1 / da, 0)
        stop = ((line - a) * unit)[owner] + number * np.abs(unit)[owner]
    stop[first + crossed] = 1
    begin = np.empty_like(stop)
    begin[1:] = stop[:-1]
    begin[first] = 0
    share, a_whole, b_whole = stop - begin, da[owner], db[owner]
    return (
        a[owner] + begin * a_whole,
        share * a_whole,
        b[owner] + begin * b_whole,
        share * b_whole,
        which[owner],
    )
