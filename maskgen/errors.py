"""The one family of errors: each message is a sentence that names the thing and the next step."""

from __future__ import annotations

import re
from collections.abc import Iterable

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters without a shape of their own that Unicode nevertheless counts as printable."""


class MaskgenError(Exception):
    """The work failed. The command line prints the message and exits with 1."""

    exit_code = 1

    def __str__(self) -> str:
        return shown(super().__str__())


class UsageError(MaskgenError):
    """The call was wrong. The command line prints the message and exits with 2."""

    exit_code = 2


def shown(text: object) -> str:
    """`text` as one line that is safe to show: what a terminal would obey, or nobody would see, as an escape.

    Names of files and people, and messages of libraries, come from strangers. Control characters, line breaks, marks
    that turn the direction of writing, zero-width characters and broken Unicode become `\\x1b`, `\\n`, `\\u202e`.
    Files keep the true name. Showing twice changes nothing.
    """
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return "".join(char if char.isprintable() and not _INVISIBLE.match(char) else _escape(char) for char in line)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def shown_lines(lines: Iterable[object]) -> str:
    """Lines of output as one text; a line break inside one of them is escaped, since it comes from a name."""
    return "\n".join(map(shown, lines))


def short(error: object) -> str:
    """The message of a library's error as a part of one sentence: one line of at most 120 characters."""
    return " ".join(str(error).split())[:120]


def installing(extra: str) -> str:
    """How to install an optional part, for the end of an error message."""
    return f"run pip install '.[{extra}]' in the checkout of maskgen"


class Rejected(MaskgenError):
    """The photograph cannot be used: `reason` is one of the short words of the rejects table, `detail` a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str]]:
        return Rejected, (self.reason, self.detail)
