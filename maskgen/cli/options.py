"""What all commands share: options made from the settings dataclasses, and errors as one sentence."""

from __future__ import annotations

import dataclasses
import errno
import functools
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from ..errors import MaskgenError
from ..settings import is_repeated, option_name, read_toml

GO_ON = ("build", "train")
"""Commands that take up what they were stopped in; the others begin anew, or change nothing."""


class OneSentence(click.Group):
    """A group whose commands fail with one sentence and an exit code: 1 the work failed, 2 the call was wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MaskgenError as error:
            click.echo(f"{self.name}: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:  # about no file: our own mistake, to be seen whole
                raise
            click.echo(f"{self.name}: cannot use {error.filename}: {error.strerror}; check that path.", err=True)
            ctx.exit(2 if error.errno == errno.ENAMETOOLONG else 1)
        except KeyboardInterrupt:
            how = "; run the same command again and it goes on from here" if ctx.invoked_subcommand in GO_ON else ""
            click.echo(f"\n{self.name}: stopped{how}.", err=True)
            ctx.exit(130)


def options_from(settings: type[Any], arguments: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Gives a command one option for each setting of a dataclass, and --config; it is called with the dataclass.

    Names in `arguments` become positional arguments.
    """
    hints = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings)}

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            values.pop("config")
            return function(settings(**{name: values[name] for name in fields}))

        for name in reversed(fields):
            field, kind = fields[name], hints[name]
            required = field.default is dataclasses.MISSING
            if name in arguments:
                command = click.argument(name, type=_click_type(kind, field))(command)
                continue
            flags = [f"--{option_name(field)}"]
            if kind is bool:
                flags = [f"--{option_name(field)}/--no-{option_name(field)}"]
            command = click.option(
                *flags,
                type=_click_type(kind, field),
                required=required,
                default=None if required else field.default,
                multiple=is_repeated(kind),
                metavar=field.metadata["metavar"],
                help=field.metadata["help"],
                show_default=not required and field.default not in (None, ()) and field.default is not False,
            )(command)
        return click.option(
            "--config",
            type=click.Path(dir_okay=False),
            metavar="FILE.toml",
            is_eager=True,
            expose_value=True,
            callback=functools.partial(_read_config, settings),
            help="Take settings from a TOML file of `option = value` lines; options on the command line win.",
        )(command)

    return decorate


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
