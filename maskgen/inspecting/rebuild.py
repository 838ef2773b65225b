"""The command that builds a data set again, from the settings in its dataset.json."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from ..page.text import clip
from ..pipeline.build_settings import BuildSettings
from ..settings import option_name

FILES = {"boxes": "CSV", "draws": "FILE", "predictor": "FILE", "detector-model": "FILE", "textures": "DIR"}
"""Settings that are files: a data set knows their hash, and not where they lay."""


def command(made: dict[str, Any], src: str, out: str) -> str:
    """A command line, one option a line; what a data set does not know of stands in capital letters."""
    options = [f"--src {shlex.quote(src)}", f"--out {shlex.quote(out)}"]
    for field in dataclasses.fields(BuildSettings):
        name = option_name(field)
        value = made.get(name)
        if field.metadata["run_only"] or value in _defaults(field, made):
            continue
        if name in FILES:
            options.append(f"--{name} {FILES[name]}")
        elif value is True:
            options.append(f"--{name}")
        else:
            options.append(f"--{name} {shlex.quote(clip(value))}")
    return " \\\n  ".join(["maskgen build", *options])


def _defaults(field: dataclasses.Field[Any], made: dict[str, Any]) -> list[Any]:
    """Values that need no option. Settings that an earlier version did not have are missing."""
    defaults: list[Any] = [field.default, None, False, [], ""]
    if field.name == "variants":
        defaults.append("random" if made.get("draws") else "all")
    if field.name == "detector":
        defaults.append("boxes" if made.get("boxes") else "hog")
    if field.name == "predictor":
        defaults.append("packaged")
    return defaults
