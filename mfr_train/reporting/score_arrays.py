"""The scores that an evaluation wrote, and its hardest pairs, read without its other columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as pads

from maskgen.errors import MaskgenError, short

from ..evaluation.counts import Counts, Floats, from_scores
from ..evaluation.report import Report

MAX_PAIRS = 20_000_000
"""More pairs are not read for a page: 180 MB while they are sorted."""

SIDES = ("reference", "probe")


@dataclass(frozen=True)
class Pictured:
    """One picture of a pair: the key of its photograph, or its path in a protocol table; which picture; and whom.

    Reports of older versions do not name the person: `subject` is ''.
    """

    photograph: str
    picture: str
    subject: str


@dataclass(frozen=True)
class Pair:
    """A pair with its score."""

    reference: Pictured
    probe: Pictured
    score: float


@dataclass(frozen=True)
class ScoreArrays:
    """The scores of one scenario, float64 (P,), which of them are genuine, bool (P,), and the files they are from."""

    files: tuple[str, ...]
    scores: Floats
    genuine: npt.NDArray[np.bool_]

    @property
    def counts(self) -> Counts:
        """The scores as the evaluation counts them."""
        return from_scores(self.scores[self.genuine], self.scores[~self.genuine])

    def pairs(self, numbers: npt.NDArray[np.intp]) -> list[Pair]:
        """The pairs of these numbers, in their order. Raises `MaskgenError` if the files lack their names."""
        try:
            found = pads.dataset(list(self.files), format="parquet")
            parts = [part for part in ("", "_picture", "_subject") if f"probe{part}" in found.schema.names]
            columns = [f"{side}{part}" for side in SIDES for part in parts]
            order = np.argsort(numbers)
            rows = found.take(pa.array(numbers[order]), columns=columns).to_pylist()
        except (OSError, pa.ArrowException, LookupError) as error:
            raise _damaged(self.files[0], error) from None
        made = [
            Pair(_pictured(row, SIDES[0]), _pictured(row, SIDES[1]), float(self.scores[number]))
            for row, number in zip(rows, numbers[order], strict=True)
        ]
        return [made[place] for place in np.argsort(order)]


def _pictured(row: dict[str, Any], side: str) -> Pictured:
    return Pictured(*(str(row.get(f"{side}{part}", "")) for part in ("", "_picture", "_subject")))


def score_files(report: Report, scenario: str) -> list[str]:
    """The files with the scores of a scenario; none if the evaluation kept none, or too many to read."""
    figures = report[scenario].figures
    if figures.genuine + figures.impostor > MAX_PAIRS:
        return []
    places = [report.out / f"{scenario}.parquet", *sorted((report.out / scenario).glob("*.parquet"))]
    return [str(path) for path in places if path.is_file()]


def scores_of(report: Report) -> dict[str, ScoreArrays]:
    """The scores of each scenario that has files of them."""
    names = [row.scenario for row in report.rows]
    return {name: score_arrays(report, name, found) for name in names if (found := score_files(report, name))}


def score_arrays(report: Report, scenario: str, found: list[str]) -> ScoreArrays:
    """The scores of a scenario from its files. Raises `MaskgenError` if they are not those of the report."""
    figures = report[scenario].figures
    try:
        table = pads.dataset(found, format="parquet").to_table(["score", "genuine"], use_threads=False)
        scores, genuine = table["score"].to_numpy().astype(np.float64), table["genuine"].to_numpy()
        if genuine.dtype != bool or not np.isfinite(scores).all():
            raise ValueError("a score is no number")
        if (genuine.sum(), (~genuine).sum()) != (figures.genuine, figures.impostor):
            raise ValueError(f"{len(scores):,} scores of other pairs")
    except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
        raise _damaged(found[0], error) from None
    return ScoreArrays(tuple(found), scores, genuine)


def _damaged(file: str | Path, error: object) -> MaskgenError:
    return MaskgenError(f"{file} does not hold the scores of its report ({short(error)}); measure again.")
