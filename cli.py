"""The front door of a checkout: `python cli.py COMMAND ...` runs any command of maskgen and mfr, uninstalled."""

from __future__ import annotations

from maskgen.cli.main import maskgen
from maskgen.cli.options import CommandGroup
from mfr_train.cli.main import mfr

commands = CommandGroup("cli.py", commands={**maskgen.commands, **mfr.commands}, help=__doc__)

if __name__ == "__main__":
    commands()
