"""How much of the attention lies inside a mask's outline and above the eyes, with intervals over subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskgen.imaging.align import five_points

from ..evaluation.bootstrap import MIN_SUBJECTS, resample
from ..evaluation.measurement import Measurement
from ..evaluation.t_interval import percentiles

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

IN_MASK, ABOVE_EYES = "in_mask", "above_eyes"
REGIONS = (IN_MASK, ABOVE_EYES)

CHIN = 8


@dataclass(frozen=True)
class PictureShares:
    """One picture of one photograph: shares of a map and, in `areas`, of the picture, by region, from 0 to 1.

    `picture` is `unmasked` or `masked`; on both, the region `in_mask` is the outline of the same mask. A share is NaN
    if the map is 0 everywhere.
    """

    model: str
    key: str
    subject: str
    picture: str
    mask: str
    shares: dict[str, float]
    areas: dict[str, float]


def share(attention: Floats, region: Doubles) -> float:
    """The share of a map (h, w) in a region, given as the share of each pixel (h, w) that belongs to it."""
    values = attention.astype(np.float64)
    whole = values.sum()
    return float((values * region).sum() / whole) if whole > 0 else float("nan")


def above_eyes(landmarks: npt.ArrayLike, height: int, width: int) -> Doubles:
    """The share of each pixel (height, width) on the forehead's side of the line through the middles of the eyes.

    A pixel that the line crosses belongs to it by the distance of its centre from the line, which is exact for a line
    along the rows.
    """
    left, right = five_points(landmarks)[:2]
    along = right - left
    length = np.hypot(*along)
    if not length:
        return np.zeros((height, width))
    normal = np.array([-along[1], along[0]]) / length
    if (np.asarray(landmarks, np.float64)[CHIN] - left) @ normal > 0:
        normal = -normal
    y, x = np.mgrid[:height, :width]
    distance = (x - left[0]) * normal[0] + (y - left[1]) * normal[1]
    return np.clip(distance + 0.5, 0, 1)


def subject_mean(values: npt.ArrayLike, subjects: npt.ArrayLike, resamples: int, seed: int) -> Measurement:
    """The mean over subjects of each one's mean, with its 95 % interval by bootstrap over subjects.

    Values that are NaN are left out. NaN without an interval if none is left, no interval for fewer than three
    subjects or no resamples.
    """
    given, people = np.asarray(values, np.float64), np.asarray(subjects)
    there = np.isfinite(given)
    if not there.any():
        return Measurement(float("nan"))
    _, codes = np.unique(people[there], return_inverse=True)
    means = np.bincount(codes, given[there]) / np.bincount(codes)
    if len(means) < MIN_SUBJECTS or not resamples:
        return Measurement(float(means.mean()))
    drawn = np.concatenate([weights @ means / len(means) for weights in resample(len(means), resamples, seed)])
    low, high = percentiles(drawn)
    return Measurement(float(means.mean()), (float(low), float(high)))
