"""Paired statistics: the figures of several systems over the same draws of subjects, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError

from ..evaluation import bootstrap, metrics, no_errors, t_interval
from ..evaluation.counts import Counts, from_scores
from ..evaluation.drawn import Drawn, in_resamples
from ..evaluation.measurement import Measurement
from ..evaluation.metrics import FixedThreshold
from ..evaluation.no_errors import Trials
from .scored_pairs import Indices, ScoredPairs, numbered

HIGHER_IS_BETTER = ("auc",)


@dataclass(frozen=True)
class Difference:
    """How much a figure of one system exceeds that of the first one.

    Attributes:
        scenario: `U-U`, `U-M` or `M-M`.
        system: The system that is compared with the first one.
        figure: The name of the figure, such as `fmr100`.
        value: The figure of the system minus that of the first one.
        low: The lower end of the 95 % interval over subjects.
        high: The upper end.
        p: The two-sided p-value of no difference: twice the smaller share of resamples on either side of zero.
        adjusted_p: The p-value corrected by Holm's method for all systems and scenarios. None for a figure that no
            conclusion is drawn from.
    """

    scenario: str
    system: str
    figure: str
    value: float
    low: float
    high: float
    p: float
    adjusted_p: float | None = None

    @property
    def measurement(self) -> Measurement:
        """The difference with its interval."""
        return Measurement(self.value, (self.low, self.high))


def drawn(
    systems: Sequence[ScoredPairs], resamples: int, seed: int, thresholds: Sequence[Sequence[FixedThreshold]]
) -> list[Drawn]:
    """The figures of each system on the same pairs, with the same resamples of the subjects.

    `thresholds` are those that each system fixed on U-U; there may be none. Raises `MaskgenError` for too few subjects
    or if there are no genuine or no impostor pairs.
    """
    pairs = systems[0]
    people = numbered(pairs.subjects)
    one, other = people[pairs.first], people[pairs.second]
    used, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    if len(used) < bootstrap.MIN_SUBJECTS:
        raise MaskgenError(
            f"the pairs that all systems scored show {len(used)} people; a comparison needs at least "
            f"{bootstrap.MIN_SUBJECTS}."
        )
    one, other = np.split(places, [len(one)])
    units, trials = bootstrap.units(len(used)), no_errors.trials_of_pairs(one, other)
    return [
        _drawn(system, units[one], units[other], int(units[-1]) + 1, resamples, seed, fixed, trials)
        for system, fixed in zip(systems, thresholds, strict=True)
    ]


def _drawn(
    system: ScoredPairs,
    one: Indices,
    other: Indices,
    unit_count: int,
    resamples: int,
    seed: int,
    fixed: Sequence[FixedThreshold],
    trials: Trials,
) -> Drawn:
    counts, genuine = counts_of(system), system.genuine
    table = bootstrap.empty_table(counts, unit_count, [each.threshold for each in fixed])
    bootstrap.add_genuine(table, system.scores[genuine], one[genuine])
    bootstrap.add_impostor(table, system.scores[~genuine], one[~genuine], other[~genuine])
    figures, rates = metrics.figures_of(counts), {each.fmr_name for each in fixed}
    found = in_resamples(table, counts, figures, resamples, seed, fixed, trials=trials, score=system.kind)
    return found.only([name for name in found.values if name not in rates])


def counts_of(system: ScoredPairs) -> Counts:
    """The scores of a system as counts of genuine and impostor pairs."""
    return from_scores(system.scores[system.genuine], system.scores[~system.genuine])


def differences(scenario: str, names: Sequence[str], found: Sequence[Drawn]) -> list[Difference]:
    """Every figure of every system after the first one, minus that of the first, over the same draws.

    Raises `MaskgenError` if there are no resamples.
    """
    first = found[0]
    if not first.resamples:
        raise MaskgenError(
            f"{scenario}: no resample of the subjects held genuine and impostor pairs; compare on more people."
        )
    made = []
    for name, system in zip(names[1:], found[1:], strict=True):
        for figure in first.values:
            if not np.isfinite([*system.draws[figure], *first.draws[figure]]).all():
                continue  # d' is infinite if all scores of each kind are equal
            steps = system.draws[figure] - first.draws[figure]
            value = system.values[figure] - first.values[figure]
            low, high = map(float, t_interval.percentiles(steps))
            made.append(Difference(scenario, name, figure, value, low, high, p_value(steps)))
    return made


def p_value(steps: npt.ArrayLike) -> float:
    """The two-sided p-value of no difference from differences in resamples (R,).

    Twice the smaller share on either side of zero, zero itself on both, with one added to each count so that it is
    never 0 (Davison and Hinkley, 1997, section 4.2).
    """
    values = np.asarray(steps, np.float64)
    least = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return min(1.0, 2 * (least + 1) / (len(values) + 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for their number (Holm, 1979): the chance of any wrong conclusion stays below the level."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = running
    return {name: adjusted[name] for name in p_values}
