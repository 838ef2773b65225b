"""Which of many things are looked at: evenly spaced ones, the same each time."""

from __future__ import annotations

RUN = 8
"""Photographs that follow each other in a sample: Parquet reads 64 at once anyway."""


def runs_of(rows: int, wanted: int) -> list[int]:
    """Numbers from 0 to `rows`, at most as many as wanted: evenly spaced runs of neighbours, ascending."""
    if wanted >= rows or not wanted:
        return list(range(min(rows, wanted)))
    length = min(RUN, wanted)
    starts = spaced(rows - length + 1, wanted // length)
    return sorted({start + place for start in starts for place in range(length)})


def spaced(count: int, most: int) -> list[int]:
    """At most so many of the numbers from 0 to `count`, evenly spaced from the first to the last."""
    if count <= most:
        return list(range(count))
    return sorted({place * (count - 1) // max(1, most - 1) for place in range(most)})
