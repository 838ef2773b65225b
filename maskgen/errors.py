"""The one family of errors: each message is a sentence that names the thing and the next step."""

from __future__ import annotations


class MaskgenError(Exception):
    """The work failed. The command line prints the message and exits with 1."""

    exit_code = 1


class UsageError(MaskgenError):
    """The call was wrong. The command line prints the message and exits with 2."""

    exit_code = 2


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
