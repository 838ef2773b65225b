"""Hit rates by rank (CMC), as what the page draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .given import Evaluation


def panels(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """A panel for each scenario, with a line and perhaps a band for each evaluation that searched a gallery."""
    found: dict[str, dict[str, Any]] = {}
    for color, each in enumerate(evaluations):
        for its in each.report.identification:
            panel = found.setdefault(its.scenario, {"id": f"cmc-{its.scenario}", "title": its.scenario, "lines": []})
            ends = its.cmc_intervals or [(rate, rate) for rate in its.cmc]
            points = [
                [rank, *(round(100 * rate, 4) for rate in (hit, *band))]
                for rank, (hit, band) in enumerate(zip(its.cmc, ends, strict=True), 1)
            ]
            panel["lines"].append({"name": each.name, "color": color, "points": points})
    return list(found.values())
