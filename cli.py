"""Runs any command of maskgen and mfr from a checkout: `python cli.py build ...`, `python cli.py train ...`."""

from __future__ import annotations

from maskgen.cli.main import maskgen
from maskgen.cli.options import CONTEXT, CommandGroup
from mfr_train.cli.main import mfr

commands = CommandGroup("cli.py", commands={**maskgen.commands, **mfr.commands}, help=__doc__, context_settings=CONTEXT)

if __name__ == "__main__":
    commands()
