"""Photographs that are in a data set more than once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

from ..dataset.record import Row
from .sample import Sample, Step

GROUPS = 200
"""Groups that are compared by their pictures; a data set with more of them is told so."""


class Group(NamedTuple):
    """The same picture more than once: the numbers of its rows in the sample."""

    numbers: tuple[int, ...]

    def where(self, sample: Sample) -> str:
        """Whether one person has it twice, two people have it, or training and test share it, which is worse."""
        rows = [sample.rows[number] for number in self.numbers]
        if len({row.split for row in rows}) > 1:
            return "across splits"
        return "across identities" if len({row.identity for row in rows}) > 1 else "within an identity"


def duplicates(sample: Sample, step: Step) -> tuple[list[Group], int]:
    """The groups of rows whose stored photograph has the same bytes, in key order, and how many were not compared.

    A build gives the same bytes and the same landmarks to files of the same bytes. So only photographs with the same
    landmarks need to be read.
    """
    alike = defaultdict(list)
    for number, row in enumerate(sample.rows):
        alike[_facts(row)].append(number)
    candidates = [numbers for numbers in alike.values() if len(numbers) > 1]
    done = step("comparing photographs", sum(map(len, candidates[:GROUPS])))
    found = []
    for numbers in candidates[:GROUPS]:
        same = defaultdict(list)
        for number, row in sample.read(numbers, ("unmasked",)):
            same[hashlib.sha256(row.jpeg("unmasked")).digest()].append(number)
        found += [Group(tuple(group)) for group in same.values() if len(group) > 1]
        done(len(numbers))
    return found, len(candidates[GROUPS:])


def _facts(row: Row) -> bytes:
    size = f"{row.width} {row.height} ".encode()
    return hashlib.sha256(size + row.box.tobytes() + row.landmarks.tobytes()).digest()
