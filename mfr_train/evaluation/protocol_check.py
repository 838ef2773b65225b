"""Checks a protocol table and its pictures before anything is measured on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskgen.errors import Rejected
from maskgen.imaging.decode import decode
from maskgen.imaging.landmarks import Landmarker
from maskgen.imaging.limits import MAX_BYTES

from ..defaults import SCENARIOS
from .protocol_kinds import count_mismatches
from .protocol_table import ROLES, Protocol, column_notes, protocol_pairing, read_protocol, single_notes, some_of
from .scenarios import pair_counts

MISSING = "missing"
_UNUSABLE_FILES = (MISSING, "unreadable", "empty", "not_an_image", "damaged", "too_large")
"""The reasons that are problems of a file; that no face is found in it is a property of the search."""


@dataclass(frozen=True)
class ScenarioCounts:
    """The pictures on each side of a scenario, and the pairs that `mfr eval` compares if every picture is usable."""

    scenario: str
    references: int
    probes: int
    genuine: int
    impostor: int


@dataclass(frozen=True)
class CheckedProtocol:
    """What a check found: `problems` make a table unfit to measure on, `notes` limit what is measured.

    `failures` are the pictures that cannot be used, by reason: positions in the table. `faces` says whether faces were
    searched for.
    """

    protocol: Protocol
    scenarios: tuple[ScenarioCounts, ...]
    failures: dict[str, list[int]]
    problems: list[str]
    notes: list[str]
    faces: bool


def check_protocol(
    path: Path,
    kind: str | None = None,
    landmarker: Landmarker | None = None,
    planned: Callable[[int], object] = lambda _: None,
    progress: Callable[[int], object] = lambda _: None,
) -> CheckedProtocol:
    """Reads a table and every picture of it, and compares its numbers with those of a published `kind`.

    With a `landmarker` faces are searched for, as for a model that aligns them. `planned` is called with the number of
    pictures, `progress` as they are done. Raises `UsageError` for a file that is not such a table.
    """
    protocol = read_protocol(path)
    planned(len(protocol.paths))
    failures: dict[str, list[int]] = {}
    hashes: dict[str, list[int]] = {}
    for number, picture in enumerate(protocol.paths):
        if reason := _read(picture, number, hashes, landmarker):
            failures.setdefault(reason, []).append(number)
        progress(1)
    counts = tuple(_scenarios(protocol))
    problems = [
        f"{_pictures(len(rows))} {reason}: {_labels(protocol, rows)}."
        for reason, rows in failures.items()
        if reason in _UNUSABLE_FILES
    ]
    copies = _copies(protocol, [rows for rows in hashes.values() if len(rows) > 1])
    problems += copies[True] + _unmeasured(counts) + (count_mismatches(kind, protocol) if kind else [])
    notes = copies[False] + single_notes(protocol) + _one_sided(protocol) + column_notes(protocol)
    return CheckedProtocol(protocol, counts, failures, problems, notes, landmarker is not None)


def _read(path: Path, number: int, hashes: dict[str, list[int]], landmarker: Landmarker | None) -> str:
    """Why a picture cannot be used; '' if it can. Adds its hash."""
    try:
        if not path.is_file():
            return MISSING
        if path.stat().st_size > MAX_BYTES:
            return "too_large"
        data = path.read_bytes()
    except (OSError, ValueError):  # a name that no file can have
        return "unreadable" if path.exists() else MISSING
    hashes.setdefault(hashlib.sha256(data).hexdigest(), []).append(number)
    try:
        image = decode(data)
    except Rejected as rejected:
        return rejected.reason
    [face] = landmarker.find_all([image], [None]) if landmarker else [None]
    return face.reason if isinstance(face, Rejected) else ""


def _scenarios(protocol: Protocol) -> Iterator[ScenarioCounts]:
    for scenario in SCENARIOS:
        pairing = protocol_pairing(scenario, protocol)
        if pairing is not None:
            genuine, impostor = pair_counts(pairing, protocol.subjects)
            yield ScenarioCounts(scenario, len(pairing.reference.rows), len(pairing.probe.rows), genuine, impostor)


def _copies(protocol: Protocol, same: Sequence[list[int]]) -> dict[bool, list[str]]:
    """Sentences about files with the same bytes, problems (True) and notes (False)."""
    roles: dict[int, set[str]] = {}
    for (role, _), pictures in protocol.sides.items():
        for row in pictures.tolist():
            roles.setdefault(row, set()).add(role)
    two_subjects, both_roles, one_role = [], [], []
    for rows in same:
        names = " = ".join(protocol.labels[row] for row in rows[:2])
        if len({int(protocol.subjects[row]) for row in rows}) > 1:
            two_subjects.append(names)
        elif len(set[str]().union(*(roles[row] for row in rows))) > 1:
            both_roles.append(names)
        else:
            one_role.append(names)
    kinds = (
        (True, two_subjects, "are of two subjects, so that a picture is compared with itself as an impostor"),
        (True, both_roles, "are references and probes, so that a picture is compared with itself"),
        (False, one_role, "have one role, so that each of their pairs counts more than once"),
    )
    found: dict[bool, list[str]] = {True: [], False: []}
    for problem, groups, what in kinds:
        if groups:
            found[problem].append(f"Files with the same bytes {what}: {some_of(groups, 100)}.")
    return found


def _unmeasured(counts: Sequence[ScenarioCounts]) -> list[str]:
    """Problems of scenarios that have both sides and nevertheless no pairs of a kind."""
    if not counts:
        return ["No scenario has references and probes."]
    return [
        f"{each.scenario} has no {kind} pairs and cannot be measured."
        for each in counts
        for kind, count in (("genuine", each.genuine), ("impostor", each.impostor))
        if not count
    ]


def _one_sided(protocol: Protocol) -> list[str]:
    """Sentences about subjects who are references only, or probes only, and so in no genuine pair."""
    people = {role: set[int]() for role in ROLES}
    for (role, _), rows in protocol.sides.items():
        people[role].update(protocol.subjects[rows].tolist())
    found = []
    for role, other in (ROLES, ROLES[::-1]):
        only = sorted(people[role] - people[other])
        if only:
            have = "subjects has" if len(only) == 1 else "subjects have"
            names = some_of([protocol.names[number] for number in only])
            found.append(
                f"{len(only):,} of {len(protocol.names):,} {have} no {other}, and so no genuine pair: {names}."
            )
    return found


def _labels(protocol: Protocol, rows: Sequence[int]) -> str:
    return some_of([protocol.labels[row] for row in rows], 100)


def _pictures(count: int) -> str:
    return f"{count:,} picture{' is' if count == 1 else 's are'}"


def sides_table(protocol: Protocol) -> list[tuple[str, str, int, int]]:
    """Role, mask, pictures and subjects of each side, for people to read."""
    return [
        (role, "masked" if masked else "unmasked", len(rows), len(np.unique(protocol.subjects[rows])))
        for role in ROLES
        for masked in (False, True)
        if len(rows := protocol.sides.get((role, masked), np.empty(0, np.intp)))
    ]


def failure_rows(checked: CheckedProtocol) -> list[tuple[str, int, int, int]]:
    """Each reason with the number of pictures, and of unmasked and masked ones."""
    masked = {int(row) for (_, is_masked), rows in checked.protocol.sides.items() if is_masked for row in rows}
    found = []
    for reason, rows in sorted(checked.failures.items()):
        kinds = Counter(row in masked for row in rows)
        found.append((reason, len(rows), kinds[False], kinds[True]))
    return found
