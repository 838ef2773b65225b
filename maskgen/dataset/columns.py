"""Arrow columns from Python values and back, by their buffers.

`pa.array`, `to_numpy` and a plain value as an argument of `pyarrow.compute` import pandas if it is installed, to ask
whether they were given something of it. That takes as long as masking 20 photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def binary(kind: pa.DataType, values: Sequence[bytes]) -> pa.Array:
    """A column of text (given as UTF-8) or of bytes."""
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))])


def texts(values: Sequence[str]) -> pa.Array:
    return binary(pa.string(), [text.encode() for text in values])


def numbers(kind: pa.DataType, values: Any) -> pa.Array:
    """A column of numbers, from a sequence or an array of any shape."""
    flat = np.ascontiguousarray(values, dtype=kind.to_pandas_dtype()).ravel()
    return pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])


def flags(values: npt.NDArray[np.bool_]) -> pa.Array:
    return numbers(pa.uint8(), values).cast(pa.bool_())


def lists(kind: pa.DataType, values: Any) -> pa.Array:
    """A column of lists of a fixed size."""
    return pa.FixedSizeListArray.from_arrays(numbers(kind.value_type, values), type=kind)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The numbers or flags of a column without nulls."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if whole.type == pa.bool_():
        return to_numpy(whole.cast(pa.uint8())).astype(bool)
    return np.from_dlpack(whole)


def is_empty(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Whether each text of a column is empty."""
    return pc.invert(pc.binary_length(column).cast(pa.bool_()))
