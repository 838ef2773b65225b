"""Names and counts as text."""

from __future__ import annotations

from ..errors import shown

NAME, TEXT = 60, 120
"""Characters of a name in a caption or a label, and of a text in a table."""


def clip(text: object, longest: int = TEXT) -> str:
    """The text of a stranger as it is shown: escaped, and cut off if it is long."""
    line = shown(text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def plural(count: float, one: str, many: str = "") -> str:
    """A count with its noun: `1 person`, `1,200 people`; by default the plural ends in s."""
    return f"{count:,.0f} {one if count == 1 else many or one + 's'}"
