"""Settings as frozen dataclasses: one declaration gives the Python default, the option, its help and its check."""

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
"""What a whole number may be where nothing else bounds it: more fits no counter of the libraries below."""


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

    `low` and `high` bound a number, both ends included. `run_only` marks a setting that changes how the work
    runs and never what it writes, such as the number of workers: it stays out of fingerprints.
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


def from_keywords(settings: type[T], options: Mapping[str, Any]) -> T:
    """A settings dataclass from keyword arguments; raises `UsageError` that names the nearest of a misspelled one."""
    names = [field.name for field in dataclasses.fields(settings)]  # type: ignore[arg-type]
    for name in options:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, 1)
            advice = f"did you mean {nearest[0]!r}?" if nearest else f"choose from {', '.join(names)}."
            raise UsageError(f"there is no setting {name!r}; {advice}")
    return settings(**options)


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name of a setting on the command line and in a TOML file: `shard_size` is `shard-size`."""
    return field.name.replace("_", "-")


def check(settings: Any) -> None:
    """Checks every value against its declaration; raises `UsageError` that names the option."""
    kinds = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value, rule = getattr(settings, field.name), field.metadata
        name, kind = option_name(field), kinds[field.name]
        if not _is_a(value, kind):
            raise UsageError(f"--{name} is {value!r}; give {_called(kind)}.")
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
    """Whether a value is of a setting's type; whole numbers are numbers, but True and False are not."""
    if isinstance(kind, types.UnionType):
        return any(_is_a(value, one) for one in typing.get_args(kind))
    if is_repeated(kind):
        return isinstance(value, tuple) and all(_is_a(item, typing.get_args(kind)[0]) for item in value)
    return isinstance(value, _NUMBERS.get(kind, kind)) and (kind is bool or not isinstance(value, bool))


def _called(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_called(one) for one in typing.get_args(kind))
    if is_repeated(kind):
        return f"a tuple of {_called(typing.get_args(kind)[0])}"
    return "None" if kind is types.NoneType else str(kind.__name__)


def _check_path(name: str, path: Path) -> None:
    """Raises `UsageError` for what no file system takes as a path: too long a name, links in a circle."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except OSError as error:
        raise UsageError(f"--{name} cannot be {short(path)!r}: {error.strerror}; give another path.") from None


def jsonable(settings: Any, *, run_only: bool = True) -> dict[str, Any]:
    """The settings as plain JSON values, keyed by option name. `run_only=False` leaves the run-only ones out."""
    return {
        option_name(field): _plain(_declared(field, getattr(settings, field.name)))
        for field in dataclasses.fields(settings)
        if run_only or not field.metadata.get("run_only")
    }


def _declared(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value in the declared type: Python callers may write 1 for 1.0, or numpy's 1; it is the same setting."""
    if isinstance(value, numbers.Real) and str(field.type).startswith("float"):
        return float(value)
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value


def is_repeated(kind: Any) -> bool:
    """True for the type of an option that may be given several times, a tuple."""
    return typing.get_origin(kind) is tuple


def read_toml(path: Path | str, settings: type[Any]) -> dict[str, str | list[str]]:
    """Reads the `option = value` lines of a TOML file as what a command line would say, keyed by Python name.

    A value becomes the text of its option (a list, the texts of an option that may be repeated, or else a text with
    commas), so that a file and a command line are checked by the same rules. Raises `UsageError` for a file that cannot
    be read, a name that is no setting of the dataclass, and a value that no option could have.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}; check --config.") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested beyond all sense
        raise UsageError(f"{path} is not a TOML file: {short(error)}; mend that line.") from None
    kinds = typing.get_type_hints(settings)
    values: dict[str, str | list[str]] = {}
    for name, value in table.items():
        python_name = name.replace("-", "_")
        if python_name not in kinds:
            raise UsageError(f"{path} sets {name!r}, which is no option of this command; see --help for the names.")
        texts = [_option_text(item) for item in (value if isinstance(value, list) else [value])]
        if None in texts or not (texts or is_repeated(kinds[python_name])):
            raise UsageError(f"{path} sets {name!r} to what no option can be; write a number, true, false or a text.")
        said = [text for text in texts if text is not None]
        values[python_name] = said if is_repeated(kinds[python_name]) else ",".join(said)
    return values


def _option_text(value: Any) -> str | None:
    """A TOML value as on a command line; None where there is no such argument."""
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
