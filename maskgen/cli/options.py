"""What all commands share: options made from the settings dataclasses, and errors as one sentence."""

from __future__ import annotations

import dataclasses
import errno
import functools
import logging
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import terminal
from ..errors import MaskgenError, shown
from ..settings import is_repeated, option_name, read_toml
from ..terminal import HINT

CONTEXT = {"help_option_names": ["-h", "--help"]}
"""The `context_settings` of both command lines."""

RESUMABLE = ("build", "export", "train", "ablate")
"""Commands that resume if they are run again; the others start from the beginning, or write nothing."""


def say(text: str, err: bool = False) -> None:
    """Prints text: the only way from a command to the terminal, so that no name can control it.

    Lines that begin with `HINT` are printed last, on standard error and dim. On a terminal lines fit its width.
    """
    lines = [shown(line) for line in text.split("\n")]
    hints = [line for line in lines if line.startswith(HINT)]
    results = "\n".join(line for line in lines if line not in hints).rstrip("\n") if hints else "\n".join(lines)
    _print(results.split("\n"), err)
    if hints:
        _print(["", *hints] if terminal.width(err=True) else hints, err=True, dim=True)


def _print(lines: Sequence[str], err: bool, dim: bool = False) -> None:
    fitting = [part for line in lines for part in terminal.wrapped(line, terminal.width(err))]
    click.echo("\n".join(click.style(line, dim=True) if dim and line else line for line in fitting), err=err)


class _Warnings(logging.Formatter):
    """Log messages as `say` would print them."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shown(super().formatMessage(record))


class CommandGroup(click.Group):
    """A group whose commands fail with one sentence and an exit code: 1 the work failed, 2 the call was wrong.

    What they print is escaped: results and errors, click's own messages and warnings of the log.
    """

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        try:
            return super().make_context(*args, **options)
        except click.ClickException as error:
            raise _escaped(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        if logging.lastResort:  # prints warnings where nobody has set up logging
            logging.lastResort.setFormatter(_Warnings())
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise _escaped(error) from None
        except MaskgenError as error:
            say(shown(f"{self.name}: {error}"), err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:  # not about a file, so a bug: show the traceback
                raise
            say(shown(f"{self.name}: cannot use {error.filename}: {error.strerror}; check that path."), err=True)
            ctx.exit(2 if error.errno == errno.ENAMETOOLONG else 1)
        except KeyboardInterrupt:
            advice = "; run the same command again to resume" if ctx.invoked_subcommand in RESUMABLE else ""
            say(f"\n{self.name}: stopped{advice}.", err=True)
            ctx.exit(130)


def _escaped(error: click.ClickException) -> click.ClickException:
    """An error of click's own, such as an unknown option: with `maskgen verify *` its name may be that of a file."""
    message = shown(error.message)
    before = f"Error: {error.format_message().removesuffix(error.message)}"  # what click writes before it
    text = "\n".join(terminal.wrapped(before + message, terminal.width(err=True)))
    # the type checker is told that it is final
    vars(error).update(message=text.removeprefix(before) if text.startswith(before) else message)
    return error


def options_from(settings: type[Any]) -> Callable[[Callable[..., Any]], Any]:
    """Gives a command one option for each setting of a dataclass, and --config.

    The command receives the dataclass, and its other parameters by name.
    """
    hints = typing.get_type_hints(settings)
    names = [field.name for field in dataclasses.fields(settings)]

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def command(config: str | None, **values: Any) -> Any:
            return function(settings(**{name: values.pop(name) for name in names}), **values)

        for field in reversed(dataclasses.fields(settings)):
            command = _option(field, hints[field.name])(command)
        return click.option(
            "--config",
            type=click.Path(dir_okay=False),
            metavar="FILE.toml",
            is_eager=True,
            callback=functools.partial(_read_config, settings),
            help="Read settings from a TOML file of `option = value` lines; the command line takes precedence.",
        )(command)

    return decorate


def _option(field: dataclasses.Field[Any], kind: Any) -> Callable[[Any], Any]:
    flag = f"--{option_name(field)}"
    default: dict[str, Any] = {"required": True}
    # Not `default=None` for a required option: since click 8.3 that is a default, and the option is not required.
    if field.default is not dataclasses.MISSING:
        show = field.default not in (None, ()) and field.default is not False
        default = {"default": field.default, "show_default": show}
    return click.option(
        f"{flag}/--no-{option_name(field)}" if kind is bool else flag,
        type=_click_type(kind, field),
        multiple=is_repeated(kind),
        metavar=field.metadata["metavar"],
        help=field.metadata["help"],
        **default,
    )


def _read_config(settings: type[Any], ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    if path:
        ctx.default_map = {**(ctx.default_map or {}), **read_toml(path, settings)}
    return path


def _click_type(kind: Any, field: dataclasses.Field[Any]) -> Any:
    if field.metadata["choices"]:
        return click.Choice(field.metadata["choices"])
    if typing.get_origin(kind) is types.UnionType:
        kind = next(inner for inner in typing.get_args(kind) if inner is not type(None))
    if is_repeated(kind):
        kind = typing.get_args(kind)[0]
    return click.Path(path_type=Path) if kind is Path else kind


def stop_like_ctrl_c(*_: Any) -> NoReturn:
    """A signal handler: SIGTERM ends a command as Ctrl-C does."""
    raise KeyboardInterrupt
