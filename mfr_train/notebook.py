"""What Python shows: data frames, and HTML tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from maskgen.errors import UsageError, shown


def data_frame(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """A pandas DataFrame with one row for each record. Raises `UsageError` if pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise UsageError("to_pandas needs pandas, which is not installed; run: pip install pandas") from None
    return pandas.DataFrame.from_records(list(records), columns=list(columns))


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with every cell escaped: names of people, files and models can hold anything."""

    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(shown(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"
