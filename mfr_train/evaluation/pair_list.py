"""A list of pairs to compare, read from a file: LFW's View 1 and View 2 format, or a CSV table."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from maskgen.errors import UsageError

COLUMNS = ("a", "b", "genuine")
FOLD = "fold"
"""The columns of a CSV table; the last one may be left out."""

_NUMBER = re.compile(r"[0-9]{1,9}")
_GENUINE = {"1": True, "true": True, "0": False, "false": False}


class Name(NamedTuple):
    """What a list calls a photograph: LFW's person and number, or (with an empty person) a source or key."""

    person: str
    photograph: str

    def __str__(self) -> str:
        return f"{self.person} {self.photograph}".lstrip()

    @property
    def stem(self) -> str:
        """The name of LFW's file, without its ending: `Abel_Pacheco_0001`."""
        return f"{self.person}_{int(self.photograph):04d}"


class Pair(NamedTuple):
    """A line of the list: two photographs, and whether it calls them those of one person."""

    line: int
    first: Name
    second: Name
    genuine: bool


@dataclass(frozen=True)
class PairList:
    """The pairs of a file, and the number of the fold of each, from 0; None if the file has no folds."""

    path: Path
    pairs: tuple[Pair, ...]
    folds: tuple[int, ...] | None


@dataclass(frozen=True)
class PairCounts:
    """How many pairs a list has, and how many of them could not be compared.

    Attributes:
        file: The list.
        genuine: Genuine pairs that it lists.
        impostor: Impostor pairs that it lists.
        failed: How many pairs could not be compared, by reason: that of a reject, `absent` for a photograph that is
            not in the data set, `other_split`, or `damaged_row`.
        failed_genuine: How many of these are genuine.
    """

    file: str
    genuine: int
    impostor: int
    failed: dict[str, int]
    failed_genuine: int


def read_pairs(path: Path) -> PairList:
    """Reads a list of pairs. A file with tabs in its first line, or a number alone, is in LFW's format.

    Raises `UsageError`, with the number of the line, for what is in neither format, a photograph that is compared with
    itself, folds that are not as the first line says, or a list without genuine or without impostor pairs.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline().rstrip("\r\n")
            file.seek(0)
            made = _lfw(path, file) if "\t" in first or _NUMBER.fullmatch(first.strip()) else _table(path, file)
    except OSError as error:
        raise UsageError(f"cannot read the list of pairs {path}: {error.strerror}; check --pairs.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a list of pairs ({error}); save it as text in UTF-8.") from None
    for kind, wanted in (("genuine", True), ("impostor", False)):
        if not any(pair.genuine == wanted for pair in made.pairs):
            raise UsageError(f"{path} lists no {kind} pairs; rates need genuine and impostor pairs.")
    return made


def _lfw(path: Path, lines: Iterator[str]) -> PairList:
    """`name i j` is genuine, `name i name j` impostor. The first line may be `folds pairs`, or `pairs` alone.

    `pairs` counts the genuine pairs of a fold, which its impostor pairs follow, as many.
    """
    header: tuple[int, int] | None = None
    pairs: list[Pair] = []
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
        if number == 1 and len(fields) < 3 and all(map(_NUMBER.fullmatch, fields)):
            header = (int(fields[0]) if len(fields) == 2 else 1, int(fields[-1]))
        elif fields != [""]:
            pairs.append(_lfw_pair(path, number, fields))
    if header is None:
        return PairList(path, tuple(pairs), None)
    folds, size = header
    _check_folds(path, pairs, folds, size)
    return PairList(path, tuple(pairs), tuple(n // (2 * size) for n in range(len(pairs))) if folds > 1 else None)


def _lfw_pair(path: Path, line: int, fields: Sequence[str]) -> Pair:
    if len(fields) == 3:
        names, numbers = (fields[0], fields[0]), (fields[1], fields[2])
    elif len(fields) == 4:
        names, numbers = (fields[0], fields[2]), (fields[1], fields[3])
    else:
        names, numbers = ("", ""), ("", "")
    if not all(names) or not all(map(_NUMBER.fullmatch, numbers)):
        raise UsageError(
            f"line {line} of {path} is not a pair; LFW's format has a name and two numbers, or a name and a number "
            "twice, with tabs between them."
        )
    if len(fields) == 4 and names[0] == names[1]:
        raise UsageError(f"line {line} of {path} lists two photographs of {names[0]} as an impostor pair; correct it.")
    first, second = (Name(name, str(int(number))) for name, number in zip(names, numbers, strict=True))
    return _checked(path, Pair(line, first, second, len(fields) == 3))


def _check_folds(path: Path, pairs: Sequence[Pair], folds: int, size: int) -> None:
    advice = "correct it, or remove it to measure the pairs without its folds."
    if not folds or not size or len(pairs) != folds * 2 * size:
        raise UsageError(
            f"the first line of {path} stands for {folds * 2 * size:,} pairs ({folds} x {size} genuine and {size} "
            f"impostor), but {len(pairs):,} follow; {advice}"
        )
    for number, pair in enumerate(pairs):
        if pair.genuine != (number % (2 * size) < size):
            kind = "an impostor" if pair.genuine else "a genuine"
            raise UsageError(f"line {pair.line} of {path} should be {kind} pair by the first line; {advice}")


def _table(path: Path, lines: Iterator[str]) -> PairList:
    reader = csv.DictReader(lines, skipinitialspace=True)
    names = reader.fieldnames or ()
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise UsageError(
            f"{path} has no column {missing[0]!r}; give a CSV table whose first line names {', '.join(COLUMNS)}, or a "
            "list in LFW's format, with tabs."
        )
    pairs: list[Pair] = []
    numbers: dict[str, int] = {}
    folds: list[int] = []
    for row in reader:
        first, second, genuine = ((row[column] or "").strip() for column in COLUMNS)
        fold = (row[FOLD] or "").strip() if FOLD in names else "-"
        if not first or not second or genuine.lower() not in _GENUINE or not fold:
            wanted = "a, b" + (f", {FOLD}" if FOLD in names else "")
            raise UsageError(f"line {reader.line_num} of {path} is not a pair; it needs {wanted}, and genuine 0 or 1.")
        pair = Pair(reader.line_num, Name("", first), Name("", second), _GENUINE[genuine.lower()])
        pairs.append(_checked(path, pair))
        folds.append(numbers.setdefault(fold, len(numbers)))
    if FOLD in names and len(numbers) == 1:
        raise UsageError(f"{path} has one fold, {next(iter(numbers))}; give two or more, or leave the column out.")
    return PairList(path, tuple(pairs), tuple(folds) if FOLD in names else None)


def _checked(path: Path, pair: Pair) -> Pair:
    if pair.first == pair.second:
        raise UsageError(f"line {pair.line} of {path} compares {pair.first} with itself; give two photographs.")
    return pair
