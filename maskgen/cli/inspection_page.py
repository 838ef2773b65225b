"""`maskgen inspect --html`: writes the page of a data set."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError, shown
from ..inspecting.inspect import GENERATOR, inspect
from ..inspecting.sample import SAMPLE
from ..page.page import is_made_by
from ..storage import files
from ..storage.opening import located
from ..storage.uri import is_uri, plain


def write_page(
    dataset: str, out: Path | None = None, src: str | None = None, no_pictures: bool = False, sample: int | None = None
) -> str:
    """Writes the page of a data set, and returns a sentence. Replaces no file but a page of maskgen."""
    path = out or Path(f"{_name(dataset)}.html")
    _check(path)
    data = inspect(dataset, src=src, with_pictures=not no_pictures, most=sample or SAMPLE).encode("utf-8")
    files.write(path, data)
    return shown(f"{path} shows {plain(dataset)}, {len(data) / 1e6:.1f} MB; open it in a browser.")


def _name(dataset: str) -> str:
    """The last part of the name of a data set."""
    place = plain(dataset) if is_uri(dataset) else str(located(dataset))
    return place.partition("?")[0].rstrip("/").rpartition("/")[2] or "dataset"


def _check(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the page; make it, or give -o another one.")
    if path.is_dir():
        raise UsageError(f"-o {path} is a folder; give a file such as {path / 'page.html'}.")
    if path.exists() and not is_made_by(GENERATOR, path):
        raise UsageError(f"{path} is there and is no page of maskgen; give -o another file.")
