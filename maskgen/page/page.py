"""Templates, data and charts -> one HTML file that needs no network.

A page holds its styles, its scripts and its pictures. Its scripts are d3 and Observable Plot (in vendor/), then
assets/page.js, which sorts tables and places charts, then those of the page itself. A content security policy lets only
these run, by their hashes: whatever a name of a person or a file holds, nothing is loaded and no other script runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ..errors import shown

_HERE = Path(__file__).parent
HEATS = 8
"""Colours of cells, from pale to strong; the styles name each."""

_LIBRARIES = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "assets/page.js")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What is shown.
        value: The number by which its column is sorted, if it is one.
        note: A second, smaller line, such as an interval.
        heat: How strongly the cell is coloured, 0 to 1; None for no colour.
        missing: Whether the text, such as `n/a`, stands for a number that is not there: it is sorted to the end.
    """

    text: str
    value: float | None = None
    note: str = ""
    heat: float | None = None
    missing: bool = False

    @property
    def heat_class(self) -> str:
        """The class of its colour, one of `HEATS`; '' for none."""
        return "" if self.heat is None else f"heat{round(min(max(self.heat, 0.0), 1.0) * (HEATS - 1))}"


Value = str | int | Cell
"""What a cell of a table is given as."""


@dataclass(frozen=True)
class Table:
    """A sortable table. Cells are texts, numbers (with thousands separators) or `Cell`; the first one heads its row."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Value]] = field(default=())

    @cached_property
    def cells(self) -> list[list[Cell]]:
        """The rows with every cell as a `Cell`, names of strangers escaped for control characters."""
        return [[_cell(value) for value in row] for row in self.rows]

    @cached_property
    def _numeric(self) -> list[bool]:
        columns = ([row[column] for row in self.cells if row[column].text] for column in range(len(self.heads)))
        return [bool(each) and all(cell.value is not None or cell.missing for cell in each) for each in columns]

    def is_number(self, column: int) -> bool:
        """Whether all cells of a column that hold something are numbers: these stand to the right."""
        return self._numeric[column]


def _cell(value: Value) -> Cell:
    if isinstance(value, Cell):
        return replace(value, text=shown(value.text), note=shown(value.note))
    if isinstance(value, int):
        return Cell(f"{value:,}", value)
    return Cell(shown(value))


def picture(data: bytes, kind: str = "jpeg") -> str:
    """The URL of an encoded picture that lies in the page itself."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def page(
    templates: Path,
    name: str,
    /,
    *,
    generator: str,
    title: str,
    data: Mapping[str, Any],
    scripts: Sequence[Path] = (),
    styles: Sequence[Path] = (),
    **context: Any,
) -> str:
    """The HTML of a page.

    Args:
        templates: Folder of the template, which extends `base.html` and may import `macros.html`.
        name: Name of the template.
        generator: What made the page; `is_made_by` knows it by that.
        title: Title of the page and of its window.
        data: What the scripts of the page draw; JSON values, without NaN. They find it as `page.data`.
        scripts: The page's own scripts, run after the libraries.
        styles: The page's own style sheets, after the common one.
        context: What the template is given besides.
    """
    code = [*map(_asset, _LIBRARIES), *(script.read_text(encoding="utf-8") for script in scripts)]
    policy = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in code)
    return str(
        _environment(templates)
        .get_template(name)
        .render(
            generator=generator,
            title=title,
            style="".join([_asset("assets/page.css"), *(path.read_text(encoding="utf-8") for path in styles)]),
            scripts=code,
            policy=policy,
            data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
            **context,
        )
    )


def is_made_by(generator: str, path: Path) -> bool:
    """Whether a file is a page whose generator begins so. A file of others may have the same name."""
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{generator}'.encode() in file.read(4096)
    except OSError:
        return False


def _environment(templates: Path) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([templates, _HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    return environment


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
