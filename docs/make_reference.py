"""Writes docs/commands.md from the commands; `--check` fails if it is out of date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from maskgen.cli.main import maskgen as maskgen_command
from maskgen.cli.options import CONTEXT
from mfr_train.cli.main import mfr as mfr_command

PAGE = Path(__file__).with_name("commands.md")


def reference() -> str:
    """The help of every command as one Markdown page."""
    parts = [
        "# Command reference",
        "",
        "Generated from the code by `make docs`; a test fails if it is out of date.",
        "",
        "Exit codes: 0 done; 1 the work failed; 2 the call was wrong; 130 stopped by Ctrl-C or SIGTERM. A failure is",
        "one sentence that says what to do next. Every option of `maskgen build`, `mfr train` and `mfr eval` may also",
        "be set in a TOML file given by `--config`.",
    ]
    for group in (maskgen_command, mfr_command):
        parts += ["", f"## {group.name}", "", _help(group, str(group.name))]
        for path, command in commands(group):
            parts += ["", f"### {path}", "", _help(command, path)]
    return "\n".join(parts) + "\n"


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of a group as it is typed, and those of the groups in it, such as `mfr protocol make`."""
    for name, command in group.commands.items():
        typed = f"{path or group.name} {name}"
        yield typed, command
        if isinstance(command, click.Group):
            yield from commands(command, typed)


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, terminal_width=80, **CONTEXT)
    return f"```text\n{command.get_help(context).rstrip()}\n```"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(reference())
    elif PAGE.read_text() != reference():
        sys.exit("docs/commands.md is out of date; run `make docs`.")
