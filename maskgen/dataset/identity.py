"""By what a data set is known: the versions that shaped its bytes, and its fingerprint."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import Any

from ..imaging.variants import masked_names

DESCRIPTION = ("schema_version", "settings", "versions", "plan_sha256")
"""The parts of dataset.json whose hash is the fingerprint."""


SEARCH_VERSION = "2"
"""Version of the search for faces. Since 2, loosely framed photographs are searched in the middle first."""


def versions() -> dict[str, str]:
    """The versions, here, of what shapes the bytes of a data set."""
    packages = ("dlib-bin", "face_recognition_models", "numpy", "opencv-python-headless", "pillow", "pyarrow")
    return {"search": SEARCH_VERSION} | {name: _version(name) for name in ("maskgen", *packages)}


def facts(described: dict[str, Any], identities: list[str]) -> dict[str, Any]:
    """What dataset.json says of a data set before its shards are made: all that follows from settings and plan."""
    made = described["settings"]
    variants = list(masked_names(made["variants"]))
    given = {"fingerprint": fingerprint(described), "identities": identities, "store": made["store"]}
    return {**described, **given, "variants": variants}


def fingerprint(described: dict[str, Any]) -> str:
    """The hash by which shards, markers and caches know the data set they belong to."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"
