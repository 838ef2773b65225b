"""What the figures of a page cannot say: computed from the reports, the largest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maskgen.errors import shown

from ..evaluation.metrics import FEW_ERRORS
from . import cells
from .data_card import DataCard
from .given import Evaluation, Given

FEW_PEOPLE = 100
"""With fewer people an interval over people is wide, and its ends are themselves uncertain."""


@dataclass(frozen=True, order=True)
class Caveat:
    """A sentence, with its weight: the larger, the more it limits."""

    weight: int
    text: str


def caveats(given: Given, cards: Sequence[DataCard], synthetic: bool) -> list[str]:
    """The sentences, the largest caveat first; equal weights stay in order."""
    found = [
        *_leaks(cards),
        *(caveat for each in given.evaluations for caveat in _of_report(each, len(given.evaluations) > 1)),
        *_together(given),
        *([Caveat(40, SYNTHETIC)] if synthetic else []),
        *([Caveat(10, "Thresholds were read on the people whom they are applied to; on other people they drift more.")]
          if any(row.drift for report in given.reports for row in report.rows) else []),
    ]  # fmt: skip
    return list(dict.fromkeys(each.text for each in sorted(found, key=lambda each: -each.weight)))


SYNTHETIC = (
    "The masks are synthetic: they hide the same part of a face as real ones, but real masks fold, shine and are worn "
    "in other ways, so errors on them can differ."
)


def _leaks(cards: Sequence[DataCard]) -> Iterator[Caveat]:
    for card in cards:
        for found, text in card.checks:
            if found:
                yield Caveat(90, text)


def _of_report(each: Evaluation, several: bool) -> Iterator[Caveat]:
    report, head = each.report, f"{each.name}: " if several else ""
    if report.subjects < FEW_PEOPLE:
        weight = 80 if report.subjects < 30 else 60
        people = cells.plural(report.subjects, "person", "people")
        yield Caveat(weight, f"{head}Only {people} were compared: other people can give quite different figures.")
    if any(row.intervals is None for row in report.rows):
        yield Caveat(75, f"{head}There are no intervals, so chance differences cannot be told from real ones.")
    few = sorted({f"{row.scenario} {_label(name)}" for row in report.rows for name in row.few})
    if few:
        yield Caveat(
            55, f"{head}Fewer than {FEW_ERRORS} expected errors are behind {', '.join(few)}: take these as hints."
        )
    short = sorted({limit for row in report.rows for limit in row.limits if not row.resolved(limit)}, reverse=True)
    for limit in short:
        yield Caveat(50, f"{head}An FMR below {100 * limit:g} % needs more than {1 / limit:,.0f} impostor pairs.")
    lost = sum(row.lost_genuine for row in report.rows)
    failed = sum(report.failures.values())
    if failed:
        share = failed / (failed + report.photographs)
        more = f", and {cells.plural(lost, 'genuine pair')} with them" if lost else ""
        yield Caveat(
            45 if share < 0.02 else 58,
            f"{head}{cells.plural(failed, 'photograph')} ({100 * share:.1f} %) could not be used{more}: people who "
            "cannot be enrolled are not among the errors.",
        )
    elif not report.date:
        yield Caveat(35, f"{head}This report is of an older version, which did not count failures.")
    for row in report.rows:
        if row.binned:
            bound = max(
                (100 * value for name, value in row.figures.bounds.items() if name in ("eer", "fmr100")), default=0
            )
            yield Caveat(15, f"{head}{row.scenario} was counted in bins: its rates are within {bound:.2g} points.")
    for note in report.notes:
        if "the model was trained on" not in note:  # it is among the checks of the data
            yield Caveat(30, f"{head}{shown(note)}")


def _together(given: Given) -> Iterator[Caveat]:
    if len({report.data for report in given.reports if report.settings.embeddings is None}) > 1:
        yield Caveat(85, "The evaluations are on different data, so their figures are not comparable with each other.")
    if len(given.reports) > 1 and not given.comparisons and not given.ablations:
        yield Caveat(52, "Overlapping intervals do not say that two models are equal; mfr compare tests differences.")
    if any(report.settings.run for report in given.reports):
        yield Caveat(42, "Each trained model is one run with one seed; another seed can give other figures.")


def _label(name: str) -> str:
    if name.startswith("fnmr_at_uu_"):
        return f"FNMR at U-U {name.removeprefix('fnmr_at_uu_').upper()}"
    return name.replace("_", " ").upper()
