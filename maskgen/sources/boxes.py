"""Boxes files in VGGFace2's layout, which replace detection."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..errors import UsageError


def read_boxes(paths: tuple[Path, ...]) -> tuple[pa.Array, npt.NDArray[np.float32]]:
    """Reads boxes files in VGGFace2's layout: NAME_ID, X, Y, W, H with NAME_ID as "n000002/0001_01".

    Returns the names, sorted, and float32 (n, 4) x0, y0, x1, y1 in pixels. Raises `UsageError` that names the file.
    """
    tables = []
    for path in paths:
        try:
            table = pyarrow.csv.read_csv(path)
            number = [table[name].cast(pa.float64()).to_numpy() for name in ("X", "Y", "W", "H")]
            names = pc.utf8_trim(table["NAME_ID"].cast(pa.string()), ' "')
        except (OSError, KeyError, pa.ArrowException) as error:
            code = getattr(error, "errno", None)
            said = os.strerror(code) if code else re.sub(r"\s+", " ", str(error)).rstrip(".")
            raise UsageError(f"cannot read --boxes {path}: {said}; it needs NAME_ID,X,Y,W,H.") from None
        x, y, w, h = number
        if not (np.isfinite(number).all() and (w > 0).all() and (h > 0).all() and np.abs(number).max(initial=0) < 1e6):
            raise UsageError(f"--boxes {path} has a box without size or out of range; mend that line.")
        tables.append((names.combine_chunks(), np.stack([x, y, x + w, y + h], axis=1)))
    names = pa.concat_arrays([table[0] for table in tables])
    boxes = np.concatenate([table[1] for table in tables]).astype(np.float32)
    order = pc.sort_indices(names)
    return names.take(order), boxes[order.to_numpy()]


def box_name(source: str, identity: str) -> str:
    """The name a boxes file has for a photograph: identity and file name without its ending."""
    return f"{identity}/{source.rpartition('/')[2].rpartition('.')[0]}"
