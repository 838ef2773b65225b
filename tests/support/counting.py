"""What a process of its own runs in tests: in a module that imports nothing, since the process imports it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator


def numbers(count: int) -> Iterator[tuple[int, int]]:
    """The process and the numbers below `count`. Raises for 0; kills the process for less."""
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    1 / count
    for number in range(count):
        yield os.getpid(), number
