"""Small pictures of faces for the page, from the data set or the protocol table of a report.

Every picture is checked: the photograph must show the person whom the scores name, or it is left out.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

import maskgen
from maskgen import Dataset
from maskgen.dataset.record import Row
from maskgen.errors import MaskgenError, Rejected
from maskgen.imaging.decode import decode
from maskgen.page.page import picture as url

from ..evaluation.protocol_table import read_protocol
from ..evaluation.report import Report
from .score_arrays import Pictured

SIDE, QUALITY = 104, 76
"""Pixels and JPEG quality of a picture: about 3 kB."""

ROOM = 0.45
"""So much of the side of a face is shown around it."""

Pixels = npt.NDArray[np.uint8]
Opened = Callable[[Pictured], str | None]
"""From a picture to the URL of its small copy; None if it cannot be shown."""


def opened_data(report: Report) -> Dataset | None:
    """The data set of a report, if it is still there and opens."""
    if report.settings.embeddings is not None or report.settings.protocol is not None:
        return None
    try:
        return maskgen.open(report.data)
    except (MaskgenError, OSError):
        return None


def source_of(report: Report, dataset: Dataset | None) -> Opened | None:
    """Where the pictures of a report come from; None if nothing can be opened."""
    if dataset is not None:
        rows: dict[str, Row | None] = {}
        return lambda wanted: _of_dataset(dataset, wanted, rows)
    table = report.settings.protocol
    if table is None:
        return None
    try:
        protocol = read_protocol(table)
    except (MaskgenError, OSError):
        return None
    people = (protocol.names[subject] for subject in protocol.subjects)
    known = dict(zip(protocol.labels, zip(protocol.paths, people, strict=True), strict=True))
    return lambda wanted: _of_table(known, wanted)


def _of_dataset(dataset: Dataset, wanted: Pictured, rows: dict[str, Row | None]) -> str | None:
    if wanted.photograph not in rows:
        try:
            rows[wanted.photograph] = dataset[wanted.photograph]
        except (MaskgenError, LookupError, OSError):
            rows[wanted.photograph] = None
    row = rows[wanted.photograph]
    if row is None or row.identity != wanted.subject:
        return None
    try:
        return _url(around(row.image(wanted.picture), row.box))
    except MaskgenError:
        return None


def _of_table(known: Mapping[str, tuple[Path, str]], wanted: Pictured) -> str | None:
    path, subject = known.get(wanted.photograph, (None, ""))
    if path is None or wanted.subject not in ("", subject):  # scores of earlier versions name no subjects
        return None
    return _of_file(path)


def _of_file(path: Path) -> str | None:
    try:
        return _url(decode(path.read_bytes()))
    except (OSError, Rejected):
        return None


def around(image: Pixels, box: npt.NDArray[np.float32]) -> Pixels:
    """A square of a picture around the box of a face, as far as it lies in the picture."""
    x0, y0, x1, y1 = (float(end) for end in box)
    half = (1 + 2 * ROOM) * max(x1 - x0, y1 - y0) / 2
    height, width = image.shape[:2]
    half = min(half, height / 2, width / 2)
    if not np.isfinite([x0, y0, x1, y1]).all() or half < 1:
        return image
    x = min(max((x0 + x1) / 2, half), width - half)
    y = min(max((y0 + y1) / 2 - 0.1 * half, half), height - half)
    return image[int(y - half) : int(y + half), int(x - half) : int(x + half)]


def _url(image: Pixels, size: tuple[int, int] = (SIDE, SIDE), quality: int = QUALITY) -> str:
    small = Image.fromarray(image)
    small.thumbnail(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=quality, optimize=True)
    return url(file.getvalue())


class Resized(NamedTuple):
    """A picture in the page, and the width of its file in pixels."""

    url: str
    width: int


def resized(path: Path, widest: int) -> Resized | None:
    """A picture file of ours, no wider than `widest`; None if it cannot be read."""
    try:
        image = decode(path.read_bytes())
    except (OSError, Rejected):
        return None
    return Resized(_url(image, (widest, 4 * widest), 80), image.shape[1])
