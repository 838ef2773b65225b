"""Three sentences for a person who decides: what was measured, the main result, and the largest caveat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskgen.page.text import NAME, clip, plural

from ..evaluation.report import Report
from . import cells
from .figure_tables import main_figure, value
from .given import Evaluation, Given

MAIN = ("U-M", "M-M", "U-U")
"""The scenario of the main result: the first of these that all models have."""

TILES, COLORS = 6, 7
"""Figures beside the sentences, and colours of models."""

MOST = 4
"""Models whose figures are in the sentence."""

WORDS = {
    "U-U": "Without masks",
    "U-M": "Comparing masked faces with unmasked references",
    "M-M": "Comparing masked faces with each other",
}


def summary(given: Given, caveats: Sequence[str], synthetic: bool) -> list[str]:
    """The sentences; fewer if there is no evaluation."""
    if not given.evaluations:
        return [_without(given), *caveats[:1]]
    return [_what(given.evaluations, synthetic), _result(given.evaluations), *caveats[:1]]


def _without(given: Given) -> str:
    parts = [
        plural(len(found), name)
        for found, name in (
            (given.runs, "run"),
            (given.ablations, "ablation"),
            (given.comparisons, "comparison"),
            (given.explanations, "explanation"),
        )
        if found
    ]
    return f"This page shows {' and '.join(parts)}; it holds no evaluation, so it says nothing about error rates."


def _what(evaluations: Sequence[Evaluation], synthetic: bool) -> str:
    names = _listed([clip(each.name, NAME) for each in evaluations])
    groups: dict[tuple[str, int, int], None] = {}
    for report in (each.report for each in evaluations):
        groups[cells.data_name(report), report.subjects, report.photographs] = None
    data = _listed(
        [
            f"{plural(people, 'person', 'people')} in {plural(photographs, 'photograph')} of {name}"
            for name, people, photographs in groups
        ]
    )
    masked = any(row.scenario != "U-U" for each in evaluations for row in each.report.rows)
    masks = f", with and without {'synthetic ' if synthetic else ''}masks" if masked else ""
    return f"{names} {'was' if len(evaluations) == 1 else 'were'} measured on {data}{masks}."


def _result(evaluations: Sequence[Evaluation]) -> str:
    reports = [each.report for each in evaluations]
    scenario = next((name for name in MAIN if all(name in report for report in reports)), reports[0].rows[0].scenario)
    having = [each for each in evaluations if scenario in each.report]
    figure = main_figure([each.report for each in having], scenario)
    rates = {each.name: value(each.report[scenario], figure) for each in having}
    best = sorted(rates, key=lambda name: rates[name])[:MOST]
    few = f" (the best {MOST} of {len(rates)} models)" if len(rates) > MOST else ""
    start = f"{WORDS[scenario]} ({scenario}), "
    if figure == "eer":
        of = [cells.in_words(rates[name]) + (f" for {clip(name, NAME)}" if len(rates) > 1 else "") for name in best]
        told = f"the equal error rate is {_listed(of)}{few}"
    else:
        of = [
            f"{clip(name, NAME)} {'rejects ' if not number else ''}{cells.in_words(rates[name])}"
            for number, name in enumerate(best)
        ]
        told = f"{_listed(of)} of genuine pairs at a false match rate below 1 %{few}"
    return f"{start}{told}{_without_masks(reports[0], scenario, figure) if len(rates) == 1 else ''}."


def _without_masks(report: Report, scenario: str, figure: str) -> str:
    if scenario == "U-U" or "U-U" not in report or main_figure([report], "U-U") != figure:
        return ""
    return f", against {100 * value(report['U-U'], figure):.2f} % without masks"


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


@dataclass(frozen=True)
class Headline:
    """A figure to read first: large, with what it is below."""

    text: str
    what: str
    interval: str
    color: int


def headlines(evaluations: Sequence[Evaluation]) -> list[Headline]:
    """The main figure of each scenario, or of the main scenario if there are many models."""
    every = list(dict.fromkeys(row.scenario for each in evaluations for row in each.report.rows))
    scenarios = every if len(evaluations) * len(every) <= TILES else [name for name in MAIN if name in every][:1]
    found: list[Headline] = []
    for color, each in enumerate(evaluations):
        for scenario in scenarios:
            if scenario not in each.report or len(found) == TILES:
                continue
            figure = main_figure([other.report for other in evaluations], scenario)
            rate = value(each.report[scenario], figure)
            ends = rate.interval
            of = "FNMR at FMR below 1 %" if figure == "fmr100" else "equal error rate"
            model = f", {clip(each.name, 30)}" if len(evaluations) > 1 else ""
            interval = f"95 % interval {100 * ends[0]:.2f} to {100 * ends[1]:.2f} %" if ends else "no interval"
            star = "*" if rate.few_errors else ""
            found.append(Headline(f"{100 * rate:.2f} %{star}", f"{scenario}{model}: {of}", interval, color % COLORS))
    return found
