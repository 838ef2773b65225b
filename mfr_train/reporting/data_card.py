"""The data of the reports: counts, rejects, and whether people or pictures are in two places.

What can be opened is looked at; of the rest it is said that it could not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskgen import Dataset
from maskgen.dataset.schema import SPLITS
from maskgen.errors import MaskgenError, shown
from maskgen.inspecting.contents import WHOLE, Contents, contents_of
from maskgen.inspecting.duplicates import duplicates
from maskgen.inspecting.sample import Sample, sample
from maskgen.page.page import Table, Value
from maskgen.page.text import clip, plural

from ..evaluation.report import Report, is_leak
from ..networks.run_files import identities_of
from .given import Given

MAX_ROWS = 20_000
"""Photographs of which identical ones are looked for; of more, so many evenly spaced ones."""

EXAMPLES = 3
"""Names that are given as examples."""


@dataclass(frozen=True)
class DataCard:
    """One data set or protocol table.

    Attributes:
        title: Its name.
        facts: Names and values.
        splits: Rows and rejects of each split, if it could be opened.
        rejects: Rejects by reason with examples, if there are any.
        checks: Sentences about people and pictures in two places; `leak` of each says whether something was found.
        unopened: Why it could not be looked at; '' if it was.
    """

    title: str
    facts: list[tuple[str, str]]
    splits: Table | None
    rejects: Table | None
    checks: list[tuple[bool, str]]
    unopened: str


def cards(given: Given, datasets: Mapping[str, Dataset | None]) -> list[DataCard]:
    """A card for each data set or table that the reports name."""
    found: dict[str, Report] = {}
    for report in given.reports:
        found.setdefault(report.data, report)
    return [_card(name, report, datasets.get(name), given) for name, report in found.items()]


def _card(name: str, report: Report, dataset: Dataset | None, given: Given) -> DataCard:
    measured = [
        ("people compared", f"{report.subjects:,}"),
        ("photographs compared", f"{report.photographs:,}"),
        ("split", report.settings.split),
    ]
    checks = _trained_people(name, given)
    if dataset is None:
        if report.settings.protocol is not None:
            why = "It is a protocol table; its pictures are those of its authors."
        elif report.settings.embeddings is not None:
            why = "It is a file of embeddings; there are no pictures."
        else:
            why = "It cannot be opened here, so its rejects and duplicates are not known."
        return DataCard(shown(name), measured, None, None, checks, why)
    made = dataset.info["settings"]
    facts = [
        *measured,
        ("masks", ", ".join(dataset.variants)),
        ("colours", shown(made.get("colors", ""))),
        ("style of the masks", shown(made.get("style", "flat"))),
        ("detector", shown(made.get("detector", "hog"))),
        ("training identities", f"{len(dataset.info['identities']):,}"),
        ("fingerprint", dataset.fingerprint[:16]),
        ("content", dataset.content[:16]),
        ("built with", ", ".join(f"{key} {shown(value)}" for key, value in dataset.info["versions"].items())),
    ]
    try:
        there = contents_of(dataset)
        looked_at = sample(there, MAX_ROWS)
        checks = [_people(there), *_pictures(looked_at), *checks]
        rejects = _rejects(there)
    except (MaskgenError, OSError) as error:
        return DataCard(shown(name), facts, _splits(dataset), None, checks, f"It is damaged: {error}")
    broken = {part.name: part.state for part in there.parts if part.state != WHOLE} | looked_at.broken
    damage = "".join(f"It is damaged: {shard}: {state}." for shard, state in [*broken.items()][:1])
    return DataCard(shown(name), facts, _splits(dataset), rejects, checks, damage)


def _splits(dataset: Dataset) -> Table:
    counts = dataset.info["counts"]
    rows: list[list[Value]] = [
        [split, dataset.count(split), sum(counts[split]["rejects"].values())] for split in SPLITS if split in counts
    ]
    return Table("Photographs of each split", ("split", "usable", "rejected"), rows)


def _rejects(there: Contents) -> Table | None:
    counts = there.reasons
    examples: dict[str, list[str]] = {}
    for row in there.examples(len(counts), EXAMPLES):
        examples.setdefault(row["reason"], []).append(f"{clip(row['source'], 48)}: {clip(row['detail'], 80)}")
    rows: list[list[Value]] = [
        [reason, count, "; ".join(examples.get(reason, []))]
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table("Rejected photographs by reason", ("reason", "photographs", "examples"), rows) if rows else None


def _people(there: Contents) -> tuple[bool, str]:
    """Whether an identity is in the test split and in another one, by its name in the plan."""
    people = there.people()
    trained = (people.get("train", set()) | people.get("val", set())) - {""}
    both = sorted(trained & people.get("test", set()))
    if not trained:
        return False, "All identities are in the test split; nothing was kept for training."
    if both:
        return True, f"{plural(len(both), 'identity', 'identities')} in training and in test: {_some(both)}."
    return False, "No identity is both in training and in test, by their names."


def _pictures(measured: Sample) -> list[tuple[bool, str]]:
    """Whether two photographs have the same stored pixels, in two splits or of two people."""
    groups, uncompared = duplicates(measured)
    compared = len(measured.rows) - uncompared
    of = f"{compared:,}" if compared == measured.total else f"{compared:,} of {measured.total:,}"
    found = [[measured.rows[number] for number in group.numbers] for group in groups]
    crossing = sum(len({row.split for row in rows}) > 1 for rows in found)
    names = sorted({row.identity for rows in found if len({row.identity for row in rows}) > 1 for row in rows})
    pairs = sum(math.comb(len(rows), 2) for rows in found)
    told = [
        (True, f"{plural(crossing, 'picture is', 'pictures are')} in two splits with identical bytes.")
        if crossing
        else (False, f"No picture is in two splits with identical bytes ({of} compared).")
    ]
    if names:
        told.append((True, f"Identical pictures carry two names, so one may be a duplicate person: {_some(names)}."))
    else:
        told.append((False, "No picture carries the names of two people."))
    if pairs:
        told.append(
            (True, f"{plural(pairs, 'pair of photographs has', 'pairs of photographs have')} identical pictures.")
        )
    return told


def _trained_people(name: str, given: Given) -> list[tuple[bool, str]]:
    """Whether the models of a data set's reports were trained on people whom they were measured on, by their names."""
    told = []
    for each in given.evaluations:
        run = each.report.settings.run
        if each.report.data != name or run is None:
            continue
        trained = identities_of(run)
        seen = next((note for note in each.report.notes if is_leak(note)), "")
        if seen:
            told.append((True, f"{each.name}: {shown(seen)}"))
        elif trained:
            count = plural(len(trained), "identity", "identities")
            told.append((False, f"{each.name} was trained on {count}; none has the name of a person compared here."))
    return told


def _some(names: Sequence[str]) -> str:
    shortened = ", ".join(clip(each, 40) for each in names[:EXAMPLES])
    return shortened + (f" and {len(names) - EXAMPLES:,} more" if len(names) > EXAMPLES else "")
