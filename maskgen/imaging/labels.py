"""What a mask covers, as labels: its box, its run-lengths, the share of the face."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .outline import Points
from .render import Cover

HALF = 128
"""The coverage from which a pixel belongs to a mask where labels know only yes and no: at least half of it."""


def box(cover: Cover, least: int = 1) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels that have at least this coverage: x1 and y1 are those after the last; or all 0."""
    share, left, top = cover
    rows, columns = (np.flatnonzero((share >= least).any(axis=axis)).tolist() for axis in (1, 0))
    if not rows:
        return 0, 0, 0, 0
    return left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1


def face(landmarks: npt.NDArray[np.float32]) -> Points:
    """The outline of the face as far as its landmarks say: their convex hull, float64 (n, 2)."""
    hull: Points = cv2.convexHull(landmarks)[:, 0].astype(np.float64)
    return hull


def covered(mask: Cover, face: Cover) -> float:
    """The share of a face that a mask covers, from 0 to 1; 0 if no part of the face lies in the picture."""
    whole = int(face.share.sum(dtype=np.int64))
    left, top = max(mask.left, face.left), max(mask.top, face.top)
    right = min(mask.left + mask.share.shape[1], face.left + face.share.shape[1])
    bottom = min(mask.top + mask.share.shape[0], face.top + face.share.shape[0])
    if not whole or right <= left or bottom <= top:
        return 0.0
    parts = (one.share[top - one.top : bottom - one.top, left - one.left : right - one.left] for one in (mask, face))
    return int(np.minimum(*parts).sum(dtype=np.int64)) / whole


def runs(cover: Cover, width: int, height: int) -> list[int]:
    """COCO's run-lengths of the pixels at least half covered: column by column, first those outside the mask."""
    columns = np.zeros((width, height), bool)
    rows_covered, columns_covered = cover.share.shape
    columns[cover.left : cover.left + columns_covered, cover.top : cover.top + rows_covered] = cover.share.T >= HALF
    flat = columns.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths
