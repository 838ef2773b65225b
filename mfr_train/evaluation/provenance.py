"""When a report was made, and with which versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from datetime import UTC, datetime

from maskgen.errors import UsageError

from ..version import __version__

LIBRARIES = ("numpy", "torch", "onnxruntime")
"""They shape embeddings and figures."""


def date() -> str:
    """The time, in UTC and ISO 8601; that of SOURCE_DATE_EPOCH (seconds since 1970) if the environment has it."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        made = datetime.now(UTC) if given is None else datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH is {given!r}; give a number of seconds, or unset it.") from None
    return made.isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions of this project, of Python, and of those of `LIBRARIES` that are loaded."""
    loaded = {name: importlib.metadata.version(name) for name in LIBRARIES if name in sys.modules}
    return {"maskgen": __version__, "python": platform.python_version(), **loaded}
