"""Photograph + outline + colour -> masked photograph, anti-aliased to the exact share of each pixel covered.

A pixel is the unit square around its whole-numbered centre. `coverage` integrates the outline over every pixel
in closed form (the signed-area accumulation that font rasterisers use), so an edge is as smooth as 8 bits
allow, and a pixel that the outline does not touch keeps its value bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .outline import Points

Image = npt.NDArray[np.uint8]
"""A photograph: uint8 (height, width, 3), RGB."""

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MAX_PIXELS_AT_ONCE = 2_000_000
"""Pixels of outlines that `coverage` processes in one pass (17 bytes a pixel)."""

STEPS_PER_EDGE = 1 << 30
"""Positions along an edge are multiples of this fraction of it."""

WINDING_OF_PIXEL = 1 << 28
"""The winding of a whole pixel in the integers that `coverage` adds up: exact for any number of pieces."""


class Cover(NamedTuple):
    """How much of each pixel an outline covers, in 255ths: uint8 (h, w), whose first pixel is at (left, top)."""

    share: npt.NDArray[np.uint8]
    left: int
    top: int

    def whole(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """The share of every pixel of the picture, uint8 (height, width)."""
        canvas = np.zeros((height, width), np.uint8)
        rows, columns = self.share.shape
        canvas[self.top : self.top + rows, self.left : self.left + columns] = self.share
        return canvas


def paint(image: Image, cover: Cover, color: Sequence[int]) -> Image:
    """Paints one RGB colour over a copy of `image`, in proportion to the cover of each pixel."""
    return next(paint_each(image, [cover], [color]))


def paint_each(image: Image, covers: Iterable[Cover], colors: Iterable[Sequence[int]]) -> Iterator[Image]:
    """Yields `image` with each cover painted in its colour. It is the same array each time, reused for the next one.

    Between two masks only the rows of the first mask are restored.
    """
    painted = image.copy()
    for cover, color in zip(covers, colors, strict=True):
        lay_color(image, cover, color, painted)
        yield painted
        rows = slice(cover.top, cover.top + len(cover.share))
        painted[rows] = image[rows]


def lay_color(image: Image, cover: Cover, color: Sequence[int], painted: Image) -> None:
    """Writes the covered pixels of `image` into `painted`, blended with the colour."""
    share, left, top = cover
    if not share.size:
        return
    height, width = share.shape
    region = (slice(top, top + height), slice(left, left + width))
    # Integers, rounded once: a share of 0 gives exactly the pixel, a share of 255 exactly the colour. All three
    # channels lie in one row, because numpy is slow if the last axis is short.
    weight = cv2.cvtColor(share, cv2.COLOR_GRAY2RGB).reshape(height, -1).astype(np.uint16)
    blend = image[region].reshape(height, -1).astype(np.uint16)
    blend *= 255 - weight
    weight *= np.tile(np.array(color, np.uint16), width)
    blend += weight
    blend += 127
    blend //= 255
    painted[region] = blend.reshape(height, width, 3)


def coverage(polygons: Sequence[Points], width: int, height: int) -> list[Cover]:
    """The share of each pixel that each polygon covers, inside a picture of `width` x `height` pixels.

    The polygons, (n, 2) in pixels, must not overlap themselves. numpy processes all of them together, so that six
    masks cost little more than one. Polygons beyond `MAX_PIXELS_AT_ONCE` are processed one by one to bound memory.
    """
    # Pixel (i, j) becomes the square [i, i+1] x [j, j+1].
    corners = np.concatenate(polygons) + 0.5
    corner_count = np.array([len(polygon) for polygon in polygons])
    first_corner = np.cumsum(corner_count) - corner_count
    boxes = _boxes(corners, first_corner, width, height)
    w, h = boxes[2:]
    if len(polygons) > 1 and (w * h).sum() > MAX_PIXELS_AT_ONCE:
        return [coverage([polygon], width, height)[0] for polygon in polygons]

    following = np.arange(1, len(corners) + 1)
    following[first_corner + corner_count - 1] = first_corner
    of_corner = np.repeat(np.arange(len(polygons)), corner_count)
    x, y, dy, edge = _pieces(corners - boxes[:2, of_corner].T, corners[following] - corners)
    of_piece = of_corner[edge]

    # Every polygon gets a canvas of its own in one flat array: its box, and a column for what spills out on the
    # right. A piece covers the part of its pixel that lies to its right, and every pixel of the row after it.
    base = np.concatenate([[0], np.cumsum((w + 1) * h)])
    x = np.clip(x, 0, w[of_piece])  # what lies left of the box still turns the winding inside
    inside = (y > 0) & (y < h[of_piece])
    column = x.astype(np.int64)
    cell = np.where(inside, base[of_piece] + y.astype(np.int64) * (w + 1)[of_piece] + column, base[-1])
    whole = np.rint(dy * WINDING_OF_PIXEL)
    beside = np.rint((column + 1 - x) * whole)
    # Every row ends with a winding of nothing, so one sum may run through all of them. What rounding leaves of it is
    # taken away where the next polygon begins: it must be covered as if it were alone.
    left_over = np.bincount(of_piece, np.where(inside, whole, 0), len(polygons))
    cells = np.concatenate([cell, cell + 1, base[1:]])
    change = np.bincount(cells, np.concatenate([beside, whole - beside, -left_over]), base[-1])
    winding = np.cumsum(change[: base[-1]].astype(np.int32), dtype=np.int32)
    share = (
        cv2.convertScaleAbs(winding, alpha=255 / WINDING_OF_PIXEL).ravel() if winding.size else np.zeros(0, np.uint8)
    )
    return [
        Cover(share[begin : begin + (columns + 1) * rows].reshape(rows, columns + 1)[:, :columns], x0, y0)
        for begin, (x0, y0, columns, rows) in zip(base.tolist(), boxes.T.tolist(), strict=False)
    ]


def _boxes(corners: Points, first_corner: Indices, width: int, height: int) -> Indices:
    """Left, top, width, height (4, polygons) of the pixels each polygon may touch inside the picture; or all 0."""
    low = np.maximum(np.floor(np.minimum.reduceat(corners, first_corner)), 0)
    high = np.minimum(np.ceil(np.maximum.reduceat(corners, first_corner)), (width, height))
    boxes = np.concatenate([low, high - low], axis=1).astype(np.int64)
    boxes[(boxes[:, 2:] <= 0).any(axis=1)] = 0
    return boxes.T


def _pieces(start: Points, step: Points) -> tuple[Array, Array, Array, Indices]:
    """Cuts edges, from `start` to `start + step`, where they cross whole numbers of x or y.

    Returns the pieces, each inside one pixel: x and y of its middle, its dy, and the index of its edge.
    """
    edges = len(start)
    a, da = start.T.ravel(), step.T.ravel()  # the x of all edges, then the y
    end = a + da
    line = np.floor(np.minimum(a, end)) + 1
    crossed = np.maximum(np.ceil(np.maximum(a, end)) - line, 0).astype(np.int64)
    owner = np.repeat(np.arange(2 * edges), crossed)
    line = np.arange(len(owner)) + (line - np.cumsum(crossed) + crossed)[owner]
    # Edge 7 is cut 0.3 of the way along at place 7.3, and begins at place 7. Such a sum is exact, for the way is cut
    # down to a whole number of 2^-30: what an edge covers must not depend on how many come before it.
    way = np.floor((line - a[owner]) / da[owner] * STEPS_PER_EDGE) / STEPS_PER_EDGE
    place = np.concatenate([np.arange(edges), owner % edges + way])
    place.sort()
    edge = np.minimum(place.astype(np.int64), edges - 1)
    begin = place - edge
    stop = np.append(begin[1:], 1)
    stop[:-1][edge[1:] != edge[:-1]] = 1
    middle = (begin + stop) / 2
    x, y = (start[:, axis][edge] + middle * step[:, axis][edge] for axis in (0, 1))
    return x, y, (stop - begin) * step[:, 1][edge], edge
