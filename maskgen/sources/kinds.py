"""The kinds of sources, and the endings by which containers are known."""

from __future__ import annotations

ENDINGS = {"tar": ".tar", "parquet": ".parquet", "recordio": ".rec"}

KINDS = ("auto", "folders", *ENDINGS)


def kind_of(name: str) -> str | None:
    """The kind of container that a file's name tells, or None."""
    return next((kind for kind, ending in ENDINGS.items() if name.lower().endswith(ending)), None)
