"""The further columns of a protocol table, such as session, sex, age group or mask type: each is a breakdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maskgen.errors import shown

Indices = npt.NDArray[np.intp]
Names = npt.NDArray[np.str_]

MAX_COLUMNS = 20
MAX_VALUES = 20
"""A column with more distinct values is a name or a number rather than a group."""

MAX_LENGTH = 32
"""Characters of a column's name and of its values: they are printed as labels."""


@dataclass(frozen=True)
class Column:
    """A column that is broken down: `values` (N,) of all pictures, '' for none.

    `of_subjects` says that all pictures of each subject have one value, as with sex. Then both pictures of a pair have
    the value: genuine pairs of its subjects, impostor pairs among them. Otherwise, as with session, the probe has it.
    """

    name: str
    values: Names
    of_subjects: bool


def breakdowns(
    table: object, columns: Sequence[tuple[str, Sequence[str | None]]], subjects: Indices
) -> tuple[tuple[Column, ...], list[str]]:
    """The columns that can be broken down, and sentences about those that cannot.

    `columns` are names with a value for each picture (N,), None for a picture with two values. A column without a
    name, or with the same value for every picture, is neither.
    """
    named = [(name, values) for name, values in columns if name and (None in values or len(set(values)) > 1)]
    found, notes = [], []
    for name, values in named[:MAX_COLUMNS]:
        if reason := _unusable(name, values, [other for other, _ in named]):
            notes.append(f"The column {shown(name[:MAX_LENGTH])} of {table} is not broken down: {reason}.")
            continue
        texts = np.array([value or "" for value in values], str)
        owners = len(np.unique(subjects))
        pairs = set(zip(subjects.tolist(), texts.tolist(), strict=True))
        found.append(Column(name, texts, len(pairs) == owners))
    if len(named) > MAX_COLUMNS:
        notes.append(f"{table} has {len(named)} further columns; only the first {MAX_COLUMNS} are broken down.")
    return tuple(found), notes


def _unusable(name: str, values: Sequence[str | None], names: Sequence[str]) -> str:
    """Why a column is not broken down; '' if it is."""
    distinct = set(values)
    if names.count(name) > 1:
        return "another column has its name"
    if None in distinct:
        return "a picture has two values"
    if len(distinct - {""}) > MAX_VALUES:
        return f"it has {len(distinct - {''}):,} values, and the limit is {MAX_VALUES}"
    texts = [name, *filter(None, distinct)]
    if any(len(text) > MAX_LENGTH or shown(text) != text for text in texts) or "=" in name:
        return f"its name and values must have at most {MAX_LENGTH} characters, all of them visible, and the name no ="
    return ""
