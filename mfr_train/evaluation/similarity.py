"""How two embeddings of length 1 become a score: their cosine, or a score that falls as their distance grows.

Their distance is sqrt(2 - 2 cosine), so each kind of score increases with the others: pairs are ranked alike, and all
rates, the EER and the AUC are the same. Thresholds, means, standard deviations and d' differ.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..defaults import COSINE, EUCLIDEAN, HALF

Floats = npt.NDArray[np.float64]

RANGES = {COSINE: (-1.0, 1.0), EUCLIDEAN: (-2.0, 0.0), HALF: (0.0, 1.0)}
"""The lowest and the highest score of each kind."""


def scored(kind: str, cosine: Floats) -> Floats:
    """Scores of a kind, float64, from cosines of any shape. A cosine beyond 1 by rounding is a distance of 0.

    `euclidean` is the negative distance, 0 to -2, so that a published threshold on distances is one of scores with its
    sign changed. `half` is 1 - distance / 2, 1 to 0.
    """
    if kind == COSINE:
        return cosine
    distance = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    scores: Floats = {EUCLIDEAN: -distance, HALF: 1 - distance / 2}[kind]
    return scores
