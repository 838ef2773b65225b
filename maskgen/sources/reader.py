"""Reads the photographs of a plan, whatever they lie in; the container it read last stays open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import folders, recordio, tars
from .detect import kind_of, locate
from .parquet import Rows
from .place import Container


class Reader:
    """The photographs of a source by their rows of the plan; a context manager.

    A photograph that cannot be had is `Rejected` only where it lies in a local folder. Everything else that fails,
    or that is no longer what was planned, ends the build with a sentence: a reject would stay in the data set.
    """

    def __init__(self, src: str, image_column: str | None = None) -> None:
        self._place, _ = locate(src)
        self._image_column = image_column
        self._container: Container | None = None
        self._name = ""
        self._rows: Rows | None = None

    def read(self, row: dict[str, Any]) -> bytes:
        """The bytes of one photograph. Raises `Rejected`, `UsageError` (the source changed), `MaskgenError`."""
        name, size = row.get("container", ""), row["bytes"]
        if not name:
            if self._place.is_local:
                return folders.read(Path(self._place.root), row["source"], size)
            return self._place.read(row["source"], size)
        container = self._opened(name, row["container_bytes"])
        kind, offset = kind_of(name), row["offset"]
        if kind == "tar":
            return tars.read(container, offset, size)
        if kind == "recordio":
            return recordio.read(container, offset, size)
        if self._rows is None:
            self._rows = Rows(container, self._image_column)
        return self._rows.read(offset, size)

    def _opened(self, name: str, planned_bytes: int) -> Container:
        if self._container is None or self._name != name:
            self.close()
            self._container, self._name = Container(self._place, name, planned_bytes), name
        return self._container

    def close(self) -> None:
        self._rows = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
