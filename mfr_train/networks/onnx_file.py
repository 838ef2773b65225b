"""An ONNX file as bytes that hold all its weights, also those that it keeps in files beside itself."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskgen.errors import UsageError, installing, short

LARGEST = 2**31 - 1
"""Bytes of a model in memory: protobuf has no larger messages."""


def read(path: Path) -> bytes:
    """The model in an ONNX file; one whose weights lie in other files gets them.

    Such a file may name any other file of this machine. Only plain files in the folder of the model are read. Raises
    `UsageError` if that cannot be done.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"the model {path} has more than 2 GiB; export it with smaller weights.")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the model {path}: {error.strerror}; give an ONNX file.") from None
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise UsageError(f"the model {path} needs onnx, which is not installed; {installing('onnx')}.") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        model.Clear()
    if not model.HasField("graph"):
        raise UsageError(f"{path} is no ONNX file, or it is damaged; export the network again.")
    elsewhere = [tensor for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    size = len(data)
    for tensor in elsewhere:
        size += _fill(tensor, path, LARGEST - size)
    return model.SerializeToString(deterministic=True) if elsewhere else data


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor in a message of ONNX, wherever it lies: among the weights, in nodes, in graphs inside of nodes."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if _is_repeated(value) else (value,):
                if field.message_type.name == "TensorProto":
                    yield part
                else:
                    yield from _tensors(part)


def _is_repeated(value: Any) -> bool:
    return hasattr(value, "add")


def _fill(tensor: Any, path: Path, room: int) -> int:
    """Reads the values of a tensor from the file that it names, and returns how many bytes they have."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    name = facts.get("location", "")
    where = path.parent / name
    if not name or Path(name).name != name or "\\" in name or ":" in name or "\0" in name:
        raise UsageError(
            f"the model {path} has weights in {short(name)!r}, which is not the name of a file beside it; export it as "
            "one file."
        )
    try:
        offset, length = int(facts.get("offset") or 0), int(facts.get("length") or -1)
        found = where.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{where}, which has weights of {path.name}, is not a plain file; put a copy there.")
        end = found.st_size if length < 0 else offset + length
        if not 0 <= offset <= end <= found.st_size:
            raise UsageError(f"{where} is too short for the weights of {path.name}; copy both files again.")
        if end - offset > room:
            raise UsageError(f"the model {path} has more than 2 GiB with its weights; export it with smaller ones.")
        with where.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(end - offset)
    except OSError as error:
        raise UsageError(f"cannot read {where} with weights of {path.name}: {error.strerror}; copy both.") from None
    except ValueError:
        raise UsageError(f"{path} does not say properly where its weights are; export the network again.") from None
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    return end - offset
