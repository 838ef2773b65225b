"""A protocol table: pictures of people as references and probes, masked or not, read from a CSV file.

A picture in both roles is never compared with itself, and a pair of two such pictures counts once.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maskgen.errors import UsageError, shown

from .protocol_columns import MAX_LENGTH, Column, breakdowns
from .scenarios import MASKED, RANDOM, UNMASKED, Choice, Indices, Pairing

COLUMNS = ("subject", "role", "masked", "path")
ROLES = ("reference", "probe")

SHOWN_NAMES = 5
"""Names in a sentence; it counts the others."""


@dataclass(frozen=True)
class Protocol:
    """A protocol table: the picture files (N,), each once, their subjects int (N,) and names, and the rows by role.

    `labels` (N,) are the files as the table names them. `sides[role, masked]` are the pictures of a side, int (n,).
    `columns` are the further columns that are broken down, and `notes` say which ones cannot be.
    """

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    subjects: Indices
    names: tuple[str, ...]
    sides: dict[tuple[str, bool], Indices]
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Picture:
    """A picture with what its first line says, and its values in the further columns: None if its lines differ."""

    number: int
    line: int
    label: str
    subject: str
    masked: str
    values: list[str | None]


def read_protocol(path: Path) -> Protocol:
    """Reads a CSV table with columns subject, role (reference | probe), masked (0 | 1) and path (from its folder).

    Raises `UsageError` for a table or line of another form, and for a picture with two subjects, or masked and not.
    """
    header, rows = _lines(path)
    further = [place for place, name in enumerate(header) if name not in COLUMNS]
    required = [header.index(name) for name in COLUMNS]
    pictures: dict[Path, _Picture] = {}
    sides: dict[tuple[str, bool], dict[int, None]] = {}
    for line, cells in rows:
        subject, role, masked, name = (cells[place] for place in required)
        if role not in ROLES or masked not in ("0", "1") or not subject or not name:
            raise UsageError(
                f"line {line} of {path} is not a picture of the protocol; it needs a subject, "
                "role reference or probe, masked 0 or 1, and a path."
            )
        new = _Picture(len(pictures), line, name, subject, masked, [cells[place] for place in further])
        known = pictures.setdefault(path.parent / name, new)
        if known.subject != subject:
            raise UsageError(f"line {line} of {path} gives {name} a second subject; a picture shows one.")
        if known.masked != masked:
            raise UsageError(
                f"line {line} of {path} gives {name} masked {masked}, and line {known.line} masked {known.masked}; "
                "correct one of them."
            )
        for place, value in enumerate(new.values):
            if known.values[place] != value:
                known.values[place] = None
        sides.setdefault((role, masked == "1"), {})[known.number] = None
    if not rows:
        raise UsageError(f"{path} lists no pictures; give lines of {','.join(COLUMNS)}.")
    numbers = {subject: number for number, subject in enumerate(dict.fromkeys(p.subject for p in pictures.values()))}
    subjects = np.array([numbers[picture.subject] for picture in pictures.values()], np.intp)
    values = [[picture.values[place] for picture in pictures.values()] for place in range(len(further))]
    columns, notes = breakdowns(path, list(zip([header[place] for place in further], values, strict=True)), subjects)
    return Protocol(
        tuple(pictures),
        tuple(picture.label for picture in pictures.values()),
        subjects,
        tuple(numbers),
        {key: np.array(list(value), np.intp) for key, value in sides.items()},
        columns,
        tuple(notes),
    )


def _lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the cells of each line with its number; missing cells are ''."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            header = [name.strip() for name in next((cells for cells in reader if cells), [])]
            missing = [name for name in COLUMNS if name not in header]
            if missing:
                raise UsageError(f"{path} has no column {missing[0]!r}; its first line must name {', '.join(COLUMNS)}.")
            rows = []
            for cells in reader:
                if cells:
                    padded = cells[: len(header)] + [""] * (len(header) - len(cells))
                    rows.append((reader.line_num, [cell.strip() for cell in padded]))
            return header, rows
    except OSError as error:
        raise UsageError(f"cannot read the protocol table {path}: {error.strerror}; check --protocol.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV table ({error}); save it as CSV in UTF-8.") from None


def restricted(protocol: Protocol, usable: npt.NDArray[np.bool_]) -> Protocol:
    """The table without the pictures that are not usable, (N,), and without subjects who then have no picture."""
    rows, place = np.flatnonzero(usable), np.cumsum(usable) - 1
    kept, subjects = np.unique(protocol.subjects[rows], return_inverse=True)
    return Protocol(
        tuple(protocol.paths[row] for row in rows),
        tuple(protocol.labels[row] for row in rows),
        subjects,
        tuple(protocol.names[subject] for subject in kept),
        {side: place[pictures[usable[pictures]]] for side, pictures in protocol.sides.items()},
        tuple(replace(column, values=column.values[rows]) for column in protocol.columns),
        protocol.notes,
    )


def protocol_pairing(scenario: str, protocol: Protocol) -> Pairing | None:
    """The references and probes of a scenario; None if the table has one side only."""
    sides = [(role, masked) for role, masked in zip(ROLES, MASKED[scenario], strict=True)]
    if any(side not in protocol.sides for side in sides):
        return None
    return _compared(scenario, *(protocol.sides[side] for side in sides))


def protocol_parts(protocol: Protocol, scenarios: Sequence[str]) -> dict[tuple[str, str], Pairing]:
    """The breakdown: the pairing of each scenario and of each value of a column among its probes, `column=value`."""
    found: dict[tuple[str, str], Pairing] = {}
    for scenario in scenarios:
        whole = protocol_pairing(scenario, protocol)
        if whole is None:
            continue
        for column in protocol.columns:
            references, probes = whole.reference.rows, whole.probe.rows
            for value in np.unique(column.values[probes]):
                if value:
                    among = references[column.values[references] == value] if column.of_subjects else references
                    part = _compared(scenario, among, probes[column.values[probes] == value])
                    found[scenario, f"{column.name}={value}"] = part
    return found


def column_notes(protocol: Protocol) -> list[str]:
    """Sentences about the columns: how each is broken down, or why it is not."""
    notes = list(protocol.notes)
    for of_subjects, how in (
        (True, "subjects, who have one value each; both pictures of a pair have it"),
        (False, "probe"),
    ):
        names = [column.name for column in protocol.columns if column.of_subjects == of_subjects]
        if names:
            notes.append(f"Broken down by the value of the {how}: {', '.join(names)}.")
    return notes


def single_notes(protocol: Protocol) -> list[str]:
    """A sentence about subjects who have one picture; none if there are none."""
    single = [protocol.names[number] for number in np.flatnonzero(np.bincount(protocol.subjects) == 1)]
    if not single:
        return []
    have = "subjects has" if len(single) == 1 else "subjects have"
    return [
        f"{len(single):,} of {len(protocol.names):,} {have} only one picture, which is compared in impostor "
        f"pairs alone: {some_of(single)}."
    ]


def some_of(names: Sequence[str], length: int = MAX_LENGTH) -> str:
    """The first names of a list as text, each cut to a length, and how many more there are."""
    first = ", ".join(shown(name if len(name) <= length else f"{name[:length]}...") for name in names[:SHOWN_NAMES])
    return first + (f" and {len(names) - SHOWN_NAMES:,} more" if len(names) > SHOWN_NAMES else "")


def _compared(scenario: str, references: Indices, probes: Indices) -> Pairing:
    names = [UNMASKED if not masked else RANDOM for masked in MASKED[scenario]]
    reference, probe = (
        Choice(rows, np.full(len(rows), name)) for rows, name in zip((references, probes), names, strict=True)
    )
    if np.array_equal(np.sort(references), np.sort(probes)):  # in U-M they never are: a picture is masked or not
        return Pairing(reference, reference, symmetric=True)
    return Pairing(reference, probe, symmetric=False)
