"""Face networks in ONNX files, run by onnxruntime.

The usual form, in which the field publishes recognition models, is the default: RGB faces of 112 x 112 pixels aligned
to ArcFace's five points, values (x - 127.5) / 127.5, one embedding out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maskgen.errors import MaskgenError, UsageError, installing, short
from maskgen.imaging.align import SIDE

from ..defaults import MAX_INPUT_SIZE, ONNX
from ..hardware import cores
from . import onnx_file, onnx_metadata
from .backbone import CHUNK, Backbone, Floats
from .faces import Faces
from .frozen import checked, frozen
from .preprocessing import ARCFACE, BGR, NCHW, NHWC, NOTHING_GIVEN, RGB, Preprocessing, completed, described

USUAL = Preprocessing(RGB, 127.5, 127.5, SIDE, NCHW, ARCFACE)
SCALING = ("mean", "scale")
OPTIONS = ("colors", "input_size", "layout", "align", "flip_sum", "output")

TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""The types of input that pictures can be given as."""

CHANNELS = {NCHW: 1, NHWC: 3}
"""Where the channels are in the shape of each layout."""

MAX_BATCH = 1024

SAME = 1e-3
"""How far an embedding may move, in parts of its length, if its picture goes through the network beside another."""

TOGETHER = {"cpu": 4, "cuda": CHUNK}
"""Pictures that a network with any batch is given at once. On a CPU more cost more: their features leave its caches."""

Call = Callable[[Faces, list[str]], list[Any]]
"""Faces and names of outputs -> the outputs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """The input of a network: its name and type, and what the shape in the file says (None: nothing)."""

    name: str
    kind: Any
    batch: int | None
    layout: str | None
    size: int | None


def load(path: Path, given: Preprocessing = NOTHING_GIVEN, device: str = "cpu") -> Backbone:
    """The network of an ONNX file.

    Raises `UsageError` for a file that onnxruntime cannot run, that gives no embedding of a face, or that contradicts
    what is given.
    """
    what = f"the model {path}"
    data = onnx_file.read(path)
    session = _session(data, path, device)
    facts = onnx_metadata.read(session.get_modelmeta().custom_metadata_map, what)
    taken = _input(session, given.layout or facts.preprocessing.layout, what)
    made = _preprocessing(taken, given, facts.preprocessing, what)
    names = [output.name for output in session.get_outputs()]
    if made.output is not None and made.output not in names:
        raise UsageError(
            f"{what} has no output {short(made.output)!r}; give --output {' or '.join(map(short, names))}."
        )

    def call(faces: Faces, outputs: list[str]) -> list[Any]:
        """The outputs of so many faces as the network takes at once."""
        try:
            found: list[Any] = session.run(outputs, {taken.name: _values(faces, made, taken.kind)})
        except Exception as error:  # onnxruntime's errors have no class in common but this one
            raise _error(error, what) from None
        return found

    size = made.input_size or SIDE
    samples = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    wanted = [made.output] if made.output else names
    first = call(np.repeat(samples[:1], taken.batch or 1, axis=0), wanted)
    masked = facts.masked_output if given.output is None else None
    name, alone = _embedding(dict(zip(wanted, first, strict=True)), taken.batch or 1, what)
    outputs = [name, *_second(masked, names, what)]
    dim = alone.shape[1]
    together = taken.batch or (TOGETHER[device] if _takes_several(call, name, samples, alone) else 1)
    made = replace(made, output=name)

    def run(faces: Faces) -> Floats:
        found = []
        for start in range(0, len(faces), together):
            part = faces[start : start + together]
            if taken.batch:
                part = np.concatenate([part, np.repeat(part[-1:], taken.batch - len(part), axis=0)])
            several = [checked(_flat(output), len(part), dim, what) for output in call(part, outputs)]
            found.append(np.concatenate(several, axis=1)[: len(faces) - start])
        return np.concatenate(found)

    text = json.dumps(described(made) | ({"masked": masked} if masked else {}), sort_keys=True)
    prints = [hashlib.sha256(f"onnxruntime {text} ".encode() + data).hexdigest()]
    if replace(made, output=None) == USUAL:
        # Before, OpenCV ran such networks: an embedding trained on those features fits, since they differ by 1e-5.
        prints.append(hashlib.sha256(f"arcface {SIDE} ".encode() + data).hexdigest())
    backbone = frozen(ONNX, what, len(outputs) * dim, run, made, tuple(prints))
    return replace(backbone, pairs=len(outputs) > 1)


def _second(masked: str | None, names: list[str], what: str) -> list[str]:
    """The output with the embedding of a masked face, if the metadata name one."""
    if masked is None:
        return []
    if masked not in names:
        raise UsageError(f"the metadata of {what} name an output {short(masked)!r} that it lacks; export it again.")
    return [masked]


def _session(data: bytes, path: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"the model {path} needs onnxruntime, which is not installed; {installing('onnx')}.") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are exceptions, and are reported below
    options.intra_op_num_threads = cores()
    # Threads that wait in a loop would take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda":
        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            # Without use_tf32=0 the factors of a convolution are rounded to 10 bits.
            providers.insert(0, ("CUDAExecutionProvider", {"use_tf32": "0"}))
        else:
            log.warning(
                "%s runs on the CPU, since this onnxruntime has no CUDA; install onnxruntime-gpu instead.", path
            )
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no class in common but this one
        raise _error(error, f"the model {path}") from None


def _error(error: Exception, what: str) -> MaskgenError:
    """An error of onnxruntime as a sentence."""
    text = str(error)
    if found := re.search(r"Opset (\d+) is under development.*?is till opset (\d+)", text, re.S):
        return UsageError(
            f"{what} has opset {found[1]}, and this onnxruntime knows {found[2]} at most; export it with "
            f"opset {found[2]}, or install a newer onnxruntime."
        )
    if found := re.search(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", text):
        return UsageError(
            f"{what} has version {found[1]} of the format, and this onnxruntime knows {found[2]} at most; "
            "export it with an older version of onnx, or install a newer onnxruntime."
        )
    if found := re.search(r"Fatal error: (\S+?)\(-?\d+\) is not a registered|No Op registered for (\S+)", text) or (
        re.search(r"Could not find an implementation for (\S+?)\(", text)
    ):
        name = short(next(filter(None, found.groups())))
        return UsageError(
            f"{what} uses the operation {name!r}, which onnxruntime does not have; export it with standard operations."
        )
    if re.search(r"[Ff]ailed to allocate memory|bad_?alloc|CUDA out of memory", text):
        return MaskgenError(
            f"memory ran out while onnxruntime ran {what}; end other programs, or give a smaller model."
        )
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+ |Please fix .*", "", text)
    return UsageError(f"onnxruntime cannot run {what} ({short(said)}); export it again.")


def _input(session: Any, layout: str | None, what: str) -> Input:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        named = f"the inputs {', '.join(short(one.name) for one in inputs)}" if inputs else "no input"
        raise UsageError(f"{what} has {named}; give one whose only input is the pictures.")
    [one] = inputs
    if one.type not in TYPES:
        raise UsageError(f"{what} takes {short(one.type)}; give one that takes pictures as float or uint8.")
    shape = [size if isinstance(size, int) and size > 0 else None for size in one.shape]
    if len(shape) != 4:
        raise UsageError(
            f"the input of {what} has {len(shape)} dimensions; give one that takes four: pictures, channels, height "
            "and width."
        )
    if (shape[0] or 0) > MAX_BATCH:
        raise UsageError(f"{what} takes {shape[0]} pictures at once; export it for {MAX_BATCH} at most.")
    said = [each for each, place in CHANNELS.items() if shape[place] == 3]
    possible = said or [each for each, place in CHANNELS.items() if shape[place] is None]
    if not possible:
        raise UsageError(f"{what} takes pictures of shape {shape[1:]}; give one that takes three channels.")
    if layout and layout not in possible:
        raise UsageError(f"the shape of the input of {what}, {shape}, is not --layout {layout}; leave it out.")
    found = layout or possible[0]
    sides = {side for place, side in enumerate(shape) if place not in (0, CHANNELS[found]) and side}
    if len(sides) > 1:
        raise UsageError(
            f"{what} takes pictures of {min(sides)} and {max(sides)} pixels; give one for square pictures."
        )
    size = sides.pop() if sides else None
    if (size or 0) > MAX_INPUT_SIZE:
        raise UsageError(f"{what} takes pictures of {size} pixels; give one for {MAX_INPUT_SIZE} at most.")
    return Input(one.name, TYPES[one.type], shape[0], found, size)


def _preprocessing(taken: Input, given: Preprocessing, recorded: Preprocessing, what: str) -> Preprocessing:
    """What was given, else what the metadata of the file record, else the usual."""
    if taken.size and recorded.input_size not in (None, taken.size):
        raise UsageError(
            f"the metadata of {what} say {recorded.input_size} pixels, and its input has {taken.size}; export it again."
        )
    if taken.size and given.input_size not in (None, taken.size):
        raise UsageError(
            f"{what} takes pictures of {taken.size} pixels, not {given.input_size}; leave --input-size out."
        )
    usual = replace(USUAL, **{name: getattr(recorded, name) for name in recorded.given()})
    usual = replace(usual, layout=taken.layout, input_size=taken.size or usual.input_size)
    if taken.kind == np.uint8:
        return completed(given, replace(usual, mean=0.0, scale=1.0), OPTIONS, f"{what}, whose input is uint8")
    return completed(given, usual, OPTIONS + SCALING, what)


def _values(faces: Faces, made: Preprocessing, kind: Any) -> npt.NDArray[Any]:
    """What the network gets for faces, uint8 (N, size, size, 3) RGB."""
    values: npt.NDArray[Any] = faces[..., ::-1] if made.colors == BGR else faces
    if kind != np.uint8:
        values = (values.astype(np.float32) - np.asarray(made.mean, np.float32)) / np.asarray(made.scale, np.float32)
    if made.layout == NCHW:
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values, kind)


def _embedding(outputs: dict[str, Any], count: int, what: str) -> tuple[str, Floats]:
    """The output that is an embedding of each of `count` pictures, by its name. Raises `UsageError` if it isn't one."""
    found = {name: _flat(output) for name, output in outputs.items() if _is_embedding(output, count)}
    if len(found) == 1:
        return found.popitem()
    if found:
        several = ", ".join(f"{short(name)} of length {each.shape[1]}" for name, each in found.items())
        raise UsageError(f"{what} has several outputs that may be the embedding ({several}); choose one with --output.")
    [first, *_] = [np.shape(output) for output in outputs.values()] or [()]
    faces = "one face" if count == 1 else f"{count} faces"
    raise UsageError(f"{what} gives {first} for {faces}, which is not an embedding; give another ONNX file.")


def _is_embedding(output: Any, count: int) -> bool:
    return (
        isinstance(output, np.ndarray)
        and np.issubdtype(output.dtype, np.floating)
        and output.ndim >= 2
        and output.shape[0] == count
        and output.size == count * output.shape[1] > 0
    )


def _flat(output: npt.NDArray[Any]) -> Floats:
    """An output (N, d) or (N, d, 1, 1) as float32 (N, d)."""
    return output.reshape(output.shape[:2]).astype(np.float32) if output.size == np.prod(output.shape[:2]) else output


def _takes_several(call: Call, name: str, samples: Faces, alone: Floats) -> bool:
    """Whether a network gives a picture the same embedding beside another one as alone.

    Some are exported for one picture though their shape says otherwise, and others scale by all they get.
    """
    try:
        [output] = call(samples, [name])
    except MaskgenError:
        return False
    found = _flat(output)
    if found.shape != (2, alone.shape[1]):
        return False
    return bool(np.linalg.norm(found[0] - alone[0]) <= SAME * np.linalg.norm(alone[0]))
