"""The one family of errors: each message is a sentence that names the thing and the next step."""

from __future__ import annotations


class MaskgenError(Exception):
    """The work failed. The command line prints the message and exits with 1."""

    exit_code = 1


class UsageError(MaskgenError):
    """The call was wrong. The command line prints the message and exits with 2."""

    exit_code = 2


def short(error: object) -> str:
    """What a library's error says, as a part of one sentence: in one line, 120 characters at most."""
    return " ".join(str(error).split())[:120]
