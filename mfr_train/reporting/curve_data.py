"""ROC and DET curves with their bands, as what the page draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from ..evaluation import curve_files, curves
from ..evaluation.counts import Floats
from ..evaluation.curves import Curve
from ..evaluation.report import Row
from .given import Evaluation
from .score_arrays import ScoreArrays

CELL = 0.02
"""Points of a curve that lie in one square of so many normal deviates are drawn as one: it is below two pixels."""

TICKS = (1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999)
"""Rates that are written on the axes of normal deviates."""

_WIDEST = 0.2
"""No axis begins at a higher rate than this, however few pairs there are."""

Found = Mapping[tuple[str, str], Curve]
"""Curves by the names of the evaluation and the scenario."""


def curves_of(each: Evaluation, scores: Mapping[str, ScoreArrays]) -> Found:
    """The curves that an evaluation wrote; where there are none, those of the scores, which have no band."""
    found = {}
    written = curve_files.read_curves(each.report.out) or {}
    for row in each.report.rows:
        if row.scenario in written:
            found[each.name, row.scenario] = written[row.scenario]
        elif row.scenario in scores:
            found[each.name, row.scenario] = curves.curve(scores[row.scenario].counts)
    return found


def panels(evaluations: Sequence[Evaluation], found: Found) -> list[dict[str, Any]]:
    """A panel for each scenario with a line for each model; of one model a single panel with a line per scenario."""
    colors = {each.name: number for number, each in enumerate(evaluations)}
    names = list(dict.fromkeys(scenario for _, scenario in found))
    if len({name for name, _ in found}) == 1 and len(names) > 1:
        evaluation = next(each for each in evaluations if (each.name, names[0]) in found)
        lines = [
            _line(scenario, number, found[evaluation.name, scenario], evaluation.report[scenario])
            for number, scenario in enumerate(names)
        ]
        return [{"id": "all", "title": "", "lines": lines, **_ends(lines, list(found.values()))}]
    made = []
    for scenario in names:
        lines = [
            _line(each.name, colors[each.name], found[each.name, scenario], each.report[scenario])
            for each in evaluations
            if (each.name, scenario) in found
        ]
        its = [curve for (_, name), curve in found.items() if name == scenario]
        made.append({"id": scenario, "title": scenario, "lines": lines, **_ends(lines, its)})
    return made


def ticks() -> list[list[Any]]:
    """Normal deviates with the rates that are written there."""
    return [[deviate(rate), f"{100 * rate:g}"] for rate in TICKS]


def deviate(rate: float) -> float:
    """The standard normal deviate of a rate; 0 and 1 are far away."""
    return round(NormalDist().inv_cdf(min(max(rate, 1e-9), 1 - 1e-9)), 4)


def _ends(lines: Sequence[dict[str, Any]], found: Sequence[Curve]) -> dict[str, Any]:
    """Where the axes begin and end: at one error of the curve with the most pairs."""
    left = min(_WIDEST, *(1 / curve.impostor for curve in found))
    bottom = min(_WIDEST, *(1 / curve.genuine for curve in found))
    top = max(0.4, *(line["fnmr"][0] for line in lines))
    return {
        "left": left,
        "bottom": bottom,
        "det": [deviate(left), deviate(0.5), deviate(bottom), min(deviate(top) + 0.35, 3.6)],
        "banded": any(line["low"] is not None for line in lines),
        "touches": any(line["ends"] for line in lines),
    }


def _line(name: str, color: int, curve: Curve, row: Row) -> dict[str, Any]:
    """A staircase from the FMR of one false match on, and its operating points; rates also as normal deviates."""
    fmr = np.maximum(curve.fmr, 1 / curve.impostor)
    first = int(np.searchsorted(fmr, 1.0001 / curve.impostor)) - 1
    fmr, fnmr = fmr[first:], curve.fnmr[first:]
    zero = int(np.argmax(fnmr == 0))
    band = [] if curve.low is None or curve.high is None else [end[first:] for end in (curve.low, curve.high)]
    bottom = 1 / curve.genuine
    x, y = _deviates(fmr), _deviates(np.maximum(fnmr, bottom))
    chosen = _drawn(x, y, band)
    marks = [
        [limit, point.fmr, point.fnmr]
        for limit, point in sorted(row.figures.points.items() or _old_points(row))
        if row.resolved(limit)
    ]
    return {
        "name": name,
        "color": color,
        "ends": bool(fmr[zero] <= 0.5),
        "fmr": _rounded(fmr[chosen]),
        "fnmr": _rounded(fnmr[chosen]),
        "low": _rounded(band[0][chosen]) if band else None,
        "high": _rounded(band[1][chosen]) if band else None,
        "x": _rounded(x[chosen]),
        "y": _rounded(y[chosen]),
        "ylow": _rounded(_deviates(np.maximum(band[0], bottom / 10))[chosen]) if band else None,
        "yhigh": _rounded(_deviates(np.maximum(band[1], bottom / 10))[chosen]) if band else None,
        "zero": deviate(float(fmr[zero])),
        "zero_y": deviate(bottom),
        "marks": [
            {
                "limit": f"{100 * limit:g} %",
                "fmr": max(at_fmr, 1 / curve.impostor),
                "fnmr": at_fnmr,
                "x": deviate(max(at_fmr, 1 / curve.impostor)),
                "y": deviate(max(at_fnmr, bottom)),
            }
            for limit, at_fmr, at_fnmr in marks
        ],
    }


def _old_points(row: Row) -> list[tuple[float, Any]]:
    return [(limit, row.figures.at(limit)) for limit in row.limits]


def _drawn(x: Floats, y: Floats, band: Sequence[Floats]) -> Any:
    """The points that are not in the same small square as the one before."""
    sides = [x, y, *(_deviates(np.clip(end, 1e-6, 1 - 1e-6)) for end in band)]
    squares = np.stack([np.round(side / CELL) for side in sides])
    moved = (np.diff(squares) != 0).any(axis=0)
    return np.flatnonzero(np.concatenate([[True], moved]) | (np.arange(len(x)) == len(x) - 1))


def _deviates(rates: Floats) -> Floats:
    return np.array([deviate(float(rate)) for rate in rates])


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
