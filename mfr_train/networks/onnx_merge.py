"""The graph of a run on an ONNX network: scaling of pictures, the network of others, and what stage 2 trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maskgen.errors import UsageError, short

from .backbone import Floats
from .module import EUM_SLOPE, Layer
from .preprocessing import BGR, NCHW, Preprocessing

NETWORK, MIRRORED = "network/", "mirrored/"
"""Before the names of nodes in the network, and in its copy that sees the mirror image."""


def graph_of(
    data: bytes, path: Path, made: Preprocessing, head: Layer | None, unmasking: Sequence[Layer], names: Sequence[str]
) -> bytes:
    """One ONNX file: faces, uint8 (N, S, S, 3) RGB -> embeddings of length 1.

    `data` is the network in the file `path`, `made` its complete preprocessing. `names` are those of the input, of the
    embedding, and with `unmasking` of that of masked faces. All operations but those of the network are in every opset.
    Raises `UsageError` for a network that takes a fixed number of pictures.
    """
    model = onnx.load_model_from_string(data)
    known = {each.name for each in model.graph.initializer}
    [taken] = [each for each in list(model.graph.input) if each.name not in known]
    if taken.type.tensor_type.shape.dim[0].dim_value:
        raise UsageError(f"the network of {short(path)} takes a fixed number of pictures, and cannot be exported.")
    del model.graph.input[:]
    model.graph.input.append(taken)
    build = _Builder()
    faces, features = names[0], []
    for prefix in (NETWORK, MIRRORED) if made.flip_sum else (NETWORK,):
        seen = faces if prefix == NETWORK else build.node("Gather", faces, _reversed(made.input_size or 0), axis=2)
        features.append(build.network(model.graph, prefix, taken, _scaled(build, seen, made, taken), made.output or ""))
    feature = build.node("Add", *features) if made.flip_sum else features[0]
    found = build.linear(feature, *head) if head else feature
    outputs = [build.node("LpNormalization", found, output=names[1], axis=1, p=2)]
    for number, layer in enumerate(unmasking):
        found = build.linear(build.node("LeakyRelu", found, alpha=EUM_SLOPE) if number else found, *layer)
    if unmasking:
        outputs.append(build.node("LpNormalization", found, output=names[2], axis=1, p=2))
    side = made.input_size
    width = len(head[1]) if head else len(unmasking[0][1]) if unmasking else None
    graph = helper.make_graph(
        build.nodes,
        "run",
        [helper.make_tensor_value_info(faces, TensorProto.UINT8, ["N", side, side, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width or "d"]) for name in outputs],
        [*build.weights, *model.graph.initializer],
        sparse_initializer=model.graph.sparse_initializer,
    )
    model.graph.CopyFrom(graph)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be inputs too
    made_of: bytes = model.SerializeToString(deterministic=True)
    return made_of


def _reversed(side: int) -> np.ndarray[Any, Any]:
    return np.arange(side - 1, -1, -1, dtype=np.int64)


def _scaled(build: _Builder, faces: str, made: Preprocessing, taken: Any) -> str:
    """What the network gets, as `onnx_network` makes it."""
    kind = taken.type.tensor_type.elem_type
    found = build.node("Gather", faces, np.array([2, 1, 0]), axis=3) if made.colors == BGR else faces
    if kind != TensorProto.UINT8:
        found = build.node("Cast", found, to=TensorProto.FLOAT)
        found = build.node("Sub", found, np.asarray(made.mean, np.float32))
        found = build.node("Div", found, np.asarray(made.scale, np.float32))
        found = build.node("Cast", found, to=kind)
    return build.node("Transpose", found, perm=[0, 3, 1, 2]) if made.layout == NCHW else found


class _Builder:
    """The nodes and the weights of a graph, with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *inputs: str | np.ndarray[Any, Any], output: str | None = None, **options: Any) -> str:
        """Adds a node and returns the name of what it gives; an input may be an array."""
        names = [each if isinstance(each, str) else self._weight(each) for each in inputs]
        output = output or f"run/{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **options))
        return output

    def linear(self, features: str, weight: Floats, bias: Floats) -> str:
        return self.node("Add", self.node("MatMul", features, np.ascontiguousarray(weight.T)), bias)

    def network(self, graph: Any, prefix: str, taken: Any, given: str, output: str) -> str:
        """Adds the nodes of a network that is given something, and returns the name of its embeddings (N, d)."""
        self.node("Identity", given, output=prefix + taken.name)
        self.nodes.extend(onnx.compose.add_prefix_graph(graph, prefix, rename_initializers=False).node)
        flat = self.node("Flatten", prefix + output, axis=1)
        return self.node("Cast", flat, to=TensorProto.FLOAT)

    def _weight(self, values: np.ndarray[Any, Any]) -> str:
        name = f"run/weight/{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name
