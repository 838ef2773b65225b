"""95 % intervals by bootstrap over subjects: how the figures would vary with other test subjects.

This module makes the resamples; `drawn` collects the figures in them, and `t_interval` makes intervals of those.

A resample draws as many subjects as there are, with replacement; w_s is how often subject s was drawn. Scores of one
subject are not independent, so they are resampled together: a genuine pair of s has weight w_s, an impostor pair of s
and t has weight w_s * w_t. This needs, computed once, how many scores of each pair of subjects lie in each bin.

The bins number at most 8,192 (fewer with very many subjects) and lie closest together where FMR is small. With
no more distinct scores than bins a resample is exact; otherwise `Intervals.bound` is the most by which binning moved
a figure in any resample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.progress import step

from . import limits, metrics, resampled
from .counts import Counts, Floats, middles
from .metrics import FixedThreshold
from .resampled import Moments

UNITS = 500
"""Subjects beyond this many are resampled in groups of neighbours: pairs of subjects are counted one by one."""

MAX_BINS, MAX_CELLS = 8192, 2**26
"""Bins of a resample, and cells of the table (pairs of subjects) x (bins): 256 MiB of uint32."""

MIN_SUBJECTS = 3
"""An interval needs so many: with two subjects the only resample with impostors holds each once, which is a point."""


_SLICE, RESAMPLES = 4096, 1024
"""Pairs of units, and resamples, that are weighed at a time: 128 MiB of counts however many resamples there are."""

CELLS_AT_ONCE = 2**18
"""Counts, resamples times bins, that are measured at a time: 2 MiB for each array of them."""

Indices = npt.NDArray[np.intp]

Watch = Callable[[Counts], None]
"""Called with the counts of each resample."""


@dataclass(frozen=True)
class Table:
    """Scores of subjects and of pairs of subjects in bins.

    `genuine` (U, K) and `impostor` (U * (U + 1) / 2, K) are counts, uint32; `edges` float64 (K + 1,) are the bins,
    the last edge above every score; `exact` says that a bin holds one distinct score only.
    """

    edges: Floats
    genuine: npt.NDArray[np.uint32]
    impostor: npt.NDArray[np.uint32]
    exact: bool


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of the figures, by name; `bound` is the most by which binning can have moved a figure.

    `resamples` counts the resamples that held genuine and impostor scores; without any there is no interval.
    """

    intervals: dict[str, tuple[float, float]]
    bound: dict[str, float]
    resamples: int


class Replicates(NamedTuple):
    """Some resamples, with the weights of the units in them, (R, U).

    `values` are their figures and both rates at fixed thresholds, float64 (R,), and `bounds` the most by which binning
    can have moved a figure in any of them, both by name.
    """

    values: dict[str, Floats]
    bounds: dict[str, float]
    weights: npt.NDArray[np.int64]


def units(subjects: int, limit: int = UNITS) -> Indices:
    """The unit of resampling of each subject, int (subjects,): itself, or beyond `limit` subjects its group."""
    return np.arange(subjects) * min(subjects, limit) // max(subjects, 1)


def pair_index(one: npt.ArrayLike, other: npt.ArrayLike, count: int) -> Indices:
    """The row of an unordered pair of units (or of a unit with itself) among `count` units: 0,0 0,1 .. 1,1 1,2 .."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    index: Indices = low * count - low * (low - 1) // 2 + high - low
    return index


def empty_table(counts: Counts, unit_count: int, thresholds: Sequence[float] = ()) -> Table:
    """A table for the scores in `counts`, with edges chosen for them and at fixed `thresholds`."""
    pairs = unit_count * (unit_count + 1) // 2
    bins = max(16, min(MAX_BINS, MAX_CELLS // pairs))
    edges = _edges(counts, bins)
    inner = [threshold for threshold in thresholds if edges[0] < threshold < edges[-1]]
    edges = np.unique(np.concatenate([edges, inner]))
    shape = len(edges) - 1
    exact = counts.tops is None and len(counts.scores) <= bins
    return Table(edges, np.zeros((unit_count, shape), np.uint32), np.zeros((pairs, shape), np.uint32), exact)


def fill(target: npt.NDArray[np.uint32], rows: Indices, bins: Indices) -> None:
    """Adds one score to `target[rows[n], bins[n]]` for each n."""
    np.add.at(target.reshape(-1), rows * target.shape[1] + bins, np.uint32(1))


def bin_of(table: Table, scores: Floats) -> Indices:
    """The bin of each score of those that the table was made for."""
    return np.searchsorted(table.edges, scores, side="right") - 1


def add_genuine(table: Table, scores: Floats, unit: Indices) -> None:
    """Counts genuine scores (N,), each in its bin and for the unit int (N,) of its subject."""
    fill(table.genuine, unit, bin_of(table, scores))


def add_impostor(table: Table, scores: Floats, one: Indices, other: Indices) -> None:
    """Counts impostor scores (N,), each in its bin and for the units int (N,) of its two subjects."""
    fill(table.impostor, pair_index(one, other, len(table.genuine)), bin_of(table, scores))


def resample(unit_count: int, count: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """How often each unit is drawn in each of `count` resamples: int64 (R, unit_count) by slices of `RESAMPLES`.

    Rows sum to unit_count.
    """
    chance, shares = np.random.default_rng(seed), np.full(unit_count, 1 / unit_count)
    for first in range(0, count, RESAMPLES):
        yield chance.multinomial(unit_count, shares, min(RESAMPLES, count - first))


def moments(table: Table, counts: Counts) -> tuple[Moments, Moments]:
    """Those of the genuine and of the impostor scores in the bins of the table."""
    scores = middles(counts)
    place, size = bin_of(table, scores), len(table.edges) - 1

    def of(weights: Floats) -> Moments:
        total = np.bincount(place, weights, minlength=size)
        total[total == 0] = 1
        centre = float(scores @ weights / weights.sum())
        squares = np.bincount(place, weights * (scores - centre) ** 2, minlength=size)
        return Moments(np.bincount(place, weights * scores, minlength=size) / total, squares / total, centre)

    return of(counts.genuine), of(counts.impostor)


def replicates(
    table: Table,
    moments: tuple[Moments, Moments],
    count: int,
    seed: int,
    thresholds: Sequence[FixedThreshold] = (),
    fmr: Sequence[float] = metrics.LIMITS,
    watch: Watch | None = None,
) -> Iterator[Replicates]:
    """The figures of the resamples; `moments` are those of the genuine and of the impostor scores in the table.

    Tables of the same pairs and seed have the same resamples in the same order, so that two systems can be compared
    draw by draw. A resample without genuine or without impostor scores is left out.
    """
    scores, tops = table.edges[:-1], None if table.exact else table.edges[1:]
    together = max(1, CELLS_AT_ONCE // len(table.edges))
    with step("resampling people", count) as bar:
        for weights in resample(len(table.genuine), count, seed):
            genuine, impostor = _weighted(weights, table)
            usable = np.flatnonzero(genuine.any(axis=1) & impostor.any(axis=1))  # one may hold a single subject only
            for start in range(0, len(usable), together):
                part = usable[start : start + together]
                drawn = Counts(scores, genuine[part], impostor[part], tops)
                yield Replicates(*resampled.figures(drawn, fmr, moments, thresholds), weights[part])
                if watch:
                    for one in zip(drawn.genuine, drawn.impostor, strict=True):
                        watch(Counts(scores, *one, tops))
                bar.update(len(part))
            bar.update(len(weights) - len(usable))


def unresolved(fmr: Sequence[float], impostor: float) -> set[str]:
    """The figures that rest on the highest impostor score, which no resample can exceed; FMR100 and FMR10 are kept."""
    left_out = {limits.name(limit) for limit in fmr if not limits.resolved(limit, impostor)} - {"fmr100", "fmr10"}
    return left_out | {"zero_fmr"} | (set() if limits.resolved(metrics.FMR1000, impostor) else {"fmr1000"})


def plain(figures: metrics.Figures) -> dict[str, float]:
    """The figures as one number each, by name; those that an old report lacks are left out."""
    values = {
        "fmr100": figures.fmr100.fnmr,
        "fmr10": figures.fmr10.fnmr,
        "nearest_fmr100": figures.nearest_fmr100.fnmr,
        "eer": figures.eer.eer,
        "auc": figures.auc,
        "gmean": figures.gmean,
        "imean": figures.imean,
        "fmr1000": figures.fmr1000.fnmr if figures.fmr1000 else None,
        "zero_fmr": figures.zero_fmr.fnmr if figures.zero_fmr else None,
        "gstd": figures.gstd,
        "istd": figures.istd,
        "d_prime": figures.d_prime,
    }
    points = {limits.name(limit): point.fnmr for limit, point in figures.points.items()}
    return {name: value for name, value in values.items() if value is not None} | points


def at_thresholds(counts: Counts, thresholds: Sequence[FixedThreshold]) -> dict[str, float]:
    """FNMR and FMR at fixed thresholds, by their names."""
    found = {}
    for fixed in thresholds:
        found[fixed.name] = metrics.fnmr_at_threshold(counts, fixed.threshold)
        found[fixed.fmr_name] = metrics.fmr_at_threshold(counts, fixed.threshold)
    return found


def pair_variances(
    table: Table, counts: Counts, found: Moments, thresholds: Sequence[FixedThreshold]
) -> dict[str, float]:
    """The part of the variance of figures of impostor scores only that single pairs of units add: `t_interval` uses it.

    IMean, IStd and the FMR at fixed thresholds are means over the impostor scores, so each pair's effect is known.
    `found` are the moments of the impostor scores.
    """
    total = counts.impostor.sum()
    effects: dict[str, Floats] = {"imean": found.mean - found.centre}
    variance = float(found.square @ table.impostor.sum(axis=0) / total)
    if variance > 0:
        effects["istd"] = (found.square - variance) / (2 * math.sqrt(variance))
    for fixed in thresholds:
        rate = metrics.fmr_at_threshold(counts, fixed.threshold)
        effects[fixed.fmr_name] = np.where(table.edges[:-1] >= fixed.threshold, 1.0, 0.0) - rate
    columns = np.column_stack(list(effects.values())) / total
    low, high = np.triu_indices(len(table.genuine))
    sums = np.zeros(len(effects))
    for start in range(0, len(low), _SLICE):
        part = slice(start, start + _SLICE)
        # Impostor pairs within a unit are resampled with the unit's weight alone.
        rows = table.impostor[part][low[part] != high[part]]
        sums += ((rows.astype(np.float64) @ columns) ** 2).sum(axis=0)
    return dict(zip(effects, sums.tolist(), strict=True))


def _weighted(weights: npt.NDArray[np.int64], table: Table) -> tuple[Floats, Floats]:
    """Genuine and impostor counts of every resample, float64 (R, K). Whole numbers below 2^53: exact in any order."""
    low, high = np.triu_indices(weights.shape[1])
    impostor = np.zeros((len(weights), table.impostor.shape[1]))
    for start in range(0, len(low), _SLICE):
        one, other = low[start : start + _SLICE], high[start : start + _SLICE]
        # Pairs within a unit are impostors only if units are groups of subjects: they weigh as often as the group.
        drawn = weights[:, one] * np.where(one == other, 1, weights[:, other])
        impostor += drawn.astype(np.float64) @ table.impostor[start : start + _SLICE].astype(np.float64)
    return weights.astype(np.float64) @ table.genuine.astype(np.float64), impostor


def _edges(counts: Counts, bins: int) -> Floats:
    """At most `bins` bins over the scores: one for each distinct score if that is enough, else a selection.

    Half of the edges are for genuine scores: each in its own bin, with only impostors between, or if they are too many,
    at equal shares. Half are for impostors: at equal shares, and at shares that shrink by a
    constant ratio towards the highest scores, where FMR is small.
    """
    above = np.nextafter(counts.scores[-1], np.inf) if counts.tops is None else counts.tops[-1]
    if len(counts.scores) <= bins:
        return np.append(counts.scores, above)
    half = bins // 2
    lower = np.flatnonzero(counts.genuine)
    lower = np.concatenate([lower, lower + 1])
    if len(lower) > half:
        lower = _quantiles(counts.genuine, np.linspace(0, 1, half, endpoint=False))
    small = np.geomspace(1, 1 / max(counts.impostor.sum(), 2), half // 2)
    shares = np.concatenate([np.linspace(0, 1, half // 2, endpoint=False), 1 - small])
    chosen = np.unique(np.concatenate([[0], lower, _quantiles(counts.impostor, shares)]))
    return np.append(counts.scores[chosen[chosen < len(counts.scores)]], above)


def _quantiles(weights: Floats, shares: Floats) -> Indices:
    """The index at which each share of the weight is reached."""
    running = np.cumsum(weights)
    return np.minimum(np.searchsorted(running, shares * running[-1], side="right"), len(weights) - 1)
