"""Names of lines beside the lines themselves, where there is room, in place of a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .figure import styled

Points = npt.NDArray[np.float64]

MOST = 7
"""More lines than this have a legend: so many names are not found beside lines."""

_PLACES, _STEP, _GAP = 80, 2.0, 3.0
"""Places along a line that are tried; points between two points of a line; points between a line and its name."""

_SIDES = tuple((x, y) for x in (1, -1, 0) for y in (1, -1, 0) if (x, y) != (0, 0))


@styled
def name_lines(figure: Any, axes: Any, lines: Mapping[str, Any], others: Sequence[Any] = ()) -> None:
    """Writes the name of each line beside it, in its colour, where it covers no line; else it makes a legend.

    `others` are lines without names that names should not cover. The limits of the axes must be set before.
    """
    figure.draw_without_rendering()  # lays the figure out
    if len(lines) > MOST or not _named(figure, axes, lines, others):
        _legend(figure, lines)


def _named(figure: Any, axes: Any, lines: Mapping[str, Any], others: Sequence[Any]) -> bool:
    from matplotlib.patheffects import withStroke

    point = figure.dpi / 72
    box = axes.get_window_extent()
    inside = np.array([[box.x0, box.y0], [box.x1, box.y1]]) / point
    drawn = {name: _dense(line, inside, point) for name, line in lines.items()}
    obstacles = [_dense(line, inside, point) for line in others]
    taken: list[Points] = []
    texts = []
    for name, line in lines.items():
        text = axes.text(0, 0, name, color=line.get_color(), fontsize=7, va="bottom", ha="left", zorder=4)
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
        texts.append(text)
        extent = text.get_window_extent()
        rest = [points for other, points in drawn.items() if other != name] + obstacles
        place = _place(drawn[name], rest, np.array([extent.width, extent.height]) / point, inside, taken)
        if place is None:
            for each in texts:
                each.remove()
            return False
        taken.append(place)
        text.set_transform(axes.transAxes)
        text.set_position((place[0] - inside[0]) / (inside[1] - inside[0]))
    return True


def _dense(line: Any, inside: Points, point: float) -> Points:
    """The line as drawn, in points of the page, with no gap longer than `_STEP`; empty if it is outside."""
    with np.errstate(all="ignore"):
        corners = line.get_transform().transform(line.get_path().vertices) / point
    corners = corners[np.isfinite(corners).all(axis=1)]
    corners = np.clip(corners, inside[0] - 1, inside[1] + 1)
    if len(corners) < 2:
        return corners
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    at = np.linspace(0, along[-1], int(along[-1] / _STEP) + 2)
    return np.stack([np.interp(at, along, corners[:, axis]) for axis in (0, 1)], axis=1)


def _place(own: Points, rest: Sequence[Points], size: Points, inside: Points, taken: Sequence[Points]) -> Points | None:
    """The corners of the best place for a name: it covers nothing, and other lines are far from it."""
    others = np.concatenate([*rest, np.empty((0, 2))])
    best, found = -np.inf, None
    for anchor in own[np.linspace(0, len(own) - 1, _PLACES).astype(int)] if len(own) else ():
        for side in _SIDES:
            middle = anchor + side * (size / 2 + _GAP)
            corners = np.array([middle - size / 2, middle + size / 2])
            if (corners[0] < inside[0]).any() or (corners[1] > inside[1]).any():
                continue
            if any((corners[0] < other[1] + _GAP).all() and (other[0] - _GAP < corners[1]).all() for other in taken):
                continue
            to_others = _distance(corners, others)
            if _distance(corners, own) < _GAP / 2 or to_others < _GAP:
                continue
            score = min(to_others, 4 * size[1]) - 0.5 * (0 in side)
            if score > best + 1e-9:
                best, found = score, corners
    return found


def _distance(corners: Points, points: Points) -> float:
    """From a rectangle to the nearest point, 0 inside."""
    beyond = np.maximum(np.maximum(corners[0] - points, points - corners[1]), 0)
    return float(np.hypot(*beyond.T).min(initial=np.inf))


def _legend(figure: Any, lines: Mapping[str, Any]) -> None:
    """A legend below the plot, for which the figure grows."""
    columns = 2 if max(map(len, lines)) <= 22 else 1
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.16 * -(-len(lines) // columns))
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=columns, frameon=False)
