"""A worn cloth on a face: where each point of it lies, how the face's own light falls on it, and its straps.

The outline is that of the flat mask. What lies outside it is the soft edge and the shadow on the skin, which reach at
most `REACH` of the mask's width, and the straps from the mask to the ears.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .fabric import NEUTRAL
from .outline import Points
from .render import Cover, Image, coverage, lay_color

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

REACH = 1 / 40
"""How far edge and shadow reach beyond the outline, as a share of the width of the mask; two pixels at least."""

COLUMNS = 64
"""Places across a mask at which its upper and lower edge are measured."""

MESH = 6
"""The place on the cloth is computed for every so many pixels and interpolated between them."""

BLOCKS = 20
"""The light on a mask is measured in so many blocks each way."""

SHEEN = 10
"""Even black cloth shows its folds, by this part of the light on them."""


class Frame(NamedTuple):
    """The axes of a face, and the edges of an outline in them.

    `across` runs along the line of the eyes, a unit vector. The mask lies between `left` and `right` along it; `edges`,
    (2, COLUMNS), are its upper and its lower edge at a right angle to it, smoothed; `middle`, from -1 to 1, is where
    between left and right the nose is.
    """

    across: tuple[float, float]
    left: float
    right: float
    edges: Points
    middle: float

    @property
    def width(self) -> float:
        return max(self.right - self.left, 1e-6)

    def point(self, place: float, depth: float) -> tuple[float, float]:
        """The pixel at a share of the width (0 left, 1 right) and of the height there (0 top, 1 bottom)."""
        (ex, ey), (top, bottom) = self.across, self.edges[:, round(place * (COLUMNS - 1))].tolist()
        s, t = self.left + place * self.width, top + depth * (bottom - top)
        return s * ex - t * ey, s * ey + t * ex


def frame(polygon: Points, landmarks: Points) -> Frame:
    """The frame of an outline (n, 2) on a face with these landmarks (68, 2)."""
    ex, ey = (landmarks[42:48].sum(axis=0) - landmarks[36:42].sum(axis=0)).tolist()
    length = math.sqrt(ex * ex + ey * ey)
    ex, ey = (ex / length, ey / length) if length > 1e-3 else (1.0, 0.0)
    ring = np.concatenate([polygon, polygon[:1]])
    s, t = ring[:, 0] * ex + ring[:, 1] * ey, ring[:, 1] * ex - ring[:, 0] * ey
    left, right = float(s.min()), float(s.max())
    width = max(right - left, 1e-6)
    # Points along the outline, dense enough that every column holds some; then the extremes of each column.
    way = np.zeros(len(s))
    np.cumsum(np.abs(s[1:] - s[:-1]) + np.abs(t[1:] - t[:-1]), out=way[1:])
    places = np.arange(8 * COLUMNS) * (way[-1] / (8 * COLUMNS))
    s, t = np.interp(places, way, s), np.interp(places, way, t)
    column = np.minimum(((s - left) * (COLUMNS / width)).astype(np.int64), COLUMNS - 1)
    np.maximum(column, 0, out=column)
    edges = np.full((2, COLUMNS), np.inf)
    np.minimum.at(edges[0], column, t)
    np.minimum.at(edges[1], column, -t)
    there = np.flatnonzero(edges[0] < np.inf)
    every = np.arange(COLUMNS)
    edges = np.stack([np.interp(every, there, edges[0, there]), np.interp(every, there, -edges[1, there])])
    for _ in range(2):  # without kinks
        edges = cv2.blur(edges, (COLUMNS // 9, 1), borderType=cv2.BORDER_REPLICATE)
    # The outline ends at its sides in points; cloth does not. It keeps a third of its height there.
    height = edges[1] - edges[0]
    lacking = np.maximum(0.33 * height.max() - height, 0) / 2
    edges = np.stack([edges[0] - lacking, edges[1] + lacking])
    nose = landmarks[33, 0] * ex + landmarks[33, 1] * ey
    return Frame((ex, ey), left, right, edges, min(max(2 * (nose - left) / width - 1, -0.4), 0.4))


def mesh_of(found: Frame, left: int, top: int, width: int, height: int) -> Floats:
    """The places on the cloth of a part of the picture: u and v from 0 to 1, float32 (rows, columns, 2).

    They are those of the middles of squares of MESH x MESH pixels. The nose is at u = 0.5, and the sides are seen at an
    angle.
    """
    (ex, ey), columns, rows = found.across, -(-width // MESH), -(-height // MESH)
    x = np.arange(columns) * MESH + (left + (MESH - 1) / 2)
    y = (np.arange(rows) * MESH + (top + (MESH - 1) / 2))[:, None]
    u = (x * ex + y * ey - found.left) / found.width
    column = u * COLUMNS - 0.5
    upper, lower = (np.interp(column, np.arange(COLUMNS), edge) for edge in found.edges)
    v = (y * ex - x * ey - upper) / np.maximum(lower - upper, 1e-6)
    u = 2 * np.clip(u, 0, 1) - 1
    u -= found.middle * (1 - u * u)
    u *= 0.85 + 0.15 * u * u
    mesh = np.empty((rows, columns, 2), np.float32)
    mesh[:, :, 0] = (u + 1) / 2
    mesh[:, :, 1] = np.clip(v, -1, 2)
    return mesh


def warped(picture: Bytes, mesh: Floats, width: int, height: int, mirrored: bool = False) -> Bytes:
    """A picture as it lies on the cloth, for a part of so many pixels. `mirrored` swaps its left and right."""
    rows, columns, _ = mesh.shape
    size = np.array([-picture.shape[1] if mirrored else picture.shape[1], picture.shape[0]], np.float32)
    places = mesh * size + np.array([picture.shape[1] - 0.5 if mirrored else -0.5, -0.5], np.float32)
    places = cv2.resize(places, (columns * MESH, rows * MESH), interpolation=cv2.INTER_LINEAR)[:height, :width]
    return cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def light(grey: Bytes, share: Bytes) -> Bytes:
    """How light the face below a mask is in each place, relative to its mean: uint8 of the shape of `share`, 128 for
    the mean. Details such as lips are averaged out."""
    height, width = share.shape
    inside = cv2.threshold(share, 127, 1, cv2.THRESH_BINARY)[1]
    mean = cv2.mean(grey, inside)[0]
    if mean < 1:
        return np.full((height, width), NEUTRAL, np.uint8)
    # What is much darker or lighter than the rest is a beard, a lip or a highlight.
    limited = cv2.multiply(cv2.min(cv2.max(grey, mean * 0.55), min(mean * 1.4, 255)), inside)
    rows, columns = (np.arange(BLOCKS + 1) * side // BLOCKS for side in (height, width))
    whole = cv2.integral(cv2.merge((limited, inside)), sdepth=cv2.CV_64F)[rows[:, None], columns]
    blocks = whole[1:, 1:] - whole[:-1, 1:] - whole[1:, :-1] + whole[:-1, :-1]
    for _ in range(3):
        blocks = cv2.boxFilter(blocks, -1, (5, 5), normalize=False, borderType=cv2.BORDER_CONSTANT)
    total, many = blocks[:, :, 0], blocks[:, :, 1]
    few = 1e-3 * float(many.max())
    ratio = (total + few * mean) / ((many + few) * mean)
    small = np.rint(np.clip(1 + 0.85 * (ratio - 1), 0.5, 1.5) * NEUTRAL).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def exposure(grey: Bytes) -> int:
    """How bright a white thing would be in a photograph, from its brightest parts: 118 to 235."""
    sample = grey[:: max(1, grey.shape[0] // 64), :: max(1, grey.shape[1] // 64)].ravel()
    bright = np.partition(sample, -1 - len(sample) // 50)[-1 - len(sample) // 50]
    return min(max(int(bright), 118), 235)


def straps(found: Frame, landmarks: Points) -> list[Points]:
    """Outlines (2, 4, 2) of the two straps from the mask to each ear; none on a side that is turned away."""
    points, (ex, ey) = landmarks.tolist(), found.across
    width = math.dist(points[0], points[16])
    far = [math.dist(points[ear], points[28]) for ear in (0, 16)]
    made = []
    for side, ear, lobe, place in ((0, 0, 2, 0.05), (1, 16, 14, 0.95)):
        shown = 2 * far[side] / max(sum(far), 1e-6)
        if shown < 0.6 or width < 8:
            continue
        out, down = (2 * side - 1) * 0.03 * width * min((shown - 0.6) / 0.4, 1), 0.03 * width
        above = (points[ear][0] + out * ex - down * ey, points[ear][1] + out * ey + down * ex)
        below = (points[lobe][0] + out * ex, points[lobe][1] + out * ey)
        ends = (found.point(place, 0.2), above), (found.point(place, 0.75), below)
        made.append(np.array([_strip(begin, end, max(0.012 * width, 0.6)) for begin, end in ends]))
    return made


def _strip(begin: tuple[float, float], end: tuple[float, float], width: float) -> list[tuple[float, float]]:
    """The corners of a straight strip so many pixels wide."""
    (x0, y0), (x1, y1) = begin, end
    half = width / 2 / max(math.dist(begin, end), 1e-6)
    dx, dy = (y0 - y1) * half, (x1 - x0) * half
    return [(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)]


class Cloth(NamedTuple):
    """What a mask is made of.

    Attributes:
        shade: A map of folds and seams, as `fabric.shading` makes it.
        color: RGB of the cloth.
        picture: A picture on it, RGBA with colours multiplied by alpha; None for none.
        mirrored: Whether its left is on the right.
        strap: RGB of the straps.
    """

    shade: Bytes
    color: Sequence[int]
    picture: Bytes | None
    mirrored: bool
    strap: Sequence[int]


def lay_each(image: Image, landmarks: Points, outlines: Sequence[Points], cloths: Sequence[Cloth]) -> Iterator[Image]:
    """Yields copies of a picture, each with one mask: of these outlines and cloths, on a face with these landmarks."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    bright = exposure(grey)
    covers = coverage(outlines, width, height)
    for polygon, cover, cloth in zip(outlines, covers, cloths, strict=True):
        found, painted = frame(polygon, landmarks), image.copy()
        for side in straps(found, landmarks):
            lay_color(image, _drawn(side, width, height), _dimmed(cloth.strap, bright), painted)
        if cover.share.size:
            _lay(grey, bright, found, cover, cloth, painted)
        yield painted


def _lay(grey: Bytes, bright: int, found: Frame, cover: Cover, cloth: Cloth, painted: Image) -> None:
    """Lays one mask on a picture. `grey` is the luminance of what it covers, `bright` its exposure."""
    height, width = cover.share.shape
    reach = max(1, round(found.width * REACH / 2))
    x0, y0 = max(cover.left - 2 * reach, 0), max(cover.top - 2 * reach, 0)
    x1 = min(cover.left + width + 2 * reach, grey.shape[1])
    y1 = min(cover.top + height + 2 * reach, grey.shape[0])
    area = (slice(y0, y1), slice(x0, x1))
    share = np.zeros((y1 - y0, x1 - x0), np.uint8)
    share[cover.top - y0 :, cover.left - x0 :][:height, :width] = cover.share

    mesh = mesh_of(found, x0, y0, x1 - x0, y1 - y0)
    folds = warped(cloth.shade, mesh, x1 - x0, y1 - y0, cloth.mirrored)
    wide = share
    for _ in range(2):
        wide = cv2.blur(wide, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)
    gain = cv2.multiply(folds, light(grey[area], share), scale=1 / NEUTRAL)
    gain = cv2.multiply(gain, cv2.LUT(wide, _RIM), scale=1 / NEUTRAL)
    if cloth.picture is None:
        dressed = cv2.LUT(_three(gain), _shades(_dimmed(cloth.color, bright)))
    else:
        drawn = warped(cloth.picture, mesh, x1 - x0, y1 - y0)
        under = cv2.LUT(_three(255 - drawn[:, :, 3]), _shares(cloth.color))
        albedo = cv2.LUT(cv2.add(drawn[:, :, :3], under), _dimmed_table(bright))
        dressed = cv2.multiply(albedo, _three(gain), scale=1 / NEUTRAL)

    # The picture in the shadow of the mask, and the mask over it with a soft edge.
    soft = cv2.blur(share, (3, 3), borderType=cv2.BORDER_REPLICATE) if reach > 1 else share
    behind = cv2.multiply(cv2.LUT(wide, _SHADOW), 255 - soft, scale=1 / 255)
    below = cv2.multiply(painted[area], _three(behind), scale=1 / 255)
    painted[area] = cv2.add(below, cv2.multiply(dressed, _three(soft), scale=1 / 255))


def _drawn(polygons: Points, width: int, height: int) -> Cover:
    """What any of some convex polygons (n, corners, 2) covers of a picture, as OpenCV draws it."""
    corners = polygons.reshape(-1, 2)
    x0, y0 = np.maximum(np.floor(corners.min(axis=0)) - 1, 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(corners.max(axis=0)) + 2, (width, height)).astype(int).tolist()
    share = np.zeros((max(y1 - y0, 0), max(x1 - x0, 0)), np.uint8)
    if share.size:
        for polygon in np.rint((polygons - (x0, y0)) * 16).astype(np.int32):
            cv2.fillConvexPoly(share, polygon, 255, cv2.LINE_AA, 4)
    return Cover(share, x0, y0)


def _three(channel: Bytes) -> Bytes:
    return cv2.cvtColor(channel, cv2.COLOR_GRAY2RGB)


def _shares(color: Sequence[int]) -> Bytes:
    """A table of every share of a colour, 0 to 255 of 255: (1, 256, 3)."""
    shares = (np.arange(256)[:, None] * np.array(color) + 127) // 255
    return shares.astype(np.uint8)[None]


def _dimmed(color: Sequence[int], bright: int) -> list[int]:
    """A colour as cloth shows it: black reflects a little, white not all, and both as the photograph is lit."""
    table = _dimmed_table(bright)
    return [int(table[value]) for value in color]


@lru_cache(maxsize=256)
def _dimmed_table(bright: int) -> Bytes:
    return np.rint((np.arange(256) * 0.88 + 16) * (bright / 235)).astype(np.uint8)


def _shades(color: Sequence[int]) -> Bytes:
    """A table of a colour in every light: (1, 256, 3)."""
    step = np.arange(256)[:, None]
    shades = step * np.array(color) // NEUTRAL + (step - NEUTRAL) // SHEEN
    return np.clip(shades, 0, 255).astype(np.uint8)[None]


def _table(stops: Sequence[tuple[int, int]]) -> Bytes:
    places_, values = zip(*stops, strict=True)
    return np.rint(np.interp(np.arange(256), places_, values)).astype(np.uint8)


_RIM = _table([(0, 84), (110, 88), (170, 112), (235, 128), (255, 128)])
"""How light the cloth is near its edge, by the share of the surroundings that it covers: 128 leaves it as it is."""

_SHADOW = _table([(0, 255), (20, 245), (128, 185), (255, 150)])
"""How light the skin beside the cloth is, by the same share; 255 leaves it as it is."""
