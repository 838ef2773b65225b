"""What libjpeg writes straight to the terminal while OpenCV decodes: caught, line by line."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_WARNINGS = (
    b"Application transferred too many scanlines",
    b"Corrupt JPEG data",
    b"Inconsistent progression sequence",
    b"Invalid SOS parameters",
    b"Premature end of JPEG file",
    b"Unknown Adobe color transform",
    b"Warning: unknown JFIF revision",
)
"""How its warnings begin (jerror.h, JWRN_*)."""

_MOST = 65_536
"""Bytes that a pipe holds on Linux."""

_STDERR = 2
_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def caught() -> Iterator[list[str]]:
    """Gives a list that holds, at the end, the warnings that libjpeg wrote to standard error meanwhile.

    OpenCV does not let anyone set libjpeg's way of writing, so standard error is a pipe meanwhile, in all threads.
    What other threads write to it appears at the end; one thread decodes at a time.
    """
    warnings: list[str] = []
    with _ONE_AT_A_TIME:
        try:
            terminal = os.dup(_STDERR)
        except OSError:  # there is none
            yield warnings
            return
        reading, writing = os.pipe()
        try:
            for end in (reading, writing):  # neither a full pipe nor a process that keeps it open holds anything up
                os.set_blocking(end, False)
            os.dup2(writing, _STDERR)
            try:
                yield warnings
            finally:
                os.dup2(terminal, _STDERR)
            written = b""
            with contextlib.suppress(BlockingIOError):  # nothing was written
                written = os.read(reading, _MOST)
            for line in written.splitlines(keepends=True):
                if line.startswith(_WARNINGS):
                    warnings.append(line.decode("ascii", "backslashreplace").strip())
                else:
                    with contextlib.suppress(OSError):
                        os.write(_STDERR, line)
        finally:
            for file in (terminal, reading, writing):
                os.close(file)
