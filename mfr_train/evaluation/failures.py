"""Photographs that could not be used: who they are of, why, and the genuine pairs that they would have been in."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskgen.errors import MaskgenError

from .scenarios import MASKED, Pairing, Photographs, pair_counts, pairing
from .table_formats import no_formula

FAILURES = "failures.csv"
COLUMNS = ("photograph", "subject", "role", "masked", "variant", "reason")


@dataclass(frozen=True)
class Failure:
    """A photograph that could not be used, or a picture of a protocol table in one of its roles.

    A photograph of a data set has neither an unmasked nor a masked picture: its `role` is empty and `masked` None. Its
    `variant` is empty if it would have worn every mask.
    """

    photograph: str
    subject: str
    reason: str
    key: str = ""
    role: str = ""
    masked: bool | None = None
    variant: str = ""


def by_reason(failed: Iterable[Failure]) -> dict[str, int]:
    """How many photographs failed, by reason; one in several roles counts once."""
    reasons = {(each.photograph, each.subject): each.reason for each in failed}
    return dict(sorted(Counter(reasons.values()).items()))


def by_variant(failed: Iterable[Failure]) -> dict[str, dict[str, int]]:
    """How many photographs failed, by the variant of their mask and by reason, where the variant is known."""
    found: dict[str, Counter[str]] = {}
    for each in failed:
        if each.variant:
            found.setdefault(each.variant, Counter())[each.reason] += 1
    return {variant: dict(sorted(found[variant].items())) for variant in sorted(found)}


def write(failed: Sequence[Failure], folder: Path) -> None:
    """Writes failures.csv; nothing if there are none."""
    if not failed:
        return
    try:
        with (folder / FAILURES).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for each in failed:
                masked = "" if each.masked is None else int(each.masked)
                named = map(no_formula, (each.photograph, each.subject, each.role))
                writer.writerow((*named, masked, each.variant, each.reason))
    except OSError as error:
        raise MaskgenError(f"cannot write {FAILURES} ({error.strerror}); give another --out.") from None


def with_failed(photographs: Photographs, identities: Sequence[str], failed: Sequence[Failure]) -> Photographs:
    """The photographs of a data set as if those that failed had been usable. Those of nobody are left out."""
    lost = [each for each in failed if each.subject]
    people = [*(identities[subject] for subject in photographs.subjects), *(each.subject for each in lost)]
    return replace(
        photographs,
        keys=np.array([*photographs.keys, *(each.key for each in lost)], str),
        subjects=np.unique(people, return_inverse=True)[1],
        drawn=np.array([*photographs.drawn, *(each.variant for each in lost)], str),
        colors=None,
    )


def lost_genuine(
    scenario: str,
    found: Pairing,
    photographs: Photographs,
    whole: Photographs,
    seed: int,
    masks: Sequence[str] | None = None,
) -> int:
    """The genuine pairs that a scenario would also have if no photograph had failed."""
    every = pairing(scenario, whole, seed, masks)
    return pair_counts(every, whole.subjects)[0] - pair_counts(found, photographs.subjects)[0]


def lost_of_list(pairs: Iterable[tuple[str, str]], scenario: str, masks: Sequence[str] | None = None) -> int:
    """How many genuine pairs of a list a scenario lost: `pairs` has the variants of each failed one, '' for any."""
    return sum(
        all(
            not masked or masks is None or not variant or variant in masks
            for masked, variant in zip(MASKED[scenario], pair, strict=True)
        )
        for pair in pairs
    )


def what_happened(scenario: str, found: Pairing, failed: Sequence[Failure]) -> str:
    """Why a side of a scenario has no picture; '' if both have."""
    if found.listed is not None:
        return "" if len(found.listed[0]) else "no pair of the list has such pictures; choose another --scenario."
    for role, masked, side in zip(
        ("reference", "probe"), MASKED[scenario], (found.reference, found.probe), strict=True
    ):
        if not len(side.rows):
            reasons = Counter(
                each.reason for each in failed if each.role in ("", role) and each.masked in (None, masked)
            )
            kind = f"{'masked' if masked else 'unmasked'} {role}"
            if not reasons:
                return f"there is no {kind}; choose another --scenario."
            why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            advice = "; --detector hog,yunet finds most faces with masks" if "no_face" in reasons else ""
            return f"none of the {sum(reasons.values())} {kind}s can be used ({why}){advice}."
    return ""
