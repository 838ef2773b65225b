"""Reads the photographs of a plan, whatever they lie in; the container it read last stays open."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import Rejected
from . import folders
from .containers import CONTAINERS
from .detect import locate
from .kinds import kind_of
from .place import Container

Row = dict[str, Any]
"""A row of the plan, by column."""

AT_ONCE = 8
"""Remote files that are fetched side by side and ahead of need."""


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
        self._read: Callable[[int, int], bytes]

    def each(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes | Rejected]]:
        """Each row of the plan with its photograph's bytes, or with why there are none. Remote files are fetched a few
        at a time, since each costs two round trips and hardly any bytes."""
        if self._place.is_local:
            yield from ((row, self._tried(row)) for row in rows)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting: deque[tuple[Row, Future[bytes | Rejected] | None]] = deque()
            try:
                for row in rows:
                    single = not row["problem"] and not row.get("container")
                    waiting.append((row, pool.submit(self._tried, row) if single else None))
                    if len(waiting) > AT_ONCE:
                        yield self._next(waiting)
                while waiting:
                    yield self._next(waiting)
            finally:
                pool.shutdown(cancel_futures=True)

    def _next(self, waiting: deque[tuple[Row, Future[bytes | Rejected] | None]]) -> tuple[Row, bytes | Rejected]:
        row, future = waiting.popleft()
        return row, self._tried(row) if future is None else future.result()

    def _tried(self, row: Row) -> bytes | Rejected:
        try:
            if row["problem"]:
                raise Rejected(*row["problem"].split(": ", 1))
            return self.read(row)
        except Rejected as rejected:
            return rejected

    def read(self, row: Row) -> bytes:
        """The bytes of one photograph. Raises `Rejected`, `UsageError` (the source changed), `MaskgenError`."""
        name, size = row.get("container", ""), row["bytes"]
        if not name:
            if self._place.is_local:
                return folders.read(Path(str(self._place)), row["source"], size)
            return self._place.read(row["source"], size)
        if self._container is None or self._name != name:
            self.close()
            self._container, self._name = Container(self._place, name, row["container_bytes"]), name
            self._read = CONTAINERS[str(kind_of(name))].reader(self._container, self._image_column)
        return self._read(row["offset"], size)

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
