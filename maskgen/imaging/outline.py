"""68 landmarks -> the outline of each mask variant (NIST's method), in pure numpy.

Coordinates are pixels with pixel centres at whole numbers, x to the right and y down, as dlib and OpenCV count
them. Landmark indices are 0-based in the iBUG 300-W order. The geometry is that of NISTIR 8311 (Ngan, Grother,
Hanaoka 2020), as parametrised in the public work on self-restrained triplet loss (Boutros et al.).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .variants import VARIANTS

Points = npt.NDArray[np.float64]

SAGITTA = 0.01
"""Largest distance in pixels between an ellipse and the polygon that approximates it."""

MAX_COORDINATE = 100_000
"""Largest coordinate of an outline, in pixels: no JPEG is larger, and the cost grows with the outline."""

_JAW = slice(1, 16)
_NOSE_BASE = [35, 34, 33, 32, 31]


class Undrawable(Exception):
    """The face is turned so far that a mask has no outline. The message says why."""


def outline(landmarks: npt.ArrayLike, variant: str) -> Points:
    """The closed outline of one mask on a face.

    The geometry is that of NISTIR 8311 (Ngan, Grother, Hanaoka 2020).

    Args:
        landmarks: (68, 2), x and y in pixels, in the iBUG 300-W order.
        variant: One of `VARIANTS`.

    Returns:
        The corners, float64 (n, 2), x and y in pixels, in either direction. The last corner joins the first, which is
        not repeated.

    Raises:
        Undrawable: If the face is turned so far that it has no such mask.
        ValueError: If the variant is unknown, or the landmarks have another shape.

    Example:
        >>> face = maskgen.Landmarker().find(image)
        >>> corners = maskgen.outline(face.landmarks, "wide_high")
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape != (68, 2):
        raise ValueError(f"landmarks have the shape {points.shape}; give (68, 2)")
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; choose one of {', '.join(VARIANTS)}")
    shape, _, coverage = variant.partition("_")
    return _wide(points, coverage) if shape == "wide" else _round(points, coverage)


def ellipse(landmarks: npt.ArrayLike, variant: str) -> tuple[float, float, float, float]:
    """Centre x, centre y, half width, half height (pixels) of a round variant. Raises `Undrawable`."""
    points = np.asarray(landmarks, dtype=np.float64)
    x, y = points[:, 0], points[:, 1]
    match variant:
        case "round_high":
            top = (y[27] + y[28]) / 2
        case "round_medium":
            top = y[29]
        case "round_low":
            top = y[29] + 0.33 * (x[46] - x[40])
        case _:
            raise ValueError(f"no round variant {variant!r}")
    width, height = 0.8 * (x[13] - x[3]), y[8] - top
    if width <= 0:
        raise Undrawable(f"{variant}: the jaw's right side (x13 = {x[13]:.1f}) is not right of its left ({x[3]:.1f})")
    if height <= 0:
        raise Undrawable(f"{variant}: the chin (y8 = {y[8]:.1f}) is above the mask's upper end ({top:.1f})")
    return float(x[28]), float((y[8] + top) / 2), float(width / 2), float(height / 2)


def _wide(points: Points, coverage: str) -> Points:
    x, y = points[:, 0], points[:, 1]
    if coverage == "high":
        closing = np.array([[x[42], y[15]], points[27], [x[39], y[1]]])
    elif coverage == "medium":
        closing = points[29:30]
    else:
        closing = points[_NOSE_BASE]
    polygon = np.concatenate([points[_JAW], closing])
    _check_place(polygon, f"wide_{coverage}")
    if signed_area(polygon) >= 0:
        raise Undrawable(f"wide_{coverage}: the jaw line runs the wrong way round the nose")
    return polygon


def _round(points: Points, coverage: str) -> Points:
    x, y, half_width, half_height = ellipse(points, f"round_{coverage}")
    _check_place((x, y, half_width, half_height), f"round_{coverage}")
    corners = math.ceil(math.pi * math.sqrt(max(half_width, half_height) / (2 * SAGITTA))) + 8
    return _circle(corners) * (half_width, half_height) + (x, y)


def _check_place(values: npt.ArrayLike, variant: str) -> None:
    if not (np.abs(values) <= MAX_COORDINATE).all():
        raise Undrawable(f"{variant}: it lies further than {MAX_COORDINATE:,} pixels from the picture")


@lru_cache(maxsize=256)
def _circle(corners: int) -> Points:
    """The corners (n, 2) of a regular polygon in the unit circle."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    circle.setflags(write=False)
    return circle


def signed_area(polygon: Points) -> float:
    """The shoelace area in square pixels; positive where the corners run clockwise on the screen (y down)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(x[:-1] @ y[1:] + x[-1] * y[0] - y[:-1] @ x[1:] - y[-1] * x[0]) / 2
