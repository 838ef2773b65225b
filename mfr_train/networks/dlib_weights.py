"""Reads the weights of dlib's face network from its file, dlib_face_recognition_resnet_model_v1.dat.

The format is that of dlib's `serialize`, as dlib/serialize.h, dlib/cuda/tensor.h and dlib/dnn define it. An integer is
a byte with its length (and 0x80 if it is negative) and its bytes, little end first; a real number is a mantissa and
an exponent of 2; a tensor is a version, four sizes and its values as float32. A network is written from the outside to
the inside: the versions of all layers, from the last to the first, then the details of each, from the first to the
last. The layers are those of dlib's example dnn_face_recognition_ex.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .backbone import Floats

INPUT_SIDE = 150
STEM_FILTERS, STEM_SIZE = 32, 7
DIM = 128

BLOCKS: tuple[tuple[int, int], ...] = (
    *[(32, 1)] * 3, (64, 2), *[(64, 1)] * 3, (128, 2), *[(128, 1)] * 2, (256, 2), *[(256, 1)] * 2, (256, 2),
)  # fmt: skip
"""Filters and stride of each residual block, from the first to the last: two 3 x 3 convolutions each."""

Convolution = tuple[Floats, Floats]
"""Filters (out, in, height, width) and biases (out,)."""


@dataclass(frozen=True)
class Weights:
    """What the file holds: the mean of the input (3,), each convolution, and the last matrix (256, 128).

    The affine layer behind a convolution is part of its filters and biases.
    """

    mean: Floats
    convolutions: tuple[Convolution, ...]
    projection: Floats


def parse(data: bytes) -> Weights:
    """The weights in the bytes of the file. Raises `ValueError` if they are anything else."""
    reader = _Reader(data)
    reader.expect(1)
    reader.expect_text("loss_metric_2")
    reader.real(), reader.real()  # margin and threshold of the loss
    layers = tuple(_layers())
    for layer in reversed(layers[1:]):
        reader.expect(1 if layer == "tag" else 2)
    reader.expect(3)  # the first layer, which holds the input
    reader.expect_text("input_rgb_image_sized")
    mean = np.array([reader.real() for _ in range(3)], np.float32)
    reader.expect(INPUT_SIDE, INPUT_SIDE)
    convolutions: list[Convolution] = []
    channels, projection = 3, np.empty(0, np.float32)
    for number, layer in enumerate(layers):
        name, *shape = layer.split()
        sizes = [int(size) for size in shape]
        if name == "tag":
            continue  # has no details
        if name == "con":
            convolutions.append(_convolution(reader, channels, *sizes))
            channels = sizes[0]
        elif name == "affine":
            convolutions[-1] = _scaled(reader, *convolutions[-1])
        elif name == "fc":
            projection = _projection(reader, channels)
        elif name in ("max_pool", "avg_pool"):
            size, stride = sizes
            reader.expect_text(f"{name}_2")
            reader.expect(size, size, stride, stride, 0, 0)
        else:
            reader.expect_text(f"{name}_")
        _state(reader, first=number == 0)
    if reader.place != len(data):
        raise ValueError("bytes are left over")
    return Weights(mean, tuple(convolutions), projection)


def _layers() -> Iterator[str]:
    """The layers from the first to the last, with their sizes: filters, size and stride, or size and stride."""
    yield from (f"con {STEM_FILTERS} {STEM_SIZE} 2", "affine", "relu", "max_pool 3 2")
    for filters, stride in BLOCKS:
        yield from ("tag", f"con {filters} 3 {stride}", "affine", "relu", f"con {filters} 3 1", "affine")
        if stride == 2:
            yield from ("tag", "tag", "avg_pool 2 2")  # the second is a skip layer, written as a tag is
        yield from ("add_prev", "relu")
    yield from ("avg_pool 0 1", f"fc {DIM}")  # 0: of everything


def _convolution(reader: _Reader, channels: int, filters: int, size: int, stride: int) -> Convolution:
    padding = size // 2 if stride == 1 else 0  # dlib's default
    reader.expect_text("con_4")
    values = reader.tensor(filters * channels * size * size + filters)
    reader.expect(filters, size, size, stride, stride, padding, padding)
    reader.expect(1, filters, channels, size, size)  # version and sizes of the part of `values` that is the filters
    reader.expect(1, 1, filters, 1, 1)  # of the biases
    for _ in range(4):
        reader.real()  # multipliers of learning rate and weight decay
    return values[:-filters].reshape(filters, channels, size, size), values[-filters:]


def _scaled(reader: _Reader, weight: Floats, bias: Floats) -> Convolution:
    """A convolution and the affine layer that follows it, as one convolution."""
    filters = len(bias)
    reader.expect_text("affine_")
    values = reader.tensor(2 * filters).astype(np.float64)
    reader.expect(1, 1, filters, 1, 1)
    reader.expect(1, 1, filters, 1, 1)
    reader.expect(0)  # one scale and offset for each filter
    gamma, beta = values[:filters], values[filters:]
    return (gamma[:, None, None, None] * weight).astype(np.float32), (gamma * bias + beta).astype(np.float32)


def _projection(reader: _Reader, channels: int) -> Floats:
    reader.expect_text("fc_2")
    reader.expect(DIM, channels)
    values = reader.tensor(channels * DIM)
    reader.expect(1, channels, DIM, 1, 1)
    reader.expect(1, 0, 0, 0, 0)  # no biases
    reader.expect(1)
    for _ in range(4):
        reader.real()
    return values.reshape(channels, DIM)


def _state(reader: _Reader, first: bool) -> None:
    """What every layer holds for training: three flags, and three tensors that are empty in a trained network."""
    reader.flags(3)
    for _ in range(3):
        reader.tensor(0)
    if first:
        reader.expect(1)  # how many samples an image becomes


class _Reader:
    """Takes values from the front of the data. Raises `ValueError` if something else is there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        start, self.place = self.place, self.place + count
        if not 0 <= count <= len(self.data) - start:
            raise ValueError("the data end early")
        return self.data[start : self.place]

    def integer(self) -> int:
        control = self.take(1)[0]
        if control & 0x70 or not 1 <= control & 0x0F <= 8:
            raise ValueError("no integer")
        value = int.from_bytes(self.take(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def real(self) -> float:
        mantissa, exponent = self.integer(), self.integer()
        if abs(exponent) > 1024:
            raise ValueError("no finite number")
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            raise ValueError("no finite number") from None

    def expect(self, *values: int) -> None:
        if any(self.integer() != value for value in values):
            raise ValueError("another number was expected")

    def expect_text(self, text: str) -> None:
        self.expect(len(text))
        if self.take(len(text)) != text.encode():
            raise ValueError("another layer was expected")

    def flags(self, count: int) -> None:
        if set(self.take(count)) - set(b"01"):
            raise ValueError("no flag")

    def tensor(self, count: int) -> Floats:
        self.expect(2)
        if math.prod(self.integer() for _ in range(4)) != count:
            raise ValueError("a tensor of another size")
        values = np.frombuffer(self.take(4 * count), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("a value is no finite number")
        return values
