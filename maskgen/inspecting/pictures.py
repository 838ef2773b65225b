"""Small pictures for a page: photographs, masked ones, landmarks drawn on them, and rejected ones from their source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np

from ..dataset.record import Row
from ..errors import MaskgenError, UsageError
from ..imaging.decode import decode
from ..imaging.render import Image
from ..page.page import picture
from ..sources.detect import locate
from ..sources.place import Container
from ..sources.reader import Reader

SIDE = 160
"""Of the longer side, in pixels: pictures are shown at about 110, and screens have more pixels than that."""

LARGE_SIDE = 240
"""Of pictures with landmarks."""

QUALITY = 75

MAX_BYTES = 32 << 20
"""Of a rejected photograph that is shown; a larger one would be read for a picture of five kilobytes."""

DECODED = ("no_face", "no_box", "no_central_face", "cut_by_frame", "not_frontal")
"""Reasons of photographs that could be decoded. What cannot be, or ended a process that tried, is not tried here."""

_DOT = (0, 200, 90)
_EDGE = (20, 40, 30)


def small(image: Image, landmarks: Any = None) -> str:
    """A picture as the URL of a small JPEG, with points (68, 2) drawn on it if they are given."""
    height, width = image.shape[:2]
    scale = (SIDE if landmarks is None else LARGE_SIDE) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    made = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if landmarks is not None:
        # Sixteenths of a pixel, and no further away than OpenCV can count.
        places = np.clip(np.asarray(landmarks, np.float64) * scale, -1000, 1000)
        for radius, color in ((2.0, _EDGE), (1.3, _DOT)):
            for x, y in (places * 16).round().astype(int).tolist():
                cv2.circle(made, (x, y), round(radius * 16), color, -1, cv2.LINE_AA, 4)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(made, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return picture(data.tobytes())


def photograph(row: Row, name: str = "unmasked", *, points: bool = False) -> str:
    """A picture of a row; empty if it is damaged."""
    try:
        return small(row.image(name), row.landmarks if points else None)
    except MaskgenError:
        return ""


def check_source(src: str) -> None:
    """Raises `UsageError` if nothing lies at `src`."""
    place, names = locate(src)
    if names is not None:
        Container(place, names[0]).close()
    elif not place.is_folder():
        raise UsageError(f"there is no folder --src {place}; give the source of the data set, or leave --src out.")


def rejected(rows: Sequence[dict[str, Any]], src: str) -> tuple[dict[str, str], str]:
    """Pictures of rejected photographs from their source, by key, and why others are missing; empty if none is."""
    found: dict[str, str] = {}
    problem = ""
    with Reader(src) as reader:
        for row in rows:
            if row["reason"] in DECODED and 0 < row["bytes"] <= MAX_BYTES and _is_inside(row):
                try:
                    found[row["key"]] = small(decode(reader.read(row)))
                except MaskgenError as error:
                    problem = problem or str(error)
    return found, problem


def _is_inside(row: dict[str, Any]) -> bool:
    """Whether the names of a plan, which may come from anyone, stay inside of the source."""
    names = [PurePosixPath(row[name]) for name in ("source", "container") if row.get(name)]
    return not any(name.is_absolute() or ".." in name.parts for name in names)
