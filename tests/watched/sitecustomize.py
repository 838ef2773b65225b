"""With this folder on PYTHONPATH, Python tells what it writes to the file that MASKGEN_WRITES names."""

import os

if log := os.environ.get("MASKGEN_WRITES"):
    from tests.support.writes import tell_to

    tell_to(log)
