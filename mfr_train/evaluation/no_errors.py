"""Exact limits of a rate of which no error was seen: a bootstrap of no errors has none either, and gives [0, 0].

If n independent trials have no error, error rates above 1 - 0.05^(1 / n), about 3 / n, are excluded with 95 %
confidence: the rule of three (Hanley and Lippman-Hand, JAMA 249(13), 1983). Pairs of one subject are not independent.
So n counts subjects, not pairs: with a rate of p a subject's pair, drawn at random, has no error with probability
1 - p, and subjects are independent. For false matches n is the largest number of pairs of which no two share a subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import scores
from .scores import Comparison, Indices
from .t_interval import LEVEL

Ends = tuple[float, float]


@dataclass(frozen=True)
class Trials:
    """How many independent trials a comparison holds: subjects with genuine pairs, and disjoint impostor pairs."""

    genuine: int
    impostor: int

    @property
    def ordered(self) -> int:
        """Genuine and impostor pairs of which no two share a subject: of g subjects and i disjoint pairs, at least so
        many, since each impostor pair takes two subjects."""
        return min(self.impostor, self.genuine // 3)


def upper_limit(trials: int, level: float = LEVEL) -> float:
    """The highest error rate that no error in so many independent trials leaves possible; 1 without any trial."""
    return float(1 - (1 - level) ** (1 / trials)) if trials else 1.0


def trials(comparison: Comparison) -> Trials:
    """The independent trials of a comparison."""
    left, right = comparison.reference.subjects, comparison.probe.subjects
    if comparison.listed is not None:
        return trials_of_pairs(left[comparison.listed[0]], right[comparison.listed[1]])
    genuine = {int(left[block.rows.start]) for block in scores.genuine_blocks(comparison)}
    ours, theirs = np.unique(left), np.unique(right)
    return Trials(len(genuine), min(len(ours), len(theirs), len(np.union1d(ours, theirs)) // 2))


def trials_of_pairs(one: Indices, other: Indices) -> Trials:
    """The independent trials of pairs, in any order, by the subjects of their two sides, int (P,) each.

    Impostor pairs are made disjoint one by one, from the subject with the fewest partners on. If all references are
    compared with all probes that gives the most that are possible, of listed pairs perhaps fewer.
    """
    size = int(max(one.max(initial=0), other.max(initial=0))) + 1
    low, high = np.minimum(one, other), np.maximum(one, other)
    pairs = np.divmod(np.unique((low * size + high)[one != other]), size)
    rank = np.empty(size, np.intp)
    rank[np.argsort(np.bincount(np.concatenate(pairs), minlength=size), kind="stable")] = np.arange(size)
    first, second = np.sort([rank[side] for side in pairs], axis=0)
    order = np.lexsort((second, first))
    starts, second = np.searchsorted(first[order], np.arange(size + 1)), second[order]
    used, disjoint = np.zeros(size, bool), 0
    for subject in range(size):
        partners = second[starts[subject] : starts[subject + 1]]
        free = partners[~used[partners]]
        if not used[subject] and len(free):
            used[[subject, free[0]]] = True
            disjoint += 1
    return Trials(len(np.unique(one[one == other])), disjoint)


def widened(intervals: Mapping[str, Ends], values: Mapping[str, float], found: Trials) -> dict[str, Ends]:
    """The intervals of figures by name, with exact limits for those whose value is 0 or 1: rates, EER and AUC.

    A false match rate has a name that starts with `fmr_at`. An EER of 0 is no error of either kind: the larger of the
    two limits, each with half of the error probability.
    """
    changed = dict(intervals)
    for name, (low, high) in intervals.items():
        value = values[name]
        if name in ("gmean", "imean", "gstd", "istd", "d_prime") or value not in (0, 1):
            continue
        limit = _limit(name, found)
        changed[name] = (low, max(high, limit)) if value == 0 else (min(low, 1 - limit), high)
    return changed


def _limit(name: str, found: Trials) -> float:
    if name == "eer":
        half = (1 + LEVEL) / 2
        return max(upper_limit(found.genuine, half), upper_limit(found.impostor, half))
    if name == "auc":
        return upper_limit(found.ordered)
    return upper_limit(found.impostor if name.startswith("fmr_at") else found.genuine)
