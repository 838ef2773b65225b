"""What a notebook shows: tables in HTML, with everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..errors import shown


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML. Whole numbers get thousands separators and stand to the right."""
    top = "".join(f"<th>{escape(shown(head))}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(shown(caption))}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td style="text-align: right">{value:,}</td>'
    return f"<td>{escape(shown(value))}</td>"
