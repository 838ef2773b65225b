"""Small ONNX networks whose embedding can be worked out by hand: the mean of each channel in each quarter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

DIM = 12


def quarters(values: np.ndarray) -> np.ndarray:
    """What the networks give for pictures (N, size, size, 3) of prepared values: (N, 12), channel by channel."""
    n, size = values.shape[:2]
    half = size // 2
    parts = values.astype(np.float64).reshape(n, 2, half, 2, half, 3).mean((2, 4))  # (N, row, column, channel)
    return parts.transpose(0, 3, 1, 2).reshape(n, DIM)


def face_model(
    size: int = 112,
    batch: int | str = "n",
    layout: str = "nchw",
    shape: Sequence[int | str] | None = None,
    kind: int = TensorProto.FLOAT,
    nodes: Sequence[Any] | None = None,
    weights: Sequence[Any] = (),
    outputs: dict[str, Sequence[int | str]] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """The network as a model; `nodes` come between the pooled features `pooled` (N, 3, 2, 2) and the outputs."""
    half = size // 2
    shape = shape or ([batch, 3, size, size] if layout == "nchw" else [batch, size, size, 3])
    start, first = [], "faces"
    if kind == TensorProto.UINT8:
        start.append(helper.make_node("Cast", [first], ["floats"], to=TensorProto.FLOAT))
        first = "floats"
    if layout == "nhwc":
        start.append(helper.make_node("Transpose", [first], ["turned"], perm=[0, 3, 1, 2]))
        first = "turned"
    start.append(helper.make_node("AveragePool", [first], ["pooled"], kernel_shape=[half, half], strides=[half, half]))
    end = [helper.make_node("Flatten", ["pooled"], ["found"])] if nodes is None else list(nodes)
    out_kind = TensorProto.FLOAT16 if kind == TensorProto.FLOAT16 else TensorProto.FLOAT
    graph = helper.make_graph(
        [*start, *end],
        "small",
        [helper.make_tensor_value_info("faces", kind, shape)],
        [
            helper.make_tensor_value_info(name, out_kind, dims)
            for name, dims in (outputs or {"found": [batch, DIM]}).items()
        ],
        initializer=list(weights),
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def save(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def weights_elsewhere(values: np.ndarray, name: str = "w", **facts: object) -> Any:
    """A tensor that says its values are in another file: `location`, `offset` and `length`."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.astype("<f4").tobytes(), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in facts.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    return tensor
