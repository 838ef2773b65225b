"""Accuracy over folds, as LFW's View 2 defines it: a threshold is chosen on all folds but one and tested on that."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from .counts import Floats, from_scores

Indices = npt.NDArray[np.intp]

DEFAULT_FOLDS = 10


@dataclass(frozen=True)
class FoldAccuracy:
    """The share of right decisions in each fold, at the threshold that was chosen on the other folds.

    Attributes:
        folds: The accuracy of each fold, a share.
        thresholds: The threshold that each was decided at: a pair matches if its score is not below.
    """

    folds: tuple[float, ...]
    thresholds: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean of the folds."""
        return math.fsum(self.folds) / len(self.folds)

    @property
    def standard_error(self) -> float:
        """The standard deviation of the folds (with n - 1) divided by the root of their number (Huang et al., 2007)."""
        return float(np.std(self.folds, ddof=1) / math.sqrt(len(self.folds)))


def contiguous(genuine: npt.ArrayLike, count: int = DEFAULT_FOLDS) -> Indices:
    """Folds for a list without any, int (P,): its genuine and its impostor pairs, each cut in order into equal parts.

    Raises `MaskgenError` if there are fewer pairs of a kind than folds.
    """
    kinds = np.asarray(genuine, bool)
    made = np.empty(len(kinds), np.intp)
    for kind in (kinds, ~kinds):
        total = int(kind.sum())
        if total < count:
            raise MaskgenError(f"{count} folds need as many genuine and as many impostor pairs; give a longer list.")
        made[kind] = np.arange(total) * count // total
    return made


def accuracy(
    genuine: Floats, impostor: Floats, genuine_folds: Indices, impostor_folds: Indices, count: int
) -> FoldAccuracy:
    """Accuracy over folds 0 .. count - 1 of scores float64 (Ng,) and (Ni,), whose folds are int (Ng,) and (Ni,).

    Raises `MaskgenError` for a fold without scores, or without genuine or impostor scores outside it.
    """
    found, thresholds = [], []
    for fold in range(count):
        inside, other = genuine_folds == fold, impostor_folds == fold
        total = int(inside.sum() + other.sum())
        if not total:
            raise MaskgenError(f"no pair of fold {fold + 1} could be measured; give photographs for it.")
        threshold = best_threshold(genuine[~inside], impostor[~other])
        right = int((genuine[inside] >= threshold).sum() + (impostor[other] < threshold).sum())
        found.append(right / total)
        thresholds.append(threshold)
    return FoldAccuracy(tuple(found), tuple(thresholds))


def best_threshold(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> float:
    """The threshold with the most right decisions, the lowest of several.

    It lies midway between two neighbouring scores, so that it favours neither side; at the lowest score if all pairs
    match, +inf if none does. Raises `MaskgenError` if a side has no scores.
    """
    counts = from_scores(genuine, impostor)
    below_genuine = np.append(0.0, np.cumsum(counts.genuine))
    below_impostor = np.append(0.0, np.cumsum(counts.impostor))
    best = int(np.argmax(below_impostor - below_genuine))
    if not best:
        return float(counts.scores[0])
    return math.inf if best == len(counts.scores) else float(counts.scores[best - 1 : best + 1].mean())
