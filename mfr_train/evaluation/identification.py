"""Identification (1:N): each probe is searched in a gallery that holds one picture of every subject.

The terms are those of ISO/IEC 19795-1 and of NIST's FRVT 1:N. Every probe has its mate in the gallery. A search without
a mate is the same search with that mate taken out of the gallery, so that no person has to be kept out of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..defaults import COSINE, SCENARIOS
from . import bootstrap, metrics
from .counts import Counts, Floats, from_scores, rates
from .measurement import Measurement
from .metrics import Point
from .scores import Side
from .similarity import scored
from .t_interval import percentiles

Indices = npt.NDArray[np.intp]

RANKS = (1, 5, 10, 20)
"""The ranks whose hit rates are shown; the curve has all up to the last one of `MAX_RANK`."""

MAX_RANK = 50

FPIR_LIMITS = (0.1, 0.01, 0.001)

CELLS = 2**22
"""Scores of probes with the gallery that are in memory at a time: 32 MiB."""


class Searches(NamedTuple):
    """What the searches of P probes found, each (P,).

    `subjects` int are those of the probes, `mates` float64 the scores with the gallery's picture of the same subject,
    `others` float64 the highest scores with another subject, and `ranks` int the mates' ranks, from 1. Another
    subject with the same score as the mate comes before it.
    """

    subjects: Indices
    mates: Floats
    others: Floats
    ranks: Indices


@dataclass(frozen=True)
class Identification:
    """The figures of one scenario as 1:N identification.

    Attributes:
        scenario: `U-U`, `U-M` or `M-M`: the gallery and the probes are unmasked (U) or masked (M).
        gallery: Subjects in the gallery, each with one picture.
        probes: Probes that were searched.
        cmc: The hit rate at each rank from 1: the share of probes whose mate is among so many first candidates.
        cmc_intervals: The 95 % intervals of these rates over subjects; empty if there are none.
        fnir: By the limit of FPIR, the operating point with the lowest FNIR at an FPIR below it: FNIR is the share of
            probes whose mate scores below the threshold, FPIR the share with a score of another subject at or above
            it. The point's `fmr` is the FPIR, its `fnmr` the FNIR.
        fnir_intervals: The 95 % intervals of these FNIRs; empty if there are none.
        few: The limits that fewer than 30 expected errors are behind.
    """

    scenario: str
    gallery: int
    probes: int
    cmc: tuple[float, ...]
    cmc_intervals: tuple[tuple[float, float], ...]
    fnir: dict[float, Point]
    fnir_intervals: dict[float, tuple[float, float]]
    few: tuple[float, ...]

    def hits(self, rank: int) -> Measurement:
        """The hit rate at a rank, a share with its interval. A gallery that is smaller has 1 at its own size."""
        place = min(rank, len(self.cmc)) - 1
        return Measurement(self.cmc[place], self.cmc_intervals[place] if self.cmc_intervals else None)

    def fnir_at(self, limit: float) -> Measurement:
        """The FNIR at a limit of the FPIR in `FPIR_LIMITS`, a share with its interval."""
        point = self.fnir[limit]
        return Measurement(point.fnmr, self.fnir_intervals.get(limit), point.threshold, limit in self.few)

    def as_json(self) -> dict[str, Any]:
        """For report.json; an infinite threshold is None."""
        return {
            "scenario": self.scenario,
            "gallery": self.gallery,
            "probes": self.probes,
            "cmc": list(self.cmc),
            "cmc_intervals": [list(ends) for ends in self.cmc_intervals],
            "fnir_at_fpir": {
                repr(limit): {
                    "fnir": point.fnmr,
                    "fpir": point.fmr,
                    "threshold": point.threshold if math.isfinite(point.threshold) else None,
                    "interval": list(self.fnir_intervals[limit]) if limit in self.fnir_intervals else None,
                    "few_errors": limit in self.few,
                }
                for limit, point in self.fnir.items()
            },
        }


def from_json(facts: dict[str, Any]) -> Identification:
    """The inverse of `Identification.as_json`. Raises `ValueError`, `LookupError` or `TypeError` for anything else."""
    scenario, points = str(facts["scenario"]), {float(limit): each for limit, each in facts["fnir_at_fpir"].items()}
    cmc = tuple(float(rate) for rate in facts["cmc"])
    ends = tuple((float(low), float(high)) for low, high in facts["cmc_intervals"])
    if scenario not in SCENARIOS or not cmc or len(ends) not in (0, len(cmc)) or set(points) != set(FPIR_LIMITS):
        raise ValueError("identification of another scenario, or curves that do not fit")
    return Identification(
        scenario,
        int(facts["gallery"]),
        int(facts["probes"]),
        cmc,
        ends,
        {
            limit: Point(
                math.inf if each["threshold"] is None else float(each["threshold"]),
                float(each["fpir"]),
                float(each["fnir"]),
            )
            for limit, each in points.items()
        },
        {
            limit: (float(each["interval"][0]), float(each["interval"][1]))
            for limit, each in points.items()
            if each["interval"] is not None
        },
        tuple(limit for limit, each in points.items() if each["few_errors"]),
    )


def enrolled(keys: Sequence[str], subjects: npt.ArrayLike, seed: int) -> npt.NDArray[np.bool_]:
    """Which photographs form the gallery, bool (N,): one of each subject, drawn by a hash of the seed and its key."""
    owners = np.asarray(subjects, np.intp)
    digests = (hashlib.blake2b(f"gallery/{seed}/{key}".encode(), digest_size=8).digest() for key in keys)
    order = np.lexsort((np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64), owners))
    chosen = np.zeros(len(owners), bool)
    chosen[order[np.flatnonzero(np.diff(owners[order], prepend=-1))]] = True
    return chosen


def search(gallery: Side, probes: Side, score: str = COSINE) -> Searches:
    """Searches every probe whose subject is in the gallery; a picture of the enrolled photograph itself is no probe.

    Candidates are ranked by the cosine, with which every kind of `score` rises; thresholds are of that kind.
    Raises `MaskgenError` for a gallery of fewer than two subjects, or if no probe has its mate in it.
    """
    if len(gallery) < 2:
        raise MaskgenError("the gallery has fewer than two subjects; identification needs more.")
    mate = np.searchsorted(gallery.subjects, probes.subjects)
    mate = np.minimum(mate, len(gallery) - 1)
    mated = (gallery.subjects[mate] == probes.subjects) & (gallery.photographs[mate] != probes.photographs)
    numbers = np.flatnonzero(mated)
    if not len(numbers):
        raise MaskgenError("no probe has a mate in the gallery; identification needs two photographs of a subject.")
    mates, others, ranks = np.empty(len(numbers)), np.empty(len(numbers)), np.empty(len(numbers), np.intp)
    vectors = gallery.embeddings.astype(np.float64)
    step = max(1, CELLS // len(gallery))
    for start in range(0, len(numbers), step):
        part = slice(start, start + step)
        rows = numbers[part]
        scores = probes.embeddings[rows].astype(np.float64) @ vectors.T
        own = np.arange(len(rows)), mate[rows]
        mates[part] = scores[own]
        scores[own] = -np.inf
        others[part] = scores.max(axis=1)
        ranks[part] = 1 + (scores >= mates[part, None]).sum(axis=1)
    return Searches(probes.subjects[numbers], scored(score, mates), scored(score, others), ranks)


def measure(scenario: str, gallery: int, found: Searches, resamples: int, seed: int) -> Identification:
    """The figures of searches in a gallery of so many subjects, with intervals over the subjects of the probes.

    The gallery stays as it is in a resample; `resamples` may be 0.
    """
    counts = from_scores(found.mates, found.others)
    curve = rates(counts)
    cmc = _cmc(found.ranks, min(MAX_RANK, gallery))
    points = {limit: metrics.fnmr_at_fmr(curve, limit) for limit in FPIR_LIMITS}
    few = tuple(
        limit for limit, point in points.items() if min(point.fnmr, limit) * len(found.mates) < metrics.FEW_ERRORS
    )
    subjects, places = np.unique(found.subjects, return_inverse=True)
    intervals: tuple[tuple[tuple[float, float], ...], dict[float, tuple[float, float]]] = ((), {})
    if resamples and len(subjects) >= bootstrap.MIN_SUBJECTS:
        intervals = _intervals(found, counts, bootstrap.units(len(subjects))[places], len(cmc), resamples, seed)
    return Identification(
        scenario, gallery, len(found.mates), tuple(cmc.tolist()), intervals[0], points, intervals[1], few
    )


def _cmc(ranks: Indices, size: int) -> Floats:
    hits = np.bincount(np.minimum(ranks, size + 1), minlength=size + 2)[1 : size + 1]
    curve: Floats = np.cumsum(hits) / len(ranks)
    return curve


def _intervals(
    found: Searches, counts: Counts, units: Indices, size: int, resamples: int, seed: int
) -> tuple[tuple[tuple[float, float], ...], dict[float, tuple[float, float]]]:
    count = int(units.max()) + 1
    by_rank = np.zeros((count, size + 2))
    np.add.at(by_rank, (units, np.minimum(found.ranks, size + 1)), 1)
    places = [np.searchsorted(counts.scores, side) for side in (found.mates, found.others)]
    curves, fnir = [], []
    for weights in bootstrap.resample(count, resamples, seed):
        drawn = weights @ by_rank
        curves.append(np.cumsum(drawn, axis=1)[:, 1:-1] / drawn.sum(axis=1, keepdims=True))
        for row in weights[:, units].astype(np.float64):
            mates, others = (np.bincount(place, row, len(counts.scores)).astype(np.float64) for place in places)
            curve = rates(Counts(counts.scores, mates, others))
            fnir.append([metrics.fnmr_at_fmr(curve, limit).fnmr for limit in FPIR_LIMITS])
    ends, limits = percentiles(np.concatenate(curves)), percentiles(fnir)
    return (
        tuple((float(low), float(high)) for low, high in ends.T),
        {limit: (float(low), float(high)) for limit, (low, high) in zip(FPIR_LIMITS, limits.T, strict=True)},
    )
