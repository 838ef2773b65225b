"""A worn cloth on a face: where each point of it lies, how the face's own light falls on it, and its straps.

The outline is that of the flat mask. What lies outside it is the soft edge and the shadow on the skin, which reach at
most `REACH` of the mask's width, and the straps from the mask to the ears.

What changes slowly is computed coarsely and interpolated: the light on the face in blocks, once for all masks of a
photograph, and the places on the cloth every `MESH` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from .fabric import NEUTRAL
from .outline import MAX_COORDINATE, Points
from .render import Cover, Image, coverage

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

REACH = 1 / 40
"""How far edge and shadow reach beyond the outline, as a share of the width of the mask; two pixels at least."""

COLUMNS = 64
"""Places across a mask at which its upper and lower edge are measured."""

MESH = 8
"""The place on the cloth is computed for every so many pixels and interpolated between them."""

BLOCKS = 24
"""The light on a face is measured in so many blocks each way."""

SAMPLES = 4
"""Pixels each way from which the light of a block is measured."""

STRAP_BITS = 4
"""Corners of straps are given in 2^-STRAP_BITS of a pixel."""

SHEEN = 10
"""Even black cloth shows its folds, by this part of the light on them."""


class Light(NamedTuple):
    """How light the lower face is in each place, relative to its mean: 128 for the mean.

    `map` is uint8 (height, width); its first pixel is at (left, top) of the photograph. What lies around it is as light
    as its edge.
    """

    map: Bytes
    left: int
    top: int

    def on(self, left: int, top: int, width: int, height: int) -> Bytes:
        """The light on a part of the photograph."""
        rows, columns = self.map.shape
        x, y = left - self.left, top - self.top
        if x >= 0 and y >= 0 and x + width <= columns and y + height <= rows:
            return self.map[y : y + height, x : x + width]
        across = np.clip(np.arange(x, x + width), 0, columns - 1)
        return self.map[np.clip(np.arange(y, y + height), 0, rows - 1)[:, None], across]


class Face(NamedTuple):
    """What all masks on one face have in common.

    Attributes:
        across: The line of the eyes, a unit vector.
        nose: Where the nose is along it, in pixels.
        bright: How bright a white thing would be in the photograph, as `exposure` gives it.
        light: The light on it.
        ears: Of each side that has straps: where on the mask they begin, from 0 (left) to 1, and the upper and the
            lower point at the ear where they end.
        strap: The width of a strap in pixels.
    """

    across: tuple[float, float]
    nose: float
    bright: int
    light: Light
    ears: list[tuple[float, tuple[float, float], tuple[float, float]]]
    strap: float


class Frame(NamedTuple):
    """The edges of an outline in the axes of the face.

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


def face_of(image: Image, landmarks: Points) -> Face:
    """What the masks on a face with these landmarks (68, 2) have in common."""
    points = landmarks.tolist()
    across = _across(points)
    width = math.dist(points[0], points[16])
    nose = points[33][0] * across[0] + points[33][1] * across[1]
    return Face(across, nose, exposure(image), light(image, points), _ears(points, across), max(0.012 * width, 0.6))


def _across(points: list[list[float]]) -> tuple[float, float]:
    ex = sum(x for x, _ in points[42:48]) - sum(x for x, _ in points[36:42])
    ey = sum(y for _, y in points[42:48]) - sum(y for _, y in points[36:42])
    length = math.hypot(ex, ey)
    return (ex / length, ey / length) if length > 1e-3 else (1.0, 0.0)


def _ears(
    points: list[list[float]], across: tuple[float, float]
) -> list[tuple[float, tuple[float, float], tuple[float, float]]]:
    """Where the straps of each side end; none on a side that is turned away."""
    (ex, ey), width = across, math.dist(points[0], points[16])
    far = [math.dist(points[ear], points[28]) for ear in (0, 16)]
    found = []
    for side, ear, lobe, place in ((0, 0, 2, 0.05), (1, 16, 14, 0.95)):
        shown = 2 * far[side] / max(sum(far), 1e-6)
        if shown < 0.6 or width < 8:
            continue
        out, down = (2 * side - 1) * 0.03 * width * min((shown - 0.6) / 0.4, 1), 0.03 * width
        above = (points[ear][0] + out * ex - down * ey, points[ear][1] + out * ey + down * ex)
        below = (points[lobe][0] + out * ex, points[lobe][1] + out * ey)
        found.append((place, above, below))
    return found


def exposure(image: Image) -> int:
    """How bright a white thing would be in a photograph, from its brightest parts: 118 to 235."""
    sample = cv2.cvtColor(cv2.resize(image, (48, 48), interpolation=cv2.INTER_NEAREST), cv2.COLOR_RGB2GRAY).ravel()
    place = -1 - len(sample) // 50
    return min(max(int(np.partition(sample, place)[place]), 118), 235)


def light(image: Image, points: Sequence[Sequence[float]]) -> Light:
    """The light on the lower face, from the jaw to the bridge of the nose. Details such as lips are averaged out."""
    skin = [*points[1:16], points[28]]
    x, y = zip(*skin, points[27], strict=True)
    margin = (max(x) - min(x)) / 12
    x0, x1 = max(math.floor(min(x) - margin), 0), min(math.ceil(max(x) + margin) + 1, image.shape[1])
    y0, y1 = max(math.floor(min(y) - margin), 0), min(math.ceil(max(y) + margin) + 1, image.shape[0])
    if x1 <= x0 or y1 <= y0:
        return Light(_EVEN, 0, 0)
    sample = cv2.resize(image[y0:y1, x0:x1], (BLOCKS * SAMPLES, BLOCKS * SAMPLES), interpolation=cv2.INTER_NEAREST)
    blocks = cv2.resize(cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY), (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    # Only blocks well inside the face count: hair and background have another light.
    nx, ny = sum(x) / len(x), sum(y) / len(y)
    fx, fy = BLOCKS / (x1 - x0), BLOCKS / (y1 - y0)
    corners = [
        (round(16 * ((0.9 * x + 0.1 * nx - x0) * fx - 0.5)), round(16 * ((0.9 * y + 0.1 * ny - y0) * fy - 0.5)))
        for x, y in skin
    ]
    inside = np.zeros((BLOCKS, BLOCKS), np.uint8)
    cv2.fillPoly(inside, [np.array(corners, np.int32)], 1, cv2.LINE_8, 4)
    mean = cv2.mean(blocks, inside)[0]
    if mean < 1:
        return Light(_EVEN, 0, 0)
    # What is much darker or lighter than the rest is a beard, a lip or a highlight.
    limited = cv2.min(cv2.max(blocks, mean * 0.55), min(mean * 1.4, 255))
    sums = cv2.merge((cv2.multiply(limited, inside), inside)).astype(np.float32)
    for _ in range(3):
        sums = cv2.blur(sums, (5, 5), borderType=cv2.BORDER_CONSTANT)
    total, many = cv2.split(sums)
    total += 1e-3 * mean
    many += 1e-3
    total /= many
    blocks = cv2.convertScaleAbs(total, alpha=0.85 * NEUTRAL / mean, beta=0.15 * NEUTRAL)
    return Light(cv2.resize(blocks, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR), x0, y0)


def frame(polygon: Points, face: Face) -> Frame:
    """The frame of an outline (n, 2) on a face."""
    (ex, ey), x, y = face.across, polygon[:, 0], polygon[:, 1]
    s, t = x * ex + y * ey, y * ex - x * ey
    first, last = int(s.argmin()), int(s.argmax())
    left, right = float(s[first]), float(s[last])
    width = max(right - left, 1e-6)
    # Two ways lead from the left end of the outline to its right end. One is the upper edge, the other the lower.
    s, t = np.concatenate([s[first:], s[: first + 1]]), np.concatenate([t[first:], t[: first + 1]])
    last = (last - first) % len(polygon)
    places, before = _COLUMN_PLACES * width + left, last - 1 if last else None
    one = np.interp(places, np.maximum.accumulate(s[: last + 1]), t[: last + 1])
    other = np.interp(places, np.maximum.accumulate(s[:before:-1]), t[:before:-1])
    edges = np.empty((2, COLUMNS))
    np.minimum(one, other, out=edges[0])
    np.maximum(one, other, out=edges[1])
    for _ in range(2):  # without kinks
        edges = cv2.blur(edges, (COLUMNS // 9, 1), borderType=cv2.BORDER_REPLICATE)
    # The outline ends at its sides in points; cloth does not. It keeps a third of its height there.
    height = edges[1] - edges[0]
    lacking = np.maximum(height, 0.33 * float(height.max()))
    lacking -= height
    lacking *= 0.5
    edges[0] -= lacking
    edges[1] += lacking
    return Frame(face.across, left, right, edges, min(max(2 * (face.nose - left) / width - 1, -0.4), 0.4))


def warped(picture: Bytes, found: Frame, left: int, top: int, width: int, height: int, mirrored: bool = False) -> Bytes:
    """A picture as it lies on the cloth, in a part of the photograph. `mirrored` swaps its left and right.

    The middle of the picture is at the nose, and its sides are seen at an angle.
    """
    rows, columns = -(-height // MESH), -(-width // MESH)
    (ex, ey), step = found.across, COLUMNS / found.width
    # What depends on the place across the face alone: the column of the picture, the upper edge, rows for a pixel.
    half = picture.shape[1] / 2
    table = np.empty((1, COLUMNS, 3), np.float32)
    table[0, :, 0] = _seen_at_an_angle(round(100 * found.middle)) * (-half if mirrored else half) + (half - 0.5)
    table[0, :, 1] = found.edges[0]
    table[0, :, 2] = picture.shape[0] / np.maximum(found.edges[1] - found.edges[0], 0.02 * found.width + 0.1)
    x0, y0 = left + (MESH - 1) / 2, top + (MESH - 1) / 2
    places = np.array([(MESH * ex * step, MESH * ey * step, (x0 * ex + y0 * ey - found.left) * step - 0.5), (0, 0, 0)])
    u, upper, dense = cv2.split(_looked_up(table, places, columns, rows))
    v = np.add.outer(
        np.arange(rows, dtype=np.float32) * np.float32(MESH * ex) + np.float32(y0 * ex - x0 * ey),
        np.arange(columns, dtype=np.float32) * np.float32(-MESH * ey),
    )
    v -= upper
    v *= dense
    v -= 0.5
    # In whole numbers and 32nds: OpenCV is faster so, and much faster with colours.
    whole, parts = cv2.convertMaps(_finer(cv2.merge((u, v)), width, height), None, cv2.CV_16SC2)
    return cv2.remap(picture, whole, parts, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=128)
def _seen_at_an_angle(middle: int) -> Points:
    """The place on the cloth, from -1 to 1, in each column of a mask; `middle` is that of its frame, in hundredths."""
    u = 2 * _COLUMN_PLACES - 1
    u -= middle / 100 * (1 - u * u)
    return u * (0.85 + 0.15 * u * u)


def _looked_up(table: npt.NDArray[Any], places: Points, columns: int, rows: int) -> npt.NDArray[Any]:
    """Values of a table at evenly spaced places, interpolated: (column, row) of the table = places @ (j, i, 1)."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(table, places, (columns, rows), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _finer(values: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Interpolates what is known in the middles of squares of MESH x MESH pixels, for a part of so many pixels."""
    rows, columns = values.shape[:2]
    return cv2.resize(values, (columns * MESH, rows * MESH), interpolation=cv2.INTER_LINEAR)[:height, :width]


class Cloth(NamedTuple):
    """What a mask is made of.

    Attributes:
        shade: A map of folds and seams, as `fabric.shading` makes it; as large as `picture` if there is one.
        color: RGB of the cloth.
        picture: A picture on it, as `Texture.level` gives it; None for none.
        mirrored: Whether the left of the map is on the right.
        strap: RGB of the straps.
    """

    shade: Bytes
    color: Sequence[int]
    picture: Bytes | None
    mirrored: bool
    strap: Sequence[int]


def lay_each(image: Image, landmarks: Points, outlines: Sequence[Points], cloths: Sequence[Cloth]) -> Iterator[Image]:
    """Yields a picture with each mask: of these outlines and cloths, on a face with these landmarks.

    It is the same array each time, reused for the next one.
    """
    if not np.abs(landmarks).max() <= MAX_COORDINATE:  # so that all of them can be whole numbers of OpenCV
        landmarks = np.clip(np.nan_to_num(landmarks), -MAX_COORDINATE, MAX_COORDINATE)
    height, width = image.shape[:2]
    face, painted = face_of(image, landmarks), np.empty_like(image, order="C")
    for polygon, cover, cloth in zip(outlines, coverage(outlines, width, height), cloths, strict=True):
        np.copyto(painted, image)
        found = frame(polygon, face)
        color = _dimmed(cloth.strap, face.bright)
        for strip in straps(found, face):
            cv2.fillConvexPoly(painted, strip, color, cv2.LINE_AA, STRAP_BITS)
        if cover.share.size:
            _lay(face, found, cover, cloth, painted)
        yield painted


def straps(found: Frame, face: Face) -> list[npt.NDArray[np.int32]]:
    """The corners (4, 2) of the straps from a mask to the ears, two a side, in parts of a pixel: 1 / 2^STRAP_BITS."""
    made, (ex, ey), scale = [], face.across, 2**STRAP_BITS
    for place, above, below in face.ears:
        top, bottom = found.edges[:, round(place * (COLUMNS - 1))].tolist()
        s = found.left + place * found.width
        for depth, (x1, y1) in ((0.2, above), (0.75, below)):
            t = top + depth * (bottom - top)
            x0, y0 = s * ex - t * ey, s * ey + t * ex
            half = face.strap / 2 / max(math.hypot(x1 - x0, y1 - y0), 1e-6)
            dx, dy = (y0 - y1) * half, (x1 - x0) * half
            corners = (x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)
            made.append(np.array([(round(x * scale), round(y * scale)) for x, y in corners], np.int32))
    return made


def _lay(face: Face, found: Frame, cover: Cover, cloth: Cloth, painted: Image) -> None:
    """Lays one mask on a picture."""
    height, width = cover.share.shape
    reach = max(1, round(found.width * REACH / 2))
    x0, y0 = max(cover.left - 2 * reach, 0), max(cover.top - 2 * reach, 0)
    x1 = min(cover.left + width + 2 * reach, painted.shape[1])
    y1 = min(cover.top + height + 2 * reach, painted.shape[0])
    share = np.zeros((y1 - y0, x1 - x0), np.uint8)
    share[cover.top - y0 :, cover.left - x0 :][:height, :width] = cover.share
    width, height = x1 - x0, y1 - y0

    printed = None
    if cloth.picture is None:
        folds = warped(cloth.shade, found, x0, y0, width, height, cloth.mirrored)
    else:
        # Colours and folds in one go.
        printed = warped(cv2.merge([*_on_color(cloth.picture, cloth.color), cloth.shade]), found, x0, y0, width, height)
        folds = cv2.extractChannel(printed, 3)
    wide = share
    for _ in range(2):
        wide = cv2.blur(wide, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_REPLICATE)
    soft = cv2.blur(share, (3, 3), borderType=cv2.BORDER_REPLICATE) if reach > 1 else share
    gain = cv2.multiply(folds, face.light.on(x0, y0, width, height), scale=1 / NEUTRAL)
    gain = cv2.multiply(gain, cv2.LUT(wide, _RIM), scale=1 / NEUTRAL)
    if printed is None:
        dressed = cv2.merge([cv2.LUT(gain, shades) for shades in _shades(_dimmed(cloth.color, face.bright))])
        dressed = cv2.multiply(dressed, _three(soft), scale=1 / 255)
    else:
        albedo = cv2.LUT(cv2.cvtColor(printed, cv2.COLOR_RGBA2RGB), _dimmed_table(face.bright))
        dressed = cv2.multiply(albedo, _three(cv2.multiply(gain, soft, scale=1 / 255)), scale=1 / NEUTRAL)

    # The picture in the shadow of the mask, and the mask over it with a soft edge.
    behind = cv2.multiply(cv2.LUT(wide, _SHADOW), 255 - soft, scale=1 / 255)
    area = painted[y0:y1, x0:x1]
    area[:] = cv2.add(cv2.multiply(area, _three(behind), scale=1 / 255), dressed)


def _on_color(picture: Bytes, color: Sequence[int]) -> list[Bytes]:
    """Red, green and blue of a picture; the colour shows where it is transparent."""
    *planes, clear = picture
    if not cv2.countNonZero(clear):
        return planes
    return [cv2.addWeighted(plane, 1, clear, value / 255, 0) for plane, value in zip(planes, color, strict=True)]


def _three(channel: Bytes) -> Bytes:
    return cv2.cvtColor(channel, cv2.COLOR_GRAY2RGB)


def _dimmed(color: Sequence[int], bright: int) -> list[int]:
    """A colour as cloth shows it: black reflects a little, white not all, and both as the photograph is lit."""
    table = _dimmed_table(bright)
    return [int(table[value]) for value in color]


@lru_cache(maxsize=256)
def _dimmed_table(bright: int) -> Bytes:
    return np.rint((np.arange(256) * 0.88 + 16) * (bright / 235)).astype(np.uint8)


def _shades(color: Sequence[int]) -> Bytes:
    """Tables of red, green and blue of a colour in every light: (3, 256)."""
    shades = np.array(color, np.int32)[:, None] * _STEPS
    shades //= NEUTRAL
    shades += _SHEEN
    np.maximum(shades, 0, out=shades)
    np.minimum(shades, 255, out=shades)
    return shades.astype(np.uint8)


def _table(stops: Sequence[tuple[int, int]]) -> Bytes:
    places_, values = zip(*stops, strict=True)
    return np.rint(np.interp(np.arange(256), places_, values)).astype(np.uint8)


_COLUMN_PLACES = (np.arange(COLUMNS) + 0.5) / COLUMNS

_EVEN = np.full((BLOCKS, BLOCKS), NEUTRAL, np.uint8)

_STEPS = np.arange(256, dtype=np.int32)
_SHEEN = (_STEPS - NEUTRAL) // SHEEN

_RIM = _table([(0, 84), (110, 88), (170, 112), (235, 128), (255, 128)])
"""How light the cloth is near its edge, by the share of the surroundings that it covers: 128 leaves it as it is."""

_SHADOW = _table([(0, 255), (20, 245), (128, 185), (255, 150)])
"""How light the skin beside the cloth is, by the same share; 255 leaves it as it is."""
