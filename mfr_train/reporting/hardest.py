"""The hardest pairs: genuine ones with the lowest scores and impostor ones with the highest, with their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskgen.page.page import Cell, Table, Value
from maskgen.page.text import clip

from .given import Evaluation
from .pictures import Opened
from .score_arrays import Pair, Pictured, ScoreArrays

PAIRS, MAX_PICTURES = 6, 320
"""Pairs of a list, if there are few lists; and pictures of a page, together less than 1.5 MB."""

LOOKED_AT = 400
"""Of so many pairs at an end of the scores, those are shown that have no photograph in common."""


@dataclass(frozen=True)
class Shown:
    """One side of a pair: its picture, if there is one, and what is written below."""

    url: str | None
    alt: str
    subject: str


@dataclass(frozen=True)
class HardPair:
    """A pair with its score."""

    reference: Shown
    probe: Shown
    score: str


@dataclass(frozen=True)
class HardPairs:
    """The hardest pairs of one kind of one scenario of an evaluation."""

    scenario: str
    model: str
    genuine: bool
    pairs: list[HardPair]

    @property
    def kind(self) -> str:
        """What the pairs are, in words."""
        return "same person, lowest scores" if self.genuine else "two people, highest scores"

    @property
    def pictured(self) -> bool:
        """Whether there is any picture."""
        return any(side.url for pair in self.pairs for side in (pair.reference, pair.probe))


def each_list(scenarios: int) -> int:
    """Pairs of a list on a page of so many scenarios with scores, of all evaluations: each has two lists."""
    return min(PAIRS, max(2, MAX_PICTURES // max(1, 4 * scenarios)))


def hardest(
    each: Evaluation, scores: Mapping[str, ScoreArrays], source: Opened | None, count: int
) -> Iterator[HardPairs]:
    """The lists of so many pairs of each scenario with scores; with pictures if there is a `source` of them."""
    for scenario, arrays in scores.items():
        for genuine in (True, False):
            shown = [_shown(pair, source) for pair in _extreme(arrays, genuine, count)]
            yield HardPairs(scenario, each.name, genuine, shown)


def table(lists: Sequence[HardPairs]) -> Table | None:
    """The pairs of which there is no picture; None if there are none."""
    rows: list[list[Value]] = [
        [
            each.scenario,
            each.model,
            each.kind,
            Cell(pair.score, float(pair.score)),
            pair.reference.subject,
            pair.probe.subject,
        ]
        for each in lists
        for pair in each.pairs
    ]
    heads = ("scenario", "model", "pair", "score", "reference", "probe")
    return Table("The hardest pairs by name", heads, rows) if rows else None


def _extreme(arrays: ScoreArrays, genuine: bool, count: int) -> list[Pair]:
    """The hardest pairs of a kind, each photograph at most once; equal scores in the order of the file."""
    numbers = np.flatnonzero(arrays.genuine == genuine)
    keys = arrays.scores[numbers] if genuine else -arrays.scores[numbers]
    if len(numbers) > LOOKED_AT:
        last = np.partition(keys, LOOKED_AT)[LOOKED_AT]
        numbers, keys = numbers[keys <= last][: 4 * LOOKED_AT], keys[keys <= last][: 4 * LOOKED_AT]
    order = np.argsort(keys, kind="stable")[:LOOKED_AT]
    chosen: list[Pair] = []
    used: set[str] = set()
    for pair in arrays.pairs(numbers[order]):
        photographs = {pair.reference.photograph, pair.probe.photograph}
        if not photographs & used:
            chosen.append(pair)
            used |= photographs
        if len(chosen) == count:
            break
    return chosen


def _shown(pair: Pair, source: Opened | None) -> HardPair:
    return HardPair(_side(pair.reference, source, "reference"), _side(pair.probe, source, "probe"), f"{pair.score:.4f}")


def _side(pictured: Pictured, source: Opened | None, role: str) -> Shown:
    subject = clip(pictured.subject or f"photograph {pictured.photograph}", 28)
    alt = f"{role}: {subject}, {pictured.picture.replace('_', ' ')}"
    return Shown(source(pictured) if source else None, alt, subject)
