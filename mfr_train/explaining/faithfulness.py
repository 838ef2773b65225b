"""Whether a map means anything: what its embedding does as the most attended pixels go, or come back.

Deletion and insertion curves (Petsiuk et al. 2018, RISE) of the cosine similarity with the embedding of the whole
picture. Deletion paints the most attended pixels first, in the mean colour of the picture: a good map makes the
similarity fall fast. Insertion uncovers them first on a blurred picture: a good map makes it rise fast. A map that
knows nothing of the picture, with the same values at other places, says what any map of that kind gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..networks.backbone import Image
from .attention import Attention, shuffled
from .occlusion import Embed

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

DELETION, INSERTION = "deletion", "insertion"
CURVES = (DELETION, INSERTION)
MAP, RANDOM = "map", "random"

BLUR = 0.1
"""Standard deviation of the blur as a share of the shorter side: no face is recognised in what is left."""


@dataclass(frozen=True)
class PictureCurves:
    """Of one picture: similarities float64 (steps + 1,) by curve and by map, `MAP` or `RANDOM`, and their areas."""

    model: str
    key: str
    subject: str
    picture: str
    similarities: dict[tuple[str, str], Doubles]

    def area(self, curve: str, of: str) -> float:
        """The mean height of a curve."""
        return area(self.similarities[curve, of])


def similarities(
    image: Image, attention: Attention, embed: Embed, steps: int, draw: np.random.Generator
) -> dict[tuple[str, str], Doubles]:
    """Both curves of a map and of one that has its values at random places."""
    whole = embed([image])[0]
    ties = draw.random(image.shape[:2])
    orders = {MAP: ranked(attention.map(), ties), RANDOM: ranked(shuffled(attention, draw).map(), ties)}
    found = {}
    for of, pixels in orders.items():
        for curve in CURVES:
            versions = list(steps_of(image, pixels, curve, steps))
            found[curve, of] = (embed(versions) @ whole).astype(np.float64)
    return found


def ranked(attention: Floats, ties: Doubles) -> Indices:
    """The pixels of a map by falling attention, as places in the flat picture; equal ones in the order of `ties`."""
    return np.lexsort((ties.ravel(), -attention.ravel()))


def steps_of(image: Image, pixels: Indices, curve: str, steps: int) -> Iterator[Image]:
    """The picture after each step of a curve, from none to all of the pixels, in their order."""
    if curve == DELETION:
        start, end = image, np.broadcast_to(np.rint(image.mean((0, 1))).astype(np.uint8), image.shape)
    else:
        start, end = cv2.GaussianBlur(image, (0, 0), BLUR * min(image.shape[:2])), image
    flat = end.reshape(-1, 3)
    for count in np.rint(np.linspace(0, len(pixels), steps + 1)).astype(int):
        version = start.copy()
        changed = pixels[:count]
        version.reshape(-1, 3)[changed] = flat[changed]
        yield version


def area(curve: Doubles) -> float:
    """The area under a curve over the share of pixels, from 0 to 1: its mean height, by trapezia."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def mean_curve(found: Sequence[PictureCurves], curve: str, of: str) -> Doubles:
    """The mean over pictures."""
    return np.mean([each.similarities[curve, of] for each in found], axis=0)
