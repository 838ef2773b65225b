"""Numbers of many photographs -> what charts draw: bars, quantiles, colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BARS = 30
COLORS = 36
"""Swatches that are shown."""

LEVELS = 4
"""Of each channel, where similar colours share a swatch."""


def histogram(values: Sequence[float] | npt.NDArray[Any], x: str, y: str, *, whole: bool = False) -> dict[str, Any]:
    """The bars of a histogram. Values beyond the middle 99 % are counted in the outermost bars.

    Args:
        values: Finite ones are counted.
        x: What they are.
        y: What is counted.
        whole: Whether they are whole numbers, so that each bar holds as many of them.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return {"x": x, "y": y, "bars": []}
    low, high = (float(value) for value in np.percentile(numbers, (0.5, 99.5)))
    if whole:
        low, high = np.floor(low), np.ceil(high)
        width = max(1, int(np.ceil((high - low + 1) / BARS)))
        edges = np.arange(low, high + width + 0.5, width) - 0.5
    else:
        edges = np.linspace(low, high, BARS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(np.clip(numbers, edges[0], edges[-1]), edges)
    rounded = [float(f"{edge:.5g}") for edge in edges]
    bars = [[a, b, int(count)] for a, b, count in zip(rounded, rounded[1:], counts, strict=False)]
    return {"x": x, "y": y, "bars": bars}


def spread(values: Sequence[float] | npt.NDArray[Any], unit: str, digits: int = 1) -> str:
    """The middle and the range of most values, as a sentence."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return "Nothing was measured."
    low, middle, high = (plain(value, digits) for value in np.percentile(numbers, (5, 50, 95)))
    return f"Median {middle}{unit}; nine of ten from {low} to {high}{unit}."


def plain(value: float, digits: int = 1) -> str:
    """A number as text; none is -0."""
    return f"{round(float(value), digits) + 0.0:,.{digits}f}"


def swatches(colors: Iterable[tuple[int, int, int]]) -> tuple[list[tuple[str, int]], int, bool]:
    """The most frequent colours as `#rrggbb` with their counts, how many there are, and whether similar ones share one.

    A shared swatch has the mean of its colours.
    """
    counted = Counter(colors)
    shared = len(counted) > COLORS
    if not shared:
        return [(_hex(color), count) for color, count in _frequent(counted)], len(counted), False
    groups: dict[tuple[int, ...], Counter[tuple[int, int, int]]] = {}
    for color, count in counted.items():
        groups.setdefault(tuple(part * LEVELS // 256 for part in color), Counter())[color] += count
    means: Counter[tuple[int, int, int]] = Counter()
    for members in groups.values():
        total = members.total()
        mean = [round(sum(color[part] * count for color, count in members.items()) / total) for part in range(3)]
        means[mean[0], mean[1], mean[2]] += total
    return [(_hex(color), count) for color, count in _frequent(means)[:COLORS]], len(counted), True


def _frequent(counted: Counter[tuple[int, int, int]]) -> list[tuple[tuple[int, int, int], int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
