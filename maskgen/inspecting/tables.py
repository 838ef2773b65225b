"""The tables of a data set's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..page.page import Cell, Table
from ..page.text import clip
from . import figures
from .contents import WHOLE, Contents
from .duplicates import Group
from .sample import Sample
from .shapes import Pose, Values

LISTED = 300
"""Shards in the table; it begins with those that are not whole."""

LARGEST = 10
"""Identities in the table."""

Rows = list[list[str | int | Cell]]


def splits(there: Contents, identities: Counter[tuple[str, str]]) -> Table:
    rows: Rows = []
    for split in dict.fromkeys(part.split for part in there.parts):
        parts = [part for part in there.parts if part.split == split]
        people = sum(name == split for name, _ in identities)
        numbers = (sum(part.photographs for part in parts), sum(part.rows for part in parts))
        rejects = sum(len(part.rejects) for part in parts)
        rows.append([split, *numbers, rejects, people, len(parts), sum(part.bytes for part in parts)])
    heads = ("split", "planned", "photographs", "rejected", "identities", "shards", "bytes")
    return Table("Splits", heads, rows)


def worst(measured: Sample, worst: Sequence[int], unusual: Values, pose: Pose) -> Table:
    heads = ("photograph", "identity", "split", "distance", "roll", "yaw", "eyes in pixels")
    rows: Rows = []
    for number in worst:
        row = measured.rows[number]
        numbers = [
            _number(100 * unusual[number], " %"),
            _number(pose.roll[number], "°"),
            _number(pose.yaw[number], "°"),
            _number(pose.eyes[number], ""),
        ]
        rows.append([clip(row.source), clip(row.identity), row.split, *numbers])
    return Table("Unusual landmarks", heads, rows)


def _number(value: float, unit: str) -> Cell:
    return Cell(f"{figures.plain(value)}{unit}", round(float(value), 1)) if np.isfinite(value) else Cell("", None)


def shares(shares: dict[str, list[float]]) -> Table:
    rows: Rows = []
    for name, values in shares.items():
        low, middle, high = np.percentile(values, (5, 50, 95))
        rows.append([name, len(values), *(_number(100 * value, " %") for value in (low, middle, high))])
    return Table(
        "Share of the face that a mask covers",
        ("mask", "photographs", "5th percentile", "median", "95th percentile"),
        rows,
    )


def largest(identities: Counter[tuple[str, str]]) -> Table:
    most = sorted(identities.items(), key=lambda item: (-item[1], item[0]))[:LARGEST]
    rows: Rows = [[clip(identity), split, count] for (split, identity), count in most]
    return Table("Identities with the most photographs", ("identity", "split", "photographs"), rows)


def duplicates(measured: Sample, groups: Sequence[Group]) -> Table:
    rows: Rows = []
    for group in groups[:LISTED]:
        found = [measured.rows[number] for number in group.numbers]
        people = sorted({row.identity for row in found})
        splits = sorted({row.split for row in found})
        names = [", ".join(clip(text) for text in texts[:3]) for texts in ([row.source for row in found], people)]
        rows.append([names[0], len(found), group.where(measured), names[1], ", ".join(splits)])
    return Table("Photographs found more than once", ("photographs", "times", "where", "identities", "splits"), rows)


def reasons(there: Contents) -> Table:
    noted = Counter(
        reject["reason"] for part in there.parts for reject in part.rejects if "libjpeg:" in reject["detail"]
    )
    rows: Rows = [[clip(reason), count, noted[reason]] for reason, count in there.reasons.most_common()]
    return Table("Rejects", ("reason", "photographs", "with a message of libjpeg"), rows)


def shards(there: Contents, measured: Sample) -> Table:
    rows: Rows = []
    for part in there.parts:
        state = measured.broken.get(part.name, part.state)
        rows.append([part.name, part.photographs, part.rows, len(part.rejects), part.bytes, clip(state)])
    wrong = [row for row in rows if row[-1] != WHOLE]
    right = [row for row in rows if row[-1] == WHOLE]
    heads = ("shard", "planned", "photographs", "rejected", "bytes", "state")
    return Table("Shards", heads, [*wrong, *right][:LISTED])
