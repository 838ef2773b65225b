"""Photographs that are in a data set more than once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

from ..dataset.record import Row
from ..progress import step
from .sample import Sample

COMPARED = 2_000
"""Photographs that are read and compared; the page of a data set with more candidates says so."""


class Group(NamedTuple):
    """The same picture more than once: the numbers of its rows in the sample."""

    numbers: tuple[int, ...]

    def where(self, sample: Sample) -> str:
        """Whether one person has it twice, two people have it, or training and test share it, which is worse."""
        rows = [sample.rows[number] for number in self.numbers]
        if len({row.split for row in rows}) > 1:
            return "across splits"
        return "across identities" if len({row.identity for row in rows}) > 1 else "within an identity"


def duplicates(sample: Sample) -> tuple[list[Group], int]:
    """The groups of rows whose stored photograph has the same bytes, in key order, and how many were not compared.

    A build gives the same bytes and the same landmarks to files of the same bytes. So only photographs with the same
    landmarks need to be read.
    """
    alike = defaultdict(list)
    for number, row in enumerate(sample.rows):
        alike[_facts(row)].append(number)
    candidates = [(facts, number) for facts, numbers in alike.items() if len(numbers) > 1 for number in numbers]
    facts_of = {number: facts for facts, number in candidates[:COMPARED]}
    same = defaultdict(list)
    with step("comparing photographs", len(facts_of)) as bar:
        for number, row in sample.read(sorted(facts_of), ("unmasked",)):
            same[facts_of[number], hashlib.sha256(row.jpeg("unmasked")).digest()].append(number)
            bar.update()
    return [Group(tuple(group)) for group in same.values() if len(group) > 1], len(candidates) - len(facts_of)


def _facts(row: Row) -> bytes:
    size = f"{row.width} {row.height} ".encode()
    return hashlib.sha256(size + row.box.tobytes() + row.landmarks.tobytes()).digest()
