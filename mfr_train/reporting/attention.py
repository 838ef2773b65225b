"""Where models look: the shares, the pictures and the faithfulness of an explanation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskgen.errors import shown
from maskgen.page.page import Cell, Table, Value
from maskgen.page.text import NAME, clip, plural

from ..explaining.explanation import CURVE_PLOT, DIFFERENCE, MEANS, PEOPLE, SUMMARY
from ..explaining.shares import REGIONS
from ..figure import DPI
from . import cells
from .given import Result, damaged
from .pictures import resized

WIDEST, SCALE = 1100, 1.6 * 96 / DPI
"""Pixels of a plot at most, and its size on the page: 1.6 times that in print."""


@dataclass(frozen=True)
class Plot:
    """A plot that mfr wrote: its URL, what it shows, and its width on the page in pixels."""

    url: str
    text: str
    width: int


@dataclass(frozen=True)
class Attention:
    """One explanation."""

    title: str
    about: str
    faces: list[Plot]
    shares: list[Table]
    curves: Plot | None
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
    models = ", ".join(f"{clip(each['name'], NAME)} ({clip(each['method'], NAME)})" for each in facts["models"])
    texts = {
        PEOPLE: f"Attention of {models} in the pictures of some people, unmasked and masked.",
        MEANS: f"Mean attention of {models} over all photographs, on the mean face.",
        CURVE_PLOT: f"Deletion and insertion curves of {models}, and those of random maps.",
    }
    plots = {name: _plot(given.folder / f"{name}.png", text) for name, text in texts.items()}
    faces = [plot for name in (PEOPLE, MEANS) if with_pictures and (plot := plots[name])]
    return Attention(
        clip(given.folder.name, NAME),
        f"{models}: {plural(facts['photographs'], 'photograph')} of "
        f"{plural(facts['subjects'], 'person', 'people')} of {clip(facts['data'], NAME)}.",
        faces,
        [_shares(facts["shares"]), *_differences(facts["shares"], facts["models"][0]["name"])],
        plots[CURVE_PLOT],
        _areas(facts["faithfulness"]),
        [shown(note) for note in facts["notes"]],
    )


def _plot(file: Path, text: str) -> Plot | None:
    """A plot; None if it cannot be read."""
    found = resized(file, WIDEST)
    return Plot(found.url, text, min(WIDEST, round(found.width * SCALE))) if found else None


Share = dict[str, Any]
"""A share as explanation.json has it."""


def _shares(shares: Sequence[Share]) -> Table:
    intervals = any(share["interval"] for share in shares)
    caption = f"Shares of the attention{', with 95 % intervals over people' if intervals else ''}"
    heads = ("model", "picture", "in the mask %", "above the eyes %")
    return Table(caption, heads, _by_region((share, share) for share in shares))


def _differences(shares: Sequence[Share], first: str) -> list[Table]:
    """What each model differs by from the first one; no table of one model."""
    others = [(share, share["versus_first"]) for share in shares if share["versus_first"]]
    heads = ("model", "picture", "in the mask, points", "above the eyes, points")
    caption = f"Shares minus those of {clip(first, NAME)}, photograph by photograph"
    return [Table(caption, heads, _by_region(others, signed=True))] if others else []


def _by_region(shares: Iterable[tuple[Share, Any]], signed: bool = False) -> list[list[Value]]:
    """Rows of models and pictures, from shares and the numbers to show of them; differences have a sign."""
    rows: dict[tuple[str, str], dict[str, Cell]] = {}
    for share, number in shares:
        sign = "+" if signed or share["picture"] == DIFFERENCE else ""
        cell = cells.with_interval(number["value"], number["interval"], 100.0, 1, sign=sign)
        rows.setdefault((share["model"], share["picture"]), {})[share["region"]] = cell
    return [
        [model, picture.replace(DIFFERENCE, "masked − unmasked"), *(found.get(region, Cell("")) for region in REGIONS)]
        for (model, picture), found in rows.items()
    ]


def _areas(found: Sequence[dict[str, Any]]) -> Table | None:
    rows: list[list[Value]] = []
    for each in found:
        numbers = ((each["area"], ""), (each["random"], ""), (each["difference"], "+"))
        values = (
            cells.with_interval(number["value"], number["interval"], 1.0, 3, sign=sign) for number, sign in numbers
        )
        rows.append([each["model"], each["curve"], *values])
    heads = ("model", "curve", "area", "random map", "difference")
    return Table("Areas under deletion and insertion curves", heads, rows) if rows else None
