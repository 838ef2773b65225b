"""The photographs of a data set's plan, and why those that are not among its rows cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from maskgen import Dataset
from maskgen.errors import MaskgenError, short
from maskgen.imaging.seeding import variant_of

from ..defaults import DAMAGED_ROW
from .scenarios import RANDOM, Names

PLAN, REJECTS = "plan.parquet", "rejects.parquet"


@dataclass(frozen=True)
class Planned:
    """A photograph of the plan. `variant` is the mask that the build drew for it; '' if it draws every mask."""

    key: str
    source: str
    identity: str
    split: str
    variant: str = ""


def photographs(dataset: Dataset) -> list[Planned]:
    """Every photograph of the plan, rejects too."""
    settings = dataset.info["settings"]
    rows = _rows(dataset, PLAN, ("key", "source", "identity", "split"))
    if dataset.variants != (RANDOM,):
        return [Planned(**row) for row in rows]
    if settings.get("draws"):
        drawn = [row["variant"] or "" for row in _rows(dataset, PLAN, ("variant",), optional=True)]
    else:
        drawn = [_variant(dataset, row["source"]) for row in rows]
    return [Planned(**row, variant=variant) for row, variant in zip(rows, drawn, strict=True)]


def rejects(dataset: Dataset) -> dict[str, str]:
    """The reason of each rejected photograph, by its key."""
    return {row["key"]: row["reason"] for row in _rows(dataset, REJECTS, ("key", "reason"))}


def unusable(dataset: Dataset, split: str, keys: Names) -> list[tuple[Planned, str]]:
    """The photographs of a split that are not among its rows, whose keys are given, with the reason of each.

    The plan is read only if it is needed: for damaged rows, or for masks that were drawn elsewhere.
    """
    found = _rows(dataset, REJECTS, ("key", "source", "identity", "split", "reason"))
    reasons = {row["key"]: row.pop("reason") for row in found}
    settings = dataset.info["settings"]
    if dataset.left_out or (dataset.variants == (RANDOM,) and settings.get("draws")):
        there = set(keys.tolist())
        lost = [each for each in photographs(dataset) if each.split == split and each.key not in there]
    else:
        lost = [Planned(**row, variant=_variant(dataset, row["source"])) for row in found if row["split"] == split]
    return [(each, reasons.get(each.key, DAMAGED_ROW)) for each in lost]


def _variant(dataset: Dataset, source: str) -> str:
    return variant_of(int(dataset.info["settings"]["seed"]), source) if dataset.variants == (RANDOM,) else ""


def _rows(dataset: Dataset, file: str, columns: Sequence[str], optional: bool = False) -> list[dict[str, str]]:
    texts = pa.schema([(column, pa.string()) for column in columns])
    try:
        with dataset.storage.open(file) as opened:
            table = pq.read_table(opened, columns=list(columns)).cast(texts)
            table.validate(full=True)
            if not optional and any(table[column].null_count for column in columns):
                raise pa.ArrowInvalid("a value is missing")
    except (OSError, pa.ArrowException, LookupError) as error:
        raise MaskgenError(
            f"{dataset}/{file} cannot be read ({short(error)}); `maskgen verify` says what to do."
        ) from None
    found: list[dict[str, str]] = table.to_pylist()
    return found
