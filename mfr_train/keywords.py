"""Settings as keyword arguments, with the conversions that are natural in Python."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from maskgen.errors import UsageError
from maskgen.settings import from_keywords, is_repeated

T = TypeVar("T")

AnyPath = str | os.PathLike[str]
"""What stands for a path in Python calls: text, `pathlib.Path`, a `Run`."""


def settings_from(kind: type[T], given: T | None, options: Mapping[str, Any]) -> T:
    """The settings that a call gives, either as an object or as keywords.

    Text and path-like objects become a `Path` where a setting is one, text where it is text; a list becomes a tuple.
    Raises `UsageError` for both ways at once, an object of another type, or a keyword that is not a setting.
    """
    if given is not None:
        if options:
            raise UsageError(f"{next(iter(options))} is given beside {kind.__name__}; put it into the {kind.__name__}.")
        if not isinstance(given, kind):
            raise UsageError(f"settings are a {type(given).__name__}; give a {kind.__name__}, or keywords.")
        return given
    types_by_name = typing.get_type_hints(kind)
    return from_keywords(kind, {name: _converted(value, types_by_name.get(name)) for name, value in options.items()})


def _converted(value: Any, kind: Any) -> Any:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if isinstance(value, str | os.PathLike) and Path in kinds:
        return Path(value)
    if isinstance(value, os.PathLike) and str in kinds:
        return os.fspath(value)
    return tuple(value) if isinstance(value, list) and any(map(is_repeated, kinds)) else value
