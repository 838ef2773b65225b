"""Where Python writes: told by an audit hook, in this process and in those that it starts."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOG = "MASKGEN_WRITES"
"""The environment variable by which a process knows the file to tell its writes to."""

SITE = Path(__file__).parents[1] / "watched"
"""The folder on PYTHONPATH whose sitecustomize.py lets a process tell its writes."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_OURS = (
    "__pycache__",
    ".pyc",
    ".hypothesis",
    ".coverage_cache",
    "/dev/",
    "/proc/",
    ".config/matplotlib",
    ".cache/matplotlib",
)
"""In paths that Python, the system, and libraries for themselves write."""


def written(event: str, arguments: tuple[Any, ...]) -> list[str]:
    """The absolute paths that an audit event writes, makes, moves or removes."""
    if event == "open":
        path, _, flags = arguments
        paths: list[Any] = [path] if isinstance(path, str | bytes) and flags & _WRITING else []
        start = -1
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link", "os.symlink", "os.truncate"):
        paths = [path for path in arguments[:2] if isinstance(path, str | bytes | os.PathLike)]
        start = -1 if event == "os.truncate" else arguments[-1]  # an open folder that the paths start from
    else:
        return []
    return [os.path.abspath(os.path.join(_folder_of(start), os.fsdecode(path))) for path in paths]


def _folder_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 and sys.platform == "linux" else ""


def tell_to(log: str) -> None:
    """Appends, from now on, what this process writes to a file. It cannot be undone."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(event: str, arguments: tuple[Any, ...]) -> None:
        for path in written(event, arguments):
            with suppress(OSError):
                os.write(file, path.encode(errors="surrogateescape") + b"\n")

    sys.addaudithook(tell)


_here: list[str] | None = None
"""What this process writes while it is watched."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _here is not None:
        _here.extend(written(event, arguments))


@contextmanager
def watched(log: Path) -> Iterator[Callable[[], list[str]]]:
    """Gives what returns the paths written since, by this process and by the Pythons that it starts in the block."""
    global _here
    if _note not in _hooks:
        _hooks.append(_note)
        sys.addaudithook(_note)
    before = {name: os.environ.get(name) for name in (LOG, "PYTHONPATH")}
    log.touch()
    start = log.stat().st_size
    os.environ[LOG] = str(log)
    root = SITE.parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SITE), str(root), before["PYTHONPATH"])))
    _here = []
    here = _here
    try:
        yield lambda: [*here, *log.read_bytes()[start:].decode(errors="surrogateescape").splitlines()]
    finally:
        _here = None
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_hooks: list[Callable[..., None]] = []


def outside(paths: list[str], folder: Path, base: Path) -> list[str]:
    """Those of the paths that are not in `folder`, nor a library's in the system's temporary folder.

    `base` is where pytest keeps the folders of all tests: nothing else there is written.
    """
    own, others, temporary = (os.path.realpath(path) for path in (folder, base, tempfile.gettempdir()))
    found = []
    for path in dict.fromkeys(paths):
        real = os.path.realpath(path)
        if any(part in path for part in _OURS) or real in (own, temporary) or real.startswith(own + os.sep):
            continue
        if real.startswith(others + os.sep) or not real.startswith(temporary + os.sep):
            found.append(path)
    return found
