"""What the figures of a page cannot say: computed from the reports, the largest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maskgen.errors import shown
from maskgen.page.text import plural

from ..evaluation.metrics import FEW_ERRORS
from ..evaluation.report import Report, is_leak
from ..evaluation.rows import RATES
from ..networks.run_files import identities_of
from . import cells
from .data_card import DataCard
from .given import Given

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
        *_few_people(given),
        *_of_reports(given),
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


def _few_people(given: Given) -> Iterator[Caveat]:
    counts = list(dict.fromkeys((cells.data_name(each), each.subjects) for each in given.reports))
    for data, people in counts:
        if people < FEW_PEOPLE:
            of = f" of {data}" if len(counts) > 1 else ""
            told = f"Only {plural(people, 'person', 'people')}{of} were compared"
            yield Caveat(80 if people < 30 else 60, f"{told}: other people can give quite different figures.")


def _of_reports(given: Given) -> Iterator[Caveat]:
    """What limits each report, with the names of the models unless it limits all of them."""
    found: dict[Caveat, list[str]] = {}
    for each in given.evaluations:
        for caveat in _of_report(each.report):
            found.setdefault(caveat, []).append(each.name)
    for caveat, names in found.items():
        head = "" if len(names) == len(given.evaluations) else f"{', '.join(names)}: "
        yield Caveat(caveat.weight, head + caveat.text)


def _of_report(report: Report) -> Iterator[Caveat]:
    if any(row.intervals is None for row in report.rows):
        yield Caveat(75, "There are no intervals, so chance differences cannot be told from real ones.")
    few = sorted({f"{row.scenario} {name.upper()}" for row in report.rows for name in row.few if name in RATES})
    if few:
        yield Caveat(55, f"Fewer than {FEW_ERRORS} expected errors are behind {', '.join(few)}: take these as hints.")
    short = sorted({limit for row in report.rows for limit in row.limits if not row.resolved(limit)}, reverse=True)
    for limit in short:
        yield Caveat(50, f"An FMR below {100 * limit:g} % needs more than {1 / limit:,.0f} impostor pairs.")
    lost = sum(row.lost_genuine for row in report.rows)
    failed = sum(report.failures.values())
    if failed:
        share = failed / (failed + report.photographs)
        more = f", and {plural(lost, 'genuine pair')} with them" if lost else ""
        yield Caveat(
            45 if share < 0.02 else 58,
            f"{plural(failed, 'photograph')} ({100 * share:.1f} %) could not be used{more}: people who "
            "cannot be enrolled are not among the errors.",
        )
    elif not report.date:
        yield Caveat(
            35, "This report is of an older version, which did not count the genuine pairs that failures prevented."
        )
    if report.settings.embeddings is None and not (report.settings.run and identities_of(report.settings.run)):
        yield Caveat(
            41,
            "Whom this network was trained on is not known here: if it saw the people compared, its errors are too "
            "few.",
        )
    for row in report.rows:
        if row.binned:
            bound = max(
                (100 * value for name, value in row.figures.bounds.items() if name in ("eer", "fmr100")), default=0
            )
            yield Caveat(15, f"{row.scenario} was counted in bins: its rates are within {bound:.2g} points.")
    for note in report.notes:
        if not is_leak(note):  # it is among the checks of the data
            yield Caveat(30, shown(note))


def _together(given: Given) -> Iterator[Caveat]:
    if len({report.data for report in given.reports if report.settings.embeddings is None}) > 1:
        yield Caveat(85, "The evaluations are on different data, so their figures are not comparable with each other.")
    if len(given.reports) > 1 and not given.comparisons and not given.ablations:
        yield Caveat(52, "Overlapping intervals do not say that two models are equal; mfr compare tests differences.")
    if any(report.settings.run for report in given.reports):
        yield Caveat(42, "Each trained model is one run with one seed; another seed can give other figures.")
