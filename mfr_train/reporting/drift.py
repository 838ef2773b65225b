"""What a threshold that was fixed on unmasked faces does to masked ones, as NIST shows it.

NIST joins the points of one threshold on the DET curves of unmasked and masked faces (Ngan et al., NISTIR 8311 and
8331): the further a line leads to the right or up, the more errors of a kind the masks add.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .curve_data import deviate
from .given import Evaluation


def panels(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """For each evaluation with thresholds of U-U, the points of each threshold in the order of the scenarios."""
    made = []
    for number, each in enumerate(evaluations):
        limits = sorted({fixed.limit for row in each.report.rows for fixed in row.drift}, reverse=True)
        paths = [path for path in (_path(each, limit) for limit in limits) if len(path["points"]) > 1]
        if paths:
            points = [point for path in paths for point in path["points"]]
            made.append(
                {
                    "id": f"drift-{number}",
                    "name": each.name,
                    "paths": paths,
                    "domain": _domain(points),
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
        x, y = max(fmr, 1 / row.figures.impostor / 2), max(fnmr, 1 / row.figures.genuine / 2)
        points.append({"scenario": row.scenario, "fmr": fmr, "fnmr": fnmr, "x": deviate(x), "y": deviate(y)})
    return {"limit": f"{100 * limit:g} %", "points": points}


def _domain(points: Sequence[dict[str, Any]]) -> list[float]:
    """The axes hold all points with room around them."""
    ends = []
    for axis in ("x", "y"):
        values = [point[axis] for point in points]
        ends += [round(min(values) - 0.3, 4), round(min(max(values) + 0.3, 3.2), 4)]
    return ends
