"""Ends this process if one photograph takes too long: by a timer of the system, which no library can hold up."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

SIGNAL = getattr(signal, "SIGPROF", None)
"""What ends a process whose time is up. Its default action does, in the midst of C code that holds Python's lock."""

_expendable = False


def make_expendable() -> None:
    """Lets the limit end this process: another process finds out which photograph it was, and continues without it."""
    global _expendable
    _expendable = True


def is_expendable() -> bool:
    return _expendable


class TimeLimit:
    """Seconds of processor time for each of several photographs, whose steps may come in any order.

    The processor's time, not the clock's, so that a busy machine rejects what an idle one does. Without effect in a
    process that is not expendable, and on Windows, which has no such timer.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, key: str) -> Iterator[None]:
        """What runs inside counts for the photograph of this key."""
        if not _expendable or SIGNAL is None:
            yield
            return
        signal.setitimer(signal.ITIMER_PROF, self._left.get(key, self._seconds))
        try:
            yield
        finally:
            self._left[key], _ = signal.setitimer(signal.ITIMER_PROF, 0)
