"""Measures one comparison: counts, figures and intervals, from every score or, if there are too many, from bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from maskgen.errors import MaskgenError
from maskgen.progress import step

from ..defaults import EXACT_PAIRS
from . import bands, bootstrap, curves, metrics, no_errors, scores
from .bootstrap import Indices, Intervals, Table
from .counts import Counts, from_histogram, from_scores
from .drawn import Drawn, in_resamples
from .metrics import FixedThreshold
from .scores import Block, Comparison, Scores, Side

_SAMPLE = 2048


@dataclass(frozen=True)
class Measured:
    """Figures of one comparison. `scores` are the genuine and the impostor ones, None if they were binned.

    `drawn` is None without resamples, and `curve` if it was not asked for.
    """

    counts: Counts
    figures: metrics.Figures
    drawn: Drawn | None
    scores: tuple[Scores, Scores] | None
    curve: curves.Curve | None = None

    @property
    def intervals(self) -> Intervals | None:
        """The intervals of the figures; None without resamples."""
        found = self.drawn
        return Intervals(found.intervals, found.bounds, found.resamples) if found else None


def measure(
    comparison: Comparison,
    subjects: int,
    resamples: int,
    seed: int,
    thresholds: Sequence[FixedThreshold] = (),
    limit: int = EXACT_PAIRS,
    fmr: Sequence[float] = metrics.LIMITS,
    with_curve: bool = False,
) -> Measured:
    """Figures of the pairs of the comparison, with intervals over its subjects, which are numbered below `subjects`.

    More than `limit` pairs are counted in `scores.BINS` bins and memory does not grow with their number; every score
    of listed pairs is kept. `resamples` of the bootstrap may be 0. `fmr` are the limits of the operating points. Both
    rates get an interval at each of the fixed `thresholds`, too. `with_curve` adds the error curve, with its band if
    there are resamples. Raises `MaskgenError` if there is no genuine or no impostor pair.
    """
    units = bootstrap.units(subjects)
    fixed = [each.threshold for each in thresholds]
    if subjects < bootstrap.MIN_SUBJECTS:
        resamples = 0
    found, counts, table = counted(comparison, units, fixed, limit, bool(resamples))
    figures = metrics.figures_of(counts, fmr)
    curve = curves.curve(counts) if with_curve else None
    collected = bands.Bands(curve.fmr) if curve else None
    watch = collected.add if collected else None
    drawn = None
    if table:
        trials = no_errors.trials(comparison)
        drawn = in_resamples(table, counts, figures, resamples, seed, thresholds, fmr, watch, trials, comparison.score)
    if curve and collected and (ends_of_band := collected.ends()):
        curve = replace(curve, low=ends_of_band[0], high=ends_of_band[1])
    return Measured(counts, figures, drawn, found, curve)


@step("comparing pairs")
def counted(
    comparison: Comparison, units: Indices, fixed: Sequence[float], limit: int, with_table: bool
) -> tuple[tuple[Scores, Scores] | None, Counts, Table | None]:
    """The genuine and the impostor scores, their counts, and the table of the bootstrap.

    `units` int (S,) are the units of resampling of the subjects. The scores are None if they are more than `limit`,
    which are counted in bins. Raises `MaskgenError` if there is no picture on one side.
    """
    for side in (comparison.reference, comparison.probe):
        if not len(side):
            raise MaskgenError("there is no picture to compare on one side; check the data set or the protocol table.")
    unit_count = int(units[-1]) + 1
    if comparison.listed is None and comparison.pairs > limit:
        table = bootstrap.empty_table(sample_counts(comparison), unit_count, fixed) if with_table else None
        return None, _binned(comparison, units, table), table
    found = scores.exact(comparison)
    counts = from_scores(found[0].values, found[1].values)
    table = bootstrap.empty_table(counts, unit_count, fixed) if with_table else None
    if table:
        left, right = units[comparison.reference.subjects], units[comparison.probe.subjects]
        genuine, impostor = found
        bootstrap.add_genuine(table, genuine.values, left[genuine.reference])
        bootstrap.add_impostor(table, impostor.values, left[impostor.reference], right[impostor.probe])
    return found, counts, table


def _binned(comparison: Comparison, units: Indices, table: Table | None) -> Counts:
    """Counts on the grid, and in the same pass the table of the bootstrap."""
    genuine = scores.histogram(
        comparison, scores.genuine_blocks(comparison), tally(comparison, units, table, False) if table else None
    )
    impostor = scores.histogram(
        comparison, scores.impostor_blocks(comparison), tally(comparison, units, table, True) if table else None
    )
    return from_histogram(scores.grid(comparison.score), genuine, impostor)


def tally(comparison: Comparison, units: Indices, table: Table, impostor: bool) -> scores.Tally:
    """What adds the bins of a block to the genuine or impostor counts of the table, unit by unit."""
    left, right = units[comparison.reference.subjects], units[comparison.probe.subjects]
    target = table.impostor if impostor else table.genuine
    size = target.shape[1]
    # Pairs that do not count are in bin BINS of the grid; they become bin `size` here, which is dropped.
    coarse = np.append(bootstrap.bin_of(table, scores.grid(comparison.score)[:-1]), size)

    def add(block: Block, bins: Indices) -> None:
        theirs, place = np.unique(right[block.columns], return_inverse=True)
        place *= size + 1
        starts = np.flatnonzero(np.diff(left[block.rows], prepend=-1))
        for start, stop in pairwise([*starts, len(bins)]):
            unit = left[block.rows.start + start]
            cells = coarse[bins[start:stop]]
            cells += place
            hits = np.bincount(cells.ravel(), minlength=len(theirs) * (size + 1)).reshape(-1, size + 1)[:, :size]
            rows = bootstrap.pair_index(unit, theirs, len(table.genuine)) if impostor else theirs
            target[rows] += hits.astype(np.uint32)

    return add


def sample_counts(comparison: Comparison) -> Counts:
    """Counts of all genuine pairs and of the impostor pairs of every n-th picture: enough to place edges."""
    few = Comparison(_thinned(comparison.reference), _thinned(comparison.probe), False)
    return from_histogram(
        scores.grid(comparison.score),
        scores.histogram(comparison, scores.genuine_blocks(comparison)),
        scores.histogram(few, scores.impostor_blocks(few)),
    )


def _thinned(side: Side) -> Side:
    chosen = np.linspace(0, len(side) - 1, min(len(side), _SAMPLE)).astype(int)
    return Side(side.embeddings[chosen], side.subjects[chosen], side.photographs[chosen])
