"""Settings as frozen dataclasses: one declaration gives the default, the option, its help text and its validation."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import os
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from .errors import UsageError, short
from .storage.uri import redacted

T = TypeVar("T")

_NUMBERS: dict[type, type] = {int: numbers.Integral, float: numbers.Real}

_LARGEST = 2**63 - 1
"""The largest integer if no other bound is set: a larger one overflows the counters of the libraries used."""


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    metavar: str | None = None,
    run_only: bool = False,
) -> Any:
    """Declares one setting of a settings dataclass.

    `low` and `high` are the bounds of a number, both included. `run_only` marks a setting that changes how the work
    runs but not what it writes, such as the number of workers: fingerprints leave it out.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "low": low,
        "high": high,
        "metavar": metavar,
        "run_only": run_only,
    }
    return dataclasses.field(default=default, metadata=metadata)


def same_setting(kind: type[Any], name: str) -> Any:
    """Declares a setting that another settings dataclass declares too."""
    there = kind.__dataclass_fields__[name]
    return dataclasses.field(default=there.default, metadata=there.metadata)


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name of a setting on the command line and in a TOML file: `shard-size` for `shard_size`."""
    return field.name.replace("_", "-")


def from_keywords(settings: type[T], options: Mapping[str, Any]) -> T:
    """Settings made from the keyword arguments of a Python call.

    Raises `UsageError` for a misspelled or missing keyword. The values are checked by `check`.
    """
    fields = [field for field in dataclasses.fields(typing.cast(Any, settings)) if field.init]
    names = [field.name for field in fields]
    for name in options:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, 1)
            advice = f"did you mean {nearest[0]!r}?" if nearest else f"the settings are {', '.join(names)}."
            raise UsageError(f"there is no setting {name!r}; {advice}")
    for field in fields:
        if field.name not in options and field.default is field.default_factory is dataclasses.MISSING:
            raise UsageError(f"the setting {field.name!r} is missing; add {field.name}=... to the call.")
    return settings(**options)


def check(settings: Any) -> None:
    """Validates every value against its declaration. Raises a `UsageError` that names the option."""
    kinds = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value, rule = getattr(settings, field.name), field.metadata
        name, kind = option_name(field), kinds[field.name]
        if not _is_a(value, kind):
            raise UsageError(f"--{name} is {value!r}; give {_type_name(kind)}.")
        if value is None or not rule:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--{name} is {value}; give a finite number.")
        if type(value) is int and abs(value) > _LARGEST:
            raise UsageError(f"--{name} is {value}; give a number of at most {_LARGEST}.")
        for path in value if isinstance(value, tuple) else (value,):
            if isinstance(path, Path):
                _check_path(name, path)
        if rule["choices"] and value not in rule["choices"]:
            raise UsageError(f"--{name} is {value!r}; choose one of {', '.join(rule['choices'])}.")
        if rule["low"] is not None and not value >= rule["low"]:
            raise UsageError(f"--{name} is {value}; give a number of at least {rule['low']:g}.")
        if rule["high"] is not None and not value <= rule["high"]:
            raise UsageError(f"--{name} is {value}; give a number of at most {rule['high']:g}.")


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value has the type of a setting. An integer is a valid float; a bool is no number."""
    if isinstance(kind, types.UnionType):
        return any(_is_a(value, one) for one in typing.get_args(kind))
    if is_repeated(kind):
        return isinstance(value, tuple) and all(_is_a(item, typing.get_args(kind)[0]) for item in value)
    return isinstance(value, _NUMBERS.get(kind, kind)) and (kind is bool or not isinstance(value, bool))


def _type_name(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_type_name(one) for one in typing.get_args(kind))
    if is_repeated(kind):
        return f"a tuple of {_type_name(typing.get_args(kind)[0])}"
    return "None" if kind is types.NoneType else str(kind.__name__)


def _check_path(name: str, path: Path) -> None:
    """Raises `UsageError` for a path that the file system rejects: a name too long, a circle of links."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except OSError as error:
        raise UsageError(
            f"--{name} {short(path)!r} is not a valid path ({error.strerror}); give another one."
        ) from None


def jsonable(settings: Any, *, run_only: bool = True) -> dict[str, Any]:
    """The settings as JSON values, keyed by option name. `run_only=False` leaves out the run-only settings."""
    return {
        option_name(field): _plain(_declared(field, getattr(settings, field.name)))
        for field in dataclasses.fields(settings)
        if run_only or not field.metadata.get("run_only")
    }


def _declared(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value as its declared type: 1 becomes 1.0 for a float, and a number of numpy becomes one of Python."""
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral) and not str(field.type).startswith("float"):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def is_repeated(kind: Any) -> bool:
    """Whether a type is a tuple, which is an option that may be repeated."""
    return typing.get_origin(kind) is tuple


def read_toml(path: Path | str, settings: type[Any]) -> dict[str, str | list[str]]:
    """Reads the `option = value` lines of a TOML file as texts of the command line, keyed by Python name.

    Every value becomes the text of its option, so that files and command lines are validated by the same rules. A list
    becomes several texts if the option may be repeated, otherwise one text with commas. Raises `UsageError` for a file
    that cannot be read, a name that is not a setting, or a value that no option accepts.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}; check --config.") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested too deeply
        raise UsageError(f"{path} is not a TOML file: {short(error)}; fix that line.") from None
    kinds = typing.get_type_hints(settings)
    values: dict[str, str | list[str]] = {}
    for name, value in table.items():
        python_name = name.replace("-", "_")
        if python_name not in kinds:
            raise UsageError(f"{path} sets {name!r}, which is not an option of this command; see --help for the names.")
        texts = [_option_text(item) for item in (value if isinstance(value, list) else [value])]
        if None in texts or not (texts or is_repeated(kinds[python_name])):
            raise UsageError(
                f"{path} sets {name!r} to a value that no option accepts; write a number, true, false or a string."
            )
        given = [text for text in texts if text is not None]
        values[python_name] = given if is_repeated(kinds[python_name]) else ",".join(given)
    return values


def _option_text(value: Any) -> str | None:
    """A TOML value as a text of the command line; None if there is no such text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return value if isinstance(value, str) and "\0" not in value else None


def _plain(value: Any) -> Any:
    if isinstance(value, Path | str):
        return redacted(os.fsencode(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
