"""What an ONNX file of ours says about itself: its preprocessing and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maskgen.errors import UsageError, short

from . import preprocessing
from .preprocessing import NOTHING_GIVEN, Preprocessing

PREFIX = "mfr."
MASKED_OUTPUT = "mfr.masked_output"
"""Names the output that is the embedding of a masked face, where it is another one."""

FIELDS = ("colors", "mean", "scale", "input_size", "layout", "align", "flip_sum", "output")
"""The fields of `Preprocessing` in the metadata."""


@dataclass(frozen=True)
class Metadata:
    """What the metadata of a file say, as far as a network is run by it."""

    preprocessing: Preprocessing = NOTHING_GIVEN
    masked_output: str | None = None


def written(made: Preprocessing, masked_output: str | None, origin: Mapping[str, str]) -> dict[str, str]:
    """The metadata of a file: its preprocessing, and what `origin` says about it, each under `mfr.`."""
    values = preprocessing.described(made)
    found = {
        PREFIX + name: _text(values[name.replace("_", "-")]) for name in FIELDS if name.replace("_", "-") in values
    }
    if masked_output:
        found[MASKED_OUTPUT] = masked_output
    return found | {PREFIX + name: text for name, text in origin.items()}


def with_preprocessing(data: bytes, made: Preprocessing) -> bytes:
    """The same ONNX file with a preprocessing in its metadata; its other metadata stay."""
    import onnx

    model = onnx.load_model_from_string(data)
    there = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, there | written(made, None, {}))
    found: bytes = model.SerializeToString(deterministic=True)
    return found


def read(texts: Mapping[str, str], what: str) -> Metadata:
    """The metadata of a file, which may come from anyone. Files of others have none.

    Raises `UsageError` for values that no option accepts.
    """
    there = {name: texts[PREFIX + name] for name in FIELDS if PREFIX + name in texts}
    values: dict[str, Any] = dict(there)
    if (size := there.get("input_size")) is not None and re.fullmatch("[0-9]{1,9}", size):
        values["input_size"] = int(size)
    if (flip := there.get("flip_sum")) in ("true", "false"):
        values["flip_sum"] = flip == "true"
    try:
        made = preprocessing.checked(Preprocessing(**values))
    except UsageError as error:
        raise UsageError(f"the metadata of {what} are damaged: {short(error)} Export it again.") from None
    return Metadata(made, texts.get(MASKED_OUTPUT))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(repr, value)) if isinstance(value, list | tuple) else str(value)
