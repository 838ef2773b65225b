"""`python -m mfr_train` is the command `mfr`."""

from .cli.main import mfr

mfr(prog_name="mfr")
