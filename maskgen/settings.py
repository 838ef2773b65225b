"""Settings as frozen dataclasses: one declaration gives the Python default, the option, its help and its check."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from .errors import UsageError
from .storage import redacted

T = TypeVar("T")


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


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name of a setting on the command line and in a TOML file: `shard_size` is `shard-size`."""
    return field.name.replace("_", "-")


def check(settings: Any) -> None:
    """Checks every value against its declaration; raises `UsageError` that names the option."""
    for field in dataclasses.fields(settings):
        value, rule = getattr(settings, field.name), field.metadata
        if value is None or not rule:
            continue
        name = option_name(field)
        if rule["choices"] and value not in rule["choices"]:
            raise UsageError(f"--{name} is {value!r}; choose one of {', '.join(rule['choices'])}.")
        if rule["low"] is not None and not value >= rule["low"]:
            raise UsageError(f"--{name} is {value}; give a number of at least {rule['low']:g}.")
        if rule["high"] is not None and not value <= rule["high"]:
            raise UsageError(f"--{name} is {value}; give a number of at most {rule['high']:g}.")


def jsonable(settings: Any, *, run_only: bool = True) -> dict[str, Any]:
    """The settings as plain JSON values, keyed by option name. `run_only=False` leaves the run-only ones out."""
    return {
        option_name(field): _plain(_declared(field, getattr(settings, field.name)))
        for field in dataclasses.fields(settings)
        if run_only or not field.metadata.get("run_only")
    }


def _declared(field: dataclasses.Field[Any], value: Any) -> Any:
    """A value in the declared type: Python callers may write 1 for 1.0, which is the same setting."""
    return float(value) if type(value) is int and str(field.type).startswith("float") else value


def read_toml(path: Path | str, known: set[str]) -> dict[str, Any]:
    """Reads `option = value` lines of a TOML file; `UsageError` for a bad file or a name not in `known`.

    The values are keyed by Python name (`shard_size`), ready to be defaults.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}; check --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a TOML file: {error}; mend that line.") from None
    values = {name.replace("-", "_"): value for name, value in table.items()}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(f"{path} sets {unknown[0]!r}, which is no option of this command; see --help for the names.")
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Path | str):
        return redacted(os.fsencode(value).decode("utf-8", "backslashreplace"))
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
