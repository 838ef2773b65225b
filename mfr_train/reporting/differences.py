"""Ablations and comparisons: figures of each row or system, differences, and what can be concluded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from maskgen.errors import shown
from maskgen.page.page import Cell, Table, Value
from maskgen.page.text import NAME, clip, plural

from ..ablation.ablation_files import RESULT as ABLATION
from ..comparison.comparison_files import RESULT as COMPARISON
from ..comparison.paired import HIGHER_IS_BETTER
from ..evaluation import limits
from . import cells
from .given import Result, damaged

FIGURES = {"fmr100": "FMR100 %", "fmr10": "FMR10 %", "eer": "EER %", "auc": "AUC", "gmean": "GMean", "imean": "IMean"}


@dataclass(frozen=True)
class Comparison:
    """Rows or systems on the same pairs."""

    id: str
    title: str
    about: str
    conclusions: list[str]
    tables: list[Table]
    chart: dict[str, Any]
    notes: list[str]


def ablations(results: Sequence[Result]) -> list[Comparison]:
    """The ablations. Raises `MaskgenError` for a damaged one."""
    return _read(results, _ablation, ABLATION)


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """The comparisons. Raises `MaskgenError` for a damaged one."""
    return _read(results, _comparison, COMPARISON)


def _read(results: Sequence[Result], read: Any, name: str) -> list[Comparison]:
    found = []
    for number, each in enumerate(results):
        try:
            found.append(read(each, f"{name.removesuffix('.json')}-{number}"))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise damaged(each.folder / name) from None
    return found


def _ablation(given: Result, identifier: str) -> Comparison:
    facts = given.facts
    figures = [
        (scenario, row["row"], len(row["runs"]) or 1, {
            name: (each["mean"], each["interval"], each["runs"]) for name, each in found["figures"].items()
        })
        for row in facts["rows"]
        for scenario, found in row["scenarios"].items()
    ]  # fmt: skip
    return Comparison(
        identifier,
        clip(given.folder.name, NAME),
        f"Rows share one frozen network and {plural(facts['subjects'], 'test subject')}; means over runs, 95 % "
        "intervals over subjects.",
        [shown(text) for text in facts["conclusions"]],
        [_figures("row", figures), _steps("row", "minus the row above", facts["differences"])],
        _chart(facts["settings"]["figure"], figures),
        [shown(note) for note in facts["notes"]],
    )


def _comparison(given: Result, identifier: str) -> Comparison:
    facts = given.facts
    figures: Figures = [
        (scenario, name, 1, {figure: (value, ends, []) for figure, (value, *ends) in found.items()})
        for scenario, its in facts["scenarios"].items()
        for name, found in its["figures"].items()
    ]
    hidden = {
        (scenario, figure)
        for scenario, its in facts["scenarios"].items()
        for figure in FIGURES
        if not limits.shows(figure, its["impostor"])
    }
    counts = "; ".join(
        f"{scenario}: {its['genuine']:,} genuine and {its['impostor']:,} impostor pairs"
        for scenario, its in facts["scenarios"].items()
    )
    first = facts["systems"][0]["name"]
    return Comparison(
        identifier,
        clip(given.folder.name, NAME),
        f"All systems on the same pairs ({counts}).",
        [shown(text) for text in facts["conclusions"]],
        [
            _figures("system", figures, hidden),
            _steps("system", f"minus {clip(first, NAME)}", facts["differences"], hidden),
        ],
        _chart(facts["settings"]["figure"], figures, hidden),
        [shown(note) for note in facts["notes"]],
    )


Figures = Sequence[tuple[str, str, int, dict[str, tuple[float, Any, list[float]]]]]
"""Scenario, name, number of runs, and by figure its value, interval and the values of the runs."""

Hidden = Collection[tuple[str, str]]
"""Scenarios and figures for which there are too few impostor pairs."""


def _figures(kind: str, figures: Figures, hidden: Hidden = ()) -> Table:
    names = [name for name in FIGURES if all(name in found for *_, found in figures)]
    runs = any(count > 1 for _, _, count, _ in figures)
    heads = ("scenario", kind, *(["runs"] if runs else []), *(FIGURES[name] for name in names))
    rows: list[list[Value]] = [
        [
            scenario,
            name,
            *([count] if runs else []),
            *(cells.unresolved() if (scenario, each) in hidden else _cell(each, *found[each][:2]) for each in names),
        ]
        for scenario, name, count, found in sorted(figures, key=lambda line: _order(line[0], figures))
    ]
    return Table(f"Figures of each {kind}", heads, rows)


def _order(scenario: str, figures: Figures) -> int:
    return list(dict.fromkeys(each for each, *_ in figures)).index(scenario)


def _steps(kind: str, what: str, differences: Sequence[dict[str, Any]], hidden: Hidden = ()) -> Table:
    rows: list[list[Value]] = []
    for each in differences:
        if each["figure"] in FIGURES:
            adjusted = each.get("adjusted_p")
            p = [Cell("" if value is None else f"{value:.3g}", value) for value in (each.get("p"), adjusted)]
            cell = _cell(each["figure"], each["value"], [each["low"], each["high"]], "+")
            if (each["scenario"], each["figure"]) in hidden:
                cell = cells.unresolved()
            rows.append([each["scenario"], each["system"], FIGURES[each["figure"]].replace("%", "points"), cell, *p])
    heads = ("scenario", kind, "figure", "difference", "p", "p, corrected")
    return Table(f"Differences: each {kind} {what}, over the same draws of subjects", heads, rows)


def _cell(figure: str, value: float, ends: Sequence[float] | None, sign: str = "") -> Cell:
    scale, digits = (100.0, 2) if figure not in (*HIGHER_IS_BETTER, "gmean", "imean") else (1.0, 4)
    return cells.with_interval(value, ends, scale, digits, sign=sign)


def _chart(figure: str, figures: Figures, hidden: Hidden = ()) -> dict[str, Any]:
    scale = 1.0 if figure in HIGHER_IS_BETTER else 100.0
    points = []
    for scenario, name, _, found in figures:
        if (scenario, figure) in hidden:
            continue
        value, ends, runs = found[figure]
        low, high = ends or (value, value)
        points.append(
            {
                "scenario": scenario,
                "name": clip(name, 32),
                "value": scale * value,
                "low": scale * low,
                "high": scale * high,
                "runs": [scale * run for run in runs] if len(runs) > 1 else [],
            }
        )
    return {"label": FIGURES[figure], "points": points}
