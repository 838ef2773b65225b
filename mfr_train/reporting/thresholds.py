"""A table of thresholds with the errors at each, for the slider: every count in it is exact.

The slider stops at round scores and at every threshold of the report. At each stop the page divides two whole numbers,
so that its FMR and FNMR are those of `metrics.fmr_at_threshold` and `metrics.fnmr_at_threshold`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from maskgen.errors import UsageError

from ..evaluation import curve_files
from ..evaluation.counts import Counts, Floats
from ..evaluation.curves import Histogram
from ..evaluation.report import Report, Row
from .given import Evaluation
from .score_arrays import ScoreArrays

STOPS, BARS = 800, 64
"""Round scores at which the slider stops, at least half as many; and bars of a histogram, likewise."""


def slider(number: int, each: Evaluation, scores: Mapping[str, ScoreArrays]) -> dict[str, Any] | None:
    """The table, the histograms and the named thresholds of an evaluation; None if it has no scores and no histograms.

    `scores` are by scenario, and `number` is the place of the evaluation on the page.
    """
    exact = len(scores) == len(each.report.rows) > 0
    if exact:
        found = _of_scores(each.report, scores)
    elif histograms := curve_files.read_histograms(each.report.out):
        found = _of_bins(histograms)
    else:
        return None
    return {"id": f"scores-{number}", "name": each.name, "exact": exact, **found}


def _of_scores(report: Report, scores: Mapping[str, ScoreArrays]) -> dict[str, Any]:
    counts = {name: found.counts for name, found in scores.items()}
    low = min(float(found.scores[0]) for found in counts.values())
    high = max(float(found.scores[-1]) for found in counts.values())
    named = _named(report)
    stops = np.unique([*_grid(low, high, STOPS), *(threshold for _, threshold in named)])
    edges = np.array(_grid(low, high, BARS))
    return {
        "stops": [float(stop) for stop in stops],
        "named": [[label, int(np.searchsorted(stops, threshold))] for label, threshold in named],
        "scenarios": [
            {
                "name": name,
                **_errors(found, stops),
                "edges": edges.tolist(),
                "bars": [_binned(found, side, edges) for side in (found.genuine, found.impostor)],
            }
            for name, found in counts.items()
        ],
    }


def _of_bins(histograms: Mapping[str, Histogram]) -> dict[str, Any]:
    """Without scores the slider stops at the edges of the histograms, where the counts are exact."""
    stops = np.unique(np.concatenate([found.edges for found in histograms.values()]))
    made = []
    for name, found in histograms.items():
        counts = Counts(found.edges[:-1], found.genuine, found.impostor, found.edges[1:])
        bars = [side.astype(int).tolist() for side in (found.genuine, found.impostor)]
        made.append({"name": name, **_errors(counts, stops), "edges": found.edges.tolist(), "bars": bars})
    return {"stops": stops.tolist(), "named": [], "scenarios": made}


def _errors(counts: Counts, stops: Floats) -> dict[str, Any]:
    """At each stop, how many genuine scores are below and how many impostor scores are not."""
    places = np.searchsorted(counts.scores, stops, side="left")
    below = np.concatenate([[0], np.cumsum(counts.genuine)])
    under = np.concatenate([[0], np.cumsum(counts.impostor)])
    return {
        "genuine": int(below[-1]),
        "impostor": int(under[-1]),
        "rejected": below[places].astype(int).tolist(),
        "accepted": (under[-1] - under[places]).astype(int).tolist(),
    }


def _binned(counts: Counts, side: Floats, edges: Floats) -> list[int]:
    places = np.searchsorted(edges, counts.scores, side="right") - 1
    return np.bincount(places, side, len(edges) - 1).astype(int).tolist()[: len(edges) - 1]


def _grid(low: float, high: float, steps: int) -> list[float]:
    """Round numbers from `low` or below to above `high`, at most `steps` apart steps."""
    wanted = max((high - low) / steps, 1e-9)
    power = math.floor(math.log10(wanted))
    factor, power = next(
        (factor, exponent)
        for exponent in (power, power + 1)
        for factor in (1, 2, 5)
        if factor * 10.0**exponent >= wanted * (1 - 1e-9)
    )
    digits = max(-power, 0)
    step = factor * 10.0**power
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return [round(number * step, digits) for number in range(first, last + 1)]


def _named(report: Report) -> list[tuple[str, float]]:
    """The finite thresholds of the figures, with what each is."""
    found: list[tuple[str, float]] = []
    for row in report.rows:
        found += [
            (f"{row.scenario}, FMR below {100 * limit:g} %", row.figures.at(limit).threshold)
            for limit in row.limits
            if row.resolved(limit)
        ]
        found.append((f"{row.scenario}, equal error rate", row.figures.eer.threshold))
        found += _optional(row)
    for row in report.rows:
        for fixed in row.drift:
            if "U-U" not in report:
                found.append((f"U-U, FMR below {100 * fixed.limit:g} %", fixed.threshold))
    return [(label, threshold) for label, threshold in dict(found).items() if math.isfinite(threshold)]


def _optional(row: Row) -> list[tuple[str, float]]:
    try:
        threshold = row.zero_fmr.threshold
    except UsageError:
        return []
    return [] if threshold is None else [(f"{row.scenario}, no false match", threshold)]
