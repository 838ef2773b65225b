"""Which of the faces in a photograph is that of its subject, the person it is labelled with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]


def scores(boxes: npt.ArrayLike, width: int, height: int, choice: str) -> npt.NDArray[np.float64]:
    """How much each face looks like the subject of a photograph, (n,): the highest is taken.

    `largest` is the area of the box. `central` is the area less twice the squared distance of the box's centre from
    the photograph's, in pixels: the rule of facenet (Schroff et al., as published by Sandberg) and insightface. Data
    sets of identities are cropped around the labelled person.

    Args:
        boxes: Left, top, right and bottom of each face, (n, 4), in pixels.
        width: Of the photograph, in pixels.
        height: Likewise.
        choice: `central` or `largest`.
    """
    left, top, right, bottom = np.asarray(boxes, np.float64).reshape(-1, 4).T
    score = (right - left + 1) * (bottom - top + 1)
    if choice == "central":
        score -= ((left + right + 1 - width) ** 2 + (top + bottom + 1 - height) ** 2) / 2
    return np.round(score, 6)  # boxes of one size stay equal, and the first of them is taken


def is_plausible(score: float) -> bool:
    """Whether a face of this score can be the subject's: by `central`, if the middle of the photograph is nearer to
    that of the face than 0.71 of its side."""
    return score > 0


def is_certain(box: npt.ArrayLike, width: int, height: int, choice: str) -> bool:
    """Whether larger copies need not be searched: by `central`, if the middle of the photograph lies in the box."""
    left, top, right, bottom = np.asarray(box).tolist()
    return choice == "largest" or (left <= (width - 1) / 2 <= right and top <= (height - 1) / 2 <= bottom)
