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

_COLUMNS = pyarrow.csv.ConvertOptions(
    column_types={"NAME_ID": pa.string(), **dict.fromkeys("XYWH", pa.float64())},
    include_columns=["NAME_ID", *"XYWH"],
)


def read_boxes(paths: tuple[Path, ...]) -> tuple[pa.Array, npt.NDArray[np.float32]]:
    """Reads boxes files in VGGFace2's layout: NAME_ID, X, Y, W, H with NAME_ID as "n000002/0001_01".

    Returns the names, sorted, and float32 (n, 4) x0, y0, x1, y1 in pixels. Raises `UsageError` that names the file, or
    the photograph that has two boxes.
    """
    parts = []
    for path in paths:
        try:
            with pyarrow.csv.open_csv(path, convert_options=_COLUMNS) as batches:
                parts += [(pc.utf8_trim(batch["NAME_ID"], ' "'), _corners(path, batch)) for batch in batches]
        except (OSError, KeyError, pa.ArrowException) as error:
            code = getattr(error, "errno", None)
            said = os.strerror(code) if code else re.sub(r"\s+", " ", str(error)).rstrip(".")
            raise UsageError(f"cannot read --boxes {path}: {said}; it needs NAME_ID,X,Y,W,H.") from None
    names = pa.chunked_array([part[0] for part in parts], pa.string()).combine_chunks()
    boxes = np.concatenate([part[1] for part in parts] or [np.empty((0, 4), np.float32)])
    del parts
    order = pc.sort_indices(names)
    names, boxes = names.take(order), boxes[order.to_numpy()]
    again = pc.fill_null(pc.equal(names[1:], names[:-1]), False).to_numpy(zero_copy_only=False)
    differ = np.flatnonzero(again & (boxes[1:] != boxes[:-1]).any(axis=1))
    if len(differ):
        raise UsageError(f"--boxes has two boxes for {names[int(differ[0])].as_py()}; leave one of them.")
    return names, boxes


def _corners(path: Path, batch: pa.RecordBatch) -> npt.NDArray[np.float32]:
    """The boxes of some lines as x0, y0, x1, y1."""
    x, y, w, h = (batch[name].to_numpy(zero_copy_only=False) for name in ("X", "Y", "W", "H"))
    corners = np.stack([x, y, w, h])
    if not (np.isfinite(corners).all() and (corners[2:] > 0).all() and np.abs(corners).max(initial=0) < 1e6):
        raise UsageError(f"--boxes {path} has a box without size or out of range; correct that line.")
    return np.stack([x, y, x + w, y + h], axis=1).astype(np.float32)


def box_names(sources: pa.ChunkedArray, identities: pa.ChunkedArray) -> pa.ChunkedArray:
    """The names that boxes files have for photographs: identity and file name without its ending."""
    stems = pc.replace_substring_regex(sources, r"(?s)^(?:.*/)?(?:([^/]*)\.)?[^/.]*$", r"\1")
    return pc.binary_join_element_wise(identities, stems, "/")
