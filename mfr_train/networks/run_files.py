"""The files of a run folder by name, what they record about the run, and the error if they cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import files

from ..defaults import RUNS

EMBEDDING, SETTINGS = "embedding.safetensors", "settings.json"
BACKBONE, ONNX_BACKBONE = "backbone.safetensors", "backbone.onnx"
CURVE, TENSORBOARD = "curve.csv", "tensorboard"

CURVE_PLOT = "curve"
"""The name of the plot of the curve, without its ending."""

CARD = "README.md"
"""The model card."""

IDENTITIES = "identities.json"
"""The names of the identities that a run was trained on: figures measured on them are too good."""

CHECKPOINTS = "checkpoints"
"""Folder of a run's checkpoints."""

LOCK = ".mfr-lock"
"""Held by the process that trains in the folder."""


def newest_run(runs: Path = RUNS) -> Path:
    """The finished run under `runs` that was written last; if none is finished, the last unfinished one.

    Raises `UsageError` if there is no run.
    """
    found = [path for path in runs.glob("*/") if is_run(path)]
    if not found:
        raise UsageError(f"there is no trained run under {runs}/; run `mfr train`, or give --model dlib.")
    finished = [path for path in found if record_of(path).get("finished") is True]
    return max(finished or found, key=lambda path: max((path / name).stat().st_mtime for name in _parts(path)))


def record_of(path: Path) -> dict[str, Any]:
    """The content of a run's settings.json; empty if it cannot be read."""
    try:
        record = files.parse_json((path / SETTINGS).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def identities_of(path: Path) -> frozenset[str]:
    """The identities that a run, or the run with this file of weights, was trained on; empty if that is unknown."""
    file = (path if path.is_dir() else path.parent) / IDENTITIES
    try:
        names = files.parse_json(file.read_bytes())
    except (OSError, ValueError):
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk or a folder that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        raise MaskgenError(
            f"cannot write {path} ({error.strerror or error}); make room and run the same command again: "
            "it resumes from its last checkpoint."
        ) from None


def is_run(path: Path) -> bool:
    """Whether a folder is a run with something to measure."""
    return (path / SETTINGS).is_file() and bool(_parts(path))


def _parts(path: Path) -> list[str]:
    return [name for name in (EMBEDDING, BACKBONE) if (path / name).is_file()]
