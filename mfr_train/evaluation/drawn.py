"""The figures of one model in resamples of the subjects, and their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ..defaults import COSINE
from . import bootstrap, metrics, no_errors, t_interval
from .bootstrap import Table, Watch
from .counts import Counts, Floats
from .measurement import Measurement
from .metrics import Figures, FixedThreshold
from .no_errors import Ends, Trials

WEIGHTS_KEPT = 4096
"""The weights of this many resamples at most tell how unequal the subjects' effects are: 16 MiB with 500 units."""


@dataclass(frozen=True)
class Drawn:
    """The figures of one model: `values` by name, and `draws` float64 (R,), the same in each resample.

    `weights` float64 (R', n) is how often each unit was drawn in the first R' resamples, and `pairs` the variances that
    `bootstrap.pair_variances` gives: the intervals need both. With `trials`, a rate of 0 or 1 has its exact limit.
    `score` is the kind of the scores. `bounds` is the most by which binning can have moved a figure.
    """

    values: dict[str, float]
    draws: dict[str, Floats]
    weights: Floats = field(default_factory=lambda: np.empty((0, 0)))
    pairs: dict[str, float] = field(default_factory=dict)
    trials: Trials | None = None
    score: str = COSINE
    bounds: dict[str, float] = field(default_factory=dict)

    @property
    def resamples(self) -> int:
        """How many resamples held genuine and impostor scores."""
        return len(next(iter(self.draws.values())))

    @cached_property
    def intervals(self) -> dict[str, Ends]:
        """The intervals by name. An infinite figure has none, nor has any figure without resamples."""
        excess = self.weights - 1
        found = {
            name: t_interval.ends(name, value, self.draws[name], excess, self.pairs.get(name, 0.0), self.score)
            for name, value in self.values.items()
            if self.resamples and math.isfinite(value) and np.isfinite(self.draws[name]).all()
        }
        return no_errors.widened(found, self.values, self.trials) if self.trials else found

    def measurement(self, name: str, few_errors: bool = False) -> Measurement:
        """A figure with its interval."""
        return Measurement(self.values[name], self.intervals.get(name), few_errors=few_errors)

    def only(self, names: Sequence[str]) -> Drawn:
        """The same with these figures alone."""
        return replace(
            self,
            values={name: self.values[name] for name in names},
            draws={name: self.draws[name] for name in names},
            pairs={name: variance for name, variance in self.pairs.items() if name in names},
        )


def in_resamples(
    table: Table,
    counts: Counts,
    figures: Figures,
    resamples: int,
    seed: int,
    thresholds: Sequence[FixedThreshold] = (),
    fmr: Sequence[float] = metrics.LIMITS,
    watch: Watch | None = None,
    trials: Trials | None = None,
    score: str = COSINE,
) -> Drawn:
    """The figures of all scores, with both rates at fixed `thresholds`, and the same in each of the resamples.

    `counts` are the scores, of the kind `score`, as the table was made for: a bin stands for their mean in it. ZeroFMR
    is left out, and so is the FNMR at a limit of `fmr` that the impostor pairs do not resolve: both rest on the highest
    impostor score, which no resample can exceed.
    """
    left_out = bootstrap.unresolved(fmr, counts.impostor.sum())
    whole = bootstrap.plain(figures) | bootstrap.at_thresholds(counts, thresholds)
    values = {name: value for name, value in whole.items() if name not in left_out}
    moments = bootstrap.moments(table, counts)
    draws: dict[str, list[Floats]] = {name: [np.empty(0)] for name in values}
    bounds: dict[str, float] = {}
    weights = [np.empty((0, len(table.genuine)), np.int64)]
    for some in bootstrap.replicates(table, moments, resamples, seed, thresholds, fmr, watch):
        weights.append(some.weights[: max(0, WEIGHTS_KEPT - sum(map(len, weights)))])
        for name, collected in draws.items():
            collected.append(some.values[name])
        for name, value in some.bounds.items():
            if name in draws:
                bounds[name] = max(bounds.get(name, 0.0), value)
    pairs = bootstrap.pair_variances(table, counts, moments[1], thresholds)
    return Drawn(
        values,
        {name: np.concatenate(collected) for name, collected in draws.items()},
        np.concatenate(weights).astype(np.float64),
        {name: variance for name, variance in pairs.items() if name in values},
        trials,
        score,
        bounds,
    )
