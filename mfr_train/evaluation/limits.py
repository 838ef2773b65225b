"""Limits on the FMR, at which operating points are read: how a setting gives them, and what the points are called."""

from __future__ import annotations

from maskgen.errors import UsageError, short

MAX_LIMITS = 12
"""More rows in the table of each scenario would hide the others."""


def parsed(text: str, option: str = "--fmr") -> tuple[float, ...]:
    """The limits in a text such as `0.01,0.001`, in its order.

    Raises `UsageError` unless they are shares, each given once.
    """
    found: list[float] = []
    for part in text.split(","):
        try:
            limit = float(part)
        except ValueError:
            limit = 0.0
        if not 0 < limit < 1:
            raise UsageError(
                f"{option} has {short(part.strip())!r}; give shares between 0 and 1, such as 0.01 for 1 %."
            )
        if limit in found:
            raise UsageError(f"{option} has {limit:g} twice; give each limit once.")
        found.append(limit)
    if len(found) > MAX_LIMITS:
        raise UsageError(f"{option} has {len(found)} limits; give at most {MAX_LIMITS}.")
    return tuple(found)


def name(limit: float) -> str:
    """What the FNMR at a limit is called: `fmr100` for 0.01 (one in 100), `fmr_0.03` for a limit that is not 1 in n."""
    count = round(1 / limit)
    return f"fmr{count}" if 1 / count == limit else f"fmr_{limit!r}"


def limit_of(name: str) -> float:
    """The limit of a name that `name` gave. Raises `ValueError` for another text."""
    digits = name.removeprefix("fmr")
    limit = float(digits[1:]) if digits.startswith("_") else 1 / int(digits)
    if not 0 < limit < 1 or digits == name:
        raise ValueError(f"{name} is not the name of a limit")
    return limit


def shows(figure: str, impostor: float) -> bool:
    """Whether there are enough impostor pairs for a figure by name: FMR100 and FMR10 need more than 100 and 10."""
    return figure not in ("fmr100", "fmr10") or resolved(limit_of(figure), impostor)


def resolved(limit: float, impostor: float) -> bool:
    """Whether the FMR can be below the limit with a false match among so many impostor pairs: over 1 / limit pairs.

    With fewer, the FMR is below the limit only where no pair matches falsely, whatever the limit.
    """
    return impostor * limit > 1
