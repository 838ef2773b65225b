"""Where models look: the shares, the pictures and the faithfulness of an explanation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maskgen.errors import shown
from maskgen.page.page import Cell, Table, Value

from ..explaining.explanation import DIFFERENCE, MEANS, PEOPLE, SUMMARY
from ..explaining.shares import REGIONS
from . import cells
from .given import Result, damaged
from .pictures import resized

WIDEST = 1100
"""Pixels of the pictures of maps."""


@dataclass(frozen=True)
class Attention:
    """One explanation."""

    title: str
    about: str
    pictures: list[tuple[str, str]]
    shares: Table
    faithfulness: Table | None
    notes: list[str]


def attention(explanations: Sequence[Result], with_pictures: bool) -> list[Attention]:
    """The explanations. Raises `MaskgenError` for a damaged one."""
    found = []
    for each in explanations:
        try:
            found.append(_attention(each, with_pictures))
        except (LookupError, TypeError, ValueError, AttributeError):
            raise damaged(each.folder / SUMMARY) from None
    return found


def _attention(given: Result, with_pictures: bool) -> Attention:
    facts = given.facts
    models = ", ".join(f"{cells.brief(each['name'])} ({each['method']})" for each in facts["models"])
    files = {
        PEOPLE: f"Attention of {models} in the pictures of some people, unmasked and masked.",
        MEANS: f"Mean attention of {models} over all photographs, on the mean face.",
    }
    pictures = [
        (url, shown(text))
        for name, text in (files.items() if with_pictures else ())
        if (url := resized(given.folder / f"{name}.png", WIDEST))
    ]
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for share in facts["shares"]:
        rows.setdefault((share["model"], share["picture"]), {})[share["region"]] = _share(share)
    heads = ("model", "picture", "in the mask %", "above the eyes %")
    lines: list[list[Value]] = [
        [model, picture.replace(DIFFERENCE, "masked − unmasked"), *(found.get(region, Cell("")) for region in REGIONS)]
        for (model, picture), found in rows.items()
    ]
    areas: list[list[Value]] = [
        [each["model"], each["curve"], *(_number(each[name]) for name in ("area", "random", "difference"))]
        for each in facts["faithfulness"]
    ]
    return Attention(
        cells.brief(given.folder.name),
        f"{models}: {cells.plural(facts['photographs'], 'photograph')} of "
        f"{cells.plural(facts['subjects'], 'person', 'people')} of {cells.brief(facts['data'])}.",
        pictures,
        Table("Shares of the attention, with 95 % intervals over people", heads, lines),
        Table(
            "Areas under deletion and insertion curves", ("model", "curve", "area", "random map", "difference"), areas
        )
        if areas
        else None,
        [shown(note) for note in facts["notes"]],
    )


def _share(facts: dict[str, Any]) -> Cell:
    return _scaled(facts, 100.0, 1)


def _number(facts: dict[str, Any]) -> Cell:
    return _scaled(facts, 1.0, 3)


def _scaled(facts: dict[str, Any], scale: float, digits: int) -> Cell:
    value, ends = facts["value"], facts["interval"]
    if value is None or not math.isfinite(value):
        return Cell("")
    note = "" if ends is None else f"[{scale * ends[0]:.{digits}f}, {scale * ends[1]:.{digits}f}]"
    return Cell(f"{scale * value:.{digits}f}", scale * value, note)
