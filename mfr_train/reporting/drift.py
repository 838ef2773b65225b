"""What a threshold that was fixed on unmasked faces does to masked ones, as NIST shows it.

NIST joins the points of one threshold on the DET curves of unmasked and masked faces (Ngan et al., NISTIR 8311 and
8331): the further a line leads to the right or up, the more errors of a kind the masks add.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .curve_data import deviate
from .given import Evaluation

GAP = 0.4
"""Normal deviates between the rate 0 and the lowest other one."""


def panels(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each evaluation with thresholds of U-U, the points of each threshold in the order of the scenarios."""
    made = []
    for number, each in enumerate(evaluations):
        limits = sorted({fixed.limit for row in each.report.rows for fixed in row.drift}, reverse=True)
        paths = [path for path in (_path(each, limit) for limit in limits) if len(path["points"]) > 1]
        if paths:
            points = [point for path in paths for point in path["points"]]
            zeros = [_place(points, *side) for side in (("x", "fmr", "impostor"), ("y", "fnmr", "genuine"))]
            made.append(
                {
                    "id": f"drift-{number}",
                    "name": each.name,
                    "paths": paths,
                    "zero": zeros,
                    "domain": _domain(points, zeros),
                    "scenarios": list(dict.fromkeys(point["scenario"] for point in points)),
                }
            )
    return made


def _path(each: Evaluation, limit: float) -> dict[str, Any]:
    points = []
    for row in each.report.rows:
        if row.scenario == "U-U" and limit in row.limits:
            at = row.figures.at(limit)
            fmr, fnmr = at.fmr, at.fnmr
        elif any(fixed.limit == limit for fixed in row.drift):
            fmr, fnmr = float(row.fmr_at_uu(limit)), float(row.at_uu(limit))
        else:
            continue
        counts = {"genuine": row.figures.genuine, "impostor": row.figures.impostor}
        points.append({"scenario": row.scenario, "fmr": fmr, "fnmr": fnmr, **counts})
    return {"limit": f"{100 * limit:g} %", "points": points}


def _place(points: Sequence[dict[str, Any]], axis: str, rate: str, pairs: str) -> float | None:
    """Places points on an axis of normal deviates. Returns where the rate 0, which has none, stands; None if no rate
    is 0.

    That is one place for all scenarios, below every rate and below one error among the most pairs.
    """
    rates = [point[rate] or 1 / point[pairs] for point in points]
    zero = round(deviate(min(rates)) - GAP, 4) if not all(point[rate] for point in points) else None
    for point in points:
        point[axis] = deviate(point[rate]) if point[rate] or zero is None else zero
    return zero


def _domain(points: Sequence[dict[str, Any]], zeros: Sequence[float | None]) -> list[float]:
    """The axes hold all points with room around them, and the rate of one error if a rate is 0."""
    ends = []
    for axis, zero in zip(("x", "y"), zeros, strict=True):
        values = [point[axis] for point in points] + ([] if zero is None else [zero + 2 * GAP])
        ends += [round(min(values) - 0.3, 4), round(min(max(values) + 0.3, 3.2), 4)]
    return ends
