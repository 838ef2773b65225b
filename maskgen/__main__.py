"""`python -m maskgen` is the command `maskgen`."""

from .cli.main import maskgen

maskgen(prog_name="maskgen")
