"""How much of their photographs the faces of a set fill: which part of a photograph is searched first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .detectors import Hog
from .search import CENTRAL
from .subject import is_certain, scores

SAMPLE = 3
"""Photographs that tell the framing of a shard: the first ones that are searched. Two that agree are enough."""

LARGEST_LOOSE_FACE = 0.58
"""A face whose box is narrower than this share of the longer side is loosely framed: the first copy does not show it.
On tight crops the search of the middle finds none as small (docs/performance.md)."""


class Framing:
    """What the first photographs of a shard say of its framing: loose if most show a small face in the middle.

    The photographs of one shard are given in the order of the plan, so what is found is a function of the plan.
    """

    def __init__(self) -> None:
        self._votes: list[bool] = []

    @property
    def is_loose(self) -> bool:
        return 2 * sum(self._votes) > len(self._votes)

    @property
    def _is_decided(self) -> bool:
        return max(self._votes.count(True), self._votes.count(False)) > SAMPLE // 2

    def face_in_middle(self, detector: Hog, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
        """The box of the subject's face if the middle of a loosely framed photograph shows it.

        None also if the faces of the shard fill their photographs: then nothing is searched, once that is known.
        """
        decided = self._is_decided
        if decided and not self.is_loose:
            return None
        height, width = grey.shape
        boxes = detector.find_in_middle(grey)
        face = boxes[scores(boxes, width, height, CENTRAL).argmax()] if len(boxes) else None
        if face is not None and not is_certain(face, width, height, CENTRAL):
            face = None
        if not decided:
            small = face is not None and face[2] - face[0] + 1 < LARGEST_LOOSE_FACE * max(height, width)
            self._votes.append(bool(small))
        return face if self.is_loose else None
